#include "controller/reconcile/ticker.h"

#include "common/cond.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct ticker {
    uint64_t period_ms;
    ticker_fn *tick;
    void *context;
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t mutex; /* guards both flags */
    pthread_cond_t wake;
    bool active, stop;
};

/* False: it is time to end. */
static bool wait_for_tick(struct ticker *ticker, bool *ret_active)
{
    struct timespec until = cond_deadline_in(ticker->period_ms);

    pthread_mutex_lock(&ticker->mutex);
    while (!ticker->stop && pthread_cond_timedwait(&ticker->wake, &ticker->mutex, &until) == 0)
        continue;
    bool stop = ticker->stop;
    *ret_active = ticker->active;
    pthread_mutex_unlock(&ticker->mutex);
    return !stop;
}

static void *run(void *context)
{
    struct ticker *ticker = context;
    bool active = false;

    while (wait_for_tick(ticker, &active)) {
        if (active)
            ticker->tick(ticker->context);
    }
    return NULL;
}

enum err ticker_create(const char *name, uint64_t period_ms, ticker_fn *tick, void *context,
                       struct ticker **ret_ticker, struct error *error)
{
    AUTO(ticker_destroy) struct ticker *ticker = xcalloc(1, sizeof *ticker);

    ticker->period_ms = period_ms;
    ticker->tick = tick;
    ticker->context = context;
    pthread_mutex_init(&ticker->mutex, NULL);
    cond_init(&ticker->wake);
    if (pthread_create(&ticker->thread, NULL, run, ticker) != 0)
        return error_set(error, ERR_NOMEM, "start thread %s", name);
    ticker->thread_runs = true;
    pthread_setname_np(ticker->thread, name);
    MOVE(*ret_ticker, ticker);
    return OK;
}

void ticker_destroy(struct ticker **ticker)
{
    if (*ticker == NULL)
        return;
    pthread_mutex_lock(&(*ticker)->mutex);
    (*ticker)->stop = true;
    pthread_cond_signal(&(*ticker)->wake);
    pthread_mutex_unlock(&(*ticker)->mutex);
    if ((*ticker)->thread_runs)
        pthread_join((*ticker)->thread, NULL);
    pthread_cond_destroy(&(*ticker)->wake);
    pthread_mutex_destroy(&(*ticker)->mutex);
    free(*ticker);
    *ticker = NULL;
}

void ticker_set_active(struct ticker *ticker, bool active)
{
    pthread_mutex_lock(&ticker->mutex);
    ticker->active = active;
    pthread_mutex_unlock(&ticker->mutex);
}
