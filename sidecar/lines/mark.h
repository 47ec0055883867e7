/* mark: how far the lines of one file have been emitted, so that reading can go on there.
 *
 *   file     o1 o2 e1 o3 e2p o4 ...          o: stdout, e: stderr, p: part of a line that goes on
 *                     ^resume  ^read so far
 *   streams  stdout.to = end of o4, stderr.to = end of e1
 *
 * Streams are grouped and joined apart, so what is emitted is no prefix of the file. After a crash
 * reading begins anew at `resume`, the start of the oldest line that waits for more; of each
 * stream, the lines that begin below its `to` have been emitted and are passed over. A line that
 * was cut goes on where the last part ended. So no line is lost, and none comes twice.
 *
 * Stored as:  mark := resume  kinds  stream*         all numbers are varints
 *             kinds: two bits for each stream, from the lowest: 0 nothing, 1 `to`, 2 all fields
 *             stream := to - resume (zigzag)  within  part  time_ns       (the last three for 2)
 *
 * Pure; any thread.
 */
#ifndef SIDECAR_LINES_MARK_H
#define SIDECAR_LINES_MARK_H

#include "common/bytes.h"

enum lines_stream { LINES_PLAIN, LINES_STDOUT, LINES_STDERR };
#define LINES_STREAMS 3

struct lines_emitted {
    uint64_t to;     /* lines that begin below have been emitted */
    uint64_t within; /* and this many bytes of the content of the one that begins there */
    uint64_t part;   /* parts emitted of the line that goes on at `to`; 0: a new one begins there */
    uint64_t time_ns; /* of the line that goes on */
};

struct lines_mark {
    uint64_t resume; /* offset in the file */
    struct lines_emitted streams[LINES_STREAMS];
};

#define LINES_MARK_MAX 160 /* bytes of a stored mark; 4 to 8 as a rule */

/* Writes the mark, at most LINES_MARK_MAX bytes, and returns the end. */
uint8_t *lines_mark_put(uint8_t *to, const struct lines_mark *mark);

/* Reads a mark at the start of `*rest` and moves over it. False: it is none, nothing is moved. */
bool lines_mark_get(struct bytes *rest, struct lines_mark *ret_mark);

#endif
