/* The document as people write it, and what becomes of it: tests/golden/pipeline/<case>/in.yaml
 * leads to want.json, the resolved document, or to faults.txt, all that is wrong. What was resolved
 * is read again to the same. With SURGETANK_GOLDEN=write the wanted files are written anew, to be
 * looked at in the diff. */
// link: tests/support/golden.c
#include "tests/support/golden.h"
#include "tests/support/test.h"

#include "common/contract/pipeline.h"
#include "common/yaml.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define CASES "tests/golden/pipeline"

enum { CASES_MAX = 64, DIR_LEN_MAX = 256, PATH_LEN_MAX = 512 };

static struct json *parse_file(const char *path)
{
    AUTO(buf_fini) struct buf text = {0};
    AUTO(json_free) struct json *documents = NULL;

    if (!golden_read(path, &text))
        fail_msg("can't read %s", path);
    assert_ok(yaml_parse(buf_bytes(&text), PIPELINE_TEXT_MAX, &documents, NULL));
    return json_clone(json_first(documents));
}

static void check_text(const char *dir, const char *name, const char *got)
{
    AUTO(buf_fini) struct buf want = {0};
    char path[PATH_LEN_MAX];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (golden_write(path, got))
        return;
    if (!golden_read(path, &want))
        fail_msg("%s is missing; got:\n%s", path, got);
    if (strcmp(buf_text(&want), got) != 0)
        fail_msg("%s differs; got:\n%s", path, got);
}

static void assert_reads_again(const struct json *resolved)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    struct faults faults = {0};
    struct error error = {0};

    if (pipeline_read(resolved, &pipeline, &faults, &error))
        fail_msg("resolved document: %s", error.text);
    AUTO(json_free) struct json *again = pipeline_to_json(pipeline);
    assert_true(json_equal(resolved, again));
    faults_fini(&faults);
}

static void check_case(const char *name)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(buf_fini) struct buf text = {0};
    struct faults faults = {0};
    char dir[DIR_LEN_MAX], path[PATH_LEN_MAX];

    snprintf(dir, sizeof dir, CASES "/%.200s", name);
    snprintf(path, sizeof path, "%s/in.yaml", dir);
    AUTO(json_free) struct json *document = parse_file(path);
    enum err err = pipeline_read(document, &pipeline, &faults, NULL);
    if (err) {
        assert_int_equal(err, ERR_INVALID);
        assert_null(pipeline);
        assert_ok(faults_print(&faults, &text));
        check_text(dir, "faults.txt", buf_text(&text));
    } else {
        AUTO(json_free) struct json *resolved = pipeline_to_json(pipeline);
        assert_ok(json_print_pretty(resolved, &text));
        assert_ok(buf_append_byte(&text, '\n'));
        check_text(dir, "want.json", buf_text(&text));
        assert_reads_again(resolved);
    }
    faults_fini(&faults);
}

static void test_documents_become_what_is_written_beside_them(void **state)
{
    (void)state;
    struct dirent **entries = NULL;
    int seen = 0;

    int count = scandir(CASES, &entries, NULL, alphasort);
    assert_in_range(count, 3, CASES_MAX);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            check_case(entries[i]->d_name);
            seen++;
        }
        free(entries[i]);
    }
    free(entries);
    assert_true(seen > 0);
}

static void test_samples_are_sound(void **state)
{
    (void)state;
    static const char *const samples[] = {
        "manifests/samples/smallest.yaml", "manifests/samples/shop.yaml",
        "manifests/samples/single-node.yaml", "manifests/samples/daemonset.yaml"};

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        AUTO(pipeline_free) struct pipeline *pipeline = NULL;
        struct faults faults = {0};
        struct error error = {0};
        if (pipeline_load(samples[i], &pipeline, &faults, &error))
            fail_msg("%s: %s", samples[i], error.text);
        AUTO(json_free) struct json *resolved = pipeline_to_json(pipeline);
        assert_reads_again(resolved);
        faults_fini(&faults);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents_become_what_is_written_beside_them),
        cmocka_unit_test(test_samples_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
