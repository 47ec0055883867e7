/* access: a struct kafka_access of one's own, and the librdkafka configuration that it means.
 * Internal to the folder. */
#ifndef CONTROLLER_KAFKA_ADMIN_ACCESS_H
#define CONTROLLER_KAFKA_ADMIN_ACCESS_H

#include "controller/kafka_admin/admin.h"

#include <librdkafka/rdkafka.h>

/* Copies all strings into one block. ERR_INVALID: no addresses, or above ADMIN_ACCESS_SIZE_MAX. */
NODISCARD enum err access_copy(const struct kafka_access *access, struct kafka_access **ret_copy,
                               struct error *error);

/* Wipes and frees. */
void access_destroy(struct kafka_access **access);

bool access_equal(const struct kafka_access *a, const struct kafka_access *b);

/* The configuration of a client with this access; the caller's until rd_kafka_new() takes it. */
NODISCARD enum err access_conf(const struct kafka_access *access, rd_kafka_conf_t **ret_conf,
                               struct error *error);

/* Once for each client that was made: tokens are then renewed by a thread of librdkafka's own, for
 * nobody polls an idle client. */
void access_start(rd_kafka_t *client, const struct kafka_access *access);

#endif
