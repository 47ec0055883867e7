/* store_fixture: a small store on fault_disk, driven without threads, whose records count up.
 *
 * Record n of a lane is a frame of its own with one item; its data tells n and is long enough to
 * make frames of different sizes. What became of each record is kept, so that after any crash one
 * can say which of them must be there.
 *
 * With `marked`, record n also marks one of three keys with n, or forgets it, and each group ends
 * with a frame that only marks a fourth one; fixture_check() then wants the marks to be those of
 * the records that are there, no more and no less.
 */
#ifndef TESTS_SUPPORT_STORE_FIXTURE_H
#define TESTS_SUPPORT_STORE_FIXTURE_H

#include "sidecar/spool/reader.h"
#include "sidecar/spool/store.h"
#include "tests/support/fault_disk.h"

#define FIXTURE_DIR "spool"

enum { FIXTURE_SEGMENT = 16 * 1024, FIXTURE_SEGMENTS = 12, FIXTURE_RECORDS = 512 };

enum fate { FATE_NONE, FATE_ACKED, FATE_FAILED };

struct fixture {
    struct spool_config config;
    struct store *store;
    struct spool_reader *reader; /* of SIGNAL_TRACES, named "test" */
    uint64_t next;               /* record */
    uint64_t delivered;          /* records below have been acknowledged by the reader */
    enum fate fate[FIXTURE_RECORDS];
    bool marked;
    bool unsure; /* a run ended after a failed sync: items that nobody was promised may count as
                    lost */
    bool had[FIXTURE_RECORDS]; /* delivered */
    uint64_t marked_alone;     /* what the last frame with nothing but a mark says, if acked */
    struct error error;        /* of the last append that failed */
};

/* spool_reader_open() takes a spool, of which it only wants the store. */
struct spool *fixture_spool(struct fixture *fixture);

void fixture_init(struct fixture *fixture);

/* Opens the store and the reader. */
NODISCARD enum err fixture_open(struct fixture *fixture, struct error *error);

/* Saves the cursors and closes. */
void fixture_close(struct fixture *fixture);

/* Lets go of everything without saving, as a kill does. */
void fixture_kill(struct fixture *fixture);

/* A frame with the record `n`, not committed. */
struct frame_buf *fixture_record(enum signal lane, uint64_t n);

/* Commits `count` records in one group; fills in their fates. True: all were acknowledged. */
bool fixture_append(struct fixture *fixture, unsigned count);

/* Reads `count` frames (fewer if there are no more) and acknowledges them. */
void fixture_deliver(struct fixture *fixture, unsigned count);

/* Number of the record in a frame. */
uint64_t fixture_number(const struct spool_frame *frame);

/* Reads all that is there from the cursor on, and checks that each acknowledged record is among it,
 * in order, whole and once. Returns how many were read; acknowledges none. */
unsigned fixture_check(struct fixture *fixture);

/* A life whose disk call number `nth` fails: that one alone, or, `lasting`, all after it too. */
typedef void fixture_life_fn(struct fixture *fixture, unsigned nth, bool lasting);

/* The power goes after the life, with `keep` unsynced bytes written, and what then must hold. */
typedef void fixture_crash_fn(struct fixture *fixture, size_t keep, enum damage damage, bool names);

/* Lets each disk call of the life in turn fail, for good and then once, and each time the power go
 * at every unsynced byte, or at every `stride`th. */
void fixture_break_everywhere(fixture_life_fn *life, fixture_crash_fn *crash, size_t stride);

#endif
