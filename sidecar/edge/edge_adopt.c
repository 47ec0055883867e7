#include "sidecar/edge/edge_adopt.h"

#include "common/clock.h"
#include "common/cond.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/os.h"
#include "sidecar/spool/lock.h"
#include "sidecar/spool/segment.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PATH_CAP = 4096, LOOK_EVERY_MS = 10000, POLL_MS = 100, RETRY_MS = 200 };

static const struct metric_desc adopted_desc = {
    .name = "surgetank_edge_adopted_spools_total",
    .kind = METRIC_COUNTER,
    .help = "Spools of earlier pods that were taken over, by whether all of it was delivered.",
    .labels = {"result"}};
static const struct metric_desc waiting_desc = {
    .name = "surgetank_edge_adopted_waiting_items",
    .kind = METRIC_GAUGE,
    .help = "Items in the spool of an earlier pod that are not delivered yet."};

struct edge_adopt {
    struct edge_adopt_options options;
    struct spool_config spool;
    struct produce_options produce;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop; /* guarded by the lock */

    /* The thread's own. */
    bool unread[EDGE_DIRS_MAX]; /* holds signals that this edge has no topic for: left as it is */
};

/* The nth directory, from 0. False: the path is too long. */
static bool nth_dir(const char *home, unsigned n, char path[static PATH_CAP])
{
    int len = n == 0 ? snprintf(path, PATH_CAP, "%s", home)
                     : snprintf(path, PATH_CAP, "%s/%u", home, n + 1);
    return len > 0 && len < PATH_CAP;
}

enum err edge_claim_spool(const struct spool_config *config, bool may_move, uint32_t wait_ms,
                          struct arena *arena, const char **ret_dir, struct spool **ret_spool,
                          struct error *error)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};
    uint64_t until_ms = clock_mono_ms() + wait_ms;
    struct spool_config own = *config;
    char path[PATH_CAP];
    bool told = false;

    for (;;) {
        enum err err = ERR_CONFLICT;
        for (unsigned n = 0; n < (may_move ? EDGE_DIRS_MAX : 1) && err == ERR_CONFLICT; n++) {
            if (!nth_dir(config->dir, n, path))
                return error_set(error, ERR_INVALID, "path '%.64s...' is too long", config->dir);
            own.dir = arena_printf(arena, "%s", path);
            if (own.dir == NULL)
                return error_set(error, ERR_NOMEM, "open spool");
            err = spool_open(&own, ret_spool, error);
        }
        if (!err)
            *ret_dir = own.dir;
        if (err != ERR_CONFLICT || clock_mono_ms() >= until_ms)
            return err;
        if (!told && error != NULL)
            LOG_WARN("Waited for the spool's owner to leave", LOG_STR("error", error->text));
        told = true;
        nanosleep(&pause, NULL);
    }
}

/* ---- adopting */

/* True: it is time to stop. */
static bool pause_for(struct edge_adopt *adopt, unsigned ms)
{
    struct timespec until = cond_deadline_in(ms);

    pthread_mutex_lock(&adopt->lock);
    while (!adopt->stop && pthread_cond_timedwait(&adopt->wake, &adopt->lock, &until) == 0) {
    }
    bool stop = adopt->stop;
    pthread_mutex_unlock(&adopt->lock);
    return stop;
}

static bool is_spool(const char *dir)
{
    char path[PATH_CAP];
    int fd = -1;

    if (snprintf(path, sizeof path, "%s/cursors", dir) >= (int)sizeof path ||
        os_open_as(path, OS_READ, &fd, NULL) != OK)
        return false;
    os_close(&fd);
    return true;
}

/* Items that wait for a reader that is open, or, `unread`, for one that is not. */
static uint64_t waiting_items(struct spool *spool, bool unread)
{
    struct spool_stats stats;
    uint64_t waiting = 0;

    spool_stats(spool, &stats);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        const struct spool_lane_stats *lane = &stats.lanes[i];
        for (size_t r = 0; r < lane->reader_count; r++)
            waiting += lane->readers[r].open != unread ? lane->readers[r].items : 0;
        if (unread && lane->reader_count == 0 && lane->frames > 0)
            waiting += lane->items;
    }
    return waiting;
}

static enum err remove_file(void *context, const char *name, struct error *error)
{
    const char *dir = context;
    char path[PATH_CAP];
    uint32_t slot;

    (void)error;
    bool ours = segment_slot(name, SEGMENT_SUFFIX, &slot) ||
                segment_slot(name, DAMAGED_SUFFIX, &slot) || strcmp(name, "journal") == 0 ||
                strcmp(name, "cursors") == 0;
    if (ours && snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path)
        /* What stays is found again, and is empty. */
        IGNORE_RESULT(os_remove(path, NULL));
    return OK;
}

