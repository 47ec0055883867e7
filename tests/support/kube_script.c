#include "tests/support/kube_script.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_file(const struct kube_script *script, const char *name, const char *text)
{
    char path[128], temporary[128];
    snprintf(path, sizeof path, "%s/%s", script->dir, name);
    snprintf(temporary, sizeof temporary, "%s/%s.new", script->dir, name);
    FILE *file = fopen(temporary, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(temporary, path), 0);
}

void kube_script_token(const struct kube_script *script, const char *token)
{
    write_file(script, "token", token);
}

void kube_script_start(struct kube_script *script, const struct http_step *steps, size_t count)
{
    char config[512], path[128];
    struct kube_auth *auth = NULL;

    *script = (struct kube_script){.http = http_script_start(steps, count)};
    snprintf(script->dir, sizeof script->dir, "/tmp/kube-script-XXXXXX");
    assert_non_null(mkdtemp(script->dir));
    snprintf(config, sizeof config,
             "current-context: test\n"
             "contexts: [{name: test, context: {cluster: c, user: u, namespace: shop}}]\n"
             "clusters: [{name: c, cluster: {server: '%s'}}]\n"
             "users: [{name: u, user: {tokenFile: token}}]\n",
             http_script_url(script->http));
    write_file(script, "config", config);
    kube_script_token(script, "one\n");
    snprintf(path, sizeof path, "%s/config", script->dir);
    assert_ok(kube_auth_kubeconfig(path, NULL, &auth, NULL));
    assert_ok(kube_client_create(&auth, "test", &script->client, NULL));
}

void kube_script_stop(struct kube_script *script)
{
    static const char *const names[] = {"config", "token"};
    char path[128];

    kube_client_destroy(&script->client);
    http_script_stop(&script->http);
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", script->dir, names[i]);
        unlink(path);
    }
    rmdir(script->dir);
}
