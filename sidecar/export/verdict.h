/* verdict: what a backend's answer means for the data that was sent. The one place where it is
 * decided, as tables.
 *
 *   gRPC                                                 HTTP                         verdict
 *   OK                                                   200 202 204                  DONE, PARTIAL
 *   CANCELLED DEADLINE_EXCEEDED ABORTED OUT_OF_RANGE     408 425 429 5xx, other 2xx   AGAIN
 *   UNAVAILABLE DATA_LOSS UNKNOWN INTERNAL, no answer    no answer                    AGAIN
 *   UNAUTHENTICATED PERMISSION_DENIED                    401 403 404 405 407 415      MEND
 *   UNIMPLEMENTED NOT_FOUND                              3xx                          MEND
 *   RESOURCE_EXHAUSTED with RetryInfo, or up to 1 MiB                                 AGAIN
 *   RESOURCE_EXHAUSTED without, over 1 MiB               413                          TOO_LARGE
 *   INVALID_ARGUMENT and the rest                        other 4xx                    REFUSED
 *                                                        500 that says "never"        REFUSED
 *
 * MEND is tried again like AGAIN: somebody's credentials, route or version have to be put right,
 * and no data is at fault. A 2xx that is not known to mean "stored" (Loki's 260) is tried again
 * too. A 500 says "never" if its text is one that Prometheus has for a sample it can't take:
 * tried again for ever, it would take every sample beside it along. Other texts under a 500,
 * UNKNOWN and INTERNAL may mean that as well and do not say it (`may_be_data`).
 *
 * Any of MEND, REFUSED and INTERNAL may be about the compression instead (`blame`): gRPC says
 * UNIMPLEMENTED for one it doesn't know, grpcio INTERNAL; HTTP has 415, Prometheus says 400.
 *
 * Pure.
 */
#ifndef SIDECAR_EXPORT_VERDICT_H
#define SIDECAR_EXPORT_VERDICT_H

#include "common/bytes.h"
#include "common/compress.h"
#include "common/contract/signal.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/otlp/status.h"

enum verdict {
    VERDICT_DONE,      /* stored */
    VERDICT_PARTIAL,   /* stored but for `rejected` items, and nobody says which */
    VERDICT_AGAIN,     /* later, unchanged */
    VERDICT_MEND,      /* later, unchanged; a person has to do something */
    VERDICT_TOO_LARGE, /* in smaller pieces */
    VERDICT_REFUSED,   /* never: halve until the culprit is alone */
};

/* Whether it may be the compression that was not taken, and not the data. */
enum blame {
    BLAME_NONE,
    BLAME_POSSIBLE, /* servers that can't read a request answer like that too */
    BLAME_CERTAIN,  /* the answer names it */
};

#define VERDICT_LARGE_BYTES (1u << 20) /* above it RESOURCE_EXHAUSTED may mean the size */

struct judgement {
    enum verdict verdict;
    uint64_t retry_after_ms; /* what the backend asks for; 0: it does not say */
    int64_t rejected;        /* PARTIAL: items */
    char text[300];          /* the backend's sentence, shortened; for status, log, dead letters */
    enum blame blame;        /* of a refusal; see encodings.h */
    bool may_be_data;        /* AGAIN, but servers also say so of what they will never take */
    bool lost_connection;    /* the connection went down: what it had not stored may be gone */
};

const char *verdict_name(enum verdict verdict); /* a metric's label */

/* `sent_bytes`: the request before compression; `encoding`: how it was sent. */
void judge_grpc(enum signal signal, const struct grpc_result *result, size_t sent_bytes,
                enum compression encoding, struct judgement *ret_judgement);

struct http_answer {
    int status;
    struct bytes content_type, body;
    const char *retry_after; /* the header's value; NULL: none */
};

void judge_http(enum signal signal, const struct http_answer *answer, enum compression encoding,
                struct judgement *ret_judgement);

/* No HTTP answer came: why, and what it means. */
void judge_no_answer(enum err err, const char *text, struct judgement *ret_judgement);

#endif
