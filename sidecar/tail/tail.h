/* tail: log files as an input of the edge: followed, cut into records, stored in the spool together
 * with how far they were read.
 *
 *   inotify, rescan --> table --> lines --> load (records + marks) --append--> spool
 *                         ^                                                      |
 *                         '-------------- marks, after a restart ----------------'
 *
 * What it promises
 *   - A line and the position behind it are in one frame of the spool: after a crash at any instant
 *     no line is lost and none is there twice.
 *   - A file is what its inode and its first bytes are. Renamed, it is read to its end; deleted
 *     while it is open, too. What was truncated is begun again, and its former contents are looked
 *     for in copies; what was compressed while nobody looked is read on where it had been left.
 *   - A full spool stops the reading, and nothing else: the files are the buffer then.
 *   - What is known to be gone unread is counted in bytes, and what came and went before anybody
 *     had a look at it as missed.
 *   - Memory: two batches, a read buffer, some 700 bytes for each file, and what lines.h says for
 *     each file that has an unfinished line or group. Open files are bounded.
 *
 * What routes cut into several requests is one frame all the same. Only if that were larger than
 * the spool takes, which needs resources of tens of KiB and dozens of topics, are they stored one
 * after the other, the positions with the last: a crash in between repeats the first ones. The same
 * holds for lines that processors make larger than the spool or memoryLimit allows: they go in
 * portions (lines/portions.h), down to pieces of one record. What is too large even so is left out,
 * counted and logged.
 *
 * One load is in the spool's hands while the next one is filled, so loads reach the disk in order,
 * and one that was refused is offered again before anything newer.
 *
 * Thread: tail_start() makes one that owns everything; tail_state() from any. Without it, in tests,
 * tail_turn() does what that thread would.
 */
#ifndef SIDECAR_TAIL_TAIL_H
#define SIDECAR_TAIL_TAIL_H

#include "common/attr.h"
#include "common/error.h"
#include "sidecar/spool/spool.h"
#include "sidecar/tail/tail_source.h"

#define TAIL_SOURCES_MAX 33
#define TAIL_FLUSH_MS    100  /* what lines wait for company at most */
#define TAIL_GRACE_MS    5000 /* what a file without a name, or rotated, is given to grow again */

#define TAIL_POD_ATTRIBUTES_MAX 64

struct arena;
struct kube_path;
struct stamp;
struct tail;

/* A request with its marks on the way to the spool. `stamped`: its resources are. Either sets
 * *ret_as_is, and the request is stored as it is; or hands what is to be stored to `emit`, all at
 * once, if there is anything. ERR_FULL: it is
 * too much at once, now and later. Other errors mean again later. Thread: the tail's. */
struct tail_refined {
    const struct bytes *slices;
    size_t slice_count;
    uint32_t items;
    const struct spool_cut *cuts;
    size_t cut_count; /* SPOOL_CUTS_MAX at most */
};
typedef enum err tail_emit_fn(void *context, const struct tail_refined *refined);
typedef enum err tail_refine_fn(void *context, bool stamped, struct bytes request, uint32_t items,
                                tail_emit_fn *emit, void *emit_context, bool *ret_as_is,
                                struct error *error);

/* Loans for the tail's life. */
struct tail_options {
    const struct tail_source *sources;
    size_t source_count;
    const struct stamp *stamp; /* for the resources; NULL: none */
    struct spool *spool;

    /* What else is known of the pod that wrote a file: at most TAIL_POD_ATTRIBUTES_MAX, with their
     * text in `arena`; how many. On the tail's thread. NULL: nothing. */
    size_t (*describe)(void *describe_context, const struct kube_path *pod, struct arena *arena,
                       struct batch_attribute *list);
    void *describe_context;

    /* What is done to a request before it is stored; NULL: nothing. */
    tail_refine_fn *refine;
    void (*stored)(void *context); /* on the committer's thread: something new is in the spool */
    void *context;

    size_t open_max; /* files; 0: what the process is allowed, less what others need */
};

struct tail_source_state {
    const char *name;
    uint64_t files, truncations;
    uint64_t records, bytes; /* read, since start */
    uint64_t unread_bytes;
    uint64_t oldest_unread_ms; /* how long the file that waits longest has had something unread */
    uint64_t lost_bytes, lost_files;
    uint64_t missed; /* files, and directories of pods, that went before they were looked at */
    uint64_t refused_files, read_errors;
    uint64_t multiline_gave_up; /* times that a pattern took too long for a line */
    struct lines_counts lines;
};

struct tail_state {
    bool paused;       /* the spool does not take it */
    char trouble[160]; /* why; "" */
    bool deaf;         /* not all can be watched: looked through every second or so instead */
    uint64_t files_open, loads, refused_loads;
    uint64_t unread_positions; /* at the start: of files that are begun as if they were new */
    uint64_t left_out;         /* records, or pieces of them, that can't be stored at any size */
    size_t source_count;
    struct tail_source_state sources[TAIL_SOURCES_MAX];
};

/* Reads the marks, and the names of all files once. ERR_INVALID: a pattern is wrong. ERR_NOMEM. */
NODISCARD enum err tail_open(const struct tail_options *options, struct tail **ret_tail,
                             struct error *error);

NODISCARD enum err tail_start(struct tail *tail, struct error *error);

/* Takes the place of that in the options. Any thread; the one before is not used any more. */
void tail_set_stamp(struct tail *tail, const struct stamp *stamp);

/* Reads no more; what was read is stored if the spool takes it within `grace_ms`. What is not will
 * be read again. Before spool_stop_appends(). */
void tail_stop(struct tail *tail, uint32_t grace_ms);

/* Whether the spool still has something of it. Any thread. */
bool tail_in_spool(const struct tail *tail);

/* Stopped; nothing of it may be in the spool's hands, which spool_close() sees to. NULL is fine. */
void tail_close(struct tail **tail);

/* One round of the thread: takes what came, reads what is there, waits up to `wait_ms` if there was
 * nothing to do. True: there may be more to do at once. */
bool tail_turn(struct tail *tail, uint32_t wait_ms);

/* As of a tenth of a second ago, or of the last turn. */
void tail_state(struct tail *tail, struct tail_state *ret_state);

/* Records of all sources since the start, as of now. The thread that owns the tail. */
uint64_t tail_records(const struct tail *tail);

/* Whether all of those are in the spool. Likewise. */
bool tail_is_stored(const struct tail *tail);

#endif
