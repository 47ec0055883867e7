/* kubelet's two kinds of paths are read, and nothing else is taken for one. */
#include "tests/support/test.h"

#include "sidecar/lines/kube_path.h"

#define UID "5b3c2f0e-9d5e-4d34-8d62-3f1f0b6c2a11"
#define ID  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void check(const char *path, const char *const want[6])
{
    struct kube_path found = {0};

    if (!kube_path_parse(bytes_from(path), &found))
        fail_msg("not taken: %s", path);
    const struct bytes fields[] = {found.namespace_name, found.pod_name,      found.pod_uid,
                                   found.container_name, found.restart_count, found.container_id};
    for (size_t i = 0; i < 6; i++)
        if (!bytes_equal(fields[i], bytes_from(want[i])))
            fail_msg("%s: field %zu is '%.*s'", path, i, (int)fields[i].len, fields[i].data);
}

static void test_reads_the_files_and_links_of_kubelet(void **state)
{
    (void)state;
    const char *const pod[] = {"shop", "web-6d4cf56db6-x2x7k", UID, "app", "12", ""};
    check("/var/log/pods/shop_web-6d4cf56db6-x2x7k_" UID "/app/12.log", pod);
    check("/host/pods/shop_web-6d4cf56db6-x2x7k_" UID "/app/12.log.20261121-133000", pod);
    check("shop_web-6d4cf56db6-x2x7k_" UID "/app/12.log.20261121-133000.gz", pod);

    const char *const fixed[] = {
        "kube-system", "etcd-node.local", "0123456789abcdef0123456789abcdef", "etcd", "0", ""};
    check("/var/log/pods/kube-system_etcd-node.local_0123456789abcdef0123456789abcdef/etcd/0.log",
          fixed);

    const char *const link[] = {"shop", "web-0", "", "app-side-car", "", ID};
    check("/var/log/containers/web-0_shop_app-side-car-" ID ".log", link);
    check("web-0_shop_app-side-car-" ID ".log", link);
}

static void test_takes_nothing_else_for_one(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "/",
        "0.log",
        "app/0.log",
        "/var/log/syslog",
        "/var/log/pods/shop_web_" UID "/app/0.txt",
        "/var/log/pods/shop_web_" UID "/app/.log",
        "/var/log/pods/shop_web_" UID "/app/a.log",
        "/var/log/pods/shop_web_" UID "/app/0.logs",
        "/var/log/pods/shop_web/app/0.log",
        "/var/log/pods/shop_web_/app/0.log",
        "/var/log/pods/_web_" UID "/app/0.log",
        "/var/log/pods/shop_web_a_b/app/0.log",
        "/var/log/pods/Shop_web_" UID "/app/0.log",
        "/var/log/pods/shop_web_" UID "//0.log",
        "web_shop_app.log",
        "web_shop_app-" ID,
        "web_shop_app-" ID "0.log",
        "web_shop_-" ID ".log",
        "web_app-" ID ".log",
        "/var/lib/docker/containers/" ID "/" ID "-json.log",
    };
    struct kube_path found;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (kube_path_parse(bytes_from(others[i]), &found))
            fail_msg("taken: %s", others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_the_files_and_links_of_kubelet),
        cmocka_unit_test(test_takes_nothing_else_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
