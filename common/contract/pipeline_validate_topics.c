#include "common/contract/pipeline_shape.h"

#include "common/contract/names.h"

#include <stdio.h>

enum { TOPIC_MAX = 249 };

/* Configs that have fields of their own, or that would lose what isn't read yet. */
static void validate_config(const struct pipeline_map *config, const char *path,
                            struct faults *faults)
{
    static const struct {
        const char *name, *field;
    } fields[] = {{"retention.ms", "retention"},
                  {"retention.bytes", "retentionSize"},
                  {"min.insync.replicas", "minInsyncReplicas"},
                  {"max.message.bytes", "maxMessageBytes"},
                  {"compression.type", "compression"}};
    char at[FAULT_PATH_MAX], below[FAULT_PATH_MAX];

    for (size_t i = 0; i < config->count; i++) {
        const char *name = config->items[i].name;
        fault_path_key(fault_path(path, "config", below), name, at);
        if (strcmp(name, "cleanup.policy") == 0 && strcmp(config->items[i].value, "delete") != 0)
            fault_add(faults, at, "Write delete",
                      "would let Kafka drop messages before their retention is over");
        if (strcmp(name, "unclean.leader.election.enable") == 0 &&
            strcmp(config->items[i].value, "false") != 0)
            fault_add(faults, at, "Write \"false\", or leave it out",
                      "would lose acknowledged messages when a broker fails");
        for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
            if (strcmp(name, fields[f].name) == 0)
                fault_add(faults, at, "Leave it out here", "is said by the field %s of the topic",
                          fields[f].field);
    }
}

/* Kafka takes '.' and '_' for the same in names of its metrics, and refuses the second topic. */
static bool collide(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++)
        if ((*a == '.' ? '_' : *a) != (*b == '.' ? '_' : *b))
            return false;
    return *a == *b;
}

static void validate_against(const struct pipeline_topic *topic, const struct pipeline_topic *other,
                             const char *path, struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    if (faults_at(faults, fault_path(path, "name", at)))
        return;
    if (strcmp(topic->name, other->name) == 0)
        fault_add_below(faults, path, "name", "Choose another name",
                        "\"%s\" is the name of another topic", topic->name);
    else if (collide(topic->topic, other->topic))
        fault_add_below(faults, path, "topic", "Choose another name; '.' and '_' count as the same",
                        "is the same in Kafka as that of %s", other->name);
    else if (collide(topic->topic, other->dead_letter) || collide(topic->dead_letter, other->topic))
        fault_add_below(faults, path, "topic", "Choose another name",
                        "is where messages of %s go that can't be delivered, or the other way "
                        "round",
                        other->name);
}

static void validate_topic(const struct pipeline_topic *topic, const char *path,
                           struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    if (topic->min_insync_replicas > topic->replication_factor)
        fault_add_below(faults, path, "minInsyncReplicas", "Write at most replicationFactor",
                        "is %lld, more than the %lld replicas that there are",
                        (long long)topic->min_insync_replicas,
                        (long long)topic->replication_factor);
    fault_path(path, "topic", at);
    size_t room = TOPIC_MAX - strlen(NAMES_DEAD_LETTER_SUFFIX);
    if (strlen(topic->topic) > room && !faults_at(faults, at))
        fault_add(faults, at, "Choose a shorter name",
                  "is longer than %zu, so that " NAMES_DEAD_LETTER_SUFFIX " has no room behind it",
                  room);
    if (topic->partition_by == PIPELINE_PARTITION_BY_TRACE_ID && topic->signal == SIGNAL_METRICS)
        fault_add_below(faults, path, "partitionBy", "Write resource or none",
                        "is traceID, and metrics have no trace ids");
    if (topic->encoding == PIPELINE_ENCODING_FLUENTBIT_JSON && topic->signal != SIGNAL_LOGS)
        fault_add_below(faults, path, "encoding", "Write otlp_proto or otlp_json",
                        "is fluentbit_json, which is for logs");
    if (topic->encoding == PIPELINE_ENCODING_FLUENTBIT_JSON &&
        topic->partition_by != PIPELINE_PARTITION_BY_NONE)
        fault_add_below(faults, path, "partitionBy", "Write none, or another encoding",
                        "has no effect on fluentbit_json, whose records have no keys");
    validate_config(&topic->config, path, faults);
}

/* A signal with several topics needs one that is named as it, or nothing says where it goes. */
static void validate_signal(const struct pipeline *pipeline, enum signal signal,
                            struct faults *faults)
{
    const char *name = signal_name(signal);
    size_t count = 0;

    for (size_t i = 0; i < pipeline->topic_count; i++) {
        const struct pipeline_topic *topic = &pipeline->topics[i];
        count += topic->signal == signal;
        if (strcmp(topic->name, name) == 0 && topic->signal != signal)
            fault_add(faults, "spec.topics", "Choose another name for it",
                      "calls a topic of %s \"%s\"", signal_name(topic->signal), name);
        else if (strcmp(topic->name, name) == 0)
            return;
    }
    if (count > 1)
        fault_add(faults, "spec.topics", "Name one of them as the signal",
                  "has %zu topics for %s and none named so: nothing says where they go", count,
                  name);
}

void pipeline_validate_topics(const struct pipeline *pipeline, struct faults *faults)
{
    char path[FAULT_PATH_MAX];

    for (size_t i = 0; i < pipeline->topic_count; i++) {
        const struct pipeline_topic *topic = &pipeline->topics[i];
        fault_path_at("spec.topics", i, path);
        validate_topic(topic, path, faults);
        for (size_t j = 0; j < i; j++)
            validate_against(topic, &pipeline->topics[j], path, faults);
    }
    if (faults_at(faults, "spec.topics"))
        return; /* a signal that couldn't be read would be counted wrongly */
    for (int signal = 0; signal < SIGNAL_COUNT; signal++)
        validate_signal(pipeline, (enum signal)signal, faults);
}
