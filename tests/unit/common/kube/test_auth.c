/* A kubeconfig means what it means to kubectl; credentials are as fresh as their source; what can't
 * be honoured is refused by name. */
#include "tests/support/test.h"

#include "common/kube/auth.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test-auth-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *write_file(const char *name, const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static enum err load(const char *text, struct kube_auth **auth, struct error *error)
{
    return kube_auth_kubeconfig(write_file("config", text), NULL, auth, error);
}

#define HEAD                                                                      \
    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n" \
    "clusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443/'}}]\n"

static void test_reads_certificates_from_files_and_from_the_text_itself(void **state)
{
    (void)state;
    struct kube_auth *auth = NULL;
    struct kube_credentials *credentials = NULL;
    char want[128];

    assert_ok(load("current-context: b\n"
                   "contexts:\n"
                   "- {name: a, context: {cluster: c1, user: u1}}\n"
                   "- {name: b, context: {cluster: c2, user: u2, namespace: shop}}\n"
                   "clusters:\n"
                   "- {name: c1, cluster: {server: 'https://one'}}\n"
                   "- name: c2\n"
                   "  cluster:\n"
                   "    server: https://two:6443\n"
                   "    certificate-authority: pki/ca.crt\n"
                   "    tls-server-name: kubernetes\n"
                   "users:\n"
                   "- {name: u1, user: {token: other}}\n"
                   "- name: u2\n"
                   "  user:\n"
                   "    client-certificate: ignored\n"
                   "    client-certificate-data: Q0VSVA==\n"
                   "    client-key: /abs/key\n",
                   &auth, NULL));
    assert_string_equal(kube_auth_server(auth), "https://two:6443");
    assert_string_equal(kube_auth_namespace(auth), "shop");
    assert_null(kube_auth_proxy(auth));
    assert_ok(kube_auth_get(auth, &credentials, NULL));
    snprintf(want, sizeof want, "%s/pki/ca.crt", dir);
    assert_string_equal(credentials->tls.ca_file, want);
    assert_string_equal(credentials->tls.server_name, "kubernetes");
    assert_string_equal(credentials->tls.key_file, "/abs/key");
    assert_null(credentials->tls.cert_file);
    assert_true(bytes_equal(credentials->tls.cert_pem, BYTES_LITERAL("CERT")));
    assert_false(credentials->tls.insecure_skip_verify);
    assert_null(credentials->token);
    kube_credentials_unref(&credentials);
    kube_auth_destroy(&auth);
}

static void test_merges_files_and_the_first_to_name_something_wins(void **state)
{
    (void)state;
    struct kube_auth *auth = NULL;
    struct kube_credentials *credentials = NULL;
    char paths[256];

    write_file("one", "current-context: x\nusers: [{name: u, user: {token: first}}]\n");
    write_file("two", HEAD "users: [{name: u, user: {token: second}}]\n");
    snprintf(paths, sizeof paths, "%s/missing:%s/one::%s/two", dir, dir, dir);
    assert_ok(kube_auth_kubeconfig(paths, NULL, &auth, NULL));
    assert_string_equal(kube_auth_namespace(auth), "default");
    assert_ok(kube_auth_get(auth, &credentials, NULL));
    assert_string_equal(credentials->token, "first");
    kube_credentials_unref(&credentials);
    kube_auth_destroy(&auth);
}

static void test_refuses_what_it_cannot_honour_and_says_where(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"contexts: []\n", "current-context"},
        {"current-context: x\n", "no context 'x'"},
        {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n", "no cluster 'c'"},
        {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
         "clusters: [{name: c, cluster: {}}]\n",
         "no server"},
        {HEAD "users: [{name: u, user: {client-key-data: '%%'}}]\n", "client-key-data"},
        {HEAD "users: [{name: u, user: {auth-provider: {name: gcp}}}]\n", "auth-provider"},
        {HEAD "users: [{name: u, user: {as: admin}}]\n", "'as'"},
        {"a: [\n", "config"},
        {"", "no configuration"},
        {"- x\n", "no configuration"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kube_auth *auth = NULL;
        struct error error = {0};
        assert_int_equal(load(cases[i][0], &auth, &error), ERR_INVALID);
        if (strstr(error.text, cases[i][1]) == NULL)
            fail_msg("no '%s' in: %s", cases[i][1], error.text);
    }
    struct kube_auth *auth = NULL;
    struct error error = {0};
    assert_int_equal(kube_auth_kubeconfig("/nowhere/at/all", NULL, &auth, &error), ERR_NOTFOUND);
    assert_non_null(strstr(error.text, "'/nowhere/at/all'"));
    assert_int_equal(kube_auth_kubeconfig(write_file("config", HEAD), "y", &auth, NULL),
                     ERR_INVALID);
}

static void test_reads_a_token_file_again_once_its_token_was_refused(void **state)
{
    (void)state;
    struct kube_auth *auth = NULL;
    struct kube_credentials *first = NULL, *second = NULL, *third = NULL;

    write_file("token", "one\n");
    assert_ok(load(HEAD "users: [{name: u, user: {tokenFile: token}}]\n", &auth, NULL));
    assert_ok(kube_auth_get(auth, &first, NULL));
    assert_string_equal(first->token, "one");
    write_file("token", "two\n");
    assert_ok(kube_auth_get(auth, &second, NULL));
    assert_ptr_equal(first, second); /* a minute is not over */
    kube_auth_expire(auth, first);
    assert_ok(kube_auth_get(auth, &third, NULL));
    assert_string_equal(third->token, "two");
    assert_string_equal(first->token, "one"); /* ours until we let it go */
    kube_auth_expire(auth, first);            /* late news of the old one */
    kube_credentials_unref(&second);
    assert_ok(kube_auth_get(auth, &second, NULL));
    assert_ptr_equal(second, third);
    kube_credentials_unref(&first);
    kube_credentials_unref(&second);
    kube_credentials_unref(&third);
    kube_auth_destroy(&auth);
}

