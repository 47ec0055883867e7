/* One load is filled while the other is in the spool's hands. Marks are made when a load is closed:
 * they say how far each file's records are in it or in an earlier one, never more, so whatever load
 * is the last to reach the disk, lines and positions agree. */
#include "sidecar/tail/tail_internal.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/endian.h"
#include "common/log.h"
#include "sidecar/lines/kube_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    MARKS_WAIT_MS = 1000, /* that nothing hurries */
    RETRY_MIN_MS = 20,
    RETRY_MAX_MS = 1000,
    FULL_BYTES = SPOOL_FRAME_BYTES / 2, /* worth a commit of its own */
    ATTRIBUTES_MAX = 8 + TAIL_POD_ATTRIBUTES_MAX,
};

/* ---- keys of marks: 't', what it is, a number */

static void put_key(uint8_t key[static SPOOL_MARK_KEY], char what, uint64_t number)
{
    static const uint8_t ours[SPOOL_MARK_KEY] = {'t', 'a', 'i', 'l'};

    memcpy(key, ours, sizeof ours);
    key[4] = (uint8_t)what;
    for (int i = 0; i < 8; i++) /* rising numbers sort */
        key[8 + i] = (uint8_t)(number >> (56 - 8 * i));
}

bool tail_key_read(const uint8_t key[static SPOOL_MARK_KEY], char what, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (memcmp(key, "tail", 4) != 0 || key[4] != (uint8_t)what)
        return false;
    for (int i = 0; i < 8; i++)
        number = number << 8 | key[8 + i];
    *ret_number = number;
    return true;
}

/* ---- making */

enum err tail_load_init(struct tail *tail, struct load *load, struct error *error)
{
    load->tail = tail;
    load->serial = ++tail->serial;
    load->marks = calloc(LOAD_MARKS_MAX, sizeof *load->marks);
    if (load->marks == NULL)
        return error_set(error, ERR_NOMEM, "follow files");
    return batch_create(SPOOL_FRAME_BYTES, &load->batch, error);
}

void tail_load_fini(struct load *load)
{
    batch_destroy(&load->batch);
    arena_fini(&load->arena);
    portions_fini(&load->portions);
    buf_fini(&load->joined);
    buf_fini(&load->made);
    free(load->marks);
    load->marks = NULL;
}

static void empty(struct tail *tail, struct load *load)
{
    batch_clear(load->batch);
    arena_reset(&load->arena);
    load->state = LOAD_FILLING;
    load->serial = ++tail->serial;
    load->file = NULL;
    load->mark_count = 0;
    load->since_ms = 0;
    load->refined = load->as_is = load->apart = load->in_portions = false;
    load->over = load->marks_only = false;
    load->cut_count = load->cut_next = load->cut_next_at = 0;
    buf_clear(&load->joined);
    buf_clear(&load->made);
    load->tries = 0;
    load->error = (struct error){0};
}

/* ---- filling */

static void put(struct arena *arena, struct batch_attribute *list, size_t *count, const char *key,
                struct bytes value)
{
    char *text = value.len == 0 ? NULL : arena_strndup(arena, (const char *)value.data, value.len);
    if (text != NULL)
        list[(*count)++] = (struct batch_attribute){key, text};
}

/* A key must not come twice: what the document says counts. */
static bool is_given(const struct tail_source *source, const char *key)
{
    for (size_t i = 0; i < source->attribute_count; i++)
        if (strcmp(source->attributes[i].key, key) == 0)
            return true;
    return false;
}

/* Who wrote the file. Its path is that of before a rotation, so that it stays the same. */
static size_t describe(struct tail *tail, struct load *load, const struct tail_entry *entry,
                       struct batch_attribute *list)
{
    struct tail_found found = {.base_len = strlen(entry->path)};
    struct kube_path pod;
    size_t count = 0;

