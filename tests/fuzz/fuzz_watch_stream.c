/* Arbitrary bytes as a watch: reading never crashes, and however they are cut the same events come
 * out, up to the same end. What comes out goes the way of an object into the cache. The first byte
 * says how to cut. */
#include "common/kube/answer.h"
#include "common/kube/object.h"
#include "common/kube/stream.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum err err;
    uint64_t events, digest;
};

static void go_the_way_of_an_object(struct json *json)
{
    AUTO(object_unref) struct object *object = NULL;

    object_drop_managed_fields(json);
    object_project_pod(json);
    if (object_create(json, &object, NULL) != OK)
        return;
    AUTO(json_free) struct json *again = object_parse(object);
    if (object_hash(again) != object->hash || strcmp(object_name(again), object->name) != 0)
        abort();
}

static enum err on_event(void *context, enum watch_event_type type, struct json *object,
                         struct error *error)
{
    struct outcome *outcome = context;

    outcome->events++;
    outcome->digest = outcome->digest * 31 + (uint64_t)type + object_hash(object);
    if (type == WATCH_ERROR)
        answer_judge_status(object, error);
    else
        go_the_way_of_an_object(object);
    return OK;
}

static struct outcome feed(struct bytes text, size_t piece)
{
    AUTO(watch_stream_fini) struct watch_stream stream = {0};
    struct outcome outcome = {0};

    while (text.len > 0 && outcome.err == OK) {
        struct bytes part = {text.data, piece < text.len ? piece : text.len};
        outcome.err = watch_stream_feed(&stream, part, on_event, &outcome, NULL);
        text.data += part.len;
        text.len -= part.len;
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes text = {data + 1, size - 1};

    struct outcome whole = feed(text, SIZE_MAX), cut = feed(text, 1 + (size_t)data[0] % 64);
    if (whole.err != cut.err || whole.events != cut.events || whole.digest != cut.digest)
        abort();
    answer_judge(data[0] * 4, text, NULL, NULL);
    return 0;
}
