/* fault_disk: a disk held in memory, with files and directories, that can fail on demand, fill up
 * and lose power. Linked in place of common/os.c.
 *
 * For every file it keeps two images: what the process sees, and what is on the platter. A write
 * changes the first and is queued; os_sync() carries the file's queue over to the platter. A sync
 * that fails forgets the queue, as kernels do: the next one succeeds and brings nothing. Names
 * (made, renamed, removed) likewise reach the platter with os_sync_dir().
 *
 * Power loss lets some of the queued bytes through, in the order of writing or backwards, clean or
 * damaged, because that is all a real disk promises. Opened files are closed by it.
 *
 * Thread-safe.
 */
#ifndef TESTS_SUPPORT_FAULT_DISK_H
#define TESTS_SUPPORT_FAULT_DISK_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum damage {
    DAMAGE_NONE,
    DAMAGE_FIRST_BYTE, /* of those that came through */
    DAMAGE_LAST_BYTE,
    DAMAGE_ALL,
    DAMAGE_BACKWARDS, /* the last bytes came through, not the first */
    DAMAGE_COUNT
};

/* An empty disk without faults. */
void fault_disk_reset(void);

/* The nth call from now (1 = the next one) fails with `code` (ERR_IO or ERR_FULL), and so does
 * every later one if `lasting`. 0 = none fails. Closing never fails. */
void fault_disk_fail(unsigned nth, bool lasting, enum err code);

/* Calls since the last fault_disk_reset() or fault_disk_fail(). */
unsigned fault_disk_calls(void);

/* Calls so far that changed what is on the disk or queued: two runs of the same program that agree
 * in it have left the same disk behind. */
unsigned fault_disk_changes(void);

/* Bytes in all; an allocation above it fails with ERR_FULL. The default is 64 MiB. */
void fault_disk_set_capacity(uint64_t bytes);

/* Bytes that a crash would put at risk. */
size_t fault_disk_unsynced(void);

/* The next `keep` after this one that makes a different platter: bytes that change nothing are
 * passed over, so that a loop over all of them stays exhaustive and gets short. */
size_t fault_disk_next_keep(size_t keep);

/* Power loss. `keep` queued bytes come through, with `damage`; unsynced names if `keep_names`. */
void fault_disk_crash(size_t keep, enum damage damage, bool keep_names);

/* A copy of the platter and the queues, to try several crashes from one state. One is kept. */
void fault_disk_save(void);
void fault_disk_restore(void);

/* Bit rot: flips one bit of the byte at `offset`, on the platter too. False: not in the file. */
bool fault_disk_rot(const char *path, uint64_t offset);

/* Reading the 4 KiB around `offset` fails from now on, until fault_disk_mend() or
 * fault_disk_reset(). One place for each file. */
void fault_disk_bad_sector(const char *path, uint64_t offset);
void fault_disk_mend(void);

/* Puts a file there, synced. */
void fault_disk_put(const char *path, const void *data, size_t len);

/* Whether the name exists, and how many files do. */
bool fault_disk_exists(const char *path);
unsigned fault_disk_files(void);

#endif
