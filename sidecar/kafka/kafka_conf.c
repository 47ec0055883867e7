#include "sidecar/kafka/kafka_conf.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"

#include <stdio.h>
#include <string.h>

enum { STALE_MS = 120000 }; /* until a complaint that says more gives way to one that says less */

void kafka_health_init(struct kafka_health *health)
{
    *health = (struct kafka_health){.text = ""};
    pthread_mutex_init(&health->lock, NULL);
}

void kafka_health_fini(struct kafka_health *health)
{
    pthread_mutex_destroy(&health->lock);
}

void kafka_health_ok(struct kafka_health *health)
{
    pthread_mutex_lock(&health->lock);
    health->text[0] = '\0';
    health->weight = 0;
    health->since_ms = 0;
    pthread_mutex_unlock(&health->lock);
}

void kafka_health_read(struct kafka_health *health, char *text, size_t size, uint64_t *ret_since_ms)
{
    pthread_mutex_lock(&health->lock);
    snprintf(text, size, "%s", health->text);
    *ret_since_ms = health->since_ms;
    pthread_mutex_unlock(&health->lock);
}

/* How much a complaint says. A wrong password is followed by "1/1 brokers are down", again and
 * again, and it is the password that somebody has to hear of. */
static unsigned weight_of(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        return 1;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
        return 2;
    default:
        return 3;
    }
}

static void complain(struct kafka_health *health, rd_kafka_resp_err_t code, const char *text,
                     bool fatal)
{
    unsigned weight = weight_of(code);
    uint64_t now = clock_wall_ms();

    pthread_mutex_lock(&health->lock);
    if (health->text[0] == '\0')
        health->since_ms = now;
    if (weight >= health->weight || now > health->said_ms + STALE_MS) {
        snprintf(health->text, sizeof health->text, "%s", text);
        health->weight = weight;
        health->said_ms = now;
    }
    health->errors++;
    health->fatal |= fatal;
    pthread_mutex_unlock(&health->lock);
}

/* What says why comes once for each broker and then every half a minute; that all are down follows
 * each second and says no more, so the log is spared it. */
static void on_error(rd_kafka_t *client, int code, const char *reason, void *opaque)
{
    bool fatal = code == RD_KAFKA_RESP_ERR__FATAL;
    char text[240] = "";

    if (fatal)
        rd_kafka_fatal_error(client, text, sizeof text);
    complain(opaque, (rd_kafka_resp_err_t)code, fatal ? text : reason, fatal);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return;
    LOG_WARN("Kafka client reported an error", LOG_STR("client", rd_kafka_name(client)),
             LOG_STR("code", rd_kafka_err2name((rd_kafka_resp_err_t)code)),
             LOG_STR("reason", fatal ? text : reason), LOG_BOOL("fatal", fatal));
}

/* A broker before 4.0 doesn't know the new group protocol. librdkafka takes that for a coordinator
 * that is away, looks for another for ever, and says so to nobody but its debug log. */
static const char no_new_groups[] = "ConsumerGroupHeartbeatRequest not supported by broker";

static void notice_old_broker(const rd_kafka_t *client, const char *text)
{
    struct kafka_health *health = client == NULL ? NULL : rd_kafka_opaque(client);

    if (health == NULL || strstr(text, no_new_groups) == NULL)
        return;
    pthread_mutex_lock(&health->lock);
    health->fatal = true;
    pthread_mutex_unlock(&health->lock);
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    const char *name = client == NULL ? "" : rd_kafka_name(client);

    notice_old_broker(client, text);
    /* What matters comes through on_error() too; the rest is for whoever debugs. */
    LOG_DEBUG("librdkafka", LOG_STR("client", name), LOG_STR("facility", facility),
              LOG_I64("syslog_level", level), LOG_STR("text", text));
}

static enum err set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *error)
{
    char reason[256] = "";

    if (value == NULL)
        return OK;
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return OK;
    if (strncmp(name, "sasl.", strlen("sasl.")) == 0) /* the reason may quote a secret */
        return error_set(error, ERR_INVALID, "Kafka property '%s' is refused", name);
    return error_set(error, ERR_INVALID, "Kafka property '%s': %s", name, reason);
}

static enum err set_all(rd_kafka_conf_t *conf, const struct kafka_property *list, size_t len,
                        struct error *error)
{
    for (size_t i = 0; i < len; i++) {
        enum err err = set(conf, list[i].name, list[i].value, error);
        if (err)
            return err;
    }
    return OK;
}

static bool is_oauth(const struct kafka_access *access)
{
    return access->sasl_mechanism != NULL && strcmp(access->sasl_mechanism, "OAUTHBEARER") == 0;
}

