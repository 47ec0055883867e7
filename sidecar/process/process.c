/* All processors are applied in one go through the request. A resource is taken through all of them
 * when it is met, and what it looked like before each is kept for as long as its items pass:
 *
 *   resource   v0 --step 0--> v1 --step 1--> v2 ...        steps that change resources
 *   item       i0 --step 0--> i1 --step 1--> i2 ...        step k sees v_k, not what comes after
 *
 * An item is handed from step to step in two buffers that take turns. Conditions that ask about
 * nothing below the resource or scope are answered once for each of these.
 */
#include "sidecar/process/process.h"

#include "common/assert.h"
#include "common/metrics.h"
#include "common/utf8.h"
#include "sidecar/process/condition.h"
#include "sidecar/process/parse.h"
#include "sidecar/process/redact.h"
#include "sidecar/process/rewrite.h"
#include "sidecar/process/sample.h"
#include "sidecar/process/value.h"

#include <stdio.h>
#include <stdlib.h>

enum step_kind { STEP_ATTRIBUTES, STEP_PARSE, STEP_REDACT, STEP_FILTER, STEP_SAMPLE, STEP_KINDS };

struct step {
    enum step_kind kind;
    unsigned signals; /* that it does anything to, as bits */
    enum pipeline_on on;
    struct attribute_rule *rules;
    size_t rule_count;
    struct parse *parse;
    struct redact *redact;
    struct condition condition; /* filter's drop, sample's keep */
    uint64_t threshold;
    struct metric *metrics[SIGNAL_COUNT]; /* of what it drops, or can't parse; NULL: neither */
};

/* A resource or scope as it is before each step, and behind the last. */
struct versions {
    struct bytes before[PIPELINE_PROCESSORS_MAX + 1];
    struct arena arena;
};

struct process {
    struct step steps[PIPELINE_PROCESSORS_MAX];
    size_t count;
    struct arena arena; /* what the steps are made of */

    enum signal signal; /* the request at hand */
    struct versions resource, scope;
    struct bytes metric;
    uint32_t tallies[PIPELINE_PROCESSORS_MAX]; /* items dropped, or not parsed, by each step */
    struct attributes attributes;
    struct buf turns[2]; /* an item or head on its way from step to step */
    struct buf out;
};

static const struct metric_desc dropped_desc = {
    .name = "surgetank_process_dropped_items_total",
    .kind = METRIC_COUNTER,
    .help = "Items that a filter or sample has taken out, by its place in processors.",
    .labels = {"owner", "signal", "processor", "kind"}};
static const struct metric_desc unparsed_desc = {
    .name = "surgetank_process_unparsed_items_total",
    .kind = METRIC_COUNTER,
    .help = "Items whose text a parse could not read; they went on as they were.",
    .labels = {"owner", "signal", "processor"}};

/* ---- making one */

static enum err no_memory(struct error *error)
{
    return error_set(error, ERR_NOMEM, "processors");
}

static bool copy_text(struct arena *arena, const char *text, struct bytes *ret_bytes)
{
    const char *copy = arena_strdup(arena, text);
    if (copy == NULL)
        return false;
    *ret_bytes = bytes_from(copy);
    return true;
}

/* The value as an AnyValue that holds a string. */
static bool copy_any(struct arena *arena, const char *value, struct bytes *ret_any)
{
    size_t len = strlen(value);
    uint8_t *any = arena_alloc(arena, WIRE_HEAD_MAX + len);
    if (any == NULL)
        return false;
    uint8_t *text = wire_put_len(any, ANY_STRING, len);
    memcpy(text, value, len);
    *ret_any = (struct bytes){any, (size_t)(text - any) + len};
    return true;
}

static enum err make_rule(struct process *process, const struct pipeline_attribute_change *change,
                          struct attribute_rule *rule, struct error *error)
{
    const char *texts[] = {change->key, change->from_attribute, change->value};

    for (size_t i = 0; i < 3; i++)
        if (texts[i] != NULL && !utf8_is_valid(bytes_from(texts[i])))
            return error_set(error, ERR_INVALID, "attribute '%.100s': not UTF-8", change->key);
    rule->action = change->action;
    if (!copy_text(&process->arena, change->key, &rule->key) ||
        (change->from_attribute != NULL &&
         !copy_text(&process->arena, change->from_attribute, &rule->from)) ||
        (change->value != NULL && !copy_any(&process->arena, change->value, &rule->any)))
        return no_memory(error);
    return OK;
}

