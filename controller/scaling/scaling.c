/* The order of decide(): what forbids any decision comes first, the way to and from zero next, and
 * only then the arithmetic. The bounds of the spec hold even where nothing else is decided, for
 * they are an order and not a conclusion; only Fixed and paused leave the replicas quite alone.
 */
#include "controller/scaling/scaling.h"

#include "common/attr.h"
#include "controller/scaling/memory.h"
#include "controller/scaling/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct judge {
    uint64_t now_ms;
    const struct scaling_settings *settings;
    const struct scaling_observation *seen;
    struct scaling_memory *memory;
    struct scaling_decision *decision;
    uint32_t current;        /* the present replicas: what was decided last */
    uint32_t floor, ceiling; /* the bounds in force; ceiling is never above the partitions */
};

static void say(struct judge *judge, enum scaling_reason reason, uint32_t wanted,
                const char *format, ...) PRINTF_LIKE(4, 5);

static void say(struct judge *judge, enum scaling_reason reason, uint32_t wanted,
                const char *format, ...)
{
    va_list args;

    judge->decision->reason = reason;
    judge->decision->wanted = wanted;
    va_start(args, format);
    vsnprintf(judge->decision->sentence, sizeof judge->decision->sentence, format, args);
    va_end(args);
}

static void append(struct judge *judge, const char *format, ...) PRINTF_LIKE(2, 3);

static void append(struct judge *judge, const char *format, ...)
{
    char *sentence = judge->decision->sentence;
    size_t len = strlen(sentence);
    va_list args;

    va_start(args, format);
    vsnprintf(sentence + len, sizeof judge->decision->sentence - len, format, args);
    va_end(args);
}

static const char *or_unsaid(const char *text)
{
    return text != NULL && *text != '\0' ? text : "no reason given";
}

static uint32_t within(const struct judge *judge, uint32_t replicas)
{
    if (replicas > judge->ceiling)
        replicas = judge->ceiling;
    return replicas < judge->floor ? judge->floor : replicas;
}

/* From a need to a step within the bounds. */
static uint32_t step_within(const struct judge *judge, double need)
{
    uint32_t partitions = judge->settings->partitions;
    uint32_t replicas = need >= judge->ceiling ? judge->ceiling : (uint32_t)ceil(need);

    replicas = scaling_step_up(partitions, replicas > 0 ? replicas : 1);
    if (replicas > judge->ceiling)
        replicas = scaling_step_down(partitions, judge->ceiling);
    return within(judge, replicas);
}

static void set_bounds(struct judge *judge)
{
    const struct scaling_settings *settings = judge->settings;

    judge->ceiling = settings->replicas_max > 0 ? settings->replicas_max : 1;
    if (settings->partitions > 0 && judge->ceiling > settings->partitions)
        judge->ceiling = settings->partitions;
    judge->floor =
        settings->replicas_min < judge->ceiling ? settings->replicas_min : judge->ceiling;
}

/* ---- holds: nothing is decided */

static bool hold(struct judge *judge, enum scaling_reason reason, const char *why)
{
    uint32_t current = judge->current;
    uint32_t wanted = within(judge, current);

    judge->decision->held = true;
    if (wanted == current)
        say(judge, reason, wanted, "held at %" PRIu32 ": %s", wanted, why);
    else
        say(judge, reason, wanted, "%" PRIu32 " -> %" PRIu32 " by the bounds, and held there: %s",
            current, wanted, why);
    return true;
}

/* Only what the user said, and what must be known before anything else. */
static bool held_by_order(struct judge *judge)
{
    uint32_t current = judge->seen->replicas_current;

    judge->decision->held = true;
    if (judge->settings->mode == SCALING_FIXED) {
        say(judge, SCALING_HELD_FIXED, current,
            "scaling.mode is Fixed: replicas are left to whoever sets them");
        return true;
    }
    if (judge->settings->paused) {
        say(judge, SCALING_HELD_PAUSED, current,
            "spec.paused is set: replicas stay at %" PRIu32 " until it is removed", current);
        return true;
    }
    judge->decision->held = false;
    return false;
}

