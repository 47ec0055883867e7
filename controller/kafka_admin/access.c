#include "controller/kafka_admin/access.h"

#include "common/assert.h"
#include "common/xalloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every string of a struct kafka_access: that it is copied, compared and wiped follows from being
 * listed here. */
static const size_t strings[] = {
    offsetof(struct kafka_access, bootstrap),
    offsetof(struct kafka_access, tls.ca_pem),
    offsetof(struct kafka_access, tls.certificate_pem),
    offsetof(struct kafka_access, tls.key_pem),
    offsetof(struct kafka_access, sasl.mechanism),
    offsetof(struct kafka_access, sasl.username),
    offsetof(struct kafka_access, sasl.password),
    offsetof(struct kafka_access, sasl.token_endpoint),
    offsetof(struct kafka_access, sasl.client_id),
    offsetof(struct kafka_access, sasl.client_secret),
    offsetof(struct kafka_access, sasl.scope),
};
#define STRING_COUNT (sizeof strings / sizeof strings[0])

static const char *string_at(const struct kafka_access *access, size_t i)
{
    const char *text;
    memcpy(&text, (const char *)access + strings[i], sizeof text);
    return text;
}

static size_t size_of(const struct kafka_access *access)
{
    size_t size = 0;
    for (size_t i = 0; i < STRING_COUNT; i++)
        if (string_at(access, i) != NULL)
            size += strlen(string_at(access, i)) + 1;
    return size;
}

enum err access_copy(const struct kafka_access *access, struct kafka_access **ret_copy,
                     struct error *error)
{
    if (access->bootstrap == NULL || *access->bootstrap == '\0')
        return error_set(error, ERR_INVALID, "no Kafka addresses: set kafka.bootstrapServers");
    size_t size = size_of(access);
    if (size > ADMIN_ACCESS_SIZE_MAX)
        return error_set(error, ERR_INVALID, "addresses and credentials take %zu bytes, above %u",
                         size, ADMIN_ACCESS_SIZE_MAX);

    struct kafka_access *copy = xcalloc(1, sizeof *copy + size);
    char *at = (char *)(copy + 1);
    *copy = *access;
    for (size_t i = 0; i < STRING_COUNT; i++) {
        const char *text = string_at(access, i);
        if (text == NULL)
            continue;
        size_t len = strlen(text) + 1;
        memcpy(at, text, len);
        memcpy((char *)copy + strings[i], &at, sizeof at);
        at += len;
    }
    *ret_copy = copy;
    return OK;
}

void access_destroy(struct kafka_access **access)
{
    if (*access == NULL)
        return;
    explicit_bzero(*access, sizeof **access + size_of(*access));
    free(*access);
    *access = NULL;
}

bool access_equal(const struct kafka_access *a, const struct kafka_access *b)
{
    for (size_t i = 0; i < STRING_COUNT; i++) {
        const char *x = string_at(a, i), *y = string_at(b, i);
        if ((x == NULL) != (y == NULL) || (x != NULL && strcmp(x, y) != 0))
            return false;
    }
    return a->tls.enabled == b->tls.enabled &&
           a->tls.insecure_skip_verify == b->tls.insecure_skip_verify;
}

/* ---- librdkafka's configuration */

static void destroy_conf(rd_kafka_conf_t **conf)
{
    if (*conf != NULL)
        rd_kafka_conf_destroy(*conf);
}

/* Sets `name` unless `value` is NULL. Values may be secrets, so that librdkafka's own words, which
 * may quote them, are left out. */
static enum err set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *error)
{
    char why[256];

