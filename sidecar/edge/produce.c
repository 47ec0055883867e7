/* The thread that produces, and the client it does it with. */
#include "sidecar/edge/produce.h"

#include "common/clock.h"
#include "common/log.h"
#include "sidecar/edge/produce_internal.h"
#include "sidecar/kafka/kafka_access.h"

#include <stdlib.h>
#include <string.h>

enum {
    REOPEN_MS = 1000, /* between two clients */
    FILES_MS = 5000,  /* between two looks at the files of credentials */
    FLUSH_MS = 3000,  /* for what is under way when they have changed */
    BUSY_POLL_MS = 5,
    QUIET_POLL_MS = 50, /* when nothing came of it for QUIET_AFTER_MS */
    QUIET_AFTER_MS = 1000,
    IDLE_MS = 500, /* how long an idle thread sleeps unless it is kicked */
    EAGER_MS = 2,  /* the same for EAGER_FOR_MS after a kick, if frames come later than it */
    EAGER_FOR_MS = 200,
};

bool produce_is_fit(const struct produce *produce)
{
    return !producer_is_dead(produce->producer) && !produce->is_stale &&
           produce->batch_bytes <= produce->batch_wanted;
}

/* Once nothing of an earlier run is left to be read, the journal tells all of it. */
static void vouch(struct produce *produce)
{
    struct error error = {0};

    if (produce->vouched)
        return;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (!produce->lanes[i].old_read)
            return;
    produce->vouched = true;
    if (!journal_is_whole(produce->journal) && journal_vouch(produce->journal, &error))
        LOG_WARN("Could not write the journal anew", LOG_STR("error", error.text));
}

/* ---- the thread */

static enum err open_client(struct produce *produce, struct error *error)
{
    const struct producer_options options = {.access = produce->options.access,
                                             .compression = produce->options.compression,
                                             .compression_level =
                                                 produce->options.compression_level,
                                             .queue_bytes = 2 * produce->options.in_flight_bytes,
                                             .batch_bytes = produce->batch_wanted,
                                             .report = message_report,
                                             .context = produce};
    enum err err = producer_open(&options, &produce->producer, error);
    if (err)
        return err;
    produce->batch_bytes = options.batch_bytes;
    produce->is_stale = false;
    produce->clients++;
    return OK;
}

/* A dead client can't be mended: everything under way is reported, and a new one takes it over. One
 * whose batches are too large, or that is to compress in another way, is replaced when nothing is
 * under way. */
static void replace_client(struct produce *produce)
{
    bool died = producer_is_dead(produce->producer);
    struct producer *dead = produce->producer;
    struct error error = {0};

    if (clock_mono_ms() < produce->reopen_at_ms)
        return;
    produce->reopen_at_ms = clock_mono_ms() + REOPEN_MS;
    if (open_client(produce, &error)) {
        produce->producer = dead;
        LOG_ERROR("Could not make a new Kafka client", LOG_STR("error", error.text));
        return;
    }
    if (died)
        LOG_WARN("Replaced the Kafka client after a fatal error",
                 LOG_U64("clients", produce->clients));
    else
        LOG_INFO("Opened a Kafka client with other settings",
                 LOG_U64("batch_bytes", produce->batch_bytes),
                 LOG_STR("compression", produce->options.compression));
    producer_close(&dead, 0);
}

/* Certificates and passwords are read when a client is made: when they change, another one is. What
 * can't be used, such as a key without its certificate, leaves the old one at work. */
static void follow_files(struct produce *produce)
{
    struct producer *old = produce->producer;
    struct error error = {0};

    if (clock_mono_ms() < produce->files_at_ms)
        return;
    produce->files_at_ms = clock_mono_ms() + FILES_MS;
    uint32_t stamp = kafka_access_stamp(produce->options.access);
    if (stamp == produce->files_stamp)
        return;
    if (open_client(produce, &error)) {
        produce->producer = old;
        LOG_ERROR("Kept the Kafka client: its new credentials can't be used",
                  LOG_STR("error", error.text));
        return;
    }
    produce->files_stamp = stamp;
    LOG_INFO("Opened a Kafka client with new credentials");
    producer_close(&old, FLUSH_MS);
}

static void publish(struct produce *produce)
{
    pthread_mutex_lock(&produce->lock);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        struct lane *lane = &produce->lanes[i];
        lane_describe(lane);
        produce->published.lanes[i] = lane->state;
    }
    kafka_health_read(producer_health(produce->producer), produce->published.kafka,
                      sizeof produce->published.kafka, &produce->published.kafka_since_ms);
    produce->published.clients = produce->clients;
    pthread_mutex_unlock(&produce->lock);
}

/* Sleeps until somebody has something for us. */
static void sleep_idle(struct produce *produce)
{
    struct timespec until;
    bool eager = produce->options.replicated && clock_mono_ms() < produce->kicked_ms + EAGER_FOR_MS;
    uint64_t at = clock_wall_ns() + (eager ? EAGER_MS : IDLE_MS) * 1000000ull;

    until.tv_sec = (time_t)(at / 1000000000u);
    until.tv_nsec = (long)(at % 1000000000u);
    pthread_mutex_lock(&produce->lock);
    produce->sleeping = true;
    if (!produce->kicked && !produce->stopping)
        pthread_cond_timedwait(&produce->wake, &produce->lock, &until);
    produce->sleeping = false;
    if (produce->kicked)
        produce->kicked_ms = clock_mono_ms();
    produce->kicked = false;
    pthread_mutex_unlock(&produce->lock);
}

static bool is_empty(const struct produce *produce)
{
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (!lane_is_empty(&produce->lanes[i]))
            return false;
    return true;
}

