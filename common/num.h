/* Strict reading of numbers and addresses from text, where the whole text must be the thing; and
 * numbers as text, for where many are written: printf takes ten times as long. */
#ifndef COMMON_NUM_H
#define COMMON_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, up to `max`. */
bool num_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* "ADDR:PORT", "[v6]:PORT" or ":PORT". The address goes to `host` ("" when left out). */
bool num_parse_address(const char *text, char *host, size_t host_size, uint16_t *ret_port);

/* Write without a NUL and return the end. Decimal, with zeros in front up to `width` digits; a sign
 * where it is negative; hexadecimal in lower case, with exactly so many digits. */
#define NUM_MAX 21 /* bytes of the longest, if no width asks for more */
char *num_put_u64(char *into, uint64_t value, unsigned width);
char *num_put_i64(char *into, int64_t value);
char *num_put_hex(char *into, uint64_t value, unsigned digits);

#endif