    IGNORE_RESULT(!tail_source_takes(entry->source, entry->path, &found)); /* the whole path then */
    struct bytes path = {(const uint8_t *)entry->path, found.base_len};
    if (entry->source->root != NULL && kube_path_parse(path, &pod)) {
        put(&load->arena, list, &count, "k8s.namespace.name", pod.namespace_name);
        put(&load->arena, list, &count, "k8s.pod.name", pod.pod_name);
        put(&load->arena, list, &count, "k8s.pod.uid", pod.pod_uid);
        put(&load->arena, list, &count, "k8s.container.name", pod.container_name);
        put(&load->arena, list, &count, "k8s.container.restart_count", pod.restart_count);
        if (tail->options.describe != NULL)
            count += tail->options.describe(tail->options.describe_context, &pod, &load->arena,
                                            list + count);
    }
    if (!is_given(entry->source, "log.file.path"))
        put(&load->arena, list, &count, "log.file.path", path);
    for (size_t i = 0; i < entry->source->attribute_count; i++)
        list[count++] = entry->source->attributes[i];
    return count;
}

static enum err begin_file(struct tail *tail, struct load *load, const struct tail_entry *entry)
{
    AUTO(buf_fini) struct buf made = {0};
    struct batch_attribute *list =
        arena_alloc(&load->arena, (ATTRIBUTES_MAX + entry->source->attribute_count) * sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    size_t count = describe(tail, load, entry, list);
    pthread_mutex_lock(&tail->stamp_lock);
    const struct stamp *stamp = tail->options.stamp;
    bool first = batch_items(load->batch) == 0;
    load->stamped = first ? stamp != NULL : load->stamped;
    enum err err = batch_resource(list, count, tail->options.stamp, &made);
    pthread_mutex_unlock(&tail->stamp_lock);
    if (err)
        return err;
    uint8_t *kept = arena_alloc(&load->arena, made.len + 1);
    if (kept == NULL)
        return ERR_NOMEM;
    if (made.len > 0)
        memcpy(kept, made.data, made.len);
    return batch_file(load->batch, (struct bytes){kept, made.len});
}

enum err tail_load_add(struct tail *tail, struct tail_entry *entry, const struct line *line,
                       uint64_t now_ms, uint64_t wall_ns)
{
    struct load *load = tail->filling;
    enum err err = load->state != LOAD_FILLING ? ERR_FULL
                   : load->file == entry       ? OK
                                               : begin_file(tail, load, entry);
    if (!err)
        load->file = entry;
    if (!err)
        err = batch_add(load->batch, line, wall_ns);
    if (err)
        return err;
    entry->load = load->serial;
    if (load->since_ms == 0)
        load->since_ms = now_ms;
    return OK;
}

/* ---- marks */

static bool add_mark(struct load *load, char what, uint64_t number, struct bytes value, bool forget)
{
    uint8_t *kept = arena_alloc(&load->arena, value.len + 1);
    if (kept == NULL || load->mark_count == load->tail->marks_max)
        return false;
    if (value.len > 0)
        memcpy(kept, value.data, value.len);
    struct spool_mark *mark = &load->marks[load->mark_count++];
    *mark = (struct spool_mark){.value = {kept, value.len}, .forget = forget};
    put_key(mark->key, what, number);
    return true;
}

static bool mark_entry(struct load *load, struct tail_entry *entry, uint64_t wall_ms,
                       struct buf *scratch)
{
    buf_clear(scratch);
    if (tail_entry_encode(entry, wall_ms, scratch) ||
        !add_mark(load, 'f', entry->id, buf_bytes(scratch), false))
        return false;
    entry->changed = false;
    return true;
}

/* First the files whose lines are in the load: without those marks it must not go. */
static enum err mark_entries(struct tail *tail, struct load *load, uint64_t wall_ms, bool *ret_all)
{
    AUTO(buf_fini) struct buf scratch = {0};

