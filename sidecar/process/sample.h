/* sample: whether an item is among the part that is kept. Pure.
 *
 * Consistent with OpenTelemetry's probability sampling: the lowest 56 bits of the trace id are the
 * randomness R, and what has R >= T is kept, where T = (1 - ratio) * 2^56. So a trace that a ratio
 * keeps is kept by every higher one, in every process.
 */
#ifndef SIDECAR_PROCESS_SAMPLE_H
#define SIDECAR_PROCESS_SAMPLE_H

#include "sidecar/process/item.h"

/* The threshold of a ratio from 0 to 1; 2^56 for 0, which nothing reaches. */
uint64_t sample_threshold(double ratio);

/* `item` is a span or log record; one without a trace id is decided by a hash of its bytes. */
bool sample_keeps(uint64_t threshold, const struct item *item);

#endif
