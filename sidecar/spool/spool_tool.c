#include "sidecar/spool/spool_tool.h"

#include "common/array.h"
#include "common/os.h"
#include "sidecar/spool/cursor.h"
#include "sidecar/spool/marks.h"
#include "sidecar/spool/segment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

struct file {
    struct segment *segment; /* NULL: blank, or not to be read */
    uint32_t slot;
    uint64_t limit;  /* frames from here on do not count */
    bool unreadable; /* it may hold some */
};

struct walk {
    const char *dir;
    struct file *files;
    size_t count, cap;
    struct cursor_state state;
};

static void walk_fini(struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        segment_close(&walk->files[i].segment);
    free(walk->files);
}

static enum err add_file(void *context, const char *name, struct error *error)
{
    struct walk *walk = context;
    struct frame_header first;
    uint32_t slot = 0;

    if (!segment_slot(name, SEGMENT_SUFFIX, &slot))
        return OK;
    struct file *files = array_grow(walk->files, walk->count, &walk->cap, sizeof *files);
    if (files == NULL)
        return error_set(error, ERR_NOMEM, "%zu segments", walk->count + 1);
    walk->files = files;
    struct file *file = &walk->files[walk->count++];
    *file = (struct file){.slot = slot, .limit = UINT64_MAX};
    enum err err = segment_open(walk->dir, slot, false, &file->segment, error);
    if (!err)
        err = segment_identify(file->segment, &first, error);
    if (err)
        segment_close(&file->segment);
    file->unreadable = err != OK && err != ERR_NOTFOUND;
    return err == ERR_NOMEM ? err : OK;
}

/* Blank files last. */
static int by_lane_and_number(const void *left, const void *right)
{
    const struct file *a = left, *b = right;

    if (a->segment == NULL || b->segment == NULL)
        return (a->segment == NULL) - (b->segment == NULL);
    if (a->segment->lane != b->segment->lane)
        return a->segment->lane < b->segment->lane ? -1 : 1;
    if (a->segment->number != b->segment->number)
        return a->segment->number < b->segment->number ? -1 : 1;
    return 0;
}

static void set_limits(struct walk *walk)
{
    uint64_t limit[SIGNAL_COUNT];

    for (int lane = 0; lane < SIGNAL_COUNT; lane++)
        limit[lane] = UINT64_MAX;
    for (size_t i = walk->count; i-- > 0;) {
        const struct segment *segment = walk->files[i].segment;
        if (segment == NULL)
            continue;
        walk->files[i].limit = limit[segment->lane];
        if (segment->lane_end < limit[segment->lane])
            limit[segment->lane] = segment->lane_end;
    }
}

static enum err walk_open(struct walk *walk, const char *dir, struct error *error)
{
    bool found = false;

    walk->dir = dir;
    enum err err = cursor_peek(dir, &walk->state, &found, error);
    if (!err)
        err = os_list(dir, add_file, walk, error);
    if (!err && !found && walk->count == 0)
        err = error_set(error, ERR_NOTFOUND,
                        "'%s' holds no spool; name the directory of one edge, below it "
                        "<namespace>/<pipeline>/<edge>",
                        dir);
    if (err)
        return err;
    if (walk->count > 0)
        qsort(walk->files, walk->count, sizeof *walk->files, by_lane_and_number);
    set_limits(walk);
    return OK;
}

/* Calls `visit` for each frame of the file that counts, in order; `gap` is set where something that
 * is not a frame lay before it. */
typedef enum err visit_frame_fn(void *context, struct file *file, const struct frame_header *header,
                                bool gap, struct error *error);

