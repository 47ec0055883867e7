/* trace_state: OpenTelemetry's part of a W3C tracestate, as sampling reads and writes it.
 *
 *   vendor=a, ot=th:c;rv:6e6d1a75832a2f;x:y, other=b
 *                '------- sub-keys -------'
 *
 *   th   threshold: hex digits of a number of 14, with zeros at the end left out. Of the traces
 *        that were there, those with a smaller randomness have been dropped by now
 *   rv   randomness, 14 hex digits: takes the place of the trace id's lowest 56 bits
 *
 * All else is kept as it is: other members in their order, behind OpenTelemetry's, which is put in
 * front, as W3C wants of who writes; other sub-keys behind th.
 *
 * Pure.
 */
#ifndef SIDECAR_PROCESS_TRACE_STATE_H
#define SIDECAR_PROCESS_TRACE_STATE_H

#include "common/attr.h"
#include "common/buf.h"

#include <stdbool.h>

#define TRACE_STATE_MEMBERS_MAX 32  /* one more, and the last goes */
#define TRACE_STATE_OT_MAX      256 /* bytes of the sub-keys */

#define TRACE_STATE_DIGITS 14
#define TRACE_STATE_ABSENT UINT64_MAX

struct trace_state {
    struct bytes text;              /* all of it, a loan */
    struct bytes ot;                /* the sub-keys, in it */
    uint64_t threshold, randomness; /* or TRACE_STATE_ABSENT */
    bool has_threshold;             /* also one that can't be read */
};

/* False: OpenTelemetry's member is there more than once, or has characters that it can't have, so
 * nobody knows what it says. */
bool trace_state_read(struct bytes text, struct trace_state *ret_state);

/* Appends the text with another threshold, which is below 2^56; TRACE_STATE_ABSENT: with none.
 * ERR_INVALID: the sub-keys would be too long, and nothing was appended. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err trace_state_write(const struct trace_state *state, uint64_t threshold,
                                     struct buf *out);

#endif
