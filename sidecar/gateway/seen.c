#include "sidecar/gateway/seen.h"

#include "common/crc32c.h"

#include <stdlib.h>

enum { HEADS = 1024 };

struct seen_entry {
    uint32_t hash, chain; /* the next of its chain, and 1 */
    uint8_t len;
    uint8_t id[SEEN_ID_MAX];
};

void seen_fini(struct seen *seen)
{
    free(seen->ring);
    free(seen->heads);
    *seen = (struct seen){0};
}

static bool make(struct seen *seen)
{
    seen->ring = calloc(SEEN_MAX, sizeof *seen->ring);
    seen->heads = calloc(HEADS, sizeof *seen->heads);
    if (seen->ring == NULL || seen->heads == NULL)
        seen_fini(seen);
    return seen->ring != NULL;
}

/* Takes the oldest entry out of its chain. */
static void unlink_entry(struct seen *seen, uint32_t index)
{
    struct seen_entry *entry = &seen->ring[index];

    if (entry->len == 0)
        return;
    for (uint32_t *at = &seen->heads[entry->hash % HEADS]; *at != 0;
         at = &seen->ring[*at - 1].chain) {
        if (*at == index + 1) {
            *at = entry->chain;
            return;
        }
    }
}

static bool find(const struct seen *seen, struct bytes id, uint32_t hash)
{
    for (uint32_t at = seen->heads[hash % HEADS]; at != 0; at = seen->ring[at - 1].chain) {
        const struct seen_entry *entry = &seen->ring[at - 1];
        if (entry->hash == hash && bytes_equal((struct bytes){entry->id, entry->len}, id))
            return true;
    }
    return false;
}

bool seen_knows(const struct seen *seen, struct bytes id)
{
    return seen->ring != NULL && id.len > 0 && find(seen, id, crc32c(0, id));
}

void seen_add(struct seen *seen, struct bytes id)
{
    if (id.len == 0 || id.len > SEEN_ID_MAX || (seen->ring == NULL && !make(seen)))
        return;
    uint32_t hash = crc32c(0, id);
    if (find(seen, id, hash))
        return;

    uint32_t index = seen->next;
    struct seen_entry *entry = &seen->ring[index];
    unlink_entry(seen, index);
    entry->hash = hash;
    entry->len = (uint8_t)id.len;
    memcpy(entry->id, id.data, id.len);
    entry->chain = seen->heads[hash % HEADS];
    seen->heads[hash % HEADS] = index + 1;
    seen->next = (index + 1) % SEEN_MAX;
}

void seen_join(struct seen *seen, struct seen *earlier)
{
    for (uint32_t i = 0; seen->ring != NULL && i < SEEN_MAX; i++) {
        const struct seen_entry *entry = &seen->ring[(seen->next + i) % SEEN_MAX];
        seen_add(earlier, (struct bytes){entry->id, entry->len});
    }
    seen_fini(seen);
    *seen = *earlier;
    *earlier = (struct seen){0};
}