static enum err each_frame_from(struct file *file, uint64_t begin, visit_frame_fn *visit,
                                void *context, struct error *error)
{
    const struct segment *segment = file->segment;

    for (uint64_t offset = 0; segment != NULL && offset < segment->size;) {
        struct frame_header header;
        bool gap = segment_header(segment, offset, &header, NULL) != OK;
        enum err err = gap ? segment_find(segment, offset, &header, NULL, error) : OK;
        if (err == ERR_NOTFOUND || (!err && header.seq >= file->limit))
            return OK;
        if (!err && header.seq >= begin)
            err = visit(context, file, &header, gap, error);
        if (err)
            return err;
        offset = header.offset + frame_len(&header);
    }
    return OK;
}

static enum err each_frame(const struct walk *walk, struct file *file, visit_frame_fn *visit,
                           void *context, struct error *error)
{
    const struct segment *segment = file->segment;
    uint64_t begin = segment != NULL ? walk->state.lanes[segment->lane].begin : 0;

    return each_frame_from(file, begin, visit, context, error);
}

static enum err read_body(const struct file *file, const struct frame_header *header,
                          uint8_t **ret_body, struct error *error)
{
    uint64_t len = frame_body_len(header);
    size_t got = 0;
    uint8_t *body = malloc(len > 0 ? (size_t)len : 1);

    if (body == NULL)
        return error_set(error, ERR_NOMEM, "a frame of %" PRIu64 " bytes", len);
    enum err err =
        segment_read(file->segment, body, (size_t)len, header->offset + FRAME_HEADER, &got, error);
    if (!err && (got < len || !frame_body_fits(header, body)))
        err = error_set(error, ERR_CORRUPT, "its data fails its check");
    if (err) {
        free(body);
        return err;
    }
    *ret_body = body;
    return OK;
}

/* ---- marks, for ls */

/* Frames whose data is delivered tell marks all the same; one that fails its check tells none. */
static enum err take_marks(void *context, struct file *file, const struct frame_header *header,
                           bool gap, struct error *error)
{
    struct marks *marks = context;
    uint8_t *body = NULL;

    (void)gap;
    if (header->marks_len == 0) {
        if ((header->flags & FRAME_ALL_MARKS) != 0)
            marks_clear(marks);
        return OK;
    }
    enum err err = read_body(file, header, &body, error);
    if (err)
        return err == ERR_NOMEM ? err : OK;
    if ((header->flags & FRAME_ALL_MARKS) != 0)
        marks_clear(marks);
    size_t before = (size_t)frame_body_len(header) - header->marks_len;
    bool known = marks_apply(marks, (struct bytes){body + before, header->marks_len});
    free(body);
    return known ? OK
                 : error_set(error, ERR_CORRUPT, "segment %08" PRIu32 ": wrong marks", file->slot);
}

/* Whether it takes none before this file to know all marks. */
static bool tells_all_marks(const struct file *file)
{
    struct frame_header first;
    uint8_t *body = NULL;
    bool sound = segment_header(file->segment, 0, &first, NULL) == OK && first.seq < file->limit &&
                 read_body(file, &first, &body, NULL) == OK;

    free(body);
    return sound && (first.flags & FRAME_ALL_MARKS) != 0;
}

static bool is_of(const struct file *file, enum signal lane)
{
    return file->segment != NULL && file->segment->lane == lane;
}

struct printer {
    spool_tool_describe_fn *describe;
    enum signal lane;
    FILE *out;
};

static void print_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    const struct printer *printer = context;

    fprintf(printer->out, "mark %-8s ", signal_name(printer->lane));
    if (printer->describe == NULL || !printer->describe(key, value, printer->out)) {
        for (size_t i = 0; i < SPOOL_MARK_KEY; i++)
            fprintf(printer->out, "%02x", key[i]);
        fprintf(printer->out, "  %zu bytes", value.len);
    }
    fputc('\n', printer->out);
}

static enum err print_marks(const struct walk *walk, struct printer *printer, struct error *error)
{
    AUTO(marks_destroy) struct marks *marks = marks_create(SPOOL_MARKS_MAX);
    size_t from = walk->count;
    bool all = false;
    enum err err = OK;

