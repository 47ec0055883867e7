#include "sidecar/edge/outgoing.h"

#include "common/assert.h"
#include "common/crc32c.h"
#include "common/endian.h"
#include "common/num.h"
#include "sidecar/otlp/fluentbit_json.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/partition.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/walk.h"

#include <inttypes.h>
#include <stdlib.h>

enum { AMPLIFIED_MAX = 8, AMPLIFIED_ROOM = 1 << 20, HALVINGS_MAX = 32 };

/* What is being cut: the part of a frame that is for one topic. */
struct cutting {
    struct outgoing *outgoing;
    struct produce_topic *topic;
    struct outgoing_work *work;
    struct bytes data; /* all of it */
    struct bytes key;  /* of the group at hand */
    struct message **end;
    size_t made_bytes; /* of the values so far */
};

void outgoing_work_fini(struct outgoing_work *work)
{
    otlp_slices_fini(&work->groups);
    otlp_slices_fini(&work->parts);
    buf_fini(&work->gathered);
    buf_fini(&work->text);
    fluentbit_resource_fini(&work->resource);
}

uint32_t outgoing_plan_id(const struct produce_topic *topics, size_t topic_count)
{
    uint32_t id = 0;

    if (topic_count == 1 && topics->key == PIPELINE_PARTITION_BY_NONE &&
        topics->encoding == PIPELINE_ENCODING_OTLP_PROTO)
        return 0;
    for (size_t i = 0; i < topic_count; i++) {
        uint8_t row[6];
        put_le32(row, topics[i].tag);
        row[4] = (uint8_t)topics[i].key;
        row[5] = (uint8_t)topics[i].encoding;
        id = crc32c(id, (struct bytes){row, sizeof row});
    }
    return id != 0 ? id : 1;
}

/* ---- messages */

/* A message with room for `size` bytes of its own; 0: its value is somebody else's. */
static struct message *new_message(struct outgoing *outgoing, struct produce_topic *topic,
                                   size_t size, uint32_t items)
{
    struct message *message = calloc(1, sizeof *message);
    if (message == NULL)
        return NULL;
    message->owned = size == 0 ? NULL : malloc(size);
    if (size > 0 && message->owned == NULL) {
        free(message);
        return NULL;
    }
    message->value = (struct bytes){message->owned, size};
    message->outgoing = outgoing;
    message->topic = topic;
    message->items = items;
    message->partition = -1;
    return message;
}

static void free_messages(struct message *message)
{
    while (message != NULL) {
        struct message *next = message->next;
        free(message->owned);
        free(message->reason);
        free(message);
        message = next;
    }
}

static enum err add_message(struct cutting *cutting, size_t size, uint32_t items,
                            struct message **ret_message, struct error *error)
{
    struct message *message = new_message(cutting->outgoing, cutting->topic, size, items);

    if (message == NULL)
        return error_set(error, ERR_NOMEM, "a part of %zu bytes", size);
    ASSERT(cutting->key.len <= OUTGOING_KEY_MAX);
    if (cutting->key.len > 0)
        memcpy(message->key, cutting->key.data, cutting->key.len);
    message->key_len = (uint8_t)cutting->key.len;
    *cutting->end = message;
    cutting->end = &message->next;
    *ret_message = message;
    return OK;
}

static enum err add_copy(struct cutting *cutting, struct bytes value, uint32_t items,
                         struct error *error)
{
    struct message *message = NULL;

    enum err err = add_message(cutting, value.len, items, &message, error);
    if (!err && value.len > 0)
        memcpy(message->owned, value.data, value.len);
    return err;
}

static enum err add_slices(struct cutting *cutting, const struct otlp_slices *slices,
                           uint32_t items, struct error *error)
{
    struct message *message = NULL;

    enum err err = add_message(cutting, slices->size_bytes, items, &message, error);
    if (!err)
        otlp_slices_copy(slices, message->owned);
    return err;
}

/* ---- to size, and encoded */

static enum err add_part(void *user, const struct otlp_part *part, struct error *error)
{
    return add_slices(user, part->slices, part->items, error);
}

static enum err count_items(enum signal signal, struct bytes request, uint32_t *ret_items,
                            struct error *error)
{
    struct otlp_summary summary = {0};

    enum err err = otlp_count(signal, request, &summary, error);
    if (!err)
        *ret_items = summary.items;
    return err;
}

