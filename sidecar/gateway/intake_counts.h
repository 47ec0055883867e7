/* intake_counts: the metrics of what a gateway reads from Kafka. */
#ifndef SIDECAR_GATEWAY_INTAKE_COUNTS_H
#define SIDECAR_GATEWAY_INTAKE_COUNTS_H

#include "common/metrics.h"

struct intake_counts {
    struct metric *messages, *items;
    struct metric *repeats;     /* items */
    struct metric *undecodable; /* messages, as are the missed */
    struct metric *missed;
    struct metric *looked_back, *looked_back_partly; /* partitions */
};

void intake_counts_init(struct intake_counts *counts, const char *gateway);

#endif
