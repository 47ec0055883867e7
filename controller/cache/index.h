/* index: which objects have a value, such as an owner's uid. Borrows the objects: whoever adds one
 * removes it before letting it go. Thread: its owner's. */
#ifndef CONTROLLER_CACHE_INDEX_H
#define CONTROLLER_CACHE_INDEX_H

#include "common/kube/object.h"
#include "common/map.h"

/* Zero-initialised is empty and valid. */
struct index {
    struct map sets; /* value -> struct map of key -> struct object */
};

/* An empty value is in no index. `key` is unique to the object. */
void index_add(struct index *index, const char *value, const char *key, struct object *object);
void index_remove(struct index *index, const char *value, const char *key);

/* key -> struct object of all that have the value; NULL if none has. */
const struct map *index_find(const struct index *index, const char *value);

void index_fini(struct index *index);

#endif
