/* numbered: requests of log records that each carry a number, so that a test can say by identity
 * what arrived where. All in one resource and one scope; the number is a record's time.
 */
#ifndef TESTS_SUPPORT_NUMBERED_H
#define TESTS_SUPPORT_NUMBERED_H

#include "common/buf.h"

#include <stddef.h>
#include <stdint.h>

/* Appends a request with the records first .. first+count-1, each with `padding` bytes of body. */
void numbered_request(uint64_t first, unsigned count, size_t padding, struct buf *out);

/* The same, each record in a trace of its own, whose id begins with its number, little endian. */
void numbered_traces(uint64_t first, unsigned count, struct buf *out);

/* Calls `visit` with each number in the request. Fails the test if it is none of the above. */
void numbered_visit(struct bytes request, void (*visit)(void *context, uint64_t number),
                    void *context);

#endif
