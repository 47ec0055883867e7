#include "common/kube/stream.h"

static const char *const type_names[] = {[WATCH_ADDED] = "ADDED",
                                         [WATCH_MODIFIED] = "MODIFIED",
                                         [WATCH_DELETED] = "DELETED",
                                         [WATCH_BOOKMARK] = "BOOKMARK",
                                         [WATCH_ERROR] = "ERROR"};

void watch_stream_fini(struct watch_stream *stream)
{
    buf_fini(&stream->line);
    stream->dead = false;
}

void watch_stream_reset(struct watch_stream *stream)
{
    watch_stream_fini(stream);
}

static enum err type_of(const struct json *event, enum watch_event_type *ret_type,
                        struct error *error)
{
    const char *name = json_string(json_get(event, "type"), "");

    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *ret_type = (enum watch_event_type)i;
            return OK;
        }
    }
    return error_set(error, ERR_INVALID, "watch event of type '%.40s'", name);
}

static enum err handle_line(struct bytes line, watch_event_fn *on_event, void *context,
                            struct error *error)
{
    AUTO(json_free) struct json *event = NULL;
    enum watch_event_type type = WATCH_ERROR;

    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return OK;

    enum err err = json_parse(line, WATCH_LINE_MAX, &event, error);
    if (err)
        return error_prefix(error, ERR_INVALID, "watch event");
    err = type_of(event, &type, error);
    if (err)
        return err;
    struct json *object = json_get(event, "object");
    if (json_kind(object) != JSON_OBJECT)
        return error_set(error, ERR_INVALID, "watch event %s without an object", type_names[type]);
    return on_event(context, type, object, error);
}

/* The line's first part may wait in stream->line; what is in `piece` alone is not copied. */
static enum err end_line(struct watch_stream *stream, struct bytes rest, watch_event_fn *on_event,
                         void *context, struct error *error)
{
    if (stream->line.len == 0)
        return handle_line(rest, on_event, context, error);

    enum err err = buf_append(&stream->line, rest);
    if (err)
        return error_set(error, err, "watch event");
    err = handle_line(buf_bytes(&stream->line), on_event, context, error);
    if (stream->line.cap > 64u << 10)
        buf_fini(&stream->line); /* one large object must not hold its memory for ever */
    buf_clear(&stream->line);
    return err;
}

static enum err feed(struct watch_stream *stream, struct bytes piece, watch_event_fn *on_event,
                     void *context, struct error *error)
{
    while (piece.len > 0) {
        const uint8_t *end = memchr(piece.data, '\n', piece.len);
        size_t len = end == NULL ? piece.len : (size_t)(end - piece.data);
        struct bytes part = {piece.data, len};

        if (stream->line.len + len > WATCH_LINE_MAX)
            return error_set(error, ERR_INVALID, "watch event above %u bytes", WATCH_LINE_MAX);
        if (end == NULL) {
            enum err err = buf_append(&stream->line, part);
            return err ? error_set(error, err, "watch event") : OK;
        }
        enum err err = end_line(stream, part, on_event, context, error);
        if (err)
            return err;
        piece.data += len + 1;
        piece.len -= len + 1;
    }
    return OK;
}

enum err watch_stream_feed(struct watch_stream *stream, struct bytes piece,
                           watch_event_fn *on_event, void *context, struct error *error)
{
    if (stream->dead)
        return error_set(error, ERR_CLOSED, "the watch stream ended earlier");

    enum err err = feed(stream, piece, on_event, context, error);
    if (err)
        stream->dead = true;
    return err;
}
