#include "controller/reconcile/volumes.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/contract/quantity.h"
#include "common/map.h"
#include "common/num.h"
#include "common/xalloc.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { REFUSALS_MAX = 1024 };

/* The server said no; it is not asked again at every look. */
struct refusal {
    uint64_t until_ms;
    int64_t size_bytes;
    char sentence[STATUS_WORD_MAX];
};

struct volumes {
    pthread_mutex_t mutex;
    struct map refused; /* "namespace/name" of the claim -> struct refusal * */
};

struct volumes *volumes_create(void)
{
    struct volumes *volumes = xcalloc(1, sizeof *volumes);
    pthread_mutex_init(&volumes->mutex, NULL);
    return volumes;
}

static void forget_all(struct volumes *volumes)
{
    for (struct map_entry *e = map_next(&volumes->refused, NULL); e != NULL;
         e = map_next(&volumes->refused, e))
        free(e->value);
    map_fini(&volumes->refused);
    volumes->refused = (struct map){0};
}

void volumes_destroy(struct volumes **volumes)
{
    if (*volumes == NULL)
        return;
    forget_all(*volumes);
    pthread_mutex_destroy(&(*volumes)->mutex);
    free(*volumes);
    *volumes = NULL;
}

/* ---- judging */

/* "spool-shop-edge-2" -> 2 */
bool volume_read(const struct json *claim, const char *workload, struct volume *ret_volume)
{
    const char *name = object_name(claim);
    const char *asked = json_string(json_at(claim, "spec.resources.requests.storage"), "");
    char prefix[DESIRED_NAME_MAX + 16];
    uint64_t ordinal = 0;

    size_t len = (size_t)snprintf(prefix, sizeof prefix, DESIRED_SPOOL_VOLUME "-%s-", workload);
    if (object_is_deleting(claim) || strncmp(name, prefix, len) != 0 ||
        !num_parse_u64(name + len, INT32_MAX, &ordinal))
        return false;
    *ret_volume = (struct volume){.name = name, .ordinal = (int64_t)ordinal};
    ret_volume->drained = object_annotation(claim, NAMES_ANNOTATION_DRAINED)[0] != '\0';
    return quantity_parse(asked, &ret_volume->asked_bytes, NULL) == OK;
}

enum volume_step volume_judge(const struct volume *volume, int64_t size_bytes, int64_t replicas)
{
    if (volume->ordinal >= replicas)
        return volume->drained ? VOLUME_KEEP : VOLUME_STRANDED;
    if (volume->drained)
        return VOLUME_UNMARK;
    return volume->asked_bytes < size_bytes ? VOLUME_GROW : VOLUME_KEEP;
}

/* ---- writing */

static enum err patch_mark(const struct reconcile *reconcile, const char *namespace,
                           const char *name, bool drained, struct error *error)
{
    AUTO(json_free) struct json *patch = json_new_object();
    struct json *annotations = json_set_object(json_set_object(patch, "metadata"), "annotations");

    if (drained)
        json_set_string(annotations, NAMES_ANNOTATION_DRAINED, "true");
    else
        json_set(annotations, NAMES_ANNOTATION_DRAINED, &(struct json *){json_new_null()});
    enum err err =
        apply_patch(&reconcile->apply, &kube_persistentvolumeclaims, namespace, name, patch, error);
    return err == ERR_NOTFOUND ? OK : err; /* gone, and its mark with it */
}

enum err volumes_mark_drained(const struct reconcile *reconcile, const char *namespace,
                              const char *workload, int64_t ordinal, struct error *error)
{
    char name[DESIRED_NAME_MAX + 32];

    snprintf(name, sizeof name, DESIRED_SPOOL_VOLUME "-%s-%" PRId64, workload, ordinal);
    return patch_mark(reconcile, namespace, name, true, error);
}

/* The refusal that still stands, as a sentence. */
static bool is_refused(struct volumes *volumes, const char *key, int64_t size_bytes,
                       char sentence[STATUS_WORD_MAX])
{
    pthread_mutex_lock(&volumes->mutex);
    const struct refusal *refusal = map_get(&volumes->refused, key);
    bool stands =
        refusal != NULL && refusal->size_bytes == size_bytes && clock_mono_ms() < refusal->until_ms;
    if (stands)
        memcpy(sentence, refusal->sentence, STATUS_WORD_MAX);
    pthread_mutex_unlock(&volumes->mutex);
    return stands;
}

