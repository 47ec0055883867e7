/* The sentences about fields: what one looks like, which words there are, and for a name that no
 * table has, the nearest one, as most are slips of the finger. */
#include "common/contract/field.h"

#include <stdio.h>
#include <strings.h>

enum { NAME_LEN_MAX = 64 };

/* The kind of JSON value that it takes; for a SIZE or an AMOUNT a number will do too. */
static enum json_kind kind_wanted(const struct field *field)
{
    switch (field->kind) {
    case FIELD_BOOL:
        return JSON_BOOL;
    case FIELD_INT:
    case FIELD_RATIO:
        return JSON_NUMBER;
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
    case FIELD_AMOUNT:
    case FIELD_WORD:
    case FIELD_STRING:
        return JSON_STRING;
    case FIELD_STRINGS:
    case FIELD_LIST:
        return JSON_ARRAY;
    case FIELD_RAW:
        return field->raw;
    case FIELD_MAP:
    case FIELD_SECRET:
    case FIELD_OBJECT:
    case FIELD_POINTER:
        return JSON_OBJECT;
    }
    return JSON_NONE;
}

const char *field_example(const struct field *field)
{
    switch (field->kind) {
    case FIELD_BOOL:
        return "Write true or false, without quotes";
    case FIELD_INT:
        return "Write a whole number, without quotes";
    case FIELD_DURATION:
        return "Write a duration, as in 500ms, 30s, 1h30m or 168h";
    case FIELD_SIZE:
        return "Write a size, as in 16Mi, 10Gi or 1e9";
    case FIELD_PERCENT:
        return "Write a percentage, as in 15%";
    case FIELD_RATIO:
        return "Write a number from 0 to 1, as in 0.25";
    case FIELD_AMOUNT:
        return "Write a whole number or a percentage, as in 1 or 50%";
    case FIELD_WORD:
    case FIELD_STRING:
        return "Write a string, in quotes where it looks like a number or true or false";
    case FIELD_STRINGS:
        return "Write a list of strings, as in [a, b]";
    case FIELD_MAP:
        return "Write an object of strings, as in {a: b, c: \"1\"}";
    case FIELD_SECRET:
        return "Write {name: SECRET, key: KEY}";
    case FIELD_RAW:
    case FIELD_OBJECT:
    case FIELD_POINTER:
    case FIELD_LIST:
        break;
    }
    return kind_wanted(field) == JSON_ARRAY ? "Write a list, as in [a, b]"
                                            : "Write an object, as in {a: b}";
}

const char *field_advice(const struct field *field)
{
    return field->advice == NULL ? field_example(field) : field->advice;
}

void field_words_advice(const struct field *field, char into[static FIELD_ADVICE_MAX])
{
    size_t used = (size_t)snprintf(into, FIELD_ADVICE_MAX, "Write ");

    for (size_t i = 0; field->words[i] != NULL && used < FIELD_ADVICE_MAX; i++) {
        const char *between = i == 0 ? "" : field->words[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(into + used, FIELD_ADVICE_MAX - used, "%s%s", between,
                                 field->words[i]);
    }
}

/* How many letters differ (insertions, deletions, changes); names are short. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_LEN_MAX + 1], lb = strlen(b);

    if (strlen(a) > NAME_LEN_MAX || lb > NAME_LEN_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; *a != '\0'; i++, a++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = diagonal + (*a != b[j - 1]);
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < best ? change : best;
        }
    }
    return row[lb];
}

void field_unknown(struct faults *faults, const struct shape *shape, const char *name,
                   const char *path)
{
    const char *nearest = NULL;
    size_t nearest_distance = strlen(name) < 8 ? 3 : strlen(name) / 4 + 1, used = 0;
    char advice[FIELD_ADVICE_MAX];

    for (size_t i = 0; i < shape->count; i++) {
        const char *known = shape->fields[i].name;
        size_t far = strcasecmp(name, known) == 0 ? 0 : distance(name, known);
        if (far < nearest_distance) {
            nearest = known;
            nearest_distance = far;
        }
    }
    if (nearest != NULL) {
        snprintf(advice, sizeof advice, "Did you mean %s?", nearest);
    } else {
        used = (size_t)snprintf(advice, sizeof advice, "Known here:");
        for (size_t i = 0; i < shape->count && used < sizeof advice; i++)
            used += (size_t)snprintf(advice + used, sizeof advice - used, "%s %s",
                                     i == 0 ? "" : ",", shape->fields[i].name);
    }
    fault_add(faults, path, advice, "is no field that we know");
}
