/* fault: what is wrong with a document, said so that its author can put it right. Reading goes on
 * behind a fault, so that one run names all of them.
 *
 *   spec.gateways[0].export.otlp.endpoint: has no port. Write host:port, as in tempo:4317
 *   `-------------- path ---------------'  `- what --'  `------------ advice ------------'
 *
 * At most FAULTS_MAX are kept; the rest is only counted. Values of the document are quoted
 * shortened, those of secrets never. Zero-initialised is empty and valid.
 */
#ifndef COMMON_CONTRACT_FAULT_H
#define COMMON_CONTRACT_FAULT_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/error.h"

#define FAULTS_MAX      100
#define FAULT_QUOTE_MAX 64  /* with the NUL */
#define FAULT_PATH_MAX  512 /* with the NUL */

struct fault {
    const char *path;   /* as Kubernetes writes it: spec.gateways[0].name */
    const char *what;   /* "has no port" */
    const char *advice; /* "Write host:port, as in tempo:4317" */
};

struct faults {
    struct fault items[FAULTS_MAX];
    size_t count;    /* of items */
    size_t left_out; /* more than that */
    struct arena arena;
};

void faults_fini(struct faults *faults);

/* Any was found. */
static inline bool faults_any(const struct faults *faults)
{
    return faults->count > 0;
}

/* One was found at `path`, below or above it, so that one need not complain again. */
bool faults_at(const struct faults *faults, const char *path);

/* Copies all of it. `what` is a format; what it quotes of the document goes through fault_quote().
 */
void fault_add(struct faults *faults, const char *path, const char *advice, const char *what, ...)
    PRINTF_LIKE(4, 5);

/* The same at "path.field". */
void fault_add_below(struct faults *faults, const char *path, const char *field, const char *advice,
                     const char *what, ...) PRINTF_LIKE(5, 6);

/* `text` of the document, shortened and printable, for use in `what`. Returns `into`. */
const char *fault_quote(const char *text, char into[static FAULT_QUOTE_MAX]);

/* One line for each: "path: what. advice", and "and N more" at the end. */
NODISCARD enum err faults_print(const struct faults *faults, struct buf *into);

/* The same in one sentence for a log line, a status or an Event: the first fault, and how many more
 * there are. Returns ERR_INVALID, or OK without faults. */
NODISCARD enum err faults_error(const struct faults *faults, struct error *error);

/* "path.field" (or "field" where path is empty), "path[index]" and "path[key]"; return `into`,
 * which is not `path`. Longer ones are cut. */
const char *fault_path(const char *path, const char *field, char into[static FAULT_PATH_MAX]);
const char *fault_path_at(const char *path, size_t index, char into[static FAULT_PATH_MAX]);
const char *fault_path_key(const char *path, const char *key, char into[static FAULT_PATH_MAX]);

#endif
