/* bench: what benches of OTLP share: a request of spans, and CPU time.
 */
#ifndef TESTS_SUPPORT_BENCH_H
#define TESTS_SUPPORT_BENCH_H

#include "common/buf.h"
#include "common/error.h"

/* CPU seconds of this thread, on a busy machine too. */
double bench_cpu_s(void);

/* Anything but OK ends the bench. */
void bench_need(enum err err);

/* Appends a request of that many spans of ten attributes, about 458 bytes each, below one resource:
 * of 64 traces, one in twenty with an error. */
void bench_put_request(struct buf *out, unsigned spans);

#endif
