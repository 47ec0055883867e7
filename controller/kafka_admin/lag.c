#include "controller/kafka_admin/lag.h"

#include <inttypes.h>
#include <stdio.h>

#define STILL_MS 15000 /* an end and a commit that both stand so long may stand for ever */

/* ---- the partition */

void lag_reset_end(struct lag_end *end)
{
    *end = (struct lag_end){.generation = end->generation + 1};
}

void lag_feed_start(struct lag_end *end, int64_t start)
{
    end->start_known = true;
    end->start = start;
}

void lag_feed_end(struct lag_end *end, int64_t now_ms, int64_t offset)
{
    if (end->known && offset < end->end) {
        lag_reset_end(end);
    }
    if (!end->known || offset != end->end)
        end->moved_ms = now_ms;
    end->known = true;
    end->end = offset;
    end->read_ms = now_ms;
    history_add(&end->history, now_ms, offset);
    rate_feed(&end->arrival, now_ms, offset, LAG_ARRIVAL_TAU_MS);
}

/* ---- the group's place in it */

/* What was there and expired before it was committed. */
static void count_lost(struct lag_commit *commit, const struct lag_end *end)
{
    int64_t from = commit->committed;

    if (from == OFFSET_NONE || !end->start_known)
        return;
    if (from < commit->lost_below)
        from = commit->lost_below;
    if (end->start <= from)
        return;
    commit->lost += (uint64_t)(end->start - from);
    commit->lost_below = end->start;
}

void lag_feed_commit(struct lag_commit *commit, const struct lag_end *end, int64_t now_ms,
                     int64_t committed)
{
    if (!commit->read || commit->generation != end->generation)
        *commit = (struct lag_commit){.generation = end->generation,
                                      .changed_ms = now_ms,
                                      .stalled_ms = now_ms,
                                      .committed = committed,
                                      .lost = commit->lost};
    if (committed != commit->committed)
        commit->changed_ms = commit->stalled_ms = now_ms;
    commit->read = true;
    commit->committed = committed;
    commit->read_ms = now_ms;
    if (committed != OFFSET_NONE)
        rate_feed(&commit->consume, now_ms, committed, LAG_CONSUME_TAU_MS);
    count_lost(commit, end);
}

/* A committed offset past the end is of another topic that had the name before. It may also only
 * have been read a moment after the end. */
static bool past_the_end(const struct lag_end *end, const struct lag_commit *commit)
{
    return commit->committed > end->end && end->read_ms > commit->read_ms;
}

int64_t lag_base(const struct lag_context *context, const struct lag_end *end,
                 const struct lag_commit *commit)
{
    int64_t base = commit->committed;

    if (base == OFFSET_NONE || past_the_end(end, commit))
        base = context->latest ? end->end : end->start;
    if (base < end->start)
        base = end->start;
    return base < end->end ? base : end->end;
}

static bool nothing_but_markers(const struct lag_end *end, const struct lag_commit *commit,
                                int64_t base)
{
    return commit->peek == LAG_NOTHING && commit->peek_at == base && commit->peek_end == end->end;
}

static bool known(const struct lag_context *context, const struct lag_end *end,
                  const struct lag_commit *commit)
{
    if (!end->known || !end->start_known || !commit->read || commit->generation != end->generation)
        return false;
    if (context->now_ms - end->read_ms > OBSERVER_STALE_MS)
        return false;
    if (context->asleep)
        return true; /* nobody commits */
    bool moved = end->moved_ms > commit->read_ms;
    int64_t limit_ms = moved ? OBSERVER_STALE_MS : OBSERVER_IDLE_MS + OBSERVER_STALE_MS;
    return context->now_ms - commit->read_ms <= limit_ms;
}

/* Age of the message at `base`: from the history, or from the record that was read there or below,
 * with a straight line between it and where the history begins. */
static bool age_of(const struct lag_end *end, const struct lag_commit *commit, int64_t base,
                   int64_t now_ms, uint64_t *ret_age_ms)
{
    int64_t made_ms = 0;

    if (!history_time_of(&end->history, base, &made_ms)) {
        struct history_point first = end->history.points[0];
        struct history_point record = {.ms = commit->peek_ms, .end = commit->peek_at + 1};
        if (commit->peek != LAG_RECORD || base < commit->peek_at || end->history.count == 0)
            return false;
        made_ms = base == commit->peek_at ? record.ms : history_between(record, first, base);
        if (made_ms > first.ms)
            made_ms = first.ms;
    }
    *ret_age_ms = made_ms < now_ms ? (uint64_t)(now_ms - made_ms) : 0;
    return true;
}

