/* A faulty value is noted and its default taken in its place, so that reading goes on and later
 * checks don't stumble over it. */
#include "common/contract/field.h"

#include "common/assert.h"
#include "common/contract/duration.h"
#include "common/contract/quantity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STRING_MAX = 253 };

/* ---- small tools */

static void *take(struct field_reader *reader, size_t size)
{
    void *at = arena_zalloc(reader->arena, size);
    if (at == NULL)
        reader->out_of_memory = true;
    return at;
}

static const char *copy(struct field_reader *reader, const char *text)
{
    const char *at = arena_strdup(reader->arena, text);
    if (at == NULL)
        reader->out_of_memory = true;
    return at;
}

static void *member(void *target, size_t offset)
{
    return (char *)target + offset;
}

static void set_int(const struct field *field, void *target, int64_t value)
{
    *(int64_t *)member(target, field->offset) = value;
}

static bool absent(const struct json *value)
{
    enum json_kind kind = json_kind(value);
    return kind == JSON_NONE || kind == JSON_NULL;
}

static bool check_kind(struct field_reader *reader, const struct field *field,
                       const struct json *value, const char *path, enum json_kind kind)
{
    if (json_kind(value) == kind)
        return true;
    fault_add(reader->faults, path, field_example(field), "is %s, not %s",
              json_kind_name(json_kind(value)), json_kind_name(kind));
    return false;
}

/* ---- numbers */

static void print_number(const struct field *field, int64_t value, char into[static 64])
{
    if (field->kind == FIELD_DURATION)
        duration_print(value, into);
    else if (field->kind == FIELD_SIZE)
        quantity_print(value, into);
    else
        snprintf(into, 64, "%lld%s", (long long)value, field->kind == FIELD_PERCENT ? "%" : "");
}

static bool in_range(struct field_reader *reader, const struct field *field, int64_t value,
                     const char *path)
{
    char given[64], min[64], max[64], advice[192];

    if (value >= field->min && value <= field->max)
        return true;
    print_number(field, value, given);
    print_number(field, field->min, min);
    print_number(field, field->max, max);
    snprintf(advice, sizeof advice, "Write something from %s to %s", min, max);
    fault_add(reader->faults, path, advice, "is %s, which is too %s", given,
              value < field->min ? "small" : "large");
    return false;
}

/* "15%" */
static enum err parse_percent(const char *text, int64_t *ret_value, struct error *error)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 6 || strcmp(text + digits, "%") != 0)
        return error_set(error, ERR_INVALID, "is no percentage");
    *ret_value = strtoll(text, NULL, 10);
    return OK;
}

static enum err parse_number(const struct field *field, const char *text, int64_t *ret_value,
                             struct error *error)
{
    if (field->kind == FIELD_DURATION)
        return duration_parse(text, ret_value, error);
    if (field->kind == FIELD_SIZE)
        return quantity_parse(text, ret_value, error);
    if (field->kind == FIELD_PERCENT)
        return parse_percent(text, ret_value, error);
    *ret_value = strtoll(text, NULL, 10); /* an INT's default */
    return OK;
}

static bool whole(const struct json *value, int64_t *ret_value)
{
    double number = json_number(value, 0.5);

    if (floor(number) != number || fabs(number) > 9007199254740992.0)
        return false;
    *ret_value = json_int(value, 0);
    return true;
}

static void read_number(struct field_reader *reader, const struct field *field,
                        const struct json *value, const char *path, void *target)
{
    struct error error = {0};
    int64_t number = 0;

    bool plain =
        field->kind == FIELD_INT || (field->kind == FIELD_SIZE && json_kind(value) == JSON_NUMBER);
    if (!check_kind(reader, field, value, path, plain ? JSON_NUMBER : JSON_STRING))
        return;
    if (plain) {
        if (!whole(value, &number)) {
            fault_add(reader->faults, path, field_example(field), "is no whole number");
            return;
        }
    } else if (parse_number(field, json_string(value, ""), &number, &error) != OK) {
        char quoted[FAULT_QUOTE_MAX];
        fault_add(reader->faults, path, field_example(field), "\"%s\" %s",
                  fault_quote(json_string(value, ""), quoted), error.text);
        return;
    }
    if (in_range(reader, field, number, path))
        set_int(field, target, number);
}

