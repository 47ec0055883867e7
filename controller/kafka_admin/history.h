/* history: where the end of a partition stood when, and from that, when a message was appended; and
 * the rate at which a counter moves.
 *
 * Pure. A history holds HISTORY_POINTS points. When it is full, the point is dropped whose
 * neighbours lie closest together for their age, so that the resolution is a share of the age:
 * seconds for what is seconds old, minutes for what is hours old. Times are monotonic ms, and may
 * be negative for what was before the machine started.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_HISTORY_H
#define CONTROLLER_KAFKA_ADMIN_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_POINTS 48

struct history_point {
    int64_t ms, end;
};

/* Zero-initialised is empty and valid. */
struct history {
    struct history_point points[HISTORY_POINTS];
    uint32_t count;
};

/* The end stands at `end` now. An end below the last one forgets all that was before. */
void history_add(struct history *history, int64_t now_ms, int64_t end);

/* When the message at `offset` was appended, by interpolation. False: before the first point, or
 * not yet. */
bool history_time_of(const struct history *history, int64_t offset, int64_t *ret_ms);

/* The time of `offset` on the line between two points. */
int64_t history_between(struct history_point before, struct history_point after, int64_t offset);

/* An average that forgets with time constant `tau_ms`. Zero-initialised is valid and not known. */
struct rate {
    bool begun, known;
    int64_t last;
    int64_t last_ms;
    double per_second;
};

/* A counter that goes back begins anew. */
void rate_feed(struct rate *rate, int64_t now_ms, int64_t counter, double tau_ms);

#endif
