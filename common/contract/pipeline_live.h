/* pipeline_live: which part of the document a running program takes over as it changes, and which
 * it reads only when it starts.
 *
 *   resolved document --cut to the tier--> what its program reads
 *   what its program reads --without what is live--> the part for which it must be started anew
 *
 * The controller hashes that part into the pod template, so that only a change of it replaces pods;
 * the sidecar compares it to know whether a changed document can be taken over as a whole. What
 * concerns only the controller (replicas, scaling, budgets, pod templates, Services, how a topic is
 * made) is in neither.
 */
#ifndef COMMON_CONTRACT_PIPELINE_LIVE_H
#define COMMON_CONTRACT_PIPELINE_LIVE_H

#include "common/contract/pipeline.h"

#include <stdbool.h>

/* The part of the resolved document for which the program of that edge or gateway must be started
 * anew. `name` must be one of the pipeline's. The caller frees it. */
struct json *pipeline_start_part(const struct pipeline *pipeline, bool edge, const char *name);

/* Whether the program of that edge or gateway would do the same by both. */
bool pipeline_same_program(const struct pipeline *a, const struct pipeline *b, bool edge,
                           const char *name);

/* Where two such parts differ, as dotted paths with commas between them, cut at the end of `into`;
 * "" if they don't. */
#define PIPELINE_DIFFERENCE_MAX 320
void pipeline_difference(const struct json *a, const struct json *b,
                         char into[PIPELINE_DIFFERENCE_MAX]);

/* Whether an edge or gateway has the same at a dotted path in both. */
bool pipeline_same_at(const struct pipeline *a, const struct pipeline *b, bool edge,
                      const char *name, const char *path);

/* Copies what is live for that edge or gateway from one resolved document into another, so that a
 * document of which something must wait for a start is followed as far as that goes. Routes wait
 * where topics do: they may name what this program has never heard of. */
void pipeline_copy_live(const struct json *from, struct json *to, bool edge, const char *name);

/* Whether a pod of that name is among the first `percent` of a hundred to take a candidate: by the
 * hash of its name, so it is always the same pods first, and those that have it keep it as the
 * percentage grows. */
bool pipeline_takes_candidate(const char *pod, unsigned percent);

#endif
