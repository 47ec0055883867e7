#include "common/kube/kubeconfig.h"

#include "common/base64.h"
#include "common/file.h"
#include "common/yaml.h"

#include <stdlib.h>

/* The files that were found, in order. */
struct files {
    struct json *roots[KUBECONFIG_FILES_MAX];
    char *dirs[KUBECONFIG_FILES_MAX]; /* each ends in '/', or is "" */
    size_t count;
};

static void files_fini(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        json_free(&files->roots[i]);
        free(files->dirs[i]);
    }
}

static enum err load_file(struct files *files, const char *path, struct error *error)
{
    AUTO(buf_fini) struct buf text = {0};
    AUTO(json_free) struct json *documents = NULL;

    if (files->count == KUBECONFIG_FILES_MAX)
        return error_set(error, ERR_INVALID, "more than %d kubeconfig files", KUBECONFIG_FILES_MAX);
    enum err err = file_read(path, KUBECONFIG_BYTES_MAX, &text, error);
    if (err)
        return err;
    err = yaml_parse(buf_bytes(&text), KUBECONFIG_BYTES_MAX, &documents, error);
    if (err)
        return error_prefix(error, ERR_INVALID, "kubeconfig '%s'", path);
    if (json_kind(json_first(documents)) != JSON_OBJECT)
        return error_set(error, ERR_INVALID, "kubeconfig '%s' holds no configuration", path);

    const char *slash = strrchr(path, '/');
    files->roots[files->count] = json_clone(json_first(documents));
    files->dirs[files->count] = strndup(path, slash == NULL ? 0 : (size_t)(slash + 1 - path));
    if (files->dirs[files->count] == NULL)
        return error_set(error, ERR_NOMEM, "kubeconfig '%s'", path);
    files->count++;
    return OK;
}

static enum err load_files(struct files *files, const char *paths, struct error *error)
{
    AUTO(buf_fini) struct buf path = {0};
    const char *given = paths;

    while (*paths != '\0') {
        size_t len = strcspn(paths, ":");
        buf_clear(&path);
        if (len > 0) {
            if (buf_append(&path, (struct bytes){(const uint8_t *)paths, len}) ||
                buf_text(&path) == NULL)
                return error_set(error, ERR_NOMEM, "kubeconfig");
            enum err err = load_file(files, buf_text(&path), error);
            if (err && err != ERR_NOTFOUND) /* kubectl skips those that aren't there, too */
                return err;
        }
        paths += len + (paths[len] == ':');
    }
    if (files->count == 0)
        return error_set(error, ERR_NOTFOUND,
                         "there is no kubeconfig file '%s'; set KUBECONFIG, or name one", given);
    return OK;
}

static enum err default_paths(struct buf *into, struct error *error)
{
    const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");

    enum err err = env != NULL && env[0] != '\0'
                       ? buf_append_text(into, env)
                       : buf_printf(into, "%s/.kube/config", home == NULL ? "" : home);
    return err ? error_set(error, err, "kubeconfig") : OK;
}

/* The entry of that name in a list such as "clusters", from the first file that has it. */
static const struct json *find_entry(const struct files *files, const char *list, const char *name,
                                     const char *body, const char **ret_dir)
{
    for (size_t i = 0; i < files->count; i++) {
        JSON_EACH(entry, json_get(files->roots[i], list)) {
            if (strcmp(json_string(json_get(entry, "name"), ""), name) == 0) {
                *ret_dir = files->dirs[i];
                return json_get(entry, body);
            }
        }
    }
    return NULL;
}

static const char *text_of(struct kubeconfig *config, const struct json *entry, const char *key)
{
    const char *text = json_string(json_get(entry, key), "");
    return text[0] == '\0' ? NULL : arena_strdup(&config->arena, text);
}

static const char *path_of(struct kubeconfig *config, const struct json *entry, const char *key,
                           const char *dir)
{
    const char *text = json_string(json_get(entry, key), "");
    if (text[0] == '\0')
        return NULL;
    return arena_printf(&config->arena, "%s%s", text[0] == '/' ? "" : dir, text);
}

static enum err data_of(struct kubeconfig *config, const struct json *entry, const char *key,
                        struct bytes *ret_data, struct error *error)
{
    AUTO(buf_fini) struct buf decoded = {.max = KUBECONFIG_BYTES_MAX};
    const char *text = json_string(json_get(entry, key), "");

    if (base64_decode(bytes_from(text), &decoded))
        return error_set(error, ERR_INVALID, "%s is not base64", key);
    if (decoded.len == 0)
        return OK;
    uint8_t *copy = arena_alloc(&config->arena, decoded.len);
    if (copy == NULL)
        return error_set(error, ERR_NOMEM, "%s", key);
    memcpy(copy, decoded.data, decoded.len);
    *ret_data = (struct bytes){copy, decoded.len};
    return OK;
}

