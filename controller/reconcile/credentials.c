#include "controller/reconcile/credentials.h"

#include "common/base64.h"
#include "common/xalloc.h"

#include <stdlib.h>

#define SECRET_BYTES_MAX (64u << 10)

struct reader {
    struct kube_client *client;
    const char *namespace;
    struct arena *arena;
    const char *secret_name; /* of the one at hand, as several keys are often of one Secret */
    struct json *secret;
};

void credentials_free(struct credentials **credentials)
{
    if (*credentials == NULL)
        return;
    arena_fini(&(*credentials)->arena);
    free(*credentials);
    *credentials = NULL;
}

static enum err load_secret(struct reader *reader, const char *name, struct error *error)
{
    if (reader->secret_name != NULL && strcmp(reader->secret_name, name) == 0)
        return OK;
    json_free(&reader->secret);
    reader->secret_name = NULL;
    enum err err =
        kube_get(reader->client, &kube_secrets, reader->namespace, name, &reader->secret, error);
    if (err == ERR_NOTFOUND)
        return error_set(error, ERR_INVALID,
                         "Secret %s is missing in namespace %s. Make it there, as the pods need it "
                         "too",
                         name, reader->namespace);
    if (err)
        return error_prefix(error, err, "read Secret %s/%s", reader->namespace, name);
    reader->secret_name = name;
    return OK;
}

/* *ret_text stays NULL for no secret. */
static enum err read_key(struct reader *reader, const struct pipeline_secret *secret,
                         const char **ret_text, struct error *error)
{
    struct buf value = {.max = SECRET_BYTES_MAX};

    if (secret->name == NULL)
        return OK;
    enum err err = load_secret(reader, secret->name, error);
    if (err)
        return err;

    const char *encoded =
        json_string(json_get(json_get(reader->secret, "data"), secret->key), NULL);
    if (encoded == NULL)
        return error_set(error, ERR_INVALID, "Secret %s/%s has no key \"%s\". Add it",
                         reader->namespace, secret->name, secret->key);
    err = base64_decode(bytes_from(encoded), &value);
    const char *copy =
        err == OK ? arena_strndup(reader->arena, (const char *)value.data, value.len) : NULL;
    if (value.data != NULL)
        explicit_bzero(value.data, value.cap);
    buf_fini(&value);
    if (copy == NULL)
        return error_set(error, ERR_INVALID, "Key \"%s\" of Secret %s/%s is above %u KiB",
                         secret->key, reader->namespace, secret->name, SECRET_BYTES_MAX >> 10);
    *ret_text = copy;
    return OK;
}

static const char *mechanism_name(enum pipeline_sasl_mechanism mechanism)
{
    switch (mechanism) {
    case PIPELINE_SASL_PLAIN:
        return "PLAIN";
    case PIPELINE_SASL_SCRAM_SHA_256:
        return "SCRAM-SHA-256";
    case PIPELINE_SASL_SCRAM_SHA_512:
        return "SCRAM-SHA-512";
    case PIPELINE_SASL_OAUTHBEARER:
        break;
    }
    return "OAUTHBEARER";
}

static const char *join(const struct pipeline_strings *servers, struct arena *arena)
{
    const char *joined = "";

    for (size_t i = 0; i < servers->count && joined != NULL; i++)
        joined = arena_printf(arena, "%s%s%s", joined, i > 0 ? "," : "", servers->items[i]);
    return joined;
}

static enum err read_all(struct reader *reader, const struct pipeline_kafka *kafka,
                         struct kafka_access *access, struct error *error)
{
    enum err err = read_key(reader, &kafka->tls.ca_secret, &access->tls.ca_pem, error);
    if (err)
        return err;
    err = read_key(reader, &kafka->tls.certificate_secret, &access->tls.certificate_pem, error);
    if (err)
        return err;
    err = read_key(reader, &kafka->tls.key_secret, &access->tls.key_pem, error);
    if (err || kafka->sasl == NULL)
        return err;
    access->sasl.mechanism = mechanism_name(kafka->sasl->mechanism);
    err = read_key(reader, &kafka->sasl->username_secret, &access->sasl.username, error);
    if (err)
        return err;
    err = read_key(reader, &kafka->sasl->password_secret, &access->sasl.password, error);
    if (err)
        return err;
    access->sasl.token_endpoint = kafka->sasl->token_endpoint;
    access->sasl.scope = kafka->sasl->scope;
    err = read_key(reader, &kafka->sasl->client_id_secret, &access->sasl.client_id, error);
    if (err)
        return err;
    return read_key(reader, &kafka->sasl->client_secret_secret, &access->sasl.client_secret, error);
}

enum err credentials_get(struct kube_client *client, const struct pipeline *pipeline,
                         struct credentials **ret_credentials, struct error *error)
{
    const struct pipeline_kafka *kafka = pipeline->kafka;
    AUTO(credentials_free) struct credentials *credentials = xcalloc(1, sizeof *credentials);
    struct reader reader = {
        .client = client, .namespace = pipeline->namespace, .arena = &credentials->arena};

    credentials->access.bootstrap = join(&kafka->bootstrap_servers, &credentials->arena);
    if (credentials->access.bootstrap == NULL)
        return error_set(error, ERR_NOMEM, "read credentials");
    credentials->access.tls.enabled = kafka->tls.enabled;
    credentials->access.tls.insecure_skip_verify = kafka->tls.insecure_skip_verify;
    enum err err = read_all(&reader, kafka, &credentials->access, error);
    json_free(&reader.secret);
    if (err)
        return err;
    MOVE(*ret_credentials, credentials);
    return OK;
}

const char *credentials_key(const struct pipeline *pipeline, struct arena *arena)
{
    const struct pipeline_kafka *kafka = pipeline->kafka;
    const struct pipeline_sasl *sasl = kafka->sasl;
    const char *servers = join(&kafka->bootstrap_servers, arena);
    bool secret = sasl != NULL || kafka->tls.ca_secret.name != NULL ||
                  kafka->tls.certificate_secret.name != NULL;

    if (servers == NULL || !secret)
        return servers == NULL ? NULL
                               : arena_printf(arena, "%s tls=%d", servers, kafka->tls.enabled);
    const char *name = arena_printf(
        arena, "%s tls=%d %s ca=%s cert=%s", servers, kafka->tls.enabled, pipeline->namespace,
        kafka->tls.ca_secret.name != NULL ? kafka->tls.ca_secret.name : "",
        kafka->tls.certificate_secret.name != NULL ? kafka->tls.certificate_secret.name : "");
    if (name == NULL || sasl == NULL)
        return name;
    bool oauth = sasl->mechanism == PIPELINE_SASL_OAUTHBEARER;
    const struct pipeline_secret *user = oauth ? &sasl->client_id_secret : &sasl->username_secret;
    const struct pipeline_secret *password =
        oauth ? &sasl->client_secret_secret : &sasl->password_secret;
    return arena_printf(arena, "%s %s user=%s password=%s/%s token=%s scope=%s", name,
                        mechanism_name(sasl->mechanism), user->name, password->name, password->key,
                        oauth ? sasl->token_endpoint : "", sasl->scope != NULL ? sasl->scope : "");
}
