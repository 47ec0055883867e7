/* json_value: what OTLP/JSON writes into strings and numbers, as the bits that protobuf wants.
 *
 * `text` is a number's or string's characters, escapes undone. NULL is success, else a sentence's
 * end. Pure.
 */
#ifndef SIDECAR_OTLP_JSON_VALUE_H
#define SIDECAR_OTLP_JSON_VALUE_H

#include "common/bytes.h"

#define JSON_VALUE_DOUBLE_MAX 256 /* characters of a double */

/* A whole number from `min` to `max`: "-12", and also "1.0", "1e3". */
const char *json_value_int(struct bytes text, int64_t min, int64_t max, int64_t *ret_value);
const char *json_value_uint(struct bytes text, uint64_t max, uint64_t *ret_value);

/* A number, or "NaN", "Infinity", "-Infinity". */
const char *json_value_double(struct bytes text, double *ret_value);

/* Both write at most text.len bytes to `to`, which may be the text itself, and give their end. */
const char *json_value_hex(struct bytes text, uint8_t *to, uint8_t **ret_end);
const char *json_value_base64(struct bytes text, uint8_t *to, uint8_t **ret_end);

#endif