    for (int others = 0; others < 2; others++) {
        for (size_t i = 0; i < tail->table.len; i++) {
            struct tail_entry *entry = tail->table.entries[i];
            if (!entry->changed || (entry->load == load->serial) == (others == 1))
                continue;
            if (mark_entry(load, entry, wall_ms, &scratch))
                continue;
            *ret_all = false;
            return others == 0 ? ERR_NOMEM : OK;
        }
    }
    return OK;
}

static void mark_forgotten(struct tail *tail, struct load *load)
{
    size_t taken = 0;

    if (tail->forgotten_count == 0)
        return;
    while (taken < tail->forgotten_count &&
           add_mark(load, 'f', tail->forgotten[taken], (struct bytes){0}, true))
        taken++;
    tail->forgotten_count -= taken;
    memmove(tail->forgotten, tail->forgotten + taken,
            tail->forgotten_count * sizeof *tail->forgotten);
}

/* Once all that the first scan found is marked, the input is known to have been scanned. */
static void mark_inputs(struct tail *tail, struct load *load)
{
    for (size_t i = 0; i < tail->input_count; i++) {
        struct tail_input *input = &tail->inputs[i];
        uint8_t value[8];
        if (input->first_saved || !input->scanned)
            continue;
        put_le64(value, input->first_ns);
        input->first_saved = add_mark(load, 's', input->key, (struct bytes){value, 8}, false);
    }
}

static bool close_load(struct tail *tail, struct load *load, uint64_t now_ms)
{
    bool all = true;

    load->mark_count = 0;
    if (mark_entries(tail, load, clock_wall_ns() / 1000000, &all)) {
        for (size_t i = 0; i < tail->table.len; i++)
            tail->table.entries[i]->changed = true; /* no memory: later, all of them */
        return false;
    }
    if (all)
        mark_inputs(tail, load);
    mark_forgotten(tail, load);
    if (batch_items(load->batch) == 0 && load->mark_count == 0) { /* no memory for any */
        tail->marks_ms = now_ms + RETRY_MIN_MS;
        return false;
    }
    tail->marks_ms = all ? now_ms + MARKS_WAIT_MS : now_ms;
    load->state = LOAD_CLOSED;
    load->retry_ms = now_ms;
    return true;
}

/* ---- giving */

/* The committer's thread. */
static void done(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct load *load = CONTAINER_OF(waiter, struct load, waiter);
    struct tail *tail = load->tail;
    const uint64_t one = 1;

    load->error = err && error != NULL ? *error : (struct error){.code = err};
    if (!err && tail->options.stored != NULL)
        tail->options.stored(tail->options.context);
    atomic_store(&load->answered, true);
    /* It fails only when it would overflow, and then it is readable anyhow. */
    IGNORE_RESULT(write(tail->wake, &one, sizeof one) < 0);
    atomic_fetch_sub(&tail->in_spool, 1);
}

static void refused(struct tail *tail, struct load *load, uint64_t now_ms)
{
    uint64_t wait = (uint64_t)RETRY_MIN_MS << (load->tries < 6 ? load->tries : 6);

    if (load->tries++ == 0)
        LOG_WARN("The spool does not take lines; files are read on when it does",
                 LOG_STR("error", load->error.text));
    snprintf(tail->trouble, sizeof tail->trouble, "%.150s", load->error.text);
    load->state = LOAD_CLOSED;
    load->retry_ms = now_ms + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
    tail->refused_count++;
}

static enum err take_refined(void *context, const struct tail_refined *refined)
{
    struct load *load = context;

    ASSERT(refined->cut_count <= SPOOL_CUTS_MAX);
    for (size_t i = 0; i < refined->slice_count; i++) {
        enum err err = buf_append(&load->made, refined->slices[i]);
        if (err)
            return err;
    }
    load->made_items = refined->items;
    load->cut_count = refined->cut_count;
    memcpy(load->cuts, refined->cuts, refined->cut_count * sizeof *refined->cuts);
    return OK;
}

static enum err join(struct load *load)
{
    const struct bytes *parts = NULL;
    size_t count = batch_parts(load->batch, &parts);
    enum err err = OK;

    buf_clear(&load->joined);
    for (size_t i = 0; i < count && !err; i++)
        err = buf_append(&load->joined, parts[i]);
    return err;
}

/* Once for each load or portion of it, and again if it failed. ERR_FULL: smaller ones are wanted.
 */
static enum err refine(struct tail *tail, struct load *load)
{
    uint32_t items = load->in_portions ? portions_items(&load->portions) : batch_items(load->batch);
    enum err err = OK;