/* JSON is larger than what it is made of, and by how much is known afterwards only. */
static enum err add_json(struct cutting *cutting, struct bytes request, struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    enum signal signal = cutting->topic->signal;
    struct buf *text = &cutting->work->text;
    uint32_t items = 0;

    buf_clear(text);
    enum err err = otlp_json_write(signal, request, text, error);
    if (err)
        return err;
    if (text->len > cutting->outgoing->cut_bytes) {
        err = otlp_halve(signal, request, &first, &second, error);
        if (!err)
            err = otlp_slices_join(&first);
        if (!err)
            err = otlp_slices_join(&second);
        if (!err)
            err = add_json(cutting, first.list[0], error);
        if (!err)
            return add_json(cutting, second.list[0], error);
        if (err != ERR_NOTFOUND)
            return err;
    }
    err = count_items(signal, request, &items, error);
    return err ? err : add_copy(cutting, buf_bytes(text), items, error);
}

static enum err add_json_part(void *user, const struct otlp_part *part, struct error *error)
{
    AUTO(buf_fini) struct buf request = {0};

    enum err err = otlp_slices_append_to(part->slices, &request);
    return err ? error_set(error, err, "a part of %zu bytes", part->slices->size_bytes)
               : add_json(user, buf_bytes(&request), error);
}

static enum err add_encoded(struct cutting *cutting, struct bytes request, struct error *error)
{
    size_t limit = cutting->outgoing->cut_bytes;
    struct otlp_slices *parts = &cutting->work->parts;

    switch (cutting->topic->encoding) {
    case PIPELINE_ENCODING_OTLP_PROTO:
        return otlp_split(cutting->topic->signal, request, limit, parts, add_part, cutting, error);
    case PIPELINE_ENCODING_OTLP_JSON:
        return otlp_split(cutting->topic->signal, request, limit, parts, add_json_part, cutting,
                          error);
    case PIPELINE_ENCODING_FLUENTBIT_JSON:
        break;
    }
    return error_set(error, ERR_INVALID, "records of their own have no keys");
}

/* ---- by key */

static enum err add_group(void *user, struct bytes key, const struct otlp_slices *group,
                          uint32_t items, struct error *error)
{
    struct cutting *cutting = user;
    bool fits = group->size_bytes <= cutting->outgoing->cut_bytes;

    cutting->made_bytes += group->size_bytes;
    if (cutting->made_bytes / AMPLIFIED_MAX > cutting->data.len + AMPLIFIED_ROOM)
        return error_set(error, ERR_FULL, "too many bytes by key");
    cutting->key = key;
    if (fits && cutting->topic->encoding == PIPELINE_ENCODING_OTLP_PROTO)
        return add_slices(cutting, group, items, error);
    enum err err = otlp_slices_join(&cutting->work->groups);
    return err ? error_set(error, err, "a group of %zu bytes", group->size_bytes)
               : add_encoded(cutting, cutting->work->groups.list[0], error);
}

/* The frame as it is. */
static enum err add_whole(struct cutting *cutting, struct error *error)
{
    struct message *message = NULL;

    enum err err =
        add_message(cutting, 0, (uint32_t)cutting->outgoing->frame->items, &message, error);
    if (err)
        return err;
    ASSERT(message != NULL); /* gcc's analyzer doesn't see that an error is none */
    message->value = cutting->outgoing->frame->data;
    return OK;
}

static enum err add_keyless(struct cutting *cutting, struct error *error)
{
    bool whole = cutting->data.data == cutting->outgoing->frame->data.data &&
                 cutting->data.len == cutting->outgoing->frame->data.len &&
                 cutting->data.len <= cutting->outgoing->cut_bytes;

    cutting->key = (struct bytes){0};
    if (whole && cutting->topic->encoding == PIPELINE_ENCODING_OTLP_PROTO)
        return add_whole(cutting, error);
    return add_encoded(cutting, cutting->data, error);
}

static enum err add_keyed(struct cutting *cutting, struct error *error)
{
    struct otlp_slices *groups = &cutting->work->groups;
    enum signal signal = cutting->topic->signal;
    struct message **before = cutting->end;
    uint32_t items = 0;

    enum err err =
        cutting->topic->key == PIPELINE_PARTITION_BY_TRACE_ID
            ? otlp_group_by_trace(signal, cutting->data, groups, add_group, cutting, error)
            : otlp_group_by_resource(signal, cutting->data, groups, add_group, cutting, error);
    if (err != ERR_FULL)
        return err;
    free_messages(*before);
    *before = NULL;
    cutting->end = before;
    err = count_items(signal, cutting->data, &items, error);
    cutting->outgoing->keyless_items += items;
    return err ? err : add_keyless(cutting, error);
}

/* ---- by topic */

static size_t topic_of(const struct outgoing_plan *plan, uint32_t tag)
{
    for (size_t i = 0; i < plan->topic_count; i++)
        if (plan->topics[i].tag == tag)
            return i;
    return 0; /* the document has changed: the default */
}

/* What of the frame is for topic `index`: a view, or put together in `into`. */
static enum err gather(struct spool_frame *frame, const struct outgoing_plan *plan, size_t index,
                       struct buf *into, struct bytes *ret_data, struct error *error)
{
    uint32_t count = 0;

