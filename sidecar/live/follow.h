/* follow: keeps a running process at its document.
 *
 *   changed --refused: can't be read, has faults, or a stage can't do it-------> the last good one
 *      |                                                                         goes on
 *      +-----sound, nothing in it waits for a start----------------------------> taken over
 *      `-----sound, but something is read at start only: the rest is taken over, that waits
 *
 * The generation told is that of the last document of which nothing waits. What is refused or waits
 * is said once in the log, and in /debug/state until it is no longer so:
 *
 *   "document":{"generation":4,"takenSeconds":17,"candidate":false,"refused":"",
 *               "waits":"edge.receivers.otlp.grpc"}
 *
 * Thread: the main one; follow_add_state() any.
 */
#ifndef SIDECAR_LIVE_FOLLOW_H
#define SIDECAR_LIVE_FOLLOW_H

#include "common/contract/pipeline.h"

#include <stdbool.h>

#define FOLLOW_EVERY_MS 1000 /* how often to call follow_look() */

struct document;
struct follow;

/* All pointers are loans until follow_close(). */
struct follow_options {
    struct document *document;
    const struct pipeline *running; /* what the process was started with */
    bool candidate;                 /* it was the candidate */
    const char *edge;               /* of this process; NULL: none */
    const char *gateways[PIPELINE_GATEWAYS_MAX];
    size_t gateways_len;

    /* Takes over what is live in `pipeline` (a loan for the call), or changes nothing. */
    enum err (*change)(void *context, const struct pipeline *pipeline, struct error *error);
    void *context;
};

NODISCARD enum err follow_open(const struct follow_options *options, struct follow **ret_follow,
                               struct error *error);
void follow_close(struct follow **follow);

/* Why the process did not start with what it was to take; before anything else. */
void follow_refused_at_start(struct follow *follow, const char *why);

/* Takes a changed document over, or says why not. `asked`: also looks at one that looks the same,
 * and answers in the log. */
void follow_look(struct follow *follow, bool asked);

/* What runs now; a loan until the next change. */
const struct pipeline *follow_running(const struct follow *follow);

/* Adds "document", and sets "generation". */
void follow_add_state(struct follow *follow, struct json *root);

#endif
