/* Down through the messages by the schema. What is unchanged is copied in long runs: `copied` is
 * how far the output has come, and it is only moved where something has to be written. A field that
 * is gone into is opened in the output first and undone if nothing in it was changed. */
#include "sidecar/process/redact.h"

#include "common/regex.h"
#include "sidecar/otlp/out.h"
#include "sidecar/process/value.h"

#include <stdlib.h>

enum { STRINGS_MAX = 96 };

/* What becomes of a field. */
enum deed { KEEP, TEXT, DESCEND };

struct step {
    uint8_t deed, child;
};

struct redact {
    struct arena arena;
    struct bytes *keys;
    size_t key_count;
    struct regex **patterns;
    size_t pattern_count;
    struct step steps[OTLP_MESSAGE_COUNT][OTLP_FIELDS_MAX + 1];
};

static enum err go_through(struct redact *redact, enum otlp_message_id id, struct bytes message,
                           struct buf *out, bool *ret_changed);

/* ---- making one */

/* Texts that people and programs make up; not names of metrics, units, URLs of schemas. */
static bool is_text(enum otlp_message_id id, const char *name)
{
    return (id == OTLP_ANY_VALUE && strcmp(name, "stringValue") == 0) ||
           (id == OTLP_SPAN && strcmp(name, "name") == 0) ||
           (id == OTLP_SPAN_EVENT && strcmp(name, "name") == 0) ||
           (id == OTLP_SPAN_STATUS && strcmp(name, "message") == 0);
}

static void plan_steps(struct redact *redact)
{
    for (int id = 0; id < OTLP_MESSAGE_COUNT; id++) {
        for (size_t i = 0; i < otlp_messages[id].field_count; i++) {
            const struct otlp_field *field = &otlp_messages[id].fields[i];
            struct step *step = &redact->steps[id][field->number];
            if (field->kind == OTLP_KIND_MESSAGE)
                *step = (struct step){DESCEND, (uint8_t)field->child};
            else if (redact->pattern_count > 0 && is_text((enum otlp_message_id)id, field->name))
                *step = (struct step){TEXT, 0};
        }
    }
}

void redact_destroy(struct redact **redact)
{
    struct redact *gone = *redact;
    if (gone == NULL)
        return;

    for (size_t i = 0; i < gone->pattern_count; i++)
        regex_free(&gone->patterns[i]);
    arena_fini(&gone->arena);
    free(gone);
    *redact = NULL;
}

enum err redact_create(const struct pipeline_redact *wanted, struct redact **ret_redact,
                       struct error *error)
{
    AUTO(redact_destroy) struct redact *redact = calloc(1, sizeof *redact);
    if (redact == NULL)
        return error_set(error, ERR_NOMEM, "redact");
    redact->keys = arena_zalloc(&redact->arena, (wanted->keys.count + 1) * sizeof *redact->keys);
    size_t patterns_size = (wanted->patterns.count + 1) * sizeof(struct regex *); /* NOLINT */
    redact->patterns = arena_zalloc(&redact->arena, patterns_size);
    if (redact->keys == NULL || redact->patterns == NULL)
        return error_set(error, ERR_NOMEM, "redact");
    for (size_t i = 0; i < wanted->keys.count; i++) {
        const char *key = arena_strdup(&redact->arena, wanted->keys.items[i]);
        if (key == NULL)
            return error_set(error, ERR_NOMEM, "redact");
        redact->keys[redact->key_count++] = bytes_from(key);
    }
    for (size_t i = 0; i < wanted->patterns.count; i++) {
        enum err err = regex_compile(wanted->patterns.items[i], &redact->patterns[i], error);
        if (err)
            return error_prefix(error, err, "redact, pattern %zu", i);
        redact->pattern_count++;
    }
    plan_steps(redact);
    MOVE(*ret_redact, redact);
    return OK;
}

/* ---- texts */

/* Appends `text` without what the pattern matches. */
static enum err write_without(struct regex *regex, struct bytes text, struct regex_span first,
                              struct buf *out)
{
    struct regex_span span = first;
    enum regex_found found = REGEX_YES;
    size_t from = 0, start = out->len;

    while (found == REGEX_YES) {
        enum err err = buf_append(out, (struct bytes){text.data + from, span.from - from});
        if (!err)
            err = buf_append(out, BYTES_LITERAL(REDACT_MARK));
        if (err)
            return err;
        from = span.to;
        size_t next = regex_after(text, span);
        found = next > text.len ? REGEX_NO : regex_search(regex, text, next, &span, 1);
    }
    if (found == REGEX_GAVE_UP) {
        out->len = start;
        return buf_append(out, BYTES_LITERAL(REDACT_MARK));
    }
    return buf_append(out, (struct bytes){text.data + from, text.len - from});
}

/* One pattern after the other; each reads what the one before it wrote, which lies at the end of
 * `out` and is moved down when the next is done. */
