/* seen: the ids of the messages last read from one partition, so that a message which was produced
 * twice is delivered once. The last SEEN_MAX are kept; unknown means deliver. Zero-initialised is
 * empty. One thread at a time.
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

/* Whether the id is among those kept; it is from now on. Without memory nothing is known. */
bool seen_before(struct seen *seen, struct bytes id);

void seen_fini(struct seen *seen);

#endif