static bool held(struct judge *judge)
{
    const struct scaling_observation *seen = judge->seen;
    char why[200];

    if (!seen->lag_known || !seen->rates_known) {
        snprintf(why, sizeof why, "the lag is not known (%s)",
                 seen->lag_known ? "its rates are still being measured"
                                 : or_unsaid(seen->lag_unknown_why));
        return hold(judge, SCALING_HELD_LAG_UNKNOWN, why);
    }
    if (seen->members_foreign > 0) {
        snprintf(why, sizeof why,
                 "%" PRIu32 " members of the consumer group are not ours (%s): stop them, or give "
                 "this gateway a groupID of its own",
                 seen->members_foreign, or_unsaid(seen->foreign_who));
        return hold(judge, SCALING_HELD_SHARED, why);
    }
    if (judge->current == 0)
        return false;
    if (seen->group == SCALING_GROUP_REBALANCING)
        return hold(judge, SCALING_HELD_REBALANCING, "the consumer group is rebalancing");
    if (seen->replicas_ready == 0)
        return hold(judge, SCALING_HELD_NOT_READY,
                    "no replica is ready, and more of the same would not be either");
    if (seen->backend == SCALING_BACKEND_DOWN) {
        snprintf(why, sizeof why,
                 "the backend is down (%s), and more replicas would not bring "
                 "it back",
                 or_unsaid(seen->backend_error));
        return hold(judge, SCALING_HELD_BACKEND_DOWN, why);
    }
    return false;
}

/* ---- need */

static double backlog(const struct judge *judge)
{
    const struct scaling_observation *seen = judge->seen;
    double waiting =
        seen->lag_messages > seen->lag_stuck ? (double)(seen->lag_messages - seen->lag_stuck) : 0;
    double in_flight =
        seen->arrival_rate * (double)(SCALING_IN_FLIGHT_MS + judge->settings->settle_ms) / 1000;
    return waiting > in_flight ? waiting - in_flight : 0;
}

static double need_for(const struct judge *judge, double waiting)
{
    const struct scaling_settings *settings = judge->settings;
    double capacity = judge->memory->capacity;

    if (capacity > 0) {
        uint64_t drain_ms = settings->drain_within_ms > 1000 ? settings->drain_within_ms : 1000;
        return (judge->seen->arrival_rate + waiting * 1000 / (double)drain_ms) / capacity;
    }
    uint64_t each = settings->messages_per_replica_max > 0 ? settings->messages_per_replica_max : 1;
    return waiting / (double)each;
}

/* A lag near UINT64_MAX rounds up to what no uint64_t holds. */
static uint64_t whole(double count)
{
    return count < 0x1p64 ? (uint64_t)count : UINT64_MAX;
}

/* "4,200 msg/s arrive, 1,260,000 wait to be drained within 5m; a replica manages 1,500 msg/s: 5.6
 * are needed" */
static void explain(struct judge *judge)
{
    const struct scaling_observation *seen = judge->seen;

    if (judge->memory->capacity > 0)
        append(judge,
               ": %s arrive, %s wait to be drained within %s; a replica manages %s: "
               "%.1f needed",
               text_rate(seen->arrival_rate).at, text_count(whole(backlog(judge))).at,
               text_ms(judge->settings->drain_within_ms).at, text_rate(judge->memory->capacity).at,
               judge->decision->need);
    else
        append(judge,
               ": %s wait, at %s for each replica, for what one manages has not been seen "
               "yet: %.1f needed",
               text_count(whole(backlog(judge))).at,
               text_count(judge->settings->messages_per_replica_max).at, judge->decision->need);
}

static void explain_limit(struct judge *judge)
{
    const struct scaling_settings *settings = judge->settings;

    if (!judge->decision->limited)
        return;
    if (settings->partitions > 0 && settings->partitions < settings->replicas_max)
        append(judge, "; %" PRIu32 " partitions allow no more: raise topics[].partitions",
               settings->partitions);
    else if (scaling_step_down(settings->partitions, judge->ceiling) < judge->ceiling)
        append(judge,
               "; maxReplicas %" PRIu32 " shares %" PRIu32 " partitions no better than %" PRIu32,
               settings->replicas_max, settings->partitions,
               scaling_step_down(settings->partitions, judge->ceiling));
    else
        append(judge, "; maxReplicas %" PRIu32 " allows no more", settings->replicas_max);
}

