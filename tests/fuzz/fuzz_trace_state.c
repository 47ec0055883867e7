/* Any bytes as a tracestate: whatever is read of it is there again once another threshold has been
 * written, and writing the same once more changes nothing. */
#include "common/assert.h"
#include "sidecar/process/trace_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct trace_state *read, uint64_t threshold)
{
    AUTO(buf_fini) struct buf first = {0}, second = {0};
    struct trace_state again;

    enum err err = trace_state_write(read, threshold, &first);
    ASSERT(err == OK || (err == ERR_INVALID && first.len == 0));
    if (err)
        return;
    bool known = trace_state_read(buf_bytes(&first), &again);
    ASSERT(known);
    ASSERT(again.threshold == threshold);
    ASSERT(again.has_threshold == (threshold != TRACE_STATE_ABSENT));
    ASSERT(again.randomness == read->randomness);
    ASSERT(again.ot.len <= TRACE_STATE_OT_MAX);
    err = trace_state_write(&again, threshold, &second);
    ASSERT(err == OK);
    ASSERT(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trace_state read;

    if (!trace_state_read((struct bytes){data, size}, &read))
        return 0;
    check(&read, TRACE_STATE_ABSENT);
    check(&read, UINT64_C(0xfd70a000000000));
    check(&read, 0);
    return 0;
}
