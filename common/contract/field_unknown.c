/* A name that no table has: most are slips of the finger, so the nearest one is offered. */
#include "common/contract/field.h"

#include <stdio.h>
#include <strings.h>

enum { TODO_MAX = 320, NAME_LEN_MAX = 64 };

/* How many letters differ (insertions, deletions, changes); names are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_LEN_MAX + 1], lb = strlen(b);

    if (strlen(a) > NAME_LEN_MAX || lb > NAME_LEN_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; *a != '\0'; i++, a++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = diagonal + (*a != b[j - 1]);
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[lb];
}

void field_unknown(struct faults *faults, const struct shape *shape, const char *name,
                   const char *path)
{
    const char *nearest = NULL;
    size_t nearest_distance = strlen(name) / 3 + 2, used = 0;
    char todo[TODO_MAX];

    for (size_t i = 0; i < shape->count; i++) {
        const char *known = shape->fields[i].name;
        size_t far = strcasecmp(name, known) == 0 ? 0 : distance(name, known);
        if (far < nearest_distance) {
            nearest = known;
            nearest_distance = far;
        }
    }
    if (nearest != NULL) {
        snprintf(todo, sizeof todo, "Did you mean %s?", nearest);
    } else {
        used = (size_t)snprintf(todo, sizeof todo, "Known here:");
        for (size_t i = 0; i < shape->count && used < sizeof todo; i++)
            used += (size_t)snprintf(todo + used, sizeof todo - used, "%s %s", i == 0 ? "" : ",",
                                     shape->fields[i].name);
    }
    fault_add(faults, path, todo, "is no field that we know");
}
