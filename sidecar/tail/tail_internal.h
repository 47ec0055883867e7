/* What the files of tail/ share; tail.h is the manual. Thread: the tail's. */
#ifndef SIDECAR_TAIL_TAIL_INTERNAL_H
#define SIDECAR_TAIL_TAIL_INTERNAL_H

#include "common/arena.h"
#include "sidecar/lines/multiline.h"
#include "sidecar/lines/portions.h"
#include "sidecar/tail/tail.h"
#include "sidecar/tail/tail_table.h"

#include <pthread.h>
#include <stdatomic.h>

struct watch;

/* What one request to the spool will be.
 *
 *   FILLING --load_close--> CLOSED --append OK--> GIVEN --done(OK)--> FILLING (empty)
 *                             ^                     |
 *                             '-- append or done fails: again after `retry_ms`
 */
enum load_state { LOAD_FILLING, LOAD_CLOSED, LOAD_GIVEN };

struct load {
    struct spool_waiter waiter;
    struct tail *tail;
    enum load_state state;
    uint64_t serial;
    struct batch *batch;
    struct arena arena;            /* resources of the batch's files, values of the marks */
    const struct tail_entry *file; /* whose records are being added; NULL: none yet */
    struct spool_mark *marks;
    size_t mark_count;
    bool stamped; /* its resources were */

    /* What becomes of it, if that is anything else than itself. */
    bool refined, as_is;
    struct buf joined, made;
    uint32_t made_items;
    struct spool_cut cuts[SPOOL_CUTS_MAX];
    size_t cut_count;
    bool apart;                   /* too large for one frame: stored cut by cut */
    size_t cut_next, cut_next_at; /* then: which, and where in `made` */

    /* Where all of it is too large for the spool, or to be refined. */
    struct portions portions;
    bool in_portions;
    bool over;                  /* the portion at hand is stored, or given up */
    bool marks_only;            /* behind the last one, if that was given up */
    bool with_marks, too_large; /* what was offered last */

    uint64_t since_ms;    /* of its first record; 0: it has none */
    atomic_bool answered; /* the committer's thread: `error` is set */
    struct error error;
    uint64_t retry_ms; /* when to offer it again */
    unsigned tries;
};

struct tail_input {
    const struct tail_source *source;
    uint64_t key;
    struct multiline *multiline;
    uint64_t first_ns;   /* wall: when it was scanned for the first time ever; 0: never yet */
    bool first_saved;    /* the spool knows */
    bool scanned;        /* in this process */
    uint64_t scan_ms;    /* when to scan all of it */
    uint64_t scanned_ms; /* when the last whole scan began */
    struct tail_source_state state;
};

struct tail {
    struct tail_options options;
    struct tail_input inputs[TAIL_SOURCES_MAX];
    size_t input_count;
    struct tail_table table;
    struct watch *watch; /* NULL: the kernel allows none; rescans do it */
    bool watch_full;     /* some directories are not watched */
    struct buf dirs;     /* to be listed again, each with a NUL behind */
    uint64_t dirs_ms;    /* when */
    struct buf new_dirs; /* to be gone through at once, likewise */
    struct buf came;     /* files that nobody has looked at yet, likewise */
    uint64_t listing_ms; /* how long that took last */

    struct load loads[2], *filling, *given;
    size_t marks_max; /* of a load */
    uint64_t serial;
    struct tail_entry *held; /* the read buffer is lent to its lines */
    size_t turn;             /* the entry to begin the next round with */
    uint64_t *forgotten;     /* ids whose marks are to go */
    size_t forgotten_count, forgotten_cap;
    uint64_t marks_ms;            /* when marks are stored without lines */
    uint8_t *chunk;               /* the read buffer */
    uint64_t read_bytes, read_ms; /* so far, and when the last ones were */
    uint64_t load_count, refused_count, left_out_count;
    char trouble[160]; /* why the spool refuses; "" while it does not */
    uint64_t show_ms;  /* when to tell tail_state() again */

    atomic_uint in_spool; /* loads that are */
    int wake;             /* eventfd */
    pthread_t thread;
    bool running;
    atomic_bool stopping;
    pthread_mutex_t stamp_lock; /* guards options.stamp */
    pthread_mutex_t lock;       /* guards `shown` */
    struct tail_state shown;
};

enum { TAIL_CHUNK = 64 << 10, LOAD_MARKS_MAX = 1024 };

/* ---- scan.c: names */

struct tail_input *tail_input_of(struct tail *tail, const struct tail_entry *entry);
void tail_scan(struct tail *tail, uint64_t now_ms);
void tail_take_events(struct tail *tail, uint64_t now_ms);

/* The directory of this path is to be listed again, soon. */
void tail_list_again(struct tail *tail, const char *path, uint64_t now_ms);

/* ---- read.c: contents */

/* True: something was read, and there may be more. */
bool tail_read_some(struct tail *tail, uint64_t now_ms);

/* Closes, counts and forgets what is over. */
void tail_settle(struct tail *tail, uint64_t now_ms);

/* ---- load.c: into the spool */

NODISCARD enum err tail_load_init(struct tail *tail, struct load *load, struct error *error);
void tail_load_fini(struct load *load);

/* Adds a record of the entry. ERR_FULL: the load has to go first. */
NODISCARD enum err tail_load_add(struct tail *tail, struct tail_entry *entry,
                                 const struct line *line, uint64_t now_ms, uint64_t wall_ns);

/* Takes answers, offers what waits. True: the load that is being filled has room. */
bool tail_load_move(struct tail *tail, uint64_t now_ms);

/* The number in a key of a mark of that kind: 'f' for files, 's' for sources. */
bool tail_key_read(const uint8_t key[static SPOOL_MARK_KEY], char what, uint64_t *ret_number);

/* When it wants to be called again; UINT64_MAX: when an answer comes. */
uint64_t tail_load_deadline(const struct tail *tail);

#endif
