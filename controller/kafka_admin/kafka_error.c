#include "controller/kafka_admin/kafka_error.h"

#include <stddef.h>

#define CODE(name) RD_KAFKA_RESP_ERR_##name

struct meaning {
    rd_kafka_resp_err_t code;
    enum err err;
    const char *next; /* what to do; NULL: Kafka's words are enough */
};

#define RIGHTS "give the operator's user that right"

static const struct meaning meanings[] = {
    {CODE(NO_ERROR), OK, NULL},

    {CODE(_AUTHENTICATION), ERR_INVALID, "check mechanism, user and password"},
    {CODE(SASL_AUTHENTICATION_FAILED), ERR_INVALID, "check mechanism, user and password"},
    {CODE(UNSUPPORTED_SASL_MECHANISM), ERR_INVALID, "set a mechanism that the brokers offer"},
    {CODE(_SSL), ERR_INVALID, "check the CA and that the listener speaks TLS"},
    {CODE(TOPIC_AUTHORIZATION_FAILED), ERR_INVALID, RIGHTS},
    {CODE(GROUP_AUTHORIZATION_FAILED), ERR_INVALID, RIGHTS},
    {CODE(CLUSTER_AUTHORIZATION_FAILED), ERR_INVALID, RIGHTS},

    {CODE(UNKNOWN_TOPIC_OR_PART), ERR_NOTFOUND, NULL},
    {CODE(_UNKNOWN_TOPIC), ERR_NOTFOUND, NULL},
    {CODE(_UNKNOWN_PARTITION), ERR_NOTFOUND, NULL},
    {CODE(_NOENT), ERR_NOTFOUND, NULL}, /* none of the partitions asked for has a leader */
    {CODE(UNKNOWN_TOPIC_ID), ERR_NOTFOUND, NULL},
    {CODE(GROUP_ID_NOT_FOUND), ERR_NOTFOUND, NULL},

    {CODE(TOPIC_ALREADY_EXISTS), ERR_CONFLICT, NULL},
    {CODE(INVALID_PARTITIONS), ERR_CONFLICT, NULL}, /* it has grown since it was looked at */
    {CODE(NON_EMPTY_GROUP), ERR_CONFLICT, "stop its members and wait for their sessions to end"},
    {CODE(UNKNOWN_MEMBER_ID), ERR_CONFLICT, "stop its members and wait for their sessions to end"},
    {CODE(REASSIGNMENT_IN_PROGRESS), ERR_CONFLICT, NULL},

    {CODE(INVALID_REPLICATION_FACTOR), ERR_INVALID,
     "set replicationFactor to at most the number of brokers"},
    {CODE(INVALID_CONFIG), ERR_INVALID, "correct that config"},
    {CODE(INVALID_REQUEST), ERR_INVALID, NULL},
    {CODE(TOPIC_EXCEPTION), ERR_INVALID, "use letters, digits, '.', '_' and '-'"},
    {CODE(POLICY_VIOLATION), ERR_INVALID, "the cluster's policy forbids it"},
    {CODE(TOPIC_DELETION_DISABLED), ERR_INVALID, "set delete.topic.enable on the brokers"},
    {CODE(UNSUPPORTED_VERSION), ERR_INVALID, "the brokers are too old"},
    {CODE(_UNSUPPORTED_FEATURE), ERR_INVALID, "the brokers are too old"},
    {CODE(_INVALID_ARG), ERR_INVALID, NULL},
};

static const struct meaning *meaning_of(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].code == code)
            return &meanings[i];
    return NULL;
}

enum err kafka_error_code(rd_kafka_resp_err_t code)
{
    const struct meaning *meaning = meaning_of(code);
    return meaning != NULL ? meaning->err : ERR_AGAIN;
}

bool kafka_error_is_refusal(rd_kafka_resp_err_t code)
{
    return code == CODE(_AUTHENTICATION) || code == CODE(SASL_AUTHENTICATION_FAILED) ||
           code == CODE(UNSUPPORTED_SASL_MECHANISM) || code == CODE(_SSL);
}

enum err kafka_error_set(struct error *error, rd_kafka_resp_err_t code, const char *what,
                         const char *text)
{
    const struct meaning *meaning = meaning_of(code);
    const char *words = text != NULL && *text != '\0' ? text : rd_kafka_err2str(code);
    enum err err = kafka_error_code(code);

    if (meaning != NULL && meaning->next != NULL)
        return error_set(error, err, "%s: %s; %s", what, words, meaning->next);
    return error_set(error, err, "%s: %s", what, words);
}