static void read_amount(struct field_reader *reader, const struct field *field,
                        const struct json *value, const char *path, void *target)
{
    struct pipeline_amount amount = {.percent = json_kind(value) == JSON_STRING};

    bool ok = amount.percent ? parse_percent(json_string(value, ""), &amount.value, NULL) == OK
                             : whole(value, &amount.value);
    if (!ok || amount.value < 0 || (amount.percent && amount.value > 100) || amount.value > 1000)
        fault_add(reader->faults, path, field_example(field),
                  "is neither a count up to 1000 nor a percentage");
    else
        *(struct pipeline_amount *)member(target, field->offset) = amount;
}

static void read_ratio(struct field_reader *reader, const struct field *field,
                       const struct json *value, const char *path, void *target)
{
    double ratio = json_number(value, -1);

    if (!check_kind(reader, field, value, path, JSON_NUMBER))
        return;
    if (ratio >= 0 && ratio <= 1)
        *(double *)member(target, field->offset) = ratio;
    else
        fault_add(reader->faults, path, field_example(field), "is not between 0 and 1");
}

/* ---- strings */

static void read_word(struct field_reader *reader, const struct field *field,
                      const struct json *value, const char *path, void *target)
{
    char advice[FIELD_ADVICE_MAX], quoted[FAULT_QUOTE_MAX];

    if (!check_kind(reader, field, value, path, JSON_STRING))
        return;
    const char *text = json_string(value, "");
    for (int i = 0; field->words[i] != NULL; i++) {
        if (strcmp(field->words[i], text) == 0) {
            *(int *)member(target, field->offset) = i;
            return;
        }
    }
    field_words_advice(field, advice);
    fault_add(reader->faults, path, advice, "\"%s\" isn't known here", fault_quote(text, quoted));
}

/* What is still ${env:...} here came from a document in Kubernetes, where it would stay as it is.
 */
static bool check_length(struct field_reader *reader, const char *text, size_t len_max,
                         const char *path)
{
    char advice[64];

    if (strlen(text) > len_max) {
        snprintf(advice, sizeof advice, "Write at most %zu bytes", len_max);
        fault_add(reader->faults, path, advice, "is %zu bytes long", strlen(text));
        return false;
    }
    if (strstr(text, "${env:") != NULL) {
        fault_add(reader->faults, path, "Write the value itself",
                  "holds ${env:...}, which is replaced only outside Kubernetes");
        return false;
    }
    return true;
}

static bool check_text(struct field_reader *reader, const struct field *field, const char *text,
                       const char *path)
{
    struct error error = {0};
    size_t len_max = field->kind == FIELD_STRING ? (size_t)field->max : field->value_max;

    if (len_max == 0 || field->kind == FIELD_MAP)
        len_max = STRING_MAX;
    if (!check_length(reader, text, len_max, path))
        return false;
    if (field->syntax != NULL && field->syntax(text, &error) != OK) {
        fault_add(reader->faults, path, field_advice(field), "%s", error.text);
        return false;
    }
    return true;
}

static void read_string(struct field_reader *reader, const struct field *field,
                        const struct json *value, const char *path, void *target)
{
    if (!check_kind(reader, field, value, path, JSON_STRING))
        return;
    const char *text = json_string(value, "");
    if (*text == '\0') {
        if (field->required)
            fault_add(reader->faults, path, field_advice(field), "is empty");
        return; /* as good as left out */
    }
    if (check_text(reader, field, text, path))
        *(const char **)member(target, field->offset) = copy(reader, text);
}

static bool check_count(struct field_reader *reader, const struct field *field, size_t count,
                        const char *path)
{
    char advice[96];

    if (count <= (size_t)field->max)
        return true;
    snprintf(advice, sizeof advice, "Write at most %lld", (long long)field->max);
    fault_add(reader->faults, path, advice, "has %zu entries", count);
    return false;
}

