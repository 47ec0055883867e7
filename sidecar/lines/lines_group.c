/* Whole lines that belong together are one record. */
#include "sidecar/lines/lines_internal.h"

void lines_show_group(struct lines *lines, enum lines_stream stream)
{
    const struct group *group = &lines->tracks[stream].group;

    lines_show(lines,
               &(struct line){.body = buf_bytes(&group->text),
                              .time_ns = group->time_ns,
                              .start = group->start,
                              .end = group->end,
                              .stream = stream,
                              .severity = group->severity},
               &(struct lines_emitted){.to = group->end});
    lines->shows_group = true;
}

static enum err add_to_group(struct lines *lines, struct track *track)
{
    struct group *group = &track->group;
    const struct line *line = &lines->ready;

    if (buf_reserve(&group->text, line->body.len + 1))
        return ERR_NOMEM;
    if (!group->open) {
        group->open = true;
        group->lines = 0;
        group->start = line->start;
        group->time_ns = line->time_ns;
        group->severity = line->severity;
    } else {
        group->text.data[group->text.len++] = '\n';
    }
    if (line->body.len > 0)
        memcpy(group->text.data + group->text.len, line->body.data, line->body.len);
    group->text.len += line->body.len;
    group->lines++;
    group->end = line->end;
    group->touched_ms = lines->now_ms;

    lines->is_ready = false;
    track->open = false;
    lines_empty(&track->partial);
    return OK;
}

static bool group_is_full(const struct lines *lines, const struct group *group)
{
    return group->lines == LINES_GROUP_LINES_MAX ||
           group->text.len + 1 + lines->ready.body.len > lines->options.line_max;
}

enum err lines_use_line(struct lines *lines)
{
    const struct line *line = &lines->ready;
    struct track *track = &lines->tracks[line->stream];
    struct group *group = &track->group;

    if (!lines->is_decided)
        lines->decision = multiline_step(lines->options.multiline, &group->state, line->body);
    lines->is_decided = true;

    bool goes_on = lines->decision == MULTILINE_GOES_ON || lines->decision == MULTILINE_ENDS;
    if (group->open && (!goes_on || group_is_full(lines, group))) {
        lines_show_group(lines, line->stream);
        return OK;
    }
    if (lines->decision == MULTILINE_ALONE) {
        lines_show(lines, line, &(struct lines_emitted){.to = line->end});
        lines->is_ready = false;
    } else {
        enum err err = add_to_group(lines, track);
        if (err)
            return err;
        if (lines->decision == MULTILINE_ENDS)
            lines_show_group(lines, lines->ready.stream);
    }
    lines->is_decided = false;
    return OK;
}
