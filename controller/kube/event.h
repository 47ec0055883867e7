/* event_recorder: Kubernetes Events (events.k8s.io/v1) about our objects, as series.
 *
 * The same thing happening again (object, type, reason, action) is not a new Event: its series'
 * count grows and is patched at most every 30 s; after 6 minutes of quiet the next one is new. The
 * note is the latest, cut to 1 kB at a character. For one object at most 25 at once and then one
 * every 5 minutes; beyond it, and when EVENT_QUEUE_MAX wait, they are dropped and counted. Nothing
 * waits for an Event, and no write is tried more than 3 times.
 *
 * Metrics: kube_events_total{type,outcome} (written, aggregated, dropped).
 * Thread: event_record() from any; a thread of its own writes.
 */
#ifndef CONTROLLER_KUBE_EVENT_H
#define CONTROLLER_KUBE_EVENT_H

#include "controller/kube/client.h"

enum { EVENT_QUEUE_MAX = 1000, EVENT_SERIES_MAX = 4096, EVENT_NOTE_MAX = 1024 };

struct event_recorder;

/* `client` outlives the recorder. `controller`: "surgetank.dev/controller"; `instance`: pod name.
 */
NODISCARD enum err event_recorder_create(struct kube_client *client, const char *controller,
                                         const char *instance, struct event_recorder **ret_recorder,
                                         struct error *error);

/* Writes what waits, for at most 2 s. */
void event_recorder_destroy(struct event_recorder **recorder);

enum event_type { EVENT_NORMAL, EVENT_WARNING };

/* What happened to `regarding` (an object with a uid). `reason`: CamelCase, why; `action`: what we
 * were doing. Copies everything. */
void event_record(struct event_recorder *recorder, const struct json *regarding,
                  enum event_type type, const char *reason, const char *action, const char *format,
                  ...) PRINTF_LIKE(6, 7);

#endif
