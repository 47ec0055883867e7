/* lines_next() runs stages from the last to the first, until one has something to show:
 *
 *   cutter             chunk, held        -> piece         up to \n, or piece_max bytes of more
 *   read_content       piece              -> now           by the format
 *   lines_use_content  now, track.partial -> ready, shown  joins parts, cuts what is too long
 *   lines_use_line     ready, track.group -> shown         asks the rules
 *   flush              what is overdue, or at the end all of it
 *
 * A stage that runs out of memory has changed nothing and is run again. A record that is shown
 * stops all of them; what it stands for is only let go of by lines_take(). So the mark is right at
 * any time: whatever waits in one of these places holds it back.
 *
 * A physical line longer than piece_max is read in pieces, of which the first has the head and
 * decides what it is; `inside` then stands for its middle. */
#include "sidecar/lines/lines_internal.h"

#include "common/assert.h"

#include <stdlib.h>

enum {
    UTF8_MAX = 4, /* a piece shows whether a line that fills a record is cut inside a character */
    CRI_HEAD_MAX = 256,
    DOCKER_LINE_MAX = 132 << 10, /* 16 KiB of content with each byte escaped, and attributes */
};

/* ---- memory */

enum err lines_create(const struct lines_options *options, const struct lines_mark *mark,
                      struct lines **ret_lines, struct error *error)
{
    AUTO(lines_destroy) struct lines *lines = calloc(1, sizeof *lines);

    ASSERT(options->line_max >= LINES_LINE_MIN && options->line_max <= LINES_LINE_MAX);
    if (lines == NULL)
        return error_set(error, ERR_NOMEM, "follow the lines of a file");
    lines->options = *options;
    lines->offsets_are_content = options->format == LINES_RAW || options->format == LINES_JSON;
    lines->cutter.piece_max = options->line_max + UTF8_MAX;
    if (options->format == LINES_CRI)
        lines->cutter.piece_max += CRI_HEAD_MAX;
    if (options->format == LINES_DOCKER && lines->cutter.piece_max < DOCKER_LINE_MAX)
        lines->cutter.piece_max = DOCKER_LINE_MAX;

    if (mark != NULL) {
        lines->cutter.at = mark->resume;
        for (unsigned i = 0; i < LINES_STREAMS; i++)
            lines->tracks[i].emitted = mark->streams[i];
        lines->inside = lines->offsets_are_content && mark->streams[LINES_PLAIN].part > 0;
        lines->now.invalid = lines->inside && options->format == LINES_JSON;
    }
    MOVE(*ret_lines, lines);
    return OK;
}

void lines_destroy(struct lines **lines)
{
    if (*lines == NULL)
        return;
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        buf_fini(&(*lines)->tracks[i].partial);
        buf_fini(&(*lines)->tracks[i].group.text);
    }
    cutter_fini(&(*lines)->cutter);
    buf_fini(&(*lines)->scratch);
    free(*lines);
    *lines = NULL;
}

/* ---- physical lines */

static bool is_over(const struct lines *lines, uint64_t since_ms, uint64_t wait_ms)
{
    return lines->finished || (lines->expire_ms != 0 && lines->expire_ms >= since_ms + wait_ms);
}

/* At the end of the file, what is held ends there, as does a line that is being read in pieces. In
 * a file without heads a line may stand unfinished for long. */
static bool cut_rest(struct lines *lines)
{
    size_t waiting = cutter_waiting(&lines->cutter);
    bool overdue = lines->options.format == LINES_RAW && waiting > 0 &&
                   is_over(lines, lines->now_ms, LINES_PART_WAIT_MS);

    if (!overdue && !(lines->finished && (waiting > 0 || lines->inside)))
        return false;
    cutter_give(&lines->cutter, lines->finished, &lines->piece);
    return true;
}

