/* Any text at all: what is read as OTLP/JSON is accepted by the walk, and stays the same from then
 * on.
 *
 *   input := signal (1, modulo 3)  text
 */
#include "common/assert.h"
#include "sidecar/otlp/otlp_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_fini) struct buf proto = {0}, once = {0}, again = {0}, twice = {0};
    struct otlp_summary summary;
    struct error error = {0};

    if (size == 0)
        return 0;
    enum signal signal = (enum signal)(data[0] % SIGNAL_COUNT);
    struct bytes text = {data + 1, size - 1};
    if (otlp_json_read(signal, text, NULL, &proto, &error) != OK) {
        ASSERT(error.text[0] != '\0');
        ASSERT(proto.len == 0);
        return 0;
    }
    enum err err = otlp_walk(signal, buf_bytes(&proto), NULL, &summary, NULL);
    ASSERT(err == OK);
    err = otlp_json_write(signal, buf_bytes(&proto), &once, NULL);
    ASSERT(err == OK);
    err = otlp_json_read(signal, buf_bytes(&once), NULL, &again, NULL);
    ASSERT(err == OK);
    err = otlp_json_write(signal, buf_bytes(&again), &twice, NULL);
    ASSERT(err == OK);
    ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    return 0;
}