/* ---- zero */

static bool asleep_or_woken(struct judge *judge)
{
    const struct scaling_observation *seen = judge->seen;

    if (judge->current > 0)
        return false;
    if (judge->floor == 0 && seen->lag_messages <= judge->settings->wake_above) {
        say(judge, SCALING_ASLEEP, 0, "asleep: lag %s is not above wakeAbove %s",
            text_count(seen->lag_messages).at, text_count(judge->settings->wake_above).at);
        return true;
    }
    judge->decision->need = need_for(judge, backlog(judge));
    uint32_t wanted = step_within(judge, judge->decision->need);
    judge->decision->limited = judge->decision->need > wanted;
    say(judge, SCALING_WOKEN, wanted, "0 -> %" PRIu32, wanted);
    explain(judge);
    explain_limit(judge);
    return true;
}

/* All is committed and has stayed so for a window: to zero. */
static bool falls_asleep(struct judge *judge)
{
    uint64_t window_ms = memory_window_ms(judge->settings);
    uint64_t idle_ms = judge->now_ms - judge->memory->busy_at_ms;

    if (judge->settings->replicas_min > 0 || idle_ms < window_ms)
        return false;
    say(judge, SCALING_ASLEEP, 0,
        "%" PRIu32 " -> 0: all is committed, and nothing has arrived for %s", judge->current,
        text_ms(idle_ms).at);
    return true;
}

static void explain_sleep(struct judge *judge)
{
    const struct scaling_observation *seen = judge->seen;
    uint64_t window_ms = memory_window_ms(judge->settings);
    uint64_t idle_ms = judge->now_ms - judge->memory->busy_at_ms;

    if (judge->settings->replicas_min > 0)
        return;
    if (idle_ms > 0 && idle_ms < window_ms)
        append(judge, "; 0 in %s if nothing arrives", text_ms(window_ms - idle_ms).at);
    else if (seen->lag_messages == 0 && !seen->committed_everywhere)
        append(judge, "; not 0, for some partitions have no committed offset yet");
}

/* ---- up, down, or as it is */

static void go_up(struct judge *judge, uint32_t target)
{
    uint32_t current = judge->current;
    bool cold = judge->memory->capacity <= 0;

    say(judge, cold ? SCALING_UP_COLD : SCALING_UP, target, "%" PRIu32 " -> %" PRIu32, current,
        target);
    explain(judge);
    explain_limit(judge);
    /* It may learn from it, unless so many work already, as CPU asked for them. */
    if (target > judge->seen->replicas_current)
        memory_step_up(judge->memory, judge->now_ms, judge->settings, judge->seen, target);
}

static bool up_is_useless(struct judge *judge, uint32_t target)
{
    const struct scaling_observation *seen = judge->seen;
    uint32_t current = judge->current;

    if (target <= current || current < judge->floor)
        return false;
    if (seen->backend == SCALING_BACKEND_SATURATED) {
        say(judge, SCALING_HELD_SATURATED, current,
            "held at %" PRIu32 " instead of %" PRIu32 ": the backend takes no more (%s)", current,
            target, or_unsaid(seen->backend_error));
        return true;
    }
    if (judge->memory->saturated) {
        uint64_t since_ms = judge->now_ms - judge->memory->saturated_at_ms;
        say(judge, SCALING_HELD_SATURATED, current,
            "held at %" PRIu32 " instead of %" PRIu32
            ": the last step up brought less than a tenth of what it should have, so the backend "
            "is the limit at %s; next try in %s",
            current, target, text_rate(judge->memory->saturated_rate).at,
            text_ms(SCALING_SATURATED_RETRY_MS - since_ms).at);
        return true;
    }
    return false;
}