static enum err read_cluster(struct kubeconfig *config, const struct json *cluster, const char *dir,
                             struct error *error)
{
    config->server = text_of(config, cluster, "server");
    if (config->server == NULL)
        return error_set(error, ERR_INVALID, "it has no server");
    config->tls.server_name = text_of(config, cluster, "tls-server-name");
    config->tls.insecure_skip_verify =
        json_bool(json_get(cluster, "insecure-skip-tls-verify"), false);
    config->proxy = text_of(config, cluster, "proxy-url");
    config->tls.ca_file = path_of(config, cluster, "certificate-authority", dir);
    enum err err =
        data_of(config, cluster, "certificate-authority-data", &config->tls.ca_pem, error);
    if (config->tls.ca_pem.len > 0)
        config->tls.ca_file = NULL;
    return err;
}

static enum err read_user(struct kubeconfig *config, const struct json *user, const char *dir,
                          struct error *error)
{
    static const char *const refused[] = {"auth-provider", "as", "username", NULL};
    for (const char *const *key = refused; *key != NULL; key++) {
        if (json_get(user, *key) != NULL)
            return error_set(error, ERR_INVALID,
                             "'%s' is not supported; use a certificate, a token or an exec plugin",
                             *key);
    }

    config->token = text_of(config, user, "token");
    config->token_file = path_of(config, user, "tokenFile", dir);
    config->tls.cert_file = path_of(config, user, "client-certificate", dir);
    config->tls.key_file = path_of(config, user, "client-key", dir);
    enum err err = data_of(config, user, "client-certificate-data", &config->tls.cert_pem, error);
    if (err)
        return err;
    err = data_of(config, user, "client-key-data", &config->tls.key_pem, error);
    if (err)
        return err;
    if (config->tls.cert_pem.len > 0)
        config->tls.cert_file = NULL;
    if (config->tls.key_pem.len > 0)
        config->tls.key_file = NULL;

    if (json_kind(json_get(user, "exec")) == JSON_OBJECT) {
        config->exec = json_clone(json_get(user, "exec"));
        config->exec_dir = arena_strdup(&config->arena, dir);
    }
    return OK;
}

static enum err pick(struct kubeconfig *config, const struct files *files, const char *name,
                     struct error *error)
{
    const char *dir = "";

    for (size_t i = 0; name == NULL && i < files->count; i++) {
        const char *current = json_string(json_get(files->roots[i], "current-context"), "");
        if (current[0] != '\0')
            name = current;
    }
    if (name == NULL)
        return error_set(error, ERR_INVALID,
                         "the kubeconfig has no current-context; name one with --context");
    const struct json *context = find_entry(files, "contexts", name, "context", &dir);
    if (context == NULL)
        return error_set(error, ERR_INVALID, "the kubeconfig has no context '%s'", name);
    config->namespace = text_of(config, context, "namespace");
    if (config->namespace == NULL)
        config->namespace = "default";

    const char *cluster_name = json_string(json_get(context, "cluster"), "");
    const struct json *cluster = find_entry(files, "clusters", cluster_name, "cluster", &dir);
    if (cluster == NULL)
        return error_set(error, ERR_INVALID, "the kubeconfig has no cluster '%s'", cluster_name);
    enum err err = read_cluster(config, cluster, dir, error);
    if (err)
        return error_prefix(error, err, "cluster '%s' of the kubeconfig", cluster_name);

    const char *user_name = json_string(json_get(context, "user"), "");
    const struct json *user = find_entry(files, "users", user_name, "user", &dir);
    err = read_user(config, user, dir, error);
    if (err)
        return error_prefix(error, err, "user '%s' of the kubeconfig", user_name);
    return OK;
}

enum err kubeconfig_load(const char *paths, const char *context, struct kubeconfig *ret_config,
                         struct error *error)
{
    AUTO(files_fini) struct files files = {0};
    AUTO(kubeconfig_fini) struct kubeconfig config = {0};
    AUTO(buf_fini) struct buf default_path = {0};

    if (paths == NULL) {
        enum err err = default_paths(&default_path, error);
        if (err)
            return err;
        paths = buf_text(&default_path);
        if (paths == NULL)
            return error_set(error, ERR_NOMEM, "kubeconfig");
    }
    enum err err = load_files(&files, paths, error);
    if (err)
        return err;
    err = pick(&config, &files, context, error);
    if (err)
        return err;

    *ret_config = config;
    config = (struct kubeconfig){0};
    return OK;
}

void kubeconfig_fini(struct kubeconfig *config)
{
    json_free(&config->exec);
    arena_fini(&config->arena);
    *config = (struct kubeconfig){0};
}