    if (load->refined)
        return OK;
    load->as_is = tail->options.refine == NULL || items == 0;
    load->cut_count = load->cut_next = load->cut_next_at = 0;
    buf_clear(&load->made);
    if (!load->as_is && !load->in_portions)
        err = join(load);
    if (!err && !load->as_is)
        err =
            tail->options.refine(tail->options.context, load->stamped,
                                 load->in_portions ? load->portions.now : buf_bytes(&load->joined),
                                 items, take_refined, load, &load->as_is, &load->error);
    load->refined = err == OK;
    if (err && load->error.code == OK)
        error_set(&load->error, err, "lines to be processed");
    return err;
}

static enum err offer(struct tail *tail, struct load *load, struct spool_request *request,
                      bool with_marks)
{
    request->lane = SIGNAL_LOGS;
    request->marks = with_marks ? load->marks : NULL;
    request->mark_count = with_marks ? load->mark_count : 0;
    load->with_marks = with_marks;
    load->too_large = spool_request_size(request) > spool_request_max(tail->options.spool);
    return spool_append(tail->options.spool, request, &load->waiter, &load->error);
}

/* Marks go with what is last of the load. */
static bool is_last(const struct load *load)
{
    return !load->in_portions || portions_are_last(&load->portions);
}

static enum err append_as_is(struct tail *tail, struct load *load)
{
    const struct bytes *parts = &load->portions.now;
    struct spool_request request = {.items = batch_items(load->batch), .part_count = 1};

    if (load->in_portions)
        request.items = portions_items(&load->portions);
    else
        request.part_count = request.items > 0 ? batch_parts(load->batch, &parts) : 0;
    request.parts = parts;
    return offer(tail, load, &request, is_last(load));
}

static enum err append_made(struct tail *tail, struct load *load)
{
    const struct bytes made = buf_bytes(&load->made);
    struct spool_request request = {.parts = &made,
                                    .part_count = load->cut_count > 0,
                                    .items = load->cut_count > 0 ? load->made_items : 0,
                                    .cuts = load->cuts,
                                    .cut_count = load->cut_count};

    enum err err = offer(tail, load, &request, is_last(load));
    load->apart = err == ERR_INVALID && load->cut_count > 1;
    return err;
}

/* One after the other. */
static enum err append_next(struct tail *tail, struct load *load)
{
    const struct spool_cut *cut = &load->cuts[load->cut_next];
    const struct bytes part = {load->made.data + load->cut_next_at, cut->len};
    struct spool_request request = {
        .parts = &part, .part_count = 1, .items = cut->items, .tag = cut->tag};

    return offer(tail, load, &request, is_last(load) && load->cut_next + 1 == load->cut_count);
}

static enum err append(struct tail *tail, struct load *load)
{
    if (load->as_is)
        return append_as_is(tail, load);
    enum err err = load->apart ? ERR_INVALID : append_made(tail, load);
    return load->apart ? append_next(tail, load) : err;
}

/* ---- in portions, where all of it is too large */

/* Behind a portion that is stored, or given up. */
static enum err advance(struct load *load)
{
    if (!load->over)
        return OK;
    enum err err = portions_next(&load->portions);
    if (err && err != ERR_NOTFOUND)
        return error_set(&load->error, err, "the next lines");
    load->marks_only = err == ERR_NOTFOUND;
    load->over = load->refined = load->apart = false;
    return OK;
}

/* A record that can't be stored at any size would hold up all that follow it. */
static enum err make_smaller(struct tail *tail, struct load *load)
{
    struct portions *portions = &load->portions;

