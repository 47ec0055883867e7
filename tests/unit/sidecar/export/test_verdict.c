/* What answers mean, row by row: data is given up only where the backend says that the data is at
 * fault, and never counted as stored on a doubtful success. */
#include "tests/support/test.h"

#include "sidecar/export/verdict.h"

#include <stdio.h>

static struct judgement judge_code(enum grpc_status status, bool retry, size_t sent)
{
    const struct grpc_result result = {.outcome = GRPC_CALL_ANSWERED,
                                       .http_status = 200,
                                       .status = status,
                                       .has_retry_delay = retry,
                                       .retry_delay_ms = retry ? 7000 : 0};
    struct judgement judgement;
    judge_grpc(SIGNAL_TRACES, &result, sent, COMPRESSION_NONE, &judgement);
    return judgement;
}

static struct judgement judge_answer(int status, const char *text, enum compression encoding)
{
    const struct http_answer answer = {
        .status = status, .content_type = BYTES_LITERAL("text/plain"), .body = bytes_from(text)};
    struct judgement judgement;

    judge_http(SIGNAL_METRICS, &answer, encoding, &judgement);
    return judgement;
}

static void test_grpc_codes(void **state)
{
    (void)state;
    static const struct {
        enum grpc_status status;
        enum verdict verdict;
    } rows[] = {
        {GRPC_OK, VERDICT_DONE},
        {GRPC_CANCELLED, VERDICT_AGAIN},
        {GRPC_UNKNOWN, VERDICT_AGAIN},
        {GRPC_INVALID_ARGUMENT, VERDICT_REFUSED},
        {GRPC_DEADLINE_EXCEEDED, VERDICT_AGAIN},
        {GRPC_NOT_FOUND, VERDICT_MEND},
        {GRPC_ALREADY_EXISTS, VERDICT_REFUSED},
        {GRPC_PERMISSION_DENIED, VERDICT_MEND},
        {GRPC_RESOURCE_EXHAUSTED, VERDICT_AGAIN},
        {GRPC_FAILED_PRECONDITION, VERDICT_REFUSED},
        {GRPC_ABORTED, VERDICT_AGAIN},
        {GRPC_OUT_OF_RANGE, VERDICT_AGAIN},
        {GRPC_UNIMPLEMENTED, VERDICT_MEND},
        {GRPC_INTERNAL, VERDICT_AGAIN},
        {GRPC_UNAVAILABLE, VERDICT_AGAIN},
        {GRPC_DATA_LOSS, VERDICT_AGAIN},
        {GRPC_UNAUTHENTICATED, VERDICT_MEND},
        {(enum grpc_status)99, VERDICT_AGAIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(judge_code(rows[i].status, false, 1000).verdict, rows[i].verdict);
    assert_int_equal(judge_code(GRPC_RESOURCE_EXHAUSTED, false, VERDICT_LARGE_BYTES + 1).verdict,
                     VERDICT_TOO_LARGE);
    assert_int_equal(judge_code(GRPC_RESOURCE_EXHAUSTED, true, VERDICT_LARGE_BYTES + 1).verdict,
                     VERDICT_AGAIN);
    assert_int_equal(judge_code(GRPC_UNAVAILABLE, true, 1).retry_after_ms, 7000);
}

static void test_a_call_without_an_answer_is_tried_again(void **state)
{
    (void)state;
    for (int outcome = 0; outcome < GRPC_OUTCOME_COUNT; outcome++) {
        const struct grpc_result result = {.outcome = (enum grpc_outcome)outcome,
                                           .status = GRPC_OK};
        struct judgement judgement;
        if (outcome == GRPC_CALL_ANSWERED)
            continue;
        judge_grpc(SIGNAL_LOGS, &result, 1, COMPRESSION_NONE, &judgement);
        assert_true(judgement.verdict == VERDICT_AGAIN || judgement.verdict == VERDICT_MEND);
        assert_false(judgement.may_be_data);
        assert_int_equal(judgement.lost_connection, outcome == GRPC_CALL_CONNECT_FAILED ||
                                                        outcome == GRPC_CALL_LOST ||
                                                        outcome == GRPC_CALL_RESOLVE_FAILED);
    }
}

static void test_http_statuses(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum verdict verdict;
    } rows[] = {
        {200, VERDICT_DONE},      {202, VERDICT_DONE},  {204, VERDICT_DONE},
        {206, VERDICT_AGAIN},     {260, VERDICT_AGAIN}, {301, VERDICT_MEND},
        {400, VERDICT_REFUSED},   {401, VERDICT_MEND},  {403, VERDICT_MEND},
        {404, VERDICT_MEND},      {405, VERDICT_MEND},  {408, VERDICT_AGAIN},
        {413, VERDICT_TOO_LARGE}, {415, VERDICT_MEND},  {422, VERDICT_REFUSED},
        {429, VERDICT_AGAIN},     {500, VERDICT_AGAIN}, {502, VERDICT_AGAIN},
        {503, VERDICT_AGAIN},     {504, VERDICT_AGAIN}, {501, VERDICT_AGAIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum verdict verdict = judge_answer(rows[i].status, "", COMPRESSION_NONE).verdict;
        if (verdict != rows[i].verdict)
            fail_msg("HTTP %d: %s", rows[i].status, verdict_name(verdict));
    }
}

/* Word for word what Prometheus 3.15 answered (and 2.42: the last), each under HTTP 500. */
static void test_a_500_that_says_never_is_about_the_data(void **state)
{
    (void)state;
    static const char *const never[] = {
        "invalid temporality and type combination for metric \"delta\"\n",
        "could not get aggregation temporality for x as it has unsupported metric type Empty\n",
        "cannot convert exponential to native histogram. Scale must be >= -4, was -11\n",
        ("3 observations found in buckets, but the Count field is 1: histogram's observation count "
         "should equal the number of observations found in the buckets (in absence of NaN)\n"),
        "normalization for metric \"___\" resulted in empty name\n",
        "normalization for label name \"___\" resulted in invalid name \"___\"\n",
        "label name is empty\n",
        "too old sample\n",
    };
    static const char *const later[] = {
        "",
        "TSDB not ready\n",
        "Index 5 out of bounds for length 3",
        "write to WAL: log samples: write /prometheus/wal/00000002: no space left on device\n",
    };

    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        struct judgement judgement = judge_answer(500, never[i], COMPRESSION_ZSTD);
        assert_int_equal(judgement.verdict, VERDICT_REFUSED);
        assert_int_equal(judgement.blame, BLAME_NONE);
        assert_int_equal(judge_answer(503, never[i], COMPRESSION_ZSTD).verdict, VERDICT_AGAIN);
    }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        assert_int_equal(judge_answer(500, later[i], COMPRESSION_ZSTD).verdict, VERDICT_AGAIN);
}

/* Only answers that servers also give for what they will never take. */
static void test_what_may_be_about_the_data(void **state)
{
    (void)state;
    static const int overloaded[] = {408, 425, 429, 502, 503, 504};

    assert_true(judge_answer(500, "boom", COMPRESSION_NONE).may_be_data);
    assert_true(judge_answer(260, "", COMPRESSION_NONE).may_be_data);
    for (size_t i = 0; i < sizeof overloaded / sizeof overloaded[0]; i++)
        assert_false(judge_answer(overloaded[i], "boom", COMPRESSION_NONE).may_be_data);
    for (int i = 0; i <= GRPC_UNAUTHENTICATED; i++)
        assert_int_equal(judge_code((enum grpc_status)i, false, 1).may_be_data,
                         i == GRPC_UNKNOWN || i == GRPC_INTERNAL);
}

static enum blame blame_of(enum grpc_status status, const char *text, unsigned accepts,
                           enum compression encoding)
{
    const struct grpc_result result = {.outcome = GRPC_CALL_ANSWERED,
                                       .status = status,
                                       .message = bytes_from(text),
                                       .accepts = accepts};
    struct judgement judgement;

    judge_grpc(SIGNAL_TRACES, &result, 1000, encoding, &judgement);
    return judgement.blame;
}

/* The sentences of grpcio, grpc-go, grpc-java, tonic and grpc-dotnet. */
static void test_a_grpc_server_that_does_not_know_the_compression_is_understood(void **state)
{
    (void)state;
    enum { PLAIN = 1 << COMPRESSION_NONE, GZIP = 1 << COMPRESSION_GZIP };
    static const struct {
        enum grpc_status status;
        const char *text;
        unsigned accepts;
        enum blame blame;
    } rows[] = {
        {GRPC_INTERNAL, "Error parsing 'grpc-encoding' metadata", 0, BLAME_CERTAIN},
        {GRPC_UNIMPLEMENTED, "grpc: Decompressor is not installed for grpc-encoding \"zstd\"", 0,
         BLAME_CERTAIN},
        {GRPC_UNIMPLEMENTED, "Can't find decompressor for zstd", 0, BLAME_CERTAIN},
        {GRPC_UNIMPLEMENTED, "Content is compressed with `zstd` which isn't supported", PLAIN,
         BLAME_CERTAIN},
        {GRPC_UNIMPLEMENTED, "no", PLAIN | GZIP, BLAME_CERTAIN},
        {GRPC_UNIMPLEMENTED, "no", PLAIN | 1 << COMPRESSION_ZSTD, BLAME_POSSIBLE},
        {GRPC_UNIMPLEMENTED, "unknown service", 0, BLAME_POSSIBLE},
        {GRPC_INVALID_ARGUMENT, "bad span", 0, BLAME_POSSIBLE},
        {GRPC_INTERNAL, "", 0, BLAME_POSSIBLE},
        {GRPC_UNKNOWN, "could not DECOMPRESS", 0, BLAME_CERTAIN},
        {GRPC_UNKNOWN, "panic", 0, BLAME_NONE},
        {GRPC_UNAVAILABLE, "compressor has no oil", 0, BLAME_NONE},
        {GRPC_RESOURCE_EXHAUSTED, "after decompression too large", 0, BLAME_NONE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum blame blame =
            blame_of(rows[i].status, rows[i].text, rows[i].accepts, COMPRESSION_ZSTD);
        if (blame != rows[i].blame)
            fail_msg("%s: %d", rows[i].text, (int)blame);
        assert_int_equal(blame_of(rows[i].status, rows[i].text, rows[i].accepts, COMPRESSION_NONE),
                         BLAME_NONE);
    }
}

static void test_an_http_server_that_does_not_know_the_compression_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        enum blame blame;
    } rows[] = {
        {"", 415, BLAME_CERTAIN},
        {"unsupported compression: zstd. Only \"gzip\" or no compression supported", 400,
         BLAME_CERTAIN},
        {"unsupported Content-Encoding", 400, BLAME_CERTAIN},
        {"cannot read zstd", 500, BLAME_CERTAIN},
        {"disk full", 500, BLAME_NONE},
        {"unexpected EOF", 400, BLAME_POSSIBLE},
        {"", 422, BLAME_POSSIBLE},
        {"", 501, BLAME_POSSIBLE},
        {"no compression of tokens", 401, BLAME_NONE},
        {"compression", 503, BLAME_NONE},
        {"after decompression", 413, BLAME_NONE},
        {"compression", 200, BLAME_NONE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum blame blame = judge_answer(rows[i].status, rows[i].text, COMPRESSION_ZSTD).blame;
        if (blame != rows[i].blame)
            fail_msg("HTTP %d %s: %d", rows[i].status, rows[i].text, (int)blame);
        assert_int_equal(judge_answer(rows[i].status, rows[i].text, COMPRESSION_NONE).blame,
                         BLAME_NONE);
    }
}

static void test_a_partial_success_is_counted_and_a_warning_is_not(void **state)
{
    (void)state;
    /* partial_success { rejected = 3, error_message = "no" } */
    static const uint8_t partial[] = {0x0a, 0x06, 0x08, 0x03, 0x12, 0x02, 'n', 'o'};
    static const uint8_t warning[] = {0x0a, 0x04, 0x12, 0x02, 'n', 'o'};
    struct judgement judgement;
    struct grpc_result result = {.outcome = GRPC_CALL_ANSWERED, .status = GRPC_OK};

    result.body = (struct bytes){partial, sizeof partial};
    judge_grpc(SIGNAL_TRACES, &result, 1, COMPRESSION_NONE, &judgement);
    assert_int_equal(judgement.verdict, VERDICT_PARTIAL);
    assert_int_equal(judgement.rejected, 3);
    assert_string_equal(judgement.text, "rejected in part: no");
    result.body = (struct bytes){warning, sizeof warning};
    judge_grpc(SIGNAL_TRACES, &result, 1, COMPRESSION_NONE, &judgement);
    assert_int_equal(judgement.verdict, VERDICT_DONE);
}

static void test_the_backends_sentence_is_kept_short_and_clean(void **state)
{
    (void)state;
    char body[2000];
    struct http_answer answer = {.status = 400,
                                 .content_type = BYTES_LITERAL("text/plain"),
                                 .body = {(uint8_t *)body, sizeof body},
                                 .retry_after = "12"};
    struct judgement judgement;

    memset(body, 'x', sizeof body);
    body[3] = '\n';
    judge_http(SIGNAL_LOGS, &answer, COMPRESSION_NONE, &judgement);
    assert_true(strlen(judgement.text) < 250);
    assert_non_null(strstr(judgement.text, "HTTP 400: xxx xxx"));
    assert_int_equal(judgement.retry_after_ms, 12000);
    answer = (struct http_answer){.status = 503, .retry_after = "999999999"};
    judge_http(SIGNAL_LOGS, &answer, COMPRESSION_NONE, &judgement);
    assert_int_equal(judgement.retry_after_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grpc_codes),
        cmocka_unit_test(test_what_may_be_about_the_data),
        cmocka_unit_test(test_a_call_without_an_answer_is_tried_again),
        cmocka_unit_test(test_http_statuses),
        cmocka_unit_test(test_a_500_that_says_never_is_about_the_data),
        cmocka_unit_test(test_a_grpc_server_that_does_not_know_the_compression_is_understood),
        cmocka_unit_test(test_an_http_server_that_does_not_know_the_compression_is_understood),
        cmocka_unit_test(test_a_partial_success_is_counted_and_a_warning_is_not),
        cmocka_unit_test(test_the_backends_sentence_is_kept_short_and_clean),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
