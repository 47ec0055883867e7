#include "sidecar/otlp/json_text.h"

#include "common/utf8.h"

#include <endian.h>

#define EACH(byte) (UINT64_C(0x0101010101010101) * (uint64_t)(byte))

static const char ends_too_early[] = "the text ends too early";

uint8_t json_text_peek(struct json_text *text)
{
    while (text->at < text->end &&
           (*text->at == ' ' || *text->at == '\n' || *text->at == '\t' || *text->at == '\r'))
        text->at++;
    return text->at < text->end ? *text->at : 0;
}

bool json_text_take(struct json_text *text, uint8_t c)
{
    if (json_text_peek(text) != c)
        return false;
    text->at++;
    return true;
}

/* Bytes that end a run of plain characters: quotes, backslashes and controls have their high bit
 * set in the result. Bits above the lowest one that is set mean nothing. */
static uint64_t specials(uint64_t word)
{
    uint64_t quote = word ^ EACH('"'), backslash = word ^ EACH('\\');
    uint64_t high = ((word - EACH(0x20)) & ~word) | ((quote - EACH(1)) & ~quote) |
                    ((backslash - EACH(1)) & ~backslash);
    return high & EACH(0x80);
}

static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    uint64_t word;

    while (end - at >= 8) {
        memcpy(&word, at, 8);
        uint64_t found = specials(le64toh(word));
        if (found != 0)
            return at + __builtin_ctzll(found) / 8;
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* The value of a hexadecimal digit, or 16. */
static unsigned hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - (unsigned)'0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10 : 16;
}

/* The four digits behind \u, or -1. */
static int32_t hex_four(const uint8_t *at, const uint8_t *end)
{
    int32_t value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned digit = hex_digit(at[i]);
        if (digit > 15)
            return -1;
        value = value << 4 | (int32_t)digit;
    }
    return value;
}

const char *json_text_string(struct json_text *text, struct json_string *ret_string)
{
    struct json_string string = {0};

    if (!json_text_take(text, '"'))
        return "not a string";
    const uint8_t *start = text->at, *end = text->end;
    for (;;) {
        text->at = skip_plain(text->at, end);
        if (text->at == end)
            return "a string does not end";
        if (*text->at == '"')
            break;
        if (*text->at != '\\')
            return "a control character in a string";
        string.escaped = true;
        if (end - text->at < 2)
            return "a string does not end";
        if (text->at[1] == 'u') {
            if (hex_four(text->at + 2, end) < 0)
                return "a broken \\u escape";
            text->at += 6;
        } else if (text->at[1] != 0 && strchr("\"\\/bfnrt", text->at[1]) != NULL) {
            text->at += 2;
        } else {
            return "an escape that JSON does not have";
        }
    }
    string.raw = (struct bytes){start, (size_t)(text->at - start)};
    text->at++;
    *ret_string = string;
    return NULL;
}

/* Reads \uXXXX, and the other half of a pair if it follows. */
static const uint8_t *unescape_unicode(const uint8_t *at, const uint8_t *end, uint8_t **to)
{
    uint32_t point = (uint32_t)hex_four(at + 2, end);

    at += 6;
    if (point >= 0xd800 && point <= 0xdbff && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        uint32_t low = (uint32_t)hex_four(at + 2, end);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *to = utf8_put(*to, 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00));
            return at + 6;
        }
    }
    *to = utf8_put(*to, point >= 0xd800 && point <= 0xdfff ? 0xfffd : point);
    return at;
}

uint8_t *json_text_unescape(struct bytes raw, uint8_t *to)
{
    static const char letters[] = "bfnrt", meanings[] = "\b\f\n\r\t";
    const uint8_t *at = raw.data, *end = at + raw.len;

    while (at < end) {
        const uint8_t *plain = skip_plain(at, end);
        memcpy(to, at, (size_t)(plain - at));
        to += plain - at;
        at = plain;
        if (at == end)
            break;
        if (at[1] == 'u') {
            at = unescape_unicode(at, end, &to);
            continue;
        }
        const char *letter = strchr(letters, at[1]);
        *to++ = letter != NULL ? (uint8_t)meanings[letter - letters] : at[1];
        at += 2;
    }
    return to;
}

