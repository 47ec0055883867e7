/* Any bytes as a backend's answer: judged, the sentence ended and short, and what was read of a
 * status or a response is read again once it has been written. First bytes: signal and encoding,
 * content type, status; the rest is the body. */
#include "common/assert.h"
#include "sidecar/export/verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_judgement(enum signal signal, const uint8_t head[3], struct bytes body)
{
    static const int statuses[] = {200, 204, 206, 260, 302, 400, 401, 404, 413, 415, 429, 500, 503};
    static const char *const types[] = {"application/x-protobuf", "application/json", "text/plain",
                                        ""};
    const struct http_answer answer = {.status = statuses[head[2] % 13],
                                       .content_type = bytes_from(types[head[1] % 4]),
                                       .body = body,
                                       .retry_after = head[1] & 4 ? "99999999999999999999" : NULL};
    const struct grpc_result result = {.outcome = GRPC_CALL_ANSWERED,
                                       .status = (enum grpc_status)(head[2] % 17),
                                       .body = body,
                                       .details = body};
    struct judgement judgement;

    judge_http(signal, &answer, (enum compression)(head[1] >> 6), &judgement);
    ASSERT(memchr(judgement.text, '\0', sizeof judgement.text) != NULL);
    ASSERT((judgement.verdict == VERDICT_PARTIAL) == (judgement.rejected > 0));
    judge_grpc(signal, &result, body.len, COMPRESSION_NONE, &judgement);
    ASSERT(memchr(judgement.text, '\0', sizeof judgement.text) != NULL);
    ASSERT((judgement.verdict == VERDICT_PARTIAL) == (judgement.rejected > 0));
}

static void check_status(enum otlp_encoding encoding, struct bytes body)
{
    AUTO(buf_fini) struct buf written = {0};
    struct otlp_status status, again;

    if (otlp_status_decode(body, encoding, &status, NULL))
        return;
    enum err err = otlp_status_encode(&status, encoding, &written);
    ASSERT(err == OK);
    err = otlp_status_decode(buf_bytes(&written), encoding, &again, NULL);
    ASSERT(err == OK);
    ASSERT(again.code == status.code);
    ASSERT(again.has_retry_delay == status.has_retry_delay);
}

static void check_response(enum signal signal, enum otlp_encoding encoding, struct bytes body)
{
    AUTO(buf_fini) struct buf written = {0};
    struct otlp_response response, again;

    if (otlp_response_decode(signal, body, encoding, &response, NULL))
        return;
    enum err err = otlp_response_encode(signal, &response, encoding, &written);
    ASSERT(err == OK);
    err = otlp_response_decode(signal, buf_bytes(&written), encoding, &again, NULL);
    ASSERT(err == OK);
    ASSERT(again.rejected == response.rejected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum signal signal = (enum signal)((data[0] >> 1) % SIGNAL_COUNT);
    enum otlp_encoding encoding = data[0] & 1 ? OTLP_JSON : OTLP_PROTO;
    struct bytes body = {data + 3, size - 3};

    check_judgement(signal, data, body);
    check_status(encoding, body);
    check_response(signal, encoding, body);
    return 0;
}