static void read_strings(struct field_reader *reader, const struct field *field,
                         const struct json *value, const char *path, void *target)
{
    struct pipeline_strings *strings = member(target, field->offset);
    char at[FAULT_PATH_MAX];
    size_t index = 0;

    if (!check_kind(reader, field, value, path, JSON_ARRAY) ||
        !check_count(reader, field, json_size(value), path))
        return;
    strings->items = take(reader, json_size(value) * sizeof *strings->items);
    if (strings->items == NULL)
        return;
    JSON_EACH(item, value) {
        fault_path_at(path, index++, at);
        if (json_kind(item) != JSON_STRING)
            fault_add(reader->faults, at, "Put it in quotes", "is %s, not a string",
                      json_kind_name(json_kind(item)));
        else if (check_text(reader, field, json_string(item, ""), at))
            strings->items[strings->count++] = copy(reader, json_string(item, ""));
    }
}

static void read_map(struct field_reader *reader, const struct field *field,
                     const struct json *value, const char *path, void *target)
{
    struct pipeline_map *map = member(target, field->offset);
    char at[FAULT_PATH_MAX];

    if (!check_kind(reader, field, value, path, JSON_OBJECT) ||
        !check_count(reader, field, json_size(value), path))
        return;
    map->items = take(reader, json_size(value) * sizeof *map->items);
    if (map->items == NULL)
        return;
    JSON_EACH(item, value) {
        fault_path_key(path, json_key(item), at);
        const char *text = json_string(item, "");
        if (json_kind(item) != JSON_STRING)
            fault_add(reader->faults, at, "Put it in quotes", "is %s, not a string",
                      json_kind_name(json_kind(item)));
        else if ((field->value_max == 0 || check_length(reader, text, field->value_max, at)) &&
                 check_text(reader, field, json_key(item), at))
            map->items[map->count++] =
                (struct pipeline_pair){copy(reader, json_key(item)), copy(reader, text)};
    }
}

/* ---- objects */

static bool is_secret_key(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    return text[strspn(text, allowed)] == '\0' && strcmp(text, ".") != 0 &&
           strncmp(text, "..", 2) != 0;
}

/* A Secret's name and key become a path, so both are checked here, whatever else they are. */
static void read_secret(struct field_reader *reader, const struct field *field,
                        const struct json *value, const char *path, void *target)
{
    static const struct field parts[] = {
        {.name = "name", .kind = FIELD_STRING, .offset = offsetof(struct pipeline_secret, name)},
        {.name = "key", .kind = FIELD_STRING, .offset = offsetof(struct pipeline_secret, key)}};
    static const struct shape shape = {.name = "secret", .fields = parts, .count = 2};
    struct pipeline_secret secret = {0};

    if (!check_kind(reader, field, value, path, JSON_OBJECT))
        return;
    field_read(reader, &shape, value, path, &secret);
    if (secret.key == NULL && field->fallback != NULL && secret.name != NULL)
        secret.key = copy(reader, field->fallback);
    if (secret.name == NULL && secret.key == NULL && !field->required)
        return;
    if (secret.name == NULL || secret.key == NULL)
        fault_add(reader->faults, path, field_example(field), "has no %s",
                  secret.name == NULL ? "name" : "key");
    else if (!is_secret_key(secret.name) || !is_secret_key(secret.key))
        fault_add(reader->faults, path, "Use letters, digits, '-', '_' and '.' only",
                  "names a Secret or a key that can't exist");
    else
        *(struct pipeline_secret *)member(target, field->offset) = secret;
}

