/* admin: the controller's clients to Kafka, one for each (addresses, credentials), shared.
 *
 * A client is opened by the first admin_acquire() of its access, counted, and closed when it has
 * been unused for ADMIN_IDLE_MS or when room is needed for another one: at most `clients_max` are
 * open, whatever the number of clusters and credentials, since each costs threads and memory. These
 * are the operator's own connections: a pipeline's `properties` never reach them.
 *
 * Calls block until their deadline and are meant for worker threads. What they return:
 *
 *   ERR_AGAIN     unreachable, timed out, no leader or coordinator just now: retry with backoff
 *   ERR_INVALID   Kafka refused: credentials, rights, or the request itself, as the sentence says
 *   ERR_NOTFOUND  no such topic or group
 *   ERR_CONFLICT  it exists already, or is in use
 *
 * Thread: any; a client may be used by several threads at a time.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_ADMIN_H
#define CONTROLLER_KAFKA_ADMIN_ADMIN_H

#include "common/attr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADMIN_IDLE_MS         60000u
#define ADMIN_CLIENTS_MAX     32u /* a sensible clients_max */
#define ADMIN_CLUSTER_ID_MAX  64
#define ADMIN_ACCESS_SIZE_MAX (256u << 10) /* all strings of an access together */

struct kafka_tls {
    bool enabled;
    const char *ca_pem; /* NULL: the system's */
    const char *certificate_pem, *key_pem;
    bool insecure_skip_verify;
};

struct kafka_sasl {
    const char *mechanism; /* PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; NULL: none */
    const char *username, *password;
    const char *token_endpoint, *client_id, *client_secret, *scope; /* OAUTHBEARER */
};

/* Strings are loans; the pool copies what it keeps and wipes it when a client is closed. */
struct kafka_access {
    const char *bootstrap; /* host:port, comma-separated */
    struct kafka_tls tls;
    struct kafka_sasl sasl;
};

struct admin_pool;
struct admin;

NODISCARD enum err admin_pool_create(uint32_t clients_max, struct admin_pool **ret_pool,
                                     struct error *error);

/* Closes all clients; none may be in use. */
void admin_pool_destroy(struct admin_pool **pool);

/* Closes the clients that have been idle too long; call it now and then. */
void admin_pool_sweep(struct admin_pool *pool);

/* Clients open now, and for how long nobody has used the idle ones does not matter. */
uint32_t admin_pool_open_count(struct admin_pool *pool);

/* A client for `access`; no connection is waited for. ERR_FULL: clients_max are in use, try later.
 * ERR_INVALID: the access itself is wrong, with the reason. */
NODISCARD enum err admin_acquire(struct admin_pool *pool, const struct kafka_access *access,
                                 struct admin **ret_admin, struct error *error);
void admin_release(struct admin **admin);

struct admin_cluster {
    char id[ADMIN_CLUSTER_ID_MAX];
    uint32_t brokers;
};

/* Asks who is there; the check that addresses and credentials are right. */
NODISCARD enum err admin_describe_cluster(struct admin *admin, uint32_t timeout_ms,
                                          struct admin_cluster *ret_cluster, struct error *error);

#endif
