#include "controller/reconcile/reconcile.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "common/rfc3339.h"
#include "controller/desired/conditions.h"
#include "controller/reconcile/children.h"
#include "controller/reconcile/finalize.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/publish.h"
#include "controller/reconcile/rollouts.h"
#include "controller/reconcile/topics.h"

#include <string.h>

enum {
    CLAIM_RETRY_MS = 30000, /* the older pipeline may give way */
    SOON_MS = 10000,
};

/* One round on one pipeline. */
struct round {
    const struct reconcile *reconcile;
    const char *key;
    struct json *live; /* as cached */
};

/* ---- telling */

/* Waiting for pods is no news; everything else is told once, when it begins. */
static bool is_news(const char *reason)
{
    static const char *const usual[] = {"Creating", "PodsNotReady", "RollingOut", "Checking"};

    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        if (strcmp(reason, usual[i]) == 0)
            return false;
    }
    return true;
}

static void tell(const struct round *round, const struct condition_set *conditions)
{
    const struct condition *ready = condition_find(conditions, CONDITION_READY);

    if (!is_news(ready->reason) ||
        !board_reason_changed(round->reconcile->board, round->key, ready->reason))
        return;
    event_record(round->reconcile->events, round->live,
                 ready->status == CONDITION_TRUE ? EVENT_NORMAL : EVENT_WARNING, ready->reason,
                 "Reconcile", "%s", ready->message);
}

static enum err publish(const struct round *round, const struct json *status, uint64_t *ret_later,
                        struct error *error)
{
    return publish_status(&round->reconcile->apply, round->reconcile->board, round->key,
                          round->live, status, ret_later, error);
}

/* ---- what can't be reconciled */

static enum err refuse(const struct round *round, const char *reason, const char *sentence,
                       struct error *error)
{
    struct condition_set *conditions = &(struct condition_set){0};
    char now[RFC3339_SIZE];
    uint64_t later_ms = 0;

    rfc3339_seconds(clock_wall_ns(), now);
    conditions_refuse(conditions, reason, sentence);
    AUTO(json_free)
    struct json *status = status_of_conditions(conditions, object_generation(round->live),
                                               json_get(round->live, "status"), now);
    tell(round, conditions);
    return publish(round, status, &later_ms, error);
}

/* ---- what can */

static enum err publish_facts(const struct round *round, const struct subject *subject,
                              struct gathered *gathered, const struct error *refused,
                              uint64_t *ret_later, struct error *error)
{
    const struct json *old = json_get(round->live, "status");
    struct condition_set *conditions = &gathered->status.conditions;
    char now[RFC3339_SIZE];

    rfc3339_seconds(clock_wall_ns(), now);
    conditions_judge(subject->pipeline, &gathered->status);
    if (refused != NULL)
        conditions_refuse(conditions, "ApplyRefused", refused->text);
    tell(round, conditions);
    AUTO(json_free) struct json *status = status_to_json(&gathered->status, old, now);
    return publish(round, status, ret_later, error);
}

static struct work_result done(uint64_t later_ms, bool again)
{
    if (again && (later_ms == 0 || later_ms > SOON_MS))
        later_ms = SOON_MS;
    if (later_ms == 0)
        return (struct work_result){.verdict = WORK_DONE};
    return (struct work_result){.verdict = WORK_LATER, .delay_ms = later_ms};
}

/* Conflicts are ordinary: somebody wrote in between, and the watch brings it. */
static struct work_result retry(const struct round *round, enum err err, const struct error *error)
{
    if (err == ERR_CLOSED)
        return (struct work_result){.verdict = WORK_DONE};
    if (err != ERR_CONFLICT)
        LOG_WARN("Failed to reconcile", LOG_STR("pipeline", round->key),
                 LOG_STR("error", error->text));
    return (struct work_result){.verdict = WORK_RETRY};
}

static struct work_result reconcile_sound(const struct round *round, const struct subject *subject)
{
    const struct reconcile *reconcile = round->reconcile;
    AUTO(gathered_free) struct gathered *gathered = NULL;
    struct error error = {0}, refused = {0};
    uint64_t later_ms = 0;
    bool again = false;

    enum err err = finalize_prepare(reconcile, subject, round->live, &error);
    if (err)
        return retry(round, err, &error);
    topics_want(reconcile->topics, subject, round->live);
    gather_facts(&reconcile->gather, subject, json_get(round->live, "status"), &gathered);
    if (!subject->pipeline->paused) {
        err = children_apply(reconcile, subject, round->live, gathered, &again, &refused);
        if (err && err != ERR_INVALID)
            return retry(round, err, &refused);
        if (err && finalize_namespace_is_going(reconcile, subject->pipeline->namespace))
            return done(0, false); /* its own end is next */
    }
    enum err written =
        publish_facts(round, subject, gathered, err ? &refused : NULL, &later_ms, &error);
    if (written)
        return retry(round, written, &error);
    /* No backoff where a child was refused: all that moves beside it brings us here, and would
     * count as a failure. What is in its way may go without a watch of ours telling. */
    if (err)
        LOG_WARN("A child was refused", LOG_STR("pipeline", round->key),
                 LOG_STR("error", refused.text));
    return done(later_ms, err != OK || again || gathered->rollouts->under_way);
}

static struct work_result reconcile_live(const struct round *round)
{
    const struct reconcile *reconcile = round->reconcile;
    AUTO(subject_unref) struct subject *subject = NULL;
    struct error error = {0}, failure = {0};
    const char *reason = "InvalidSpec";

    enum err err = board_subject(reconcile->board, round->key, &subject, &error);
    if (err == ERR_NOTFOUND)
        return (struct work_result){.verdict = WORK_DONE};
    if (err == OK)
        err = rights_check(subject->pipeline, &reconcile->rights, &reason, &error);
    if (err == OK) {
        err = board_check_claims(reconcile->board, round->key, &error);
        reason = "ClaimLost";
    }
    if (err == OK)
        return reconcile_sound(round, subject);

    topics_forget(reconcile->topics, round->key);
    enum err written = refuse(round, reason, error.text, &failure);
    if (written)
        return retry(round, written, &failure);
    return done(err == ERR_CONFLICT ? CLAIM_RETRY_MS : 0, false);
}

struct work_result reconcile_name(void *context, const char *key)
{
    const struct reconcile *reconcile = context;
    struct round round = {.reconcile = reconcile, .key = key};
    struct object *object = NULL;
    char namespace[BOARD_KEY_MAX] = {0};
    const char *slash = strchr(key, '/');

    memcpy(namespace, key, (size_t)(slash - key));
    enum err err =
        store_get(reconcile->apply.store, &kind_pipelines, namespace, slash + 1, &object);
    if (err) {
        topics_forget(reconcile->topics, key);
        board_drop(reconcile->board, key);
        return (struct work_result){.verdict = WORK_DONE};
    }
    board_put(reconcile->board, object);
    AUTO(json_free) struct json *live = object_parse(object);
    object_unref(&object);
    round.live = live;
    if (object_is_deleting(live))
        return finalize(reconcile, key, live);
    return reconcile_live(&round);
}
