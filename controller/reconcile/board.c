#include "controller/reconcile/board.h"

#include "common/assert.h"
#include "common/map.h"
#include "common/xalloc.h"
#include "controller/reconcile/claims.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
    char *uid;
    int64_t generation;
    struct subject *subject; /* NULL: the document has faults */
    char *fault;
    struct topic_result *topics; /* NULL: not looked at */
    size_t topic_count;
    struct map gateways; /* name -> struct gateway_runtime * */
    uint64_t written_ms;
    char *reason;
};

struct failure {
    uint64_t at_ms;
    char text[sizeof((struct error *)0)->text];
};

struct board {
    pthread_mutex_t mutex; /* guards all of it */
    struct map entries;    /* key -> struct entry * */
    struct map failures;   /* bootstrap -> struct failure * */
    struct claims *claims;
};

/* ---- life */

struct board *board_create(void)
{
    struct board *board = xcalloc(1, sizeof *board);

    pthread_mutex_init(&board->mutex, NULL);
    board->claims = claims_create();
    return board;
}

static void free_values(struct map *map)
{
    for (struct map_entry *e = map_next(map, NULL); e != NULL; e = map_next(map, e))
        free(e->value);
    map_fini(map);
}

static void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    subject_unref(&entry->subject);
    free_values(&entry->gateways);
    free(entry->topics);
    free(entry->fault);
    free(entry->uid);
    free(entry->reason);
    free(entry);
}

void board_destroy(struct board **board)
{
    if (*board == NULL)
        return;
    for (struct map_entry *e = map_next(&(*board)->entries, NULL); e != NULL;
         e = map_next(&(*board)->entries, e))
        entry_free(e->value);
    map_fini(&(*board)->entries);
    free_values(&(*board)->failures);
    claims_destroy(&(*board)->claims);
    pthread_mutex_destroy(&(*board)->mutex);
    free(*board);
    *board = NULL;
}

static void lock(struct board *board)
{
    pthread_mutex_lock(&board->mutex);
}

static void unlock(struct board *board)
{
    pthread_mutex_unlock(&board->mutex);
}

const char *board_key(const char *namespace, const char *name, char into[BOARD_KEY_MAX])
{
    snprintf(into, BOARD_KEY_MAX, "%s/%s", namespace, name);
    return into;
}

/* ---- documents */

void subject_unref(struct subject **subject)
{
    if (*subject == NULL)
        return;
    if (--(*subject)->refs == 0) {
        pipeline_free(&(*subject)->pipeline);
        free(*subject);
    }
    *subject = NULL;
}

static struct subject *subject_read(const struct object *object, const char *key, char **ret_fault)
{
    AUTO(json_free) struct json *document = object_parse(object);
    struct faults *faults = xcalloc(1, sizeof *faults);
    struct pipeline *pipeline = NULL;
    struct subject *subject = NULL;
    struct error error = {0};

    enum err err = pipeline_read(document, &pipeline, faults, &error);
    if (err) {
        *ret_fault = xstrdup(error.text);
    } else {
        subject = xcalloc(1, sizeof *subject);
        subject->pipeline = pipeline;
        subject->refs = 1;
        snprintf(subject->key, sizeof subject->key, "%s", key);
    }
    faults_fini(faults);
    free(faults);
    return subject;
}

/* The board's mutex is held. */
static struct entry *need_entry(struct board *board, const char *key)
{
    struct entry *entry = map_get(&board->entries, key);

    if (entry == NULL) {
        entry = xcalloc(1, sizeof *entry);
        map_set(&board->entries, key, entry);
    }
    return entry;
}

static bool entry_is(const struct entry *entry, const struct object *object)
{
    return entry != NULL && entry->uid != NULL && strcmp(entry->uid, object->uid) == 0 &&
           entry->generation == object->generation;
}

bool board_put(struct board *board, const struct object *object)
{
    char key[BOARD_KEY_MAX];
    char *fault = NULL;

    board_key(object->namespace, object->name, key);
    lock(board);
    bool known = entry_is(map_get(&board->entries, key), object);
    unlock(board);
    if (known)
        return false;

    AUTO(json_free) struct json *document = object_parse(object);
    const char *created = json_string(json_at(document, "metadata.creationTimestamp"), "");
    struct subject *subject = subject_read(object, key, &fault);

    lock(board);
    struct entry *entry = need_entry(board, key);
    if (entry->uid != NULL && strcmp(entry->uid, object->uid) != 0) {
        /* Deleted and made again under the same name: nothing that we knew is true of it. */
        entry_free(map_remove(&board->entries, key));
        entry = need_entry(board, key);
    }
    subject_unref(&entry->subject);
    free(entry->fault);
    free(entry->uid);
    entry->uid = xstrdup(object->uid);
    entry->generation = object->generation;
    entry->subject = subject;
    entry->fault = fault;
    /* With faults it keeps what it claimed before: its children still run. */
    if (subject != NULL)
        claims_put(board->claims, key, created, subject->pipeline);
    unlock(board);
    return true;
}

void board_drop(struct board *board, const char *key)
{
    lock(board);
    entry_free(map_remove(&board->entries, key));
    claims_drop(board->claims, key);
    unlock(board);
}

