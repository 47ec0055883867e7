/* volumes: the claims that the StatefulSets of edges make: they grow with spool.size, and what lies
 * on those that no pod uses is named.
 *
 *   claim                                     what becomes of it
 *   of a pod, asks for less than spool.size   patched; where the StorageClass has no growing, that
 *                                             is said, in the server's own words
 *   of no pod, marked                         nothing: its spool was empty when its pod went
 *   of no pod, not marked                     stranded: acknowledged telemetry that nobody sends
 *
 * Claims never shrink and are never deleted here. The StatefulSet keeps the size it was made with,
 * for nobody can change it, and is not replaced for that: claims of pods that it makes later grow
 * at once.
 *
 * Thread: the workers'; one pipeline is with one worker at a time.
 */
#ifndef CONTROLLER_RECONCILE_VOLUMES_H
#define CONTROLLER_RECONCILE_VOLUMES_H

#include "controller/reconcile/reconcile.h"

#define VOLUMES_STRANDED_MAX   64
#define VOLUMES_RETRY_MS       300000u /* after the server refused to let one grow */
#define VOLUMES_LABEL_SELECTOR NAMES_LABEL_PIPELINE "," NAMES_LABEL_EDGE

/* One claim. */
struct volume {
    const char *name; /* of the claim, a loan from it */
    int64_t ordinal;
    int64_t asked_bytes;
    bool drained; /* marked so */
};

/* Whether `claim` is one of the StatefulSet `workload`. Pure. */
bool volume_read(const struct json *claim, const char *workload, struct volume *ret_volume);

/* What is to be done about it where pods up to `replicas` are there and are to have `size_bytes`.
 * Pure. */
enum volume_step { VOLUME_KEEP, VOLUME_GROW, VOLUME_UNMARK, VOLUME_STRANDED };
enum volume_step volume_judge(const struct volume *volume, int64_t size_bytes, int64_t replicas);

struct volumes;

struct volumes *volumes_create(void);
void volumes_destroy(struct volumes **volumes);

/* Notes what is stranded in gathered->status, and lets grow what has to: what can't is said in the
 * edge's `problem`. */
NODISCARD enum err volumes_apply(const struct reconcile *reconcile, const struct subject *subject,
                                 struct gathered *gathered, struct error *error);

/* Marks the claim of pod `ordinal`, which was taken away with an empty spool. */
NODISCARD enum err volumes_mark_drained(const struct reconcile *reconcile, const char *namespace,
                                        const char *workload, int64_t ordinal, struct error *error);

#endif
