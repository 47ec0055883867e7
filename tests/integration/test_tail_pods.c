/* A container's log carries what its path tells, and what else is known of the pod by then. */
#include "tests/support/tailing.h"
#include "tests/support/test.h"

#include "common/arena.h"
#include "sidecar/lines/kube_path.h"
#include "sidecar/spool/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// link: tests/support/tailing.c

#define UID "5b3c2f0e-9d5e-4d34-8d62-3f1f0b6c2a11"

static size_t describe(void *context, const struct kube_path *pod, struct arena *arena,
                       struct batch_attribute *list)
{
    const bool *is_known = context;

    assert_true(bytes_equal(pod->pod_uid, BYTES_LITERAL(UID)));
    if (!*is_known)
        return 0;
    list[0] = (struct batch_attribute){"k8s.deployment.name", arena_strdup(arena, "web")};
    list[1] = (struct batch_attribute){"k8s.pod.label.team", arena_strdup(arena, "blue")};
    return 2;
}

static void open_with(struct tailing *tailing, bool *is_known)
{
    char dir[80];

    snprintf(dir, sizeof dir, "%s/spool", tailing->dir);
    const struct spool_config config = {
        .dir = dir, .size_bytes = tailing->spool_bytes, .segment_bytes = 4 << 20};
    assert_ok(spool_open(&config, &tailing->spool, NULL));
    const struct tail_options options = {.sources = &tailing->source,
                                         .source_count = 1,
                                         .describe = describe,
                                         .describe_context = is_known,
                                         .spool = tailing->spool};
    assert_ok(tail_open(&options, &tailing->tail, NULL));
}

static void test_says_what_is_known_of_the_pod(void **state)
{
    (void)state;
    static const char *const everything[] = {"*"};
    struct tailing tailing;
    char path[256], command[300];
    bool is_known = false;

    tailing_begin(&tailing);
    snprintf(path, sizeof path, "%s/shop_web-1_" UID "/app", tailing.logs);
    snprintf(command, sizeof command, "mkdir -p %s", path);
    assert_int_equal(system(command), 0);
    strncat(path, "/0.log", sizeof path - strlen(path) - 1);
    tailing.source.root = tailing.logs;
    tailing.source.namespaces = tailing.source.pods = everything;
    tailing.source.namespace_count = tailing.source.pod_count = 1;
    tailing.source.format = LINES_CRI;
    open_with(&tailing, &is_known);

    tailing_append(path, "2026-11-21T13:40:12.5Z stdout F early\n");
    tailing_run(&tailing, 1);
    tailing_collect(&tailing);
    assert_non_null(strstr(tailing.last_resource, "k8s.pod.name=web-1"));
    assert_null(strstr(tailing.last_resource, "k8s.deployment.name"));

    is_known = true;
    tailing_append(path, "2026-11-21T13:40:12.6Z stdout F late\n");
    tailing_run(&tailing, 2);
    tailing_collect(&tailing);
    assert_string_equal(tailing.last_other, "late");
    assert_non_null(strstr(tailing.last_resource, "k8s.deployment.name=web"));
    assert_non_null(strstr(tailing.last_resource, "k8s.pod.label.team=blue"));
    assert_non_null(strstr(tailing.last_resource, "k8s.container.name=app"));
    tailing_end(&tailing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_is_known_of_the_pod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
