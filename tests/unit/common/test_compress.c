/* What was compressed comes back whole in steps of any size, and nothing that a stranger sends
 * makes more memory than it may. */
#include "tests/support/test.h"

#include "common/compress.h"

#include <stdlib.h>
#include <zstd.h>

static const enum compression kinds[] = {COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_DEFLATE};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct bytes text(void)
{
    static uint8_t data[100000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)("the quick brown fox "[i % 20] + (i % 977 == 0));
    return (struct bytes){data, sizeof data};
}

static void pack(enum compression kind, const struct bytes *parts, size_t count, struct buf *out)
{
    AUTO(compressor_destroy) struct compressor *compressor = NULL;
    assert_ok(compressor_create(kind, 1, &compressor, NULL));
    assert_ok(compressor_run(compressor, parts, count, out, NULL));
}

static enum err unpack(enum compression kind, struct bytes in, size_t max, struct buf *out)
{
    AUTO(decompressor_destroy) struct decompressor *decompressor = NULL;
    assert_ok(decompressor_create(kind, &decompressor, NULL));
    buf_fini(out);
    out->max = max;
    return decompressor_run(decompressor, in, out, NULL);
}

static void test_gives_back_what_was_compressed(void **state)
{
    struct bytes whole = text();
    const struct bytes parts[] = {
        {whole.data, 1}, {0}, {whole.data + 1, 70000}, {whole.data + 70001, whole.len - 70001}};
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf packed = {0}, back = {0};
        pack(kinds[i], parts, 4, &packed);
        assert_true(packed.len < whole.len / 10);
        assert_ok(unpack(kinds[i], buf_bytes(&packed), whole.len, &back));
        assert_true(bytes_equal(buf_bytes(&back), whole));
    }
}

static void test_works_in_steps_of_any_size(void **state)
{
    struct bytes whole = {text().data, 3000};
    (void)state;
    for (unsigned i = 0; i < KINDS; i++)
        for (size_t step = 1; step < 40; step += 7) {
            AUTO(buf_fini) struct buf packed = {0}, back = {.max = 3000};
            AUTO(decompressor_destroy) struct decompressor *decompressor = NULL;
            pack(kinds[i], &whole, 1, &packed);
            assert_ok(decompressor_create(kinds[i], &decompressor, NULL));
            struct bytes in = buf_bytes(&packed);
            for (bool done = false; !done;) {
                size_t before = back.len;
                assert_ok(decompressor_step(decompressor, &in, step, &back, &done, NULL));
                assert_true(back.len - before <= step);
            }
            assert_true(bytes_equal(buf_bytes(&back), whole));
        }
}

static void test_stops_a_bomb_at_the_cap_and_lets_what_just_fits_pass(void **state)
{
    enum { SIZE = 1 << 20 };
    uint8_t *zeros = calloc(1, SIZE);
    const struct bytes whole = {zeros, SIZE};
    (void)state;
    assert_non_null(zeros);
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf packed = {0}, back = {0};
        pack(kinds[i], &whole, 1, &packed);
        assert_int_equal(unpack(kinds[i], buf_bytes(&packed), SIZE - 1, &back), ERR_FULL);
        assert_true(back.cap < SIZE);
        assert_ok(unpack(kinds[i], buf_bytes(&packed), SIZE, &back));
    }
    free(zeros);
}

static void test_takes_concatenated_members_for_one_stream(void **state)
{
    struct bytes hello = BYTES_LITERAL("hello"), empty = {0};
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf packed = {0}, back = {0};
        pack(kinds[i], &hello, 1, &packed);
        pack(kinds[i], &empty, 1, &packed);
        pack(kinds[i], &hello, 1, &packed);
        assert_ok(unpack(kinds[i], buf_bytes(&packed), 10, &back));
        assert_true(bytes_equal(buf_bytes(&back), BYTES_LITERAL("hellohello")));
    }
}

static void test_refuses_a_stream_cut_at_any_byte(void **state)
{
    struct bytes whole = {text().data, 500};
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf packed = {0}, back = {0};
        pack(kinds[i], &whole, 1, &packed);
        for (size_t len = 0; len < packed.len; len++)
            assert_int_equal(unpack(kinds[i], (struct bytes){packed.data, len}, 1000, &back),
                             ERR_INVALID);
    }
}

static void test_refuses_damage_and_rubbish(void **state)
{
    struct bytes whole = {text().data, 500};
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf packed = {0}, back = {0};
        assert_int_equal(unpack(kinds[i], whole, 1000, &back), ERR_INVALID);
        pack(kinds[i], &whole, 1, &packed);
        assert_ok(buf_append_text(&packed, "behind"));
        assert_int_equal(unpack(kinds[i], buf_bytes(&packed), 1000, &back), ERR_INVALID);
    }
}

