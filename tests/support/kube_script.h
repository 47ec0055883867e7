/* kube_script: a kube_client that talks to an http_script, through a kubeconfig in a directory of
 * its own. For tests. */
#ifndef TESTS_SUPPORT_KUBE_SCRIPT_H
#define TESTS_SUPPORT_KUBE_SCRIPT_H

#include "common/kube/client.h"
#include "tests/support/http_script.h"

struct kube_script {
    struct http_script *http;
    struct kube_client *client;
    char dir[64];
};

/* Plays `steps`; the client sends the token that stands in the file kube_script_token() writes,
 * "one" at first. */
void kube_script_start(struct kube_script *script, const struct http_step *steps, size_t count);
void kube_script_token(const struct kube_script *script, const char *token);
void kube_script_stop(struct kube_script *script);

#endif
