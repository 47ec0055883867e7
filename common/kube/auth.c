#include "common/kube/auth.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/kube/exec_credential.h"
#include "common/kube/kubeconfig.h"
#include "common/rfc3339.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <stdlib.h>

enum { TOKEN_BYTES_MAX = 64 << 10, REREAD_MS = 60000, EXPIRES_EARLY_MS = 10000 };

/* What kube_auth_get() hands out is the first member of this. */
struct counted {
    struct kube_credentials credentials;
    _Atomic unsigned refs;
    struct arena arena;       /* token, and an exec plugin's certificate and key */
    uint64_t read_mono_ms;    /* when it was made */
    uint64_t expires_wall_ms; /* 0: doesn't */
};

struct kube_auth {
    struct kubeconfig config; /* in a cluster too: the same facts from other places */
    pthread_mutex_t lock;     /* guards current */
    struct counted *current;
};

static struct counted *counted_of(struct kube_credentials *credentials)
{
    return (struct counted *)credentials;
}

static void counted_unref(struct counted **slot)
{
    struct counted *counted = *slot;
    if (counted != NULL && --counted->refs == 0) {
        arena_fini(&counted->arena);
        free(counted);
    }
    *slot = NULL;
}

void kube_credentials_unref(struct kube_credentials **credentials)
{
    struct counted *counted = *credentials == NULL ? NULL : counted_of(*credentials);
    counted_unref(&counted);
    *credentials = NULL;
}

/* ---- making credentials */

static enum err read_token(struct counted *counted, const char *path, struct error *error)
{
    AUTO(buf_fini) struct buf text = {0};

    enum err err = file_read(path, TOKEN_BYTES_MAX, &text, error);
    if (err)
        return error_prefix(error, err, "token");
    while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
        text.len--;
    if (text.len == 0)
        return error_set(error, ERR_INVALID, "token file '%s' is empty", path);
    counted->credentials.token = arena_strndup(&counted->arena, (const char *)text.data, text.len);
    explicit_bzero(text.data, text.len);
    return counted->credentials.token == NULL ? error_set(error, ERR_NOMEM, "token") : OK;
}

static struct bytes kept_text(struct counted *counted, const struct json *status, const char *key)
{
    const char *text = json_string(json_get(status, key), "");
    const char *copy = text[0] == '\0' ? NULL : arena_strdup(&counted->arena, text);
    return copy == NULL ? (struct bytes){0} : bytes_from(copy);
}

static enum err ask_plugin(struct counted *counted, const struct kubeconfig *config,
                           struct error *error)
{
    AUTO(json_free) struct json *status = NULL;
    uint64_t expires_ns = 0;

    enum err err = exec_credential_run(config->exec, config->exec_dir, &status, error);
    if (err)
        return err;
    struct bytes token = kept_text(counted, status, "token");
    struct bytes cert = kept_text(counted, status, "clientCertificateData");
    if (token.len > 0)
        counted->credentials.token = (const char *)token.data;
    if (cert.len > 0) {
        counted->credentials.tls.cert_pem = cert;
        counted->credentials.tls.key_pem = kept_text(counted, status, "clientKeyData");
        counted->credentials.tls.cert_file = counted->credentials.tls.key_file = NULL;
    }
    if (token.len == 0 && cert.len == 0)
        return error_set(error, ERR_INVALID, "exec plugin gave neither a token nor a certificate");
    if (rfc3339_parse(json_string(json_get(status, "expirationTimestamp"), ""), &expires_ns))
        counted->expires_wall_ms = expires_ns / 1000000;
    return OK;
}

static enum err make(const struct kubeconfig *config, struct counted **ret_counted,
                     struct error *error)
{
    AUTO(counted_unref) struct counted *counted = xcalloc(1, sizeof *counted);
    enum err err = OK;

    counted->refs = 1;
    counted->credentials.tls = config->tls;
    counted->credentials.token = config->token;
    counted->read_mono_ms = clock_mono_ms();
    if (config->token_file != NULL)
        err = read_token(counted, config->token_file, error);
    else if (config->exec != NULL)
        err = ask_plugin(counted, config, error);
    if (err)
        return err;
    MOVE(*ret_counted, counted);
    return OK;
}

static bool is_stale(const struct kube_auth *auth)
{
    const struct counted *current = auth->current;

    if (current->expires_wall_ms > 0 &&
        clock_wall_ms() + EXPIRES_EARLY_MS >= current->expires_wall_ms)
        return true;
    return auth->config.token_file != NULL && clock_mono_ms() - current->read_mono_ms >= REREAD_MS;
}

