/* kube_watch: keeps a copy of all objects of one kind (in one namespace or all, by label) equal to
 * the API server's, by list and watch.
 *
 *   start -> INITIAL  sendInitialEvents=true: events pile up beside the present set
 *     INITIAL --initial-events-end bookmark--> LIVE        (replace)            finish_initial()
 *     INITIAL --422/400: server can't--------> LIST                             on_stream_end()
 *   LIST   --page with continue--> LIST                                         on_page()
 *   LIST   --last page-----------> LIVE, new stream from its resourceVersion (replace)  on_page()
 *   LIST   --410 on continue-----> LIST from the start                          on_page()
 *   LIVE   --clean end, or cut---> LIVE, new stream from the last resourceVersion
 *   LIVE   --410 or ERROR event, bad line-------> INITIAL or LIST
 *   any    --failure--> WAIT (0.8 s doubling to 30 s, with jitter) --timer--> the state before
 *   any    --kube_watch_stop()--> STOPPED
 *
 * A stream that ends in the first second without an event counts as a failure. Streams live 300 to
 * 600 s by the server's hand; one that is silent for 150 s (bookmarks come every minute) is opened
 * again on a new connection. What was deleted while nobody looked is missing in the next
 * `replace`, which is how a deletion is never lost.
 *
 * Metrics: kube_watch_events_total{kind,type}, kube_watch_restarts_total{kind,reason},
 * kube_watch_synced{kind}.
 * Thread: the sink is called on the HTTP client's thread, in order; start, stop and synced from
 * any other.
 */
#ifndef CONTROLLER_KUBE_WATCH_H
#define CONTROLLER_KUBE_WATCH_H

#include "controller/kube/client.h"
#include "controller/kube/object.h"

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
    /* Cuts an object down to what is worth keeping; managedFields are dropped before. NULL: all. */
    void (*project)(struct json *object);
    struct kube_sink sink;
};

/* Begins; never fails for reasons of the network. The client outlives the watch. */
NODISCARD enum err kube_watch_start(struct kube_client *client,
                                    const struct kube_watch_config *config,
                                    struct kube_watch **ret_watch, struct error *error);

/* Waits until no call to the sink is under way, and none will come. Not from the sink. */
void kube_watch_stop(struct kube_watch **watch);

/* The first replace was delivered. */
bool kube_watch_synced(const struct kube_watch *watch);

#endif
