#include "common/contract/duration.h"
#include "common/contract/signal.h"
#include "common/expr/expr_tree.h"

#include <strings.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

enum {
    TRACES = 1 << SIGNAL_TRACES,
    METRICS = 1 << SIGNAL_METRICS,
    LOGS = 1 << SIGNAL_LOGS,
    ALL = EXPR_ALL_SIGNALS
};

/* In the order of enum expr_root. */
static const struct expr_field fields[] = {
    {"resource", EXPR_RESOURCE, EXPR_IS_ANY, EXPR_MUST_KEY, ALL, EXPR_AT_RESOURCE},
    {"scope", EXPR_SCOPE, EXPR_IS_ANY, EXPR_MUST_KEY, ALL, EXPR_AT_SCOPE},
    {"attributes", EXPR_ATTRIBUTES, EXPR_IS_ANY, EXPR_MUST_KEY, ALL, EXPR_AT_ITEM},
    {"body", EXPR_BODY, EXPR_IS_ANY, EXPR_MAY_KEY, LOGS, EXPR_AT_ITEM},
    {"scope.name", EXPR_SCOPE_NAME, EXPR_IS_TEXT, EXPR_NO_KEY, ALL, EXPR_AT_SCOPE},
    {"scope.version", EXPR_SCOPE_VERSION, EXPR_IS_TEXT, EXPR_NO_KEY, ALL, EXPR_AT_SCOPE},
    {"name", EXPR_NAME, EXPR_IS_TEXT, EXPR_NO_KEY, TRACES | METRICS, EXPR_AT_ITEM},
    {"severity", EXPR_SEVERITY, EXPR_IS_SEVERITY, EXPR_NO_KEY, LOGS, EXPR_AT_ITEM},
    {"status", EXPR_STATUS, EXPR_IS_STATUS, EXPR_NO_KEY, TRACES, EXPR_AT_ITEM},
    {"kind", EXPR_KIND, EXPR_IS_KIND, EXPR_NO_KEY, TRACES, EXPR_AT_ITEM},
    {"duration", EXPR_DURATION, EXPR_IS_DURATION, EXPR_NO_KEY, TRACES, EXPR_AT_ITEM},
};

const struct expr_field *expr_field_named(struct bytes name)
{
    for (size_t i = 0; i < COUNT(fields); i++)
        if (bytes_equal(name, bytes_from(fields[i].name)))
            return &fields[i];
    return NULL;
}

const struct expr_field *expr_field_of(enum expr_root root)
{
    return &fields[root];
}

bool expr_field_ordered(enum expr_static type)
{
    return type != EXPR_IS_STATUS && type != EXPR_IS_KIND;
}

/* ---- words */

static bool same_word(struct bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp((const char *)text.data, word, text.len) == 0;
}

/* INFO stands for 9 to 12, INFO2 for 10. */
static bool severity_range(struct bytes text, int64_t *ret_low, int64_t *ret_high)
{
    static const char *const names[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

    for (size_t i = 0; i < COUNT(names); i++) {
        int64_t low = 1 + 4 * (int64_t)i;
        struct bytes stem = {text.data, text.len - (text.len > 0)};
        uint8_t last = text.len > 0 ? text.data[text.len - 1] : 0;
        if (same_word(text, names[i])) {
            *ret_low = low;
            *ret_high = low + 3;
            return true;
        }
        if (last >= '2' && last <= '4' && same_word(stem, names[i])) {
            *ret_low = *ret_high = low + (last - '1');
            return true;
        }
    }
    return false;
}

/* Also what loggers write who know other names. */
int64_t expr_severity(struct bytes text)
{
    static const struct {
        const char *word;
        int64_t severity;
    } others[] = {{"WARNING", 13}, {"ERR", 17},   {"CRITICAL", 21}, {"CRIT", 21},
                  {"ALERT", 21},   {"EMERG", 21}, {"NOTICE", 10},   {"INFORMATION", 9},
                  {"PANIC", 21},   {"SEVERE", 17}};
    int64_t low = 0, high = 0;

    if (severity_range(text, &low, &high))
        return low;
    for (size_t i = 0; i < COUNT(others); i++)
        if (same_word(text, others[i].word))
            return others[i].severity;
    return 0;
}

static bool severity_literal(struct expr_literal *literal)
{
    if (literal->type == EXPR_INT)
        return literal->low >= 1 && literal->low <= 24;
    if (literal->type != EXPR_STRING ||
        !severity_range(literal->string, &literal->low, &literal->high))
        return false;
    literal->type = EXPR_INT;
    return true;
}

static bool word_literal(struct expr_literal *literal, const char *const *words, size_t count)
{
    for (size_t i = 0; literal->type == EXPR_STRING && i < count; i++) {
        if (bytes_equal(literal->string, bytes_from(words[i]))) {
            literal->type = EXPR_INT;
            literal->low = literal->high = (int64_t)i;
            return true;
        }
    }
    return false;
}

static bool duration_literal(struct expr_literal *literal)
{
    char text[DURATION_TEXT_MAX];
    int64_t ms = 0;

    if (literal->type != EXPR_STRING || literal->string.len >= sizeof text)
        return false;
    memcpy(text, literal->string.data, literal->string.len);
    text[literal->string.len] = '\0';
    if (strlen(text) != literal->string.len || duration_parse(text, &ms, NULL) != OK ||
        ms > INT64_MAX / 1000000)
        return false;
    literal->type = EXPR_INT;
    literal->low = literal->high = ms * 1000000;
    return true;
}

bool expr_field_literal(enum expr_static type, struct expr_literal *literal,
                        const char **ret_advice)
{
    static const char *const statuses[] = {"unset", "ok", "error"};
    static const char *const kinds[] = {"unspecified", "internal", "server",
                                        "client",      "producer", "consumer"};
    switch (type) {
    case EXPR_IS_SEVERITY:
        *ret_advice = "Write \"TRACE\", \"DEBUG\", \"INFO\", \"WARN\", \"ERROR\" or \"FATAL\"";
        return severity_literal(literal);
    case EXPR_IS_STATUS:
        *ret_advice = "Write \"unset\", \"ok\" or \"error\"";
        return word_literal(literal, statuses, COUNT(statuses));
    case EXPR_IS_KIND:
        *ret_advice = "Write \"internal\", \"server\", \"client\", \"producer\" or \"consumer\"";
        return word_literal(literal, kinds, COUNT(kinds));
    case EXPR_IS_DURATION:
        *ret_advice = "Write a duration in quotes, as in \"500ms\" or \"1m30s\"";
        return duration_literal(literal);
    case EXPR_IS_TEXT:
        *ret_advice = "Write text in quotes";
        return literal->type == EXPR_STRING;
    case EXPR_IS_ANY:
        break;
    }
    return true;
}
