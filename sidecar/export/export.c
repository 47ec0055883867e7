/* Files of secrets are read by each backend that is opened: when one has changed, another backend
 * is opened beside the old one, which is closed when what is under way there has been answered. */
#include "sidecar/export/export.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/metrics.h"

#include <stdlib.h>

enum { FILES_MS = 1000, FILES_MAX = 7 };

/* Where batches go, with the credentials of one time. */
struct backend {
    struct backend *next; /* older */
    const struct export_kind *kind;
    void *self;
    unsigned under_way;
};

struct export
{
    struct export_options options;
    struct arena arena;
    const char *files[FILES_MAX];
    uint32_t files_stamp;
    uint64_t files_at_ms;
    struct backend *backends; /* the first one is sent to */
};

/* A batch under way. */
struct flight {
    struct backend *backend;
    struct export_batch batch;
};

static const struct metric_desc reloads_desc = {
    .name = "surgetank_gateway_credential_reloads_total",
    .kind = METRIC_COUNTER,
    .help = "Changed files of credentials, by whether they could be taken over.",
    .labels = {"gateway", "what", "result"}};

static void close_backend(struct backend **at)
{
    struct backend *gone = *at;

    *at = gone->next;
    gone->kind->close(gone->self);
    free(gone);
}

static enum err open_backend(struct export *export, struct error *error)
{
    struct backend *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(error, ERR_NOMEM, "open exporter");

    enum err err = export->options.settings->protocol == PIPELINE_OTLP_GRPC
                       ? export_otlp_grpc_open(&export->options, &made->kind, &made->self, error)
                       : export_otlp_http_open(&export->options, &made->kind, &made->self, error);
    if (err) {
        free(made);
        return error_prefix(error, err, "export to '%s'", export->options.settings->endpoint);
    }
    made->next = export->backends;
    export->backends = made;
    return OK;
}

static enum err name_files(struct export *export, struct error *error)
{
    const struct pipeline_export *settings = export->options.settings;
    const struct pipeline_secret *const secrets[FILES_MAX] = {
        &settings->tls.ca_secret,         &settings->tls.certificate_secret,
        &settings->tls.key_secret,        &settings->headers_secret,
        &settings->basic_username_secret, &settings->basic_password_secret,
        &settings->bearer_token_secret};
    enum err err = OK;

    for (size_t i = 0; i < FILES_MAX && !err; i++)
        err = pipeline_secret_path(secrets[i], export->options.secrets_dir, &export->arena,
                                   &export->files[i], error);
    return err;
}

static uint32_t stamp_files(const struct export *export)
{
    uint32_t stamp = 0;

    for (size_t i = 0; i < FILES_MAX; i++)
        stamp = file_stamp(stamp, export->files[i]);
    return stamp;
}

/* What can't be used, such as a key without its certificate, leaves the old one at work. */
static void follow_files(struct export *export)
{
    const char *gateway = export->options.gateway == NULL ? "" : export->options.gateway;
    struct error error = {0};

    if (clock_mono_ms() < export->files_at_ms)
        return;
    export->files_at_ms = clock_mono_ms() + FILES_MS;
    uint32_t stamp = stamp_files(export);
    if (stamp == export->files_stamp)
        return;
    enum err err = open_backend(export, &error);
    metric_add(metrics_series(&reloads_desc, gateway, "backend", err ? "failed" : "ok"), 1);
    if (err) {
        LOG_ERROR("Kept the old credentials for the backend", LOG_STR("gateway", gateway),
                  LOG_STR("error", error.text));
        return;
    }
    export->files_stamp = stamp;
    LOG_INFO("Took over new credentials for the backend", LOG_STR("gateway", gateway));
}

static void close_answered(struct export *export)
{
    struct backend **at = &export->backends->next;

    while (*at != NULL) {
        if ((*at)->under_way == 0)
            close_backend(at);
        else
            at = &(*at)->next;
    }
}

enum err export_open(const struct export_options *options, struct export **ret_export,
                     struct error *error)
{
    AUTO(export_close) struct export *export = calloc(1, sizeof *export);
    if (export == NULL)
        return error_set(error, ERR_NOMEM, "open exporter");

    export->options = *options;
    enum err err = name_files(export, error);
    export->files_stamp = stamp_files(export); /* before they are read */
    export->files_at_ms = clock_mono_ms() + FILES_MS;
    if (!err)
        err = open_backend(export, error);
    if (!err)
        MOVE(*ret_export, export);
    return err;
}

void export_close(struct export **export)
{
    struct export *gone = *export;
    if (gone == NULL)
        return;

    while (gone->backends != NULL)
        close_backend(&gone->backends);
    arena_fini(&gone->arena);
    free(gone);
    *export = NULL;
}

static void on_done(void *context, const struct judgement *judgement)
{
    struct flight flight = *(struct flight *)context;

    free(context);
    flight.backend->under_way--;
    flight.batch.done(flight.batch.context, judgement);
}

enum err export_send(struct export *export, const struct export_batch *batch, struct error *error)
{
    ASSERT(batch->part_count <= EXPORT_PARTS_MAX);
    follow_files(export);
    close_answered(export);

    struct backend *backend = export->backends;
    struct flight *flight = malloc(sizeof *flight);
    if (flight == NULL)
        return error_set(error, ERR_NOMEM, "send a batch");
    *flight = (struct flight){.backend = backend, .batch = *batch};
    struct export_batch mine = *batch;
    mine.done = on_done;
    mine.context = flight;
    enum err err = backend->kind->send(backend->self, &mine, error);
    if (err)
        free(flight);
    else
        backend->under_way++;
    return err;
}
