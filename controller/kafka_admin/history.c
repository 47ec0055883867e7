#include "controller/kafka_admin/history.h"

#include <math.h>
#include <string.h>

static void drop_point(struct history *history, int64_t now_ms)
{
    uint32_t at = 1;
    double closest = (double)INFINITY;

    for (uint32_t i = 1; i + 1 < history->count; i++) {
        const struct history_point *point = &history->points[i];
        double gap = (double)(point[1].ms - point[-1].ms) / (double)(now_ms - point->ms + 1);
        if (gap < closest) {
            closest = gap;
            at = i;
        }
    }
    memmove(&history->points[at], &history->points[at + 1],
            (history->count - at - 1) * sizeof history->points[0]);
    history->count--;
}

void history_add(struct history *history, int64_t now_ms, int64_t end)
{
    struct history_point *last = history->points + history->count;

    if (history->count > 0 && end < last[-1].end)
        history->count = 0;
    /* An end that stands still is two points: since when, and until when. */
    if (history->count >= 2 && last[-1].end == end && last[-2].end == end) {
        last[-1].ms = now_ms;
        return;
    }
    if (history->count == HISTORY_POINTS)
        drop_point(history, now_ms);
    history->points[history->count++] = (struct history_point){.ms = now_ms, .end = end};
}

int64_t history_between(struct history_point before, struct history_point after, int64_t offset)
{
    if (after.end <= before.end)
        return after.ms;
    double share = (double)(offset + 1 - before.end) / (double)(after.end - before.end);
    return before.ms + (int64_t)(share * (double)(after.ms - before.ms));
}

bool history_time_of(const struct history *history, int64_t offset, int64_t *ret_ms)
{
    for (uint32_t i = history->count; i-- > 0;) {
        if (history->points[i].end > offset)
            continue;
        if (i + 1 == history->count)
            return false;
        *ret_ms = history_between(history->points[i], history->points[i + 1], offset);
        return true;
    }
    return false;
}

void rate_feed(struct rate *rate, int64_t now_ms, int64_t counter, double tau_ms)
{
    if (!rate->begun || counter < rate->last) {
        *rate = (struct rate){.begun = true, .last = counter, .last_ms = now_ms};
        return;
    }
    double passed_ms = (double)(now_ms - rate->last_ms);
    if (passed_ms <= 0)
        return;
    double sample = (double)(counter - rate->last) * 1000 / passed_ms;
    double weight = rate->known ? 1 - exp(-passed_ms / tau_ms) : 1;
    rate->per_second += weight * (sample - rate->per_second);
    rate->known = true;
    rate->last = counter;
    rate->last_ms = now_ms;
}
