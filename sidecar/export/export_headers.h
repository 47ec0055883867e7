/* export_headers: what a pipeline wants sent with every request to a backend: its own headers,
 * those of a Secret, the credentials and the tenant. Names come out in lower case. Everything hangs
 * on the arena; secrets are in it, so it is not for logs.
 */
#ifndef SIDECAR_EXPORT_EXPORT_HEADERS_H
#define SIDECAR_EXPORT_EXPORT_HEADERS_H

#include "common/arena.h"
#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"

#define EXPORT_HEADERS_MAX 32

struct export_header {
    const char *name, *value;
};

struct export_headers {
    struct export_header items[EXPORT_HEADERS_MAX];
    size_t count;
};

/* ERR_INVALID: a name or value that can't be sent, or too many; a secret without a directory. */
NODISCARD enum err export_headers_make(const struct pipeline_export *settings,
                                       const char *secrets_dir, struct arena *arena,
                                       struct export_headers *ret_headers, struct error *error);

#endif
