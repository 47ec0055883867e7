#include "controller/scaling/memory.h"

#include <math.h>

#define CAPACITY_TAU_MS 60000.0 /* how fast a new sample replaces what was learned */
#define LEARN_AFTER_MS  45000u  /* of backlog: rates are averages and take time to tell */
#define LIMIT_SPREAD    1.3
#define OVERDUE_MS      120000u /* a step that has not been taken by then is not judged */
#define STEP_GAIN_MIN   0.1     /* of what a step should bring */
#define IDLE_RATE       0.01    /* messages per second that count as none */

uint64_t memory_window_ms(const struct scaling_settings *settings)
{
    return settings->down_window_ms > 0 ? settings->down_window_ms : SCALING_DOWN_WINDOW_MS;
}

static bool settled(const struct scaling_memory *memory, uint64_t now_ms,
                    const struct scaling_observation *seen)
{
    return seen->group == SCALING_GROUP_STABLE && seen->replicas_current > 0 &&
           seen->replicas_ready == seen->replicas_current &&
           now_ms - memory->changed_at_ms >= SCALING_SETTLE_MS;
}

/* There is a backlog that is more than what is in flight or settles, so that replicas work as fast
 * as they can: on stuck partitions nobody works. */
static bool backlogged(const struct scaling_settings *settings,
                       const struct scaling_observation *seen)
{
    return seen->lag_known && seen->rates_known && seen->lag_messages > seen->lag_stuck &&
           seen->lag_ms_known && seen->lag_ms >= SCALING_LEARN_LAG_MS + settings->settle_ms &&
           seen->consume_rate > 0;
}

/* Backlog on a few partitions keeps only a few replicas busy, and says nothing of one replica. */
static bool widespread(const struct scaling_settings *settings,
                       const struct scaling_observation *seen)
{
    uint32_t working = seen->partitions_lagging - (seen->partitions_stuck < seen->partitions_lagging
                                                       ? seen->partitions_stuck
                                                       : seen->partitions_lagging);
    return settings->partitions == 0 || (uint64_t)working * 2 >= settings->partitions;
}

static void judge_step(struct scaling_memory *memory, uint64_t now_ms,
                       const struct scaling_settings *settings,
                       const struct scaling_observation *seen)
{
    if (memory->step_rate <= 0)
        return;
    bool arrived = seen->replicas_current >= memory->step_to;
    bool overdue = now_ms - memory->step_at_ms >= OVERDUE_MS;
    if (seen->replicas_current < memory->step_from || (!arrived && overdue) ||
        (seen->lag_known && !backlogged(settings, seen))) {
        memory->step_rate = 0;
        return;
    }
    if (!arrived || !backlogged(settings, seen) || !settled(memory, now_ms, seen))
        return;

    double expected =
        memory->step_rate * ((double)seen->replicas_current / (double)memory->step_from - 1);
    if (seen->consume_rate - memory->step_rate < STEP_GAIN_MIN * expected) {
        memory->saturated = true;
        memory->saturated_at_ms = now_ms;
        memory->saturated_rate = seen->consume_rate;
    }
    memory->step_rate = 0;
}

static void lift_saturation(struct scaling_memory *memory, uint64_t now_ms,
                            const struct scaling_settings *settings,
                            const struct scaling_observation *seen)
{
    if (!memory->saturated || !seen->lag_known)
        return;
    if (!backlogged(settings, seen) ||
        seen->consume_rate > memory->saturated_rate * (1 + STEP_GAIN_MIN) ||
        now_ms - memory->saturated_at_ms >= SCALING_SATURATED_RETRY_MS)
        memory->saturated = false;
}

static void learn(struct scaling_memory *memory, uint64_t now_ms,
                  const struct scaling_settings *settings, const struct scaling_observation *seen)
{
    if (!settled(memory, now_ms, seen) || !seen->rates_known || seen->members_foreign > 0)
        return;

    double sample = seen->consume_rate / seen->replicas_ready;
    if (memory->capacity > 0 && sample > memory->capacity) {
        memory->capacity = sample; /* whatever they can, they do this much */
        memory->capacity_at_ms = now_ms;
    }
    bool limited = seen->backend == SCALING_BACKEND_DOWN ||
                   seen->backend == SCALING_BACKEND_SATURATED || memory->saturated;
    bool lasting = memory->backlog_at_ms > 0 && now_ms - memory->backlog_at_ms >= LEARN_AFTER_MS;
    if (limited || !lasting || !widespread(settings, seen))
        return;

    uint64_t since_ms = memory->capacity_at_ms > 0 ? now_ms - memory->capacity_at_ms : 2000;
    double weight = memory->capacity > 0 ? 1 - exp(-(double)since_ms / CAPACITY_TAU_MS) : 1;
    memory->capacity += weight * (sample - memory->capacity);
    memory->capacity_at_ms = now_ms;
}

/* Settled replicas that have begun to fall behind manage at least what they consume and less than
 * what arrives. Where the two are close, that is the capacity, and there is no need to wait. */
