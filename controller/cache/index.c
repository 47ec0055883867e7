#include "controller/cache/index.h"

#include "common/xalloc.h"

#include <stdlib.h>

void index_add(struct index *index, const char *value, const char *key, struct object *object)
{
    if (value[0] == '\0')
        return;
    struct map *set = map_get(&index->sets, value);
    if (set == NULL) {
        set = xcalloc(1, sizeof *set);
        map_set(&index->sets, value, set);
    }
    map_set(set, key, object);
}

void index_remove(struct index *index, const char *value, const char *key)
{
    struct map *set = value[0] == '\0' ? NULL : map_get(&index->sets, value);
    if (set == NULL)
        return;
    map_remove(set, key);
    if (set->count > 0)
        return;
    map_remove(&index->sets, value);
    map_fini(set);
    free(set);
}

const struct map *index_find(const struct index *index, const char *value)
{
    return map_get(&index->sets, value);
}

void index_fini(struct index *index)
{
    for (struct map_entry *e = map_next(&index->sets, NULL); e != NULL;
         e = map_next(&index->sets, e)) {
        map_fini(e->value);
        free(e->value);
    }
    map_fini(&index->sets);
}
