#include "sidecar/process/rewrite.h"

#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/out.h"

enum { HEAD = 1 /* Resource in ResourceX, scope in ScopeX */, METADATA = 12 };

struct writing {
    enum signal signal;
    const struct otlp_levels *levels;
    const struct rewrite_hooks *hooks;
    struct buf *out;
    struct buf merged[2]; /* heads that came in several parts */
    struct bytes run;     /* of the input, to be copied when something else is written */
    enum otlp_message_id item;
    uint32_t kept, dropped; /* items so far */
};

/* How the Resource or scope of a container is written. */
struct head {
    struct bytes bytes;
    bool changed, done;
};

static enum err write_level(struct writing *writing, unsigned level, struct bytes container);

/* ---- what is copied */

static enum err flush(struct writing *writing)
{
    struct bytes run = writing->run;

    writing->run = (struct bytes){0};
    return buf_append(writing->out, run);
}

/* Neighbours become one run. */
static enum err copy(struct writing *writing, struct bytes whole)
{
    struct bytes *run = &writing->run;

    if (run->len > 0 && run->data + run->len == whole.data) {
        run->len += whole.len;
        return OK;
    }
    enum err err = flush(writing);
    *run = whole;
    return err;
}

static enum err put(struct writing *writing, uint32_t number, struct bytes payload)
{
    enum err err = flush(writing);
    return err ? err : out_field(writing->out, number, payload);
}

/* ---- heads */

static bool is_head(unsigned level, const struct wire_field *field)
{
    return level <= REWRITE_SCOPE && field->number == HEAD && field->type == WIRE_LEN;
}

/* Messages one behind the other are one message to protobuf. */
static enum err find_head(struct writing *writing, unsigned level, struct bytes container,
                          struct bytes *ret_head)
{
    struct buf *merged = &writing->merged[level - 1];
    struct bytes head = {0};
    struct wire_field field;
    size_t parts = 0;

    while (container.len > 0) {
        if (!wire_next(&container, &field))
            return ERR_INVALID;
        if (!is_head(level, &field))
            continue;
        if (parts++ == 0) {
            head = field.payload;
            continue;
        }
        if (parts == 2)
            buf_clear(merged);
        enum err err = parts == 2 ? buf_append(merged, head) : OK;
        if (!err)
            err = buf_append(merged, field.payload);
        if (err)
            return err;
    }
    *ret_head = parts > 1 ? buf_bytes(merged) : head;
    return OK;
}

static enum err enter(struct writing *writing, unsigned level, struct bytes container,
                      struct head *ret_head)
{
    struct head head = {.bytes = container};

    if (level <= REWRITE_SCOPE) {
        enum err err = find_head(writing, level, container, &head.bytes);
        if (err)
            return err;
    }
    struct bytes before = head.bytes;
    enum err err =
        writing->hooks->enter(writing->hooks->context, (enum rewrite_level)level, &head.bytes);
    head.changed =
        level <= REWRITE_SCOPE && (head.bytes.data != before.data || head.bytes.len != before.len);
    *ret_head = head;
    return err;
}

/* ---- fields */

static enum err write_item(struct writing *writing, const struct wire_field *field)
{
    struct bytes bytes = field->payload;
    bool keep = true;

    enum err err = writing->hooks->item(writing->hooks->context, writing->item, &bytes, &keep);
    if (err)
        return err;
    writing->kept += keep;
    writing->dropped += !keep;
    if (!keep)
        return OK;
    if (bytes.data == field->payload.data && bytes.len == field->payload.len)
        return copy(writing, field->whole);
    return put(writing, field->number, bytes);
}

static enum err write_container(struct writing *writing, unsigned level,
                                const struct wire_field *field)
{
    uint32_t kept = writing->kept, dropped = writing->dropped;
    struct out_mark mark;

    enum err err = flush(writing);
    if (!err)
        err = out_open(writing->out, field->number, field->payload.len, &mark);
    if (!err)
        err = write_level(writing, level, field->payload);
    if (err)
        return err;
    if (writing->kept == kept && writing->dropped > dropped) {
        writing->run = (struct bytes){0};
        out_undo(writing->out, &mark);
        return OK;
    }
    err = flush(writing);
    return err ? err : out_close(writing->out, &mark);
}

static enum err write_metadata(struct writing *writing, const struct wire_field *field)
{
    struct bytes bytes = field->payload;

    enum err err = writing->hooks->metadata(writing->hooks->context, &bytes);
    if (err)
        return err;
    if (bytes.data == field->payload.data && bytes.len == field->payload.len)
        return copy(writing, field->whole);
    return put(writing, field->number, bytes);
}

/* The kind of point that is in a field of Metric. */
static enum otlp_message_id point_of(uint32_t number)
{
    const struct otlp_field *data = otlp_field_by_number(OTLP_METRIC, number);
    const struct otlp_field *points = otlp_field_by_number(data->child, 1);
    return points->child;
}

static enum err write_child(struct writing *writing, unsigned level, const struct wire_field *field)
{
    if (level + 1 == writing->levels->count)
        return write_item(writing, field);
    if (writing->signal == SIGNAL_METRICS && level == REWRITE_METRIC)
        writing->item = point_of(field->number);
    return write_container(writing, level + 1, field);
}

static enum err write_head(struct writing *writing, struct head *head)
{
    if (head->done)
        return OK;
    head->done = true;
    return put(writing, HEAD, head->bytes);
}

static enum err write_field(struct writing *writing, unsigned level, struct head *head,
                            const struct wire_field *field)
{
    if (otlp_is_child(writing->levels, level, field))
        return write_child(writing, level, field);
    if (head->changed && is_head(level, field))
        return write_head(writing, head);
    if (writing->signal == SIGNAL_METRICS && level == REWRITE_METRIC && field->number == METADATA &&
        field->type == WIRE_LEN && writing->hooks->metadata != NULL)
        return write_metadata(writing, field);
    return copy(writing, field->whole);
}

static enum err write_level(struct writing *writing, unsigned level, struct bytes container)
{
    struct head head = {0};
    struct wire_field field;
    enum err err = OK;

    if (level >= REWRITE_RESOURCE && level <= REWRITE_METRIC && level < writing->levels->count)
        err = enter(writing, level, container, &head);
    while (!err && container.len > 0) {
        if (!wire_next(&container, &field))
            return ERR_INVALID;
        err = write_field(writing, level, &head, &field);
    }
    if (!err && head.changed) /* there was none before, so it goes behind the rest */
        err = write_head(writing, &head);
    return err;
}

enum err rewrite(enum signal signal, struct bytes request, const struct rewrite_hooks *hooks,
                 struct buf *out, uint32_t *ret_items)
{
    struct writing writing = {.signal = signal,
                              .levels = &otlp_levels[signal],
                              .hooks = hooks,
                              .out = out,
                              .item = signal == SIGNAL_TRACES ? OTLP_SPAN : OTLP_LOG_RECORD};

    enum err err = write_level(&writing, 0, request);
    if (!err)
        err = flush(&writing);
    buf_fini(&writing.merged[0]);
    buf_fini(&writing.merged[1]);
    if (!err)
        *ret_items = writing.kept;
    return err;
}
