/* kafka_error: librdkafka's codes -> what a caller of this folder should do. Internal to it. */
#ifndef CONTROLLER_KAFKA_ADMIN_KAFKA_ERROR_H
#define CONTROLLER_KAFKA_ADMIN_KAFKA_ERROR_H

#include "common/error.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

/* OK for no error. What is not known is ERR_AGAIN: backoff bounds the harm. */
enum err kafka_error_code(rd_kafka_resp_err_t code);

/* No use in waiting for an answer: the brokers refuse us. */
bool kafka_error_is_refusal(rd_kafka_resp_err_t code);

/* "what: Kafka's words; what to do next" into `error`, and the code. `text` may be NULL. */
enum err kafka_error_set(struct error *error, rd_kafka_resp_err_t code, const char *what,
                         const char *text);

#endif