    if (!load->in_portions) {
        enum err err = join(load);
        if (err)
            return error_set(&load->error, err, "lines in portions");
        portions_begin(portions, buf_bytes(&load->joined), batch_items(load->batch));
        load->in_portions = true;
    }
    enum err err = portions_smaller(portions);
    if (err && err != ERR_NOTFOUND)
        return error_set(&load->error, err, "lines in smaller portions");
    load->over = err == ERR_NOTFOUND;
    load->refined = load->apart = false;
    if (!load->over)
        return OK;
    tail->left_out_count++;
    LOG_ERROR("Left out a log record, or a piece of one, that is too large to be stored",
              LOG_STR("error", load->error.text));
    return OK;
}

/* All of it was dropped, and it brings no marks. */
static bool makes_nothing(const struct load *load)
{
    return !load->as_is && load->cut_count == 0 && !is_last(load);
}

static enum err give_next(struct tail *tail, struct load *load)
{
    for (;;) {
        load->error = (struct error){0};
        enum err err = advance(load);
        if (!err && load->marks_only)
            return offer(tail, load, &(struct spool_request){0}, true);
        if (!err)
            err = refine(tail, load);
        bool too_large = err == ERR_FULL;
        if (!err && makes_nothing(load)) {
            load->over = true;
            continue;
        }
        if (!err) {
            err = append(tail, load);
            too_large = err == ERR_INVALID && load->too_large;
        }
        if (!too_large)
            return err;
        err = make_smaller(tail, load);
        if (err)
            return err;
    }
}

/* ---- giving and taking */

static void give(struct tail *tail, struct load *load, uint64_t now_ms)
{
    load->waiter = (struct spool_waiter){.done = done, .ack = SPOOL_ACK_SYNCED};
    load->state = LOAD_GIVEN;
    atomic_fetch_add(&tail->in_spool, 1);
    if (give_next(tail, load)) {
        atomic_fetch_sub(&tail->in_spool, 1);
        refused(tail, load, now_ms);
    }
}

static void take_answer(struct tail *tail, struct load *load, uint64_t now_ms)
{
    if (load->state != LOAD_GIVEN || !atomic_exchange(&load->answered, false))
        return;
    if (load->error.code != OK) {
        refused(tail, load, now_ms);
        return;
    }
    if (load->apart)
        load->cut_next_at += load->cuts[load->cut_next++].len;
    if (!load->with_marks) {
        load->over = !load->apart || load->cut_next == load->cut_count;
        give(tail, load, now_ms);
        return;
    }
    if (load->tries > 0)
        LOG_INFO("The spool takes lines again");
    tail->trouble[0] = '\0';
    tail->load_count++;
    empty(tail, load);
}

/* Whether there is something to store, and it has waited long enough. */
static bool is_due(const struct tail *tail, uint64_t now_ms)
{
    const struct load *load = tail->filling;

    if (batch_items(load->batch) > 0)
        return now_ms >= load->since_ms + TAIL_FLUSH_MS || batch_size(load->batch) >= FULL_BYTES ||
               tail->held != NULL || atomic_load(&tail->stopping);
    if (now_ms < tail->marks_ms && !atomic_load(&tail->stopping))
        return false;
    if (tail->forgotten_count > 0)
        return true;
    for (size_t i = 0; i < tail->table.len; i++)
        if (tail->table.entries[i]->changed)
            return true;
    for (size_t i = 0; i < tail->input_count; i++)
        if (tail->inputs[i].scanned && !tail->inputs[i].first_saved)
            return true;
    return false;
}

bool tail_load_move(struct tail *tail, uint64_t now_ms)
{
    take_answer(tail, tail->given, now_ms);
    if (tail->given->state == LOAD_CLOSED && now_ms >= tail->given->retry_ms)
        give(tail, tail->given, now_ms);
    if (tail->given->state == LOAD_FILLING && is_due(tail, now_ms) &&
        close_load(tail, tail->filling, now_ms)) {
        struct load *load = tail->filling;
        tail->filling = tail->given;
        tail->given = load;
        give(tail, load, now_ms);
    }
    return batch_size(tail->filling->batch) < FULL_BYTES;
}

uint64_t tail_load_deadline(const struct tail *tail)
{
    const struct load *load = tail->filling;

    if (tail->given->state == LOAD_CLOSED)
        return tail->given->retry_ms;
    if (tail->given->state == LOAD_GIVEN)
        return UINT64_MAX;
    return batch_items(load->batch) > 0 ? load->since_ms + TAIL_FLUSH_MS : UINT64_MAX;
}
