/* A flat array of claimants, each with an array of hashed claims: 3,000 pipelines with ten claims
 * are 30,000 comparisons of an integer for one check.
 */
#include "controller/reconcile/claims.h"

#include "common/array.h"
#include "common/map.h"
#include "common/xalloc.h"

#include <stdlib.h>

enum claim_kind { CLAIM_TOPIC, CLAIM_GROUP };

struct claim {
    enum claim_kind kind;
    uint64_t hash; /* of the name */
    char *name;
};

struct claimant {
    char *key, *created;
    char *cluster; /* bootstrap addresses, sorted */
    struct claim *claims;
    size_t count;
};

struct claims {
    struct claimant **claimants;
    size_t count, cap;
    struct map clusters; /* bootstrap addresses, sorted -> char * id */
};

struct claims *claims_create(void)
{
    return xcalloc(1, sizeof(struct claims));
}

static void claimant_free(struct claimant *claimant)
{
    for (size_t i = 0; i < claimant->count; i++)
        free(claimant->claims[i].name);
    free(claimant->claims);
    free(claimant->key);
    free(claimant->created);
    free(claimant->cluster);
    free(claimant);
}

void claims_destroy(struct claims **claims)
{
    if (*claims == NULL)
        return;
    for (size_t i = 0; i < (*claims)->count; i++)
        claimant_free((*claims)->claimants[i]);
    for (struct map_entry *e = map_next(&(*claims)->clusters, NULL); e != NULL;
         e = map_next(&(*claims)->clusters, e))
        free(e->value);
    map_fini(&(*claims)->clusters);
    free((*claims)->claimants);
    free(*claims);
    *claims = NULL;
}

/* ---- clusters */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The addresses in one order, whichever way they were written. */
static char *cluster_key(const struct pipeline_strings *bootstrap)
{
    size_t len = 1;
    const char **sorted = xcalloc(bootstrap->count + 1, sizeof *sorted);

    for (size_t i = 0; i < bootstrap->count; i++) {
        sorted[i] = bootstrap->items[i];
        len += strlen(sorted[i]) + 1;
    }
    qsort(sorted, bootstrap->count, sizeof *sorted, compare_texts);

    char *key = xcalloc(len, 1);
    size_t at = 0;
    for (size_t i = 0; i < bootstrap->count; i++) {
        size_t size = strlen(sorted[i]);
        memcpy(key + at, sorted[i], size);
        at += size;
        key[at++] = ',';
    }
    free(sorted);
    return key;
}

void claims_note_cluster(struct claims *claims, const struct pipeline_strings *bootstrap,
                         const char *cluster_id)
{
    char *key = cluster_key(bootstrap);

    free(map_set(&claims->clusters, key, xstrdup(cluster_id)));
    free(key);
}

static bool same_cluster(const struct claims *claims, const struct claimant *a,
                         const struct claimant *b)
{
    if (strcmp(a->cluster, b->cluster) == 0)
        return true;
    const char *id_a = map_get(&claims->clusters, a->cluster);
    const char *id_b = map_get(&claims->clusters, b->cluster);
    return id_a != NULL && id_b != NULL && strcmp(id_a, id_b) == 0;
}

/* ---- claims */

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}

static void claimant_add(struct claimant *claimant, enum claim_kind kind, const char *name)
{
    claimant->claims[claimant->count++] =
        (struct claim){.kind = kind, .hash = hash_text(name), .name = xstrdup(name)};
}

void claims_put(struct claims *claims, const char *key, const char *created,
                const struct pipeline *pipeline)
{
    claims_drop(claims, key);
    if (pipeline->kafka == NULL)
        return;

    struct claimant *claimant = xcalloc(1, sizeof *claimant);
    claimant->key = xstrdup(key);
    claimant->created = xstrdup(created);
    claimant->cluster = cluster_key(&pipeline->kafka->bootstrap_servers);
    claimant->claims =
        xcalloc(pipeline->topic_count + pipeline->gateway_count, sizeof *claimant->claims);
    for (size_t i = 0; i < pipeline->topic_count; i++) {
        if (pipeline->topics[i].ownership != PIPELINE_OWNERSHIP_OBSERVE)
            claimant_add(claimant, CLAIM_TOPIC, pipeline->topics[i].topic);
    }
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        claimant_add(claimant, CLAIM_GROUP, pipeline->gateways[i].group_id);

    claims->claimants =
        xarray_grow(claims->claimants, claims->count, &claims->cap, sizeof(struct claimant *));
    claims->claimants[claims->count++] = claimant;
}

static struct claimant *find(const struct claims *claims, const char *key, size_t *ret_index)
{
    for (size_t i = 0; i < claims->count; i++) {
        if (strcmp(claims->claimants[i]->key, key) == 0) {
            *ret_index = i;
            return claims->claimants[i];
        }
    }
    return NULL;
}

void claims_drop(struct claims *claims, const char *key)
{
    size_t index = 0;
    struct claimant *claimant = find(claims, key, &index);

    if (claimant == NULL)
        return;
    claims->claimants[index] = claims->claimants[--claims->count];
    claimant_free(claimant);
}

static bool is_older(const struct claimant *a, const struct claimant *b)
{
    int order = strcmp(a->created, b->created);
    return order < 0 || (order == 0 && strcmp(a->key, b->key) < 0);
}

static const struct claim *common_claim(const struct claimant *a, const struct claimant *b)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t j = 0; j < b->count; j++) {
            if (a->claims[i].hash == b->claims[j].hash && a->claims[i].kind == b->claims[j].kind &&
                strcmp(a->claims[i].name, b->claims[j].name) == 0)
                return &a->claims[i];
        }
    }
    return NULL;
}

enum err claims_check(const struct claims *claims, const char *key, struct error *error)
{
    size_t index = 0;
    const struct claimant *mine = find(claims, key, &index);

    for (size_t i = 0; mine != NULL && i < claims->count; i++) {
        const struct claimant *other = claims->claimants[i];
        if (other == mine || !is_older(other, mine))
            continue;
        const struct claim *claim = common_claim(mine, other);
        if (claim == NULL || !same_cluster(claims, mine, other))
            continue;
        if (claim->kind == CLAIM_GROUP)
            return error_set(error, ERR_CONFLICT,
                             "Consumer group %s belongs to pipeline %s, which is older; two would "
                             "take each other's messages. Set another consumer.groupID",
                             claim->name, other->key);
        return error_set(error, ERR_CONFLICT,
                         "Topic %s belongs to pipeline %s, which is older. Name another topic, or "
                         "set ownership: Observe to share it on purpose",
                         claim->name, other->key);
    }
    return OK;
}
