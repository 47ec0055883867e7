#include "common/contract/kafka_property.h"

#include <stdlib.h>
#include <string.h>

enum concern { BOTH, PRODUCER, CONSUMER };

/* A whole number within limits, or (words) one of a few. */
struct property {
    const char *name;
    enum concern concern;
    long min, max;
    const char *words; /* " a b c ", each between blanks; " * ": any text */
};

#define BOOLEAN " true false "

static const struct property allowed[] = {
    {"broker.address.family", BOTH, 0, 0, " any v4 v6 "},
    {"client.dns.lookup", BOTH, 0, 0, " use_all_dns_ips resolve_canonical_bootstrap_servers_only "},
    {"connections.max.idle.ms", BOTH, 0, 2147483647, NULL},
    {"metadata.max.age.ms", BOTH, 1000, 86400000, NULL},
    {"reconnect.backoff.ms", BOTH, 0, 3600000, NULL},
    {"reconnect.backoff.max.ms", BOTH, 0, 3600000, NULL},
    {"retry.backoff.ms", BOTH, 1, 300000, NULL},
    {"retry.backoff.max.ms", BOTH, 1, 300000, NULL},
    {"socket.connection.setup.timeout.ms", BOTH, 1000, 300000, NULL},
    {"socket.keepalive.enable", BOTH, 0, 0, BOOLEAN},
    {"socket.max.fails", BOTH, 0, 1000000, NULL},
    {"socket.nagle.disable", BOTH, 0, 0, BOOLEAN},
    {"socket.receive.buffer.bytes", BOTH, 0, 100000000, NULL},
    {"socket.send.buffer.bytes", BOTH, 0, 100000000, NULL},
    {"socket.timeout.ms", BOTH, 1000, 300000, NULL},
    {"topic.metadata.refresh.interval.ms", BOTH, 1000, 3600000, NULL},
    {"linger.ms", PRODUCER, 0, 10000, NULL},
    {"batch.size", PRODUCER, 1024, 2147483647, NULL},
    {"batch.num.messages", PRODUCER, 1, 1000000, NULL},
    {"request.timeout.ms", PRODUCER, 1000, 900000, NULL},
    {"client.rack", CONSUMER, 0, 0, " * "},
    {"fetch.error.backoff.ms", CONSUMER, 0, 300000, NULL},
    {"fetch.min.bytes", CONSUMER, 1, 100000000, NULL},
    {"fetch.wait.max.ms", CONSUMER, 0, 300000, NULL},
    {"heartbeat.interval.ms", CONSUMER, 1, 3600000, NULL},
    {"isolation.level", CONSUMER, 0, 0, " read_uncommitted read_committed "},
    {"session.timeout.ms", CONSUMER, 6000, 3600000, NULL},
};

/* Why not, for those that people are likely to try; by prefix. */
struct refusal {
    const char *prefix, *what, *advice;
};

