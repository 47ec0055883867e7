/* event_recorder: Kubernetes Events (events.k8s.io/v1) about our objects, as series.
 *
 *   event_record() --queue--> known series? --> count it; patch at most every 30 s
 *                                   new     --> create an Event
 *
 * The same thing again (object, type, reason, action) is no new Event but one more of its series,
 * until it was quiet for 6 minutes. An Event's note can't be changed: another note starts a new
 * Event, at most every 5 minutes for one series. Notes are cut to 1 kB at a character. For one
 * object at most 25 new Events at once and then one every 5 minutes; what is beyond that or finds
 * EVENT_QUEUE_MAX waiting is dropped and counted. Nothing waits for an Event, and none is tried
 * twice: they are news, conditions are the truth.
 *
 * Metrics: kube_events_total{type,outcome}, outcome being written, aggregated, dropped or failed.
 * Thread: event_record() from any; a thread of its own writes.
 */
#ifndef CONTROLLER_KUBE_EVENT_H
#define CONTROLLER_KUBE_EVENT_H

#include "common/kube/client.h"

enum { EVENT_QUEUE_MAX = 1000, EVENT_SERIES_MAX = 4096, EVENT_NOTE_MAX = 1024 };

struct event_recorder;

/* `client` outlives the recorder. `controller`: "surgetank.dev/controller"; `instance`: pod name.
 */
NODISCARD enum err event_recorder_create(struct kube_client *client, const char *controller,
                                         const char *instance, struct event_recorder **ret_recorder,
                                         struct error *error);

/* Writes what waits, for at most 2 s; what is under way then is cut short by forbidding the client
 * to write (kube_client_allow_writes()). */
void event_recorder_destroy(struct event_recorder **slot);

enum event_type { EVENT_NORMAL, EVENT_WARNING };

/* What happened to `regarding` (an object with a uid). `reason`: CamelCase, why; `action`: what we
 * were doing. Copies everything. */
void event_record(struct event_recorder *recorder, const struct json *regarding,
                  enum event_type type, const char *reason, const char *action, const char *format,
                  ...) PRINTF_LIKE(6, 7);

#endif