static void stay(struct judge *judge)
{
    const struct scaling_settings *settings = judge->settings;
    const struct scaling_observation *seen = judge->seen;
    uint32_t current = judge->current;
    enum scaling_reason reason = SCALING_STEADY;

    if (judge->decision->limited)
        reason = settings->partitions > 0 && settings->partitions < settings->replicas_max
                     ? SCALING_AT_PARTITIONS
                     : SCALING_AT_MAX;
    say(judge, reason, current, "%" PRIu32 " it is", current);
    explain(judge);
    explain_limit(judge);
    explain_sleep(judge);

    double with_stuck = backlog(judge) + (double)seen->lag_stuck;
    if (seen->partitions_stuck > 0 && step_within(judge, need_for(judge, with_stuck)) > current)
        say(judge, SCALING_HELD_STUCK, current,
            "%" PRIu32 " it is: %s wait on %" PRIu32
            " partitions that do not move (%s), and more replicas would not move them",
            current, text_count(seen->lag_stuck).at, seen->partitions_stuck,
            or_unsaid(seen->stuck_where));
}

static void go_down(struct judge *judge, uint32_t target)
{
    uint64_t window_ms = memory_window_ms(judge->settings);
    uint32_t current = judge->current;
    uint32_t wanted = memory_window(judge->memory, judge->now_ms, judge->settings, target);

    if (judge->memory->capacity <= 0) {
        uint32_t next = within(
            judge, memory_cold_down(judge->memory, judge->now_ms, judge->settings, judge->seen));
        if (wanted < next)
            wanted = next;
    }
    if (wanted >= current) {
        say(judge, SCALING_DOWN_WAITS, current,
            "%" PRIu32 " it is, until %" PRIu32 " has been enough for %s", current, target,
            text_ms(window_ms).at);
    } else {
        memory_step_down(judge->memory, judge->now_ms, judge->seen);
        say(judge, SCALING_DOWN, wanted, "%" PRIu32 " -> %" PRIu32 " after %s", current, wanted,
            text_ms(window_ms).at);
    }
    explain(judge);
    explain_sleep(judge);
}

static void weigh(struct judge *judge)
{
    uint32_t current = judge->current;
    bool known = judge->memory->capacity > 0;
    double need = need_for(judge, backlog(judge));

    judge->decision->need = need;
    double need_up = known ? need / SCALING_UP_BAND : need;
    uint32_t up = step_within(judge, need_up);
    uint32_t down = step_within(judge, known ? need / SCALING_DOWN_BAND : need);
    judge->decision->limited = need_up > up;

    if (current < judge->floor || current > judge->ceiling) {
        say(judge, SCALING_BOUNDS, current > judge->ceiling ? judge->ceiling : up,
            "%" PRIu32 " -> %" PRIu32 " by the bounds %" PRIu32 " to %" PRIu32, current,
            current > judge->ceiling ? judge->ceiling : up, judge->floor, judge->ceiling);
        explain(judge);
        explain_limit(judge);
    } else if (up_is_useless(judge, up)) {
        return;
    } else if (up > current) {
        go_up(judge, up);
    } else if (down < current) {
        go_down(judge, down);
    } else {
        stay(judge);
    }
}

struct scaling_decision scaling_decide(uint64_t now_ms, const struct scaling_settings *settings,
                                       const struct scaling_observation *observation,
                                       struct scaling_memory *memory)
{
    struct scaling_decision decision = {.wanted = observation->replicas_current};
    struct judge judge = {
        .now_ms = now_ms,
        .settings = settings,
        .seen = observation,
        .memory = memory,
        .decision = &decision,
    };

    set_bounds(&judge);
    memory_observe(memory, now_ms, settings, observation);
    judge.current = memory->decided;

    if (!held_by_order(&judge) && !held(&judge) && !asleep_or_woken(&judge) &&
        !falls_asleep(&judge)) {
        if (judge.floor == 0)
            judge.floor = 1; /* the last replica goes only by falls_asleep() */
        weigh(&judge);
    }
    decision.capacity = memory->capacity;
    /* What waits to go down is not what was wanted. */
    if (decision.reason != SCALING_DOWN_WAITS && decision.reason != SCALING_DOWN)
        memory_window(memory, now_ms, settings, decision.wanted);
    memory->decided = decision.wanted;
    return decision;
}

const char *scaling_reason_name(enum scaling_reason reason)
{
    switch (reason) {
#define X(code, text) \
    case code:        \
        return text;
        SCALING_REASONS(X)
#undef X
    }
    return "Unknown";
}
