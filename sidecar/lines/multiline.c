/* The built-in rules, by hand: they are asked for each line, and nearly every line begins nothing.
 * What begins a java or go group has its word before a colon (or, in java, at the end), so one scan
 * for colons answers for both. tests/unit/sidecar/lines/test_multiline.c holds the same rules as
 * regular expressions and compares. */
#include "sidecar/lines/multiline.h"

#include "common/regex.h"

#include <stdlib.h>

enum rule { RULE_NONE, RULE_JAVA, RULE_PYTHON, RULE_GO, RULE_START };

/* What may come next. */
enum { JAVA_AFTER_EXCEPTION, JAVA_NESTED, JAVA_FRAMES };
enum { PYTHON_TRACEBACK, PYTHON_GROUP };
enum { GO_AFTER_PANIC, GO_AFTER_SIGNAL, GO_GOROUTINE, GO_FRAME, GO_FRAME_FILE };

struct multiline {
    unsigned rules;
    uint64_t gave_up;
    size_t starts_len;
    struct regex *starts[MULTILINE_STARTS_MAX];
};

enum err multiline_create(unsigned rules, const char *const *starts, size_t starts_len,
                          struct multiline **ret_multiline, struct error *error)
{
    AUTO(multiline_destroy) struct multiline *multiline = calloc(1, sizeof *multiline);

    if (multiline == NULL)
        return error_set(error, ERR_NOMEM, "multiline rules");
    if (starts_len > MULTILINE_STARTS_MAX)
        return error_set(error, ERR_INVALID, "%zu start patterns; %d are the most", starts_len,
                         MULTILINE_STARTS_MAX);
    multiline->rules = rules;
    for (; multiline->starts_len < starts_len; multiline->starts_len++) {
        size_t i = multiline->starts_len;
        enum err err = regex_compile(starts[i], &multiline->starts[i], error);
        if (err)
            return error_prefix(error, err, "the pattern '%s'", starts[i]);
    }
    MOVE(*ret_multiline, multiline);
    return OK;
}

void multiline_destroy(struct multiline **multiline)
{
    if (*multiline == NULL)
        return;
    for (size_t i = 0; i < (*multiline)->starts_len; i++)
        regex_free(&(*multiline)->starts[i]);
    free(*multiline);
    *multiline = NULL;
}

uint64_t multiline_gave_up(const struct multiline *multiline)
{
    return multiline->gave_up;
}

/* ---- small tools; each takes what is left of the line */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static struct bytes from(struct bytes line, size_t at)
{
    return (struct bytes){line.data + at, line.len - at};
}

static bool begins_with(struct bytes line, struct bytes start)
{
    return line.len >= start.len && memcmp(line.data, start.data, start.len) == 0;
}

static bool ends_with(struct bytes line, struct bytes end)
{
    return line.len >= end.len && memcmp(line.data + line.len - end.len, end.data, end.len) == 0;
}

static size_t blanks(struct bytes line)
{
    size_t n = 0;

    while (n < line.len && is_blank(line.data[n]))
        n++;
    return n;
}

#define BEGINS(line, literal) begins_with(line, BYTES_LITERAL(literal))
#define IS(line, literal)     bytes_equal(line, BYTES_LITERAL(literal))

/* ---- what begins a group */

