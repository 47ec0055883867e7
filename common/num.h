/* Strict reading of numbers and addresses from text: the whole text must be the thing. */
#ifndef COMMON_NUM_H
#define COMMON_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only, up to `max`. */
bool num_parse_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* "ADDR:PORT", "[v6]:PORT" or ":PORT". The address goes to `host` ("" when left out). */
bool num_parse_address(const char *text, char *host, size_t host_size, uint16_t *ret_port);

#endif