static void read_list(struct field_reader *reader, const struct field *field,
                      const struct json *value, const char *path, void *target)
{
    char at[FAULT_PATH_MAX];
    size_t count = json_size(value), index = 0;

    if (!check_kind(reader, field, value, path, JSON_ARRAY) ||
        !check_count(reader, field, count, path) || count == 0)
        return;
    char *items = take(reader, count * field->shape->size);
    if (items == NULL)
        return;
    JSON_EACH(item, value) {
        bool object = json_kind(item) == JSON_OBJECT, was_quiet = reader->quiet;
        fault_path_at(path, index, at);
        if (!object)
            fault_add(reader->faults, at,
                      field->advice != NULL ? field->advice : "Write an object, as in {name: x}",
                      "is %s, not an object", json_kind_name(json_kind(item)));
        reader->quiet = was_quiet || !object; /* it keeps its place, so that indexes stay right */
        field_read(reader, field->shape, object ? item : NULL, at,
                   items + index++ * field->shape->size);
        reader->quiet = was_quiet;
    }
    memcpy(member(target, field->offset), &items, sizeof items);
    *(size_t *)member(target, field->count_offset) = index;
}

static void read_pointer(struct field_reader *reader, const struct field *field,
                         const struct json *value, const char *path, void *target)
{
    if (!check_kind(reader, field, value, path, JSON_OBJECT))
        return;
    void *at = take(reader, field->shape->size);
    if (at == NULL)
        return;
    field_read(reader, field->shape, value, path, at);
    memcpy(member(target, field->offset), &at, sizeof at);
}

static void read_raw(struct field_reader *reader, const struct field *field,
                     const struct json *value, const char *path, void *target)
{
    if (check_kind(reader, field, value, path, field->raw))
        *(const struct json **)member(target, field->offset) = value;
}

static void read_bool(struct field_reader *reader, const struct field *field,
                      const struct json *value, const char *path, void *target)
{
    if (check_kind(reader, field, value, path, JSON_BOOL))
        *(bool *)member(target, field->offset) = json_bool(value, false);
}

static void read_value(struct field_reader *reader, const struct field *field,
                       const struct json *value, const char *path, void *target)
{
    typedef void read_kind(struct field_reader *, const struct field *, const struct json *,
                           const char *, void *);
    static read_kind *const readers[] = {
        [FIELD_BOOL] = read_bool,       [FIELD_INT] = read_number,
        [FIELD_DURATION] = read_number, [FIELD_SIZE] = read_number,
        [FIELD_PERCENT] = read_number,  [FIELD_RATIO] = read_ratio,
        [FIELD_AMOUNT] = read_amount,   [FIELD_WORD] = read_word,
        [FIELD_STRING] = read_string,   [FIELD_STRINGS] = read_strings,
        [FIELD_MAP] = read_map,         [FIELD_RAW] = read_raw,
        [FIELD_SECRET] = read_secret,   [FIELD_POINTER] = read_pointer,
        [FIELD_LIST] = read_list};

    readers[field->kind](reader, field, value, path, target);
}

/* What a field holds when it is left out. */
static void set_default(struct field_reader *reader, const struct field *field, void *target)
{
    const char *text = field->fallback;
    int64_t number = 0;
    int word = FIELD_WORD_UNSET;

    switch (field->kind) {
    case FIELD_BOOL:
        *(bool *)member(target, field->offset) = text != NULL && strcmp(text, "true") == 0;
        return;
    case FIELD_INT:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
        if (text == NULL || parse_number(field, text, &number, NULL) != OK)
            number = field->none;
        set_int(field, target, number);
        return;
    case FIELD_AMOUNT:
        *(struct pipeline_amount *)member(target, field->offset) =
            (struct pipeline_amount){strtoll(text, NULL, 10), strchr(text, '%') != NULL};
        return;
    case FIELD_WORD:
        for (int i = 0; text != NULL && field->words[i] != NULL; i++)
            if (strcmp(field->words[i], text) == 0)
                word = i;
        *(int *)member(target, field->offset) = word;
        return;
    case FIELD_STRING:
        *(const char **)member(target, field->offset) = text == NULL ? NULL : copy(reader, text);
        return;
    case FIELD_RATIO:
    case FIELD_STRINGS:
    case FIELD_MAP:
    case FIELD_RAW:
    case FIELD_SECRET:
    case FIELD_OBJECT:
    case FIELD_POINTER:
    case FIELD_LIST:
        return; /* zeroed already */
    }
}

