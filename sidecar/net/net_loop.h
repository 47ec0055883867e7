/* net_loop: one thread's epoll loop with timers, and the way into it from other threads.
 *
 *   round := wait -> events -> posted tasks -> due timers -> deferred tasks
 *
 * Nothing here allocates after net_loop_create(): tasks, timers and sources are members of their
 * owner's struct. Servers and clients are bound to one loop and called from its thread only.
 *
 * Thread: whoever runs net_loop_run(); net_loop_post() and net_loop_stop() from anywhere.
 */
#ifndef SIDECAR_NET_NET_LOOP_H
#define SIDECAR_NET_NET_LOOP_H

#include "common/attr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct net_loop;

/* Something to run later, once. It must stay in memory until it has run. */
struct net_task {
    void (*run)(struct net_task *task);
    struct net_task *next;
};

/* Fires once, at or after its time. Zero-initialised but for `fire`, it is idle. */
struct net_timer {
    void (*fire)(struct net_timer *timer);
    uint64_t at_ms;                        /* on the monotonic clock */
    struct net_timer *child, *prev, *next; /* the loop's; prev is the parent of a first child */
    bool armed;
};

/* A file descriptor to watch, level-triggered. */
struct net_source {
    void (*ready)(struct net_source *source, uint32_t events); /* EPOLLIN and so on */
    int fd;          /* -1: not watched, and `ready` is not called even if an event was under way */
    uint32_t events; /* the loop's notes of what it asks the kernel for */
    bool watched;
};

NODISCARD enum err net_loop_create(struct net_loop **ret_loop, struct error *error);

/* Runs what is still posted or deferred, then frees. Sources and timers must be gone. */
void net_loop_destroy(struct net_loop **loop);

/* Runs until net_loop_stop(). SIGPIPE is blocked in the calling thread from here on. */
void net_loop_run(struct net_loop *loop);

/* As net_loop_run(), but for at most one wait of up to `wait_ms`: for tests and for other loops. */
void net_loop_run_once(struct net_loop *loop, uint32_t wait_ms);

/* Any thread; the round at hand is finished first. */
void net_loop_stop(struct net_loop *loop);

/* Any thread: `task` runs in the loop's thread. Tasks of one thread run in the order posted. A task
 * may be posted again once it runs, not before. Never blocks, never fails. */
void net_loop_post(struct net_loop *loop, struct net_task *task);

/* Loop's thread: `task` runs at the end of this round. */
void net_loop_defer(struct net_loop *loop, struct net_task *task);

/* The time at which this round began; good enough for deadlines, and free. */
uint64_t net_loop_now_ms(const struct net_loop *loop);

/* Arms the timer, or moves it. */
void net_timer_set(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms);
void net_timer_cancel(struct net_loop *loop, struct net_timer *timer);

/* Watches source->fd for `events` from now on, in place of what was asked before. A source that is
 * freed must be forgotten first, and not be freed before the round ends (net_loop_defer()). */
NODISCARD enum err net_source_watch(struct net_loop *loop, struct net_source *source,
                                    uint32_t events, struct error *error);
void net_source_forget(struct net_loop *loop, struct net_source *source);

#endif
