/* otlp_random: valid OTLP requests by the dice, from the same schema that the code under test reads
 * (whose truth is checked against protobuf's own descriptors, tests/golden/otlp).
 *
 * With `odd`, they are as strange as protobuf allows: fields in any order, singular messages more
 * than once, unknown fields of every kind, packed and unpacked numbers, lengths of more bytes than
 * they need. Without, they are what an SDK would write.
 */
#ifndef TESTS_SUPPORT_OTLP_RANDOM_H
#define TESTS_SUPPORT_OTLP_RANDOM_H

#include "common/buf.h"
#include "common/contract/signal.h"

struct otlp_random {
    uint64_t state; /* the seed; any number */
    bool odd;
    unsigned list_max; /* elements of a list; 0: 3 */
};

uint64_t otlp_random_next(struct otlp_random *random);
unsigned otlp_random_below(struct otlp_random *random, unsigned limit);

/* Appends a request of the signal. */
void otlp_random_request(struct otlp_random *random, enum signal signal, struct buf *out);

#endif
