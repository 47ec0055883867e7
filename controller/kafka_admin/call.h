/* call: one admin request on a shared client, from options to its result event. Internal to the
 * folder, as is everything that shows librdkafka's types.
 *
 *   AUTO(call_fini) struct call call;
 *   call_init(&call, admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms, "create topics");
 *   rd_kafka_CreateTopics(call.handle, topics, count, call.options, call.queue);
 *   err = call_wait(&call, &event, error);
 *
 * The event is the call's, until call_fini() or the next wait.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_CALL_H
#define CONTROLLER_KAFKA_ADMIN_CALL_H

#include "controller/kafka_admin/admin.h"

#include <librdkafka/rdkafka.h>

struct call {
    struct admin *admin;
    rd_kafka_t *handle;
    rd_kafka_AdminOptions_t *options;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;
    const char *what;
    uint32_t timeout_ms; /* of each request */
    uint64_t begun_ms;   /* monotonic */
};

/* `what` is a literal. */
void call_init(struct call *call, struct admin *admin, rd_kafka_admin_op_t op, uint32_t timeout_ms,
               const char *what);

/* Abandons what has not been answered. */
void call_fini(struct call *call);

/* The next result. An error of the request as a whole is returned, with the brokers' trouble in the
 * sentence where there is any; of its parts, the caller looks into the event. */
NODISCARD enum err call_wait(struct call *call, rd_kafka_event_t **ret_event, struct error *error);

/* From admin.c: the handle, and what the brokers last complained of. */
rd_kafka_t *admin_handle(struct admin *admin);
const char *admin_bootstrap(const struct admin *admin);

/* Takes in what the client has noticed. True: since `since_ms` the brokers have refused us, and
 * waiting is no use. (librdkafka says the same thing again only every 30 s or so.) */
bool admin_poll(struct admin *admin, uint64_t since_ms);

/* Forgets complaints: a request was answered. */
void admin_answered(struct admin *admin);

/* Copies the last complaint, "" if there is none, and returns its code. */
rd_kafka_resp_err_t admin_trouble(struct admin *admin, char *into, size_t size);

#endif
