/* Rules on the same key are folded into one entry when the plan is made: what becomes of the
 * attribute where it is present, and where it is absent. Applying the plan to a Resource is then
 * one look at its keys, which gives the set of entries that are present; what is removed and what
 * is added follow from that. Attributes are unordered, so a value that changes is removed where it
 * was and added at the end, where all additions are one run of bytes made beforehand.
 */
#include "sidecar/otlp/stamp.h"

#include "common/assert.h"
#include "common/utf8.h"
#include "sidecar/otlp/wire.h"

#include <stdlib.h>

enum { RESOURCE_X = 1, RESOURCE = 1, ATTRIBUTE = 1, KEY = 1, VALUE = 2, STRING_VALUE = 1 };

/* What a rule, or several in a row, do to an attribute. */
enum deed { KEEP, SET, REMOVE };

struct effect {
    enum deed deed;
    struct bytes encoded; /* SET: the whole attribute field */
};

struct entry {
    struct bytes key;
    struct effect if_present, if_absent;
};

struct stamp {
    size_t count;
    struct entry entries[STAMP_KEYS_MAX];
    uint64_t key_lengths;   /* bit n: some key has n bytes, modulo 64 */
    uint64_t adds;          /* bit i: entry i is set where it is absent */
    uint64_t changes;       /* bit i: entry i is set or removed where it is present */
    struct bytes additions; /* what is added where none of the keys is there */
    uint8_t *memory;        /* what the entries point into */
};

/* ---- compiling */

void stamp_destroy(struct stamp **stamp)
{
    if (*stamp == NULL)
        return;
    free((*stamp)->memory);
    free(*stamp);
    *stamp = NULL;
}

static struct effect after(struct effect before, bool was_present, const struct entry *rule)
{
    bool present = before.deed == SET || (before.deed == KEEP && was_present);
    struct effect now = present ? rule->if_present : rule->if_absent;

    return now.deed == KEEP ? before : now;
}

static size_t find(const struct stamp *stamp, struct bytes key)
{
    if ((stamp->key_lengths >> (key.len & 63) & 1) == 0)
        return stamp->count;
    size_t i = 0;
    while (i < stamp->count && !bytes_equal(stamp->entries[i].key, key))
        i++;
    return i;
}

static size_t encoded_size(size_t key, size_t value)
{
    size_t any = wire_len_size(STRING_VALUE, value);
    return wire_len_size(ATTRIBUTE, wire_len_size(KEY, key) + wire_len_size(VALUE, any));
}

static uint8_t *encode(uint8_t *to, struct bytes key, struct bytes value)
{
    size_t any = wire_len_size(STRING_VALUE, value.len);

    to = wire_put_len(to, ATTRIBUTE, wire_len_size(KEY, key.len) + wire_len_size(VALUE, any));
    to = wire_put_len(to, KEY, key.len);
    memcpy(to, key.data, key.len);
    to = wire_put_len(to + key.len, VALUE, any);
    to = wire_put_len(to, STRING_VALUE, value.len);
    memcpy(to, value.data, value.len);
    return to + value.len;
}

static enum err check_rules(const struct stamp_rule *rules, size_t count, size_t *ret_size,
                            struct error *error)
{
    size_t bytes = 0, size = 0;

    for (size_t i = 0; i < count; i++) {
        const struct stamp_rule *rule = &rules[i];
        if (rule->key == NULL || rule->key[0] == '\0')
            return error_set(error, ERR_INVALID, "resource attribute %zu: the key is empty", i);
        if (!utf8_is_valid(bytes_from(rule->key)))
            return error_set(error, ERR_INVALID, "resource attribute %zu: the key is not UTF-8", i);
        size += strlen(rule->key);
        bytes += strlen(rule->key);
        if (rule->action == STAMP_DELETE)
            continue;
        if (rule->value == NULL)
            return error_set(error, ERR_INVALID, "resource attribute '%.100s': has no value",
                             rule->key);
        if (!utf8_is_valid(bytes_from(rule->value)))
            return error_set(error, ERR_INVALID, "resource attribute '%.100s': value is not UTF-8",
                             rule->key);
        size += 2 * encoded_size(strlen(rule->key), strlen(rule->value)); /* and in additions */
        bytes += strlen(rule->value);
    }
    if (bytes > STAMP_BYTES_MAX)
        return error_set(error, ERR_INVALID,
                         "resource attributes: keys and values have %zu bytes, at most %d are "
                         "possible",
                         bytes, STAMP_BYTES_MAX);
    *ret_size = size;
    return OK;
}

static struct entry entry_of(const struct stamp_rule *rule, uint8_t **memory)
{
    struct entry entry = {.key = {*memory, strlen(rule->key)}};
    struct effect set = {.deed = SET};

