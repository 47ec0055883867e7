/* answer: what the API server said, as a code and a sentence. Pure.
 *
 * A failed request's body is a metav1.Status {message, reason, code, details: {causes,
 * retryAfterSeconds}}; so is the object of an ERROR event in a watch. The table is in client.h.
 */
#ifndef COMMON_KUBE_ANSWER_H
#define COMMON_KUBE_ANSWER_H

#include "common/bytes.h"
#include "common/error.h"
#include "common/json.h"

struct kube_verdict {
    enum err err;
    bool gone;
    unsigned retry_after_ms;
};

/* `status`: of HTTP. `body`: whatever came. `retry_after`: the header, or NULL. The sentence goes
 * to `error`. */
struct kube_verdict answer_judge(int status, struct bytes body, const char *retry_after,
                                 struct error *error);

/* The same for the object of an ERROR event. */
struct kube_verdict answer_judge_status(const struct json *status, struct error *error);

#endif
