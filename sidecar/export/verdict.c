#include "sidecar/export/verdict.h"

#include "common/num.h"

#include <stdio.h>
#include <string.h>

enum { RETRY_AFTER_MAX_MS = 300000 };

static const char *const names[] = {
    [VERDICT_DONE] = "done", [VERDICT_PARTIAL] = "partial",     [VERDICT_AGAIN] = "again",
    [VERDICT_MEND] = "mend", [VERDICT_TOO_LARGE] = "too_large", [VERDICT_REFUSED] = "refused",
};

const char *verdict_name(enum verdict verdict)
{
    return names[verdict];
}

static void say(struct judgement *judgement, const char *prefix, struct bytes text)
{
    size_t len = text.len < 200 ? text.len : 200;
    snprintf(judgement->text, sizeof judgement->text, "%s%s%.*s", prefix, len > 0 ? ": " : "",
             (int)len, len > 0 ? (const char *)text.data : "");
    for (char *at = judgement->text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
}

/* A success may still say that items were rejected. */
static void judge_response(enum signal signal, struct bytes body, enum otlp_encoding encoding,
                           struct judgement *judgement)
{
    struct otlp_response response = {0};

    judgement->verdict = VERDICT_DONE;
    if (otlp_response_decode(signal, body, encoding, &response, NULL) || !response.partial)
        return; /* a body that is no OTLP response takes nothing back */
    if (response.rejected <= 0)
        return; /* a warning */
    judgement->verdict = VERDICT_PARTIAL;
    judgement->rejected = response.rejected;
    say(judgement, "rejected in part", bytes_from(response.message));
}

static enum verdict verdict_of_code(const struct grpc_result *result, size_t sent_bytes)
{
    switch (result->status) {
    case GRPC_OK:
        return VERDICT_DONE;
    case GRPC_CANCELLED:
    case GRPC_DEADLINE_EXCEEDED:
    case GRPC_ABORTED:
    case GRPC_OUT_OF_RANGE:
    case GRPC_UNAVAILABLE:
    case GRPC_DATA_LOSS:
    case GRPC_UNKNOWN:
    case GRPC_INTERNAL:
        return VERDICT_AGAIN;
    case GRPC_UNAUTHENTICATED:
    case GRPC_PERMISSION_DENIED:
    case GRPC_UNIMPLEMENTED:
    case GRPC_NOT_FOUND:
        return VERDICT_MEND;
    case GRPC_RESOURCE_EXHAUSTED:
        return result->has_retry_delay || sent_bytes <= VERDICT_LARGE_BYTES ? VERDICT_AGAIN
                                                                            : VERDICT_TOO_LARGE;
    case GRPC_INVALID_ARGUMENT:
    case GRPC_ALREADY_EXISTS:
    case GRPC_FAILED_PRECONDITION:
        return VERDICT_REFUSED;
    }
    return VERDICT_AGAIN; /* a code that gRPC does not have */
}

void judge_grpc(enum signal signal, const struct grpc_result *result, size_t sent_bytes,
                struct judgement *ret_judgement)
{
    struct judgement *to = ret_judgement;

    *to = (struct judgement){.verdict = VERDICT_AGAIN};
    if (result->outcome != GRPC_CALL_ANSWERED) {
        to->lost_connection = result->outcome == GRPC_CALL_CONNECT_FAILED ||
                              result->outcome == GRPC_CALL_LOST ||
                              result->outcome == GRPC_CALL_RESOLVE_FAILED;
        if (result->outcome == GRPC_CALL_TLS_FAILED)
            to->verdict = VERDICT_MEND;
        say(to, grpc_outcome_name(result->outcome), result->message);
        return;
    }
    to->reached = true;
    to->verdict = verdict_of_code(result, sent_bytes);
    if (result->has_retry_delay)
        to->retry_after_ms = result->retry_delay_ms < RETRY_AFTER_MAX_MS ? result->retry_delay_ms
                                                                         : RETRY_AFTER_MAX_MS;
    if (to->verdict == VERDICT_DONE)
        judge_response(signal, result->body, OTLP_PROTO, to);
    else
        say(to, grpc_status_name(result->status), result->message);
}

/* What Prometheus (2.x and 3.x) says under a 500 of a sample that it will never take. One of them
 * takes its whole request along. */
static bool is_never(struct bytes body)
{
    static const char *const sentences[] = {
        "invalid temporality and type combination for metric",
        "could not get aggregation temporality for",
        "unsupported metric type",
        "unsupported exemplar value type",
        "cannot convert exponential to native histogram",
        "histogram's observation count",
        "histogram has a bucket whose observation count",
        "histogram has a span whose offset",
        "histogram spans specify different number of buckets",
        "histogram custom bounds",
        "normalization for metric",
        "normalization for label name",
        "label name is empty",
        "contains only underscores",
        "too old sample",
        "out of order sample",
        "duplicate sample for timestamp",
    };

    for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++)
        if (body.len > 0 && memmem(body.data, body.len, sentences[i], strlen(sentences[i])) != NULL)
            return true;
    return false;
}

static enum verdict verdict_of_status(int status)
{
    switch (status) {
    case 200:
    case 202:
    case 204:
        return VERDICT_DONE;
    case 401:
    case 403:
    case 404:
    case 405:
    case 407:
    case 415:
        return VERDICT_MEND;
    case 408:
    case 425:
    case 429:
        return VERDICT_AGAIN;
    case 413:
        return VERDICT_TOO_LARGE;
    default:
        break;
    }
    if (status >= 500)
        return VERDICT_AGAIN;
    if (status >= 200 && status < 300)
        return VERDICT_AGAIN; /* Loki's 260: taken, and thrown away */
    if (status >= 300 && status < 400)
        return VERDICT_MEND; /* redirects are not followed: the endpoint is another */
    return VERDICT_REFUSED;
}

void judge_http(enum signal signal, int status, struct bytes content_type, struct bytes body,
                const char *retry_after, struct judgement *ret_judgement)
{
    struct judgement *to = ret_judgement;
    enum otlp_encoding encoding = OTLP_PROTO;
    bool otlp = otlp_encoding_of(content_type, &encoding);
    struct otlp_status told = {0};
    uint64_t seconds = 0;
    char prefix[32];

    *to = (struct judgement){.verdict = verdict_of_status(status), .reached = true};
    if (retry_after != NULL && num_parse_u64(retry_after, RETRY_AFTER_MAX_MS / 1000, &seconds))
        to->retry_after_ms = seconds * 1000;
    if (to->verdict == VERDICT_DONE) {
        if (otlp)
            judge_response(signal, body, encoding, to);
        return;
    }
    if (status == 500 && is_never(body))
        to->verdict = VERDICT_REFUSED;
    snprintf(prefix, sizeof prefix, "HTTP %d", status);
    if (otlp && otlp_status_decode(body, encoding, &told, NULL) == OK && told.message[0] != '\0')
        body = bytes_from(told.message);
    say(to, prefix, body);
}

void judge_no_answer(enum err err, const char *text, struct judgement *ret_judgement)
{
    *ret_judgement =
        (struct judgement){.verdict = err == ERR_INVALID ? VERDICT_MEND : VERDICT_AGAIN,
                           .lost_connection = err == ERR_AGAIN};
    say(ret_judgement, "no answer", bytes_from(text));
}
