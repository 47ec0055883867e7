/* What any file must give, for the fuzz targets of sidecar/lines.
 *
 *   - the same records, however it is cut into chunks;
 *   - every byte of its content, for each stream in order, but for line ends;
 *   - nothing twice and nothing less, when it is broken off at any record and begun again;
 *   - a request that the walk accepts.
 */
#ifndef TESTS_FUZZ_LINES_FOLLOW_H
#define TESTS_FUZZ_LINES_FOLLOW_H

#include "common/assert.h"
#include "common/buf.h"
#include "sidecar/lines/batch.h"
#include "sidecar/lines/content.h"
#include "sidecar/lines/lines.h"
#include "sidecar/lines/multiline.h"
#include "sidecar/otlp/walk.h"

#include <stdlib.h>

enum { FOLLOW_LINE_MAX = LINES_LINE_MIN };

struct follow {
    enum lines_format format;
    struct multiline *multiline;
    struct bytes file;
    struct lines_counts counts;

    struct buf records;                /* all that tells them apart */
    struct buf content[LINES_STREAMS]; /* their bodies without line ends */
    size_t count;
};

static inline void follow_fini(struct follow *follow)
{
    buf_fini(&follow->records);
    for (unsigned i = 0; i < LINES_STREAMS; i++)
        buf_fini(&follow->content[i]);
}

static inline void follow_append(struct buf *into, struct bytes bytes)
{
    enum err err = buf_append(into, bytes);
    ASSERT(err == OK);
}

static inline void follow_append_content(struct buf *into, struct bytes text)
{
    enum err err = buf_reserve(into, text.len);
    ASSERT(err == OK);
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] != '\r' && text.data[i] != '\n')
            into->data[into->len++] = text.data[i];
}

static inline void follow_record(struct follow *follow, const struct line *line)
{
    uint64_t fields[] = {line->body.len, line->time_ns, line->start,    line->end,
                         line->part,     line->stream,  line->severity, line->invalid};

    ASSERT(line->body.len <= FOLLOW_LINE_MAX);
    ASSERT(line->start <= line->end && line->end <= follow->file.len);
    follow_append(&follow->records, (struct bytes){(const uint8_t *)fields, sizeof fields});
    follow_append(&follow->records, line->body);
    follow_append_content(&follow->content[line->stream], line->body);
    follow->count++;
}

/* Takes at most `most` records; true: there were so many. */
static inline bool follow_take(struct follow *follow, struct lines *lines, size_t most)
{
    struct line line;

    for (; most > 0 && lines_next(lines, &line) == OK; most--) {
        follow_record(follow, &line);
        lines_take(lines);
    }
    return most == 0;
}

/* From the mark on, in chunks whose sizes go on with `step`; the mark is moved. */
static inline bool follow_run(struct follow *follow, size_t step, size_t most,
                              struct lines_mark *mark)
{
    AUTO(lines_destroy) struct lines *lines = NULL;
    struct lines_options options = {follow->format, FOLLOW_LINE_MAX, follow->multiline,
                                    &follow->counts};
    size_t until = most > SIZE_MAX - follow->count ? SIZE_MAX : follow->count + most;
    bool enough = false;

    enum err err = lines_create(&options, mark, &lines, NULL);
    ASSERT(err == OK);
    while (!enough && lines_wants(lines) < follow->file.len) {
        size_t at = lines_wants(lines), left = follow->file.len - at,
               len = left < step ? left : step;
        lines_feed(lines, (struct bytes){follow->file.data + at, len}, 1);
        enough = follow_take(follow, lines, until - follow->count);
    }
    if (!enough) {
        lines_finish(lines);
        enough = follow_take(follow, lines, until - follow->count);
    }
    lines_mark(lines, mark);
    ASSERT(enough || mark->resume == follow->file.len);
    return enough;
}

/* Line by line, by nothing but the format. */
static inline void follow_reference(struct follow *follow)
{
    AUTO(buf_fini) struct buf scratch = {0};
    struct bytes rest = follow->file;

    while (rest.len > 0) {
        const uint8_t *newline = memchr(rest.data, '\n', rest.len);
        struct bytes line = {rest.data, newline == NULL ? rest.len : (size_t)(newline - rest.data)};
        struct content content = {.text = line};
        if (follow->format == LINES_CRI && !content_of_cri(line, &content))
            content = (struct content){.text = line};
        if (follow->format == LINES_DOCKER && content_of_docker(line, &scratch, &content))
            content = (struct content){.text = line};
        follow_append_content(&follow->content[content.stream], content.text);
        size_t used = line.len + (newline != NULL);
        rest = (struct bytes){rest.data + used, rest.len - used};
    }
}

static inline void follow_batch(struct follow *follow)
{
    AUTO(batch_destroy) struct batch *batch = NULL;
    AUTO(lines_destroy) struct lines *lines = NULL;
    AUTO(buf_fini) struct buf request = {0};
    struct lines_options options = {follow->format, FOLLOW_LINE_MAX, follow->multiline,
                                    &follow->counts};
    const struct bytes *parts;
    struct otlp_summary summary;
    struct line line;

    if (batch_create(256 << 10, &batch, NULL) || lines_create(&options, NULL, &lines, NULL) ||
        batch_file(batch, BYTES_LITERAL("\x0a\x00")))
        abort();
    lines_feed(lines, follow->file, 1);
    lines_finish(lines);
    while (lines_next(lines, &line) == OK && batch_add(batch, &line, 1) == OK)
        lines_take(lines);
    size_t count = batch_parts(batch, &parts);
    for (size_t i = 0; i < count; i++)
        follow_append(&request, parts[i]);
    enum err err = otlp_walk(SIGNAL_LOGS, buf_bytes(&request), NULL, &summary, NULL);
    ASSERT(err == OK);
    ASSERT(summary.items == batch_items(batch));
}

static inline void follow_check(enum lines_format format, struct multiline *multiline,
                                struct bytes file, size_t step, size_t most)
{
    AUTO(follow_fini)
    struct follow whole = {format, multiline, file, .count = 0},
                  pieces = {format, multiline, file, .count = 0},
                  broken = {format, multiline, file, .count = 0},
                  reference = {format, multiline, file, .count = 0};
    struct lines_mark mark = {0}, mark_of_pieces = {0}, mark_of_broken = {0};

    follow_run(&whole, SIZE_MAX, SIZE_MAX, &mark);
    follow_run(&pieces, step, SIZE_MAX, &mark_of_pieces);
    ASSERT(bytes_equal(buf_bytes(&whole.records), buf_bytes(&pieces.records)));
    while (follow_run(&broken, step, most, &mark_of_broken)) {
        uint8_t stored[LINES_MARK_MAX];
        struct bytes rest = {stored, (size_t)(lines_mark_put(stored, &mark_of_broken) - stored)};
        bool is_mark = lines_mark_get(&rest, &mark_of_broken);
        ASSERT(is_mark);
    }
    /* A group that was full goes on with the rule; one that is begun again does not. */
    if (multiline == NULL)
        ASSERT(bytes_equal(buf_bytes(&whole.records), buf_bytes(&broken.records)));
    follow_reference(&reference);
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        ASSERT(bytes_equal(buf_bytes(&whole.content[i]), buf_bytes(&reference.content[i])));
        ASSERT(bytes_equal(buf_bytes(&whole.content[i]), buf_bytes(&broken.content[i])));
    }
    follow_batch(&whole);
}

#endif