static enum err cut(struct lines *lines)
{
    enum err err = cutter_next(&lines->cutter, &lines->piece);
    if (err == ERR_AGAIN && cut_rest(lines))
        err = OK;
    lines->is_cut = err == OK;
    return err;
}

/* ---- content */

static enum err parse(struct lines *lines, struct bytes text, bool ended, struct content *content)
{
    switch (lines->options.format) {
    case LINES_RAW:
        break;
    case LINES_JSON:
        if (!ended || text.len > lines->options.line_max || !content_of_json(text, content))
            return ERR_INVALID; /* also what will be cut, as its parts are no JSON */
        return OK;
    case LINES_CRI:
        return content_of_cri(text, content) ? OK : ERR_INVALID;
    case LINES_DOCKER:
        return ended ? content_of_docker(text, &lines->scratch, content) : ERR_INVALID;
    }
    *content = (struct content){.text = text};
    return OK;
}

static enum err begin_content(struct lines *lines)
{
    const struct piece *piece = &lines->piece;
    struct now now = {.at = piece->at};

    enum err err = parse(lines, piece->text, piece->ended, &now.content);
    if (err == ERR_NOMEM)
        return err;
    if (err) {
        now.invalid = true;
        now.content = (struct content){.text = piece->text};
    }
    const struct lines_emitted *emitted = &lines->tracks[now.content.stream].emitted;
    now.passed = now.at < emitted->to;
    now.drop = now.at == emitted->to ? emitted->within : 0;
    lines->options.counts->passed += now.passed;
    lines->options.counts->invalid += now.invalid && !now.passed && now.drop == 0;
    lines->now = now;
    return OK;
}

static enum err read_content(struct lines *lines)
{
    struct now *now = &lines->now;

    if (lines->inside) {
        now->content.text = lines->piece.text;
        if (lines->offsets_are_content) {
            now->at = lines->piece.at;
            now->used = 0;
        }
    } else {
        enum err err = begin_content(lines);
        if (err)
            return err;
    }
    now->ended = lines->piece.ended;
    now->end = lines->cutter.at;
    now->busy = !now->passed;
    size_t drop = now->drop < now->content.text.len ? now->drop : now->content.text.len;
    now->content.text.data += drop;
    now->content.text.len -= drop;
    now->used += drop;
    now->drop -= drop;
    lines->inside = !now->ended;
    lines->is_cut = false;
    return OK;
}

/* ---- records */

void lines_show(struct lines *lines, const struct line *line, const struct lines_emitted *after)
{
    lines->shown = *line;
    lines->shown_after = *after;
    lines->shown_bytes = 0;
    lines->shows_group = lines->shows_long = false;
    lines->is_shown = true;
}

void lines_take(struct lines *lines)
{
    struct track *track = &lines->tracks[lines->shown.stream];

    ASSERT(lines->is_shown);
    lines->is_shown = false;
    track->emitted = lines->shown_after;
    if (lines->shows_group) {
        lines->options.counts->grouped += track->group.lines > 1;
        track->group.open = false;
        lines_empty(&track->group.text);
        return;
    }
    lines->options.counts->cut += lines->shown.part == 1;
    lines->options.counts->too_long += lines->shown.part == 1 && lines->shows_long;
    lines->now.content.text.data += lines->shown_bytes;
    lines->now.content.text.len -= lines->shown_bytes;
    lines->now.used += lines->shown_bytes;
    track->open = false;
    lines_empty(&track->partial);
}

/* ---- what has waited for long enough */

static void show_partial(struct lines *lines, struct track *track, enum lines_stream stream)
{
    struct line line = {.body = buf_bytes(&track->partial),
                        .time_ns = track->time_ns,
                        .start = track->start,
                        .end = lines->now.end,
                        .part = track->after.part,
                        .stream = stream,
                        .severity = track->severity};

    lines_show(lines, &line, &track->after);
}

