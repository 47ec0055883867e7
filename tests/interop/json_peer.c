/* Reads and writes OTLP/JSON for a test in another language, which compares with its own library.
 *
 *   in   := { 'r' or 'w' (1)  signal (1)  length (4, big endian)  JSON or protobuf }*
 *   out  := { 0, or 1 with an error (1)  length (4, big endian)  protobuf, JSON or the sentence }*
 */
#include "sidecar/otlp/otlp_json.h"

#include <stdio.h>
#include <stdlib.h>

static bool read_all(void *into, size_t len)
{
    return fread(into, 1, len, stdin) == len;
}

static uint32_t number_of(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void answer(bool failed, struct bytes text)
{
    const uint8_t head[5] = {failed, (uint8_t)(text.len >> 24), (uint8_t)(text.len >> 16),
                             (uint8_t)(text.len >> 8), (uint8_t)text.len};
    fwrite(head, 1, sizeof head, stdout);
    if (text.len > 0)
        fwrite(text.data, 1, text.len, stdout);
    fflush(stdout);
}

static void serve(char what, enum signal signal, struct bytes in)
{
    AUTO(buf_fini) struct buf out = {0};
    struct otlp_summary summary;
    struct error error = {0};
    enum err err;

    if (what == 'w') {
        err = otlp_json_write(signal, in, &out, &error);
    } else {
        err = otlp_json_read(signal, in, NULL, &out, &error);
        if (!err) /* what is read is always accepted */
            err = otlp_walk(signal, buf_bytes(&out), NULL, &summary, &error);
    }
    answer(err != OK, err ? bytes_from(error.text) : buf_bytes(&out));
}

int main(void)
{
    uint8_t head[6];

    while (read_all(head, sizeof head)) {
        AUTO(buf_fini) struct buf in = {0};
        size_t len = number_of(head + 2);
        if (buf_reserve(&in, len) != OK || !read_all(in.data, len))
            return 1;
        in.len = len;
        serve((char)head[0], (enum signal)head[1], buf_bytes(&in));
    }
    return 0;
}
