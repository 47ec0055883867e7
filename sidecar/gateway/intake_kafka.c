/* Repeats: only a message that says it may be one is looked for, among those read from its
 * partition. After a fresh assignment the first such message that is not known makes the
 * partition's past be read once, beside the group; what comes meanwhile is held, in order. */
#include "common/assert.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "common/num.h"
#include "sidecar/gateway/assigned.h"
#include "sidecar/gateway/dead_letters.h"
#include "sidecar/gateway/intake.h"
#include "sidecar/gateway/intake_counts.h"
#include "sidecar/kafka/kafka_access.h"
#include "sidecar/kafka/look_back.h"
#include "sidecar/net/net_loop.h"
#include "sidecar/otlp/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    COMMIT_EVERY_MS = 5000,
    COMMIT_WAIT_MS = 5000,
    DRAIN_MS = 15000, /* a partition that is asked back waits that long for its exports */
    MESSAGES_PER_POLL = 512,
    POLL_EVERY_MS = 1000, /* the group expects to be polled, whatever comes */
    POLL_SOON_MS = 20,    /* while memory is full or partitions are given back */
    LOOK_BACK_SLACK_MS = 60000,
};

struct intake_kafka {
    struct intake intake;
    struct intake_options options;
    struct arena arena;
    struct kafka_access access;
    const char *topics[CONSUMER_TOPICS_MAX];
    const char *dead_letters[CONSUMER_TOPICS_MAX];
    enum signal signals[CONSUMER_TOPICS_MAX];
    struct consumer *consumer;
    struct net_source source;
    struct assigned assigned;
    struct look_back *look_back;
    size_t budget_bytes;
    uint64_t commit_at_ms;
    uint64_t revoke_until_ms; /* 0: nothing is being given back */
    uint64_t renew_until_ms;  /* 0: the client stays as it is */
    struct message *under_way;
    bool stopped;
    struct intake_state state;
    struct intake_counts counts;
};

/* ---- partitions */

static void release(struct message *message)
{
    struct intake_kafka *intake = (struct intake_kafka *)message->parcel.intake;
    struct partition *partition = message->partition;

    *message->place = message->next;
    if (message->next != NULL)
        message->next->place = message->place;
    intake->state.held_bytes -= message->bytes;
    consumer_release(&message->message);
    free(message);
    partition_release(partition);
}

/* What is held is nobody's business but ours, and goes; the next owner reads it again. */
static void drop(struct intake_kafka *intake, struct partition *partition)
{
    struct message *held = NULL;

    look_back_forget(intake->look_back, partition);
    partition->under_way++; /* it stays until we are through */
    while ((held = partition_unhold(partition)) != NULL)
        release(held);
    assigned_drop(&intake->assigned, partition);
    partition_release(partition);
}

static void on_assigned(void *context, const struct consumer_position *at, bool resumed)
{
    struct intake_kafka *intake = context;
    struct partition *partition = assigned_find(&intake->assigned, at);

    if (partition != NULL)
        drop(intake, partition);
    partition = assigned_add(&intake->assigned, at);
    if (!resumed)
        partition->past = PAST_KNOWN; /* nothing of it was delivered */
    LOG_INFO("Took over a partition", LOG_STR("topic", intake->topics[at->topic]),
             LOG_I64("partition", at->partition), LOG_I64("offset", at->offset));
}

static void on_revoking(void *context, const struct consumer_position *at)
{
    struct intake_kafka *intake = context;
    struct partition *partition = assigned_find(&intake->assigned, at);

    if (partition != NULL)
        partition->revoking = true;
    if (intake->revoke_until_ms == 0)
        intake->revoke_until_ms = clock_mono_ms() + DRAIN_MS;
}

static void on_lost(void *context, const struct consumer_position *at)
{
    struct intake_kafka *intake = context;
    struct partition *partition = assigned_find(&intake->assigned, at);

    if (partition != NULL)
        drop(intake, partition);
}

/* What is under way belongs to the old numbering; a new assignment begins in its place. */
static void on_reset(void *context, const struct consumer_position *at, int64_t missed)
{
    struct intake_kafka *intake = context;

    intake->state.missed += (uint64_t)missed;
    metric_add(intake->counts.missed, (double)missed);
    on_assigned(context, at, true);
}

/* ---- commits */

