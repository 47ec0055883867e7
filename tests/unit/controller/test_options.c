/* A wrong flag is named, with what it takes; the environment stands in for flags that aren't there.
 */
#include "controller/options.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static char *some_environment(const char *name)
{
    static char image[] = "env:1", level[] = "debug";

    if (strcmp(name, "SURGETANK_SIDECAR_IMAGE") == 0)
        return image;
    return strcmp(name, "SURGETANK_LOG_LEVEL") == 0 ? level : NULL;
}

/* Values of options point into argv, which therefore stays. */
static enum err read_flags(const char *const *flags, char *(*environment)(const char *),
                           struct options *options, struct error *error)
{
    static char texts[16][64];
    char *argv[16] = {texts[0]};
    int argc = 1;

    for (; flags[argc - 1] != NULL; argc++) {
        snprintf(texts[argc], sizeof texts[argc], "%s", flags[argc - 1]);
        argv[argc] = texts[argc];
    }
    return options_read(argc, argv, environment, options, error);
}

#define FLAGS(...) ((const char *[]){__VA_ARGS__, NULL})

static void test_reads_flags_in_both_spellings(void **state)
{
    (void)state;
    AUTO(options_fini) struct options options = {0};

    assert_ok(read_flags(FLAGS("--sidecar-image", "a:1", "--threads=7", "--leader-elect=false",
                               "--node-access-namespaces=a,b*"),
                         no_environment, &options, NULL));
    assert_string_equal(options.controller.desired.sidecar_image, "a:1");
    assert_int_equal(options.controller.threads, 7);
    assert_false(options.controller.leader_elect);
    assert_int_equal(options.controller.rights.node_access_namespaces.count, 2);
    assert_string_equal(options.controller.rights.node_access_namespaces.items[1], "b*");
}

static void test_takes_the_environment_where_there_is_no_flag(void **state)
{
    (void)state;
    AUTO(options_fini) struct options options = {0};

    assert_ok(read_flags(FLAGS("--log-level", "warn"), some_environment, &options, NULL));
    assert_string_equal(options.controller.desired.sidecar_image, "env:1");
    assert_int_equal(options.log_level, LOG_LEVEL_WARN);
}

static void check_refused(const char *const *flags, const char *part)
{
    struct options options = {0};
    struct error error = {0};

    assert_int_equal(read_flags(flags, no_environment, &options, &error), ERR_INVALID);
    if (strstr(error.text, part) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", error.text, part);
}

static void test_names_the_wrong_flag_and_what_it_takes(void **state)
{
    (void)state;
    check_refused(FLAGS("--threads", "0"), "--threads: is a number from 1 to 64");
    check_refused(FLAGS("--threads"), "--threads needs a value");
    check_refused(FLAGS("--listen", "8080"), "--listen: is ADDR:PORT");
    check_refused(FLAGS("--what", "x"), "there is no flag --what");
    check_refused(FLAGS("--versions"), "there is no flag --versions");
    check_refused(FLAGS("what"), "\"what\" is no flag");
    check_refused(FLAGS("--leader-elect=maybe"), "is true or false");
    check_refused(FLAGS("--sidecar-pull-policy", "Sometimes"), "Always, IfNotPresent or Never");
    check_refused(FLAGS("--log-format", "xml"), "logfmt or json");
}

static void test_wants_an_image_but_not_to_say_what_it_is(void **state)
{
    (void)state;
    AUTO(options_fini) struct options options = {0};

    check_refused(FLAGS("--threads", "2"), "--sidecar-image is missing");
    assert_ok(read_flags(FLAGS("--help"), no_environment, &options, NULL));
    assert_true(options.help);
    options_fini(&options);
    assert_ok(read_flags(FLAGS("--version"), no_environment, &options, NULL));
    assert_true(options.version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_flags_in_both_spellings),
        cmocka_unit_test(test_takes_the_environment_where_there_is_no_flag),
        cmocka_unit_test(test_names_the_wrong_flag_and_what_it_takes),
        cmocka_unit_test(test_wants_an_image_but_not_to_say_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
