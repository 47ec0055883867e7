#include "sidecar/export/encodings.h"

#include "common/assert.h"
#include "common/log.h"
#include "common/metrics.h"

#include <stdio.h>

static const struct metric_desc refused_desc = {
    .name = "surgetank_gateway_compression_refused_total",
    .kind = METRIC_COUNTER,
    .help = "Requests that the backend refused for their compression, and took with another.",
    .labels = {"gateway", "compression"}};

void encodings_init(struct encodings *encodings, enum pipeline_compression wanted,
                    const char *gateway)
{
    encodings->gateway = gateway == NULL ? "" : gateway;
    encodings->wanted = wanted == PIPELINE_COMPRESSION_ZSTD   ? COMPRESSION_ZSTD
                        : wanted == PIPELINE_COMPRESSION_GZIP ? COMPRESSION_GZIP
                                                              : COMPRESSION_NONE;
    encodings->now = encodings->wanted;
}

void encodings_fini(struct encodings *encodings)
{
    for (int i = 0; i < ENCODINGS; i++)
        compressor_destroy(&encodings->compressors[i]);
}

static enum compression after(enum compression refused)
{
    return refused == COMPRESSION_ZSTD ? COMPRESSION_GZIP : COMPRESSION_NONE;
}

void encodings_begin(struct encodings *encodings, struct trial *ret_trial, uint64_t now_ms)
{
    if (now_ms >= encodings->until_ms)
        encodings->now = encodings->wanted;
    *ret_trial = (struct trial){.first = encodings->now, .used = encodings->now};
}

enum err encodings_run(struct encodings *encodings, const struct trial *trial,
                       const struct bytes *parts, size_t count, struct buf *out,
                       struct error *error)
{
    struct compressor **compressor = &encodings->compressors[trial->used];

    if (*compressor == NULL) {
        enum err err = compressor_create(trial->used, 1, compressor, error);
        if (err)
            return err;
    }
    return compressor_run(*compressor, parts, count, out, error);
}

/* It was taken, and others were refused before: what was in doubt is certain now. */
static void learn(struct encodings *encodings, const struct trial *trial, uint64_t now_ms)
{
    encodings->now = trial->used;
    encodings->until_ms = now_ms + ENCODINGS_KEEP_MS;
    for (enum compression it = trial->first; it != trial->used; it = after(it))
        metric_add(metrics_series(&refused_desc, encodings->gateway, compression_name(it)), 1);
    if (encodings->told[trial->used])
        return;
    encodings->told[trial->used] = true;
    LOG_WARN("Backend does not take the compression; say in the gateway's export what it takes",
             LOG_STR("gateway", encodings->gateway),
             LOG_STR("refused", compression_name(trial->first)),
             LOG_STR("compression",
                     trial->used == COMPRESSION_NONE ? "none" : compression_name(trial->used)),
             LOG_STR("reason", trial->reason));
}

bool encodings_retry(struct encodings *encodings, struct trial *trial,
                     const struct judgement *judgement, uint64_t now_ms)
{
    bool taken = judgement->verdict == VERDICT_DONE || judgement->verdict == VERDICT_PARTIAL;

    if (taken) {
        encodings->taken[trial->used] = true;
        if (trial->used != trial->first)
            learn(encodings, trial, now_ms);
        return false;
    }
    if (trial->used == COMPRESSION_NONE || judgement->blame == BLAME_NONE ||
        (judgement->blame == BLAME_POSSIBLE && encodings->taken[trial->used]))
        return false;
    if (trial->used == trial->first)
        snprintf(trial->reason, sizeof trial->reason, "%s", judgement->text);
    trial->used = after(trial->used);
    return true;
}