static size_t gather(struct intake_kafka *intake, bool revoking_only, uint64_t now_ms,
                     struct consumer_position *ret_positions)
{
    uint64_t settle_ms = (uint64_t)intake->options.gateway->settle_ms;
    size_t n = 0;

    for (size_t i = 0; i < intake->assigned.len; i++) {
        struct partition *partition = intake->assigned.items[i];
        if (!partition->started || (revoking_only && !partition->revoking))
            continue;
        int64_t offset = offsets_commit(&partition->offsets, now_ms, settle_ms);
        if (offset == partition->committed)
            continue;
        ret_positions[n] = partition->at;
        ret_positions[n++].offset = offset;
    }
    return n;
}

static void commit_some(struct intake_kafka *intake, bool revoking_only, uint32_t wait_ms,
                        uint64_t now_ms)
{
    struct consumer_position *positions = calloc(intake->assigned.len + 1, sizeof *positions);
    struct error error = {0};

    if (positions == NULL)
        return; /* the next round will do it */
    size_t n = gather(intake, revoking_only, now_ms, positions);
    enum err err = n == 0 ? OK : consumer_commit(intake->consumer, positions, n, wait_ms, &error);
    if (err)
        LOG_WARN("Could not commit offsets", LOG_STR("error", error.text));
    for (size_t i = 0; i < n && !err; i++) {
        struct partition *partition = assigned_find(&intake->assigned, &positions[i]);
        if (partition != NULL)
            partition->committed = positions[i].offset;
    }
    free(positions);
}

/* Everything is committed once more. */
static void on_commit_failed(void *context)
{
    struct intake_kafka *intake = context;

    for (size_t i = 0; i < intake->assigned.len; i++)
        intake->assigned.items[i]->committed = -1;
}

static void commit(struct intake *base, uint64_t now_ms)
{
    struct intake_kafka *intake = (struct intake_kafka *)base;

    on_commit_failed(intake); /* a commit that nobody waited for may have been lost */
    commit_some(intake, false, COMMIT_WAIT_MS, now_ms);
}

/* Gives the partitions back that were asked for, once their exports are through or time is up. */
static void finish_revoking(struct intake_kafka *intake, uint64_t now_ms)
{
    uint32_t under_way = 0;

    if (intake->revoke_until_ms == 0)
        return;
    for (size_t i = 0; i < intake->assigned.len; i++)
        if (intake->assigned.items[i]->revoking)
            under_way += intake->assigned.items[i]->under_way;
    if (under_way > 0 && now_ms < intake->revoke_until_ms)
        return;
    commit_some(intake, true, COMMIT_WAIT_MS, now_ms);
    for (size_t i = intake->assigned.len; i-- > 0;)
        if (intake->assigned.items[i]->revoking)
            drop(intake, intake->assigned.items[i]);
    intake->revoke_until_ms = 0;
    consumer_let_go(intake->consumer);
}

/* A client with new credentials takes the place of the old one, which reads nothing more, once its
 * exports are through or time is up. */
static void renew(struct intake_kafka *intake, uint64_t now_ms)
{
    uint32_t under_way = 0;

    if (!consumer_is_stale(intake->consumer) || intake->stopped || intake->revoke_until_ms != 0)
        return;
    if (intake->renew_until_ms == 0)
        intake->renew_until_ms = now_ms + DRAIN_MS;
    for (size_t i = 0; i < intake->assigned.len; i++)
        under_way += intake->assigned.items[i]->under_way;
    if (under_way > 0 && now_ms < intake->renew_until_ms)
        return;
    commit_some(intake, false, COMMIT_WAIT_MS, now_ms);
    consumer_renew(intake->consumer); /* all partitions are lost() from within */
    intake->renew_until_ms = 0;
    LOG_INFO("Left the group and came back with new credentials",
             LOG_STR("gateway", intake->options.gateway->name), LOG_U64("under_way", under_way));
}

/* ---- messages */

static void done(struct intake *base, struct parcel *parcel, uint64_t now_ms)
{
    struct message *message = (struct message *)parcel; /* its first member */

    (void)base;
    if (!message->partition->gone)
        offsets_done(&message->partition->offsets, message->message.at.offset, now_ms);
    release(message);
}

static void buried(void *context)
{
    struct message *message = context;
    done(message->parcel.intake, &message->parcel, clock_mono_ms());
}