/* True: it is time to go. */
static bool should_stop(struct produce *produce, bool idle)
{
    pthread_mutex_lock(&produce->lock);
    if (produce->stopping && produce->deadline_ms == 0)
        produce->deadline_ms = clock_mono_ms() + produce->drain_ms + 1;
    pthread_mutex_unlock(&produce->lock);
    if (produce->deadline_ms == 0)
        return false;
    return (idle && is_empty(produce)) || clock_mono_ms() >= produce->deadline_ms;
}

/* How long to wait for reports: not at all while there is more to send or nothing under way, and
 * with longer breaks while Kafka is away. */
static uint32_t poll_ms(const struct produce *produce, bool fed, bool waiting)
{
    if (fed || !waiting)
        return 0;
    return clock_mono_ms() < produce->moved_ms + QUIET_AFTER_MS ? BUSY_POLL_MS : QUIET_POLL_MS;
}

static void take_changes(struct produce *produce)
{
    pthread_mutex_lock(&produce->lock);
    bool reorder = produce->fresh_first != produce->options.fresh_first;
    produce->options.fresh_first = produce->fresh_first;
    if (produce->compression != NULL) {
        produce->is_stale = produce->is_stale ||
                            strcmp(produce->compression, produce->options.compression) != 0 ||
                            produce->compression_level != produce->options.compression_level;
        produce->options.compression = produce->compression;
        produce->options.compression_level = produce->compression_level;
        produce->compression = NULL;
    }
    pthread_mutex_unlock(&produce->lock);
    for (int i = 0; i < SIGNAL_COUNT && reorder; i++)
        lane_order(produce, &produce->lanes[i]);
}

static void *run(void *context)
{
    struct produce *produce = context;
    bool idle = false;

    pthread_setname_np(pthread_self(), "produce");
    while (!should_stop(produce, idle)) {
        bool fed = false;

        take_changes(produce);
        if (producer_is_dead(produce->producer) ||
            (!produce_is_fit(produce) && producer_in_flight(produce->producer) == 0))
            replace_client(produce);
        follow_files(produce);
        for (int i = 0; i < SIGNAL_COUNT; i++)
            fed |= lane_feed(produce, &produce->lanes[i]);
        vouch(produce);
        message_resend_due(produce);
        bool waiting = producer_in_flight(produce->producer) > 0 || produce->waiting != NULL;
        int reports = producer_poll(produce->producer, poll_ms(produce, fed, waiting));
        if (fed || reports > 0)
            produce->moved_ms = clock_mono_ms();
        publish(produce);
        idle = !fed && !waiting && reports == 0;
        if (idle && produce->deadline_ms == 0) {
            sleep_idle(produce);
            idle = false; /* who woke us may have put something into the spool */
        }
    }
    return NULL;
}

/* ---- opening and closing */

enum err produce_open(const struct produce_options *options, struct produce **ret_produce,
                      struct error *error)
{
    struct produce *produce = calloc(1, sizeof *produce);
    if (produce == NULL)
        return error_set(error, ERR_NOMEM, "open producer");
    produce->options = *options;
    produce->fresh_first = options->fresh_first;
    produce->random = (uint32_t)clock_wall_ns();
    produce->batch_wanted = PRODUCER_BATCH_MAX;
    produce->files_stamp = kafka_access_stamp(options->access);
    produce->files_at_ms = clock_mono_ms() + FILES_MS;
    pthread_mutex_init(&produce->lock, NULL);
    pthread_cond_init(&produce->wake, NULL);

    enum err err = journal_open(options->journal_path, spool_incarnation(options->spool),
                                &produce->journal, error);
    for (int i = 0; i < SIGNAL_COUNT && !err; i++)
        err = lane_open(produce, (enum signal)i, error);
    if (!err)
        err = open_client(produce, error);
    if (!err && pthread_create(&produce->thread, NULL, run, produce) != 0)
        err = error_set_errno(error, ERR_NOMEM, "start the producing thread");
    if (err) {
        produce_close(&produce, 0);
        return err;
    }
    produce->running = true;
    *ret_produce = produce;
    return OK;
}

void produce_set_compression(struct produce *produce, const char *compression, int level)
{
    pthread_mutex_lock(&produce->lock);
    produce->compression = compression;
    produce->compression_level = level;
    pthread_mutex_unlock(&produce->lock);
    produce_kick(produce);
}

void produce_set_fresh_first(struct produce *produce, bool fresh_first)
{
    pthread_mutex_lock(&produce->lock);
    produce->fresh_first = fresh_first;
    pthread_mutex_unlock(&produce->lock);
    produce_kick(produce);
}

void produce_kick(struct produce *produce)
{
    pthread_mutex_lock(&produce->lock);
    produce->kicked = true;
    if (produce->sleeping)
        pthread_cond_signal(&produce->wake);
    pthread_mutex_unlock(&produce->lock);
}

void produce_close(struct produce **produce, uint32_t drain_ms)
{
    struct produce *gone = *produce;
    if (gone == NULL)
        return;

    if (gone->running) {
        pthread_mutex_lock(&gone->lock);
        gone->stopping = true;
        gone->drain_ms = drain_ms;
        pthread_cond_signal(&gone->wake);
        pthread_mutex_unlock(&gone->lock);
        pthread_join(gone->thread, NULL);
    }
    producer_close(&gone->producer, 0);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        lane_close(&gone->lanes[i]);
    journal_close(&gone->journal);
    outgoing_work_fini(&gone->work);
    pthread_cond_destroy(&gone->wake);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *produce = NULL;
}

void produce_state(struct produce *produce, struct produce_state *ret_state)
{
    pthread_mutex_lock(&produce->lock);
    *ret_state = produce->published;
    pthread_mutex_unlock(&produce->lock);
}