static void note_refusal(struct volumes *volumes, const char *key, int64_t size_bytes,
                         const char *sentence)
{
    struct refusal *refusal = xcalloc(1, sizeof *refusal);

    refusal->until_ms = clock_mono_ms() + VOLUMES_RETRY_MS;
    refusal->size_bytes = size_bytes;
    snprintf(refusal->sentence, sizeof refusal->sentence, "%s", sentence);
    pthread_mutex_lock(&volumes->mutex);
    if (volumes->refused.count >= REFUSALS_MAX)
        forget_all(volumes);
    free(map_set(&volumes->refused, key, refusal));
    pthread_mutex_unlock(&volumes->mutex);
}

/* A refusal is no error of ours: the edge runs on the volume it has. */
static enum err grow(const struct reconcile *reconcile, const char *namespace,
                     const struct volume *volume, int64_t size_bytes, char problem[STATUS_WORD_MAX],
                     struct error *error)
{
    AUTO(json_free) struct json *patch = json_new_object();
    char key[160], size[QUANTITY_TEXT_MAX], sentence[STATUS_WORD_MAX];
    struct error refused = {0};

    snprintf(key, sizeof key, "%s/%s", namespace, volume->name);
    if (is_refused(reconcile->volumes, key, size_bytes, problem))
        return OK;
    quantity_print(size_bytes, size);
    struct json *resources = json_set_object(json_set_object(patch, "spec"), "resources");
    json_set_string(json_set_object(resources, "requests"), "storage", size);
    enum err err = apply_patch(&reconcile->apply, &kube_persistentvolumeclaims, namespace,
                               volume->name, patch, &refused);
    if (err == OK || err == ERR_NOTFOUND)
        return OK;
    if (err == ERR_AGAIN || err == ERR_CLOSED || err == ERR_CONFLICT)
        return error_set(error, err, "%s", refused.text);
    snprintf(sentence, sizeof sentence,
             "Its volume %s stays as it is: take a StorageClass with allowVolumeExpansion, or put "
             "spool.size back. %.300s",
             volume->name, refused.text);
    note_refusal(reconcile->volumes, key, size_bytes, sentence);
    memcpy(problem, sentence, STATUS_WORD_MAX);
    return OK;
}

/* ---- all of an edge */

static void strand(struct gathered *gathered, size_t index, const struct volume *volume)
{
    struct edge_status *status = &gathered->status.edges[index];

    if (status->stranded == NULL)
        status->stranded = gathered->stranded[index] = json_new_array();
    if (json_size(status->stranded) < VOLUMES_STRANDED_MAX)
        json_add_string(gathered->stranded[index], volume->name);
    if (volume->ordinal >= status->stranded_replicas)
        status->stranded_replicas = volume->ordinal + 1;
}

static enum err apply_edge(const struct reconcile *reconcile, const struct subject *subject,
                           const struct object_list *claims, size_t index,
                           struct gathered *gathered, struct error *error)
{
    const struct pipeline_edge *edge = &subject->pipeline->edges[index];
    struct edge_status *status = &gathered->status.edges[index];
    int64_t replicas = gathered->edge_replicas[index];
    char workload[DESIRED_NAME_MAX + 1];
    enum err err = OK;

    if (edge->mode != PIPELINE_STATEFULSET ||
        !desired_name(subject->pipeline, edge->name, workload))
        return OK;
    if (replicas < edge->replicas)
        replicas = edge->replicas; /* about to be */
    for (size_t i = 0; i < claims->count && err == OK; i++) {
        AUTO(json_free) struct json *claim = object_parse(claims->items[i]);
        struct volume volume;
        if (!volume_read(claim, workload, &volume))
            continue;
        switch (volume_judge(&volume, edge->spool.size_bytes, replicas)) {
        case VOLUME_KEEP:
            break;
        case VOLUME_GROW:
            err = grow(reconcile, subject->pipeline->namespace, &volume, edge->spool.size_bytes,
                       status->problem, error);
            break;
        case VOLUME_UNMARK:
            err = patch_mark(reconcile, subject->pipeline->namespace, volume.name, false, error);
            break;
        case VOLUME_STRANDED:
            strand(gathered, index, &volume);
            break;
        }
    }
    return err;
}

enum err volumes_apply(const struct reconcile *reconcile, const struct subject *subject,
                       struct gathered *gathered, struct error *error)
{
    const struct pipeline *pipeline = subject->pipeline;
    AUTO(object_list_fini)
    struct object_list claims = store_labelled(reconcile->apply.store, &kube_persistentvolumeclaims,
                                               pipeline->namespace, pipeline->name);
    enum err err = OK;

    for (size_t i = 0; i < pipeline->edge_count && err == OK; i++)
        err = apply_edge(reconcile, subject, &claims, i, gathered, error);
    return err;
}