/* Something of an exception's name, with a character before it. */
static bool ends_as_exception(struct bytes text)
{
    static const char *const words[] = {"Exception", "Error", "Throwable", "V8 errors stack trace"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (ends_with(text, bytes_from(words[i])) && text.len > strlen(words[i]))
            return true;
    return false;
}

/* `before` ends where a colon was found, `behind` begins after it. */
static bool is_go_panic(struct bytes before, struct bytes behind)
{
    if (behind.len == 0 || behind.data[0] != ' ')
        return false;
    if (ends_with(before, BYTES_LITERAL("panic")))
        return before.len == 5 || !is_word(before.data[before.len - 6]);
    return IS(before, "fatal error") ||
           (ends_with(before, BYTES_LITERAL("http")) && BEGINS(behind, " panic serving"));
}

/* Java before go, wherever in the line they are. */
static bool begins_at_colon(unsigned rules, struct bytes line, struct multiline_state *state)
{
    struct bytes before = {line.data, 0};
    bool is_go = false;

    for (bool more = true; more; before.len++) {
        struct bytes rest = from(line, before.len);
        const uint8_t *colon = rest.len > 0 ? memchr(rest.data, ':', rest.len) : NULL;
        more = colon != NULL;
        before.len = more ? (size_t)(colon - line.data) : line.len;
        if ((rules & MULTILINE_JAVA) && ends_as_exception(before)) {
            *state = (struct multiline_state){RULE_JAVA, JAVA_AFTER_EXCEPTION};
            return true;
        }
        if (more && (rules & MULTILINE_GO) && !is_go)
            is_go = is_go_panic(before, from(line, before.len + 1));
    }
    if (is_go)
        *state = (struct multiline_state){RULE_GO, GO_AFTER_PANIC};
    return is_go;
}

/* An exception group is indented to its end; a plain one ends with the error at the margin. */
static bool begins_python(struct bytes line, struct multiline_state *state)
{
    struct bytes text = from(line, blanks(line)), rest = line;
    unsigned char at = PYTHON_TRACEBACK;

    if (BEGINS(text, "+ Exception Group ")) {
        rest = from(text, sizeof "+ Exception Group " - 1);
        at = PYTHON_GROUP;
    }
    if (!IS(rest, "Traceback (most recent call last):"))
        return false;
    *state = (struct multiline_state){RULE_PYTHON, at};
    return true;
}

static bool matches_start(struct multiline *multiline, struct bytes line)
{
    for (size_t i = 0; i < multiline->starts_len; i++) {
        enum regex_found found = regex_search(multiline->starts[i], line, 0, NULL, 0);
        multiline->gave_up += found == REGEX_GAVE_UP;
        if (found == REGEX_YES)
            return true;
    }
    return false;
}

static enum multiline_step begin(struct multiline *multiline, struct multiline_state *state,
                                 struct bytes line)
{
    *state = (struct multiline_state){0};
    if ((multiline->rules & (MULTILINE_JAVA | MULTILINE_GO)) &&
        begins_at_colon(multiline->rules, line, state) && state->rule == RULE_JAVA)
        return MULTILINE_BEGINS;
    if ((multiline->rules & MULTILINE_PYTHON) && begins_python(line, state))
        return MULTILINE_BEGINS;
    if (state->rule == RULE_NONE && multiline->starts_len > 0)
        *state = (struct multiline_state){.rule = RULE_START};
    return state->rule != RULE_NONE ? MULTILINE_BEGINS : MULTILINE_ALONE;
}

/* ---- what goes on */

static bool is_more_frames(struct bytes text)
{
    size_t at = 4;

    if (!BEGINS(text, "... "))
        return false;
    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at > 4 &&
           (BEGINS(from(text, at), " more") || BEGINS(from(text, at), " common frames omitted"));
}

static bool java_goes_on(struct multiline_state *state, struct bytes line)
{
    size_t indent = blanks(line);
    struct bytes text = from(line, indent);

    if (state->at == JAVA_NESTED) {
        struct multiline_state again;
        state->at = JAVA_AFTER_EXCEPTION;
        return begins_at_colon(MULTILINE_JAVA, line, &again);
    }
    if (state->at == JAVA_AFTER_EXCEPTION && BEGINS(text, "nested exception is:")) {
        state->at = JAVA_NESTED;
        return true;
    }
    if (state->at == JAVA_AFTER_EXCEPTION && line.len == 0)
        return true;
    if (BEGINS(text, "Caused by:") || BEGINS(text, "Suppressed:")) {
        state->at = JAVA_AFTER_EXCEPTION;
        return true;
    }
    state->at = JAVA_FRAMES;
    return (indent > 0 && (BEGINS(text, "at ") || BEGINS(text, "eval at ") ||
                           IS(text, "--- End of inner exception stack trace ---"))) ||
           IS(line,
              "--- End of stack trace from previous location where exception was thrown ---") ||
           is_more_frames(text);
}

/* "ValueError: text", "package.Error: text" or a bare "KeyboardInterrupt". */
static bool is_python_error(struct bytes line)
{
    size_t segment = 0, i = 0;

    for (; i < line.len && line.data[i] != ':'; i++) {
        uint8_t c = line.data[i];
        if (is_space(c) || c == '(' || c == ')' || (c == '.' && i == segment))
            return false;
        if (c == '.')
            segment = i + 1;
    }
    return i > segment;
}

static enum multiline_step python_goes_on(const struct multiline_state *state, struct bytes line)
{
    if (line.len > 0 && is_blank(line.data[0]))
        return MULTILINE_GOES_ON;
    return state->at == PYTHON_TRACEBACK && is_python_error(line) ? MULTILINE_ENDS
                                                                  : MULTILINE_ALONE;
}

/* "goroutine 1 [running]:" */
static bool is_goroutine(struct bytes line)
{
    size_t at = sizeof "goroutine " - 1;

    if (!BEGINS(line, "goroutine ") || !ends_with(line, BYTES_LITERAL("]:")))
        return false;
    while (at < line.len && line.data[at] >= '0' && line.data[at] <= '9')
        at++;
    struct bytes state = from(line, at);
    return at > sizeof "goroutine " - 1 && state.len > 5 && BEGINS(state, " [") &&
           memchr(state.data, ']', state.len) == state.data + state.len - 2;
}

/* "main.(*server).run(0x1, ...)": no blank or colon before the parenthesis of the arguments, which
 * stands behind a name. */
static bool is_go_call(struct bytes line)
{
    size_t segment = 0;
    bool plain = true; /* the segment has no parenthesis yet */

    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = line.data[i];
        if (c == '(' && plain && i > segment)
            return true;
        if (is_space(c) || c == ':' || (c == '.' && i == segment))
            return false;
        if (c == '.') {
            segment = i + 1;
            plain = true;
        } else if (c == '(' || c == ')') {
            plain = false;
        }
    }
    return false;
}