static enum err flush(struct lines *lines)
{
    if (lines->expire_ms == 0 && !lines->finished)
        return ERR_AGAIN;
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        struct track *track = &lines->tracks[i];
        bool partial_is_over = track->open && is_over(lines, track->touched_ms, LINES_PART_WAIT_MS);
        if (track->group.open &&
            (partial_is_over || is_over(lines, track->group.touched_ms, LINES_GROUP_WAIT_MS))) {
            track->group.state = (struct multiline_state){0};
            lines_show_group(lines, (enum lines_stream)i);
            return OK;
        }
        if (partial_is_over) {
            show_partial(lines, track, (enum lines_stream)i);
            return OK;
        }
    }
    lines->expire_ms = 0;
    return ERR_AGAIN;
}

/* ---- the surface */

uint64_t lines_wants(const struct lines *lines)
{
    return lines->cutter.at;
}

void lines_feed(struct lines *lines, struct bytes chunk, uint64_t now_ms)
{
    ASSERT(lines->cutter.chunk.len == 0 && !lines->finished);
    lines->cutter.chunk = chunk;
    lines->now_ms = now_ms;
}

void lines_finish(struct lines *lines)
{
    lines->finished = true;
}

void lines_expire(struct lines *lines, uint64_t now_ms)
{
    lines->expire_ms = now_ms;
}

enum err lines_next(struct lines *lines, struct line *ret_line)
{
    while (!lines->is_shown) {
        enum err err;
        if (lines->is_ready)
            err = lines_use_line(lines);
        else if (lines->now.busy)
            err = lines_use_content(lines);
        else if (lines->is_cut)
            err = read_content(lines);
        else
            err = cut(lines);
        if (err == ERR_AGAIN)
            err = flush(lines);
        if (err)
            return err;
    }
    *ret_line = lines->shown;
    return OK;
}

uint64_t lines_deadline_ms(const struct lines *lines)
{
    uint64_t deadline = UINT64_MAX;

    if (lines->options.format == LINES_RAW && cutter_waiting(&lines->cutter) > 0)
        deadline = lines->now_ms + LINES_PART_WAIT_MS;
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        const struct track *track = &lines->tracks[i];
        uint64_t part = track->open ? track->touched_ms + LINES_PART_WAIT_MS : UINT64_MAX;
        uint64_t group =
            track->group.open ? track->group.touched_ms + LINES_GROUP_WAIT_MS : UINT64_MAX;
        deadline = part < deadline ? part : deadline;
        deadline = group < deadline ? group : deadline;
    }
    return deadline;
}

static void hold_back(struct lines_mark *mark, bool is_there, uint64_t at)
{
    if (is_there && at < mark->resume)
        mark->resume = at;
}

void lines_mark(const struct lines *lines, struct lines_mark *ret_mark)
{
    struct lines_mark mark = {.resume = lines->cutter.at - cutter_waiting(&lines->cutter)};
    const struct now *now = &lines->now;

    hold_back(&mark, lines->is_cut, lines->piece.at);
    hold_back(&mark, now->busy, now->at + (lines->offsets_are_content ? now->used : 0));
    hold_back(&mark, lines->inside && !lines->offsets_are_content, now->at);
    hold_back(&mark, lines->is_ready, lines->ready.start);
    hold_back(&mark, lines->is_shown, lines->shown.start);
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        hold_back(&mark, lines->tracks[i].open, lines->tracks[i].start);
        hold_back(&mark, lines->tracks[i].group.open, lines->tracks[i].group.start);
    }
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        struct lines_emitted emitted = lines->tracks[i].emitted;
        if (emitted.to <= mark.resume && emitted.part == 0 && emitted.within == 0)
            emitted = (struct lines_emitted){0};
        mark.streams[i] = emitted;
    }
    *ret_mark = mark;
}

bool lines_is_idle(const struct lines *lines)
{
    struct lines_mark mark;

    lines_mark(lines, &mark);
    return mark.resume == lines->cutter.at && !lines->is_shown;
}
