/* Timers are a pairing heap linked through the timers themselves, so arming one can't fail.
 * Connections move their deadlines at every byte, but only ever later, so they leave the timer
 * where it is and look again when it fires: the heap is touched a few times a minute for each.
 *
 * Posted tasks are a stack that anyone pushes to with one compare-and-swap, and that the loop takes
 * whole and turns round. Only the push onto an empty stack pays for the eventfd.
 */
#include "sidecar/net/net_loop.h"

#include "common/assert.h"
#include "common/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_A_ROUND = 256, WAIT_MAX_MS = 60 * 1000 };

struct net_loop {
    int epoll;
    struct net_source wake; /* the eventfd */
    uint64_t now_ms;
    struct net_timer *timers; /* the heap's root: the first one due */
    struct net_task *deferred, **deferred_end;
    _Atomic(struct net_task *) posted; /* newest first */
    atomic_bool stopping;
};

/* ---- timers */

static struct net_timer *heap_merge(struct net_timer *a, struct net_timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->at_ms < a->at_ms) {
        struct net_timer *first = b;
        b = a;
        a = first;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child != NULL)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Merges siblings in pairs, then the pairs: what keeps the heap shallow. */
static struct net_timer *heap_merge_siblings(struct net_timer *first)
{
    struct net_timer *pairs = NULL;
    while (first != NULL) {
        struct net_timer *a = first, *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        struct net_timer *pair = heap_merge(a, b);
        pair->next = pairs;
        pairs = pair;
    }

    struct net_timer *root = NULL;
    while (pairs != NULL) {
        struct net_timer *next = pairs->next;
        pairs->next = NULL;
        root = heap_merge(root, pairs);
        pairs = next;
    }
    return root;
}

void net_timer_cancel(struct net_loop *loop, struct net_timer *timer)
{
    if (!timer->armed)
        return;

    struct net_timer *rest = heap_merge_siblings(timer->child);
    if (timer == loop->timers) {
        loop->timers = rest;
    } else {
        if (timer->prev->child == timer)
            timer->prev->child = timer->next;
        else
            timer->prev->next = timer->next;
        if (timer->next != NULL)
            timer->next->prev = timer->prev;
        loop->timers = heap_merge(loop->timers, rest);
    }
    timer->child = timer->prev = timer->next = NULL;
    timer->armed = false;
}

void net_timer_set(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms)
{
    if (timer->armed && timer->at_ms == at_ms)
        return;
    net_timer_cancel(loop, timer);
    timer->at_ms = at_ms;
    timer->armed = true;
    loop->timers = heap_merge(loop->timers, timer);
}

static void run_timers(struct net_loop *loop)
{
    while (loop->timers != NULL && loop->timers->at_ms <= loop->now_ms) {
        struct net_timer *timer = loop->timers;
        net_timer_cancel(loop, timer);
        timer->fire(timer);
    }
}

/* ---- tasks */

static void wake_up(struct net_loop *loop)
{
    uint64_t one = 1;
    ssize_t n = write(loop->wake.fd, &one, sizeof one);
    ASSERT(n == (ssize_t)sizeof one || errno == EAGAIN); /* a full counter wakes as well */
}

void net_loop_post(struct net_loop *loop, struct net_task *task)
{
    struct net_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        task->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, task,
                                                    memory_order_release, memory_order_relaxed));
    if (head == NULL)
        wake_up(loop);
}

void net_loop_defer(struct net_loop *loop, struct net_task *task)
{
    task->next = NULL;
    *loop->deferred_end = task;
    loop->deferred_end = &task->next;
}

static void run_tasks(struct net_task *task)
{
    while (task != NULL) {
        struct net_task *next = task->next; /* running may free or reuse the task */
        task->run(task);
        task = next;
    }
}

