/* diff: what a child should say against what it says -> what to do. Pure.
 *
 *   desired (sealed)     live            operation
 *   object               none            apply: it was deleted, or is new
 *   object               covers it       none: no request is made
 *   object               doesn't         apply: edited by hand, or we want something else now
 *   none                 ours            delete: no longer wanted
 *
 * A live object *covers* a desired one if everything that the desired one says is said there too;
 * what the server defaulted and what others added beside it doesn't count, for server-side apply
 * would leave it as it is. A field that we stopped saying would not be noticed that way, so each
 * desired object is sealed with a hash of itself: another seal means another body.
 *
 * Elements of lists are matched as the API server merges them (containers by name, ports by number,
 * mounts by path ...), other lists and selectors as a whole. Quantities are compared by value.
 */
#ifndef CONTROLLER_RECONCILE_DIFF_H
#define CONTROLLER_RECONCILE_DIFF_H

#include "common/json.h"

#define DIFF_PATH_MAX 200

/* Puts the hash of `desired` into its annotation surgetank.dev/hash. Call it once, last. */
void diff_seal(struct json *desired);

/* Whether `live` covers `desired`. If not, `path` says where they part: "spec.replicas". */
bool diff_covers(const struct json *desired, const struct json *live, char path[DIFF_PATH_MAX]);

#endif
