/* sample: whether an item is among the part that is kept, and what is noted of it then. Pure.
 *
 * This is OpenTelemetry's consistent probability sampling, as an equalizing downstream sampler:
 *
 *   R   56 bits of randomness: `rv` of the span's tracestate, or the lowest bits of the trace id
 *   T   (1 - ratio) * 2^56, rounded to four digits, as SDKs and the Collector round it
 *
 * What has R >= T is kept. So a trace that a ratio keeps is kept by every higher one, in every
 * process. A span that is kept by it says so in its tracestate (trace_state.h), for whoever counts
 * what it stands for:
 *
 *   th of the span     R     becomes
 *   none, or below T   >= T  T
 *   T or above         >= T  what it was: no sampler makes up for what an earlier one has dropped
 *   above R            >= T  none: it is wrong, so nobody knows; the same for one that can't be
 *                            read
 *
 * Log records have no tracestate. Without a trace id a hash of the bytes decides, and nothing is
 * noted, for nobody could decide the same.
 */
#ifndef SIDECAR_PROCESS_SAMPLE_H
#define SIDECAR_PROCESS_SAMPLE_H

#include "common/attr.h"
#include "common/buf.h"
#include "sidecar/process/item.h"

/* The threshold of a ratio from 0 to 1; 2^56 for 0, which nothing reaches. */
uint64_t sample_threshold(double ratio);

/* `item` is a span or log record. */
bool sample_keeps(uint64_t threshold, const struct item *item);

/* Appends an item that was kept for its randomness alone with its new tracestate. Nothing is
 * appended of one that is to be left as it is; nor if the tracestate has no room for more.
 * ERR_FULL, ERR_NOMEM. */
NODISCARD enum err sample_note(uint64_t threshold, const struct item *item, struct buf *out,
                               bool *ret_changed);

#endif
