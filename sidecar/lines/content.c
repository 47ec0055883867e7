#include "sidecar/lines/content.h"

#include "sidecar/otlp/json_text.h"

#include <strings.h>

#define SECOND_NS UINT64_C(1000000000)

/* ---- time */

/* Digits only, `count` of them; false leaves rubbish in the value. */
static bool digits(const uint8_t *at, unsigned count, unsigned *ret_value)
{
    unsigned value = 0, wrong = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned digit = at[i] - (unsigned)'0';
        wrong |= digit > 9;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return !wrong;
}

/* Days since 1970 of a date of the Gregorian calendar, whose year begins in March here. */
static int64_t days_of(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    unsigned day_of_year = (153 * m + 2) / 5 + day - 1;

    return (int64_t)365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static bool date_and_time(const uint8_t *at, const uint8_t *end, int64_t *ret_seconds)
{
    unsigned year, month, day, hour, minute, second;

    if (end - at < 19 || at[4] != '-' || at[7] != '-' || (at[10] != 'T' && at[10] != 't') ||
        at[13] != ':' || at[16] != ':')
        return false;
    if (!digits(at, 4, &year) || !digits(at + 5, 2, &month) || !digits(at + 8, 2, &day) ||
        !digits(at + 11, 2, &hour) || !digits(at + 14, 2, &minute) || !digits(at + 17, 2, &second))
        return false;
    if (year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    *ret_seconds =
        days_of(year, month, day) * 86400 + (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
    return true;
}

/* Z, +hh:mm or -hh:mm. */
static bool zone(const uint8_t **at, const uint8_t *end, int64_t *ret_seconds)
{
    const uint8_t *from = *at;
    unsigned hours, minutes;

    if (from < end && (*from == 'Z' || *from == 'z')) {
        *ret_seconds = 0;
        *at = from + 1;
        return true;
    }
    if (end - from < 6 || (*from != '+' && *from != '-') || from[3] != ':' ||
        !digits(from + 1, 2, &hours) || !digits(from + 4, 2, &minutes) || hours > 23 ||
        minutes > 59)
        return false;
    int64_t seconds = hours * 3600 + minutes * 60;
    *ret_seconds = *from == '+' ? seconds : -seconds;
    *at = from + 6;
    return true;
}

bool content_time(const uint8_t **at, const uint8_t *end, uint64_t *ret_ns)
{
    const uint8_t *from = *at;
    uint64_t fraction_ns = 0, unit = SECOND_NS / 10;
    int64_t seconds, offset;

    if (!date_and_time(from, end, &seconds))
        return false;
    from += 19;
    if (from < end && *from == '.') {
        const uint8_t *first = ++from;
        for (; from < end && *from - (unsigned)'0' <= 9; from++, unit /= 10)
            fraction_ns += (*from - (unsigned)'0') * unit;
        if (from == first)
            return false;
    }
    if (!zone(&from, end, &offset) || seconds < offset)
        return false;
    *ret_ns = (uint64_t)(seconds - offset) * SECOND_NS + fraction_ns;
    *at = from;
    return true;
}

static bool time_of_string(struct bytes text, uint64_t *ret_ns)
{
    if (text.len == 0)
        return false;
    const uint8_t *at = text.data, *end = text.data + text.len;
    return content_time(&at, end, ret_ns) && at == end;
}

/* ---- CRI */

static bool stream_of(struct bytes name, enum lines_stream *ret_stream)
{
    if (bytes_equal(name, BYTES_LITERAL("stdout")))
        *ret_stream = LINES_STDOUT;
    else if (bytes_equal(name, BYTES_LITERAL("stderr")))
        *ret_stream = LINES_STDERR;
    else
        return false;
    return true;
}

bool content_of_cri(struct bytes line, struct content *ret_content)
{
    const uint8_t *at = line.data, *end = line.data + line.len;
    struct content content = {0};

    if (line.len == 0 || !content_time(&at, end, &content.time_ns))
        return false;
    if (end - at < 9 || at[0] != ' ' || at[7] != ' ' ||
        !stream_of((struct bytes){at + 1, 6}, &content.stream))
        return false;
    at += 8;

    /* The first tag is one letter; those behind it, after colons, are for the future. */
    if (*at != 'P' && *at != 'F')
        return false;
    content.partial = *at++ == 'P';
    if (at < end && *at == ':') {
        while (at < end && *at != ' ')
            at++;
    }
    if (at < end && *at++ != ' ')
        return false;
    content.text = (struct bytes){at, (size_t)(end - at)};
    *ret_content = content;
    return true;
}

/* ---- members of a JSON object */

static bool next_member(struct json_text *text, bool first, struct json_string *ret_key)
{
    if (!first && !json_text_take(text, ','))
        return false;
    return json_text_peek(text) == '"' && json_text_string(text, ret_key) == NULL &&
           json_text_take(text, ':');
}

static bool is_at_end(struct json_text *text)
{
    return json_text_peek(text) == 0 && text->at == text->end;
}

static bool is_one_of(struct bytes key, const char *const *names)
{
    for (; *names != NULL; names++)
        if (bytes_equal(key, bytes_from(*names)))
            return true;
    return false;
}

/* ---- Docker */

struct docker_members {
    struct json_string log, stream, time;
    bool has_log;
};

static bool docker_members(struct bytes line, struct docker_members *ret_members)
{
    struct json_text text = {line.data, line.data + line.len};
    struct docker_members members = {0};
    struct json_string key;

    if (line.len == 0 || !json_text_take(&text, '{'))
        return false;
    for (bool first = true; !json_text_take(&text, '}'); first = false) {
        struct json_string *into = NULL;
        if (!next_member(&text, first, &key))
            return false;
        if (bytes_equal(key.raw, BYTES_LITERAL("log"))) {
            into = &members.log;
            members.has_log = true;
        } else if (bytes_equal(key.raw, BYTES_LITERAL("stream"))) {
            into = &members.stream;
        } else if (bytes_equal(key.raw, BYTES_LITERAL("time"))) {
            into = &members.time;
        }
        if (into != NULL ? json_text_peek(&text) != '"' || json_text_string(&text, into) != NULL
                         : json_text_skip(&text) != NULL)
            return false;
    }
    *ret_members = members;
    return members.has_log && is_at_end(&text);
}

enum err content_of_docker(struct bytes line, struct buf *scratch, struct content *ret_content)
{
    struct docker_members members;
    struct content content = {0};

    if (!docker_members(line, &members))
        return ERR_INVALID;
    if (!time_of_string(members.time.raw, &content.time_ns) ||
        !stream_of(members.stream.raw, &content.stream))
        return ERR_INVALID;

    content.text = members.log.raw;
    content.partial = true;
    if (content.text.len >= 2 && memcmp(content.text.data + content.text.len - 2, "\\n", 2) == 0) {
        /* The usual line has this one escape and no other. */
        size_t len = content.text.len - 2;
        if (len == 0 || memchr(content.text.data, '\\', len) == NULL) {
            content.text.len = len;
            content.partial = false;
            members.log.escaped = false;
        }
    }
    if (members.log.escaped) {
        buf_clear(scratch);
        enum err err = buf_reserve(scratch, content.text.len);
        if (err)
            return ERR_NOMEM;
        uint8_t *to = json_text_unescape(content.text, scratch->data);
        scratch->len = (size_t)(to - scratch->data);
        content.partial = scratch->len == 0 || scratch->data[scratch->len - 1] != '\n';
        scratch->len -= content.partial ? 0 : 1;
        content.text = buf_bytes(scratch);
    }
    *ret_content = content;
    return OK;
}

/* ---- JSON */

static unsigned severity_of_name(struct bytes name)
{
    static const struct {
        const char *name;
        unsigned severity;
    } known[] = {{"trace", 1},   {"debug", 5},  {"info", 9},       {"information", 9},
                 {"notice", 10}, {"warn", 13},  {"warning", 13},   {"error", 17},
                 {"err", 17},    {"fatal", 21}, {"crit", 21},      {"critical", 21},
                 {"panic", 21},  {"alert", 22}, {"emergency", 24}, {"emerg", 24}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (name.len == strlen(known[i].name) &&
            strncasecmp((const char *)name.data, known[i].name, name.len) == 0)
            return known[i].severity;
    return 0;
}

/* Digits before the point, and the point's place among them does not matter to us. */
static bool whole_number(struct bytes raw, uint64_t *ret_value)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < raw.len && raw.data[i] - (unsigned)'0' <= 9; i++) {
        if (value > UINT64_MAX / 100)
            return false;
        value = value * 10 + (raw.data[i] - (unsigned)'0');
    }
    *ret_value = value;
    return i > 0 && (i == raw.len || raw.data[i] == '.');
}

/* pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal. */
static unsigned severity_of_number(struct bytes raw)
{
    uint64_t level;

    if (!whole_number(raw, &level) || level < 10 || level > 60 || level % 10 != 0)
        return 0;
    return (unsigned)(level / 10 - 1) * 4 + 1;
}

/* Seconds since 1970 with a fraction, or milli-, micro- or nanoseconds: told apart by size. */
static uint64_t time_of_number(struct bytes raw)
{
    uint64_t value, unit = SECOND_NS / 10, fraction = 0;

    if (!whole_number(raw, &value))
        return 0;
    if (value >= UINT64_C(100000000000000000))
        return value <= INT64_MAX ? value : 0;
    if (value >= UINT64_C(100000000000000))
        return value * 1000;
    if (value >= UINT64_C(100000000000))
        return value * 1000000;
    if (value > INT64_MAX / SECOND_NS)
        return 0;
    const uint8_t *point = memchr(raw.data, '.', raw.len), *end = raw.data + raw.len;
    for (point = point == NULL ? end : point + 1; point < end && *point - (unsigned)'0' <= 9;
         point++, unit /= 10)
        fraction += (*point - (unsigned)'0') * unit;
    return value * SECOND_NS + fraction;
}

static bool read_time(struct json_text *text, uint64_t *time_ns)
{
    struct json_string string;
    struct json_number number;
    uint64_t found = 0;

    if (json_text_peek(text) == '"') {
        if (json_text_string(text, &string) != NULL)
            return false;
        if (!time_of_string(string.raw, &found))
            found = 0;
    } else if (json_text_number(text, &number) == NULL) {
        found = time_of_number(number.raw);
    } else {
        return false;
    }
    *time_ns = *time_ns != 0 ? *time_ns : found;
    return true;
}

static bool read_severity(struct json_text *text, unsigned *severity)
{
    struct json_string string;
    struct json_number number;
    unsigned found;

    if (json_text_peek(text) == '"') {
        if (json_text_string(text, &string) != NULL)
            return false;
        found = severity_of_name(string.raw);
    } else if (json_text_number(text, &number) == NULL) {
        found = severity_of_number(number.raw);
    } else {
        return false;
    }
    *severity = *severity != 0 ? *severity : found;
    return true;
}

bool content_of_json(struct bytes line, struct content *ret_content)
{
    static const char *const times[] = {"time", "timestamp", "@timestamp", "ts", NULL};
    static const char *const levels[] = {"level", "severity", "lvl", "log.level", NULL};
    struct json_text text = {line.data, line.data + line.len};
    struct content content = {.text = line};
    struct json_string key;

    if (line.len == 0 || !json_text_take(&text, '{'))
        return false;
    for (bool first = true; !json_text_take(&text, '}'); first = false) {
        if (!next_member(&text, first, &key))
            return false;
        uint8_t next = json_text_peek(&text);
        bool scalar = next == '"' || next == '-' || next - (unsigned)'0' <= 9;
        bool ok = scalar && is_one_of(key.raw, times)    ? read_time(&text, &content.time_ns)
                  : scalar && is_one_of(key.raw, levels) ? read_severity(&text, &content.severity)
                                                         : json_text_skip(&text) == NULL;
        if (!ok)
            return false;
    }
    if (!is_at_end(&text))
        return false;
    *ret_content = content;
    return true;
}
