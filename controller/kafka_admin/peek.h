/* peek: reads the one record at an offset, to learn when it was made, or that nothing is there but
 * transaction markers. Internal to the folder.
 *
 * A consumer without a group, opened for the occasion, is assigned the places and closed again.
 * What comes in one fetch is bounded by fetch.message.max.bytes, but for the first batch, which a
 * broker always sends whole.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_PEEK_H
#define CONTROLLER_KAFKA_ADMIN_PEEK_H

#include "controller/kafka_admin/admin.h"
#include "controller/kafka_admin/lag.h"

#define PEEKS_MAX 32

struct peek {
    const char *topic;
    int32_t partition;
    int64_t at;
    enum lag_peek found;  /* the answer; LAG_NOT_PEEKED: none came in time */
    int64_t timestamp_ms; /* LAG_RECORD: since 1970, 0 if it has none */
    int64_t end;          /* LAG_NOTHING: up to here */
};

/* Fills at most PEEKS_MAX peeks. ERR_AGAIN: not all were answered; the others are good. */
NODISCARD enum err peek_records(const struct kafka_access *access, struct peek *peeks, size_t count,
                                uint32_t timeout_ms, struct error *error);

#endif
