#include "controller/reconcile/topics.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/xalloc.h"
#include "controller/api/fingerprint.h"
#include "controller/reconcile/credentials.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/topics_job.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SOON_MS = 700 }; /* after a change, until all brokers know of it */

struct topics {
    struct topics_config config;
    struct workers *workers;
    pthread_mutex_t mutex; /* guards `wanted` */
    struct map wanted;     /* key -> char *: the version that was asked for last */
};

/* ---- asking */

/* What a look depends on: the document, and what the status says about having made topics. */
static void version_of(const struct subject *subject, const struct json *live, char *into,
                       size_t size)
{
    AUTO(json_free) struct json *seen = json_new_array();
    char hash[FINGERPRINT_SIZE];

    JSON_EACH(topic, json_at(live, "status.topics")) {
        json_add_string(seen, json_string(json_get(topic, "topic"), ""));
        json_add_string(seen, json_string(json_get(topic, "made"), ""));
    }
    fingerprint(seen, hash);
    snprintf(into, size, "%s %lld %s", subject->pipeline->uid,
             (long long)subject->pipeline->generation, hash);
}

void topics_want(struct topics *topics, const struct subject *subject, const struct json *live)
{
    char version[160];

    version_of(subject, live, version, sizeof version);
    pthread_mutex_lock(&topics->mutex);
    const char *before = map_get(&topics->wanted, subject->key);
    bool same = before != NULL && strcmp(before, version) == 0;
    if (!same)
        free(map_set(&topics->wanted, subject->key, xstrdup(version)));
    pthread_mutex_unlock(&topics->mutex);
    if (!same)
        workers_add(topics->workers, subject->key);
}

void topics_forget(struct topics *topics, const char *key)
{
    pthread_mutex_lock(&topics->mutex);
    free(map_remove(&topics->wanted, key));
    pthread_mutex_unlock(&topics->mutex);
    workers_drop(topics->workers, key);
    lags_forget(topics->config.lags, key);
}

/* ---- one look */

static struct json *read_status(const struct topics *topics, const struct pipeline *pipeline)
{
    struct object *object = NULL;

    if (store_get(topics->config.apply.store, &kind_pipelines, pipeline->namespace, pipeline->name,
                  &object) != OK)
        return NULL;
    AUTO(json_free) struct json *live = object_parse(object);
    object_unref(&object);
    return json_take(live, "status");
}

/* Registers the groups, which also is how rotated credentials reach the observer. */
static enum err watch_lag(struct topics *topics, const struct subject *subject,
                          const struct credentials *credentials, struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    const char *access_key = credentials_key(subject->pipeline, &arena);

    if (access_key == NULL)
        return error_set(error, ERR_NOMEM, "observe lag");
    return lags_want(topics->config.lags, subject->key, subject->pipeline, access_key,
                     &credentials->access, error);
}

static void read_unread(struct topics *topics, const struct subject *subject,
                        struct topics_job *job)
{
    const struct pipeline *pipeline = subject->pipeline;

    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        struct group_lag lag = {0};
        if (lags_read(topics->config.lags, subject->key, pipeline->gateways[i].group_id, &lag) ==
            OK)
            topics_job_set_unread(job, &pipeline->gateways[i], &lag);
    }
}

static enum err ask_kafka(struct topics *topics, const struct subject *subject,
                          const struct credentials *credentials, struct topics_job *job,
                          struct error *error)
{
    const struct pipeline *pipeline = subject->pipeline;
    AUTO(admin_release) struct admin *admin = NULL;
    struct admin_cluster cluster = {0};

    enum err err = admin_acquire(topics->config.pool, &credentials->access, &admin, error);
    if (err)
        return err;
    err = admin_describe_cluster(admin, TOPICS_TIMEOUT_MS, &cluster, error);
    if (err)
        return err;
    board_note_cluster(topics->config.board, &pipeline->kafka->bootstrap_servers, cluster.id);
    err = board_check_claims(topics->config.board, subject->key, error);
    if (err)
        return err;
    err = apply_allowed(&topics->config.apply, error);
    if (err)
        return err;
    return topics_job_run(job, admin, cluster.brokers, error);
}

static enum err look(struct topics *topics, const struct subject *subject, struct topics_job *job,
                     struct error *error)
{
    AUTO(credentials_free) struct credentials *credentials = NULL;

    enum err err =
        credentials_get(topics->config.apply.client, subject->pipeline, &credentials, error);
    if (err)
        return err;
    err = watch_lag(topics, subject, credentials, error);
    if (err)
        return err;

