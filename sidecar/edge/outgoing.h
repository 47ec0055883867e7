/* outgoing: one frame of the spool on its way to Kafka, as the messages it was cut into.
 *
 *   frame --by topic--> --by key--> --to size--> --encoded--> messages 0/n .. n-1/n
 *                                                               |
 *             each stored or put aside --> done                 +-- too large for the broker:
 *                                                                   two halves in its place
 *
 * A message's id is "<incarnation>-<sequence>-<part>/<parts>", with "~<plan>" behind it where the
 * topics of the signal ask for more than cutting to size, and ".0" or ".1" for each time it was
 * halved: cutting the same frame by the same plan and the same limit gives the same ids. A frame
 * that fits is one message whose value is the frame's own memory.
 *
 * Grouping by trace repeats headers. Where that would come to more than eight times the frame, what
 * is for that topic goes without keys.
 *
 * Thread: the producing thread only.
 */
#ifndef SIDECAR_EDGE_OUTGOING_H
#define SIDECAR_EDGE_OUTGOING_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/error.h"
#include "sidecar/edge/produce_topic.h"
#include "sidecar/otlp/fluentbit_resource.h"
#include "sidecar/otlp/slices.h"
#include "sidecar/spool/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTGOING_ID_MAX  144 /* with its NUL: 69 at most, and two for each of 32 halvings */
#define OUTGOING_KEY_MAX 32

/* Where a message is headed. */
enum destination {
    TO_TOPIC,
    TO_DEAD_LETTERS,         /* with its value, and the reason */
    TO_DEAD_LETTERS_POINTER, /* without: even that was too large */
};

struct outgoing;

struct message {
    struct outgoing *outgoing;
    struct produce_topic *topic;
    struct message *next; /* of this frame */
    struct message *next_waiting;
    struct bytes value;    /* while `unencoded`: the record, a view of the frame */
    struct bytes resource; /* while `unencoded`: what the record is in */
    uint8_t *owned;        /* the value's memory, unless it is the frame's */
    uint32_t part, items;
    uint32_t halves; /* which halves it is of, the first time in the highest of `halvings` bits */
    uint8_t halvings;
    uint8_t key_len; /* 0: no key */
    uint8_t key[OUTGOING_KEY_MAX];
    bool unencoded; /* see outgoing_encode() */
    bool retry;     /* an earlier try may have arrived */
    bool noted;     /* in the journal */
    bool doubted;   /* refused for its size, though it should fit: tried once more */
    bool done;
    int32_t partition; /* -1: not chosen yet */
    uint32_t attempts;
    uint64_t first_try_ms; /* Unix; 0: not tried yet */
    uint64_t due_ms;       /* monotonic: when to try again */
    enum destination destination;
    char *reason; /* for the dead letters */
};

struct outgoing {
    struct outgoing *next; /* of its lane, oldest first */
    struct spool_frame *frame;
    struct message *messages;
    uint32_t parts;
    uint32_t left;     /* messages not done */
    uint32_t plan;     /* 0: cut to size only */
    int32_t partition; /* last chosen for a part of it; -1: none */
    size_t cut_bytes;
    uint64_t keyless_items; /* that should have had keys, see above */
};

/* Memory that is kept from frame to frame. Zero-initialised is empty. */
struct outgoing_work {
    struct otlp_slices groups, parts;
    struct buf gathered, text;
    struct fluentbit_resource resource;
};
void outgoing_work_fini(struct outgoing_work *work);

/* How a frame is cut: for which topics, the default one first, and to which size. */
struct outgoing_plan {
    struct produce_topic *topics;
    size_t topic_count;
    uint32_t plan; /* outgoing_plan_id() of these */
    size_t cut_bytes;
};

/* A number for what the topics ask for; 0 for one topic that takes whole frames. */
uint32_t outgoing_plan_id(const struct produce_topic *topics, size_t topic_count);

/* Takes the frame and cuts it into values of at most `cut_bytes`, but for single items that are
 * larger. On failure the frame is still the caller's. */
NODISCARD enum err outgoing_cut(struct spool_frame **frame, const struct outgoing_plan *plan,
                                struct outgoing_work *work, struct outgoing **ret_outgoing,
                                struct error *error);

/* Makes the value what Kafka gets. Most are from the start; records of their own wait for their
 * turn, or their resource would be in memory once for each. `*ret_bytes`: of memory that this took.
 * ERR_NOMEM. */
NODISCARD enum err outgoing_encode(struct message *message, struct outgoing_work *work,
                                   size_t *ret_bytes, struct error *error);

/* Puts two halves in the message's place; it is done. ERR_NOTFOUND: one item is left, or what can't
 * be cut. ERR_NOMEM. */
NODISCARD enum err outgoing_halve(struct message *message, struct message *ret_halves[2],
                                  struct error *error);

void outgoing_id(const struct message *message, char id[OUTGOING_ID_MAX]);

/* Kafka has it, or it was put aside. */
void outgoing_message_done(struct message *message);

/* Releases the frame and frees. No message may be with the producer any more. */
void outgoing_free(struct outgoing **outgoing);

#endif