static const struct refusal refusals[] = {
    {"acks", "would weaken what Kafka's acknowledgement promises",
     "Leave it out; edges always wait for all in-sync replicas"},
    {"request.required.acks", "would weaken what Kafka's acknowledgement promises",
     "Leave it out; edges always wait for all in-sync replicas"},
    {"enable.idempotence", "would let a retry double or reorder messages",
     "Leave it out; it is always on"},
    {"max.in.flight", "would let a retry double or reorder messages", "Leave it out"},
    {"message.timeout.ms", "would drop what Kafka doesn't take in time",
     "Leave it out; nothing is given up"},
    {"delivery.timeout.ms", "would drop what Kafka doesn't take in time",
     "Leave it out; nothing is given up"},
    {"retries", "would drop what Kafka doesn't take in time", "Leave it out; nothing is given up"},
    {"message.send.max.retries", "would drop what Kafka doesn't take in time",
     "Leave it out; nothing is given up"},
    {"enable.auto.", "would commit what no backend has",
     "Leave it out; offsets follow the backend's answers"},
    {"auto.commit", "would commit what no backend has",
     "Leave it out; offsets follow the backend's answers"},
    {"auto.offset.reset", "could skip messages in silence", "Set consumer.initialOffset"},
    {"group.id", "is a field of its own", "Set consumer.groupID"},
    {"group.", "is chosen by what the brokers can do", "Leave it out"},
    {"partition.assignment", "is chosen by what the brokers can do", "Leave it out"},
    {"bootstrap.servers", "is a field of its own", "Set spec.kafka.bootstrapServers"},
    {"metadata.broker.list", "is a field of its own", "Set spec.kafka.bootstrapServers"},
    {"security.", "is a field of its own", "Set spec.kafka.tls and spec.kafka.sasl"},
    {"ssl.", "is a field of its own, or names a file", "Set spec.kafka.tls"},
    {"enable.ssl.", "is a field of its own", "Set spec.kafka.tls.insecureSkipVerify"},
    {"sasl.", "is a field of its own, or runs a command", "Set spec.kafka.sasl"},
    {"plugin.", "would load code", "Leave it out"},
    {"compression.", "is a field of its own", "Set producer.compression of the edge"},
    {"queue", "would break the bound on memory", "Set memoryLimit"},
    {"fetch.m", "would break the bound on memory", "Set memoryLimit of the gateway"},
    {"max.partition.fetch", "would break the bound on memory", "Set memoryLimit of the gateway"},
    {"message.max.bytes", "follows from the topic", "Set maxMessageBytes of the topic"},
};

static const struct property *property_named(const char *name)
{
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (strcmp(allowed[i].name, name) == 0)
            return &allowed[i];
    return NULL;
}

static enum err refuse(const char *name, const char **ret_advice, struct error *error)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (strncmp(name, refusals[i].prefix, strlen(refusals[i].prefix)) == 0) {
            *ret_advice = refusals[i].advice;
            return error_set(error, ERR_INVALID, "%s", refusals[i].what);
        }
    }
    *ret_advice =
        "Leave it out, or see docs/reference/kafka-properties.md for those that may be set";
    return error_set(error, ERR_INVALID, "isn't on the list of properties that may be set");
}

static bool is_word(const char *value, const char *words)
{
    size_t len = strlen(value);

    if (strcmp(words, " * ") == 0)
        return true;
    if (len == 0 || strchr(value, ' ') != NULL)
        return false;
    for (const char *at = words; (at = strstr(at, value)) != NULL; at += len)
        if (at[-1] == ' ' && at[len] == ' ')
            return true;
    return false;
}

static bool is_number(const char *value, long min, long max)
{
    if (*value == '\0' || strlen(value) > 10 || value[strspn(value, "0123456789")] != '\0')
        return false;
    long number = strtol(value, NULL, 10);
    return number >= min && number <= max;
}

enum err kafka_property_check(enum kafka_property_scope scope, const char *name, const char *value,
                              const char **ret_advice, struct error *error)
{
    const struct property *property = property_named(name);

    if (property == NULL)
        return refuse(name, ret_advice, error);
    if (scope == KAFKA_PROPERTY_CONSUMER && property->concern == PRODUCER) {
        *ret_advice = "Set it in spec.kafka.properties";
        return error_set(error, ERR_INVALID, "is a producer's property");
    }
    *ret_advice = "See librdkafka's CONFIGURATION.md for what it means";
    if (property->words != NULL && !is_word(value, property->words))
        return error_set(error, ERR_INVALID, "has a value that is none of%.*s",
                         (int)strlen(property->words) - 1, property->words);
    if (property->words == NULL && !is_number(value, property->min, property->max))
        return error_set(error, ERR_INVALID, "has a value that is no whole number from %ld to %ld",
                         property->min, property->max);
    return OK;
}

bool kafka_property_concerns(const char *name, bool producer)
{
    const struct property *property = property_named(name);

    if (property == NULL)
        return false;
    return property->concern == BOTH || (property->concern == PRODUCER) == producer;
}