enum err kube_auth_get(struct kube_auth *auth, struct kube_credentials **ret_credentials,
                       struct error *error)
{
    struct counted *fresh = NULL;
    enum err err = OK;

    pthread_mutex_lock(&auth->lock);
    if (auth->current == NULL || is_stale(auth)) {
        err = make(&auth->config, &fresh, error);
        if (!err) {
            counted_unref(&auth->current);
            MOVE(auth->current, fresh);
        } else if (auth->current != NULL && auth->config.token_file != NULL) {
            err = OK; /* the file is being replaced: what we have is good for some time yet */
        }
    }
    if (!err) {
        auth->current->refs++;
        *ret_credentials = &auth->current->credentials;
    }
    pthread_mutex_unlock(&auth->lock);
    return err;
}

void kube_auth_expire(struct kube_auth *auth, const struct kube_credentials *refused)
{
    pthread_mutex_lock(&auth->lock);
    if (auth->current != NULL && &auth->current->credentials == refused)
        counted_unref(&auth->current);
    pthread_mutex_unlock(&auth->lock);
}

/* ---- where they come from */

static struct kube_auth *auth_new(struct kubeconfig *config)
{
    struct kube_auth *auth = xcalloc(1, sizeof *auth);
    auth->config = *config;
    *config = (struct kubeconfig){0};
    pthread_mutex_init(&auth->lock, NULL);
    return auth;
}

enum err kube_auth_in_cluster(const char *dir, struct kube_auth **ret_auth, struct error *error)
{
    AUTO(kubeconfig_fini) struct kubeconfig config = {0};
    AUTO(buf_fini) struct buf text = {0};
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");

    if (host == NULL || host[0] == '\0' || port == NULL || port[0] == '\0')
        return error_set(error, ERR_NOTFOUND,
                         "not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set");
    if (dir == NULL)
        dir = KUBE_SERVICE_ACCOUNT_DIR;
    bool v6 = strchr(host, ':') != NULL;
    config.server =
        arena_printf(&config.arena, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    config.tls.ca_file = arena_printf(&config.arena, "%s/ca.crt", dir);
    config.token_file = arena_printf(&config.arena, "%s/token", dir);
    const char *namespace_file = arena_printf(&config.arena, "%s/namespace", dir);
    if (config.server == NULL || config.tls.ca_file == NULL || config.token_file == NULL ||
        namespace_file == NULL)
        return error_set(error, ERR_NOMEM, "service account");

    enum err err = file_read(namespace_file, 4096, &text, error);
    if (err)
        return error_prefix(error, err, "service account");
    config.namespace =
        arena_strndup(&config.arena, (const char *)text.data, strcspn(buf_text(&text), " \r\n"));
    if (config.namespace == NULL || config.namespace[0] == '\0')
        return error_set(error, ERR_INVALID, "service account: '%s' is empty", namespace_file);

    *ret_auth = auth_new(&config);
    return OK;
}

enum err kube_auth_kubeconfig(const char *paths, const char *context, struct kube_auth **ret_auth,
                              struct error *error)
{
    AUTO(kubeconfig_fini) struct kubeconfig config = {0};

    enum err err = kubeconfig_load(paths, context, &config, error);
    if (err)
        return err;
    *ret_auth = auth_new(&config);
    return OK;
}

enum err kube_auth_default(const char *paths, const char *context, struct kube_auth **ret_auth,
                           struct error *error)
{
    if (paths == NULL && context == NULL && getenv("KUBERNETES_SERVICE_HOST") != NULL)
        return kube_auth_in_cluster(NULL, ret_auth, error);
    return kube_auth_kubeconfig(paths, context, ret_auth, error);
}

void kube_auth_destroy(struct kube_auth **slot)
{
    struct kube_auth *auth = *slot;
    if (auth == NULL)
        return;

    counted_unref(&auth->current);
    kubeconfig_fini(&auth->config);
    pthread_mutex_destroy(&auth->lock);
    free(auth);
    *slot = NULL;
}

const char *kube_auth_server(const struct kube_auth *auth)
{
    return auth->config.server;
}

const char *kube_auth_namespace(const struct kube_auth *auth)
{
    return auth->config.namespace;
}

const char *kube_auth_proxy(const struct kube_auth *auth)
{
    return auth->config.proxy;
}
