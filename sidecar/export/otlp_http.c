/* OTLP over HTTP, protobuf. libcurl runs on a thread of its own: an attempt's answer is judged
 * there and handed back to the loop as a posted task. */
#include "common/compress.h"
#include "common/contract/endpoint.h"
#include "common/http_client.h"
#include "sidecar/export/export.h"
#include "sidecar/export/export_headers.h"
#include "sidecar/net/net_loop.h"

#include <stdlib.h>

enum { RESPONSE_MAX = 4 << 20 };

struct exporter {
    struct http_client *client;
    struct net_loop *loop;
    struct compressor *compressor; /* NULL: none */
    struct arena arena;
    const char *urls[SIGNAL_COUNT];
    struct http_header headers[EXPORT_HEADERS_MAX + 2];
    size_t header_count;
    struct http_tls tls;
    unsigned timeout_ms;
};

struct attempt {
    struct net_task task;
    struct exporter *exporter;
    struct export_batch batch;
    struct buf body;
    struct judgement judgement;
};

/* The loop's thread. */
static void report(struct net_task *task)
{
    struct attempt *attempt = (struct attempt *)task; /* its first member */

    attempt->batch.done(attempt->batch.context, &attempt->judgement);
    buf_fini(&attempt->body);
    free(attempt);
}

/* The client's thread. */
static void on_done(void *context, enum err err, const struct http_response *response,
                    const struct error *error)
{
    struct attempt *attempt = context;

    if (err || response == NULL) {
        judge_no_answer(err, error == NULL ? "" : error->text, &attempt->judgement);
    } else {
        const char *type = http_response_header(response, "content-type");
        judge_http(attempt->batch.signal, http_response_status(response),
                   type == NULL ? (struct bytes){0} : bytes_from(type),
                   http_response_body(response), http_response_header(response, "retry-after"),
                   &attempt->judgement);
    }
    attempt->task.run = report;
    net_loop_post(attempt->exporter->loop, &attempt->task);
}

static enum err gather(struct exporter *exporter, const struct export_batch *batch,
                       struct buf *into, struct error *error)
{
    if (exporter->compressor != NULL)
        return compressor_run(exporter->compressor, batch->parts, batch->part_count, into, error);
    if (buf_reserve(into, batch->size_bytes))
        return error_set(error, ERR_NOMEM, "a batch of %zu bytes", batch->size_bytes);
    for (size_t i = 0; i < batch->part_count; i++)
        if (buf_append(into, batch->parts[i]))
            return error_set(error, ERR_NOMEM, "a batch of %zu bytes", batch->size_bytes);
    return OK;
}

static enum err send(void *self, const struct export_batch *batch, struct error *error)
{
    struct exporter *exporter = self;
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return error_set(error, ERR_NOMEM, "send a batch");

    attempt->exporter = exporter;
    attempt->batch = *batch;
    enum err err = gather(exporter, batch, &attempt->body, error);
    const struct http_request request = {
        .method = "POST",
        .url = exporter->urls[batch->signal],
        .headers = exporter->headers,
        .header_count = exporter->header_count,
        .tls = &exporter->tls,
        .body = buf_bytes(&attempt->body),
        .total_timeout_ms = exporter->timeout_ms,
        .response_max = RESPONSE_MAX,
        .on_done = on_done,
        .context = attempt,
    };
    if (!err)
        err = http_submit(exporter->client, &request, NULL, error);
    if (err) {
        buf_fini(&attempt->body);
        free(attempt);
    }
    return err;
}

static void close_exporter(void *self)
{
    struct exporter *exporter = self;

    http_client_destroy(&exporter->client); /* posts what was under way */
    net_loop_run_once(exporter->loop, 0);
    compressor_destroy(&exporter->compressor);
    arena_fini(&exporter->arena);
    free(exporter);
}

static enum err make_urls(struct exporter *exporter, const char *text, struct error *error)
{
    struct endpoint endpoint;

    enum err err = endpoint_parse_url(text, &endpoint, error);
    if (err)
        return err;
    bool v6 = strchr(endpoint.host, ':') != NULL;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        exporter->urls[i] = arena_printf(&exporter->arena, "%s://%s%s%s:%u%s/v1/%s",
                                         endpoint.tls ? "https" : "http", v6 ? "[" : "",
                                         endpoint.host, v6 ? "]" : "", (unsigned)endpoint.port,
                                         endpoint.path, signal_name((enum signal)i));
        if (exporter->urls[i] == NULL)
            return error_set(error, ERR_NOMEM, "open exporter");
    }
    return OK;
}

static enum err make_headers(struct exporter *exporter, const struct export_options *options,
                             struct error *error)
{
    enum pipeline_compression wanted = options->settings->compression;
    struct export_headers headers = {.count = 0};

    enum err err = export_headers_make(options->settings, options->secrets_dir, &exporter->arena,
                                       &headers, error);
    for (size_t i = 0; i < headers.count && !err; i++)
        exporter->headers[exporter->header_count++] =
            (struct http_header){headers.items[i].name, headers.items[i].value};
    exporter->headers[exporter->header_count++] =
        (struct http_header){"content-type", "application/x-protobuf"};
    if (err || wanted == PIPELINE_COMPRESSION_NONE)
        return err;
    enum compression compression =
        wanted == PIPELINE_COMPRESSION_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_GZIP;
    exporter->headers[exporter->header_count++] =
        (struct http_header){"content-encoding", compression_name(compression)};
    return compressor_create(compression, 1, &exporter->compressor, error);
}

static enum err make_tls(struct exporter *exporter, const struct export_options *options,
                         struct error *error)
{
    const struct pipeline_tls_client *tls = &options->settings->tls;

    exporter->tls.insecure_skip_verify = tls->insecure_skip_verify;
    enum err err = pipeline_secret_path(&tls->ca_secret, options->secrets_dir, &exporter->arena,
                                        &exporter->tls.ca_file, error);
    if (!err)
        err = pipeline_secret_path(&tls->certificate_secret, options->secrets_dir, &exporter->arena,
                                   &exporter->tls.cert_file, error);
    return err ? err
               : pipeline_secret_path(&tls->key_secret, options->secrets_dir, &exporter->arena,
                                      &exporter->tls.key_file, error);
}

enum err export_otlp_http_open(const struct export_options *options,
                               const struct export_kind **ret_kind, void **ret_self,
                               struct error *error)
{
    static const struct export_kind kind = {.send = send, .close = close_exporter};
    struct exporter *exporter = calloc(1, sizeof *exporter);
    if (exporter == NULL)
        return error_set(error, ERR_NOMEM, "open exporter");

    exporter->loop = options->loop;
    exporter->timeout_ms = (unsigned)options->settings->timeout_ms;
    const struct http_client_config config = {.name = "export", .user_agent = options->user_agent};
    enum err err = make_urls(exporter, options->settings->endpoint, error);
    if (!err)
        err = make_headers(exporter, options, error);
    if (!err)
        err = make_tls(exporter, options, error);
    if (!err)
        err = http_client_create(&config, &exporter->client, error);
    if (err) {
        close_exporter(exporter);
        return err;
    }
    *ret_kind = &kind;
    *ret_self = exporter;
    return OK;
}