/* Gives the room back, unless somebody has taken it meanwhile. */
static void empty_dir(char *dir)
{
    int fd = -1;

    if (lock_take(dir, &fd, NULL) != OK)
        return;
    IGNORE_RESULT(os_list(dir, remove_file, dir, NULL)); /* as above */
    os_close(&fd);
}

/* Until all is delivered. True: it is. */
static bool drain(struct edge_adopt *adopt, struct spool *spool)
{
    uint64_t left;

    do {
        left = waiting_items(spool, false);
        metric_set(metrics_series(&waiting_desc), (double)left);
    } while (left > 0 && !pause_for(adopt, POLL_MS));
    metric_set(metrics_series(&waiting_desc), 0);
    return left == 0;
}

static enum err take_over(struct edge_adopt *adopt, unsigned n, char *dir, struct error *error)
{
    struct spool_config config = adopt->spool;
    struct produce_options options = adopt->produce;
    struct spool *spool = NULL;
    struct produce *produce = NULL;
    char journal[PATH_CAP];

    config.dir = dir;
    if (snprintf(journal, sizeof journal, "%s/journal", dir) >= (int)sizeof journal)
        return error_set(error, ERR_INVALID, "path '%.64s...' is too long", dir);
    enum err err = spool_open(&config, &spool, error);
    if (err)
        return err;
    options.spool = spool;
    options.journal_path = journal;
    options.fresh_first = false;
    spool_stop_appends(spool);
    bool drained = true;
    if (waiting_items(spool, true) > 0) {
        LOG_INFO("Adopted a spool", LOG_STR("dir", dir),
                 LOG_U64("items", waiting_items(spool, true)));
        err = produce_open(&options, &produce, error);
        bool read = !err && drain(adopt, spool);
        adopt->unread[n] = read && waiting_items(spool, true) > 0;
        drained = read && !adopt->unread[n];
        produce_close(&produce, 0);
        metric_add(metrics_series(&adopted_desc, drained ? "drained" : "left"), 1);
        LOG_INFO("Left an adopted spool", LOG_STR("dir", dir),
                 LOG_U64("items", waiting_items(spool, true)));
    }
    spool_close(&spool);
    if (drained && n > 0)
        empty_dir(dir);
    return err;
}

static void *run(void *context)
{
    struct edge_adopt *adopt = context;
    bool empty[EDGE_DIRS_MAX] = {false}; /* HOME keeps its files: looked at once is enough */

    (void)pthread_setname_np(pthread_self(), "adopt"); /* only for people who look at threads */
    do {
        for (unsigned n = 0; n < EDGE_DIRS_MAX; n++) {
            char dir[PATH_CAP];
            struct error error = {0};
            if (adopt->unread[n] || empty[n] || !nth_dir(adopt->options.home, n, dir) ||
                strcmp(dir, adopt->options.own) == 0 || !is_spool(dir))
                continue;
            enum err err = take_over(adopt, n, dir, &error);
            empty[n] = !err && n == 0;
            if (err && err != ERR_CONFLICT) /* whose owner is alive */
                LOG_WARN("Could not adopt a spool", LOG_STR("dir", dir),
                         LOG_STR("error", error.text));
        }
    } while (!pause_for(adopt, adopt->options.look_every_ms));
    return NULL;
}

enum err edge_adopt_start(const struct edge_adopt_options *options, struct edge_adopt **ret_adopt,
                          struct error *error)
{
    struct edge_adopt *adopt = calloc(1, sizeof *adopt);
    if (adopt == NULL)
        return error_set(error, ERR_NOMEM, "adopt spools");
    adopt->options = *options;
    adopt->spool = *options->spool;
    adopt->produce = *options->produce;
    if (adopt->options.look_every_ms == 0)
        adopt->options.look_every_ms = LOOK_EVERY_MS;
    pthread_mutex_init(&adopt->lock, NULL);
    cond_init(&adopt->wake);
    if (pthread_create(&adopt->thread, NULL, run, adopt) != 0) {
        free(adopt);
        return error_set_errno(error, ERR_NOMEM, "adopt spools");
    }
    *ret_adopt = adopt;
    return OK;
}

void edge_adopt_stop(struct edge_adopt **adopt)
{
    struct edge_adopt *gone = *adopt;

    if (gone == NULL)
        return;
    pthread_mutex_lock(&gone->lock);
    gone->stop = true;
    pthread_cond_signal(&gone->wake);
    pthread_mutex_unlock(&gone->lock);
    pthread_join(gone->thread, NULL);
    pthread_mutex_destroy(&gone->lock);
    pthread_cond_destroy(&gone->wake);
    free(gone);
    *adopt = NULL;
}