    if (marks == NULL)
        return error_set(error, ERR_NOMEM, "marks of %s", signal_name(printer->lane));
    while (from > 0 && !all) {
        from--;
        all = is_of(&walk->files[from], printer->lane) && tells_all_marks(&walk->files[from]);
    }
    for (size_t i = from; i < walk->count && !err; i++)
        if (is_of(&walk->files[i], printer->lane))
            err = each_frame_from(&walk->files[i], 0, take_marks, marks, error);
    if (!err)
        marks_each(marks, print_mark, printer);
    return err;
}

/* ---- ls */

struct summary {
    uint64_t frames, items, first_seq, last_seq, first_ns;
};

static enum err sum_frame(void *context, struct file *file, const struct frame_header *header,
                          bool gap, struct error *error)
{
    struct summary *summary = context;

    (void)file;
    (void)gap;
    (void)error;
    if (summary->frames++ == 0) {
        summary->first_seq = header->seq;
        summary->first_ns = header->accepted_ns;
    }
    summary->last_seq = header->seq;
    summary->items += header->items;
    return OK;
}

static void print_time(uint64_t ns, FILE *out)
{
    char text[32];
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL || strftime(text, sizeof text, "%FT%TZ", &utc) == 0)
        return;
    fprintf(out, "  %s", text);
}

static void print_readers(const struct walk *walk, FILE *out)
{
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        const struct cursor_lane *saved = &walk->state.lanes[lane];
        for (int i = 0; i < SPOOL_READERS_MAX; i++) {
            const struct cursor_reader *reader = &saved->readers[i];
            if (reader->name[0] != '\0')
                fprintf(out,
                        "reader %-8s %s: saved cursor %" PRIx64 ", %" PRIu64
                        " items behind it in all, %" PRIu64 " dropped, %" PRIu64 " damaged\n",
                        signal_name(lane), reader->name, reader->seq, reader->items,
                        reader->dropped, reader->damaged);
        }
    }
}

static enum err check_out(FILE *out, struct error *error)
{
    if (fflush(out) != 0 || ferror(out))
        return error_set(error, ERR_IO, "the output can't be written");
    return OK;
}

enum err spool_tool_ls(const char *dir, spool_tool_describe_fn *describe, FILE *out,
                       struct error *error)
{
    AUTO(walk_fini) struct walk walk = {0};

    enum err err = walk_open(&walk, dir, error);
    if (err)
        return err;
    fprintf(out, "incarnation %016" PRIx64 "\n", walk.state.incarnation);
    for (size_t i = 0; i < walk.count; i++) {
        struct file *file = &walk.files[i];
        struct summary sum = {0};
        err = each_frame(&walk, file, sum_frame, &sum, error);
        if (err)
            return err;
        if (sum.frames == 0) {
            fprintf(out, "%08" PRIu32 " %s\n", file->slot,
                    file->unreadable ? "can't be read" : "spare");
            continue;
        }
        fprintf(out,
                "%08" PRIu32 " %-8s number %" PRIu64 "  %" PRIu64 " frames  %" PRIu64
                " items  sequence %" PRIx64 "..%" PRIx64,
                file->slot, signal_name(file->segment->lane), file->segment->number, sum.frames,
                sum.items, sum.first_seq, sum.last_seq);
        print_time(sum.first_ns, out);
        fputc('\n', out);
    }
    print_readers(&walk, out);
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        struct printer printer = {describe, lane, out};
        err = print_marks(&walk, &printer, error);
        if (err)
            return err;
    }
    return check_out(out, error);
}

/* ---- cat and verify read the bodies */

static enum err print_data(void *context, struct file *file, const struct frame_header *header,
                           bool gap, struct error *error)
{
    FILE *out = context;
    uint8_t *body = NULL;

    (void)gap;
    enum err err = read_body(file, header, &body, error);
    if (err == ERR_NOMEM)
        return err;
    if (!err) /* what is damaged is left out; verify tells of it */
        fwrite(body, 1, header->data_len, out);
    free(body);
    return OK;
}