static enum err read_login(const struct kafka_access *access, struct arena *arena,
                           const char **ret_user, const char **ret_password, struct error *error)
{
    enum err err = secret_read(access->user_file, arena, ret_user, error);
    return err ? err : secret_read(access->password_file, arena, ret_password, error);
}

static enum err set_login(rd_kafka_conf_t *conf, const struct kafka_access *access,
                          struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    const char *user = NULL, *password = NULL;

    enum err err = read_login(access, &arena, &user, &password, error);
    if (err)
        return err;
    const struct kafka_property login[] = {
        {"sasl.mechanism", access->sasl_mechanism},
        {"sasl.username", user},
        {"sasl.password", password},
    };
    const struct kafka_property token[] = {
        {"sasl.mechanism", access->sasl_mechanism},
        {"sasl.oauthbearer.method", "oidc"},
        {"sasl.oauthbearer.token.endpoint.url", access->token_endpoint},
        {"sasl.oauthbearer.client.id", user},
        {"sasl.oauthbearer.client.secret", password},
        {"sasl.oauthbearer.scope", access->token_scope},
        {"https.ca.location", access->ca_file},
    };
    if (!is_oauth(access))
        return set_all(conf, login, sizeof login / sizeof login[0], error);
    rd_kafka_conf_enable_sasl_queue(conf, 1);
    return set_all(conf, token, sizeof token / sizeof token[0], error);
}

enum err kafka_conf_login_again(rd_kafka_t *client, const struct kafka_access *access,
                                struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    const char *user = NULL, *password = NULL;

    if (access->sasl_mechanism == NULL || is_oauth(access))
        return error_set(error, ERR_NOTFOUND, "no user and password");
    enum err err = read_login(access, &arena, &user, &password, error);
    if (err)
        return err;
    rd_kafka_error_t *failed = rd_kafka_sasl_set_credentials(client, user, password);
    if (failed == NULL)
        return OK;
    err = error_set(error, ERR_INVALID, "%s", rd_kafka_error_string(failed));
    rd_kafka_error_destroy(failed);
    return err;
}

void kafka_conf_start(rd_kafka_t *client, const struct kafka_access *access)
{
    if (is_oauth(access))
        rd_kafka_error_destroy(rd_kafka_sasl_background_callbacks_enable(client));
}

static enum err set_security(rd_kafka_conf_t *conf, const struct kafka_access *access,
                             struct error *error)
{
    bool sasl = access->sasl_mechanism != NULL;
    const struct kafka_property list[] = {
        {"security.protocol",
         access->tls ? (sasl ? "sasl_ssl" : "ssl") : (sasl ? "sasl_plaintext" : "plaintext")},
        {"ssl.ca.location", access->ca_file},
        {"ssl.certificate.location", access->certificate_file},
        {"ssl.key.location", access->key_file},
        {"enable.ssl.certificate.verification", access->insecure_skip_verify ? "false" : "true"},
    };
    enum err err = set_all(conf, list, sizeof list / sizeof list[0], error);
    return err || !sasl ? err : set_login(conf, access, error);
}

enum err kafka_conf_make(const struct kafka_access *access, const struct kafka_property *extra,
                         size_t extra_len, struct kafka_health *health, rd_kafka_conf_t **ret_conf,
                         struct error *error)
{
    const struct kafka_property base[] = {
        {"bootstrap.servers", access->bootstrap_servers},
        {"client.id", access->client_id},
        {"client.software.name", "surgetank"},
        {"socket.keepalive.enable", "true"},
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "5000"},
        {"allow.auto.create.topics", "false"},
        {"topic.metadata.refresh.interval.ms", "30000"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    enum err err = set_all(conf, base, sizeof base / sizeof base[0], error);
    if (!err)
        err = set_security(conf, access, error);
    if (!err)
        err = set_all(conf, extra, extra_len, error);
    if (!err)
        err = set_all(conf, access->properties, access->properties_len, error);
    if (err) {
        rd_kafka_conf_destroy(conf);
        return err;
    }
    rd_kafka_conf_set_opaque(conf, health);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    *ret_conf = conf;
    return OK;
}

enum kafka_verdict kafka_judge(rd_kafka_resp_err_t code)
{
    /* Hundreds of codes: the few that differ are named, the rest is retried. */
    if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
        code == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE)
        return KAFKA_TOO_LARGE;
    if (code == RD_KAFKA_RESP_ERR_INVALID_RECORD || code == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP)
        return KAFKA_REFUSED;
    if (code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__FENCED)
        return KAFKA_FATAL;
    return KAFKA_RETRY;
}
