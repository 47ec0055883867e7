/* endpoint: where to connect, from "host:port" or a URL. IPv6 addresses are written in brackets, as
 * in [::1]:4317, and come out without them.
 */
#ifndef COMMON_CONTRACT_ENDPOINT_H
#define COMMON_CONTRACT_ENDPOINT_H

#include "common/attr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define ENDPOINT_HOST_MAX 253
#define ENDPOINT_PATH_MAX 1024

struct endpoint {
    char host[ENDPOINT_HOST_MAX + 1];
    uint16_t port;
    bool tls;                         /* https; false for host:port */
    char path[ENDPOINT_PATH_MAX + 1]; /* "" or "/base" without a slash at its end */
};

/* "host:port". ERR_INVALID with what is wrong ("has no port"), without repeating the text. */
NODISCARD enum err endpoint_parse_address(const char *text, struct endpoint *ret_endpoint,
                                          struct error *error);

/* "http(s)://host[:port][/base]"; the port defaults to 80 or 443. No user, query or fragment: a
 * password in a URL would end up in logs. */
NODISCARD enum err endpoint_parse_url(const char *text, struct endpoint *ret_endpoint,
                                      struct error *error);

#endif
