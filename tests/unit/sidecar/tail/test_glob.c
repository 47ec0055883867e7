/* Globs match what they say and nothing else; a walk sees what matches and the directories on the
 * way to it. */
#include "tests/support/test.h"

#include "sidecar/tail/glob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_a_glob_matches_whole_paths(void **state)
{
    static const struct {
        const char *glob, *path;
        bool matches;
    } cases[] = {
        {"/var/log/a.log", "/var/log/a.log", true},
        {"/var/log/a.log", "/var/log/a.log.1", false},
        {"/var/log/*.log", "/var/log/a.log", true},
        {"/var/log/*.log", "/var/log/.a.log", false},
        {"/var/log/*.log", "/var/log/x/a.log", false},
        {"/var/log/[a-c]?.log", "/var/log/b1.log", true},
        {"/var/log/[!a-c]?.log", "/var/log/b1.log", false},
        {"/srv/**/a.log", "/srv/a.log", true},
        {"/srv/**/a.log", "/srv/x/y/z/a.log", true},
        {"/srv/**/a.log", "/srv/x/y/z/b.log", false},
        {"/srv/**/log/**/a.log", "/srv/x/log/y/log/z/a.log", true},
        {"/srv/**/a.log", "/srv/.hidden/a.log", false},
        {"/srv/**", "/srv/x/a.log", true},
        {"/srv/x//a.log", "/srv/x/a.log", true},
        {"/*/*/a", "/x/y/a", true},
        {"/*/*/a", "/x/a", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (glob_match(cases[i].glob, cases[i].path) != cases[i].matches)
            fail_msg("%s and %s", cases[i].glob, cases[i].path);
}

static void test_directories_on_the_way_are_told_from_others(void **state)
{
    (void)state;
    assert_true(glob_match_dir("/var/log/*/a.log", "/var/log"));
    assert_true(glob_match_dir("/var/log/*/a.log", "/var/log/x"));
    assert_false(glob_match_dir("/var/log/*/a.log", "/var/log/x/y"));
    assert_false(glob_match_dir("/var/log/*/a.log", "/var/lib"));
    assert_true(glob_match_dir("/srv/**/a.log", "/srv/x/y/z"));
}

static void test_a_leading_dot_of_a_name_is_nothing_special(void **state)
{
    (void)state;
    assert_true(glob_match_name("*", ".x"));
    assert_true(glob_match_name("shop-*", "shop-eu"));
    assert_false(glob_match_name("shop-*", "shop"));
}

static size_t dirs, files, matches;

static void on_dir(void *context, const char *path)
{
    (void)context;
    (void)path;
    dirs++;
}

static void on_file(void *context, const char *path)
{
    files++;
    matches += glob_match(context, path);
}

static void test_a_walk_goes_only_where_something_can_match(void **state)
{
    char dir[] = "/tmp/surgetank-glob-XXXXXX", command[256], glob[128];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(
        command, sizeof command,
        "cd %s && mkdir -p a/log b/log c/lib/deep && touch a/log/x.log a/log/y.txt b/log/x.log "
        "c/lib/x.log c/lib/deep/x.log && ln -s . a/log/loop && ln -s ../../b/log a/log/other",
        dir);
    assert_int_equal(system(command), 0);
    snprintf(glob, sizeof glob, "%s/*/log/*.log", dir);
    const struct glob_visitor visitor = {.dir = on_dir, .file = on_file, .context = glob};
    assert_true(glob_walk(glob, NULL, &visitor));
    assert_int_equal(matches, 2);
    assert_int_equal(files, 3);
    assert_int_equal(dirs, 6); /* the top, a, b, c, and two named log */
    /* Loops are not gone through; nor is the root, to which one leads. */
    dirs = files = matches = 0;
    snprintf(command, sizeof command, "ln -s %s %s/b/log/up; ln -s / %s/c/root", dir, dir, dir);
    assert_int_equal(system(command), 0);
    snprintf(glob, sizeof glob, "%s/**/*.log", dir);
    assert_true(glob_walk(glob, NULL, &visitor));
    assert_int_equal(dirs, 9); /* the top, a, b, c, two named log and the link to one, lib, deep */
    assert_int_equal(matches, 5); /* one of them twice, by the link too */
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_glob_matches_whole_paths),
        cmocka_unit_test(test_directories_on_the_way_are_told_from_others),
        cmocka_unit_test(test_a_leading_dot_of_a_name_is_nothing_special),
        cmocka_unit_test(test_a_walk_goes_only_where_something_can_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
