/* encodings: which compression a backend takes, found out from what it answers.
 *
 *   zstd --refused--> gzip --refused--> none      the same batch, at once, within one attempt
 *
 * What is configured is sent first. An answer that says that the compression is not known (see
 * struct judgement: blame), or that may mean it while this encoding was never yet taken, is no
 * judgement on the data: the batch goes out again with the next encoding, and only what comes of
 * the last one is told. An encoding that is taken after another was refused is used from then on
 * for ENCODINGS_KEEP_MS; then the configured one is tried again, for backends are upgraded too. A
 * warning says once what to set, and surgetank_gateway_compression_refused_total counts.
 *
 * Thread: the loop's.
 */
#ifndef SIDECAR_EXPORT_ENCODINGS_H
#define SIDECAR_EXPORT_ENCODINGS_H

#include "common/compress.h"
#include "common/contract/pipeline.h"
#include "sidecar/export/verdict.h"

#define ENCODINGS_KEEP_MS 3600000ull /* an hour */

enum { ENCODINGS = COMPRESSION_ZSTD + 1 };

/* Zeroed and filled by encodings_init(). */
struct encodings {
    const char *gateway; /* a loan */
    enum compression wanted, now;
    uint64_t until_ms; /* `now` is used instead of `wanted` */
    bool taken[ENCODINGS], told[ENCODINGS];
    struct compressor *compressors[ENCODINGS]; /* those used so far */
};

/* One attempt with a batch. */
struct trial {
    enum compression first, used;
    char reason[sizeof((struct judgement *)0)->text]; /* of the first refusal */
};

/* NONE, GZIP or ZSTD. `gateway`: for the log and the metric; NULL: "". */
void encodings_init(struct encodings *encodings, enum pipeline_compression wanted,
                    const char *gateway);
void encodings_fini(struct encodings *encodings);

void encodings_begin(struct encodings *encodings, struct trial *ret_trial, uint64_t now_ms);

/* Appends the batch as `trial` has it to be sent; uncompressed that is a copy. */
NODISCARD enum err encodings_run(struct encodings *encodings, const struct trial *trial,
                                 const struct bytes *parts, size_t count, struct buf *out,
                                 struct error *error);

/* The answer. True: it is to be sent again, as trial->used says now. */
bool encodings_retry(struct encodings *encodings, struct trial *trial,
                     const struct judgement *judgement, uint64_t now_ms);

#endif
