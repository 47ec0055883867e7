#include "sidecar/export/export.h"

#include "common/assert.h"

#include <stdlib.h>

struct export
{
    const struct export_kind *kind;
    void *self;
};

enum err export_open(const struct export_options *options, struct export **ret_export,
                     struct error *error)
{
    struct export *export = calloc(1, sizeof *export);
    if (export == NULL)
        return error_set(error, ERR_NOMEM, "open exporter");

    enum err err = options->settings->protocol == PIPELINE_OTLP_GRPC
                       ? export_otlp_grpc_open(options, &export->kind, &export->self, error)
                       : export_otlp_http_open(options, &export->kind, &export->self, error);
    if (err) {
        free(export);
        return error_prefix(error, err, "export to '%s'", options->settings->endpoint);
    }
    *ret_export = export;
    return OK;
}

void export_close(struct export **export)
{
    if (*export == NULL)
        return;
    (*export)->kind->close((*export)->self);
    free(*export);
    *export = NULL;
}

enum err export_send(struct export *export, const struct export_batch *batch, struct error *error)
{
    ASSERT(batch->part_count <= EXPORT_PARTS_MAX);
    return export->kind->send(export->self, batch, error);
}
