/* kube_watch: keeps a copy of all objects of one kind (in one namespace or all, by label) equal to
 * the API server's, by list and watch.
 *
 *   INITIAL --bookmark "initial-events-end"--> LIVE (replace)         finish_gathering()
 *   INITIAL --400, 422: no such feature------> LIST                   on_stream_end()
 *   LIST    --page with continue-------------> LIST, next page        on_page()
 *   LIST    --last page----------------------> LIVE (replace)         on_page()
 *   LIST    --410 on continue----------------> LIST, first page       on_page()
 *   LIVE    --end, cut, silence--------------> LIVE from the last resourceVersion  on_stream_end()
 *   LIVE    --410, ERROR event, bad line-----> INITIAL (LIST where that was refused)
 *   all     --failure--> the same again after a pause                 again()
 *   all     --kube_watch_stop()--> no more                            stop_here()
 *
 * INITIAL is a watch with sendInitialEvents: what exists comes as events and is gathered until the
 * bookmark, then the stream goes on as LIVE. Pauses double from 0.8 s to 30 s, with jitter, and
 * start from the beginning when a stream has lived for a minute; one that ends in its first second
 * without an event counts as a failure. Streams live 300 to 600 s by the server's hand; after 150 s
 * of silence (bookmarks come every minute) one is opened again on a new connection.
 *
 * What was deleted while nobody looked is missing from the next replace, so no deletion is lost.
 *
 * Metrics: kube_watch_events_total{kind,type}, kube_watch_restarts_total{kind,reason},
 * kube_watch_synced{kind}.
 * Thread: sink and on_trouble are called on the HTTP client's thread, in order, and must not block;
 * start, stop and synced are for any other.
 */
#ifndef COMMON_KUBE_WATCH_H
#define COMMON_KUBE_WATCH_H

#include "common/kube/client.h"
#include "common/kube/object.h"

struct kube_watch;

/* Where the objects go. Objects are lent for the call: object_ref() keeps one. */
struct kube_sink {
    /* Everything that exists now: forget what isn't among them. */
    void (*replace)(void *context, const struct kube_resource *resource,
                    struct object *const *objects, size_t count);
    void (*put)(void *context, const struct kube_resource *resource, struct object *object);
    /* `object` is its last state. */
    void (*remove)(void *context, const struct kube_resource *resource, struct object *object);
    void *context;
};

struct kube_watch_config {
    const struct kube_resource *resource; /* outlives the watch */
    const char *namespace;                /* NULL: all */
    const char *label_selector;           /* NULL: all */
    const char *field_selector;           /* NULL: all; "spec.nodeName=n1" */
    /* Cuts an object down to what is worth keeping; managedFields are dropped before. NULL: all. */
    void (*project)(struct json *object);
    struct kube_sink sink;
    /* Something failed and is tried again; for the log. NULL: nobody wants to know. */
    void (*on_trouble)(void *context, const struct kube_resource *resource,
                       const struct error *error, unsigned pause_ms);
    void *trouble_context;
};

/* Begins; never fails for reasons of the network. The client outlives the watch. */
NODISCARD enum err kube_watch_start(struct kube_client *client,
                                    const struct kube_watch_config *config,
                                    struct kube_watch **ret_watch, struct error *error);

/* Waits until no call to the sink is under way, and none will come. Not from the sink. */
void kube_watch_stop(struct kube_watch **slot);

/* The first replace was delivered. */
bool kube_watch_synced(struct kube_watch *watch);

#endif