    ASSERT(rule->action <= STAMP_DELETE);
    memcpy(*memory, rule->key, entry.key.len);
    *memory += entry.key.len;
    if (rule->action == STAMP_DELETE) {
        entry.if_present.deed = REMOVE;
        return entry;
    }
    uint8_t *end = encode(*memory, entry.key, bytes_from(rule->value));
    set.encoded = (struct bytes){*memory, (size_t)(end - *memory)};
    *memory = end;
    if (rule->action != STAMP_INSERT)
        entry.if_present = set;
    if (rule->action != STAMP_UPDATE)
        entry.if_absent = set;
    return entry;
}

static enum err add_rule(struct stamp *stamp, const struct stamp_rule *rule, uint8_t **memory,
                         struct error *error)
{
    struct entry added = entry_of(rule, memory);
    size_t at = find(stamp, added.key);

    if (at == STAMP_KEYS_MAX)
        return error_set(error, ERR_INVALID, "resource attributes: more than %d keys, at '%.100s'",
                         STAMP_KEYS_MAX, rule->key);
    struct entry *entry = &stamp->entries[at];
    if (at == stamp->count) {
        *entry = added;
        stamp->key_lengths |= UINT64_C(1) << (added.key.len & 63);
        stamp->count++;
        return OK;
    }
    entry->if_present = after(entry->if_present, true, &added);
    entry->if_absent = after(entry->if_absent, false, &added);
    return OK;
}

/* Sums up the entries once all rules are in. */
static void finish(struct stamp *stamp, uint8_t *memory)
{
    stamp->additions.data = memory;
    for (size_t i = 0; i < stamp->count; i++) {
        const struct entry *entry = &stamp->entries[i];
        uint64_t bit = UINT64_C(1) << i;
        struct bytes absent = entry->if_absent.encoded;

        if (entry->if_present.deed != KEEP)
            stamp->changes |= bit;
        if (entry->if_absent.deed == SET) {
            stamp->adds |= bit;
            memcpy(memory, absent.data, absent.len);
            memory += absent.len;
            stamp->additions.len += absent.len;
        }
    }
}

enum err stamp_create(const struct stamp_rule *rules, size_t count, struct stamp **ret_stamp,
                      struct error *error)
{
    size_t size = 0;

    enum err err = check_rules(rules, count, &size, error);
    if (err)
        return err;

    AUTO(stamp_destroy) struct stamp *stamp = calloc(1, sizeof *stamp);
    if (stamp == NULL)
        return error_set(error, ERR_NOMEM, "resource attributes");
    stamp->memory = malloc(size + 1);
    if (stamp->memory == NULL)
        return error_set(error, ERR_NOMEM, "resource attributes");

    uint8_t *memory = stamp->memory;
    for (size_t i = 0; i < count; i++) {
        err = add_rule(stamp, &rules[i], &memory, error);
        if (err)
            return err;
    }
    finish(stamp, memory);
    MOVE(*ret_stamp, stamp);
    return OK;
}

/* ---- applying */

static enum err malformed(struct error *error)
{
    return error_set(error, ERR_INVALID, "stamp: the OTLP request is malformed");
}

/* The entry of an attribute's key, or stamp->count. Of several keys the last one counts. */
static bool entry_of_attribute(const struct stamp *stamp, struct bytes attribute, size_t *ret_at)
{
    struct bytes key = {0};
    struct wire_field field;

    while (attribute.len > 0) {
        if (!wire_next(&attribute, &field))
            return false;
        if (field.number == KEY && field.type == WIRE_LEN)
            key = field.payload;
    }
    *ret_at = find(stamp, key);
    return true;
}

/* What stamping does to the Resource fields of one ResourceX, which are one Resource. */
struct verdict {
    size_t fields;       /* Resource fields there are */
    size_t fields_bytes; /* with their tags and lengths */
    size_t body_bytes;   /* without */
    size_t removed_bytes, added_bytes;
    uint64_t present; /* entries whose key is there */
};

static bool judge_resource(const struct stamp *stamp, struct bytes resource,
                           struct verdict *verdict)
{
    struct wire_field field;
    size_t at = 0;

    while (resource.len > 0) {
        if (!wire_next(&resource, &field))
            return false;
        if (field.number != ATTRIBUTE || field.type != WIRE_LEN)
            continue;
        if (!entry_of_attribute(stamp, field.payload, &at))
            return false;
        if (at == stamp->count)
            continue;
        verdict->present |= UINT64_C(1) << at;
        if ((stamp->changes >> at & 1) != 0)
            verdict->removed_bytes += field.whole.len;
    }
    return true;
}

static bool judge(const struct stamp *stamp, struct bytes resource_x, struct verdict *ret_verdict)
{
    struct verdict verdict = {0};
    struct wire_field field;

    while (resource_x.len > 0) {
        if (!wire_next(&resource_x, &field))
            return false;
        if (field.number != RESOURCE || field.type != WIRE_LEN)
            continue;
        if (!judge_resource(stamp, field.payload, &verdict))
            return false;
        verdict.fields++;
        verdict.fields_bytes += field.whole.len;
        verdict.body_bytes += field.payload.len;
    }
    if ((verdict.present & (stamp->adds | stamp->changes)) == 0) {
        verdict.added_bytes = stamp->additions.len;
    } else {
        for (size_t i = 0; i < stamp->count; i++) {
            const struct entry *entry = &stamp->entries[i];
            bool present = (verdict.present >> i & 1) != 0;
            verdict.added_bytes += (present ? entry->if_present : entry->if_absent).encoded.len;
        }
    }
    *ret_verdict = verdict;
    return true;
}