#define EXEC_USER                                                                  \
    "users:\n- name: u\n  user:\n    exec:\n"                                      \
    "      apiVersion: client.authentication.k8s.io/v1\n      command: ./plugin\n" \
    "      args: [get, 'a b']\n      env: [{name: WHO, value: me}, {name: HOME, value: /h}]\n"

static void write_plugin(const char *text)
{
    assert_int_equal(chmod(write_file("plugin", text), 0700), 0);
}

static void test_asks_an_exec_plugin_and_keeps_its_answer_until_it_expires(void **state)
{
    (void)state;
    struct kube_auth *auth = NULL;
    struct kube_credentials *credentials = NULL;

    write_plugin(
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho x >> calls\n"
        "n=$(wc -l < calls)\n"
        "case \"$KUBERNETES_EXEC_INFO\" in *'\"kind\":\"ExecCredential\"'*) ;; *) exit 9;; esac\n"
        "[ \"$1,$2,$WHO,$HOME\" = 'get,a b,me,/h' ] || exit 8\n"
        "[ -z \"$(cat)\" ] || exit 7\n"
        "when=2099-01-01T00:00:00Z; [ $n = 2 ] && when=2020-01-01T00:00:00Z\n"
        "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","
        "\"status\":{\"token\":\"t'$n'\",\"clientCertificateData\":\"C\","
        "\"clientKeyData\":\"K\",\"expirationTimestamp\":\"'$when'\"}}'\n");
    assert_ok(load(HEAD EXEC_USER, &auth, NULL));
    static const char *const want[] = {"t1", "t1", "t2", "t3", "t3"};
    for (size_t i = 0; i < 5; i++) {
        struct error error = {0};
        enum err err = kube_auth_get(auth, &credentials, &error);
        if (err)
            fail_msg("%s", error.text);
        assert_string_equal(credentials->token, want[i]);
        assert_true(bytes_equal(credentials->tls.cert_pem, BYTES_LITERAL("C")));
        assert_true(bytes_equal(credentials->tls.key_pem, BYTES_LITERAL("K")));
        if (i == 1)
            kube_auth_expire(auth, credentials); /* a 401; the second answer is stale at once */
        kube_credentials_unref(&credentials);
    }
    kube_auth_destroy(&auth);
}

static void test_says_what_is_wrong_with_an_exec_plugin(void **state)
{
    (void)state;
    static const struct {
        const char *plugin;
        enum err want;
        const char *sentence;
    } cases[] = {
        {"#!/bin/sh\nexit 3\n", ERR_AGAIN, "status 3"},
        {"#!/bin/sh\necho hello\n", ERR_INVALID, "no ExecCredential"},
        {"#!/bin/sh\necho '{\"kind\":\"ExecCredential\",\"status\":{}}'\n", ERR_INVALID, "neither"},
        {"#!/bin/sh\nhead -c 2000000 /dev/zero\n", ERR_FULL, "more than"},
        {"#!/nowhere\n", ERR_INVALID, "No such file"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kube_auth *auth = NULL;
        struct kube_credentials *credentials = NULL;
        struct error error = {0};

        write_plugin(cases[i].plugin);
        assert_ok(load(HEAD EXEC_USER, &auth, NULL));
        assert_int_equal(kube_auth_get(auth, &credentials, &error), cases[i].want);
        if (strstr(error.text, cases[i].sentence) == NULL)
            fail_msg("no '%s' in: %s", cases[i].sentence, error.text);
        kube_auth_destroy(&auth);
    }
}

static void test_finds_its_service_account_in_a_pod(void **state)
{
    (void)state;
    struct kube_auth *auth = NULL;
    struct kube_credentials *credentials = NULL;
    char want[128];

    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(kube_auth_in_cluster(dir, &auth, NULL), ERR_NOTFOUND);
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
    assert_int_equal(kube_auth_in_cluster(dir, &auth, NULL), ERR_NOTFOUND);
    write_file("namespace", "surgetank\n");
    write_file("token", "pod");
    assert_ok(kube_auth_in_cluster(dir, &auth, NULL));
    assert_string_equal(kube_auth_server(auth), "https://[fd00::1]:443");
    assert_string_equal(kube_auth_namespace(auth), "surgetank");
    assert_ok(kube_auth_get(auth, &credentials, NULL));
    assert_string_equal(credentials->token, "pod");
    snprintf(want, sizeof want, "%s/ca.crt", dir);
    assert_string_equal(credentials->tls.ca_file, want);
    kube_credentials_unref(&credentials);
    kube_auth_destroy(&auth);
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reads_certificates_from_files_and_from_the_text_itself),
        TEST(test_merges_files_and_the_first_to_name_something_wins),
        TEST(test_refuses_what_it_cannot_honour_and_says_where),
        TEST(test_reads_a_token_file_again_once_its_token_was_refused),
        TEST(test_asks_an_exec_plugin_and_keeps_its_answer_until_it_expires),
        TEST(test_says_what_is_wrong_with_an_exec_plugin),
        TEST(test_finds_its_service_account_in_a_pod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
