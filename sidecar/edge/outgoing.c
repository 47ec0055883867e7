#include "sidecar/edge/outgoing.h"

#include "common/assert.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What otlp_split() calls back with. */
struct cutting {
    struct outgoing *outgoing;
    struct message **end;
    uint32_t parts;
};

static struct message *new_message(struct outgoing *outgoing, const struct otlp_slices *slices,
                                   uint32_t items)
{
    struct message *message = calloc(1, sizeof *message);
    if (message == NULL)
        return NULL;
    message->owned = malloc(slices->size_bytes == 0 ? 1 : slices->size_bytes);
    if (message->owned == NULL) {
        free(message);
        return NULL;
    }
    otlp_slices_copy(slices, message->owned);
    message->value = (struct bytes){message->owned, slices->size_bytes};
    message->outgoing = outgoing;
    message->items = items;
    message->partition = -1;
    return message;
}

static enum err add_part(void *user, const struct otlp_part *part, struct error *error)
{
    struct cutting *cutting = user;
    struct message *message = new_message(cutting->outgoing, part->slices, part->items);

    if (message == NULL)
        return error_set(error, ERR_NOMEM, "a part of %zu bytes", part->slices->size_bytes);
    *cutting->end = message;
    cutting->end = &message->next;
    cutting->parts++;
    return OK;
}

/* The frame as it is. */
static enum err add_whole(struct cutting *cutting, struct error *error)
{
    struct message *message = calloc(1, sizeof *message);
    if (message == NULL)
        return error_set(error, ERR_NOMEM, "a message");
    message->outgoing = cutting->outgoing;
    message->value = cutting->outgoing->frame->data;
    message->items = (uint32_t)cutting->outgoing->frame->items;
    message->partition = -1;
    *cutting->end = message;
    cutting->parts = 1;
    return OK;
}

static void number_parts(struct outgoing *outgoing, uint32_t parts)
{
    uint32_t part = 0;

    for (struct message *at = outgoing->messages; at != NULL; at = at->next, part++) {
        at->part = part;
        at->parts = parts;
        snprintf(at->id, sizeof at->id, "%016" PRIx64 "-%" PRIu64 "-%" PRIu32 "/%" PRIu32,
                 outgoing->frame->incarnation, outgoing->frame->seq, part, parts);
    }
    outgoing->left = parts;
}

static void free_messages(struct message *message)
{
    while (message != NULL) {
        struct message *next = message->next;
        free(message->owned);
        free(message);
        message = next;
    }
}

enum err outgoing_cut(struct spool_frame **frame, size_t cut_bytes, struct otlp_slices *work,
                      struct outgoing **ret_outgoing, struct error *error)
{
    struct outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing == NULL)
        return error_set(error, ERR_NOMEM, "frame %" PRIu64, (*frame)->seq);
    outgoing->frame = *frame;
    outgoing->cut_bytes = cut_bytes;

    struct cutting cutting = {.outgoing = outgoing, .end = &outgoing->messages};
    enum err err = OK;
    if (outgoing->frame->data.len > cut_bytes)
        err = otlp_split(outgoing->frame->lane, outgoing->frame->data, cut_bytes, work, add_part,
                         &cutting, error);
    else if (outgoing->frame->data.len > 0)
        err = add_whole(&cutting, error);
    if (err) {
        free_messages(outgoing->messages);
        free(outgoing);
        return error_prefix(error, err, "cut frame %" PRIu64, (*frame)->seq);
    }
    number_parts(outgoing, cutting.parts);
    *frame = NULL;
    *ret_outgoing = outgoing;
    return OK;
}

static enum err new_half(const struct message *whole, const struct otlp_slices *slices, int which,
                         struct message **ret_half, struct error *error)
{
    struct message *half = new_message(whole->outgoing, slices, 0);
    struct otlp_summary summary = {0};

    if (half == NULL)
        return error_set(error, ERR_NOMEM, "a half of message %s", whole->id);
    *ret_half = half; /* the caller frees it */
    enum err err = otlp_count(whole->outgoing->frame->lane, half->value, &summary, error);
    if (err)
        return err;
    half->items = summary.items; /* a metric may not be cut in its middle */
    half->part = whole->part;
    half->parts = whole->parts;
    half->partition = whole->partition;
    half->retry = whole->retry;
    half->first_try_ms = whole->first_try_ms;
    half->halved = true;
    int len = snprintf(half->id, sizeof half->id, "%s.%d", whole->id, which);
    ASSERT(len > 0 && (size_t)len < sizeof half->id); /* 2^20 items are 20 halvings at the most */
    return OK;
}

enum err outgoing_halve(struct message *message, struct message *ret_halves[2], struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    struct message *a = NULL, *b = NULL;

    enum err err =
        otlp_halve(message->outgoing->frame->lane, message->value, &first, &second, error);
    if (!err)
        err = new_half(message, &first, 0, &a, error);
    if (!err)
        err = new_half(message, &second, 1, &b, error);
    if (err) {
        free_messages(a);
        free_messages(b);
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

void outgoing_message_done(struct message *message)
{
    ASSERT(!message->done);
    ASSERT(message->outgoing->left > 0);
    message->done = true;
    message->outgoing->left--;
    free(message->owned);
    message->owned = NULL;
    message->value = (struct bytes){0};
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
