#include "sidecar/spool/pending.h"

#include "common/assert.h"
#include "common/crc32c.h"
#include "sidecar/spool/marks.h"

#include <stdlib.h>

static uint32_t smaller(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

struct pending_limits pending_limits(uint64_t room)
{
    /* A quarter each for data, index, meta and marks leaves room for the header. */
    uint64_t quarter = room / 4 - FRAME_HEADER;

    return (struct pending_limits){
        .data = smaller(SPOOL_FRAME_BYTES, quarter),
        .entries = smaller(PENDING_ENTRIES_MAX, quarter / FRAME_ENTRY),
        .meta = smaller(PENDING_META_MAX, quarter),
        .marks = smaller(PENDING_MARKS_MAX, quarter),
    };
}

struct frame_buf *pending_create(struct pending_limits limits)
{
    struct frame_buf *frame = calloc(1, sizeof *frame);
    if (frame == NULL)
        return NULL;
    frame->limits = limits;
    frame->bytes =
        malloc(frame_align(FRAME_HEADER + (uint64_t)limits.data +
                           (uint64_t)limits.entries * FRAME_ENTRY + limits.meta + limits.marks));
    frame->entries = malloc(limits.entries * sizeof *frame->entries);
    frame->meta = malloc(limits.meta + 1u);
    frame->marks = malloc(limits.marks + 1u);
    if (frame->bytes == NULL || frame->entries == NULL || frame->meta == NULL ||
        frame->marks == NULL)
        pending_destroy(&frame);
    else
        pending_reset(frame);
    return frame;
}

void pending_destroy(struct frame_buf **frame)
{
    if (*frame == NULL)
        return;

    free((*frame)->bytes);
    free((*frame)->entries);
    free((*frame)->meta);
    free((*frame)->marks);
    free(*frame);
    *frame = NULL;
}

void pending_reset(struct frame_buf *frame)
{
    frame->next = NULL;
    frame->len = 0;
    frame->header = (struct frame_header){0};
    frame->sealed = false;
    frame->lent = false;
    frame->err = OK;
    frame->waiters = NULL;
    frame->waiters_tail = &frame->waiters;
    frame->requests = 0;
    frame->written_items = 0;
    frame->written = false;
    frame->marks_set = 0;
}

bool pending_fits(const struct frame_buf *frame, size_t entries, size_t data_len, size_t meta_len,
                  size_t marks_len)
{
    return entries <= frame->limits.entries - frame->header.entries &&
           data_len <= frame->limits.data - frame->header.data_len &&
           meta_len <= frame->limits.meta - frame->header.meta_len &&
           marks_len <= frame->limits.marks - frame->header.marks_len;
}

static void add_marks(struct frame_buf *frame, const struct spool_request *request)
{
    struct frame_header *header = &frame->header;

    for (size_t i = 0; i < request->mark_count; i++) {
        size_t len = mark_len(&request->marks[i]);
        ASSERT(len <= frame->limits.marks - header->marks_len);
        mark_encode(&request->marks[i], frame->marks + header->marks_len);
        header->marks_len += (uint32_t)len;
        frame->marks_set += !request->marks[i].forget;
    }
}

/* What readers will get of it. */
static void add_entries(struct frame_buf *frame, const struct spool_request *request,
                        size_t data_len)
{
    const struct spool_cut whole = {data_len, request->items, request->tag};
    const struct spool_cut *cuts = request->cut_count > 0 ? request->cuts : &whole;
    size_t count = request->cut_count > 0 ? request->cut_count : 1;
    struct frame_header *header = &frame->header;
    uint8_t *at = frame->bytes + FRAME_HEADER + header->data_len;

    for (size_t i = 0; i < request->part_count; i++) {
        if (request->parts[i].len > 0)
            memcpy(at, request->parts[i].data, request->parts[i].len);
        at += request->parts[i].len;
    }
    /* Now, while the bytes are near. */
    header->body_crc = crc32c(header->body_crc, (struct bytes){at - data_len, data_len});
    if (request->meta.len > 0)
        memcpy(frame->meta + header->meta_len, request->meta.data, request->meta.len);
    for (size_t i = 0; i < count; i++)
        frame->entries[header->entries++] =
            (struct frame_entry){.data_len = (uint32_t)cuts[i].len,
                                 .items = cuts[i].items,
                                 .tag = cuts[i].tag,
                                 .meta_len = i == 0 ? (uint32_t)request->meta.len : 0};
    header->data_len += (uint32_t)data_len;
    header->meta_len += (uint32_t)request->meta.len;
    header->items += request->items;
}

void pending_add(struct frame_buf *frame, const struct spool_request *request, size_t data_len,
                 uint64_t now_ns, struct spool_waiter *waiter)
{
    struct frame_header *header = &frame->header;

    ASSERT(pending_fits(frame, request->cut_count > 0 ? request->cut_count : 1, data_len,
                        request->meta.len, 0));
    if (frame->requests == 0)
        header->accepted_ns = now_ns;
    header->lane = request->lane;
    if (data_len > 0 || request->meta.len > 0)
        add_entries(frame, request, data_len);
    add_marks(frame, request);
    frame->requests++;
    if (waiter != NULL) {
        waiter->next = NULL;
        *frame->waiters_tail = waiter;
        frame->waiters_tail = &waiter->next;
        if (waiter->ack == SPOOL_ACK_WRITTEN)
            frame->written_items += request->items;
    }
}

void pending_seal(struct frame_buf *frame)
{
    struct frame_header *header = &frame->header;
    uint8_t *body = frame->bytes + FRAME_HEADER;
    uint8_t *at = body + header->data_len;

    ASSERT(!frame->sealed);
    for (uint32_t i = 0; i < header->entries; i++, at += FRAME_ENTRY)
        frame_entry_encode(&frame->entries[i], at);
    if (header->meta_len > 0)
        memcpy(at, frame->meta, header->meta_len);
    at += header->meta_len;
    if (header->marks_len > 0)
        memcpy(at, frame->marks, header->marks_len);
    at += header->marks_len;

    size_t len = (size_t)(at - frame->bytes);
    frame->len = (size_t)frame_align(len);
    memset(at, 0, frame->len - len);
    size_t tail_len = (size_t)frame_body_len(header) - header->data_len;
    header->body_crc = crc32c(header->body_crc, (struct bytes){body + header->data_len, tail_len});
    frame->sealed = true;
}
