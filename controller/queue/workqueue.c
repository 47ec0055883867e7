#include "controller/queue/workqueue.h"

#include "common/array.h"
#include "common/assert.h"
#include "common/map.h"
#include "common/xalloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A name, while there is something to know about it. */
struct entry {
    struct entry *next; /* in line, or among those in hand */
    bool waiting, processing, dirty;
    uint64_t waiting_since, processing_since;
    size_t heap_at; /* 1 + place in the heap; 0: no delay */
    uint64_t due;
    unsigned failures;
    char name[];
};

struct workqueue {
    unsigned parallel;
    struct map entries;
    struct entry *line, **line_end; /* WAITING, in order */
    struct entry *in_hand;          /* PROCESSING */
    struct entry **heap;            /* DELAYED, the earliest first */
    size_t heap_count, heap_cap;
    struct workqueue_stats stats;
};

/* ---- the heap of delays */

static void heap_place(struct workqueue *queue, size_t at, struct entry *entry)
{
    queue->heap[at] = entry;
    entry->heap_at = at + 1;
}

static void heap_fix(struct workqueue *queue, size_t at)
{
    struct entry *entry = queue->heap[at];

    while (at > 0 && queue->heap[(at - 1) / 2]->due > entry->due) {
        heap_place(queue, at, queue->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < queue->heap_count && queue->heap[child + 1]->due < queue->heap[child]->due)
            child++;
        if (child >= queue->heap_count || queue->heap[child]->due >= entry->due)
            break;
        heap_place(queue, at, queue->heap[child]);
        at = child;
    }
    heap_place(queue, at, entry);
}

static void heap_remove(struct workqueue *queue, struct entry *entry)
{
    if (entry->heap_at == 0)
        return;
    size_t at = entry->heap_at - 1;
    struct entry *last = queue->heap[--queue->heap_count];
    entry->heap_at = 0;
    if (last == entry)
        return;
    heap_place(queue, at, last);
    heap_fix(queue, at);
}

static void heap_add(struct workqueue *queue, struct entry *entry, uint64_t due)
{
    if (entry->heap_at != 0) {
        if (due < entry->due) {
            entry->due = due;
            heap_fix(queue, entry->heap_at - 1);
        }
        return;
    }
    queue->heap =
        xarray_grow(queue->heap, queue->heap_count, &queue->heap_cap, sizeof(struct entry *));
    entry->due = due;
    heap_place(queue, queue->heap_count++, entry);
    heap_fix(queue, queue->heap_count - 1);
}

/* ---- entries */

static struct entry *need(struct workqueue *queue, const char *name)
{
    struct entry *entry = map_get(&queue->entries, name);
    if (entry == NULL) {
        size_t size = strlen(name) + 1;
        entry = xcalloc(1, sizeof *entry + size);
        memcpy(entry->name, name, size);
        map_set(&queue->entries, name, entry);
    }
    return entry;
}

static void forget_if_idle(struct workqueue *queue, struct entry *entry)
{
    if (entry->waiting || entry->processing || entry->heap_at != 0 || entry->failures > 0)
        return;
    map_remove(&queue->entries, entry->name);
    free(entry);
}

static void put_in_line(struct workqueue *queue, struct entry *entry, uint64_t now_ms)
{
    entry->waiting = true;
    entry->dirty = false;
    entry->waiting_since = now_ms;
    entry->next = NULL;
    *queue->line_end = entry;
    queue->line_end = &entry->next;
    queue->stats.depth++;
}

static void add(struct workqueue *queue, struct entry *entry, uint64_t now_ms)
{
    if (entry->waiting || entry->dirty)
        return;
    queue->stats.adds++;
    if (entry->processing)
        entry->dirty = true;
    else
        put_in_line(queue, entry, now_ms);
}

static void add_due(struct workqueue *queue, uint64_t now_ms)
{
    while (queue->heap_count > 0 && queue->heap[0]->due <= now_ms) {
        struct entry *entry = queue->heap[0];
        heap_remove(queue, entry);
        add(queue, entry, now_ms);
    }
}

/* ---- the queue */

struct workqueue *workqueue_create(unsigned parallel)
{
    ASSERT(parallel > 0);
    struct workqueue *queue = xcalloc(1, sizeof *queue);
    queue->parallel = parallel;
    queue->line_end = &queue->line;
    return queue;
}