struct partition_lag lag_of(const struct lag_context *context, const struct lag_end *end,
                            struct lag_commit *commit)
{
    struct partition_lag lag = {.start = end->start_known ? end->start : OFFSET_NONE,
                                .end = end->known ? end->end : OFFSET_NONE,
                                .committed = commit->read ? commit->committed : OFFSET_NONE,
                                .arrival_rate = end->arrival.per_second,
                                .consume_rate = context->asleep ? 0 : commit->consume.per_second,
                                .lost = commit->lost};

    if (!known(context, end, commit)) {
        commit->stalled_ms = context->now_ms;
        return lag;
    }
    int64_t base = lag_base(context, end, commit);
    if (!nothing_but_markers(end, commit, base))
        lag.lag = (uint64_t)(end->end - base);
    /* Before a group is woken for it, a message must be more than a marker. */
    lag.known = !(context->asleep && lag.lag > 0 && lag_wants_peek(context, end, commit));
    lag.lag_ms_known = lag.lag == 0 || age_of(end, commit, base, context->now_ms, &lag.lag_ms);
    if (lag.lag == 0 || !context->working)
        commit->stalled_ms = context->now_ms;
    lag.stuck = context->now_ms - commit->stalled_ms >= OBSERVER_STUCK_MS;
    return lag;
}

bool lag_wants_peek(const struct lag_context *context, const struct lag_end *end,
                    const struct lag_commit *commit)
{
    int64_t made_ms = 0;

    if (!known(context, end, commit) || context->now_ms < commit->peek_retry_ms)
        return false;
    int64_t base = lag_base(context, end, commit);
    if (base >= end->end)
        return false;
    if (commit->peek != LAG_NOT_PEEKED && commit->peek_at == base &&
        (commit->peek == LAG_RECORD || commit->peek_end == end->end))
        return false; /* that is known already */
    bool still = context->now_ms - end->moved_ms >= STILL_MS &&
                 context->now_ms - commit->changed_ms >= STILL_MS;
    bool aged = history_time_of(&end->history, base, &made_ms) ||
                (commit->peek == LAG_RECORD && commit->peek_at <= base);
    return still || context->asleep || !aged;
}

void lag_feed_peek(struct lag_commit *commit, int64_t at, int64_t end, enum lag_peek found,
                   int64_t made_ms)
{
    commit->peek = found;
    commit->peek_at = at;
    commit->peek_end = end;
    commit->peek_ms = made_ms;
}

/* ---- the group */

void lag_sum(struct group_lag *group, const struct partition_lag *partition, bool committed)
{
    bool empty = partition->known && partition->start == partition->end;

    group->partitions++;
    group->lost_messages += partition->lost;
    group->arrival_rate += partition->arrival_rate;
    group->consume_rate += partition->consume_rate;
    if (!committed && !empty)
        group->committed_everywhere = false;
    if (!partition->known) {
        group->partitions_unknown++;
        return;
    }
    group->lag_messages += partition->lag;
    if (partition->lag > 0) {
        double share = (double)partition->lag; /* the largest, until lag_finish() */
        group->partitions_lagging++;
        if (group->skew < share)
            group->skew = share;
    }
    if (!partition->lag_ms_known)
        group->lag_ms_known = false;
    else if (group->lag_ms < partition->lag_ms)
        group->lag_ms = partition->lag_ms;
    if (partition->stuck) {
        group->lag_stuck += partition->lag;
        if (group->partitions_stuck++ == 0)
            snprintf(group->stuck_where, sizeof group->stuck_where,
                     "%s/%" PRId32 " at offset %" PRId64, partition->topic, partition->partition,
                     partition->committed);
    }
}

void lag_finish(struct group_lag *group)
{
    double shrinking = group->consume_rate - group->arrival_rate;

    group->known = group->partitions > 0 && group->partitions_unknown == 0;
    if (!group->known)
        group->lag_ms_known = false;
    if (group->lag_messages > 0)
        group->skew *= (double)group->partitions / (double)group->lag_messages;
    if (group->lag_messages == 0)
        group->drain_ms = 0;
    else if (group->rates_known && shrinking > 0 && (double)group->lag_messages / shrinking < 1e12)
        group->drain_ms = (int64_t)((double)group->lag_messages * 1000 / shrinking);
    else
        group->drain_ms = -1;
}
