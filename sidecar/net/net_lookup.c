/* The thread may still be in the resolver when nobody waits any more, and even when the loop is
 * gone. So it posts its result under the mutex and only if the lookup is still wanted; if not, the
 * lookup is its own to free.
 */
#include "sidecar/net/net_lookup.h"

#include "sidecar/net/net_loop.h"

#include <limits.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_SIZE = 512 * 1024 };

struct net_lookup {
    struct net_loop *loop;
    struct net_task task;
    char *host;
    char port[8];
    void (*done)(void *ctx, const struct net_addresses *addresses, const struct error *error);
    void *ctx;
    struct net_addresses addresses;
    struct error error;

    pthread_mutex_t mutex; /* guards this */
    bool unwanted;
};

static void free_lookup(struct net_lookup *lookup)
{
    pthread_mutex_destroy(&lookup->mutex);
    free(lookup->host);
    free(lookup);
}

static void deliver(struct net_task *task)
{
    struct net_lookup *lookup = CONTAINER_OF(task, struct net_lookup, task);

    pthread_mutex_lock(&lookup->mutex); /* the thread has let go of it */
    bool wanted = !lookup->unwanted;
    pthread_mutex_unlock(&lookup->mutex);
    if (wanted)
        lookup->done(lookup->ctx, lookup->addresses.count > 0 ? &lookup->addresses : NULL,
                     &lookup->error);
    free_lookup(lookup);
}

/* Resolves; with AI_NUMERICHOST only what needs no asking. */
static bool resolve(struct net_lookup *lookup, int flags)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *found = NULL;
    struct net_addresses *to = &lookup->addresses;

    int bad = getaddrinfo(lookup->host, lookup->port, &hints, &found);
    if (bad != 0) {
        /* A name service's trouble is as good a reason to try later as a missing name. */
        error_set(&lookup->error, ERR_NOTFOUND, "look up '%s': %s", lookup->host,
                  gai_strerror(bad));
        return false;
    }
    for (struct addrinfo *at = found; at != NULL && to->count < NET_ADDRESSES_MAX;
         at = at->ai_next) {
        memcpy(&to->list[to->count], at->ai_addr, at->ai_addrlen);
        to->len[to->count++] = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return to->count > 0;
}

static void *run(void *arg)
{
    struct net_lookup *lookup = arg;

    resolve(lookup, AI_ADDRCONFIG);
    pthread_mutex_lock(&lookup->mutex);
    bool wanted = !lookup->unwanted;
    if (wanted)
        net_loop_post(lookup->loop, &lookup->task);
    pthread_mutex_unlock(&lookup->mutex);
    if (!wanted)
        free_lookup(lookup);
    return NULL;
}

static enum err start_thread(struct net_lookup *lookup, struct error *error)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int bad = pthread_create(&thread, &attr, run, lookup);
    pthread_attr_destroy(&attr);
    return bad != 0 ? error_set(error, ERR_NOMEM, "start a thread to look up '%s'", lookup->host)
                    : OK;
}

enum err net_lookup_start(struct net_loop *loop, const char *host, uint16_t port,
                          void (*done)(void *ctx, const struct net_addresses *addresses,
                                       const struct error *error),
                          void *ctx, struct net_lookup **ret_lookup, struct error *error)
{
    struct net_lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL)
        return error_set(error, ERR_NOMEM, "look up '%s'", host);
    pthread_mutex_init(&lookup->mutex, NULL);
    lookup->loop = loop;
    lookup->task.run = deliver;
    lookup->done = done;
    lookup->ctx = ctx;
    snprintf(lookup->port, sizeof lookup->port, "%u", port);
    lookup->host = strdup(host);
    if (lookup->host == NULL) {
        free_lookup(lookup);
        return error_set(error, ERR_NOMEM, "look up '%s'", host);
    }

    if (resolve(lookup, AI_NUMERICHOST)) {
        net_loop_post(loop, &lookup->task);
    } else {
        enum err err = start_thread(lookup, error);
        if (err) {
            free_lookup(lookup);
            return err;
        }
    }
    *ret_lookup = lookup;
    return OK;
}

void net_lookup_cancel(struct net_lookup **lookup)
{
    struct net_lookup *old = *lookup;
    if (old == NULL)
        return;
    *lookup = NULL;
    pthread_mutex_lock(&old->mutex);
    old->unwanted = true; /* whoever holds it frees it: the thread, or the posted task */
    pthread_mutex_unlock(&old->mutex);
}
