/* Clients are few, so the pool is a list that is walked. Its mutex guards the list and the counts;
 * opening and closing, which may take a moment, happen outside of it, on clients that nobody else
 * can see.
 */
#include "controller/kafka_admin/admin.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/xalloc.h"
#include "controller/kafka_admin/access.h"
#include "controller/kafka_admin/call.h"
#include "controller/kafka_admin/kafka_error.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TROUBLE_MAX 256

struct admin {
    struct admin *next; /* guarded by pool->mutex, as are the next three */
    struct admin_pool *pool;
    uint32_t users;
    uint64_t idle_since_ms;

    struct kafka_access *access;
    rd_kafka_t *handle;
    rd_kafka_queue_t *main_queue;

    pthread_mutex_t mutex; /* guards the three below */
    rd_kafka_resp_err_t trouble_code;
    uint64_t trouble_ms;
    char trouble[TROUBLE_MAX];
};

struct admin_pool {
    pthread_mutex_t mutex;
    struct admin *clients;
    uint32_t client_count, clients_max;
};

/* ---- one client */

static void client_close(struct admin **client)
{
    struct admin *admin = *client;

    if (admin == NULL)
        return;
    if (admin->main_queue != NULL)
        rd_kafka_queue_destroy(admin->main_queue);
    if (admin->handle != NULL)
        rd_kafka_destroy(admin->handle);
    access_destroy(&admin->access);
    pthread_mutex_destroy(&admin->mutex);
    free(admin);
    *client = NULL;
}

static enum err client_open(const struct kafka_access *access, struct admin **ret_client,
                            struct error *error)
{
    AUTO(client_close) struct admin *admin = xcalloc(1, sizeof *admin);
    rd_kafka_conf_t *conf = NULL;
    char why[256];

    pthread_mutex_init(&admin->mutex, NULL);
    enum err err = access_copy(access, &admin->access, error);
    if (err)
        return err;
    err = access_conf(access, &conf, error);
    if (err)
        return err;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR);
    admin->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (admin->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERR_INVALID, "Kafka client for %.200s: %s", access->bootstrap, why);
    }
    admin->main_queue = rd_kafka_queue_get_main(admin->handle);
    access_start(admin->handle, access);
    MOVE(*ret_client, admin);
    return OK;
}

rd_kafka_t *admin_handle(struct admin *admin)
{
    return admin->handle;
}

const char *admin_bootstrap(const struct admin *admin)
{
    return admin->access->bootstrap;
}

bool admin_poll(struct admin *admin, uint64_t since_ms)
{
    rd_kafka_event_t *event;

    pthread_mutex_lock(&admin->mutex);
    while ((event = rd_kafka_queue_poll(admin->main_queue, 0)) != NULL) {
        rd_kafka_resp_err_t code = rd_kafka_event_error(event);
        /* "all brokers are down" follows the complaint that says why; don't let it hide that. */
        bool vague = code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && admin->trouble[0] != '\0';
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR && !vague) {
            admin->trouble_code = code;
            admin->trouble_ms = clock_mono_ms();
            snprintf(admin->trouble, sizeof admin->trouble, "%s",
                     rd_kafka_event_error_string(event));
        }
        rd_kafka_event_destroy(event);
    }
    bool refused = kafka_error_is_refusal(admin->trouble_code) && admin->trouble_ms >= since_ms;
    pthread_mutex_unlock(&admin->mutex);
    return refused;
}

void admin_answered(struct admin *admin)
{
    pthread_mutex_lock(&admin->mutex);
    admin->trouble[0] = '\0';
    admin->trouble_code = RD_KAFKA_RESP_ERR_NO_ERROR;
    pthread_mutex_unlock(&admin->mutex);
}

rd_kafka_resp_err_t admin_trouble(struct admin *admin, char *into, size_t size)
{
    pthread_mutex_lock(&admin->mutex);
    rd_kafka_resp_err_t code = admin->trouble_code;
    snprintf(into, size, "%s", admin->trouble);
    pthread_mutex_unlock(&admin->mutex);
    return code;
}

/* ---- the pool */

enum err admin_pool_create(uint32_t clients_max, struct admin_pool **ret_pool, struct error *error)
{
    if (clients_max == 0)
        return error_set(error, ERR_INVALID, "a pool of Kafka clients needs room for one");
    struct admin_pool *pool = xcalloc(1, sizeof *pool);
    pthread_mutex_init(&pool->mutex, NULL);
    pool->clients_max = clients_max;
    *ret_pool = pool;
    return OK;
}

