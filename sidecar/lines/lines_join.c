/* Parts of a line are joined, and a line that is too long is cut. What is at hand is in `now`;
 * parts that wait for more are in the stream's `partial`, and hold the mark back. */
#include "sidecar/lines/lines_internal.h"

static struct bytes without_return(struct bytes text)
{
    if (text.len > 0 && text.data[text.len - 1] == '\r')
        text.len--;
    return text;
}

/* What has been emitted once `bytes` more of the line at hand are. */
static struct lines_emitted point(const struct lines *lines, size_t bytes)
{
    const struct now *now = &lines->now;

    if (now->ended && bytes == now->content.text.len)
        return (struct lines_emitted){.to = now->end};
    if (lines->offsets_are_content)
        return (struct lines_emitted){.to = now->at + now->used + bytes};
    return (struct lines_emitted){.to = now->at, .within = now->used + bytes};
}

/* The record that the line at hand, or its next part, will be; `body` is left out. */
static struct line line_of_now(const struct lines *lines)
{
    const struct now *now = &lines->now;
    const struct track *track = &lines->tracks[now->content.stream];
    bool at_start = !track->open && track->emitted.part == 0;

    return (struct line){
        .time_ns = track->open               ? track->time_ns
                   : track->emitted.part > 0 ? track->emitted.time_ns
                                             : now->content.time_ns,
        .start =
            track->open ? track->start : now->at + (lines->offsets_are_content ? now->used : 0),
        .end = now->end,
        .part = track->emitted.part > 0 ? track->emitted.part + 1 : 0,
        .stream = now->content.stream,
        .severity = at_start ? now->content.severity : track->severity,
        .invalid = now->invalid,
    };
}

static enum err add_to_partial(struct lines *lines, struct bytes text)
{
    struct track *track = &lines->tracks[lines->now.content.stream];
    struct line line = line_of_now(lines);

    if (buf_append(&track->partial, text))
        return ERR_NOMEM;
    track->open = true;
    track->start = line.start;
    track->time_ns = line.time_ns;
    track->severity = line.severity;
    track->after = point(lines, text.len);
    track->after.part = track->emitted.part + 1;
    track->after.time_ns = line.time_ns;
    track->touched_ms = lines->now_ms;
    lines->now.content.text.data += text.len;
    lines->now.content.text.len -= text.len;
    lines->now.used += text.len;
    return OK;
}

/* How much of the text fills a record to its limit: no more than `room`, no sequence broken if that
 * can be had. */
static size_t fitting(struct bytes text, size_t room)
{
    for (size_t back = 0; back < 4 && back < room; back++)
        if ((text.data[room - back] & 0xc0) != 0x80)
            return room - back;
    return room;
}

/* The next part of a line that is too long. It goes past the rules; what they hold goes first. */
static enum err cut_line(struct lines *lines, struct track *track, size_t room)
{
    struct bytes text = {lines->now.content.text.data, fitting(lines->now.content.text, room)};
    struct line line = line_of_now(lines);
    struct lines_emitted after = point(lines, text.len);

    if (track->group.open) {
        lines_show_group(lines, line.stream);
        return OK;
    }
    line.part = after.part = track->emitted.part + 1;
    after.time_ns = line.time_ns;
    if (!track->open) {
        line.body = text;
        if (lines->offsets_are_content)
            line.end = line.start + text.len;
        lines_show(lines, &line, &after);
        lines->shown_bytes = text.len;
        lines->shows_long = true;
        return OK;
    }
    enum err err = add_to_partial(lines, text);
    if (err)
        return err;
    line.body = buf_bytes(&track->partial);
    lines_show(lines, &line, &after);
    lines->shows_long = true;
    return OK;
}

/* The line at hand ends with what is left of its text. */
static enum err end_line(struct lines *lines, struct track *track)
{
    struct line line = line_of_now(lines);
    bool past_rules = line.part > 0 || (line.invalid && !lines->offsets_are_content);

    if (past_rules && track->group.open) {
        lines_show_group(lines, line.stream);
        return OK;
    }
    line.body = lines->now.content.text;
    if (track->open) {
        enum err err = add_to_partial(lines, lines->now.content.text);
        if (err)
            return err;
        line.body = buf_bytes(&track->partial);
        lines->options.counts->joined += line.part == 0;
    }
    line.body = without_return(line.body);
    lines->now.busy = false;
    lines->options.counts->lines++;
    lines->options.counts->empty += line.part == 0 && line.body.len == 0;
    if (line.part > 0 && line.body.len == 0) { /* the cut was at its very end */
        track->emitted = (struct lines_emitted){.to = line.end};
        track->open = false;
        lines_empty(&track->partial);
    } else if (past_rules || lines->options.multiline == NULL) {
        lines_show(lines, &line, &(struct lines_emitted){.to = line.end});
    } else {
        lines->ready = line;
        lines->is_ready = true;
    }
    return OK;
}

enum err lines_use_content(struct lines *lines)
{
    struct now *now = &lines->now;
    struct track *track = &lines->tracks[now->content.stream];
    size_t room = lines->options.line_max - track->partial.len;

    if (now->content.text.len > room)
        return cut_line(lines, track, room);
    if (now->ended && !now->content.partial)
        return end_line(lines, track);
    enum err err = add_to_partial(lines, now->content.text);
    now->busy = err != OK;
    return err;
}
