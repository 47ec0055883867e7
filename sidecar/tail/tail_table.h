/* tail_table: the files that are known, and which of them a name on the disk is.
 *
 *   recovered  a position from the spool, whose file was not come across yet
 *      |  same device, inode, fingerprint; or another inode with that fingerprint in front
 *      v
 *   at home <------------------------------------------.
 *      |  the name is gone                             | found under another name, or its contents
 *      v                                               | in a copy or a compressed file
 *   nameless, open: read on to its end --closed--> orphan --expired--> forgotten
 *      |                                               ^
 *      '--(inode has other contents: truncated, reused)'  and a new entry has the inode
 *
 * What a name leads to (tail_table_see) is decided in this order:
 *
 *   1  the inode is known and open                    the same file, perhaps renamed
 *   2  the inode is known, fingerprint agrees         the same file
 *   3  an orphan of the same base name has the same   the orphan's contents, moved, copied or
 *      fingerprint                                    compressed: on from its offset
 *   4  a rotated name, and a file at home has the     a copy of it (copytruncate, gzip at work):
 *      same fingerprint                               nothing, until that one is an orphan
 *   5  anything else                                  a new file, from its beginning, or where
 *                                                     the source's first scan is to start
 *
 * Files of one base name ("0.log", "0.log.20260205-101500.gz") are a group; the older are read
 * first. At most TAIL_FILES_MAX entries, and as many as the spool can hold marks.
 *
 * Thread: its owner's.
 */
#ifndef SIDECAR_TAIL_TAIL_TABLE_H
#define SIDECAR_TAIL_TAIL_TABLE_H

#include "common/buf.h"
#include "sidecar/tail/tail_file.h"
#include "sidecar/tail/tail_source.h"

#define TAIL_FILES_MAX        8000
#define TAIL_ORPHAN_MS        600000   /* an orphan waits that long for its contents to turn up */
#define TAIL_RECOVERED_MS     86400000 /* one from before the start: since its last line */
#define TAIL_FINGERPRINT_SURE 32       /* a shorter one, without its inode, says nothing */

struct lines;

struct tail_entry {
    uint64_t id; /* its mark's key */
    const struct tail_source *source;
    uint64_t source_key, group; /* hashes of the source's name, and of it with the base path */
    struct tail_file file;
    char *path;         /* the last one known */
    uint64_t path_hash; /* tail_path_hash() of it */
    uint64_t order;     /* in the group: rising with age's opposite */

    struct lines_mark mark; /* how far its lines are in batches */
    struct lines *lines;    /* what is pending beyond; NULL: nothing is, read at mark.resume */
    uint64_t parked;        /* nothing complete below this size; 0: not known */

    bool finishing; /* `lines` take no more */

    bool named;     /* `path` leads to it */
    bool orphan;    /* neither name nor descriptor */
    bool rotated;   /* by its name */
    bool linked;    /* the name is a symbolic link: its directory tells nothing */
    bool done;      /* compressed, and read to its end */
    bool wrote;     /* it may have grown */
    bool changed;   /* since its mark was made last */
    bool truncated; /* an orphan because it was */
    bool counted;   /* what it lost has been counted */
    bool owing;     /* it was written to and could not be opened since: bytes that nobody counted */
    unsigned scan;  /* that saw it last */

    uint64_t modified_ns;  /* wall, when seen last */
    uint64_t grown_ms;     /* monotonic: when it was last longer than before */
    uint64_t caught_up_ms; /* when it was last read to its end */
    uint64_t used_ms;      /* when it was read from last */
    uint64_t gone_ms;      /* when the name was found gone */
    uint64_t retry_ms;     /* it could not be read: when to try again; 0: it could */
    uint64_t orphaned_ms;  /* orphans: since when, and until when */
    uint64_t expires_ms;
    uint64_t load; /* the last load that has lines of it */
};

struct tail_table {
    struct tail_entry **entries;
    size_t len, cap, max;
    uint64_t last_id, last_order;
    unsigned scan;
    size_t open, open_max;
    uint64_t refused; /* files that found no room */
    uint64_t unread;  /* marks that could not be taken in */
};

void tail_table_init(struct tail_table *table, size_t entries_max, size_t open_max);
void tail_table_fini(struct tail_table *table);

uint64_t tail_source_key(const struct tail_source *source);

/* The same for "dir/name" in two pieces; `name` NULL: `dir` is all. */
uint64_t tail_path_hash(const char *dir, const char *name);

/* Takes in a mark from the spool. Damaged ones, and those beyond the maximum, are passed over and
 * counted. ERR_NOMEM. */
NODISCARD enum err tail_table_recover(struct tail_table *table, uint64_t id, struct bytes value,
                                      uint64_t now_ms, uint64_t wall_ms, struct error *error);

/* How a new file is begun. */
struct tail_first {
    bool scan;         /* the first one of this process */
    uint64_t since_ns; /* wall: when the source was scanned for the first time ever; 0: it is now */
    uint64_t wall_ms;  /* now */
};

enum tail_seen {
    TAIL_SEEN_KNOWN,
    TAIL_SEEN_NEW,
    TAIL_SEEN_MOVED, /* an orphan found again */
    TAIL_SEEN_COPY,
    TAIL_SEEN_OLD,     /* left alone */
    TAIL_SEEN_GONE,    /* nobody knows it, and the name leads to it no more */
    TAIL_SEEN_REFUSED, /* no room, no descriptor, no permission; `error` says why */
};

/* A scan came across a file. */
enum tail_seen tail_table_see(struct tail_table *table, const struct tail_source *source,
                              const struct tail_found *found, const struct tail_first *first,
                              uint64_t now_ms, struct error *error);

/* Ends a scan, of all directories or of `dir`: files of the source that it did not see have lost
 * their name. Start the next scan by counting `scan` up. */
void tail_table_sweep(struct tail_table *table, const struct tail_source *source, const char *dir,
                      uint64_t now_ms);

/* The inode has other contents now: a new entry takes it over from its beginning, and the old one
 * is an orphan. NULL: no memory, and nothing changed. */
struct tail_entry *tail_table_split(struct tail_table *table, struct tail_entry *entry,
                                    uint64_t now_ms);

/* Opens the entry's file under its name; closes another one if there are too many. */
NODISCARD enum err tail_table_open(struct tail_table *table, struct tail_entry *entry,
                                   uint64_t now_ms, struct error *error);
void tail_table_close(struct tail_table *table, struct tail_entry *entry);

/* Closes the nameless entry for good: an orphan. */
void tail_table_orphan(struct tail_table *table, struct tail_entry *entry, uint64_t now_ms);

/* Frees it. */
void tail_table_remove(struct tail_table *table, struct tail_entry *entry);

/* Whether an older file of the group has something left to read. */
bool tail_table_must_wait(const struct tail_table *table, const struct tail_entry *entry);

/* Bytes that are known to be there and were not read. */
uint64_t tail_entry_unread(const struct tail_entry *entry);

/* Appends what its mark says. */
NODISCARD enum err tail_entry_encode(const struct tail_entry *entry, uint64_t wall_ms,
                                     struct buf *into);

#endif
