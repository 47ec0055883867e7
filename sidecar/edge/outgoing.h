/* outgoing: one frame of the spool on its way to Kafka, as the messages it was cut into.
 *
 *   frame --outgoing_cut--> messages 0/n .. n-1/n --each stored or put aside--> done
 *                              |
 *                              +-- too large for the broker: two halves in its place
 *
 * A message's id is "<incarnation>-<sequence>-<part>/<parts>", with ".0" or ".1" behind it for each
 * time it was halved: cutting the same frame by the same limit gives the same ids. A frame that
 * fits is one message whose value is the frame's own memory.
 *
 * Thread: the producing thread only.
 */
#ifndef SIDECAR_EDGE_OUTGOING_H
#define SIDECAR_EDGE_OUTGOING_H

#include "common/attr.h"
#include "common/error.h"
#include "sidecar/otlp/slices.h"
#include "sidecar/spool/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTGOING_ID_MAX 96 /* with its NUL */

/* Where a message is headed. */
enum destination {
    TO_TOPIC,
    TO_DEAD_LETTERS,         /* with its value, and the reason */
    TO_DEAD_LETTERS_POINTER, /* without: even that was too large */
};

struct outgoing;

struct message {
    struct outgoing *outgoing;
    struct message *next; /* of this frame */
    struct message *next_waiting;
    struct bytes value;
    uint8_t *owned; /* the value's memory, unless it is the frame's */
    char id[OUTGOING_ID_MAX];
    uint32_t part, parts, items;
    int32_t partition; /* -1: not chosen yet */
    bool retry;        /* an earlier try may have arrived */
    bool halved;       /* its journal entry is its parent's */
    bool doubted;      /* refused for its size, though it should fit: tried once more */
    bool done;
    uint64_t first_try_ms; /* Unix; 0: not tried yet */
    uint32_t attempts;
    uint64_t due_ms; /* monotonic: when to try again */
    enum destination destination;
    char reason[200]; /* for the dead letters */
};

struct outgoing {
    struct outgoing *next; /* of its lane, oldest first */
    struct spool_frame *frame;
    struct message *messages;
    uint32_t left; /* messages not done */
    size_t cut_bytes;
};

/* Takes the frame and cuts it into values of at most `cut_bytes`, but for single items that are
 * larger. On failure the frame is still the caller's. */
NODISCARD enum err outgoing_cut(struct spool_frame **frame, size_t cut_bytes,
                                struct otlp_slices *work, struct outgoing **ret_outgoing,
                                struct error *error);

/* Puts two halves in the message's place; it is done. ERR_NOTFOUND: one item is left. */
NODISCARD enum err outgoing_halve(struct message *message, struct message *ret_halves[2],
                                  struct error *error);

/* Kafka has it, or it was put aside. */
void outgoing_message_done(struct message *message);

/* Releases the frame and frees. No message may be with the producer any more. */
void outgoing_free(struct outgoing **outgoing);

#endif