static void test_refuses_a_zstd_window_above_the_limit(void **state)
{
    AUTO(buf_fini) struct buf packed = {0}, back = {0};
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    (void)state;
    assert_ok(buf_reserve(&packed, 1 << 20));
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, 27)));
    ZSTD_inBuffer from = {.src = text().data, .size = 100000};
    ZSTD_outBuffer into = {.dst = packed.data, .size = packed.cap};
    assert_false(
        ZSTD_isError(ZSTD_compressStream2(zstd, &into, &from, ZSTD_e_continue))); /* size unknown */
    while (ZSTD_compressStream2(zstd, &into, &from, ZSTD_e_end) != 0)
        ;
    ZSTD_freeCCtx(zstd);
    assert_int_equal(
        unpack(COMPRESSION_ZSTD, (struct bytes){packed.data, into.pos}, 1 << 20, &back),
        ERR_INVALID);
}

static void test_is_as_new_after_a_reset(void **state)
{
    struct bytes hello = BYTES_LITERAL("hello");
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf packed = {0}, back = {.max = 100};
        AUTO(decompressor_destroy) struct decompressor *decompressor = NULL;
        pack(kinds[i], &hello, 1, &packed);
        assert_ok(decompressor_create(kinds[i], &decompressor, NULL));
        assert_int_equal(decompressor_run(decompressor, hello, &back, NULL), ERR_INVALID);
        buf_clear(&back);
        for (int round = 0; round < 3; round++)
            assert_ok(decompressor_run(decompressor, buf_bytes(&packed), &back, NULL));
        assert_true(bytes_equal(buf_bytes(&back), BYTES_LITERAL("hellohellohello")));
    }
}

static void test_leaves_the_output_alone_when_it_has_no_room(void **state)
{
    struct bytes whole = text();
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        AUTO(buf_fini) struct buf out = {.max = 100}, back = {0};
        AUTO(compressor_destroy) struct compressor *compressor = NULL;
        assert_ok(buf_append_text(&out, "before"));
        assert_ok(compressor_create(kinds[i], 1, &compressor, NULL));
        assert_int_equal(compressor_run(compressor, &whole, 1, &out, NULL), ERR_FULL);
        assert_true(bytes_equal(buf_bytes(&out), BYTES_LITERAL("before")));
        out.max = 0;
        buf_clear(&out);
        assert_ok(compressor_run(compressor, &whole, 1, &out, NULL));
        assert_ok(unpack(kinds[i], buf_bytes(&out), whole.len, &back));
    }
}

static void test_copies_where_nothing_is_to_be_compressed(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    struct bytes hello = BYTES_LITERAL("hello");
    (void)state;
    pack(COMPRESSION_NONE, &hello, 1, &out);
    assert_true(bytes_equal(buf_bytes(&out), hello));
}

static void test_refuses_a_level_that_the_format_does_not_have(void **state)
{
    struct compressor *compressor = NULL;
    (void)state;
    assert_int_equal(compressor_create(COMPRESSION_GZIP, 42, &compressor, NULL), ERR_INVALID);
    assert_null(compressor);
}

static void test_reads_names_as_http_writes_them(void **state)
{
    enum compression kind = COMPRESSION_ZSTD;
    (void)state;
    assert_ok(compression_parse(BYTES_LITERAL("GZip"), &kind));
    assert_int_equal(kind, COMPRESSION_GZIP);
    kind = COMPRESSION_ZSTD;
    assert_ok(compression_parse(BYTES_LITERAL("X-gzip"), &kind));
    assert_int_equal(kind, COMPRESSION_GZIP);
    assert_ok(compression_parse((struct bytes){0}, &kind));
    assert_int_equal(kind, COMPRESSION_NONE);
    assert_int_equal(compression_parse(BYTES_LITERAL("br"), &kind), ERR_NOTFOUND);
    assert_int_equal(compression_parse(BYTES_LITERAL("gzip, gzip"), &kind), ERR_NOTFOUND);
    assert_string_equal(compression_name(COMPRESSION_DEFLATE), "deflate");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_back_what_was_compressed),
        cmocka_unit_test(test_works_in_steps_of_any_size),
        cmocka_unit_test(test_stops_a_bomb_at_the_cap_and_lets_what_just_fits_pass),
        cmocka_unit_test(test_takes_concatenated_members_for_one_stream),
        cmocka_unit_test(test_refuses_a_stream_cut_at_any_byte),
        cmocka_unit_test(test_refuses_damage_and_rubbish),
        cmocka_unit_test(test_refuses_a_zstd_window_above_the_limit),
        cmocka_unit_test(test_is_as_new_after_a_reset),
        cmocka_unit_test(test_leaves_the_output_alone_when_it_has_no_room),
        cmocka_unit_test(test_copies_where_nothing_is_to_be_compressed),
        cmocka_unit_test(test_refuses_a_level_that_the_format_does_not_have),
        cmocka_unit_test(test_reads_names_as_http_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
