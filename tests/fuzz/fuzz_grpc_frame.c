/* What gRPC and its peers encode by hand: framing, percent-encoding, base64, google.rpc.Status, and
 * compressed messages. What was decoded and encoded again must come back. */
#include "common/assert.h"
#include "common/base64.h"
#include "common/compress.h"
#include "sidecar/net/grpc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DECOMPRESSED_MAX = 64 * 1024 };

static void check_texts(struct bytes in)
{
    AUTO(buf_fini) struct buf once = {0}, encoded = {0}, again = {0};

    enum err err = grpc_percent_decode(in, &once);
    ASSERT(err == OK);
    err = grpc_percent_encode(buf_bytes(&once), &encoded);
    ASSERT(err == OK);
    err = grpc_percent_decode(buf_bytes(&encoded), &again);
    ASSERT(err == OK);
    ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&again)));
}

static void check_base64(struct bytes in)
{
    AUTO(buf_fini) struct buf raw = {0}, encoded = {0}, again = {0};

    if (base64_decode(in, &raw) != OK)
        return;
    enum err err = grpc_base64_encode(buf_bytes(&raw), &encoded);
    ASSERT(err == OK);
    err = base64_decode(buf_bytes(&encoded), &again);
    ASSERT(err == OK);
    ASSERT(bytes_equal(buf_bytes(&raw), buf_bytes(&again)));
}

static void check_compressed(struct bytes in, enum compression compression)
{
    static struct decompressor *decompressors[COMPRESSION_DEFLATE + 1];
    AUTO(buf_fini) struct buf out = {.max = DECOMPRESSED_MAX};

    if (decompressors[compression] == NULL) {
        enum err err = decompressor_create(compression, &decompressors[compression], NULL);
        ASSERT(err == OK);
    }
    /* Any result will do; the cap holds. */
    IGNORE_RESULT(decompressor_run(decompressors[compression], in, &out, NULL));
    ASSERT(out.len <= DECOMPRESSED_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct bytes in = {data, size};
    struct bytes message = {0};
    bool compressed = false;
    uint32_t delay = 0;

    /* As above: what is in them is anybody's guess. */
    IGNORE_RESULT(grpc_decode_retry_delay(in, &delay));
    check_texts(in);
    check_base64(in);
    if (grpc_unframe(in, &compressed, &message, NULL) == OK)
        ASSERT(message.len == size - GRPC_PREFIX_SIZE);
    for (int kind = COMPRESSION_GZIP; kind <= COMPRESSION_DEFLATE; kind++)
        check_compressed(in, (enum compression)kind);
    return 0;
}
