/* routes: which topic a request is for, where an edge has routes of its own.
 *
 *   request --routes_split--> one request for each topic --spool_append, cuts--> spool
 *                                                              producer <--tag-----'
 *
 * The spool has one lane for each signal. An entry's tag (struct spool_request) says for which of
 * the signal's topics it is: 0 the default one, else the tag of the topic's name in the document.
 * A tag depends on the name alone, so that what is spooled finds its way after the document has
 * changed; one that no topic has any more means the default.
 *
 * Routes are asked in their order; the first that is true decides. A route is about the signal of
 * its topic. Items of one request that go different ways are cut apart, each part under its
 * resource and scope, in the old order.
 */
#ifndef SIDECAR_EDGE_ROUTES_H
#define SIDECAR_EDGE_ROUTES_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/spool/spool.h"

/* What entries for `topic` are marked with; 0 for NULL and for the default of its signal. */
uint32_t routes_tag(const struct pipeline *pipeline, const struct pipeline_topic *topic);

/* ---- which items go where; a struct routes belongs to one thread at a time */

struct routes;

/* Compiles the routes of the edge; nothing of the document is kept. ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err routes_create(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                                 struct routes **ret_routes, struct error *error);
void routes_destroy(struct routes **routes);

/* Whether any route is about the signal. */
bool routes_concern(const struct routes *routes, enum signal signal);

/* One request for each topic, behind one another; valid until the next call, or as long as the
 * request that all of it is. */
struct routed {
    struct bytes bytes;
    const struct spool_cut *cuts; /* which bytes are for which topic; at least one */
    size_t cut_count;
};

/* Cuts a request, as otlp_walk() accepts it, with `items` items, into one for each topic, in the
 * order of their first items. One that goes one way is handed on itself. Memory is at most
 * `size_max` bytes and a byte for each item. ERR_FULL: the result is larger than that. ERR_NOMEM.
 */
NODISCARD enum err routes_split(struct routes *routes, enum signal signal, struct bytes request,
                                uint32_t items, size_t size_max, struct routed *ret_routed,
                                struct error *error);

/* Gives back what one large request took. */
void routes_release(struct routes *routes);

#endif
