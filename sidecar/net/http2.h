/* http2: what the sessions of a server share. Internal to sidecar/net. */
#ifndef SIDECAR_NET_HTTP2_H
#define SIDECAR_NET_HTTP2_H

#include "common/attr.h"
#include "common/error.h"

struct net_server;

NODISCARD enum err http2_prepare(struct net_server *server, struct error *error);
void http2_forget(struct net_server *server);

#endif
