/* export: one backend, behind one small interface. A batch goes out, a judgement comes back.
 *
 *   export_send(parts) --> backend's protocol --> done(judgement)
 *
 * An exporter knows nothing of offsets, retries or dead letters: each send is one attempt (for the
 * backend more than one where it does not take the compression, see encodings.h). Several
 * may be under way at once; done() is called exactly once for each, on the loop's thread, never
 * from within export_send().
 *
 * An exporter follows its files: certificates, headers, tokens and passwords that have changed are
 * taken over by the next attempt, at most a second later, without a request being cut off.
 * surgetank_gateway_credential_reloads_total counts; what can't be used leaves the old ones.
 *
 * Thread: the loop's.
 */
#ifndef SIDECAR_EXPORT_EXPORT_H
#define SIDECAR_EXPORT_EXPORT_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/export/verdict.h"

#define EXPORT_PARTS_MAX 4096 /* of one batch */

struct export;
struct net_loop;

/* What the wiring gives every kind. Loans for the exporter's life. */
struct export_options {
    struct net_loop *loop;
    const struct pipeline_export *settings;
    const char *secrets_dir; /* NULL: none */
    const char *user_agent;
    const char *gateway; /* its name, for log and metrics */
};

struct export_batch {
    enum signal signal;
    const struct bytes *parts; /* together one OTLP request; the caller's until done() */
    size_t part_count;
    size_t size_bytes; /* their sum */
    void (*done)(void *context, const struct judgement *judgement);
    void *context;
};

/* ERR_INVALID: a setting, a secret. A backend that is away is no error here. */
NODISCARD enum err export_open(const struct export_options *options, struct export **ret_export,
                               struct error *error);

/* What is under way ends with VERDICT_AGAIN, from within this call. */
void export_close(struct export **export);

/* Starts an attempt. An error means that it was not started, and done() is not called. Not from
 * within done(). */
NODISCARD enum err export_send(struct export *export, const struct export_batch *batch,
                               struct error *error);

/* ---- for the kinds of backend */

struct export_kind {
    enum err (*send)(void *self, const struct export_batch *batch, struct error *error);
    void (*close)(void *self);
};

NODISCARD enum err export_otlp_grpc_open(const struct export_options *options,
                                         const struct export_kind **ret_kind, void **ret_self,
                                         struct error *error);
NODISCARD enum err export_otlp_http_open(const struct export_options *options,
                                         const struct export_kind **ret_kind, void **ret_self,
                                         struct error *error);

#endif
