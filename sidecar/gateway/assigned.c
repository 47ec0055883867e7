#include "sidecar/gateway/assigned.h"

#include "common/array.h"
#include "common/xalloc.h"

#include <stdlib.h>

struct partition *assigned_find(const struct assigned *assigned, const struct consumer_position *at)
{
    for (size_t i = 0; i < assigned->len; i++)
        if (assigned->items[i]->at.partition == at->partition &&
            assigned->items[i]->at.topic == at->topic)
            return assigned->items[i];
    return NULL;
}

static void free_if_unused(struct partition *partition)
{
    if (!partition->gone || partition->under_way > 0)
        return;
    offsets_fini(&partition->offsets);
    seen_fini(&partition->seen);
    seen_fini(&partition->earlier);
    free(partition);
}

void partition_release(struct partition *partition)
{
    partition->under_way--;
    free_if_unused(partition);
}

void assigned_drop(struct assigned *assigned, struct partition *partition)
{
    for (size_t i = 0; i < assigned->len; i++) {
        if (assigned->items[i] == partition) {
            assigned->items[i] = assigned->items[--assigned->len];
            break;
        }
    }
    partition->gone = true;
    free_if_unused(partition);
}

void partition_start(struct partition *partition, int64_t offset)
{
    offsets_init(&partition->offsets, offset);
    partition->began = offset;
    partition->started = true;
}

struct partition *assigned_add(struct assigned *assigned, const struct consumer_position *at)
{
    /* A few bytes for each partition; without them, start anew with more memory. */
    assigned->items =
        xarray_grow(assigned->items, assigned->len, &assigned->cap, sizeof(struct partition *));
    struct partition *partition = xcalloc(1, sizeof *partition);
    partition->at = *at;
    partition->committed = -1;
    partition->held_end = &partition->held;
    if (at->offset >= 0)
        partition_start(partition, at->offset);
    assigned->items[assigned->len++] = partition;
    return partition;
}

void partition_hold(struct partition *partition, struct message *message)
{
    *partition->held_end = message;
    partition->held_end = &message->next_held;
}

struct message *partition_unhold(struct partition *partition)
{
    struct message *first = partition->held;

    if (first == NULL)
        return NULL;
    partition->held = first->next_held;
    if (partition->held == NULL)
        partition->held_end = &partition->held;
    first->next_held = NULL;
    return first;
}