static enum err make_attributes(struct process *process, struct step *step,
                                const struct pipeline_attributes *wanted, struct error *error)
{
    step->kind = STEP_ATTRIBUTES;
    step->signals = EXPR_ALL_SIGNALS;
    step->on = wanted->on;
    step->rules = arena_zalloc(&process->arena, (wanted->action_count + 1) * sizeof *step->rules);
    if (step->rules == NULL)
        return no_memory(error);
    for (size_t i = 0; i < wanted->action_count; i++) {
        enum err err = make_rule(process, &wanted->actions[i], &step->rules[i], error);
        if (err)
            return err;
        step->rule_count++;
    }
    return OK;
}

static enum err make_step(struct process *process, struct step *step,
                          const struct pipeline_processor *wanted, struct error *error)
{
    enum err err = OK;

    if (wanted->attributes != NULL)
        return make_attributes(process, step, wanted->attributes, error);
    if (wanted->parse != NULL) {
        step->kind = STEP_PARSE;
        err = parse_create(wanted->parse, &step->parse, error);
        step->signals = err ? 0 : parse_signals(step->parse);
    } else if (wanted->redact != NULL) {
        step->kind = STEP_REDACT;
        step->signals = EXPR_ALL_SIGNALS;
        err = redact_create(wanted->redact, &step->redact, error);
    } else if (wanted->filter != NULL) {
        step->kind = STEP_FILTER;
        err = condition_make(&step->condition, wanted->filter->drop, error);
        step->signals = err ? 0 : expr_signals(step->condition.expr);
    } else if (wanted->sample != NULL) {
        step->kind = STEP_SAMPLE;
        step->signals = 1u << SIGNAL_TRACES | 1u << SIGNAL_LOGS;
        step->threshold = sample_threshold(wanted->sample->ratio);
        if (wanted->sample->keep != NULL)
            err = condition_make(&step->condition, wanted->sample->keep, error);
    }
    return err;
}

static void make_metrics(struct step *step, const char *owner, size_t index)
{
    static const char *const kinds[STEP_KINDS] = {"attributes", "parse", "redact", "filter",
                                                  "sample"};
    char place[24];

    snprintf(place, sizeof place, "%zu", index);
    for (int signal = 0; signal < SIGNAL_COUNT; signal++) {
        const char *name = signal_name((enum signal)signal);
        if ((step->signals >> signal & 1) == 0)
            continue;
        if (step->kind == STEP_FILTER || step->kind == STEP_SAMPLE)
            step->metrics[signal] =
                metrics_series(&dropped_desc, owner, name, place, kinds[step->kind]);
        if (step->kind == STEP_PARSE)
            step->metrics[signal] = metrics_series(&unparsed_desc, owner, name, place);
    }
}

enum err process_create(const struct pipeline_processor *processors, size_t count,
                        const char *owner, struct process **ret_process, struct error *error)
{
    ASSERT(count <= PIPELINE_PROCESSORS_MAX);
    AUTO(process_destroy) struct process *process = calloc(1, sizeof *process);
    if (process == NULL)
        return no_memory(error);
    for (size_t i = 0; i < count; i++) {
        process->count = i + 1;
        enum err err = make_step(process, &process->steps[i], &processors[i], error);
        if (err)
            return error_prefix(error, err, "processors[%zu]", i);
        make_metrics(&process->steps[i], owner, i);
    }
    MOVE(*ret_process, process);
    return OK;
}

void process_destroy(struct process **process)
{
    struct process *gone = *process;
    if (gone == NULL)
        return;

    for (size_t i = 0; i < gone->count; i++) {
        parse_destroy(&gone->steps[i].parse);
        redact_destroy(&gone->steps[i].redact);
        condition_fini(&gone->steps[i].condition);
    }
    arena_fini(&gone->arena);
    arena_fini(&gone->resource.arena);
    arena_fini(&gone->scope.arena);
    attributes_fini(&gone->attributes);
    buf_fini(&gone->turns[0]);
    buf_fini(&gone->turns[1]);
    buf_fini(&gone->out);
    free(gone);
    *process = NULL;
}

