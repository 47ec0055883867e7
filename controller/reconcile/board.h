/* board: what the operator knows of each pipeline beside the objects in the cache: the document as
 * read, the claims, what Kafka said about its topics, and what scaling decided.
 *
 *   watch  --board_put-->          subject, claims
 *   topics --board_set_topics-->   results        read by reconcile, which alone writes to the
 *   scale  --board_set_gateway-->  decision       API server
 *
 * A subject is a document that was read and found sound: immutable, counted, shared by all threads.
 * Everything else is copied in and out under one mutex, which is never held during a call to
 * anybody.
 *
 * Thread: any.
 */
#ifndef CONTROLLER_RECONCILE_BOARD_H
#define CONTROLLER_RECONCILE_BOARD_H

#include "common/kube/object.h"
#include "controller/api/status.h"
#include "controller/kafka_admin/observer.h"
#include "controller/kafka_admin/topic_plan.h"
#include "controller/scaling/scaling.h"

struct board;

struct board *board_create(void);
void board_destroy(struct board **board);

/* ---- documents */

#define BOARD_KEY_MAX 320 /* namespace/name */

/* "namespace/name"; returns `into`. */
const char *board_key(const char *namespace, const char *name, char into[BOARD_KEY_MAX]);

struct subject {
    struct pipeline *pipeline; /* nobody changes it */
    char key[BOARD_KEY_MAX];
    _Atomic unsigned refs; /* subject_unref() only */
};
void subject_unref(struct subject **subject);

/* Reads the pipeline's document, unless that version was read before. Whether its spec is another
 * than before. */
bool board_put(struct board *board, const struct object *pipeline);
void board_drop(struct board *board, const char *key);

/* A reference of one's own. ERR_INVALID: the document has faults, `error` names them. ERR_NOTFOUND.
 */
NODISCARD enum err board_subject(struct board *board, const char *key, struct subject **ret_subject,
                                 struct error *error);

/* All keys whose document is sound, each xstrdup()ed; the caller frees them and the array. */
char **board_keys(struct board *board, size_t *ret_count);

/* ---- claims: see claims.h */

NODISCARD enum err board_check_claims(struct board *board, const char *key, struct error *error);
void board_note_cluster(struct board *board, const struct pipeline_strings *bootstrap,
                        const char *cluster_id);

/* Kafka at these addresses didn't answer just now: so that many pipelines don't all wait for it.
 * ERR_AGAIN with what was noted, if that is younger than `max_age_ms`; else OK. */
void board_note_failure(struct board *board, const char *bootstrap, uint64_t now_ms,
                        const char *sentence);
NODISCARD enum err board_check_failure(struct board *board, const char *bootstrap, uint64_t now_ms,
                                       uint64_t max_age_ms, struct error *error);

/* ---- topics */

#define TOPIC_RESULT_MAX (TOPIC_MESSAGE_MAX + TOPIC_NAME_MAX + 16)

struct topic_result {
    char topic[TOPIC_NAME_MAX + 1];
    const char *state; /* a literal */
    bool usable, settled;
    enum topic_made made;
    char topic_id[TOPIC_ID_SIZE];
    uint32_t partitions, replication_factor;
    char message[TOPIC_RESULT_MAX]; /* "Topic NAME ..." */
};

/* Replaces what was known; copies. */
void board_set_topics(struct board *board, const char *key, const struct topic_result *results,
                      size_t count);

/* ERR_NOTFOUND: not looked at since the operator started. */
NODISCARD enum err board_topic(struct board *board, const char *key, const char *topic,
                               struct topic_result *ret_result);

/* ---- gateways */

struct gateway_runtime {
    bool decided;
    struct scaling_memory memory;
    struct scaling_decision decision;
    bool lag_read;
    struct group_lag lag;
};

/* Zeroes where nothing is known. */
void board_gateway(struct board *board, const char *key, const char *gateway,
                   struct gateway_runtime *ret_runtime);
void board_set_gateway(struct board *board, const char *key, const char *gateway,
                       const struct gateway_runtime *runtime);

/* ---- calm: when the status was last written, monotonic ms; 0: never */

uint64_t board_written(struct board *board, const char *key);
void board_set_written(struct board *board, const char *key, uint64_t now_ms);

/* The reason that was last told in an Event; whether `reason` is another. Remembers it. */
bool board_reason_changed(struct board *board, const char *key, const char *reason);

#endif
