#include "sidecar/lines/cutter.h"

enum { KEPT_BYTES = 4 << 10 }; /* of the buffer, when it is empty */

void cutter_fini(struct cutter *cutter)
{
    buf_fini(&cutter->held);
}

static void advance(struct cutter *cutter, size_t bytes)
{
    cutter->chunk.data += bytes;
    cutter->chunk.len -= bytes;
    cutter->at += bytes;
}

static void drop_used(struct cutter *cutter)
{
    if (!cutter->held_used)
        return;
    if (cutter->held.cap > KEPT_BYTES)
        buf_fini(&cutter->held);
    buf_clear(&cutter->held);
    cutter->held_used = false;
}

enum err cutter_next(struct cutter *cutter, struct piece *ret_piece)
{
    drop_used(cutter);
    size_t room = cutter->piece_max - cutter->held.len, left = cutter->chunk.len;
    if (left == 0)
        return ERR_AGAIN;

    /* A line that fills a piece ends with it if \n is next, so that byte is looked at too. */
    const uint8_t *newline = memchr(cutter->chunk.data, '\n', left <= room ? left : room + 1);
    bool full = newline == NULL && left > room, ended = newline != NULL;
    size_t len = ended ? (size_t)(newline - cutter->chunk.data) : full ? room : left;
    struct bytes text = {cutter->chunk.data, len};

    if (cutter->held.len > 0 || (!ended && !full)) {
        if (buf_append(&cutter->held, text))
            return ERR_NOMEM;
        text = buf_bytes(&cutter->held);
        cutter->held_used = ended || full;
    }
    advance(cutter, len);
    if (!ended && !full)
        return ERR_AGAIN;
    *ret_piece = (struct piece){.text = text, .at = cutter->at - text.len, .ended = ended};
    advance(cutter, ended ? 1 : 0);
    return OK;
}

size_t cutter_waiting(const struct cutter *cutter)
{
    return cutter->held_used ? 0 : cutter->held.len;
}

void cutter_give(struct cutter *cutter, bool ended, struct piece *ret_piece)
{
    drop_used(cutter);
    struct bytes text = cutter->held.len > 0 ? buf_bytes(&cutter->held) : BYTES_LITERAL("");
    cutter->held_used = true;
    *ret_piece = (struct piece){.text = text, .at = cutter->at - text.len, .ended = ended};
}