/* Takes the client out of the list; the caller holds the mutex and closes it after. */
static struct admin *unlink_client(struct admin_pool *pool, struct admin *client)
{
    struct admin **at = &pool->clients;
    while (*at != client)
        at = &(*at)->next;
    *at = client->next;
    pool->client_count--;
    return client;
}

/* The client that has been idle longest, out of the list; NULL if none has been for `idle_ms`. */
static struct admin *take_idle(struct admin_pool *pool, uint64_t idle_ms)
{
    uint64_t now_ms = clock_mono_ms();
    struct admin *oldest = NULL;

    for (struct admin *client = pool->clients; client != NULL; client = client->next) {
        bool idle = client->users == 0 && now_ms - client->idle_since_ms >= idle_ms;
        if (idle && (oldest == NULL || client->idle_since_ms < oldest->idle_since_ms))
            oldest = client;
    }
    return oldest != NULL ? unlink_client(pool, oldest) : NULL;
}

void admin_pool_sweep(struct admin_pool *pool)
{
    struct admin *idle = NULL;

    do {
        client_close(&idle);
        pthread_mutex_lock(&pool->mutex);
        idle = take_idle(pool, ADMIN_IDLE_MS);
        pthread_mutex_unlock(&pool->mutex);
    } while (idle != NULL);
}

void admin_pool_destroy(struct admin_pool **pool)
{
    if (*pool == NULL)
        return;
    while ((*pool)->clients != NULL) {
        ASSERT((*pool)->clients->users == 0);
        struct admin *client = unlink_client(*pool, (*pool)->clients);
        client_close(&client);
    }
    pthread_mutex_destroy(&(*pool)->mutex);
    free(*pool);
    *pool = NULL;
}

uint32_t admin_pool_open_count(struct admin_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    uint32_t count = pool->client_count;
    pthread_mutex_unlock(&pool->mutex);
    return count;
}

static struct admin *find(struct admin_pool *pool, const struct kafka_access *access)
{
    for (struct admin *client = pool->clients; client != NULL; client = client->next)
        if (access_equal(client->access, access))
            return client;
    return NULL;
}

enum err admin_acquire(struct admin_pool *pool, const struct kafka_access *access,
                       struct admin **ret_admin, struct error *error)
{
    AUTO(client_close) struct admin *made = NULL;
    struct admin *evicted = NULL;

    /* Two threads may open the same client at once; the second one's is dropped again. */
    pthread_mutex_lock(&pool->mutex);
    struct admin *client = find(pool, access);
    if (client != NULL)
        client->users++;
    pthread_mutex_unlock(&pool->mutex);
    if (client != NULL) {
        *ret_admin = client;
        return OK;
    }
    enum err err = client_open(access, &made, error);
    if (err)
        return err;

    pthread_mutex_lock(&pool->mutex);
    client = find(pool, access);
    if (client == NULL && pool->client_count >= pool->clients_max)
        evicted = take_idle(pool, 0);
    if (client == NULL && pool->client_count < pool->clients_max) {
        MOVE(client, made);
        client->pool = pool;
        client->next = pool->clients;
        pool->clients = client;
        pool->client_count++;
    }
    if (client != NULL)
        client->users++;
    pthread_mutex_unlock(&pool->mutex);
    client_close(&evicted);
    if (client == NULL)
        return error_set(error, ERR_FULL,
                         "all %u connections to Kafka clusters are in use; it is tried again",
                         pool->clients_max);
    *ret_admin = client;
    return OK;
}

void admin_release(struct admin **admin)
{
    if (*admin == NULL)
        return;
    struct admin_pool *pool = (*admin)->pool;
    pthread_mutex_lock(&pool->mutex);
    ASSERT((*admin)->users > 0);
    (*admin)->users--;
    (*admin)->idle_since_ms = clock_mono_ms();
    pthread_mutex_unlock(&pool->mutex);
    *admin = NULL;
}

/* ---- who is there */

enum err admin_describe_cluster(struct admin *admin, uint32_t timeout_ms,
                                struct admin_cluster *ret_cluster, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    size_t nodes = 0;

    call_init(&call, admin, RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, timeout_ms, "describe the cluster");
    rd_kafka_DescribeCluster(call.handle, call.options, call.queue);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_DescribeCluster_result_t *result = rd_kafka_event_DescribeCluster_result(event);
    const char *id = rd_kafka_DescribeCluster_result_cluster_id(result);
    rd_kafka_DescribeCluster_result_nodes(result, &nodes);
    snprintf(ret_cluster->id, sizeof ret_cluster->id, "%s", id != NULL ? id : "");
    ret_cluster->brokers = (uint32_t)nodes;
    return OK;
}
