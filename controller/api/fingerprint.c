#include "controller/api/fingerprint.h"

#include "common/assert.h"

#include <inttypes.h>
#include <stdio.h>

void fingerprint(const struct json *json, char into[FINGERPRINT_SIZE])
{
    AUTO(buf_fini) struct buf text = {0};
    enum err err = json_print(json, &text);
    ASSERT(err == OK);

    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.data[i]) * 0x100000001b3u;
    snprintf(into, FINGERPRINT_SIZE, "%016" PRIx64, hash);
}
