/* out: protobuf appended to a buffer, where a field's length is known only when it is done.
 *
 *   out_open -> whatever is inside, nested fields too -> out_close, or out_undo
 *
 * ERR_FULL and ERR_NOMEM are the buffer's. After an error it holds nothing of use.
 */
#ifndef SIDECAR_OTLP_OUT_H
#define SIDECAR_OTLP_OUT_H

#include "common/attr.h"
#include "common/buf.h"
#include "sidecar/otlp/wire.h"

struct out_mark {
    size_t field, length, body; /* offsets: where the field, its length and its payload begin */
};

/* Begins a field whose payload will be about `likely` bytes: if its length then takes as many bytes
 * as that of `likely`, nothing has to be moved. */
NODISCARD enum err out_open(struct buf *out, uint32_t number, size_t likely,
                            struct out_mark *ret_mark);
NODISCARD enum err out_close(struct buf *out, const struct out_mark *mark);

/* As if it had never been opened. */
static inline void out_undo(struct buf *out, const struct out_mark *mark)
{
    out->len = mark->field;
}

/* A whole field. */
NODISCARD enum err out_field(struct buf *out, uint32_t number, struct bytes payload);
NODISCARD enum err out_varint(struct buf *out, uint32_t number, uint64_t value);
NODISCARD enum err out_double(struct buf *out, uint32_t number, double value);

#endif
