/* Any bytes as a stored position: refused, or read and then written as they are read again. */
#include "common/assert.h"
#include "sidecar/tail/position.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_fini) struct buf written = {0};
    struct position position, again;
    struct bytes path;
    char text[POSITION_MAX + 1];

    if (size > POSITION_MAX || position_decode((struct bytes){data, size}, &position, &path))
        return 0;
    ASSERT(path.len < sizeof text);
    memcpy(text, path.data, path.len);
    text[path.len] = '\0';
    enum err err = position_encode(&position, text, &written);
    ASSERT(err == OK);
    ASSERT(written.len <= POSITION_MAX);
    err = position_decode(buf_bytes(&written), &again, &path);
    ASSERT(err == OK);
    ASSERT(again.ino == position.ino);
    ASSERT(again.mark.resume == position.mark.resume);
    return 0;
}