    const char *bootstrap = credentials->access.bootstrap;
    err = board_check_failure(topics->config.board, bootstrap, clock_mono_ms(), TOPICS_FAILED_MS,
                              error);
    if (err)
        return err;
    read_unread(topics, subject, job);
    err = ask_kafka(topics, subject, credentials, job, error);
    if (err == ERR_AGAIN)
        board_note_failure(topics->config.board, bootstrap, clock_mono_ms(), error->text);
    return err;
}

static struct work_result work(void *context, const char *key)
{
    struct topics *topics = context;
    AUTO(subject_unref) struct subject *subject = NULL;
    AUTO(topics_job_free) struct topics_job *job = NULL;
    struct error error = {0};

    if (board_subject(topics->config.board, key, &subject, NULL) != OK ||
        subject->pipeline->kafka == NULL)
        return (struct work_result){.verdict = WORK_DONE};
    AUTO(json_free) struct json *status = read_status(topics, subject->pipeline);
    enum err err =
        topics_job_create(subject->pipeline, status, topics->config.board, key, &job, &error);
    if (err)
        return (struct work_result){.verdict = WORK_RETRY};
    err = look(topics, subject, job, &error);
    if (err == ERR_CLOSED)
        return (struct work_result){.verdict = WORK_DONE};
    if (err) {
        LOG_WARN("Failed to look at topics", LOG_STR("pipeline", key),
                 LOG_STR("error", error.text));
        topics_job_fail(job, &error);
    }
    board_set_topics(topics->config.board, key, job->results, job->count);
    topics->config.on_news(topics->config.context, key);
    if (err)
        return (struct work_result){.verdict = WORK_LATER, .delay_ms = TOPICS_FAILED_MS};
    if (job->again)
        return (struct work_result){.verdict = WORK_LATER, .delay_ms = SOON_MS};
    return (struct work_result){.verdict = WORK_DONE};
}

/* ---- deleting */

static bool may_delete(const struct pipeline_topic *topic, const struct json *entry)
{
    return topic->deletion_policy == PIPELINE_DELETION_DELETE &&
           strcmp(json_string(json_get(entry, "topic"), ""), topic->topic) == 0 &&
           strcmp(json_string(json_get(entry, "made"), ""), "Created") == 0 &&
           json_string(json_get(entry, "topicID"), "")[0] != '\0';
}

enum err topics_delete_made(struct topics *topics, const struct pipeline *pipeline,
                            const struct json *status, size_t *ret_deleted, struct error *error)
{
    AUTO(credentials_free) struct credentials *credentials = NULL;
    AUTO(admin_release) struct admin *admin = NULL;
    size_t deleted = 0;

    enum err err = credentials_get(topics->config.apply.client, pipeline, &credentials, error);
    if (err)
        return err;
    err = admin_acquire(topics->config.pool, &credentials->access, &admin, error);
    for (size_t i = 0; i < pipeline->topic_count && err == OK; i++) {
        JSON_EACH(entry, json_get(status, "topics")) {
            if (err || !may_delete(&pipeline->topics[i], entry))
                continue;
            err = topics_delete(admin, pipeline->topics[i].topic,
                                json_string(json_get(entry, "topicID"), ""),
                                TOPICS_DELETE_TIMEOUT_MS, error);
            if (err == ERR_CONFLICT)
                err = OK; /* somebody else's by now */
            else if (err == OK)
                deleted++;
        }
    }
    if (err == OK)
        *ret_deleted = deleted;
    return err;
}

/* ---- life */

enum err topics_create(const struct topics_config *config, struct topics **ret_topics,
                       struct error *error)
{
    AUTO(topics_destroy) struct topics *topics = xcalloc(1, sizeof *topics);

    topics->config = *config;
    pthread_mutex_init(&topics->mutex, NULL);
    const struct workers_config workers = {.name = "topics",
                                           .threads = TOPICS_THREADS,
                                           .resync_ms = TOPICS_RESYNC_MS,
                                           .work = work,
                                           .context = topics};
    enum err err = workers_create(&workers, &topics->workers, error);
    if (err)
        return err;
    MOVE(*ret_topics, topics);
    return OK;
}

void topics_destroy(struct topics **topics)
{
    if (*topics == NULL)
        return;
    workers_destroy(&(*topics)->workers);
    for (struct map_entry *e = map_next(&(*topics)->wanted, NULL); e != NULL;
         e = map_next(&(*topics)->wanted, e))
        free(e->value);
    map_fini(&(*topics)->wanted);
    pthread_mutex_destroy(&(*topics)->mutex);
    free(*topics);
    *topics = NULL;
}

void topics_start(struct topics *topics)
{
    workers_start(topics->workers);
}

void topics_stop(struct topics *topics)
{
    workers_stop(topics->workers);
}
