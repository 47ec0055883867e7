/* What the files of the assembler share; lines.h is the manual, lines.c says how its stages work.
 *
 *   lines.c         physical lines, what they say, what has waited too long; the mark
 *   lines_join.c    parts joined, long lines cut
 *   lines_group.c   whole lines grouped by the rules
 *
 * Thread: one at a time.
 */
#ifndef SIDECAR_LINES_LINES_INTERNAL_H
#define SIDECAR_LINES_LINES_INTERNAL_H

#include "common/buf.h"
#include "sidecar/lines/content.h"
#include "sidecar/lines/cutter.h"
#include "sidecar/lines/lines.h"
#include "sidecar/lines/multiline.h"

struct group {
    bool open;
    struct buf text;
    struct multiline_state state;
    uint64_t start, end, time_ns, touched_ms;
    unsigned lines, severity;
};

/* One stream. */
struct track {
    struct lines_emitted emitted;
    struct group group;

    bool open; /* the start of a line waits in `partial`, which may be empty */
    struct buf partial;
    struct lines_emitted after; /* what `emitted` is once `partial` is */
    uint64_t start, time_ns, touched_ms;
    unsigned severity;
};

/* What the physical line at hand says. */
struct now {
    bool busy, ended, invalid;
    bool passed;            /* it has been emitted before */
    struct content content; /* its text is what is still to be used */
    uint64_t at, end;       /* end: of what was read of it */
    uint64_t used;          /* bytes of the content before the text */
    uint64_t drop;          /* of it, that were emitted before */
};

struct lines {
    struct lines_options options;
    uint64_t now_ms;
    uint64_t expire_ms; /* 0: nothing is overdue */
    struct cutter cutter;
    struct piece piece;
    struct buf scratch;
    struct now now;
    struct track tracks[LINES_STREAMS];
    struct line ready; /* a whole line, for the rules */
    struct line shown;
    size_t shown_bytes; /* of now.content.text that go with it */
    struct lines_emitted shown_after;
    enum multiline_step decision;

    bool offsets_are_content; /* no heads, no escapes: reading can go on inside a line */
    bool is_cut;              /* `piece` is to be read */
    bool inside;              /* the physical line goes on */
    bool is_ready, is_decided;
    bool is_shown, shows_group, shows_long;
    bool finished;
};

/* From now on lines_next() shows this record, until it is taken; `after` is what has been emitted
 * of its stream then. */
void lines_show(struct lines *lines, const struct line *line, const struct lines_emitted *after);

#define LINES_KEPT_BYTES (4u << 10) /* of a buffer that is empty */

static inline void lines_empty(struct buf *buf)
{
    if (buf->cap > LINES_KEPT_BYTES)
        buf_fini(buf);
    buf_clear(buf);
}

/* ---- lines_join.c */

/* Makes the line at hand ready, or shows the next part of it. ERR_NOMEM. */
NODISCARD enum err lines_use_content(struct lines *lines);

/* ---- lines_group.c */

/* Shows the line that is ready, the group before it, or puts it into the group. ERR_NOMEM. */
NODISCARD enum err lines_use_line(struct lines *lines);

/* The group of the stream, which is open, is a record. */
void lines_show_group(struct lines *lines, enum lines_stream stream);

#endif