    buf_clear(into);
    for (uint32_t i = 0; i < frame->entry_count && plan->topic_count > 1; i++)
        count += topic_of(plan, spool_frame_entry(frame, i).tag) == index;
    if (plan->topic_count == 1 || count == frame->entry_count) {
        *ret_data = frame->data;
        return OK;
    }
    for (uint32_t i = 0; i < frame->entry_count && count > 0; i++) {
        struct spool_entry entry = spool_frame_entry(frame, i);
        if (topic_of(plan, entry.tag) != index)
            continue;
        enum err err = buf_append(into, entry.data);
        if (err)
            return error_set(error, err, "what is for one topic");
    }
    *ret_data = buf_bytes(into);
    return OK;
}

/* ---- records of their own */

static enum err add_record(void *user, struct bytes resource, struct bytes record,
                           struct error *error)
{
    struct cutting *cutting = user;
    struct message *message = NULL;

    enum err err = add_message(cutting, 0, 1, &message, error);
    if (err)
        return err;
    message->value = record;
    message->resource = resource;
    message->unencoded = true;
    return OK;
}

/* Entry by entry, for views of the frame must be kept and not of what was put together. */
static enum err add_records(struct cutting *cutting, const struct outgoing_plan *plan, size_t index,
                            struct error *error)
{
    struct spool_frame *frame = cutting->outgoing->frame;

    cutting->key = (struct bytes){0};
    if (plan->topic_count == 1)
        return fluentbit_records(frame->data, add_record, cutting, error);
    for (uint32_t i = 0; i < frame->entry_count; i++) {
        struct spool_entry entry = spool_frame_entry(frame, i);
        if (topic_of(plan, entry.tag) != index)
            continue;
        enum err err = fluentbit_records(entry.data, add_record, cutting, error);
        if (err)
            return err;
    }
    return OK;
}

enum err outgoing_encode(struct message *message, struct outgoing_work *work, size_t *ret_bytes,
                         struct error *error)
{
    *ret_bytes = 0;
    if (!message->unencoded)
        return OK;
    buf_clear(&work->text);
    enum err err = fluentbit_json_write(message->resource, message->value,
                                        message->outgoing->frame->accepted_ns, &work->resource,
                                        &work->text, error);
    if (err)
        return err;
    message->owned = malloc(work->text.len);
    if (message->owned == NULL)
        return error_set(error, ERR_NOMEM, "a record of %zu bytes", work->text.len);
    memcpy(message->owned, work->text.data, work->text.len);
    message->value = (struct bytes){message->owned, work->text.len};
    message->unencoded = false;
    *ret_bytes = work->text.len;
    return OK;
}

static enum err cut_all(struct outgoing *outgoing, const struct outgoing_plan *plan,
                        struct outgoing_work *work, struct error *error)
{
    struct cutting cutting = {.outgoing = outgoing, .work = work, .end = &outgoing->messages};

    for (size_t i = 0; i < plan->topic_count; i++) {
        cutting.topic = &plan->topics[i];
        cutting.made_bytes = 0;
        if (cutting.topic->encoding == PIPELINE_ENCODING_FLUENTBIT_JSON) {
            enum err err = add_records(&cutting, plan, i, error);
            if (err)
                return err;
            continue;
        }
        enum err err = gather(outgoing->frame, plan, i, &work->gathered, &cutting.data, error);
        if (err)
            return err;
        if (cutting.data.len == 0)
            continue;
        err = cutting.topic->key == PIPELINE_PARTITION_BY_NONE ? add_keyless(&cutting, error)
                                                               : add_keyed(&cutting, error);
        if (err)
            return err;
    }
    return OK;
}

enum err outgoing_cut(struct spool_frame **frame, const struct outgoing_plan *plan,
                      struct outgoing_work *work, struct outgoing **ret_outgoing,
                      struct error *error)
{
    struct outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing == NULL)
        return error_set(error, ERR_NOMEM, "frame %" PRIu64, (*frame)->seq);
    outgoing->frame = *frame;
    outgoing->cut_bytes = plan->cut_bytes;
    outgoing->plan = plan->plan;
    outgoing->partition = -1;

    enum err err = cut_all(outgoing, plan, work, error);
    if (err == ERR_INVALID) { /* cannot be, it was checked at the door; so it goes as it is */
        struct cutting cutting = {.outgoing = outgoing, .topic = plan->topics};
        free_messages(outgoing->messages);
        outgoing->messages = NULL;
        cutting.end = &outgoing->messages;
        err = add_whole(&cutting, error);
    }
    if (err) {
        free_messages(outgoing->messages);
        free(outgoing);
        return error_prefix(error, err, "cut frame %" PRIu64, (*frame)->seq);
    }
    for (struct message *at = outgoing->messages; at != NULL; at = at->next)
        at->part = outgoing->parts++;
    outgoing->left = outgoing->parts;
    *frame = NULL;
    *ret_outgoing = outgoing;
    return OK;
}