static void learn_at_the_limit(struct scaling_memory *memory, uint64_t now_ms,
                               const struct scaling_observation *seen)
{
    if (!settled(memory, now_ms, seen) || seen->partitions_stuck > 0 ||
        seen->arrival_rate > seen->consume_rate * LIMIT_SPREAD || seen->consume_rate <= 0)
        return;
    memory->capacity = seen->consume_rate / seen->replicas_ready;
    memory->capacity_at_ms = now_ms;
}

static uint64_t tick_ms(const struct scaling_settings *settings)
{
    return memory_window_ms(settings) / SCALING_WINDOW_BUCKETS + 1;
}

static void begin_window(struct scaling_memory *memory, uint64_t now_ms,
                         const struct scaling_settings *settings, uint32_t wanted)
{
    memory->window_tick_ms = tick_ms(settings);
    memory->window_tick = now_ms / memory->window_tick_ms;
    for (int i = 0; i < SCALING_WINDOW_BUCKETS; i++)
        memory->window[i] = wanted;
}

static uint32_t largest_of(const struct scaling_memory *memory)
{
    uint32_t largest = 0;

    for (int i = 0; i < SCALING_WINDOW_BUCKETS; i++)
        if (largest < memory->window[i])
            largest = memory->window[i];
    return largest;
}

void memory_observe(struct scaling_memory *memory, uint64_t now_ms,
                    const struct scaling_settings *settings, const struct scaling_observation *seen)
{
    if (!memory->begun) {
        memory->begun = true;
        memory->decided = seen->replicas_current;
        memory->busy_at_ms = memory->changed_at_ms = memory->down_at_ms = now_ms;
        begin_window(memory, now_ms, settings, seen->replicas_current);
    }
    if (memory->replicas_seen != seen->replicas_current ||
        memory->ready_seen != seen->replicas_ready || seen->group == SCALING_GROUP_REBALANCING)
        memory->changed_at_ms = now_ms;
    memory->replicas_seen = seen->replicas_current;
    memory->ready_seen = seen->replicas_ready;

    /* What isn't known may be work. */
    if (!seen->lag_known || !seen->rates_known || seen->lag_messages > 0 ||
        !seen->committed_everywhere || seen->arrival_rate > IDLE_RATE)
        memory->busy_at_ms = now_ms;

    if (!backlogged(settings, seen))
        memory->backlog_at_ms = 0;
    else if (memory->backlog_at_ms == 0)
        memory->backlog_at_ms = now_ms;

    judge_step(memory, now_ms, settings, seen);
    lift_saturation(memory, now_ms, settings, seen);
    learn(memory, now_ms, settings, seen);
}

uint32_t memory_window(struct scaling_memory *memory, uint64_t now_ms,
                       const struct scaling_settings *settings, uint32_t wanted)
{
    if (memory->window_tick_ms != tick_ms(settings)) /* somebody changed the settings */
        begin_window(memory, now_ms, settings, largest_of(memory));

    uint64_t tick = now_ms / memory->window_tick_ms;
    uint64_t passed = tick - memory->window_tick;
    for (uint64_t i = 1; i <= passed && i <= SCALING_WINDOW_BUCKETS; i++)
        memory->window[(memory->window_tick + i) % SCALING_WINDOW_BUCKETS] = 0;
    memory->window_tick = tick;

    uint32_t *present = &memory->window[tick % SCALING_WINDOW_BUCKETS];
    if (*present < wanted)
        *present = wanted;
    return largest_of(memory);
}

void memory_step_up(struct scaling_memory *memory, uint64_t now_ms,
                    const struct scaling_settings *settings, const struct scaling_observation *seen,
                    uint32_t wanted)
{
    bool taken_back = memory->down_from > memory->decided &&
                      seen->arrival_rate * SCALING_DOWN_BAND <= memory->down_rate;
    if (memory->capacity <= 0) {
        if (taken_back) {
            memory->cold_floor = memory->down_from;
            memory->cold_rate = seen->arrival_rate;
        }
        learn_at_the_limit(memory, now_ms, seen);
    }

    /* A second step before the first could be judged: both are judged together. */
    if (memory->step_rate > 0) {
        memory->step_to = wanted;
        memory->step_at_ms = now_ms;
        return;
    }
    if (!backlogged(settings, seen) || !settled(memory, now_ms, seen))
        return;
    memory->step_from = seen->replicas_current;
    memory->step_to = wanted;
    memory->step_rate = seen->consume_rate;
    memory->step_at_ms = now_ms;
}

uint32_t memory_cold_down(struct scaling_memory *memory, uint64_t now_ms,
                          const struct scaling_settings *settings,
                          const struct scaling_observation *seen)
{
    uint32_t current = memory->decided;

    if (now_ms - memory->down_at_ms < memory_window_ms(settings))
        return current;
    if (seen->arrival_rate < memory->cold_rate * SCALING_DOWN_BAND)
        memory->cold_floor = 0;
    uint32_t next = scaling_step_down(settings->partitions, current - 1);
    if (next < memory->cold_floor)
        next = memory->cold_floor;
    return next < current ? next : current;
}

void memory_step_down(struct scaling_memory *memory, uint64_t now_ms,
                      const struct scaling_observation *seen)
{
    memory->down_at_ms = now_ms;
    memory->down_from = memory->decided;
    memory->down_rate = seen->arrival_rate;
}
