#include "common/kube/answer.h"

#include "common/num.h"

enum { STATUS_BYTES_MAX = 1 << 20, RETRY_AFTER_MAX_S = 3600, SHOWN_MAX = 300 };

static enum err code_of(int status)
{
    switch (status) {
    case 404:
        return ERR_NOTFOUND;
    case 409:
        return ERR_CONFLICT;
    case 401: /* credentials have been expired: new ones may do */
    case 408:
    case 410:
    case 429:
        return ERR_AGAIN;
    default:
        if (status >= 200 && status < 300)
            return OK;
        return status >= 500 ? ERR_AGAIN : ERR_INVALID;
    }
}

static uint64_t header_seconds(const char *retry_after)
{
    uint64_t seconds = 0; /* a date instead of a number is not worth the code: our backoff does */
    if (retry_after != NULL && num_parse_u64(retry_after, RETRY_AFTER_MAX_S, &seconds))
        return seconds;
    return 0;
}

static const char *advice(int status, const char *message)
{
    if (status == 403 && strstr(message, " cannot ") != NULL)
        return "; a Role or ClusterRole must allow it";
    if (status == 401)
        return "; the credentials were refused";
    return "";
}

/* Server-side apply reports a field that isn't in the schema as 500, however often one tries. */
static bool is_bad_apply(int status, const char *message)
{
    return status == 500 && strstr(message, "failed to create typed patch object") != NULL;
}

/* `json` is a metav1.Status, or NULL. */
static struct kube_verdict judge(int status, const struct json *json, struct bytes body,
                                 uint64_t seconds, struct error *error)
{
    const char *message = json_string(json_get(json, "message"), "");
    const char *reason = json_string(json_get(json, "reason"), "");
    int64_t wait = json_int(json_at(json, "details.retryAfterSeconds"), 0);
    struct kube_verdict verdict = {.err = code_of(status)};

    if (is_bad_apply(status, message))
        verdict.err = ERR_INVALID;

    verdict.gone = status == 410 || strcmp(reason, "Expired") == 0 || strcmp(reason, "Gone") == 0;
    if (seconds == 0 && wait > 0 && wait <= RETRY_AFTER_MAX_S)
        seconds = (uint64_t)wait;
    verdict.retry_after_ms = (unsigned)(seconds * 1000);

    if (verdict.err == OK)
        return verdict;
    if (message[0] != '\0')
        error_set(error, verdict.err, "%s (%d%s%s)%s", message, status,
                  reason[0] == '\0' ? "" : " ", reason, advice(status, message));
    else
        error_set(error, verdict.err, "the API server answered %d: %.*s", status,
                  (int)(body.len < SHOWN_MAX ? body.len : SHOWN_MAX), (const char *)body.data);
    return verdict;
}

struct kube_verdict answer_judge(int status, struct bytes body, const char *retry_after,
                                 struct error *error)
{
    AUTO(json_free) struct json *json = NULL;

    if (status < 200 || status >= 300) {
        while (body.len > 0 && body.data[body.len - 1] == '\n')
            body.len--;
        /* Anything may stand between us and the server: a body that is no Status is shown as is. */
        IGNORE_RESULT(json_parse(body, STATUS_BYTES_MAX, &json, NULL));
    }
    return judge(status, json, body, header_seconds(retry_after), error);
}

struct kube_verdict answer_judge_status(const struct json *status, struct error *error)
{
    int64_t code = json_int(json_get(status, "code"), 500);
    if (code < 400 || code > 599)
        code = 500;
    return judge((int)code, status, BYTES_LITERAL("an error without a message"), 0, error);
}