enum err board_subject(struct board *board, const char *key, struct subject **ret_subject,
                       struct error *error)
{
    enum err err = OK;

    lock(board);
    const struct entry *entry = map_get(&board->entries, key);
    if (entry == NULL) {
        err = error_set(error, ERR_NOTFOUND, "no pipeline %s", key);
    } else if (entry->subject == NULL) {
        err = error_set(error, ERR_INVALID, "%s", entry->fault != NULL ? entry->fault : "");
    } else {
        entry->subject->refs++;
        *ret_subject = entry->subject;
    }
    unlock(board);
    return err;
}

char **board_keys(struct board *board, size_t *ret_count)
{
    size_t count = 0;

    lock(board);
    char **keys = xcalloc(board->entries.count + 1, sizeof *keys);
    for (struct map_entry *e = map_next(&board->entries, NULL); e != NULL;
         e = map_next(&board->entries, e)) {
        const struct entry *entry = e->value;
        if (entry->subject != NULL)
            keys[count++] = xstrdup(e->key);
    }
    unlock(board);
    *ret_count = count;
    return keys;
}

/* ---- claims */

enum err board_check_claims(struct board *board, const char *key, struct error *error)
{
    lock(board);
    enum err err = claims_check(board->claims, key, error);
    unlock(board);
    return err;
}

void board_note_cluster(struct board *board, const struct pipeline_strings *bootstrap,
                        const char *cluster_id)
{
    lock(board);
    claims_note_cluster(board->claims, bootstrap, cluster_id);
    unlock(board);
}

void board_note_failure(struct board *board, const char *bootstrap, uint64_t now_ms,
                        const char *sentence)
{
    struct failure *failure = xcalloc(1, sizeof *failure);

    failure->at_ms = now_ms;
    snprintf(failure->text, sizeof failure->text, "%s", sentence);
    lock(board);
    free(map_set(&board->failures, bootstrap, failure));
    unlock(board);
}

enum err board_check_failure(struct board *board, const char *bootstrap, uint64_t now_ms,
                             uint64_t max_age_ms, struct error *error)
{
    enum err err = OK;

    lock(board);
    const struct failure *failure = map_get(&board->failures, bootstrap);
    if (failure != NULL && now_ms - failure->at_ms < max_age_ms)
        err = error_set(error, ERR_AGAIN, "%s", failure->text);
    unlock(board);
    return err;
}

/* ---- topics */

void board_set_topics(struct board *board, const char *key, const struct topic_result *results,
                      size_t count)
{
    lock(board);
    struct entry *entry = map_get(&board->entries, key);
    if (entry != NULL) {
        free(entry->topics);
        entry->topics = xcalloc(count + 1, sizeof *entry->topics);
        memcpy(entry->topics, results, count * sizeof *results);
        entry->topic_count = count;
    }
    unlock(board);
}

enum err board_topic(struct board *board, const char *key, const char *topic,
                     struct topic_result *ret_result)
{
    enum err err = ERR_NOTFOUND;

    lock(board);
    const struct entry *entry = map_get(&board->entries, key);
    for (size_t i = 0; entry != NULL && i < entry->topic_count; i++) {
        if (strcmp(entry->topics[i].topic, topic) == 0) {
            *ret_result = entry->topics[i];
            err = OK;
        }
    }
    unlock(board);
    return err;
}

/* ---- gateways */

void board_gateway(struct board *board, const char *key, const char *gateway,
                   struct gateway_runtime *ret_runtime)
{
    lock(board);
    const struct entry *entry = map_get(&board->entries, key);
    const struct gateway_runtime *runtime =
        entry != NULL ? map_get(&entry->gateways, gateway) : NULL;
    if (runtime != NULL)
        *ret_runtime = *runtime;
    else
        *ret_runtime = (struct gateway_runtime){0};
    unlock(board);
}

void board_set_gateway(struct board *board, const char *key, const char *gateway,
                       const struct gateway_runtime *runtime)
{
    lock(board);
    struct entry *entry = map_get(&board->entries, key);
    if (entry != NULL) {
        struct gateway_runtime *kept = map_get(&entry->gateways, gateway);
        if (kept == NULL) {
            kept = xcalloc(1, sizeof *kept);
            map_set(&entry->gateways, gateway, kept);
        }
        *kept = *runtime;
    }
    unlock(board);
}

/* ---- calm */

uint64_t board_written(struct board *board, const char *key)
{
    lock(board);
    const struct entry *entry = map_get(&board->entries, key);
    uint64_t written = entry != NULL ? entry->written_ms : 0;
    unlock(board);
    return written;
}

void board_set_written(struct board *board, const char *key, uint64_t now_ms)
{
    lock(board);
    struct entry *entry = map_get(&board->entries, key);
    if (entry != NULL)
        entry->written_ms = now_ms;
    unlock(board);
}

bool board_reason_changed(struct board *board, const char *key, const char *reason)
{
    bool changed = false;

    lock(board);
    struct entry *entry = map_get(&board->entries, key);
    if (entry != NULL && (entry->reason == NULL || strcmp(entry->reason, reason) != 0)) {
        free(entry->reason);
        entry->reason = xstrdup(reason);
        changed = true;
    }
    unlock(board);
    return changed;
}