enum err spool_tool_cat(const char *dir, enum signal lane, FILE *out, struct error *error)
{
    AUTO(walk_fini) struct walk walk = {0};

    enum err err = walk_open(&walk, dir, error);
    for (size_t i = 0; i < walk.count && !err; i++)
        if (is_of(&walk.files[i], lane))
            err = each_frame(&walk, &walk.files[i], print_data, out, error);
    return err ? err : check_out(out, error);
}

struct verify_lane {
    uint64_t synced; /* frames below were acknowledged, all others may be torn */
    uint64_t items;  /* what the next frame must tell to be before it, if that is known */
    bool known, seen, torn;
};

struct verify {
    FILE *out;
    uint64_t frames, items, damages;
    struct verify_lane lanes[SIGNAL_COUNT];
};

/* The slowest reader tells what was before the frames that are there, unless some behind it were
 * dropped. */
static void begin_lane(struct verify_lane *lane, const struct cursor_lane *saved)
{
    const struct cursor_reader *slowest = NULL;

    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        const struct cursor_reader *reader = &saved->readers[i];
        if (reader->name[0] != '\0' && (slowest == NULL || reader->seq < slowest->seq))
            slowest = reader;
    }
    lane->synced = saved->synced;
    if (slowest != NULL && slowest->seq >= saved->begin) {
        lane->known = true;
        lane->items = slowest->items;
    }
}

static enum err note_synced(void *context, struct file *file, const struct frame_header *header,
                            bool gap, struct error *error)
{
    struct verify *verify = context;
    struct verify_lane *lane = &verify->lanes[header->lane];

    (void)file;
    (void)gap;
    (void)error;
    if (header->synced > lane->synced)
        lane->synced = header->synced;
    return OK;
}

/* As recovery does: from here on nothing was acknowledged, and nothing counts. */
static enum err end_torn(struct verify *verify, const struct file *file,
                         const struct frame_header *header)
{
    verify->lanes[header->lane].torn = true;
    fprintf(verify->out,
            "%08" PRIu32 " %s: torn at %" PRIu64
            " or before; from there on nothing was acknowledged\n",
            file->slot, signal_name(header->lane), header->offset);
    return OK;
}

static void report_missing(struct verify *verify, const struct file *file,
                           const struct frame_header *header, bool gap)
{
    const struct verify_lane *lane = &verify->lanes[header->lane];
    uint64_t missing =
        lane->known && header->items_before > lane->items ? header->items_before - lane->items : 0;

    if (missing == 0 && (!gap || (lane->known && !lane->seen)))
        return;
    verify->damages++;
    fprintf(verify->out,
            "%08" PRIu32 " %s: before sequence %" PRIx64 " at %" PRIu64 ", %" PRIu64
            " items are missing\n",
            file->slot, signal_name(header->lane), header->seq, header->offset, missing);
}

static enum err verify_frame(void *context, struct file *file, const struct frame_header *header,
                             bool gap, struct error *error)
{
    struct verify *verify = context;
    struct verify_lane *lane = &verify->lanes[header->lane];
    struct error why = {0};
    uint8_t *body = NULL;

    if (lane->torn)
        return OK;
    if (gap && header->seq > lane->synced)
        return end_torn(verify, file, header);
    enum err err = read_body(file, header, &body, &why);
    free(body);
    if (err == ERR_NOMEM)
        return error_set(error, err, "%s", why.text);
    if (err == ERR_CORRUPT && header->seq >= lane->synced)
        return end_torn(verify, file, header);
    report_missing(verify, file, header, gap);
    lane->known = lane->seen = true;
    lane->items = header->items_before + header->items;
    if (err) {
        verify->damages++;
        fprintf(verify->out,
                "%08" PRIu32 " %s: sequence %" PRIx64 " at %" PRIu64 ", %" PRIu64 " items: %s\n",
                file->slot, signal_name(header->lane), header->seq, header->offset, header->items,
                why.text);
        return OK;
    }
    verify->frames++;
    verify->items += header->items;
    return OK;
}