static void origin(struct intake *base, const struct parcel *parcel, struct dead_letter *letter)
{
    const struct intake_kafka *intake = (const struct intake_kafka *)base;
    const struct message *message = (const struct message *)parcel; /* its first member */
    const struct consumer_position *at = &message->message.at;

    letter->topic = intake->dead_letters[at->topic];
    letter->from_topic = intake->topics[at->topic];
    letter->partition = at->partition;
    letter->offset = at->offset;
    letter->original = &message->message;
}

static void bury(struct intake_kafka *intake, struct message *message, const char *reason)
{
    const struct consumer_position *at = &message->message.at;
    struct dead_letter letter = {.signal = intake->signals[at->topic],
                                 .value = message->message.value,
                                 .reason = reason,
                                 .done = buried,
                                 .context = message};

    origin(&intake->intake, &message->parcel, &letter);
    intake->state.undecodable++;
    metric_add(intake->counts.undecodable, 1);
    LOG_WARN("Put an undecodable message into the dead letters",
             LOG_STR("topic", intake->topics[at->topic]), LOG_I64("partition", at->partition),
             LOG_I64("offset", at->offset), LOG_STR("reason", reason));
    dead_letters_put(intake->options.dead_letters, &letter);
}

/* Delivers it, unless it says that it may have been sent before, and was read before. */
static void admit(struct intake_kafka *intake, struct message *message)
{
    struct seen *seen = &message->partition->seen;
    struct bytes id = consumer_header(&message->message, NAMES_HEADER_ID);
    bool marked = consumer_header(&message->message, NAMES_HEADER_RETRY).len > 0;

    if (marked && seen_knows(seen, id)) {
        intake->state.repeats += message->parcel.items;
        metric_add(intake->counts.repeats, message->parcel.items);
        done(&intake->intake, &message->parcel, clock_mono_ms());
        return;
    }
    seen_add(seen, id);
    if (message->parcel.items == 0)
        done(&intake->intake, &message->parcel, clock_mono_ms());
    else
        intake->options.deliver(intake->options.context, &message->parcel);
}

static void on_found(void *context, void *whose, const struct consumer_message *message)
{
    struct partition *partition = whose;

    (void)context;
    seen_add(&partition->earlier, consumer_header(message, NAMES_HEADER_ID));
}

/* What was not found is delivered. */
static void on_ended(void *context, void *whose, bool whole)
{
    struct intake_kafka *intake = context;
    struct partition *partition = whose;
    struct message *held = NULL;

    metric_add(whole ? intake->counts.looked_back : intake->counts.looked_back_partly, 1);
    seen_join(&partition->seen, &partition->earlier);
    partition->past = PAST_KNOWN;
    while ((held = partition_unhold(partition)) != NULL)
        admit(intake, held);
}

/* The first try carries the time that the mark tells; only what others' clocks stamped differs. */
static void look_back(struct intake_kafka *intake, const struct message *message)
{
    struct partition *partition = message->partition;
    struct bytes id = consumer_header(&message->message, NAMES_HEADER_ID);
    struct bytes mark = consumer_header(&message->message, NAMES_HEADER_RETRY);
    struct error error = {0};
    uint64_t first_ms = 0;
    char text[24];

    if (partition->past != PAST_UNKNOWN || mark.len == 0 || id.len == 0 ||
        seen_knows(&partition->seen, id))
        return;
    snprintf(text, sizeof text, "%.*s", mark.len < sizeof text ? (int)mark.len : 0, mark.data);
    if (!num_parse_u64(text, INT64_MAX, &first_ms) || first_ms < LOOK_BACK_SLACK_MS)
        first_ms = LOOK_BACK_SLACK_MS;
    partition->past = PAST_ASKED;
    if (look_back_ask(intake->look_back, partition, intake->topics[partition->at.topic],
                      partition->at.partition, (int64_t)(first_ms - LOOK_BACK_SLACK_MS),
                      partition->began, &error)) {
        LOG_WARN("Could not look back for repeats", LOG_STR("error", error.text));
        on_ended(intake, partition, false);
    }
}

