/* topics_job: one look at the topics of one pipeline, and what follows from it. Internal to
 * topics.c.
 */
#ifndef CONTROLLER_RECONCILE_TOPICS_JOB_H
#define CONTROLLER_RECONCILE_TOPICS_JOB_H

#include "common/arena.h"
#include "controller/kafka_admin/topics.h"
#include "controller/reconcile/gather.h"

struct topics_job {
    const struct pipeline *pipeline;
    size_t count;
    struct topic_use uses[STATUS_TOPICS_MAX];
    struct topic_wanted wanted[STATUS_TOPICS_MAX];
    struct topic_result results[STATUS_TOPICS_MAX]; /* before: what was known; after: what is */
    bool again;                                     /* something was done: look at it soon */
    struct arena arena;
};

/* What the pipeline wants of Kafka, with what is remembered of each topic: by the board if it has
 * been looked at, else by `status`. Whether a topic may be made is decided by `status` alone, which
 * has to say Intended before. */
NODISCARD enum err topics_job_create(const struct pipeline *pipeline, const struct json *status,
                                     struct board *board, const char *key,
                                     struct topics_job **ret_job, struct error *error);
void topics_job_free(struct topics_job **job);

/* What readers still have to read; the same for all topics that a gateway reads. */
void topics_job_set_unread(struct topics_job *job, const struct pipeline_gateway *gateway,
                           const struct group_lag *lag);

/* Describes, plans, applies unless the pipeline is paused, and leaves the results. ERR_AGAIN,
 * ERR_INVALID: Kafka couldn't be asked; the results say so. */
NODISCARD enum err topics_job_run(struct topics_job *job, struct admin *admin, uint32_t brokers,
                                  struct error *error);

/* Nothing could be asked, because of `error`: each result says so. */
void topics_job_fail(struct topics_job *job, const struct error *error);

#endif
