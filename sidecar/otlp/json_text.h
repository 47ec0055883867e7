/* json_text: JSON's tokens, one at a time, out of text that is UTF-8 already. No memory of its own.
 *
 * Every reader takes the text that is left and moves it forward past what it read; NULL is success,
 * otherwise it is a sentence's end ("a string does not end"), and `at` stands at the fault.
 */
#ifndef SIDECAR_OTLP_JSON_TEXT_H
#define SIDECAR_OTLP_JSON_TEXT_H

#include "common/buf.h"
#include "common/bytes.h"

#define JSON_TEXT_SKIP_DEPTH_MAX 256 /* of values that are skipped */

struct json_text {
    const uint8_t *at, *end;
};

struct json_string {
    struct bytes raw; /* between the quotes */
    bool escaped;     /* raw holds escapes */
};

struct json_number {
    struct bytes raw;
    bool whole; /* digits and a sign only */
};

/* The next character that is not a blank, or 0 at the end; stays there. */
uint8_t json_text_peek(struct json_text *text);

/* Moves over `c` if it is next, behind blanks. */
bool json_text_take(struct json_text *text, uint8_t c);

const char *json_text_string(struct json_text *text, struct json_string *ret_string);
const char *json_text_number(struct json_text *text, struct json_number *ret_number);

/* "true", "false" or "null", whole. */
bool json_text_literal(struct json_text *text, const char *literal);

/* Any value, checked as JSON; nesting is bounded. */
const char *json_text_skip(struct json_text *text);

/* Undoes escapes, writing at most raw.len bytes to `to`, and returns the end. Half of a surrogate
 * pair becomes U+FFFD. The string is one that json_text_string() has accepted. */
uint8_t *json_text_unescape(struct bytes raw, uint8_t *to);

#endif
