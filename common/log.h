/* log: one line per event on standard error, as logfmt or JSON.
 *
 *   LOG_INFO("Opened spool", LOG_STR("dir", dir), LOG_U64("size_bytes", size));
 *   time=2026-11-21T10:20:30.123Z level=info msg="Opened spool" dir=/spool size_bytes=10737418240
 *
 * A message starts with a capital, has no full stop and tells what happened. Values are escaped;
 * secrets are never passed in. A line is written by one write(2), so lines of threads never mix.
 * The same message at warn or error is written at most 10 times in 10 seconds; what was held back
 * is said as `suppressed=N` on the next one.
 *
 * Thread: any. log_setup() before threads start.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log_field {
    const char *key;
    enum { LOG_KIND_STR, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_DOUBLE, LOG_KIND_BOOL } kind;
    union {
        const char *str; /* NULL is written as an empty string */
        uint64_t u64;
        int64_t i64;
        double number;
        bool boolean;
    } value;
};

#define LOG_STR(k, v)  ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .value.str = (v)})
#define LOG_U64(k, v)  ((struct log_field){.key = (k), .kind = LOG_KIND_U64, .value.u64 = (v)})
#define LOG_I64(k, v)  ((struct log_field){.key = (k), .kind = LOG_KIND_I64, .value.i64 = (v)})
#define LOG_F64(k, v)  ((struct log_field){.key = (k), .kind = LOG_KIND_DOUBLE, .value.number = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .value.boolean = (v)})

/* Only events at or above `level` are written. */
void log_setup(enum log_level level, enum log_format format);

/* Reads "debug", "info", "warn", "error"; false for anything else. */
bool log_level_parse(const char *text, enum log_level *ret_level);

/* The macros end the list of fields with LOG_END; call them, not this. */
void log_event(enum log_level level, const char *message, ...);

#define LOG_END        ((struct log_field){.key = NULL})
#define LOG_DEBUG(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_END)
#define LOG_INFO(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__, LOG_END)
#define LOG_WARN(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__, LOG_END)
#define LOG_ERROR(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__, LOG_END)

#endif