static void run_posted(struct net_loop *loop)
{
    struct net_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct net_task *oldest = NULL;
    while (newest != NULL) {
        struct net_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    run_tasks(oldest);
}

/* What these defer in turn waits for the next round, which then doesn't wait. */
static void run_deferred(struct net_loop *loop)
{
    struct net_task *tasks = loop->deferred;
    loop->deferred = NULL;
    loop->deferred_end = &loop->deferred;
    run_tasks(tasks);
}

/* ---- sources */

enum err net_source_watch(struct net_loop *loop, struct net_source *source, uint32_t events,
                          struct error *error)
{
    ASSERT(source->fd >= 0);
    if (source->watched && source->events == events)
        return OK;

    struct epoll_event event = {.events = events, .data.ptr = source};
    int op = source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(loop->epoll, op, source->fd, &event) != 0)
        return error_set_errno(error, ERR_IO, "watch file descriptor %d", source->fd);
    source->watched = true;
    source->events = events;
    return OK;
}

void net_source_forget(struct net_loop *loop, struct net_source *source)
{
    if (source->watched)
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    source->watched = false;
    source->events = 0;
    source->fd = -1;
}

static void on_wake(struct net_source *source, uint32_t events)
{
    (void)events;
    uint64_t count;
    while (read(source->fd, &count, sizeof count) > 0)
        ;
}

/* ---- the loop */

static int wait_time(const struct net_loop *loop, uint32_t wait_ms)
{
    if (loop->deferred != NULL)
        return 0;
    if (loop->timers != NULL) {
        uint64_t now = clock_mono_ms();
        uint64_t left = loop->timers->at_ms > now ? loop->timers->at_ms - now : 0;
        if (left < wait_ms)
            wait_ms = (uint32_t)left;
    }
    return wait_ms < WAIT_MAX_MS ? (int)wait_ms : WAIT_MAX_MS;
}

static void run_round(struct net_loop *loop, uint32_t wait_ms)
{
    struct epoll_event events[EVENTS_A_ROUND];

    int count = epoll_wait(loop->epoll, events, EVENTS_A_ROUND, wait_time(loop, wait_ms));
    ASSERT(count >= 0 || errno == EINTR);
    loop->now_ms = clock_mono_ms();
    for (int i = 0; i < count; i++) {
        struct net_source *source = events[i].data.ptr;
        if (source->fd >= 0)
            source->ready(source, events[i].events);
    }
    run_posted(loop);
    run_timers(loop);
    run_deferred(loop);
}

static void block_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void net_loop_run_once(struct net_loop *loop, uint32_t wait_ms)
{
    block_sigpipe();
    run_round(loop, wait_ms);
}

void net_loop_run(struct net_loop *loop)
{
    block_sigpipe();
    while (!atomic_load_explicit(&loop->stopping, memory_order_relaxed))
        run_round(loop, WAIT_MAX_MS);
    atomic_store_explicit(&loop->stopping, false, memory_order_relaxed); /* it may run again */
}

void net_loop_stop(struct net_loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_relaxed);
    wake_up(loop);
}

uint64_t net_loop_now_ms(const struct net_loop *loop)
{
    return loop->now_ms;
}

enum err net_loop_create(struct net_loop **ret_loop, struct error *error)
{
    AUTO(net_loop_destroy) struct net_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return error_set(error, ERR_NOMEM, "create event loop");
    loop->epoll = -1;
    loop->wake = (struct net_source){.ready = on_wake, .fd = -1};
    loop->deferred_end = &loop->deferred;
    loop->now_ms = clock_mono_ms();

    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return error_set_errno(error, ERR_IO, "create event loop");
    loop->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake.fd < 0)
        return error_set_errno(error, ERR_IO, "create event loop");

    enum err err = net_source_watch(loop, &loop->wake, EPOLLIN, error);
    if (err)
        return error_prefix(error, err, "create event loop");

    MOVE(*ret_loop, loop);
    return OK;
}

void net_loop_destroy(struct net_loop **loop)
{
    struct net_loop *old = *loop;
    if (old == NULL)
        return;
    *loop = NULL;

    while (old->deferred != NULL || atomic_load(&old->posted) != NULL) {
        run_posted(old);
        run_deferred(old);
    }
    ASSERT(old->timers == NULL);
    if (old->wake.fd >= 0)
        close(old->wake.fd);
    if (old->epoll >= 0)
        close(old->epoll);
    free(old);
}
