/* seen: the ids of the messages last read from one partition, so that a message which was produced
 * twice is delivered once. The last SEEN_MAX are kept; unknown means deliver. Zero-initialised is
 * empty. Pure; one thread at a time.
 */
#ifndef SIDECAR_GATEWAY_SEEN_H
#define SIDECAR_GATEWAY_SEEN_H

#include "common/bytes.h"

#define SEEN_MAX    1024 /* ids */
#define SEEN_ID_MAX 95   /* bytes of one; longer ones are never known */

struct seen_entry;

struct seen {
    struct seen_entry *ring; /* made with the first id */
    uint32_t *heads;         /* chains by hash: index into the ring and 1; 0 ends */
    uint32_t next;
};

/* Whether the id is among those kept. */
bool seen_knows(const struct seen *seen, struct bytes id);

/* Keeps it. Without memory nothing is known. */
void seen_add(struct seen *seen, struct bytes id);

/* Puts what `earlier` keeps before what `seen` does, as if it had been read first, and empties it.
 */
void seen_join(struct seen *seen, struct seen *earlier);

void seen_fini(struct seen *seen);

#endif
