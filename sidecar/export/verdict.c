#include "sidecar/export/verdict.h"

#include "common/num.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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

static bool mentions(struct bytes text, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= text.len; i++)
        if (strncasecmp((const char *)text.data + i, word, len) == 0)
            return true;
    return false;
}

/* "unsupported compression: zstd", "Decompressor is not installed", "Error parsing 'grpc-encoding'
 * metadata" ... */
static bool names_compression(struct bytes text, enum compression encoding)
{
    return mentions(text, "compress") || mentions(text, "-encoding") ||
           mentions(text, compression_name(encoding));
}

static enum blame blame_of_code(const struct grpc_result *result, enum compression encoding)
{
    enum grpc_status status = result->status;

    if (encoding == COMPRESSION_NONE)
        return BLAME_NONE;
    if (status != GRPC_UNIMPLEMENTED && status != GRPC_INTERNAL &&
        status != GRPC_INVALID_ARGUMENT && status != GRPC_UNKNOWN)
        return BLAME_NONE;
    if (names_compression(result->message, encoding) ||
        (result->accepts != 0 && (result->accepts & 1u << encoding) == 0))
        return BLAME_CERTAIN;
    return status == GRPC_UNKNOWN ? BLAME_NONE : BLAME_POSSIBLE;
}

static enum blame blame_of_status(int status, enum verdict verdict, struct bytes body,
                                  enum compression encoding)
{
    bool refused = verdict == VERDICT_REFUSED || status == 415 || status == 501;

    if (encoding == COMPRESSION_NONE || (!refused && status != 500))
        return BLAME_NONE;
    if (status == 415 || names_compression(body, encoding))
        return BLAME_CERTAIN;
    return refused ? BLAME_POSSIBLE : BLAME_NONE;
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
                enum compression encoding, struct judgement *ret_judgement)
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
    to->verdict = verdict_of_code(result, sent_bytes);
    to->may_be_data = result->status == GRPC_UNKNOWN || result->status == GRPC_INTERNAL;
    to->blame = blame_of_code(result, encoding);
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

void judge_http(enum signal signal, const struct http_answer *answer, enum compression encoding,
                struct judgement *ret_judgement)
{
    struct judgement *to = ret_judgement;
    enum otlp_encoding format = OTLP_PROTO;
    bool otlp = otlp_encoding_of(answer->content_type, &format);
    struct bytes text = answer->body;
    struct otlp_status told = {0};
    uint64_t seconds = 0;
    char prefix[32];

    *to = (struct judgement){.verdict = verdict_of_status(answer->status)};
    if (answer->retry_after != NULL &&
        num_parse_u64(answer->retry_after, RETRY_AFTER_MAX_MS / 1000, &seconds))
        to->retry_after_ms = seconds * 1000;
    if (to->verdict == VERDICT_DONE) {
        if (otlp)
            judge_response(signal, answer->body, format, to);
        return;
    }
    to->may_be_data = answer->status == 500 || answer->status == 260;
    if (answer->status == 500 && is_never(answer->body))
        to->verdict = VERDICT_REFUSED;
    else
        to->blame = blame_of_status(answer->status, to->verdict, answer->body, encoding);
    snprintf(prefix, sizeof prefix, "HTTP %d", answer->status);
    if (otlp && otlp_status_decode(answer->body, format, &told, NULL) == OK &&
        told.message[0] != '\0')
        text = bytes_from(told.message);
    say(to, prefix, text);
}

void judge_no_answer(enum err err, const char *text, struct judgement *ret_judgement)
{
    *ret_judgement =
        (struct judgement){.verdict = err == ERR_INVALID ? VERDICT_MEND : VERDICT_AGAIN,
                           .lost_connection = err == ERR_AGAIN};
    say(ret_judgement, "no answer", bytes_from(text));
}