/* ---- halves */

/* Puts the half into its encoding again. */
static enum err encode_half(const struct message *whole, struct otlp_slices *half,
                            struct buf *ret_value, uint32_t *ret_items, struct error *error)
{
    enum signal signal = whole->topic->signal;

    enum err err = otlp_slices_join(half);
    if (err)
        return error_set(error, err, "a half of a message");
    err = count_items(signal, half->list[0], ret_items, error); /* cuts may be uneven */
    if (err)
        return err;
    return whole->topic->encoding == PIPELINE_ENCODING_OTLP_JSON
               ? otlp_json_write(signal, half->list[0], ret_value, error)
               : buf_append(ret_value, half->list[0]);
}

static enum err new_half(const struct message *whole, struct otlp_slices *slices, unsigned which,
                         struct message **ret_half, struct error *error)
{
    AUTO(buf_fini) struct buf value = {0};
    uint32_t items = 0;

    enum err err = encode_half(whole, slices, &value, &items, error);
    if (err)
        return err;
    struct message *half = new_message(whole->outgoing, whole->topic, value.len, items);
    if (half == NULL)
        return error_set(error, ERR_NOMEM, "a half of a message");
    if (value.len > 0)
        memcpy(half->owned, value.data, value.len);
    memcpy(half->key, whole->key, sizeof half->key);
    half->key_len = whole->key_len;
    half->part = whole->part;
    half->partition = whole->partition;
    half->retry = whole->retry;
    half->first_try_ms = whole->first_try_ms;
    half->noted = whole->noted; /* the whole's entry stands for it */
    half->halves = whole->halves << 1 | which;
    half->halvings = (uint8_t)(whole->halvings + 1);
    *ret_half = half;
    return OK;
}

/* Two requests out of a message's value. */
static enum err halve_value(const struct message *message, struct buf *request,
                            struct otlp_slices *ret_first, struct otlp_slices *ret_second,
                            struct error *error)
{
    enum signal signal = message->topic->signal;

    if (message->topic->encoding == PIPELINE_ENCODING_FLUENTBIT_JSON ||
        message->halvings == HALVINGS_MAX)
        return error_set(error, ERR_NOTFOUND, "a record can't be cut");
    if (message->topic->encoding == PIPELINE_ENCODING_OTLP_PROTO)
        return otlp_halve(signal, message->value, ret_first, ret_second, error);
    enum err err = otlp_json_read(signal, message->value, NULL, request, error);
    return err ? err : otlp_halve(signal, buf_bytes(request), ret_first, ret_second, error);
}

enum err outgoing_halve(struct message *message, struct message *ret_halves[2], struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    AUTO(buf_fini) struct buf request = {0};
    struct message *a = NULL, *b = NULL;

    enum err err = halve_value(message, &request, &first, &second, error);
    if (!err)
        err = new_half(message, &first, 0, &a, error);
    if (!err)
        err = new_half(message, &second, 1, &b, error);
    if (err) {
        free_messages(a);
        return err;
    }
    a->next = b;
    b->next = message->next;
    message->next = a;
    message->outgoing->left += 2;
    outgoing_message_done(message);
    ret_halves[0] = a;
    ret_halves[1] = b;
    return OK;
}

void outgoing_id(const struct message *message, char id[OUTGOING_ID_MAX])
{
    const struct outgoing *outgoing = message->outgoing;
    char *at = num_put_hex(id, outgoing->frame->incarnation, 16);

    *at++ = '-';
    at = num_put_u64(at, outgoing->frame->seq, 1);
    *at++ = '-';
    at = num_put_u64(at, message->part, 1);
    *at++ = '/';
    at = num_put_u64(at, outgoing->parts, 1);
    if (outgoing->plan != 0) {
        *at++ = '~';
        at = num_put_hex(at, outgoing->plan, 8);
    }
    for (unsigned i = message->halvings; i-- > 0;) {
        *at++ = '.';
        *at++ = (message->halves >> i & 1) != 0 ? '1' : '0';
    }
    *at = '\0';
    ASSERT(at < id + OUTGOING_ID_MAX);
}

void outgoing_message_done(struct message *message)
{
    ASSERT(!message->done);
    ASSERT(message->outgoing->left > 0);
    message->done = true;
    message->outgoing->left--;
    free(message->owned);
    message->owned = NULL;
    message->value = (struct bytes){0};
    message->unencoded = false;
}

void outgoing_free(struct outgoing **outgoing)
{
    if (*outgoing == NULL)
        return;
    free_messages((*outgoing)->messages);
    spool_frame_release(&(*outgoing)->frame);
    free(*outgoing);
    *outgoing = NULL;
}
