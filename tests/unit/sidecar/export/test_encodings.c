/* A compression that a backend does not take costs requests, never data: the next one is tried at
 * once, only what the last one brings is told, and what was taken is remembered for a time. */
#include "tests/support/test.h"

#include "sidecar/export/encodings.h"

#include "common/metrics.h"

static const struct judgement stored = {.verdict = VERDICT_DONE},
                              away = {.verdict = VERDICT_AGAIN, .text = "UNAVAILABLE"},
                              certain = {.verdict = VERDICT_MEND,
                                         .blame = BLAME_CERTAIN,
                                         .text = "no such compression"},
                              possible = {.verdict = VERDICT_REFUSED,
                                          .blame = BLAME_POSSIBLE,
                                          .text = "unexpected EOF"};

static void begin(struct encodings *encodings, struct trial *trial, enum compression want,
                  uint64_t now_ms)
{
    encodings_begin(encodings, trial, now_ms);
    assert_int_equal(trial->used, want);
}

static void expect_next(struct encodings *encodings, struct trial *trial,
                        const struct judgement *judgement, enum compression want)
{
    assert_true(encodings_retry(encodings, trial, judgement, 0));
    assert_int_equal(trial->used, want);
}

static void test_tries_all_encodings_and_tells_what_the_last_one_brought(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_ZSTD, "g");
    for (int i = 0; i < 3; i++) { /* whatever is refused in all of them says nothing of any */
        begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
        expect_next(&encodings, &trial, &possible, COMPRESSION_GZIP);
        expect_next(&encodings, &trial, &certain, COMPRESSION_NONE);
        assert_false(encodings_retry(&encodings, &trial, &possible, 0));
    }
}

static void test_remembers_what_was_taken_and_tries_again_after_a_time(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_ZSTD, "g");
    begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
    expect_next(&encodings, &trial, &certain, COMPRESSION_GZIP);
    assert_false(encodings_retry(&encodings, &trial, &stored, 5000));
    begin(&encodings, &trial, COMPRESSION_GZIP, 5000);
    assert_false(encodings_retry(&encodings, &trial, &stored, 5001));
    begin(&encodings, &trial, COMPRESSION_GZIP, 5000 + ENCODINGS_KEEP_MS - 1);
    begin(&encodings, &trial, COMPRESSION_ZSTD, 5000 + ENCODINGS_KEEP_MS);
    assert_false(encodings_retry(&encodings, &trial, &stored, 5000 + ENCODINGS_KEEP_MS));
    begin(&encodings, &trial, COMPRESSION_ZSTD, 6000 + ENCODINGS_KEEP_MS);
}

static void test_learns_nothing_from_a_backend_that_is_away(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_ZSTD, "g");
    begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
    assert_false(encodings_retry(&encodings, &trial, &away, 0));
    begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
    expect_next(&encodings, &trial, &certain, COMPRESSION_GZIP);
    assert_false(encodings_retry(&encodings, &trial, &away, 0));
    begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
}

static void test_believes_a_refusal_once_the_encoding_was_taken(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_GZIP, NULL);
    begin(&encodings, &trial, COMPRESSION_GZIP, 0);
    expect_next(&encodings, &trial, &possible, COMPRESSION_NONE);
    assert_false(encodings_retry(&encodings, &trial, &possible, 0));
    begin(&encodings, &trial, COMPRESSION_GZIP, 0);
    assert_false(encodings_retry(&encodings, &trial, &stored, 0));
    begin(&encodings, &trial, COMPRESSION_GZIP, 0);
    assert_false(encodings_retry(&encodings, &trial, &possible, 0)); /* it is about the data */
    begin(&encodings, &trial, COMPRESSION_GZIP, 0);
    expect_next(&encodings, &trial, &certain, COMPRESSION_NONE); /* another server, say */
}

static void test_sends_plain_requests_once(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_NONE, "g");
    begin(&encodings, &trial, COMPRESSION_NONE, 0);
    assert_false(encodings_retry(&encodings, &trial, &certain, 0));
}

static double refused(const char *gateway, const char *compression)
{
    static const struct metric_desc desc = {.name = "surgetank_gateway_compression_refused_total",
                                            .kind = METRIC_COUNTER,
                                            .labels = {"gateway", "compression"}};
    return metric_value(metrics_series(&desc, gateway, compression));
}

static void test_counts_what_was_refused_and_taken_with_another(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_ZSTD, "counted");
    begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
    expect_next(&encodings, &trial, &certain, COMPRESSION_GZIP);
    assert_int_equal(refused("counted", "zstd"), 0);
    expect_next(&encodings, &trial, &certain, COMPRESSION_NONE);
    assert_false(encodings_retry(&encodings, &trial, &stored, 0));
    assert_int_equal(refused("counted", "zstd"), 1);
    assert_int_equal(refused("counted", "gzip"), 1);
    begin(&encodings, &trial, COMPRESSION_NONE, 0);
}

static void test_sends_the_same_bytes_in_every_encoding(void **state)
{
    (void)state;
    AUTO(encodings_fini) struct encodings encodings = {0};
    const struct bytes parts[] = {BYTES_LITERAL("one "), {0}, BYTES_LITERAL("request")};
    struct trial trial;

    encodings_init(&encodings, PIPELINE_COMPRESSION_ZSTD, "g");
    begin(&encodings, &trial, COMPRESSION_ZSTD, 0);
    for (bool more = true; more; more = encodings_retry(&encodings, &trial, &certain, 0)) {
        AUTO(buf_fini) struct buf out = {0}, plain = {.max = 1000};
        AUTO(decompressor_destroy) struct decompressor *decompressor = NULL;
        assert_ok(encodings_run(&encodings, &trial, parts, 3, &out, NULL));
        if (trial.used == COMPRESSION_NONE) {
            assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("one request")));
            continue;
        }
        assert_ok(decompressor_create(trial.used, &decompressor, NULL));
        assert_ok(decompressor_run(decompressor, buf_bytes(&out), &plain, NULL));
        assert_true(bytes_equal(buf_bytes(&plain), BYTES_LITERAL("one request")));
    }
    assert_int_equal(trial.used, COMPRESSION_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tries_all_encodings_and_tells_what_the_last_one_brought),
        cmocka_unit_test(test_remembers_what_was_taken_and_tries_again_after_a_time),
        cmocka_unit_test(test_learns_nothing_from_a_backend_that_is_away),
        cmocka_unit_test(test_believes_a_refusal_once_the_encoding_was_taken),
        cmocka_unit_test(test_sends_plain_requests_once),
        cmocka_unit_test(test_counts_what_was_refused_and_taken_with_another),
        cmocka_unit_test(test_sends_the_same_bytes_in_every_encoding),
    };
    return cmocka_run_group_tests_name("encodings", tests, NULL, NULL);
}
