/* watch_stream: bytes of a watch -> events. Incremental and pure.
 *
 *   stream := event*
 *   event  := {"type": "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR", "object": {...}} LF
 *
 * Pieces may be cut anywhere; each byte is looked at once for the line's end. A line above
 * WATCH_LINE_MAX, bad JSON, an unknown type or a missing object is ERR_INVALID, and the stream is
 * dead: the watch lists again. Empty lines are skipped; an unfinished line at the end of the
 * connection is no event.
 *
 * Thread: its owner's.
 */
#ifndef COMMON_KUBE_STREAM_H
#define COMMON_KUBE_STREAM_H

#include "common/json.h"

#define WATCH_LINE_MAX (16u << 20)

enum watch_event_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_ERROR };

/* Zero-initialised is a stream at its start. */
struct watch_stream {
    struct buf line; /* of an event whose end hasn't come */
    bool dead;
};
void watch_stream_fini(struct watch_stream *stream);

/* Forgets everything: a new connection begins. */
void watch_stream_reset(struct watch_stream *stream);

/* `object` belongs to the stream and is freed after the call; json_clone() or take parts of it.
 * Anything but OK stops the feed with that code. */
typedef enum err watch_event_fn(void *context, enum watch_event_type type, struct json *object,
                                struct error *error);

/* Calls `on_event` for each event that ends in `piece`. ERR_CLOSED: dead already. */
NODISCARD enum err watch_stream_feed(struct watch_stream *stream, struct bytes piece,
                                     watch_event_fn *on_event, void *context, struct error *error);

#endif