/* An optional object that is left out: its fields hold `none`. */
static void set_none(const struct shape *shape, void *target)
{
    for (size_t i = 0; i < shape->count; i++) {
        const struct field *field = &shape->fields[i];
        if (field->kind == FIELD_INT || field->kind == FIELD_DURATION ||
            field->kind == FIELD_SIZE || field->kind == FIELD_PERCENT)
            set_int(field, target, field->none);
    }
}

static void read_object(struct field_reader *reader, const struct field *field,
                        const struct json *value, const char *path, void *target)
{
    bool left_out = absent(value), was_quiet = reader->quiet;
    void *at = member(target, field->offset);

    if (left_out && field->optional) {
        set_none(field->shape, at);
        return;
    }
    if (left_out ? field->required : !check_kind(reader, field, value, path, JSON_OBJECT)) {
        reader->quiet = true;
        value = NULL;
    }
    field_read(reader, field->shape, value, path, at);
    reader->quiet = was_quiet;
}

static void read_field(struct field_reader *reader, const struct field *field,
                       const struct json *value, const char *path, void *target)
{
    if (absent(value) && field->required && !reader->quiet)
        fault_add(reader->faults, path, field_advice(field), "is missing");
    if (field->kind == FIELD_OBJECT) {
        read_object(reader, field, value, path, target);
        return;
    }
    set_default(reader, field, target);
    if (!absent(value))
        read_value(reader, field, value, path, target);
}

/* ---- all of an object */

static const struct field *field_named(const struct shape *shape, const char *name)
{
    for (size_t i = 0; i < shape->count; i++)
        if (strcmp(shape->fields[i].name, name) == 0)
            return &shape->fields[i];
    return NULL;
}

/* "spec.edges[1].spool" -> "spec.edges[].spool" */
static void pattern_of(const char *path, char into[static FAULT_PATH_MAX])
{
    size_t used = 0;

    for (; *path != '\0' && used < FAULT_PATH_MAX - 1; path++) {
        into[used++] = *path;
        if (*path == '[')
            path += strcspn(path, "]") - 1;
    }
    into[used] = '\0';
}

/* Looks at every member once: is it known, is it there twice, is it built? Refused ones are added
 * to `refused` by their place among the fields. */
static void check_members(struct field_reader *reader, const struct shape *shape,
                          const struct json *object, const char *path, uint64_t *ret_refused)
{
    char at[FAULT_PATH_MAX], pattern[FAULT_PATH_MAX], name[FAULT_QUOTE_MAX];

    JSON_EACH(value, object) {
        const struct field *field = field_named(shape, json_key(value));
        fault_path(path, fault_quote(json_key(value), name), at);
        if (field != NULL && json_get(object, json_key(value)) != value)
            fault_add(reader->faults, at, "Leave one of them out", "is there twice");
        pattern_of(at, pattern);
        enum field_verdict verdict = reader->judge(reader->faults, pattern, at, value);
        if (verdict == FIELD_REFUSED && field != NULL)
            *ret_refused |= 1ull << (field - shape->fields);
        if (verdict == FIELD_BUILT && field == NULL && !shape->open)
            field_unknown(reader->faults, shape, json_key(value), at);
    }
}

void field_read(struct field_reader *reader, const struct shape *shape, const struct json *object,
                const char *path, void *target)
{
    char at[FAULT_PATH_MAX];
    uint64_t refused = 0;

    ASSERT(shape->count <= 64);
    check_members(reader, shape, object, path, &refused);
    for (size_t i = 0; i < shape->count; i++) {
        const struct field *field = &shape->fields[i];
        const struct json *value = json_get(object, field->name);
        fault_path(path, field->name, at);
        if ((refused & 1ull << i) == 0)
            read_field(reader, field, value, at, target);
        else if (field->kind != FIELD_OBJECT)
            set_default(reader, field, target);
    }
}