    if (value == NULL || rd_kafka_conf_set(conf, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
        return OK;
    return error_set(error, ERR_INVALID, "Kafka client: the value for %s is not accepted", name);
}

struct setting {
    const char *name, *value;
};

static enum err set_all(rd_kafka_conf_t *conf, const struct setting *settings, size_t count,
                        struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        enum err err = set(conf, settings[i].name, settings[i].value, error);
        if (err)
            return err;
    }
    return OK;
}

#define SET_ALL(conf, settings, error) \
    set_all(conf, settings, sizeof(settings) / sizeof((settings)[0]), error)

static enum err set_tls(rd_kafka_conf_t *conf, const struct kafka_tls *tls, struct error *error)
{
    if (!tls->enabled)
        return OK;
    if ((tls->certificate_pem == NULL) != (tls->key_pem == NULL))
        return error_set(error, ERR_INVALID,
                         "a client certificate needs its key: set both certificateSecret and "
                         "keySecret");
    const struct setting settings[] = {
        {"ssl.ca.pem", tls->ca_pem},
        {"ssl.certificate.pem", tls->certificate_pem},
        {"ssl.key.pem", tls->key_pem},
        {"enable.ssl.certificate.verification", tls->insecure_skip_verify ? "false" : NULL},
        {"ssl.endpoint.identification.algorithm", tls->insecure_skip_verify ? "none" : "https"},
    };
    return SET_ALL(conf, settings, error);
}

static enum err set_sasl(rd_kafka_conf_t *conf, const struct kafka_sasl *sasl, const char *ca_pem,
                         struct error *error)
{
    static const char *const known[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"};
    bool oauth, found = false;

    if (sasl->mechanism == NULL)
        return OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        found = found || strcmp(sasl->mechanism, known[i]) == 0;
    if (!found)
        return error_set(error, ERR_INVALID,
                         "SASL mechanism '%s' is not known: use PLAIN, SCRAM-SHA-256, "
                         "SCRAM-SHA-512 or OAUTHBEARER",
                         sasl->mechanism);
    oauth = strcmp(sasl->mechanism, "OAUTHBEARER") == 0;
    if (oauth && (sasl->token_endpoint == NULL || sasl->client_id == NULL))
        return error_set(error, ERR_INVALID,
                         "OAUTHBEARER needs tokenEndpoint, clientIDSecret and clientSecretSecret");
    if (!oauth && (sasl->username == NULL || sasl->password == NULL))
        return error_set(error, ERR_INVALID, "%s needs usernameSecret and passwordSecret",
                         sasl->mechanism);

    const struct setting password[] = {
        {"sasl.mechanism", sasl->mechanism},
        {"sasl.username", sasl->username},
        {"sasl.password", sasl->password},
    };
    const struct setting token[] = {
        {"sasl.mechanism", sasl->mechanism},
        {"sasl.oauthbearer.method", "oidc"},
        {"sasl.oauthbearer.token.endpoint.url", sasl->token_endpoint},
        {"sasl.oauthbearer.client.id", sasl->client_id},
        {"sasl.oauthbearer.client.secret", sasl->client_secret},
        {"sasl.oauthbearer.scope", sasl->scope},
        {"https.ca.pem", ca_pem},
    };
    if (oauth)
        rd_kafka_conf_enable_sasl_queue(conf, 1);
    return oauth ? SET_ALL(conf, token, error) : SET_ALL(conf, password, error);
}

enum err access_conf(const struct kafka_access *access, rd_kafka_conf_t **ret_conf,
                     struct error *error)
{
    static const char *const protocols[2][2] = {{"plaintext", "ssl"},
                                                {"sasl_plaintext", "sasl_ssl"}};
    const struct setting settings[] = {
        {"bootstrap.servers", access->bootstrap},
        {"client.id", "surgetank-controller"},
        {"security.protocol", protocols[access->sasl.mechanism != NULL][access->tls.enabled]},
        {"allow.auto.create.topics", "false"}, /* asking for a topic must not make it */
        {"reconnect.backoff.max.ms", "5000"},
        {"socket.keepalive.enable", "true"},
    };
    AUTO(destroy_conf) rd_kafka_conf_t *conf = rd_kafka_conf_new();

    enum err err = SET_ALL(conf, settings, error);
    if (!err)
        err = set_tls(conf, &access->tls, error);
    if (!err)
        err = set_sasl(conf, &access->sasl, access->tls.ca_pem, error);
    if (err)
        return err;
    rd_kafka_conf_set_log_cb(conf, NULL); /* what matters comes as errors */
    MOVE(*ret_conf, conf);
    return OK;
}

void access_start(rd_kafka_t *client, const struct kafka_access *access)
{
    if (access->sasl.mechanism != NULL && strcmp(access->sasl.mechanism, "OAUTHBEARER") == 0)
        rd_kafka_error_destroy(rd_kafka_sasl_background_callbacks_enable(client));
}
