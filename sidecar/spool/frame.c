#include "sidecar/spool/frame.h"

#include "common/crc32c.h"
#include "common/endian.h"

static const uint8_t magic[8] = {'S', 'R', 'G', 'S', 'P', 'L', '0', '1'};

enum { HEADER_CRC_AT = FRAME_HEADER - 4 };

void frame_encode(const struct frame_header *header, uint8_t into[static FRAME_HEADER])
{
    memset(into, 0, FRAME_HEADER);
    memcpy(into, magic, sizeof magic);
    put_le64(into + 8, header->incarnation);
    put_le64(into + 16, header->generation);
    put_le64(into + 24, header->number);
    put_le64(into + 32, header->offset);
    put_le64(into + 40, header->seq);
    put_le64(into + 48, header->lane_end);
    put_le64(into + 56, header->synced);
    put_le64(into + 64, header->items_before);
    put_le64(into + 72, header->items);
    put_le64(into + 80, header->accepted_ns);
    put_le32(into + 88, header->data_len);
    put_le32(into + 92, header->entries);
    put_le32(into + 96, header->meta_len);
    put_le32(into + 100, header->body_crc);
    into[104] = (uint8_t)header->lane;
    into[105] = header->flags;
    put_le32(into + 108, header->marks_len);
    put_le32(into + HEADER_CRC_AT, crc32c(0, (struct bytes){into, HEADER_CRC_AT}));
}

bool frame_decode(const uint8_t from[static FRAME_HEADER], struct frame_header *ret_header)
{
    if (memcmp(from, magic, sizeof magic) != 0 || from[104] >= SIGNAL_COUNT ||
        get_le32(from + HEADER_CRC_AT) != crc32c(0, (struct bytes){from, HEADER_CRC_AT}))
        return false;

    struct frame_header header = {
        .incarnation = get_le64(from + 8),
        .generation = get_le64(from + 16),
        .number = get_le64(from + 24),
        .offset = get_le64(from + 32),
        .seq = get_le64(from + 40),
        .lane_end = get_le64(from + 48),
        .synced = get_le64(from + 56),
        .items_before = get_le64(from + 64),
        .items = get_le64(from + 72),
        .accepted_ns = get_le64(from + 80),
        .data_len = get_le32(from + 88),
        .entries = get_le32(from + 92),
        .meta_len = get_le32(from + 96),
        .body_crc = get_le32(from + 100),
        .lane = from[104],
        .flags = from[105],
        .marks_len = get_le32(from + 108),
    };
    /* Nothing here ever counts so far; so sums of them can't overflow. */
    uint64_t largest = header.seq | header.lane_end | header.synced | header.items_before |
                       header.items | header.number;
    if (largest >= FRAME_NUMBER_END)
        return false;
    *ret_header = header;
    return true;
}

void frame_entry_encode(const struct frame_entry *entry, uint8_t into[static FRAME_ENTRY])
{
    put_le32(into, entry->data_len);
    put_le32(into + 4, entry->items);
    put_le32(into + 8, entry->tag);
    put_le32(into + 12, entry->meta_len);
}

struct frame_entry frame_entry_decode(const uint8_t from[static FRAME_ENTRY])
{
    return (struct frame_entry){.data_len = get_le32(from),
                                .items = get_le32(from + 4),
                                .tag = get_le32(from + 8),
                                .meta_len = get_le32(from + 12)};
}

uint64_t frame_body_len(const struct frame_header *header)
{
    return (uint64_t)header->data_len + (uint64_t)header->entries * FRAME_ENTRY + header->meta_len +
           header->marks_len;
}

uint64_t frame_len(const struct frame_header *header)
{
    return frame_align(FRAME_HEADER + frame_body_len(header));
}

bool frame_body_fits(const struct frame_header *header, const uint8_t *body)
{
    struct bytes all = {body, (size_t)frame_body_len(header)};
    if (crc32c(0, all) != header->body_crc)
        return false;

    const uint8_t *index = body + header->data_len;
    uint64_t data_len = 0, meta_len = 0, items = 0;
    for (uint32_t i = 0; i < header->entries; i++) {
        struct frame_entry entry = frame_entry_decode(index + (size_t)i * FRAME_ENTRY);
        data_len += entry.data_len;
        meta_len += entry.meta_len;
        items += entry.items;
    }
    return data_len == header->data_len && meta_len == header->meta_len && items == header->items;
}