bool process_concerns(const struct process *process, enum signal signal)
{
    for (size_t i = 0; i < process->count; i++)
        if ((process->steps[i].signals >> signal & 1) != 0)
            return true;
    return false;
}

static bool concerns(const struct process *process, size_t step)
{
    return (process->steps[step].signals >> process->signal & 1) != 0;
}

/* ---- resources and scopes */

/* What a step makes of a Resource or scope; in turns[0] if it changes it. */
static enum err change_head(struct process *process, struct step *step, enum pipeline_on on,
                            struct bytes head, bool *ret_changed)
{
    enum otlp_message_id id = on == PIPELINE_ON_RESOURCE ? OTLP_RESOURCE : OTLP_SCOPE;
    struct buf *out = &process->turns[0];

    *ret_changed = false;
    buf_clear(out);
    if (step->kind == STEP_REDACT)
        return redact_message(step->redact, id, head, out, ret_changed);
    if (step->kind != STEP_ATTRIBUTES || step->on != on)
        return OK;
    enum err err = attributes_load(&process->attributes, head, value_attributes_field(id));
    if (!err)
        err = attributes_apply(&process->attributes, step->rules, step->rule_count);
    if (err || !process->attributes.changed)
        return err;
    *ret_changed = true;
    return attributes_write(&process->attributes, out);
}

static enum err take_versions(struct process *process, struct versions *versions,
                              enum pipeline_on on, struct bytes *head)
{
    struct bytes now = *head;

    arena_reset(&versions->arena);
    for (size_t i = 0; i < process->count; i++) {
        bool changed = false;
        versions->before[i] = now;
        if (!concerns(process, i))
            continue;
        enum err err = change_head(process, &process->steps[i], on, now, &changed);
        if (err)
            return err;
        if (!changed)
            continue;
        size_t size = process->turns[0].len;
        uint8_t *kept = arena_alloc(&versions->arena, size + 1);
        if (kept == NULL)
            return size > versions->arena.max - versions->arena.used ? ERR_FULL : ERR_NOMEM;
        if (size > 0)
            memcpy(kept, process->turns[0].data, size);
        now = (struct bytes){kept, size};
    }
    versions->before[process->count] = now;
    *head = now;
    return OK;
}

static void enter_conditions(struct process *process, enum expr_level level)
{
    for (size_t i = 0; i < process->count; i++)
        condition_enter(&process->steps[i].condition, level);
}

static enum err on_enter(void *context, enum rewrite_level level, struct bytes *bytes)
{
    struct process *process = context;

    switch (level) {
    case REWRITE_RESOURCE:
        enter_conditions(process, EXPR_AT_RESOURCE);
        return take_versions(process, &process->resource, PIPELINE_ON_RESOURCE, bytes);
    case REWRITE_SCOPE:
        enter_conditions(process, EXPR_AT_SCOPE);
        return take_versions(process, &process->scope, PIPELINE_ON_SCOPE, bytes);
    case REWRITE_METRIC:
        process->metric = *bytes;
        break;
    }
    return OK;
}

/* ---- items */

/* `by_chance`: kept, but not for `keep`. */
static bool drops(struct process *process, struct step *step, struct item *item,
                  bool *ret_by_chance)
{
    *ret_by_chance = false;
    if (step->kind == STEP_FILTER)
        return condition_holds(&step->condition, process->signal, item);
    if (step->kind != STEP_SAMPLE || condition_holds(&step->condition, process->signal, item))
        return false;
    *ret_by_chance = sample_keeps(step->threshold, item);
    return !*ret_by_chance;
}

/* What a step makes of an item; in `out` if it changes it. */
static enum err change_item(struct process *process, size_t index, struct item *item,
                            bool by_chance, struct buf *out, bool *ret_changed)
{
    struct step *step = &process->steps[index];
    struct attributes *attributes = &process->attributes;

    *ret_changed = false;
    buf_clear(out);
    if (step->kind == STEP_REDACT)
        return redact_message(step->redact, item->message, item->bytes, out, ret_changed);
    if (by_chance)
        return sample_note(step->threshold, item, out, ret_changed);
    if (step->kind == STEP_PARSE) {
        enum err err = parse_item(step->parse, item, attributes, out, ret_changed);
        process->tallies[index] += !*ret_changed;
        return err;
    }
    if (step->kind != STEP_ATTRIBUTES || step->on != PIPELINE_ON_ITEM)
        return OK;
    enum err err = attributes_load(attributes, item->bytes, value_attributes_field(item->message));
    if (!err)
        err = attributes_apply(attributes, step->rules, step->rule_count);
    if (err || !attributes->changed)
        return err;
    *ret_changed = true;
    return attributes_write(attributes, out);
}

