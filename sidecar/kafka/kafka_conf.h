/* kafka_conf: what we know about a Kafka cluster -> librdkafka's configuration. The one place where
 * names of librdkafka properties are written, and where its log and error callbacks end.
 *
 * Thread: kafka_conf_make() any; struct kafka_health any.
 */
#ifndef SIDECAR_KAFKA_KAFKA_CONF_H
#define SIDECAR_KAFKA_KAFKA_CONF_H

#include "common/attr.h"
#include "common/error.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kafka_property {
    const char *name, *value;
};

/* How to reach a cluster. Text is a loan for the call. Files are read when a client is made: one
 * that was made later knows what is in them then, see kafka_access_stamp(). */
struct kafka_access {
    const char *bootstrap_servers; /* "host:port,host:port" */
    const char *client_id;
    bool tls;
    const char *ca_file, *certificate_file, *key_file; /* NULL: none; the system's CAs */
    bool insecure_skip_verify;
    const char
        *sasl_mechanism; /* PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER; NULL: no SASL */
    const char *user_file, *password_file;    /* OAUTHBEARER: the client's id and secret */
    const char *token_endpoint, *token_scope; /* OAUTHBEARER; no scope: NULL */
    const struct kafka_property *properties;  /* the user's, from the allow-list; applied last */
    size_t properties_len;
};

/* What a client last complained about; filled by its callbacks, read for state and conditions. */
struct kafka_health {
    pthread_mutex_t lock;
    char text[256];    /* "" while all is well */
    unsigned weight;   /* of the text, see kafka_conf.c */
    uint64_t said_ms;  /* wall clock of the text */
    uint64_t since_ms; /* wall clock of the first complaint since the last success */
    uint64_t errors;
    bool fatal; /* the client must be replaced */
};

void kafka_health_init(struct kafka_health *health);
void kafka_health_fini(struct kafka_health *health);
void kafka_health_ok(struct kafka_health *health); /* Kafka has answered something that counts */
void kafka_health_read(struct kafka_health *health, char *text, size_t size,
                       uint64_t *ret_since_ms);

/* Base configuration plus `extra` (ours, applied before the user's properties). `health` becomes
 * the client's opaque and must outlive it. ERR_INVALID names the property that was refused;
 * ERR_NOTFOUND, ERR_IO and the like a file of a secret. */
NODISCARD enum err kafka_conf_make(const struct kafka_access *access,
                                   const struct kafka_property *extra, size_t extra_len,
                                   struct kafka_health *health, rd_kafka_conf_t **ret_conf,
                                   struct error *error);

/* Once for each client that was made: lets librdkafka fetch tokens on a thread of its own. */
void kafka_conf_start(rd_kafka_t *client, const struct kafka_access *access);

/* Reads user and password again, for connections to come. ERR_NOTFOUND: the client has none, only
 * what is read when a client is made (certificates, OAUTHBEARER). */
NODISCARD enum err kafka_conf_login_again(rd_kafka_t *client, const struct kafka_access *access,
                                          struct error *error);

/* What to do about a failed delivery or request. */
enum kafka_verdict {
    KAFKA_RETRY,     /* transient or somebody's to mend: again, with a wait */
    KAFKA_TOO_LARGE, /* smaller, or to the dead letters */
    KAFKA_REFUSED,   /* this record will never be taken */
    KAFKA_FATAL,     /* the client is dead: a new one */
};
enum kafka_verdict kafka_judge(rd_kafka_resp_err_t code);

#endif
