/* Errors: a code to decide on, a sentence to log.
 *
 * The code says what the caller should do, not where it went wrong. There are few codes, and a new
 * one is added only when some caller has to act differently on it. The text says where and why; it
 * is written where the fault is seen, gains a prefix on the way up, and is logged once, at the top.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include "common/attr.h"

#include <stdbool.h>

#define ERROR_CODES(X)                                                                       \
    X(OK, "ok")                                                                              \
    X(ERR_AGAIN, "try again later") /* transient: retry with backoff */                      \
    X(ERR_FULL, "no room")          /* backpressure: stop reading upstream */                \
    X(ERR_CLOSED, "closed")         /* shutting down: unwind quietly */                      \
    X(ERR_NOTFOUND, "not found")    /* absent: often an answer rather than a failure */      \
    X(ERR_CONFLICT, "conflict")     /* someone wrote first: re-read, decide again */         \
    X(ERR_INVALID, "invalid input") /* the peer or user is wrong: reject, do not retry */    \
    X(ERR_CORRUPT, "corrupt data")  /* stored bytes fail their check: quarantine */          \
    X(ERR_IO, "input/output error") /* device or kernel refused: stop trusting the handle */ \
    X(ERR_NOMEM, "out of memory")   /* the request is too big for us right now: shed it */

enum err {
#define X(code, text) code,
    ERROR_CODES(X)
#undef X
};

struct error {
    enum err code;
    char text[480];
};

const char *err_name(enum err code);

/* Fills `error` (may be NULL) and returns `code`, so that a failing line is one return. */
enum err error_set(struct error *error, enum err code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As error_set(), ending the text with strerror(errno). */
enum err error_set_errno(struct error *error, enum err code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Whether this errno tells of too little memory or too few descriptors: later the same call may
 * work, and until then nothing is known of what it was about. */
bool error_is_shortage(int number);

/* Puts "context: " in front of the text on the way up, and returns `code` unchanged. */
enum err error_prefix(struct error *error, enum err code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* clang's analyzer does not look into error.c, and must know that a code which is set is the one
 * that is returned, or it follows failures as if they were none. */
#ifdef __clang_analyzer__
#define error_set(error, code, ...) ((void)(error_set)(error, code, __VA_ARGS__), (code))
#define error_set_errno(error, code, ...) \
    ((void)(error_set_errno)(error, code, __VA_ARGS__), (code))
#define error_prefix(error, code, ...) ((void)(error_prefix)(error, code, __VA_ARGS__), (code))
#endif

#endif
