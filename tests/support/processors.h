/* processors: what is under test, made of the text that a user would write. Fails the test with
 * the document's own sentence where it is refused.
 *
 *   - filter: {drop: 'severity < "INFO"'}
 *   - redact: {keys: [card]}
 */
#ifndef TESTS_SUPPORT_PROCESSORS_H
#define TESTS_SUPPORT_PROCESSORS_H

#include "common/contract/pipeline.h"
#include "sidecar/process/process.h"

/* A pipeline with Kafka, topics traces, metrics and logs and, beside these, red-logs,
 * blue-logs and red-traces; its one edge has these processors and routes. "[]" is none. */
struct pipeline *processors_pipeline(const char *processors, const char *routes);

struct process *processors_make(const char *processors);

#endif
