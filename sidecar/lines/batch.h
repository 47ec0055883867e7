/* batch: log records of one or more files as an OTLP request, in the parts that a spool takes.
 *
 *   request := for each file: head records        head := ResourceLogs { Resource, ScopeLogs {
 *
 * Records are written straight as protobuf; lengths that are known last stand in the heads, so that
 * nothing is moved or copied again. A record has its time, the time it was observed, its body (what
 * is not UTF-8 becomes U+FFFD), log.iostream, and surgetank.line.part
 * for a line that was cut.
 *
 * Memory is allocated at the start, but for a record that is larger than a batch and is then freed
 * with it.
 *
 * Thread: one at a time.
 */
#ifndef SIDECAR_LINES_BATCH_H
#define SIDECAR_LINES_BATCH_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

#define BATCH_FILES_MAX 256 /* files in one batch */
#define BATCH_PARTS_MAX (4 * BATCH_FILES_MAX)

struct batch;
struct buf;
struct line;
struct stamp;

struct batch_attribute {
    const char *key;   /* UTF-8 */
    const char *value; /* what is not becomes U+FFFD: of the name of a file, which is any bytes */
};

/* A file's Resource as the batch wants it, made once: appends the attributes, changed by `stamp`
 * (NULL: as they are) as those of any other request. ERR_NOMEM. */
NODISCARD enum err batch_resource(const struct batch_attribute *attributes, size_t count,
                                  const struct stamp *stamp, struct buf *into);

/* `size_max`: bytes of a request, as large as fit one frame of the spool with the caller's meta. */
NODISCARD enum err batch_create(size_t size_max, struct batch **ret_batch, struct error *error);
void batch_destroy(struct batch **batch);

/* What is added from now on comes from the file with this resource, which was made by the function
 * above and is a loan until the batch is cleared. ERR_FULL: send and clear it first. Once more for
 * the file at hand does nothing. */
NODISCARD enum err batch_file(struct batch *batch, struct bytes resource);

/* Adds a record of the file at hand. ERR_FULL: send and clear the batch first, then begin the file
 * again; an empty batch takes any record. ERR_NOMEM: only for one larger than size_max. */
NODISCARD enum err batch_add(struct batch *batch, const struct line *line, uint64_t observed_ns);

uint32_t batch_items(const struct batch *batch);
size_t batch_size(const struct batch *batch); /* bytes of the request so far, or a few more */

/* The request, as concatenated parts that are valid until the batch is changed. Files without a
 * record are left out. */
size_t batch_parts(struct batch *batch, const struct bytes **ret_parts);

void batch_clear(struct batch *batch);

#endif
