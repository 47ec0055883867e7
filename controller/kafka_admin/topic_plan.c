/* States are ordered by gravity, so a finding is one call of note(): it adds its sentence and
 * raises the state if it is graver than what was found before. */
#include "controller/kafka_admin/topic_plan.h"

#include "common/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void note(struct topic_plan *plan, enum topic_state state, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void note(struct topic_plan *plan, enum topic_state state, const char *format, ...)
{
    size_t len = strlen(plan->message);
    va_list args;

    if (plan->state < state)
        plan->state = state;
    if (len > 0)
        len += (size_t)snprintf(plan->message + len, sizeof plan->message - len, "; ");
    if (len >= sizeof plan->message)
        return;
    va_start(args, format);
    vsnprintf(plan->message + len, sizeof plan->message - len, format, args);
    va_end(args);
}

/* ---- configs */

static const char *config_value(const struct topic_config *configs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(configs[i].name, name) == 0)
            return configs[i].value;
    return NULL;
}

static bool as_number(const char *text, double *ret_number)
{
    char *end = NULL;
    *ret_number = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool in_list(const char *list, const char *word, size_t word_len)
{
    while (*list != '\0') {
        list += strspn(list, ", ");
        size_t len = strcspn(list, ", ");
        if (len == word_len && strncmp(list, word, len) == 0)
            return true;
        list += len;
    }
    return false;
}

static bool list_within(const char *part, const char *list)
{
    while (*part != '\0') {
        part += strspn(part, ", ");
        size_t len = strcspn(part, ", ");
        if (len > 0 && !in_list(list, part, len))
            return false;
        part += len;
    }
    return true;
}

/* "0.50" is 0.5, and "compact,delete" is "delete, compact". */
static bool config_equal(const char *a, const char *b)
{
    double x, y;

    if (strcmp(a, b) == 0)
        return true;
    if (as_number(a, &x) && as_number(b, &y))
        return !(x < y) && !(y < x);
    return list_within(a, b) && list_within(b, a);
}

/* A limit of retention; below 0 is none. */
static bool lowers(const char *wanted, const char *present)
{
    double to, from;

    if (!as_number(wanted, &to) || !as_number(present, &from))
        return true;
    return to >= 0 && (from < 0 || to < from);
}

/* Whether setting `name` might delete what has not been read. */
static bool would_expire(const struct topic_unread *unread, const char *name, const char *wanted,
                         const char *present)
{
    bool time = strcmp(name, "retention.ms") == 0;
    double to = 0;

    if (strcmp(name, "cleanup.policy") != 0) {
        if (!time && strcmp(name, "retention.bytes") != 0)
            return false;
        if (!lowers(wanted, present))
            return false;
    }
    if (!unread->known)
        return true;
    if (unread->messages == 0)
        return false;
    /* A tenth is kept as margin: segments are deleted whole, and readers must stay ahead. */
    return !(time && unread->age_known && as_number(wanted, &to) &&
             (double)unread->age_ms < to * 0.9);
}

static void note_held(struct topic_plan *plan, const struct topic_config *config,
                      const char *present)
{
    const struct topic_unread *unread = &plan->wanted->unread;

    if (!unread->known)
        note(plan, TOPIC_HELD_RETENTION,
             "%s stays at %s instead of %s until it is known that nothing unread would expire",
             config->name, present, config->value);
    else
        note(plan, TOPIC_HELD_RETENTION,
             "%s stays at %s instead of %s: of %" PRIu64 " unread messages some would expire; it "
             "is set once they have been read",
             config->name, present, config->value, unread->messages);
}

static enum err plan_configs(const struct topic_observed *observed, struct arena *arena,
                             struct topic_plan *plan, struct error *error)
{
    const struct topic_wanted *wanted = plan->wanted;

    ASSERT(wanted->config_count <= TOPIC_CONFIGS_MAX);
    if (wanted->config_count == 0)
        return OK;
    struct topic_config *set = arena_alloc(arena, wanted->config_count * sizeof *set);
    if (set == NULL)
        return error_set(error, ERR_NOMEM, "plan topic '%s'", wanted->topic);

    for (size_t i = 0; i < wanted->config_count; i++) {
        const struct topic_config *config = &wanted->configs[i];
        const char *present = config_value(observed->configs, observed->config_count, config->name);
        if (present == NULL)
            present = "unknown";
        if (config_equal(present, config->value))
            continue;
        if (would_expire(&wanted->unread, config->name, config->value, present)) {
            note_held(plan, config, present);
            continue;
        }
        set[plan->set_count++] = *config;
        note(plan, TOPIC_READY, "%s is set to %s (was %s)", config->name, config->value, present);
    }
    plan->set = set;
    return OK;
}

/* ---- findings on a topic that exists */

static bool same_shape(const struct topic_wanted *wanted, const struct topic_observed *observed)
{
    return wanted->partitions == observed->partitions &&
           wanted->replication_factor == observed->replication_factor;
}

static bool recreated(const struct topic_wanted *wanted, const struct topic_observed *observed)
{
    return wanted->topic_id != NULL && *wanted->topic_id != '\0' &&
           strcmp(wanted->topic_id, observed->topic_id) != 0;
}

static void plan_identity(const struct topic_observed *observed, struct topic_plan *plan,
                          bool *ret_managed)
{
    const struct topic_wanted *wanted = plan->wanted;
    bool create = wanted->ownership == TOPIC_CREATE;
    bool intended = wanted->made == TOPIC_INTENDED && same_shape(wanted, observed);
    bool ours =
        wanted->ownership == TOPIC_ADOPT || (create && (wanted->made == TOPIC_MADE || intended));

    if (recreated(wanted, observed)) {
        note(
            plan, TOPIC_RECREATED,
            "was deleted and made again by somebody else (topic id %s, before %s): what it held is "
            "gone and offsets of its groups begin anew%s",
            observed->topic_id, wanted->topic_id,
            create ? "; it is only compared from now on, set ownership: Adopt to have it managed"
                   : "");
        ours = ours && !create;
    } else if (create && !ours) {
        note(plan, TOPIC_EXISTS,
             "exists already and was not made by this pipeline: it is used but never changed; set "
             "ownership: Adopt to have it managed, or Observe to say that this is meant");
    }
    if (ours || wanted->ownership == TOPIC_OBSERVE)
        plan->record_id = observed->topic_id;
    *ret_managed = ours;
}

static void plan_replicas(const struct topic_observed *observed, uint32_t brokers, bool managed,
                          struct topic_plan *plan)
{
    const struct topic_wanted *wanted = plan->wanted;
    const char *text =
        config_value(observed->configs, observed->config_count, "min.insync.replicas");
    double least = 0;

    if (observed->leaderless > 0) {
        plan->usable = false;
        note(plan, TOPIC_REPLICATION_UNAVAILABLE,
             "%" PRIu32 " of %" PRIu32 " partitions have no leader: start the brokers that hold "
             "them",
             observed->leaderless, observed->partitions);
    } else if (text != NULL && as_number(text, &least) && observed->isr_min < least) {
        plan->usable = false;
        note(plan, TOPIC_REPLICATION_UNAVAILABLE,
             "writes are refused: %" PRIu32 " replicas are in sync and min.insync.replicas is %s; "
             "start the missing brokers",
             observed->isr_min, text);
    } else if (brokers > 0 && brokers < observed->replication_factor) {
        note(plan, TOPIC_REPLICATION_UNAVAILABLE,
             "has %" PRIu32 " replicas and Kafka %" PRIu32 " brokers: one more failure may cost "
             "data; start the missing brokers",
             observed->replication_factor, brokers);
    }
    if (managed && observed->replication_factor != wanted->replication_factor)
        note(plan, TOPIC_DIFFERS,
             "has replicationFactor %" PRIu32 " and the spec says %" PRIu32
             ": only a reassignment changes that (kafka-reassign-partitions)",
             observed->replication_factor, wanted->replication_factor);
}

static void plan_partitions(const struct topic_observed *observed, struct topic_plan *plan)
{
    const struct topic_wanted *wanted = plan->wanted;
    const struct topic_unread *unread = &wanted->unread;

    if (wanted->partitions < observed->partitions) {
        note(plan, TOPIC_SHRINK_REFUSED,
             "has %" PRIu32 " partitions and the spec says %" PRIu32
             ": none is ever taken away; set partitions: %" PRIu32 ", or name another topic",
             observed->partitions, wanted->partitions, observed->partitions);
    } else if (wanted->partitions > observed->partitions) {
        bool drained = unread->known && unread->messages == 0;
        if (wanted->keyed && !drained) {
            note(plan, TOPIC_HELD_GROWTH,
                 "grows from %" PRIu32 " to %" PRIu32 " partitions once all is read: its messages "
                 "have keys, and later ones must not overtake those under way",
                 observed->partitions, wanted->partitions);
        } else {
            plan->grow_to = wanted->partitions;
            note(plan, TOPIC_GROWING, "grows from %" PRIu32 " to %" PRIu32 " partitions",
                 observed->partitions, wanted->partitions);
        }
    }
}

/* What somebody else's topic has otherwise, for information. */
static void compare(const struct topic_observed *observed, struct topic_plan *plan)
{
    const struct topic_wanted *wanted = plan->wanted;

    if (observed->partitions != wanted->partitions)
        note(plan, TOPIC_READY, "partitions: %" PRIu32 ", spec %" PRIu32, observed->partitions,
             wanted->partitions);
    if (observed->replication_factor != wanted->replication_factor)
        note(plan, TOPIC_READY, "replicationFactor: %" PRIu32 ", spec %" PRIu32,
             observed->replication_factor, wanted->replication_factor);
    for (size_t i = 0; i < wanted->config_count; i++) {
        const char *present =
            config_value(observed->configs, observed->config_count, wanted->configs[i].name);
        if (present != NULL && !config_equal(present, wanted->configs[i].value))
            note(plan, TOPIC_READY, "%s: %s, spec %s", wanted->configs[i].name, present,
                 wanted->configs[i].value);
    }
}

/* ---- a topic that does not exist */

static void plan_missing(uint32_t brokers, struct topic_plan *plan)
{
    const struct topic_wanted *wanted = plan->wanted;
    const char *text = config_value(wanted->configs, wanted->config_count, "min.insync.replicas");
    /* Without an id it has never been seen: brokers may be slow to hear of what was just made. */
    bool was_there =
        wanted->made == TOPIC_MADE && wanted->topic_id != NULL && *wanted->topic_id != '\0';
    double least = 0;

    if (wanted->ownership == TOPIC_OBSERVE) {
        note(plan, TOPIC_MISSING,
             "does not exist, and ownership: Observe makes none: create it, or set ownership: "
             "Create");
        return;
    }
    if (brokers > 0 && brokers < wanted->replication_factor) {
        note(plan, TOPIC_REPLICATION_UNAVAILABLE,
             "replicationFactor is %" PRIu32 " and Kafka has %" PRIu32
             " brokers: start more, or set replicationFactor: %" PRIu32 " and minInsyncReplicas: 1",
             wanted->replication_factor, brokers, brokers);
        return;
    }
    if (text != NULL && as_number(text, &least) && least > wanted->replication_factor) {
        note(plan, TOPIC_REPLICATION_UNAVAILABLE,
             "minInsyncReplicas %s is above replicationFactor %" PRIu32
             ", so that every write would be refused: set it to at most that",
             text, wanted->replication_factor);
        return;
    }
    plan->create = true;
    plan->set = wanted->configs;
    plan->set_count = wanted->config_count;
    note(plan, TOPIC_CREATING, "%sis made with %" PRIu32 " partitions and %" PRIu32 " replicas",
         was_there ? "was deleted behind our back, with what it held; it " : "", wanted->partitions,
         wanted->replication_factor);
}

enum err topic_plan(const struct topic_wanted *wanted, const struct topic_observed *observed,
                    uint32_t brokers, struct arena *arena, struct topic_plan *ret_plan,
                    struct error *error)
{
    struct topic_plan plan = {.wanted = wanted};
    bool managed = false;

    if (wanted->claimant != NULL) {
        note(&plan, TOPIC_CLAIM_LOST,
             "is claimed by %s, which is older: name another topic, or set ownership: Observe to "
             "share it",
             wanted->claimant);
    } else if (observed->err == ERR_NOTFOUND) {
        plan_missing(brokers, &plan);
    } else if (observed->err) {
        note(&plan, TOPIC_UNREACHABLE, "could not be looked at: %s",
             observed->error_text != NULL ? observed->error_text : err_name(observed->err));
    } else {
        plan.usable = true;
        plan_identity(observed, &plan, &managed);
        plan_replicas(observed, brokers, managed, &plan);
        if (managed) {
            plan_partitions(observed, &plan);
            enum err err = plan_configs(observed, arena, &plan, error);
            if (err)
                return err;
        } else if (wanted->ownership == TOPIC_CREATE) {
            compare(observed, &plan);
        }
    }
    *ret_plan = plan;
    return OK;
}

const char *topic_state_name(enum topic_state state)
{
    switch (state) {
#define X(code, text) \
    case code:        \
        return text;
        TOPIC_STATES(X)
#undef X
    }
    return "Unknown";
}