static void take(struct intake_kafka *intake, const struct consumer_message *from)
{
    struct partition *partition = assigned_find(&intake->assigned, &from->at);
    struct consumer_message copy = *from;
    struct message *message = NULL;
    struct otlp_summary summary = {0};
    struct error error = {0};

    if (partition == NULL || partition->revoking) {
        consumer_release(&copy); /* another member's by now */
        return;
    }
    if (!partition->started)
        partition_start(partition, from->at.offset);
    enum err err = offsets_add(&partition->offsets, from->at.offset);
    if (!err)
        message = calloc(1, sizeof *message);
    if (err == ERR_INVALID) {
        consumer_release(&copy); /* the client handed it on twice */
        return;
    }
    if (err || message == NULL)
        abort(); /* a few bytes, and a message that must not be forgotten */
    *message = (struct message){.parcel = {.intake = &intake->intake,
                                           .signal = intake->signals[from->at.topic],
                                           .value = from->value},
                                .message = copy,
                                .partition = partition,
                                .bytes = from->value.len};
    message->next = intake->under_way;
    message->place = &intake->under_way;
    if (message->next != NULL)
        message->next->place = &message->next;
    intake->under_way = message;
    partition->under_way++;
    intake->state.held_bytes += message->bytes;
    intake->state.consumed_messages++;
    metric_add(intake->counts.messages, 1);

    err = otlp_walk(message->parcel.signal, from->value, NULL, &summary, &error);
    message->parcel.items = summary.items;
    if (err) {
        bury(intake, message, error.text);
        return;
    }
    intake->state.consumed_items += summary.items;
    metric_add(intake->counts.items, summary.items);
    look_back(intake, message);
    if (partition->past == PAST_ASKED)
        partition_hold(partition, message);
    else
        admit(intake, message);
}

/* Rebalances come through polling too, so it goes on when memory is full: paused partitions bring
 * nothing. True: there may be more. */
static bool take_some(struct intake_kafka *intake)
{
    struct consumer_message message;

    consumer_clear(intake->consumer);
    for (int i = 0; i < MESSAGES_PER_POLL; i++) {
        if (!consumer_poll(intake->consumer, &message))
            return false;
        if (intake->stopped)
            consumer_release(&message);
        else
            take(intake, &message);
        if (intake->state.held_bytes >= intake->budget_bytes)
            break;
    }
    return true;
}

static uint64_t poll(struct intake *base, uint64_t now_ms)
{
    struct intake_kafka *intake = (struct intake_kafka *)base;

    bool more = take_some(intake), full = intake->state.held_bytes >= intake->budget_bytes;
    bool draining = intake->stopped || intake->renew_until_ms != 0;
    if (full || draining)
        consumer_pause(intake->consumer, true);
    else if (intake->state.held_bytes < intake->budget_bytes / 2)
        consumer_pause(intake->consumer, false);
    bool looking = look_back_poll(intake->look_back, now_ms);
    finish_revoking(intake, now_ms);
    renew(intake, now_ms);
    if (consumer_is_dead(intake->consumer)) {
        LOG_ERROR(
            "The Kafka client can't go on; ending, so that a new start begins at the last commit",
            LOG_STR("gateway", intake->options.gateway->name));
        _exit(EXIT_FAILURE);
    }
    if (now_ms >= intake->commit_at_ms) {
        intake->commit_at_ms = now_ms + COMMIT_EVERY_MS;
        commit_some(intake, false, 0, now_ms);
    }
    if (full || looking || intake->revoke_until_ms != 0 || intake->renew_until_ms != 0)
        return now_ms + POLL_SOON_MS;
    return more ? now_ms : now_ms + POLL_EVERY_MS;
}

static void rewind_all(struct intake *base)
{
    struct intake_kafka *intake = (struct intake_kafka *)base;
    struct error error = {0};

    if (intake->options.gateway->settle_ms == 0)
        return;
    for (size_t i = intake->assigned.len; i-- > 0;) { /* backwards: the new ones join at the end */
        struct partition *partition = intake->assigned.items[i];
        struct consumer_position at = partition->at;
        if (!partition->started || partition->revoking || offsets_held(&partition->offsets) == 0)
            continue;
        at.offset = partition->offsets.commit;
        if (consumer_seek(intake->consumer, &at, &error)) {
            LOG_ERROR("Could not go back to what the backend may have lost",
                      LOG_STR("error", error.text));
            continue;
        }
        LOG_WARN("Hands on once more what the backend may have lost",
                 LOG_STR("topic", intake->topics[at.topic]), LOG_I64("partition", at.partition),
                 LOG_I64("from", at.offset));
        on_assigned(intake, &at, true); /* in place of the old one */
    }
}