static enum err put_additions(const struct stamp *stamp, uint64_t present, struct otlp_slices *out)
{
    if ((present & (stamp->adds | stamp->changes)) == 0)
        return otlp_slices_add(out, stamp->additions);
    for (size_t i = 0; i < stamp->count; i++) {
        const struct entry *entry = &stamp->entries[i];
        bool is_present = (present >> i & 1) != 0;
        struct effect effect = is_present ? entry->if_present : entry->if_absent;
        enum err err = otlp_slices_add(out, effect.encoded);
        if (err)
            return err;
    }
    return OK;
}

/* What stays of one Resource field. */
static enum err put_kept(const struct stamp *stamp, struct bytes resource, bool removes,
                         struct otlp_slices *out)
{
    struct wire_field field;
    size_t at = 0;

    if (!removes)
        return otlp_slices_add(out, resource);
    while (resource.len > 0) {
        if (!wire_next(&resource, &field))
            return ERR_INVALID;
        if (field.number == ATTRIBUTE && field.type == WIRE_LEN) {
            if (!entry_of_attribute(stamp, field.payload, &at))
                return ERR_INVALID;
            if (at < stamp->count && (stamp->changes >> at & 1) != 0)
                continue;
        }
        enum err err = otlp_slices_add(out, field.whole);
        if (err)
            return err;
    }
    return OK;
}

static enum err put_header(uint32_t number, size_t payload, struct otlp_slices *out)
{
    uint8_t *at = NULL;

    enum err err = otlp_slices_make(out, WIRE_HEAD_MAX, &at);
    if (err)
        return err;
    return otlp_slices_made(out, (size_t)(wire_put_len(at, number, payload) - at));
}

/* The one Resource that stands for all of them. */
static enum err put_resource(const struct stamp *stamp, struct bytes resource_x,
                             const struct verdict *verdict, size_t body, struct otlp_slices *out)
{
    struct wire_field field;

    enum err err = put_header(RESOURCE, body, out);
    while (err == OK && resource_x.len > 0) {
        if (!wire_next(&resource_x, &field))
            return ERR_INVALID;
        if (field.number == RESOURCE && field.type == WIRE_LEN)
            err = put_kept(stamp, field.payload, verdict->removed_bytes > 0, out);
    }
    if (err)
        return err;
    return put_additions(stamp, verdict->present, out);
}

static enum err put_resource_x(const struct stamp *stamp, struct bytes resource_x,
                               const struct verdict *verdict, struct otlp_slices *out)
{
    size_t body = verdict->body_bytes - verdict->removed_bytes + verdict->added_bytes;
    size_t size = resource_x.len - verdict->fields_bytes + wire_len_size(RESOURCE, body);
    struct bytes rest = resource_x;
    struct wire_field field;
    bool done = verdict->fields == 0;

    enum err err = put_header(RESOURCE_X, size, out);
    if (err == OK && done)
        err = put_resource(stamp, resource_x, verdict, body, out);
    while (err == OK && rest.len > 0) {
        if (!wire_next(&rest, &field))
            return ERR_INVALID;
        if (field.number != RESOURCE || field.type != WIRE_LEN) {
            err = otlp_slices_add(out, field.whole);
        } else if (!done) {
            done = true;
            err = put_resource(stamp, resource_x, verdict, body, out);
        }
    }
    return err;
}

enum err stamp_apply(const struct stamp *stamp, struct bytes request, size_t size_max,
                     struct otlp_slices *out, struct error *error)
{
    struct wire_field field;
    struct verdict verdict;

    otlp_slices_clear(out);
    enum err err = OK;
    if (stamp->adds == 0 && stamp->changes == 0) {
        err = otlp_slices_add(out, request);
        request.len = 0;
    }
    while (err == OK && request.len > 0 && out->size_bytes <= size_max) {
        if (!wire_next(&request, &field))
            return malformed(error);
        if (field.number != RESOURCE_X || field.type != WIRE_LEN) {
            err = otlp_slices_add(out, field.whole);
            continue;
        }
        if (!judge(stamp, field.payload, &verdict))
            return malformed(error);
        if (verdict.removed_bytes == 0 && verdict.added_bytes == 0)
            err = otlp_slices_add(out, field.whole);
        else
            err = put_resource_x(stamp, field.payload, &verdict, out);
    }
    if (err == OK && out->size_bytes > size_max)
        return error_set(error, ERR_FULL,
                         "stamp: the request with its resource attributes is above %zu bytes",
                         size_max);
    if (err == OK && out->count > STAMP_SLICES_MAX)
        err = otlp_slices_join(out);
    if (err == ERR_INVALID)
        return malformed(error);
    if (err)
        return error_set(error, err, "stamp an OTLP request");
    return OK;
}
