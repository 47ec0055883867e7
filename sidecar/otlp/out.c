#include "sidecar/otlp/out.h"

enum err out_open(struct buf *out, uint32_t number, size_t likely, struct out_mark *ret_mark)
{
    struct out_mark mark = {.field = out->len};

    enum err err = buf_reserve(out, WIRE_HEAD_MAX);
    if (err)
        return err;
    uint8_t *at = wire_put_varint(out->data + out->len, WIRE_TAG(number, WIRE_LEN));
    mark.length = (size_t)(at - out->data);
    mark.body = mark.length + wire_varint_size(likely);
    out->len = mark.body;
    *ret_mark = mark;
    return OK;
}

enum err out_close(struct buf *out, const struct out_mark *mark)
{
    size_t size = out->len - mark->body, width = wire_varint_size(size);
    size_t body = mark->length + width;

    if (body != mark->body) {
        enum err err = buf_reserve(out, WIRE_LEN_MAX);
        if (err)
            return err;
        memmove(out->data + body, out->data + mark->body, size);
        out->len = body + size;
    }
    wire_put_varint(out->data + mark->length, size);
    return OK;
}

enum err out_field(struct buf *out, uint32_t number, struct bytes payload)
{
    enum err err = buf_reserve(out, WIRE_HEAD_MAX + payload.len);
    if (err)
        return err;
    uint8_t *at = wire_put_len(out->data + out->len, number, payload.len);
    if (payload.len > 0)
        memcpy(at, payload.data, payload.len);
    out->len = (size_t)(at - out->data) + payload.len;
    return OK;
}

enum err out_varint(struct buf *out, uint32_t number, uint64_t value)
{
    enum err err = buf_reserve(out, WIRE_LEN_MAX + WIRE_VARINT_MAX);
    if (err)
        return err;
    uint8_t *at = wire_put_varint(out->data + out->len, WIRE_TAG(number, WIRE_VARINT));
    out->len = (size_t)(wire_put_varint(at, value) - out->data);
    return OK;
}

enum err out_double(struct buf *out, uint32_t number, double value)
{
    uint64_t bits = 0;

    enum err err = buf_reserve(out, WIRE_LEN_MAX + sizeof bits);
    if (err)
        return err;
    memcpy(&bits, &value, sizeof bits);
    uint8_t *at = wire_put_varint(out->data + out->len, WIRE_TAG(number, WIRE_FIXED64));
    out->len = (size_t)(wire_put_fixed64(at, bits) - out->data);
    return OK;
}
