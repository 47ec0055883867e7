/* OTLP over gRPC. Without compression the parts go out as they lie; with it they are compressed
 * into one buffer, which lives until the answer. */
#include "common/clock.h"
#include "common/contract/endpoint.h"
#include "common/tls.h"
#include "sidecar/export/encodings.h"
#include "sidecar/export/export.h"
#include "sidecar/export/export_headers.h"
#include "sidecar/net/grpc_client.h"

#include <stdlib.h>

struct exporter {
    struct grpc_client *client;
    struct tls_context *tls;
    struct encodings encodings;
    uint32_t timeout_ms;
    struct arena arena;
    struct export_headers headers;
    struct net_field metadata[EXPORT_HEADERS_MAX];
};

struct attempt {
    struct exporter *exporter;
    struct export_batch batch;
    struct trial trial;
    struct buf compressed;
    struct bytes body; /* of compressed */
};

static const char *const paths[SIGNAL_COUNT] = {
    [SIGNAL_TRACES] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    [SIGNAL_METRICS] = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    [SIGNAL_LOGS] = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
};

static void free_attempt(struct attempt *attempt)
{
    buf_fini(&attempt->compressed);
    free(attempt);
}

static enum err start(struct attempt *attempt, struct error *error);

static void on_done(void *ctx, const struct grpc_result *result)
{
    struct attempt *attempt = ctx;
    struct encodings *encodings = &attempt->exporter->encodings;
    struct judgement judgement;
    struct error error = {0};

    judge_grpc(attempt->batch.signal, result, attempt->batch.size_bytes, attempt->trial.used,
               &judgement);
    if (encodings_retry(encodings, &attempt->trial, &judgement, clock_mono_ms())) {
        enum err err = start(attempt, &error);
        if (!err)
            return;
        judge_no_answer(err, error.text, &judgement);
    }
    attempt->batch.done(attempt->batch.context, &judgement);
    free_attempt(attempt);
}

/* Sends it in the encoding whose turn it is. */
static enum err start(struct attempt *attempt, struct error *error)
{
    struct exporter *exporter = attempt->exporter;
    const struct export_batch *batch = &attempt->batch;
    struct grpc_call_params call = {
        .path = paths[batch->signal],
        .metadata = exporter->metadata,
        .metadata_count = exporter->headers.count,
        .message = batch->parts,
        .message_count = batch->part_count,
        .timeout_ms = exporter->timeout_ms,
        .done = on_done,
        .ctx = attempt,
    };

    buf_clear(&attempt->compressed);
    if (attempt->trial.used != COMPRESSION_NONE) {
        enum err err = encodings_run(&exporter->encodings, &attempt->trial, batch->parts,
                                     batch->part_count, &attempt->compressed, error);
        if (err)
            return err;
        attempt->body = buf_bytes(&attempt->compressed);
        call.message = &attempt->body;
        call.message_count = 1;
        call.encoding = compression_name(attempt->trial.used);
    }
    return grpc_client_call(exporter->client, &call, NULL, error);
}

static enum err send(void *self, const struct export_batch *batch, struct error *error)
{
    struct exporter *exporter = self;
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return error_set(error, ERR_NOMEM, "send a batch");

    attempt->exporter = exporter;
    attempt->batch = *batch;
    encodings_begin(&exporter->encodings, &attempt->trial, clock_mono_ms());
    enum err err = start(attempt, error);
    if (err)
        free_attempt(attempt);
    return err;
}

static void close_exporter(void *self)
{
    struct exporter *exporter = self;

    grpc_client_destroy(&exporter->client);
    tls_context_close(&exporter->tls);
    encodings_fini(&exporter->encodings);
    arena_fini(&exporter->arena);
    free(exporter);
}

static enum err open_tls(struct exporter *exporter, const struct export_options *options,
                         struct error *error)
{
    const struct pipeline_tls_client *tls = &options->settings->tls;
    struct tls_client_options wanted = {.alpn = "h2",
                                        .insecure_skip_verify = tls->insecure_skip_verify};

    if (tls->insecure)
        return OK;
    enum err err = pipeline_secret_path(&tls->ca_secret, options->secrets_dir, &exporter->arena,
                                        &wanted.ca_file, error);
    if (!err)
        err = pipeline_secret_path(&tls->certificate_secret, options->secrets_dir, &exporter->arena,
                                   &wanted.certificate_file, error);
    if (!err)
        err = pipeline_secret_path(&tls->key_secret, options->secrets_dir, &exporter->arena,
                                   &wanted.key_file, error);
    return err ? err : tls_client_open(&wanted, &exporter->tls, error);
}

static enum err open_client(struct exporter *exporter, const struct export_options *options,
                            struct error *error)
{
    struct grpc_client_options wanted;
    struct endpoint endpoint;

    enum err err = endpoint_parse_address(options->settings->endpoint, &endpoint, error);
    if (err)
        return err;
    grpc_client_options_init(&wanted);
    wanted.host = endpoint.host;
    wanted.port = endpoint.port;
    wanted.tls = exporter->tls;
    wanted.user_agent = options->user_agent;
    return grpc_client_create(options->loop, &wanted, &exporter->client, error);
}

enum err export_otlp_grpc_open(const struct export_options *options,
                               const struct export_kind **ret_kind, void **ret_self,
                               struct error *error)
{
    static const struct export_kind kind = {.send = send, .close = close_exporter};
    struct exporter *exporter = calloc(1, sizeof *exporter);
    if (exporter == NULL)
        return error_set(error, ERR_NOMEM, "open exporter");

    exporter->timeout_ms = (uint32_t)options->settings->timeout_ms;
    encodings_init(&exporter->encodings, options->settings->compression, options->gateway);
    enum err err = open_tls(exporter, options, error);
    if (!err)
        err = export_headers_make(options->settings, options->secrets_dir, &exporter->arena,
                                  &exporter->headers, error);
    for (size_t i = 0; i < exporter->headers.count; i++)
        exporter->metadata[i] =
            (struct net_field){exporter->headers.items[i].name, exporter->headers.items[i].value};
    if (!err)
        err = open_client(exporter, options, error);
    if (err) {
        close_exporter(exporter);
        return err;
    }
    *ret_kind = &kind;
    *ret_self = exporter;
    return OK;
}
