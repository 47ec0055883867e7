#include "sidecar/edge/edge_memory.h"

enum { PARTS = 64 };

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

struct edge_memory edge_memory_of(const struct pipeline_edge *edge)
{
    size_t part = (size_t)edge->memory_limit_bytes / PARTS;
    size_t largest = larger((size_t)edge->otlp.grpc_max_request_bytes,
                            (size_t)edge->otlp.http_max_request_bytes);

    return (struct edge_memory){
        .bodies = 4 * part,
        .pending = 4 * part,
        .in_flight = 3 * part,
        .overhead = 8 * part,
        .scratch = larger(10 * part, largest * 5 / 4),
    };
}
