/* OTLP over HTTP, protobuf. libcurl runs on a thread of its own: an attempt's answer is judged
 * there and handed back to the loop as a posted task. */
#include "common/clock.h"
#include "common/contract/endpoint.h"
#include "common/http_client.h"
#include "sidecar/export/encodings.h"
#include "sidecar/export/export.h"
#include "sidecar/export/export_headers.h"
#include "sidecar/net/net_loop.h"

#include <stdlib.h>

enum { RESPONSE_MAX = 4 << 20 };

struct exporter {
    struct http_client *client;
    struct net_loop *loop;
    struct encodings encodings;
    struct arena arena;
    const char *urls[SIGNAL_COUNT];
    struct http_header headers[EXPORT_HEADERS_MAX + 2]; /* the last one: content-encoding */
    size_t header_count;                                /* without that */
    struct http_tls tls;
    unsigned timeout_ms;
    unsigned under_way;
    bool closing;
};

struct attempt {
    struct net_task task;
    struct exporter *exporter;
    struct export_batch batch;
    struct trial trial;
    struct buf body;
    struct judgement judgement;
};

static void free_attempt(struct attempt *attempt)
{
    attempt->exporter->under_way--;
    buf_fini(&attempt->body);
    free(attempt);
}

static enum err start(struct attempt *attempt, struct error *error);

/* The loop's thread. */
static void report(struct net_task *task)
{
    struct attempt *attempt = (struct attempt *)task; /* its first member */
    struct exporter *exporter = attempt->exporter;
    struct error error = {0};

    if (encodings_retry(&exporter->encodings, &attempt->trial, &attempt->judgement,
                        clock_mono_ms())) {
        enum err err = exporter->closing ? error_set(&error, ERR_CLOSED, "the exporter is closing")
                                         : start(attempt, &error);
        if (!err)
            return;
        judge_no_answer(err, error.text, &attempt->judgement);
    }
    attempt->batch.done(attempt->batch.context, &attempt->judgement);
    free_attempt(attempt);
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
        const struct http_answer answer = {
            .status = http_response_status(response),
            .content_type = type == NULL ? (struct bytes){0} : bytes_from(type),
            .body = http_response_body(response),
            .retry_after = http_response_header(response, "retry-after")};
        judge_http(attempt->batch.signal, &answer, attempt->trial.used, &attempt->judgement);
    }
    attempt->task.run = report;
    net_loop_post(attempt->exporter->loop, &attempt->task);
}

/* Sends it in the encoding whose turn it is. */
static enum err start(struct attempt *attempt, struct error *error)
{
    struct exporter *exporter = attempt->exporter;
    const struct export_batch *batch = &attempt->batch;
    bool compressed = attempt->trial.used != COMPRESSION_NONE;

    buf_clear(&attempt->body);
    enum err err = encodings_run(&exporter->encodings, &attempt->trial, batch->parts,
                                 batch->part_count, &attempt->body, error);
    if (err)
        return err;
    exporter->headers[exporter->header_count].value = compression_name(attempt->trial.used);
    const struct http_request request = {
        .method = "POST",
        .url = exporter->urls[batch->signal],
        .headers = exporter->headers,
        .header_count = exporter->header_count + compressed,
        .tls = &exporter->tls,
        .body = buf_bytes(&attempt->body),
        .total_timeout_ms = exporter->timeout_ms,
        .response_max = RESPONSE_MAX,
        .on_done = on_done,
        .context = attempt,
    };
    return http_submit(exporter->client, &request, NULL, error);
}

static enum err send(void *self, const struct export_batch *batch, struct error *error)
{
    struct exporter *exporter = self;
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return error_set(error, ERR_NOMEM, "send a batch");

    exporter->under_way++;
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

    exporter->closing = true;
    http_client_destroy(&exporter->client); /* posts what was under way */
    while (exporter->under_way > 0)
        net_loop_run_once(exporter->loop, 0);
    encodings_fini(&exporter->encodings);
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
    struct export_headers headers = {.count = 0};

    enum err err = export_headers_make(options->settings, options->secrets_dir, &exporter->arena,
                                       &headers, error);
    for (size_t i = 0; i < headers.count && !err; i++)
        exporter->headers[exporter->header_count++] =
            (struct http_header){headers.items[i].name, headers.items[i].value};
    exporter->headers[exporter->header_count++] =
        (struct http_header){"content-type", "application/x-protobuf"};
    exporter->headers[exporter->header_count].name = "content-encoding";
    return err;
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
    encodings_init(&exporter->encodings, options->settings->compression, options->gateway);
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
