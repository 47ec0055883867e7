#include "controller/kafka_admin/call.h"

#include "common/assert.h"
#include "common/clock.h"
#include "controller/kafka_admin/kafka_error.h"

#include <stdio.h>

#define SLICE_MS 100
/* librdkafka times requests out itself; only if it doesn't do we. */
#define GRACE_MS 2000

static void drop_error(rd_kafka_error_t *refused)
{
    ASSERT(refused == NULL); /* an option that this request does not have: our mistake */
}

void call_init(struct call *call, struct admin *admin, rd_kafka_admin_op_t op, uint32_t timeout_ms,
               const char *what)
{
    char why[128];

    *call = (struct call){.admin = admin, .handle = admin_handle(admin), .what = what};
    if (timeout_ms < 100)
        timeout_ms = 100;
    call->begun_ms = clock_mono_ms();
    call->timeout_ms = timeout_ms;
    call->queue = rd_kafka_queue_new(call->handle);
    call->options = rd_kafka_AdminOptions_new(call->handle, op);
    rd_kafka_resp_err_t code =
        rd_kafka_AdminOptions_set_request_timeout(call->options, (int)timeout_ms, why, sizeof why);
    ASSERT(code == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_CREATEPARTITIONS ||
        op == RD_KAFKA_ADMIN_OP_DELETETOPICS) {
        code = rd_kafka_AdminOptions_set_operation_timeout(call->options, (int)timeout_ms, why,
                                                           sizeof why);
        ASSERT(code == RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    if (op == RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS)
        drop_error(rd_kafka_AdminOptions_set_require_stable_offsets(call->options, 0));
}

void call_fini(struct call *call)
{
    if (call->event != NULL)
        rd_kafka_event_destroy(call->event);
    if (call->options != NULL)
        rd_kafka_AdminOptions_destroy(call->options);
    if (call->queue != NULL)
        rd_kafka_queue_destroy(call->queue);
    *call = (struct call){0};
}

/* No answer, or one that librdkafka made up for want of one: the brokers' trouble says more. */
static enum err unanswered(struct call *call, rd_kafka_resp_err_t code, const char *text,
                           struct error *error)
{
    char trouble[256], words[400];
    rd_kafka_resp_err_t cause = admin_trouble(call->admin, trouble, sizeof trouble);

    if (trouble[0] == '\0') {
        snprintf(words, sizeof words, "%s (%.200s)", text != NULL ? text : rd_kafka_err2str(code),
                 admin_bootstrap(call->admin));
        return kafka_error_set(error, code, call->what, words);
    }
    if (kafka_error_is_refusal(cause))
        return kafka_error_set(error, cause, call->what, trouble);
    return error_set(error, ERR_AGAIN,
                     "%s: Kafka at %.120s could not be reached (%s); check bootstrapServers, the "
                     "listener's protocol (TLS, SASL), network policies and the brokers",
                     call->what, admin_bootstrap(call->admin), trouble);
}

enum err call_wait(struct call *call, rd_kafka_event_t **ret_event, struct error *error)
{
    uint64_t deadline_ms = clock_mono_ms() + call->timeout_ms + GRACE_MS;

    if (call->event != NULL)
        rd_kafka_event_destroy(call->event);
    call->event = NULL;

    while (call->event == NULL) {
        call->event = rd_kafka_queue_poll(call->queue, SLICE_MS);
        bool refused = admin_poll(call->admin, call->begun_ms);
        if (call->event == NULL && (refused || clock_mono_ms() > deadline_ms))
            return unanswered(call, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, error);
    }
    rd_kafka_resp_err_t code = rd_kafka_event_error(call->event);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
        code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return unanswered(call, code, rd_kafka_event_error_string(call->event), error);
    admin_answered(call->admin);
    if (code)
        return kafka_error_set(error, code, call->what, rd_kafka_event_error_string(call->event));
    *ret_event = call->event;
    return OK;
}