void workqueue_destroy(struct workqueue **slot)
{
    struct workqueue *queue = *slot;
    if (queue == NULL)
        return;

    for (struct map_entry *e = map_next(&queue->entries, NULL); e != NULL;
         e = map_next(&queue->entries, e))
        free(e->value);
    map_fini(&queue->entries);
    free(queue->heap);
    free(queue);
    *slot = NULL;
}

void workqueue_add(struct workqueue *queue, const char *name, uint64_t now_ms)
{
    add(queue, need(queue, name), now_ms);
}

void workqueue_add_after(struct workqueue *queue, const char *name, uint64_t delay_ms,
                         uint64_t now_ms)
{
    heap_add(queue, need(queue, name), now_ms + delay_ms);
}

uint64_t workqueue_retry(struct workqueue *queue, const char *name, uint64_t now_ms)
{
    struct entry *entry = need(queue, name);
    uint64_t delay_ms = WORKQUEUE_BACKOFF_MIN_MS;

    for (unsigned i = 0; i < entry->failures && delay_ms < WORKQUEUE_BACKOFF_MAX_MS; i++)
        delay_ms *= 2;
    if (delay_ms > WORKQUEUE_BACKOFF_MAX_MS)
        delay_ms = WORKQUEUE_BACKOFF_MAX_MS;
    entry->failures++;
    queue->stats.retries++;
    heap_add(queue, entry, now_ms + delay_ms);
    return delay_ms;
}

void workqueue_forget(struct workqueue *queue, const char *name)
{
    struct entry *entry = map_get(&queue->entries, name);
    if (entry == NULL)
        return;
    entry->failures = 0;
    forget_if_idle(queue, entry);
}

void workqueue_drop(struct workqueue *queue, const char *name)
{
    struct entry *entry = map_get(&queue->entries, name);
    if (entry == NULL)
        return;

    if (entry->waiting) {
        struct entry **at = &queue->line;
        while (*at != entry)
            at = &(*at)->next;
        *at = entry->next;
        if (queue->line_end == &entry->next)
            queue->line_end = at;
        entry->waiting = false;
        queue->stats.depth--;
    }
    heap_remove(queue, entry);
    entry->dirty = false;
    entry->failures = 0;
    forget_if_idle(queue, entry);
}

const char *workqueue_get(struct workqueue *queue, uint64_t now_ms, uint64_t *ret_due_ms,
                          uint64_t *ret_waited_ms)
{
    add_due(queue, now_ms);
    if (queue->line == NULL || queue->stats.processing >= queue->parallel) {
        if (ret_due_ms != NULL)
            *ret_due_ms = queue->heap_count > 0 ? queue->heap[0]->due : UINT64_MAX;
        return NULL;
    }

    struct entry *entry = queue->line;
    queue->line = entry->next;
    if (queue->line == NULL)
        queue->line_end = &queue->line;
    entry->waiting = false;
    entry->processing = true;
    entry->processing_since = now_ms;
    entry->next = queue->in_hand;
    queue->in_hand = entry;
    queue->stats.depth--;
    queue->stats.processing++;
    if (ret_waited_ms != NULL)
        *ret_waited_ms = now_ms - entry->waiting_since;
    return entry->name;
}

uint64_t workqueue_done(struct workqueue *queue, const char *name, uint64_t now_ms)
{
    struct entry *entry = map_get(&queue->entries, name);
    ASSERT(entry != NULL);
    ASSERT(entry->processing);

    uint64_t took_ms = now_ms - entry->processing_since;
    struct entry **at = &queue->in_hand;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    entry->processing = false;
    queue->stats.processing--;
    if (entry->dirty)
        put_in_line(queue, entry, now_ms);
    forget_if_idle(queue, entry);
    return took_ms;
}

struct workqueue_stats workqueue_stats(const struct workqueue *queue, uint64_t now_ms)
{
    struct workqueue_stats stats = queue->stats;

    stats.delayed = queue->heap_count;
    for (const struct entry *entry = queue->in_hand; entry != NULL; entry = entry->next) {
        uint64_t running_ms = now_ms - entry->processing_since;
        stats.unfinished_ms += running_ms;
        if (running_ms > stats.longest_ms)
            stats.longest_ms = running_ms;
    }
    return stats;
}
