/* edge_memory: who in an edge may hold how much of memoryLimit.
 *
 *   share       of 64   what it is for
 *   bodies          4   requests that are being received, or wait for the spool
 *   pending         4   what waits for the disk; half of it when requests come in turn
 *   in_flight       3   frames on their way to Kafka, held three times for a moment: as a frame, as
 *                       messages, and compressed
 *   overhead        8   connections, and the beginnings of bodies that wait
 *   scratch        10   what requests become while they are worked on, a few at a time; at least
 *                       enough for the largest
 *
 * All but scratch full at once, with what the process itself needs and what malloc() keeps, stays
 * below 64 MB of 128Mi for requests up to 1 MiB (tests/integration/test_edge_memory.c measures it).
 * Larger ones make the workers need more for a moment, which is what the rest is for.
 */
#ifndef SIDECAR_EDGE_EDGE_MEMORY_H
#define SIDECAR_EDGE_EDGE_MEMORY_H

#include "common/contract/pipeline.h"

#include <stddef.h>

struct edge_memory {
    size_t bodies, pending, in_flight, overhead, scratch; /* bytes */
};

struct edge_memory edge_memory_of(const struct pipeline_edge *edge);

#endif
