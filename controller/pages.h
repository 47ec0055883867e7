/* pages: what the operator serves on its port, for probes, scrapers and people.
 *
 *   /healthz      200 while the process runs
 *   /readyz       200 once the caches are complete, 503 before
 *   /metrics      Prometheus text
 *   /debug/state  JSON: who leads, and what was decided for each gateway
 */
#ifndef CONTROLLER_PAGES_H
#define CONTROLLER_PAGES_H

#include "common/http_server.h"
#include "common/json.h"
#include "controller/reconcile/board.h"

/* Called on the server's thread. */
struct pages {
    bool (*synced)(void *context);
    struct json *(*state)(void *context); /* the caller frees it */
    void *context;
};

struct pages_server;

/* `pages` is copied. */
NODISCARD enum err pages_open(const struct pages *pages, const char *listen,
                              struct pages_server **ret_server, struct error *error);
void pages_close(struct pages_server **server);

/* Adds "pipelines": [{key, gateways: [...]}]. */
void pages_put_pipelines(struct json *state, struct board *board);

#endif
