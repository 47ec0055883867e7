#include "controller/reconcile/publish.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/metrics.h"
#include "controller/reconcile/kinds.h"

/* A manager of its own: spec and status of one object are two applications. */
#define STATUS_MANAGER NAMES_FIELD_MANAGER "-status"

static const struct metric_desc writes_desc = {
    .name = "surgetank_status_writes_total",
    .kind = METRIC_COUNTER,
    .help = "Status writes by what made them due: a change, or the minute.",
    .labels = {"cause"}};

static enum err write_status(const struct apply *apply, const struct json *live,
                             const struct json *status, struct error *error)
{
    const struct kube_apply how = {
        .field_manager = STATUS_MANAGER, .subresource = "status", .force = true};
    AUTO(json_free)
    struct json *body = object_new(&kind_pipelines, object_namespace(live), object_name(live));
    AUTO(json_free) struct json *written = NULL;
    struct object *object = NULL;
    struct json *copy = json_clone(status);

    json_set(body, "status", &copy);
    json_set_string(json_get(body, "metadata"), "resourceVersion", object_resource_version(live));
    enum err err = apply_allowed(apply, error);
    if (err)
        return err;
    err = kube_apply(apply->client, &kind_pipelines, body, &how, &written, error);
    if (err)
        return error_prefix(error, err, "write status");
    if (object_create(written, &object, NULL) == OK)
        store_note_write(apply->store, &kind_pipelines, object, object_resource_version(live));
    object_unref(&object);
    return OK;
}

enum err publish_status(const struct apply *apply, struct board *board, const char *key,
                        const struct json *live, const struct json *status, uint64_t *ret_later_ms,
                        struct error *error)
{
    enum status_verdict verdict = status_judge(json_get(live, "status"), status);
    uint64_t now_ms = clock_mono_ms(), written_ms = board_written(board, key);
    uint64_t age_ms = now_ms - written_ms;

    *ret_later_ms = 0;
    if (verdict == STATUS_KEEP)
        return OK;
    if (verdict == STATUS_LATER && written_ms > 0 && age_ms < STATUS_INTERVAL_MS) {
        *ret_later_ms = STATUS_INTERVAL_MS - age_ms;
        return OK;
    }
    enum err err = write_status(apply, live, status, error);
    if (err)
        return err;
    board_set_written(board, key, now_ms);
    metric_add(metrics_series(&writes_desc, verdict == STATUS_NOW ? "change" : "interval"), 1);
    return OK;
}