static void stop(struct intake *base)
{
    struct intake_kafka *intake = (struct intake_kafka *)base;

    intake->stopped = true;
    consumer_pause(intake->consumer, true);
}

static void state(struct intake *base, struct intake_state *ret_state)
{
    struct intake_kafka *intake = (struct intake_kafka *)base;
    uint64_t since_ms = 0;

    intake->state.partitions = intake->assigned.len;
    snprintf(intake->state.protocol, sizeof intake->state.protocol, "%s",
             consumer_protocol(intake->consumer));
    kafka_health_read(consumer_health(intake->consumer), intake->state.trouble,
                      sizeof intake->state.trouble, &since_ms);
    *ret_state = intake->state;
}

/* ---- opening and closing */

static void on_readable(struct net_source *source, uint32_t events)
{
    struct intake_kafka *intake = CONTAINER_OF(source, struct intake_kafka, source);

    (void)events;
    consumer_clear(intake->consumer);
    intake->options.wake(intake->options.context);
}

static void close_intake(struct intake *base)
{
    struct intake_kafka *intake = (struct intake_kafka *)base;

    if (intake->consumer != NULL && intake->source.ready != NULL)
        net_source_forget(intake->options.loop, &intake->source);
    while (intake->assigned.len > 0)
        drop(intake, intake->assigned.items[0]);
    while (intake->under_way != NULL)
        release(intake->under_way);
    free(intake->assigned.items);
    consumer_close(&intake->consumer);
    look_back_destroy(&intake->look_back);
    arena_fini(&intake->arena);
    free(intake);
}

static enum err open_consumer(struct intake_kafka *intake, struct error *error)
{
    const struct pipeline_gateway *gateway = intake->options.gateway;

    for (size_t i = 0; i < gateway->from_count; i++) {
        intake->topics[i] = gateway->from[i]->topic;
        intake->signals[i] = gateway->from[i]->signal;
        intake->dead_letters[i] = pipeline_dead_letter(gateway, gateway->from[i]);
    }
    const struct consumer_options options = {
        .access = &intake->access,
        .group_id = gateway->group_id,
        .topics = intake->topics,
        .topic_count = gateway->from_count,
        .latest = gateway->initial_offset == PIPELINE_OFFSET_LATEST,
        .prefetch_bytes = (size_t)gateway->memory_limit_bytes / 8,
        .context = intake,
        .assigned = on_assigned,
        .revoking = on_revoking,
        .lost = on_lost,
        .reset = on_reset,
        .commit_failed = on_commit_failed,
    };
    enum err err = consumer_open(&options, &intake->consumer, error);
    if (err)
        return err;
    intake->source.fd = consumer_fd(intake->consumer);
    intake->source.ready = on_readable;
    return net_source_watch(intake->options.loop, &intake->source, EPOLLIN, error);
}

enum err intake_kafka_open(const struct intake_options *options, struct intake **ret_intake,
                           struct error *error)
{
    static const struct intake_kind kind = {.poll = poll,
                                            .done = done,
                                            .rewind = rewind_all,
                                            .stop = stop,
                                            .commit = commit,
                                            .origin = origin,
                                            .state = state,
                                            .close = close_intake};
    const char *name = options->gateway->name;
    struct intake_kafka *intake = calloc(1, sizeof *intake);
    if (intake == NULL)
        return error_set(error, ERR_NOMEM, "open intake");

    ASSERT(options->gateway->from_count <= CONSUMER_TOPICS_MAX);
    intake->intake.kind = &kind;
    intake->options = *options;
    intake->budget_bytes = (size_t)options->gateway->memory_limit_bytes / 4;
    intake_counts_init(&intake->counts, name);
    const char *client = pipeline_member_id(options->pipeline, options->gateway, &intake->arena);
    enum err err = client == NULL ? error_set(error, ERR_NOMEM, "open intake") : OK;
    if (!err)
        err = kafka_access_make(options->pipeline, options->secrets_dir, client,
                                &options->gateway->consumer_properties, &intake->arena,
                                &intake->access, error);
    const struct look_back_options looks = {
        .access = &intake->access, .context = intake, .found = on_found, .ended = on_ended};
    if (!err)
        err = look_back_create(&looks, &intake->look_back, error);
    if (!err)
        err = open_consumer(intake, error);
    if (err) {
        close_intake(&intake->intake);
        return err;
    }
    *ret_intake = &intake->intake;
    return OK;
}