static bool skip_digits(struct json_text *text)
{
    const uint8_t *from = text->at;

    while (text->at < text->end && *text->at >= '0' && *text->at <= '9')
        text->at++;
    return text->at > from;
}

static bool skip_one_of(struct json_text *text, uint8_t a, uint8_t b)
{
    if (text->at == text->end || (*text->at != a && *text->at != b))
        return false;
    text->at++;
    return true;
}

const char *json_text_number(struct json_text *text, struct json_number *ret_number)
{
    struct json_number number = {.whole = true};
    static const char bad[] = "not a number";

    json_text_peek(text);
    const uint8_t *start = text->at;
    skip_one_of(text, '-', '-');
    if (!skip_one_of(text, '0', '0') && !skip_digits(text))
        return bad;
    if (skip_one_of(text, '.', '.')) {
        number.whole = false;
        if (!skip_digits(text))
            return bad;
    }
    if (skip_one_of(text, 'e', 'E')) {
        number.whole = false;
        skip_one_of(text, '+', '-');
        if (!skip_digits(text))
            return bad;
    }
    number.raw = (struct bytes){start, (size_t)(text->at - start)};
    *ret_number = number;
    return NULL;
}

bool json_text_literal(struct json_text *text, const char *literal)
{
    size_t len = strlen(literal);

    json_text_peek(text);
    if ((size_t)(text->end - text->at) < len || memcmp(text->at, literal, len) != 0)
        return false;
    text->at += len;
    return true;
}

static const char *skip_scalar(struct json_text *text)
{
    struct json_string string;
    struct json_number number;

    switch (json_text_peek(text)) {
    case 0:
        return ends_too_early;
    case '"':
        return json_text_string(text, &string);
    case 't':
        return json_text_literal(text, "true") ? NULL : "not a value";
    case 'f':
        return json_text_literal(text, "false") ? NULL : "not a value";
    case 'n':
        return json_text_literal(text, "null") ? NULL : "not a value";
    default:
        return json_text_number(text, &number) == NULL ? NULL : "not a value";
    }
}

static const char *skip_key(struct json_text *text)
{
    struct json_string key;
    const char *fault = json_text_string(text, &key);

    if (fault != NULL)
        return fault;
    return json_text_take(text, ':') ? NULL : "a colon is missing";
}

/* After a value: closes what ends here, or moves to the next value. Returns with depth 0 when all
 * is closed. */
static const char *after_value(struct json_text *text, const uint8_t *closers, unsigned *depth)
{
    while (*depth > 0) {
        if (json_text_take(text, ','))
            return closers[*depth - 1] == '}' ? skip_key(text) : NULL;
        if (!json_text_take(text, closers[*depth - 1]))
            return text->at == text->end ? ends_too_early : "a comma or a bracket is missing";
        --*depth;
    }
    return NULL;
}

const char *json_text_skip(struct json_text *text)
{
    uint8_t closers[JSON_TEXT_SKIP_DEPTH_MAX];
    unsigned depth = 0;

    do {
        uint8_t first = json_text_peek(text);
        const char *fault = NULL;
        if (first == '{' || first == '[') {
            text->at++;
            if (depth == JSON_TEXT_SKIP_DEPTH_MAX)
                return "nested too deep";
            closers[depth++] = first == '{' ? '}' : ']';
            if (!json_text_take(text, closers[depth - 1])) {
                fault = first == '{' ? skip_key(text) : NULL;
                if (fault != NULL)
                    return fault;
                continue;
            }
            depth--;
        } else {
            fault = skip_scalar(text);
        }
        if (fault == NULL)
            fault = after_value(text, closers, &depth);
        if (fault != NULL)
            return fault;
    } while (depth > 0);
    return NULL;
}
