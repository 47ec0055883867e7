/* journal: which messages were handed to Kafka, and into which partition, before anybody knew
 * whether they arrived. After a crash they are produced again identically.
 *
 *   file   := header entry*                                    48 bytes each, little endian
 *   header := magic "STJ1" (4)  version 2 (4)  boot id (16)  incarnation (8)  whole (4)  zeros (8)
 *             crc32c (4)
 *   entry  := sequence (8)  first try, Unix ms (8)  cut, bytes (8)  partition (4)  part (4)
 *             parts (4)  lane (1)  more parts (3)  plan (4)  crc32c of it all (4)
 *
 * Parts of a frame that follow each other into one partition are one entry: `more` behind the
 * first. So are parts whose keys choose their partitions: then the partition is below 0, minus the
 * number of partitions among which they chose.
 *
 * It is written before each send and never synced: it has to outlive the process, not the node.
 * After a power cut it may be missing or torn; then journal_is_whole() is false, and whatever an
 * earlier run left behind the cursor counts as a retry. That stays so, over further crashes, until
 * all of it has been noted anew: the header's `whole` is 0 until journal_vouch(). Reading stops at
 * the first entry that fails its check. Entries that are done leave when the file is written anew,
 * at most JOURNAL_SLACK later.
 *
 * Thread: the producing thread only.
 */
#ifndef SIDECAR_EDGE_JOURNAL_H
#define SIDECAR_EDGE_JOURNAL_H

#include "common/attr.h"
#include "common/contract/signal.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_SLACK    1024  /* entries in the file beyond those alive */
#define JOURNAL_LIVE_MAX 65536 /* entries */

struct journal;

struct journal_entry {
    uint64_t seq;
    uint64_t first_try_ms; /* Unix */
    uint64_t cut_bytes;    /* limit by which the frame was cut */
    int32_t partition;     /* below 0: by the keys, among minus so many */
    uint32_t part, parts;  /* 0-based */
    uint32_t more;         /* parts behind this one, of which the same is true */
    uint32_t plan;         /* how the frame was cut, see outgoing.h */
    enum signal lane;
};

/* Opens or makes the journal at `path`. A file of another boot or another spool is emptied. */
NODISCARD enum err journal_open(const char *path, uint64_t incarnation,
                                struct journal **ret_journal, struct error *error);
void journal_close(struct journal **journal);

/* The journal tells all that an earlier run may have sent: the machine did not restart since, and
 * every entry could be written and read. */
bool journal_is_whole(const struct journal *journal);

/* All that an earlier run left has been noted by now: from here on the journal is whole. A failure
 * costs a repeat after a crash. */
NODISCARD enum err journal_vouch(struct journal *journal, struct error *error);

/* Notes that a message is about to be sent, once for each, those of a frame in their order. After
 * journal_write() it may be. ERR_FULL: nothing has been forgotten for very long, ERR_NOMEM: it may
 * be sent all the same, but the journal is never whole again: the cost is a repeat after a crash. */
NODISCARD enum err journal_note(struct journal *journal, const struct journal_entry *entry,
                                struct error *error);

/* Writes what was noted since the last time. After a failure the file is not whole until a later
 * call could write it anew, and sending may go on, at the same cost. */
NODISCARD enum err journal_write(struct journal *journal, struct error *error);

/* The latest entry of a part, or of any; false if there is none. */
#define JOURNAL_ANY_PART UINT32_MAX
bool journal_find(const struct journal *journal, enum signal lane, uint64_t seq, uint32_t part,
                  struct journal_entry *ret_entry);

/* Everything of `lane` from `from` on and below `to` is delivered, and won't be read again after a
 * crash. */
void journal_forget(struct journal *journal, enum signal lane, uint64_t from, uint64_t to);

#endif
