#include "sidecar/kafka/kafka_access.h"

#include "common/contract/kafka_property.h"
#include "common/file.h"

static enum err no_memory(struct error *error)
{
    return error_set(error, ERR_NOMEM, "Kafka's address and credentials");
}

static enum err join_servers(const struct pipeline_strings *servers, struct arena *arena,
                             const char **ret_joined, struct error *error)
{
    const char *joined = "";

    for (size_t i = 0; i < servers->count; i++) {
        joined = arena_printf(arena, "%s%s%s", joined, i == 0 ? "" : ",", servers->items[i]);
        if (joined == NULL)
            return no_memory(error);
    }
    *ret_joined = joined;
    return OK;
}

static enum err set_tls(const struct pipeline_tls_client *tls, const char *dir, struct arena *arena,
                        struct kafka_access *access, struct error *error)
{
    access->tls = tls->enabled;
    access->insecure_skip_verify = tls->insecure_skip_verify;
    if (!tls->enabled)
        return OK;
    enum err err = pipeline_secret_path(&tls->ca_secret, dir, arena, &access->ca_file, error);
    if (!err)
        err = pipeline_secret_path(&tls->certificate_secret, dir, arena, &access->certificate_file,
                                   error);
    return err ? err : pipeline_secret_path(&tls->key_secret, dir, arena, &access->key_file, error);
}

static enum err set_sasl(const struct pipeline_sasl *sasl, const char *dir, struct arena *arena,
                         struct kafka_access *access, struct error *error)
{
    static const char *const mechanisms[] = {[PIPELINE_SASL_PLAIN] = "PLAIN",
                                             [PIPELINE_SASL_SCRAM_SHA_256] = "SCRAM-SHA-256",
                                             [PIPELINE_SASL_SCRAM_SHA_512] = "SCRAM-SHA-512",
                                             [PIPELINE_SASL_OAUTHBEARER] = "OAUTHBEARER"};
    bool oauth = sasl->mechanism == PIPELINE_SASL_OAUTHBEARER;
    const struct pipeline_secret *user = oauth ? &sasl->client_id_secret : &sasl->username_secret;
    const struct pipeline_secret *password =
        oauth ? &sasl->client_secret_secret : &sasl->password_secret;

    access->sasl_mechanism = mechanisms[sasl->mechanism];
    access->token_endpoint = sasl->token_endpoint;
    access->token_scope = sasl->scope;
    enum err err = pipeline_secret_path(user, dir, arena, &access->user_file, error);
    return err ? err : pipeline_secret_path(password, dir, arena, &access->password_file, error);
}

/* librdkafka would warn about the others, once for each client. */
static enum err set_properties(const struct pipeline_map *base, const struct pipeline_map *consumer,
                               struct arena *arena, struct kafka_access *access,
                               struct error *error)
{
    size_t n = base->count + (consumer == NULL ? 0 : consumer->count);
    struct kafka_property *list = arena_zalloc(arena, (n + 1) * sizeof *list);
    if (list == NULL)
        return no_memory(error);

    access->properties = list;
    for (size_t i = 0; i < n; i++) {
        const struct pipeline_pair *pair =
            i < base->count ? &base->items[i] : &consumer->items[i - base->count];
        if (kafka_property_concerns(pair->name, consumer == NULL))
            list[access->properties_len++] = (struct kafka_property){pair->name, pair->value};
    }
    return OK;
}

enum err kafka_access_make(const struct pipeline *pipeline, const char *secrets_dir,
                           const char *client_id, const struct pipeline_map *consumer,
                           struct arena *arena, struct kafka_access *ret_access,
                           struct error *error)
{
    const struct pipeline_kafka *kafka = pipeline->kafka;
    struct kafka_access access = {0};

    access.client_id = arena_strdup(arena, client_id);
    if (access.client_id == NULL)
        return no_memory(error);
    enum err err = join_servers(&kafka->bootstrap_servers, arena, &access.bootstrap_servers, error);
    if (!err)
        err = set_tls(&kafka->tls, secrets_dir, arena, &access, error);
    if (!err && kafka->sasl != NULL)
        err = set_sasl(kafka->sasl, secrets_dir, arena, &access, error);
    if (!err)
        err = set_properties(&kafka->properties, consumer, arena, &access, error);
    if (!err)
        *ret_access = access;
    return err;
}

uint32_t kafka_access_certificates_stamp(const struct kafka_access *access)
{
    return file_stamp(file_stamp(file_stamp(0, access->ca_file), access->certificate_file),
                      access->key_file);
}

uint32_t kafka_access_stamp(const struct kafka_access *access)
{
    return file_stamp(file_stamp(kafka_access_certificates_stamp(access), access->user_file),
                      access->password_file);
}
