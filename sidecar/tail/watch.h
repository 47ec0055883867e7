/* watch: what happens in directories, by inotify. A hint and no more: whoever watches looks for
 * himself now and then as well, for the kernel's queue can overflow and its watches can run out.
 *
 * Thread: its owner's.
 */
#ifndef SIDECAR_TAIL_WATCH_H
#define SIDECAR_TAIL_WATCH_H

#include "common/attr.h"
#include "common/error.h"

#include <stdbool.h>

struct watch;

enum watch_event {
    WATCH_WRITTEN, /* something was written to the file `name` */
    WATCH_CAME,    /* the name is new in the directory */
    WATCH_WENT,    /* it was deleted */
    WATCH_MOVED,   /* it went to another name, perhaps elsewhere */
    WATCH_DIR,     /* the directory `name` came: nobody watches it yet */
    WATCH_LOST,    /* events were lost: anything may have happened; `dir` and `name` are NULL */
};

typedef void watch_event_fn(void *context, enum watch_event event, const char *dir,
                            const char *name);

NODISCARD enum err watch_open(struct watch **ret_watch, struct error *error);
void watch_close(struct watch **watch);

/* To poll for reading. */
int watch_fd(const struct watch *watch);

/* Watches a directory, under this name; again is fine. ERR_NOTFOUND: not there, or no directory.
 * ERR_FULL: the kernel allows no more watches (fs.inotify.max_user_watches). ERR_IO. */
NODISCARD enum err watch_add(struct watch *watch, const char *dir, struct error *error);

/* Takes all that has happened. Never waits. */
void watch_read(struct watch *watch, watch_event_fn *event, void *context);

#endif
