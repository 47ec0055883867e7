#include "controller/reconcile/finalize.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "common/rfc3339.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/topics.h"

/* ---- the finalizer itself */

static bool has_finalizer(const struct json *live)
{
    JSON_EACH(finalizer, json_at(live, "metadata.finalizers")) {
        if (strcmp(json_string(finalizer, ""), NAMES_FINALIZER) == 0)
            return true;
    }
    return false;
}

static bool needs_finalizer(const struct pipeline *pipeline)
{
    for (size_t i = 0; i < pipeline->topic_count; i++) {
        if (pipeline->topics[i].deletion_policy == PIPELINE_DELETION_DELETE)
            return true;
    }
    return false;
}

/* Writes the list as a whole, over the version that was read, so that nobody else's is lost. */
static enum err write_finalizer(const struct reconcile *reconcile, const struct json *live,
                                bool wanted, struct error *error)
{
    AUTO(json_free) struct json *patch = json_new_object();
    struct json *metadata = json_set_object(patch, "metadata");
    struct json *list = json_set_array(metadata, "finalizers");

    json_set_string(metadata, "resourceVersion", object_resource_version(live));
    JSON_EACH(finalizer, json_at(live, "metadata.finalizers")) {
        if (strcmp(json_string(finalizer, ""), NAMES_FINALIZER) != 0)
            json_add_string(list, json_string(finalizer, ""));
    }
    if (wanted)
        json_add_string(list, NAMES_FINALIZER);
    enum err err = apply_allowed(&reconcile->apply, error);
    if (err)
        return err;
    return kube_merge_patch(reconcile->apply.client, &kind_pipelines, object_namespace(live),
                            object_name(live), NULL, patch, NAMES_FIELD_MANAGER, NULL, error);
}

enum err finalize_prepare(const struct reconcile *reconcile, const struct subject *subject,
                          const struct json *live, struct error *error)
{
    bool wanted = needs_finalizer(subject->pipeline);

    if (wanted == has_finalizer(live))
        return OK;
    enum err err = write_finalizer(reconcile, live, wanted, error);
    if (err)
        return err;
    /* The next round has the version that this one made. */
    return error_set(error, ERR_CONFLICT, "the finalizer was written just now");
}

/* ---- the end */

static bool out_of_patience(const struct json *live)
{
    const char *since = json_string(json_at(live, "metadata.deletionTimestamp"), "");
    uint64_t since_ns = 0, now_ns = clock_wall_ns();

    return rfc3339_parse(since, &since_ns) && now_ns > since_ns &&
           (now_ns - since_ns) / 1000000 > FINALIZE_PATIENCE_MS;
}

bool finalize_namespace_is_going(const struct reconcile *reconcile, const char *namespace)
{
    AUTO(json_free) struct json *object = NULL;

    enum err err =
        kube_get(reconcile->apply.client, &kube_namespaces, NULL, namespace, &object, NULL);
    return err == ERR_NOTFOUND || (err == OK && object_is_deleting(object));
}

/* The document as it is now, or as it was when it was last sound. */
static enum err delete_topics(const struct reconcile *reconcile, const char *key,
                              const struct json *live, size_t *ret_deleted, struct error *error)
{
    AUTO(subject_unref) struct subject *subject = NULL;

    enum err err = board_subject(reconcile->board, key, &subject, error);
    if (err)
        return err;
    /* What another pipeline claims is not ours to delete. */
    err = board_check_claims(reconcile->board, key, error);
    if (err)
        return err;
    return topics_delete_made(reconcile->topics, subject->pipeline, json_get(live, "status"),
                              ret_deleted, error);
}

static struct work_result let_go(const struct reconcile *reconcile, const char *key,
                                 const struct json *live)
{
    struct error error = {0};

    enum err err = write_finalizer(reconcile, live, false, &error);
    if (err == OK || err == ERR_NOTFOUND || err == ERR_CLOSED)
        return (struct work_result){.verdict = WORK_DONE};
    LOG_WARN("Failed to remove finalizer", LOG_STR("pipeline", key), LOG_STR("error", error.text));
    return (struct work_result){.verdict = WORK_RETRY};
}

struct work_result finalize(const struct reconcile *reconcile, const char *key,
                            const struct json *live)
{
    struct error error = {0};
    size_t deleted = 0, topics = 0;

    topics_forget(reconcile->topics, key);
    if (!has_finalizer(live))
        return (struct work_result){.verdict = WORK_DONE};

    /* First those who write to the topics and would make them again. */
    enum err err = apply_prune(&reconcile->apply, object_uid(live), NULL, &deleted, &error);
    if (err == OK && deleted > 0)
        return (struct work_result){.verdict = WORK_LATER, .delay_ms = FINALIZE_RETRY_MS};
    if (err == OK)
        err = delete_topics(reconcile, key, live, &topics, &error);
    if (err == ERR_CLOSED)
        return (struct work_result){.verdict = WORK_DONE};
    if (err == OK) {
        LOG_INFO("Deleted topics", LOG_STR("pipeline", key), LOG_U64("topics", topics));
        return let_go(reconcile, key, live);
    }
    if (!out_of_patience(live) && !finalize_namespace_is_going(reconcile, object_namespace(live))) {
        LOG_WARN("Failed to delete topics", LOG_STR("pipeline", key), LOG_STR("error", error.text));
        return (struct work_result){.verdict = WORK_LATER, .delay_ms = FINALIZE_RETRY_MS};
    }
    event_record(reconcile->events, live, EVENT_WARNING, "TopicsKept", "Delete",
                 "Its topics are kept, for they couldn't be deleted: %s. Delete them by hand",
                 error.text);
    return let_go(reconcile, key, live);
}
