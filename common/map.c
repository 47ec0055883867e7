#include "common/map.h"

#include "common/assert.h"
#include "common/xalloc.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 16 };

/* FNV-1a. Keys come from the API server, which bounds how many there can be. */
static uint64_t hash_of(const char *key)
{
    uint64_t hash = 14695981039346656037u;
    for (; *key != '\0'; key++)
        hash = (hash ^ (uint8_t)*key) * 1099511628211u;
    return hash;
}

static struct map_entry **slot(const struct map *map, const char *key, uint64_t hash)
{
    struct map_entry **at = &map->buckets[hash & (map->bucket_count - 1)];
    while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
        at = &(*at)->next;
    return at;
}

static void grow(struct map *map)
{
    size_t count = map->bucket_count == 0 ? BUCKETS_MIN : map->bucket_count * 2;
    struct map_entry **buckets = xcalloc(count, sizeof(struct map_entry *));

    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_entry *entry = map->buckets[i];
        while (entry != NULL) {
            struct map_entry *next = entry->next;
            struct map_entry **head = &buckets[entry->hash & (count - 1)];
            entry->next = *head;
            *head = entry;
            entry = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = count;
}

void *map_get(const struct map *map, const char *key)
{
    if (map->count == 0)
        return NULL;
    const struct map_entry *entry = *slot(map, key, hash_of(key));
    return entry == NULL ? NULL : entry->value;
}

void *map_set(struct map *map, const char *key, void *value)
{
    ASSERT(value != NULL);
    if (map->count >= map->bucket_count)
        grow(map);

    uint64_t hash = hash_of(key);
    struct map_entry **at = slot(map, key, hash);
    if (*at != NULL) {
        void *old = (*at)->value;
        (*at)->value = value;
        return old;
    }

    size_t size = strlen(key) + 1;
    struct map_entry *entry = xcalloc(1, sizeof *entry + size);
    entry->hash = hash;
    entry->value = value;
    memcpy(entry->key, key, size);
    *at = entry;
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, const char *key)
{
    if (map->count == 0)
        return NULL;
    struct map_entry **at = slot(map, key, hash_of(key));
    struct map_entry *entry = *at;
    if (entry == NULL)
        return NULL;

    void *value = entry->value;
    *at = entry->next;
    free(entry);
    map->count--;
    return value;
}

struct map_entry *map_next(const struct map *map, const struct map_entry *entry)
{
    size_t bucket = 0;

    if (entry != NULL) {
        if (entry->next != NULL)
            return entry->next;
        bucket = (entry->hash & (map->bucket_count - 1)) + 1;
    }
    for (; bucket < map->bucket_count; bucket++) {
        if (map->buckets[bucket] != NULL)
            return map->buckets[bucket];
    }
    return NULL;
}

void map_fini(struct map *map)
{
    for (struct map_entry *entry = map_next(map, NULL), *next; entry != NULL; entry = next) {
        next = map_next(map, entry);
        free(entry);
    }
    free(map->buckets);
    *map = (struct map){0};
}
