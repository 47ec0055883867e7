/* part: a request put together from fields of others, container by container.
 *
 *   open resource, open scope, add span, add span, close to 0, ...
 *
 *   out:  [slot][resource header][slot][scope header][span][span]
 *          ^ level 1              ^ level 2
 *
 * What is added are views. A container that is opened leaves a slot for its tag and length, which
 * is filled when it is closed. Level 0 is the request itself; it is always open.
 */
#ifndef SIDECAR_OTLP_PART_H
#define SIDECAR_OTLP_PART_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/slices.h"

/* The fields of a container that are not its children, as views. */
struct part_header {
    const struct bytes *views;
    size_t count, size_bytes;
};

struct part {
    struct otlp_slices *out;
    unsigned open; /* level of the innermost open container */
    uint32_t numbers[OTLP_LEVELS_MAX];
    size_t slots[OTLP_LEVELS_MAX];
    size_t bodies[OTLP_LEVELS_MAX]; /* bytes in each, but for what is in an open child */
};

/* Empties it, and `out`. */
void part_clear(struct part *part);

/* Opens a container, which is field `number` of the innermost open one. */
NODISCARD enum err part_open(struct part *part, uint32_t number, struct part_header header);

/* Closes containers until `level` is the innermost. */
void part_close_to(struct part *part, unsigned level);

/* Adds a field to the innermost container. */
NODISCARD enum err part_add(struct part *part, struct bytes field);

#endif