static enum err on_item(void *context, enum otlp_message_id message, struct bytes *bytes,
                        bool *ret_keep)
{
    struct process *process = context;
    struct item item = {.message = message, .metric = process->metric, .bytes = *bytes};
    unsigned turn = 0;

    for (size_t i = 0; i < process->count; i++) {
        bool changed = false, by_chance = false;
        if (!concerns(process, i))
            continue;
        item.resource = process->resource.before[i];
        item.scope = process->scope.before[i];
        if (drops(process, &process->steps[i], &item, &by_chance)) {
            process->tallies[i]++;
            *ret_keep = false;
            return OK;
        }
        enum err err = change_item(process, i, &item, by_chance, &process->turns[turn], &changed);
        if (err)
            return err;
        if (changed) {
            item.bytes = buf_bytes(&process->turns[turn]);
            turn ^= 1;
        }
    }
    *bytes = item.bytes;
    return OK;
}

static enum err on_metadata(void *context, struct bytes *bytes)
{
    struct process *process = context;
    unsigned turn = 0;

    for (size_t i = 0; i < process->count; i++) {
        struct step *step = &process->steps[i];
        struct buf *out = &process->turns[turn];
        bool changed = false;
        if (step->kind != STEP_REDACT)
            continue;
        buf_clear(out);
        enum err err = redact_message(step->redact, OTLP_KEY_VALUE, *bytes, out, &changed);
        if (err)
            return err;
        if (changed) {
            *bytes = buf_bytes(out);
            turn ^= 1;
        }
    }
    return OK;
}

/* ---- the whole */

static void take_tallies(const struct process *process, struct process_counts *ret_counts)
{
    ret_counts->count = 0;
    for (size_t i = 0; i < process->count; i++)
        if (process->tallies[i] > 0)
            ret_counts->list[ret_counts->count++] = (struct process_tally){
                process->steps[i].metrics[process->signal], (uint32_t)i, process->tallies[i]};
}

enum err process_run(struct process *process, enum signal signal, struct bytes request,
                     size_t size_max, struct bytes *ret_request, uint32_t *ret_items,
                     struct process_counts *ret_counts, struct error *error)
{
    const struct rewrite_hooks hooks = {on_enter, on_item, on_metadata, process};
    size_t part_max = size_max / 4 + PROCESS_ROOM;
    uint32_t items = 0;

    process->signal = signal;
    memset(process->tallies, 0, process->count * sizeof process->tallies[0]);
    process->metric = (struct bytes){0};
    process->out.max = size_max;
    process->turns[0].max = process->turns[1].max = part_max;
    process->resource.arena.max = process->scope.arena.max = part_max;
    buf_clear(&process->out);
    enum err err = rewrite(signal, request, &hooks, &process->out, &items);
    if (err == ERR_FULL)
        return error_set(error, err,
                         "the request is above %zu bytes when processed, or a part of it above %zu",
                         size_max, part_max);
    if (err)
        return error_set(error, err, "process an OTLP request");
    *ret_request = buf_bytes(&process->out);
    *ret_items = items;
    take_tallies(process, ret_counts);
    return OK;
}

static void release(struct buf *buf)
{
    if (buf->cap > PROCESS_KEPT_BYTES)
        buf_fini(buf);
}

void process_release(struct process *process)
{
    release(&process->turns[0]);
    release(&process->turns[1]);
    release(&process->out);
    if (process->resource.arena.used > PROCESS_KEPT_BYTES)
        arena_fini(&process->resource.arena);
    if (process->scope.arena.used > PROCESS_KEPT_BYTES)
        arena_fini(&process->scope.arena);
}

void process_count(const struct process_counts *counts)
{
    for (size_t i = 0; i < counts->count; i++)
        metric_add(counts->list[i].metric, counts->list[i].items);
}
