#include "sidecar/tail/position.h"

#include "common/endian.h"

enum { VERSION = 1, FLAG_COMPRESSED = 1, FLAG_DONE = 2, HEAD = 64 };

/* FNV-1a: computed once in a while over a kilobyte, and nobody gains by a collision. */
struct fingerprint fingerprint_of(struct bytes start)
{
    size_t len = start.len < FINGERPRINT_MAX ? start.len : FINGERPRINT_MAX;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ start.data[i]) * UINT64_C(0x100000001b3);
    return (struct fingerprint){.hash = hash, .len = (uint32_t)len};
}

bool fingerprint_matches(struct fingerprint print, struct bytes start)
{
    return start.len >= print.len &&
           (print.len == 0 ||
            fingerprint_of((struct bytes){start.data, print.len}).hash == print.hash);
}

enum err position_encode(const struct position *position, const char *path, struct buf *into)
{
    uint8_t head[HEAD + LINES_MARK_MAX] = {VERSION};

    head[1] =
        (uint8_t)((position->compressed ? FLAG_COMPRESSED : 0) | (position->done ? FLAG_DONE : 0));
    put_le32(head + 4, position->print.len);
    put_le64(head + 8, position->print.hash);
    put_le64(head + 16, position->dev);
    put_le64(head + 24, position->ino);
    put_le64(head + 32, position->source);
    put_le64(head + 40, position->group);
    put_le64(head + 48, position->size);
    put_le64(head + 56, position->seen_ms);
    size_t used = (size_t)(lines_mark_put(head + HEAD, &position->mark) - head);
    enum err err = buf_append(into, (struct bytes){head, used});
    if (err)
        return err;
    size_t path_len = strlen(path), room = POSITION_MAX - used;
    size_t skip = path_len > room ? path_len - room : 0;
    return buf_append(into, (struct bytes){(const uint8_t *)path + skip, path_len - skip});
}

enum err position_decode(struct bytes data, struct position *ret_position, struct bytes *ret_path)
{
    if (data.len < HEAD || data.data[0] != VERSION)
        return ERR_CORRUPT;
    struct position position = {
        .compressed = (data.data[1] & FLAG_COMPRESSED) != 0,
        .done = (data.data[1] & FLAG_DONE) != 0,
        .print = {.len = get_le32(data.data + 4), .hash = get_le64(data.data + 8)},
        .dev = get_le64(data.data + 16),
        .ino = get_le64(data.data + 24),
        .source = get_le64(data.data + 32),
        .group = get_le64(data.data + 40),
        .size = get_le64(data.data + 48),
        .seen_ms = get_le64(data.data + 56),
    };
    struct bytes rest = {data.data + HEAD, data.len - HEAD};
    if (position.print.len > FINGERPRINT_MAX || !lines_mark_get(&rest, &position.mark))
        return ERR_CORRUPT;
    *ret_position = position;
    *ret_path = rest;
    return OK;
}
