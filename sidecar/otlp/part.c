#include "sidecar/otlp/part.h"

#include "common/assert.h"
#include "sidecar/otlp/wire.h"

void part_clear(struct part *part)
{
    otlp_slices_clear(part->out);
    part->open = 0;
    part->bodies[0] = 0;
}

enum err part_open(struct part *part, uint32_t number, struct part_header header)
{
    unsigned level = part->open + 1;

    ASSERT(level < OTLP_LEVELS_MAX);
    enum err err = otlp_slices_slot(part->out, &part->slots[level]);
    for (size_t i = 0; err == OK && i < header.count; i++)
        err = otlp_slices_add(part->out, header.views[i]);
    if (err)
        return err;
    part->numbers[level] = number;
    part->bodies[level] = header.size_bytes;
    part->open = level;
    return OK;
}

void part_close_to(struct part *part, unsigned level)
{
    for (; part->open > level; part->open--) {
        uint8_t head[WIRE_HEAD_MAX];
        size_t body = part->bodies[part->open];
        size_t len = (size_t)(wire_put_len(head, part->numbers[part->open], body) - head);
        otlp_slices_fill(part->out, part->slots[part->open], (struct bytes){head, len});
        part->bodies[part->open - 1] += len + body;
    }
}

enum err part_add(struct part *part, struct bytes field)
{
    enum err err = otlp_slices_add(part->out, field);
    if (err)
        return err;
    part->bodies[part->open] += field.len;
    return OK;
}
