#include "common/log.h"

#include "common/clock.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, FIELDS_MAX = 32, THROTTLED_MAX = 64, BURST = 10, WINDOW_MS = 10000 };

/* One line under construction; what does not fit is cut, never overrun. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

/* How often a warning or error was written lately. */
struct throttle {
    const char *message; /* literals: the address is the identity */
    uint64_t since_ms;
    uint64_t written, suppressed;
};

static enum log_level threshold = LOG_LEVEL_INFO;
static enum log_format style = LOG_FORMAT_LOGFMT;
static pthread_mutex_t throttle_lock = PTHREAD_MUTEX_INITIALIZER; /* guards throttles */
static struct throttle throttles[THROTTLED_MAX];

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, enum log_format format)
{
    threshold = level;
    style = format;
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static size_t room_in(const struct line *line)
{
    return sizeof line->text - 2 - line->len; /* a brace and a newline come yet */
}

static void put(struct line *line, const char *text, size_t len)
{
    size_t room = room_in(line);

    if (len > room)
        len = room;
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* One character as JSON wants it, into `into`; returns how far to go on in the text. Bytes that are
 * not UTF-8 become U+FFFD. */
static size_t escape(const char *text, const char *end, char into[static 8])
{
    unsigned char c = (unsigned char)*text;
    size_t len = utf8_sequence((const uint8_t *)text, (const uint8_t *)end);

    if (len == 0)
        snprintf(into, 8, "\xef\xbf\xbd");
    else if (c == '"' || c == '\\')
        snprintf(into, 8, "\\%c", c);
    else if (c == '\n')
        snprintf(into, 8, "\\n");
    else if (c < 0x20 || c == 0x7f)
        snprintf(into, 8, "\\u%04x", c);
    else
        snprintf(into, 8, "%.*s", (int)len, text);
    return len == 0 ? 1 : len;
}

/* Both formats escape alike: what JSON wants is also what logfmt readers take. What is too long is
 * cut between two characters. */
static void put_quoted(struct line *line, const char *text)
{
    const char *end = text + strlen(text);
    char escaped[8];

    put(line, "\"", 1);
    while (text < end) {
        text += escape(text, end, escaped);
        if (strlen(escaped) + 1 > room_in(line))
            break;
        put_text(line, escaped);
    }
    put(line, "\"", 1);
}

static bool is_plain(const char *text)
{
    if (*text == '\0' || utf8_find_bad((struct bytes){(const uint8_t *)text, strlen(text)}) != NULL)
        return false;
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || strchr("\"=\\\x7f", *text) != NULL)
            return false;
    return true;
}

static void put_string(struct line *line, const char *text)
{
    if (text == NULL)
        text = "";
    if (style == LOG_FORMAT_LOGFMT && is_plain(text))
        put_text(line, text);
    else
        put_quoted(line, text);
}

static void put_key(struct line *line, const char *key)
{
    if (style == LOG_FORMAT_JSON) {
        put(line, line->len == 1 ? "" : ",", line->len == 1 ? 0 : 1);
        put_quoted(line, key);
        put(line, ":", 1);
    } else {
        put(line, " ", line->len == 0 ? 0 : 1);
        put_text(line, key);
        put(line, "=", 1);
    }
}

static void put_field(struct line *line, const struct log_field *field)
{
    char number[40] = "";

    if (strlen(field->key) + sizeof number + 8 > room_in(line))
        return; /* no half a field */
    put_key(line, field->key);
    switch (field->kind) {
    case LOG_KIND_STR:
        put_string(line, field->value.str);
        return;
    case LOG_KIND_U64:
        snprintf(number, sizeof number, "%" PRIu64, field->value.u64);
        break;
    case LOG_KIND_I64:
        snprintf(number, sizeof number, "%" PRId64, field->value.i64);
        break;
    case LOG_KIND_DOUBLE:
        if (isfinite(field->value.number))
            snprintf(number, sizeof number, "%.6g", field->value.number);
        else
            snprintf(number, sizeof number, "null");
        break;
    case LOG_KIND_BOOL:
        snprintf(number, sizeof number, "%s", field->value.boolean ? "true" : "false");
        break;
    }
    put_text(line, number);
}

static void put_time(struct line *line)
{
    char stamp[40], whole[32];
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp, sizeof stamp, "%s.%03uZ", whole, (unsigned)(now_ms % 1000));
    put_key(line, "time");
    put_string(line, stamp);
}

/* False: this one is held back. *ret_suppressed: how many were, since one was last written. */
static bool admit(enum log_level level, const char *message, uint64_t *ret_suppressed)
{
    struct throttle *at = NULL, *oldest = &throttles[0];
    uint64_t now = clock_mono_ms();
    bool admitted = true;

    *ret_suppressed = 0;
    if (level < LOG_LEVEL_WARN)
        return true;

    pthread_mutex_lock(&throttle_lock);
    for (size_t i = 0; i < THROTTLED_MAX && at == NULL; i++) {
        if (throttles[i].message == message)
            at = &throttles[i];
        else if (throttles[i].since_ms < oldest->since_ms)
            oldest = &throttles[i];
    }
    if (at == NULL) {
        at = oldest;
        *at = (struct throttle){.message = message, .since_ms = now};
    }
    if (now - at->since_ms >= WINDOW_MS) {
        at->since_ms = now;
        at->written = 0;
    }
    if (at->written < BURST) {
        at->written++;
        *ret_suppressed = at->suppressed;
        at->suppressed = 0;
    } else {
        at->suppressed++;
        admitted = false;
    }
    pthread_mutex_unlock(&throttle_lock);
    return admitted;
}

void log_event(enum log_level level, const char *message, ...)
{
    uint64_t suppressed = 0;
    struct line line;
    va_list fields;

    if (level < threshold || !admit(level, message, &suppressed))
        return;

    line.len = 0;
    if (style == LOG_FORMAT_JSON)
        put(&line, "{", 1);
    put_time(&line);
    put_field(&line, &LOG_STR("level", level_names[level]));
    put_field(&line, &LOG_STR("msg", message));
    va_start(fields, message);
    for (int i = 0; i < FIELDS_MAX; i++) {
        struct log_field field = va_arg(fields, struct log_field);
        if (field.key == NULL)
            break;
        put_field(&line, &field);
    }
    va_end(fields);
    if (suppressed > 0)
        put_field(&line, &LOG_U64("suppressed", suppressed));
    if (style == LOG_FORMAT_JSON)
        line.text[line.len++] = '}';
    line.text[line.len++] = '\n';

    /* There is nobody to tell when the log itself can't be written. */
    ssize_t written = write(STDERR_FILENO, line.text, line.len);
    (void)written;
}