static bool go_goes_on(struct multiline_state *state, struct bytes line)
{
    unsigned at = state->at;

    if (line.len == 0 && (at == GO_AFTER_PANIC || at == GO_AFTER_SIGNAL || at == GO_FRAME)) {
        state->at = GO_GOROUTINE;
        return true;
    }
    if (at == GO_AFTER_PANIC && BEGINS(line, "[signal ")) {
        state->at = GO_AFTER_SIGNAL;
        return true;
    }
    if (at == GO_AFTER_PANIC && (BEGINS(line, "\tpanic: ") || BEGINS(line, "panic: ")))
        return true;
    if (at != GO_FRAME && at != GO_FRAME_FILE && is_goroutine(line)) {
        state->at = GO_FRAME;
        return true;
    }
    if (at == GO_FRAME && BEGINS(line, "..."))
        return true;
    if (at == GO_FRAME && (BEGINS(line, "created by ") || is_go_call(line))) {
        state->at = GO_FRAME_FILE;
        return true;
    }
    if (at == GO_FRAME_FILE && line.len > 0 && is_space(line.data[0])) {
        state->at = GO_FRAME;
        return true;
    }
    return false;
}

/* ---- a step */

static enum multiline_step go_on(struct multiline *multiline, struct multiline_state *state,
                                 struct bytes line)
{
    switch ((enum rule)state->rule) {
    case RULE_JAVA:
        return java_goes_on(state, line) ? MULTILINE_GOES_ON : MULTILINE_ALONE;
    case RULE_PYTHON:
        return python_goes_on(state, line);
    case RULE_GO:
        return go_goes_on(state, line) ? MULTILINE_GOES_ON : MULTILINE_ALONE;
    case RULE_START:
        return matches_start(multiline, line) ? MULTILINE_ALONE : MULTILINE_GOES_ON;
    case RULE_NONE:
        break;
    }
    return MULTILINE_ALONE;
}

enum multiline_step multiline_step(struct multiline *multiline, struct multiline_state *state,
                                   struct bytes line)
{
    enum multiline_step step = go_on(multiline, state, line);

    if (step == MULTILINE_ENDS)
        *state = (struct multiline_state){0};
    return step == MULTILINE_ALONE ? begin(multiline, state, line) : step;
}