/* What the cursor file says of the end of each lane. An owner that freed frames meanwhile may have
 * freed those that were looked for. */
static enum err verify_ends(struct verify *verify, const struct walk *walk, struct error *error)
{
    struct cursor_state now;
    bool found = false;

    enum err err = cursor_peek(walk->dir, &now, &found, error);
    if (err)
        return err;
    for (enum signal i = 0; i < SIGNAL_COUNT; i++) {
        const struct verify_lane *lane = &verify->lanes[i];
        const struct cursor_lane *saved = &walk->state.lanes[i];
        if (!lane->known || lane->items >= saved->items || now.lanes[i].begin != saved->begin)
            continue;
        verify->damages++;
        fprintf(verify->out, "%s: at the end, %" PRIu64 " items are missing\n", signal_name(i),
                saved->items - lane->items);
    }
    return OK;
}

static enum err verify_files(struct verify *verify, struct walk *walk, struct error *error)
{
    enum err err = OK;

    for (enum signal i = 0; i < SIGNAL_COUNT; i++)
        begin_lane(&verify->lanes[i], &walk->state.lanes[i]);
    for (size_t i = 0; i < walk->count && !err; i++)
        err = each_frame(walk, &walk->files[i], note_synced, verify, error);
    for (size_t i = 0; i < walk->count && !err; i++) {
        if (walk->files[i].unreadable) {
            verify->damages++;
            fprintf(verify->out, "%08" PRIu32 " can't be read\n", walk->files[i].slot);
        }
        err = each_frame(walk, &walk->files[i], verify_frame, verify, error);
    }
    return err ? err : verify_ends(verify, walk, error);
}

enum err spool_tool_verify(const char *dir, FILE *out, struct error *error)
{
    AUTO(walk_fini) struct walk walk = {0};
    struct verify verify = {.out = out};

    enum err err = walk_open(&walk, dir, error);
    if (!err)
        err = verify_files(&verify, &walk, error);
    if (err)
        return err;
    fprintf(out, "%" PRIu64 " frames with %" PRIu64 " items are sound, %" PRIu64 " damages\n",
            verify.frames, verify.items, verify.damages);
    err = check_out(out, error);
    if (!err && verify.damages > 0)
        err = error_set(error, ERR_CORRUPT,
                        "'%s' is damaged in %" PRIu64
                        " places; the spool skips them and counts what was in them",
                        dir, verify.damages);
    return err;
}

/* ---- the verb */

static bool parse_lane(const char *text, enum signal *ret_lane)
{
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++)
        if (strcmp(text, signal_name(lane)) == 0) {
            *ret_lane = lane;
            return true;
        }
    return false;
}

int spool_tool_main(int argc, char **argv, spool_tool_describe_fn *describe, FILE *out, FILE *log)
{
    struct error error = {0};
    enum signal lane;
    enum err err;

    if (argc == 2 && strcmp(argv[0], "ls") == 0) {
        err = spool_tool_ls(argv[1], describe, out, &error);
    } else if (argc == 2 && strcmp(argv[0], "verify") == 0) {
        err = spool_tool_verify(argv[1], out, &error);
    } else if (argc == 3 && strcmp(argv[0], "cat") == 0 && parse_lane(argv[2], &lane)) {
        err = spool_tool_cat(argv[1], lane, out, &error);
    } else {
        fprintf(log,
                "usage: spool ls DIR | spool verify DIR | spool cat DIR traces|metrics|logs\n");
        return 2;
    }
    if (err)
        fprintf(log, "spool: %s\n", error.text[0] != '\0' ? error.text : err_name(err));
    return err ? 1 : 0;
}