static enum err redact_text(struct redact *redact, struct bytes text, struct buf *out,
                            bool *ret_changed)
{
    size_t start = out->len;
    bool changed = false;

    for (size_t i = 0; i < redact->pattern_count; i++) {
        struct regex_span span = {0};
        size_t written = out->len;
        struct bytes now = changed ? (struct bytes){out->data + start, written - start} : text;
        enum regex_found found = regex_search(redact->patterns[i], now, 0, &span, 1);
        if (found == REGEX_NO)
            continue;
        if (found == REGEX_GAVE_UP)
            span = (struct regex_span){0, now.len};
        AUTO(buf_fini) struct buf copy = {.max = out->max};
        enum err err = write_without(redact->patterns[i], now, span, &copy);
        if (err)
            return err;
        out->len = start;
        err = buf_append(out, buf_bytes(&copy));
        if (err)
            return err;
        changed = true;
    }
    *ret_changed = changed;
    return OK;
}

/* ---- messages */

static bool is_secret(const struct redact *redact, struct bytes key)
{
    for (size_t i = 0; i < redact->key_count; i++)
        if (bytes_equal(redact->keys[i], key))
            return true;
    return false;
}

/* A KeyValue whose value goes: the key and unknown fields stay. */
static enum err hide_value(struct bytes key_value, struct buf *out)
{
    static const char any[] = {ANY_STRING << 3 | WIRE_LEN, sizeof REDACT_MARK - 1};
    struct wire_field field;
    struct out_mark mark;
    enum err err = OK;

    while (key_value.len > 0 && wire_next(&key_value, &field) && err == OK)
        if (field.number != KEY_VALUE_VALUE)
            err = buf_append(out, field.whole);
    if (!err)
        err = out_open(out, KEY_VALUE_VALUE, sizeof any + sizeof REDACT_MARK, &mark);
    if (!err)
        err = buf_append(out, (struct bytes){(const uint8_t *)any, sizeof any});
    if (!err)
        err = buf_append(out, BYTES_LITERAL(REDACT_MARK));
    return err ? err : out_close(out, &mark);
}

static enum err redact_field(struct redact *redact, struct step step,
                             const struct wire_field *field, struct buf *out, bool *ret_changed)
{
    struct out_mark mark;

    enum err err = out_open(out, field->number, field->payload.len, &mark);
    if (err)
        return err;
    err = step.deed == TEXT ? redact_text(redact, field->payload, out, ret_changed)
                            : go_through(redact, (enum otlp_message_id)step.child, field->payload,
                                         out, ret_changed);
    if (err)
        return err;
    if (*ret_changed)
        return out_close(out, &mark);
    out_undo(out, &mark);
    return OK;
}

/* Most attributes are a key and a scalar, and stay: those cost nothing but the look. */
static bool stays(struct redact *redact, struct step step, struct bytes key_value)
{
    struct bytes key, any;
    struct wire_field field;

    if (step.deed != DESCEND || step.child != OTLP_KEY_VALUE)
        return false;
    value_of_attribute(key_value, &key, &any);
    if (is_secret(redact, key) || any.len == 0 || !wire_next(&any, &field) || any.len > 0 ||
        field.number == ANY_ARRAY || field.number == ANY_MAP)
        return false;
    for (size_t i = 0; field.number == ANY_STRING && i < redact->pattern_count; i++)
        if (regex_search(redact->patterns[i], field.payload, 0, NULL, 0) != REGEX_NO)
            return false;
    return key_value.len == key.len + field.whole.len + 4;
}

static enum err go_through(struct redact *redact, enum otlp_message_id id, struct bytes message,
                           struct buf *out, bool *ret_changed)
{
    struct bytes rest = message, key, any;
    const uint8_t *copied = message.data;
    struct wire_field field;
    bool changed = false;

    if (id == OTLP_KEY_VALUE && redact->key_count > 0) {
        value_of_attribute(message, &key, &any);
        if (is_secret(redact, key)) {
            *ret_changed = true;
            return hide_value(message, out);
        }
    }
    while (rest.len > 0 && wire_next(&rest, &field)) {
        bool field_changed = false;
        struct step step = {KEEP, 0};
        if (field.number <= OTLP_FIELDS_MAX && field.type == WIRE_LEN)
            step = redact->steps[id][field.number];
        if (step.deed == KEEP || field.payload.len == 0 || stays(redact, step, field.payload))
            continue;
        enum err err = buf_append(out, (struct bytes){copied, (size_t)(field.whole.data - copied)});
        if (!err)
            err = redact_field(redact, step, &field, out, &field_changed);
        if (err)
            return err;
        copied = field.whole.data + (field_changed ? field.whole.len : 0);
        changed |= field_changed;
    }
    *ret_changed = changed;
    if (!changed)
        return OK;
    return buf_append(out, (struct bytes){copied, (size_t)(message.data + message.len - copied)});
}

enum err redact_message(struct redact *redact, enum otlp_message_id id, struct bytes message,
                        struct buf *out, bool *ret_changed)
{
    size_t start = out->len;

    enum err err = go_through(redact, id, message, out, ret_changed);
    if (!*ret_changed)
        out->len = start;
    return err;
}
