/* http2: what the sessions of a server share, and a trifle that the client shares too. Internal to
 * sidecar/net. */
#ifndef SIDECAR_NET_HTTP2_H
#define SIDECAR_NET_HTTP2_H

#include "common/attr.h"
#include "common/error.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

struct net_server;

NODISCARD enum err http2_prepare(struct net_server *server, struct error *error);
void http2_forget(struct net_server *server);

/* A header for nghttp2, which copies it, although its type is not const. */
static inline nghttp2_nv http2_field(const char *name, const char *value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
    };
}

#endif
