/* map: text -> pointer, by hash. Keys are copied, values are the caller's. Zero-initialised is
 * empty and valid; it grows as needed and never fails (xalloc.h), so its owner bounds what goes in.
 *
 *   struct map map = {0};
 *   map_set(&map, "a", value);           the value that was there, or NULL
 *   for (struct map_entry *e = map_next(&map, NULL); e != NULL; e = map_next(&map, e)) ...
 *
 * Thread: its owner's.
 */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_entry {
    struct map_entry *next; /* in the bucket */
    uint64_t hash;
    void *value;
    char key[];
};

struct map {
    struct map_entry **buckets;
    size_t bucket_count, count;
};

void *map_get(const struct map *map, const char *key);

/* Puts `value` (not NULL) under `key`; returns what was there before, or NULL. */
void *map_set(struct map *map, const char *key, void *value);

/* Takes the value out and returns it; NULL if absent. */
void *map_remove(struct map *map, const char *key);

/* The entry after `entry`, the first for NULL, NULL at the end; in no order. Nothing may be added
 * while walking; the current entry may be removed after its successor was asked for. */
struct map_entry *map_next(const struct map *map, const struct map_entry *entry);

/* Frees entries and keys, not the values. */
void map_fini(struct map *map);

#endif
