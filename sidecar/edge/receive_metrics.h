/* receive_metrics: what the OTLP server counts. Refusals of whole requests are receive_answer's.
 *
 * Thread: a struct receive_metrics belongs to its receiver's; the values are shared by all.
 */
#ifndef SIDECAR_EDGE_RECEIVE_METRICS_H
#define SIDECAR_EDGE_RECEIVE_METRICS_H

#include "sidecar/edge/receive_answer.h"
#include "sidecar/net/net_server.h"

/* The series, looked up once: that takes a lock. */
struct receive_metrics {
    struct {
        struct metric *items, *bytes, *seconds;
    } accepted[SIGNAL_COUNT][PROTOCOL_COUNT];
};

/* A request has been acknowledged, `seconds` after it was whole. */
void receive_metrics_accept(struct receive_metrics *metrics, const struct answer *answer,
                            uint32_t items, uint64_t bytes, double seconds);

/* Items that were left out of a request that was acknowledged. */
void receive_metrics_reject(const struct answer *answer, uint32_t items);

/* Sets what a port's servers counted, all workers together: its connections, and what never came as
 * far as a request. `port` is "grpc" or "http". */
void receive_metrics_show(const char *port, const struct net_server_stats *stats);

#endif
