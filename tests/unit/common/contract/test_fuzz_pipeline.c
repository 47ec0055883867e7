/* What fuzz_pipeline.c promises, over the corpus, the golden documents and the samples, and over
 * each of them cut short and with single bytes changed. */
// link: tests/fuzz/fuzz_pipeline.c
// link: tests/support/golden.c
#include "tests/support/golden.h"
#include "tests/support/test.h"

#include <glob.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A step that is prime to most lengths, so that cuts and changes wander through the text. */
enum { STEP = 7 };

/* A copy of its own size, so that a sanitizer sees a read behind the end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_variants(struct buf *text)
{
    static const char bytes[] = "\"'{}[]:,-#&*!|>%@`\n\t \\0a9.\x80";

    run(text->data, text->len);
    for (size_t cut = 0; cut < text->len; cut += STEP)
        run(text->data, cut);
    for (size_t at = 0; at < text->len; at += STEP) {
        uint8_t was = text->data[at];
        text->data[at] = (uint8_t)bytes[at % (sizeof bytes - 1)];
        run(text->data, text->len);
        text->data[at] = was;
    }
}

static void run_all(const char *pattern)
{
    glob_t found = {0};

    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        AUTO(buf_fini) struct buf text = {0};
        assert_true(golden_read(found.gl_pathv[i], &text));
        run_variants(&text);
    }
    globfree(&found);
}

static void test_no_text_crashes_the_reader(void **state)
{
    (void)state;
    run_all("tests/fuzz/corpus/pipeline/*");
    run_all("tests/golden/pipeline/*/in.yaml");
    run_all("manifests/samples/*.yaml");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_text_crashes_the_reader)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
