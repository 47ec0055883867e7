/* levels: the containers of a request from the outside in, which is all that cutting and counting
 * have to know of OTLP.
 *
 *   level    0         1          2       3        4
 *   traces   request   resource   scope   (spans)
 *   logs     request   resource   scope   (log records)
 *   metrics  request   resource   scope   metric   data   (data points)
 *
 * Fields that hold the next level are children, all others are the container's header. What the
 * last level holds are items.
 */
#ifndef SIDECAR_OTLP_LEVELS_H
#define SIDECAR_OTLP_LEVELS_H

#include "common/bytes.h"
#include "common/contract/signal.h"
#include "sidecar/otlp/wire.h"

#define OTLP_LEVELS_MAX   5
#define OTLP_LEVEL_METRIC 3 /* of metrics: its child is a oneof */

struct otlp_levels {
    unsigned count;
    uint32_t children[OTLP_LEVELS_MAX]; /* bit n: field n */
};

extern const struct otlp_levels otlp_levels[SIGNAL_COUNT];

static inline bool otlp_is_child(const struct otlp_levels *levels, unsigned level,
                                 const struct wire_field *field)
{
    return field->type == WIRE_LEN && field->number < 32 &&
           (levels->children[level] >> field->number & 1) != 0;
}

struct otlp_level_counts {
    uint32_t at[OTLP_LEVELS_MAX + 1]; /* containers of each level; [count]: items */
};

/* Adds what is in a container of `level`, itself included. False: malformed. */
bool otlp_count_level(enum signal signal, unsigned level, struct bytes container,
                      struct otlp_level_counts *counts);

#endif
