/* PCRE2's own limits don't bound a search: they start anew at each character of the text, a step of
 * theirs may scan all of it, and machine code hardly counts. So patterns are compiled with a
 * callout before each of their items, and the meter there adds up calls and the distance that the
 * matcher has moved in between: nothing of note happens without one or the other. The sum is the
 * same on every machine. Only a comparison with an earlier group moves unseen, so such patterns pay
 * a toll.
 *
 * Machine code has the 32 KiB of stack that PCRE2 takes from the thread's; a search that wants more
 * is done again by the interpreter. */
#include "common/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#define NEST_MAX 50 /* parentheses within each other */

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *match;
    uint32_t groups, back_references;

    /* The search at hand. */
    uint64_t work, work_max, toll;
    size_t at;
};

void regex_free(struct regex **regex)
{
    if (*regex == NULL)
        return;
    pcre2_match_data_free((*regex)->match);
    pcre2_match_context_free((*regex)->limits);
    pcre2_code_free((*regex)->code);
    free(*regex);
    *regex = NULL;
}

static enum err set_message(struct error *error, int code, size_t offset)
{
    PCRE2_UCHAR text[160];

    pcre2_get_error_message(code, text, sizeof text);
    return error_set(error, ERR_INVALID, "%s, at character %zu", (const char *)text, offset + 1);
}

static void free_compile_context(pcre2_compile_context **context)
{
    pcre2_compile_context_free(*context);
}

static enum err compile(struct regex *regex, struct bytes pattern, struct error *error)
{
    AUTO(free_compile_context)
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    const uint32_t options =
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT;
    size_t offset = 0;
    int code = 0;

    if (context == NULL)
        return error_set(error, ERR_NOMEM, "compile a pattern");
    pcre2_set_parens_nest_limit(context, NEST_MAX);
    regex->code = pcre2_compile(pattern.data, pattern.len, options, &code, &offset, context);
    if (regex->code == NULL && code == PCRE2_ERROR_HEAP_FAILED)
        return error_set(error, ERR_NOMEM, "compile a pattern");
    if (regex->code == NULL)
        return set_message(error, code, offset);

    pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    pcre2_pattern_info(regex->code, PCRE2_INFO_BACKREFMAX, &regex->back_references);
    if (regex->groups > REGEX_GROUPS_MAX)
        return error_set(error, ERR_INVALID, "it has %u groups; %d are the most", regex->groups,
                         REGEX_GROUPS_MAX);
    return OK;
}

static int meter(pcre2_callout_block *block, void *context)
{
    struct regex *regex = context;
    size_t at = block->current_position;

    regex->work += regex->toll + (at > regex->at ? at - regex->at : regex->at - at);
    regex->at = at;
    return regex->work > regex->work_max ? PCRE2_ERROR_MATCHLIMIT : 0;
}

enum err regex_compile(const char *pattern, struct regex **ret_regex, struct error *error)
{
    AUTO(regex_free) struct regex *regex = calloc(1, sizeof *regex);
    struct bytes text = bytes_from(pattern);

    if (regex == NULL)
        return error_set(error, ERR_NOMEM, "compile a pattern");
    if (text.len > REGEX_PATTERN_MAX)
        return error_set(error, ERR_INVALID, "it is %zu bytes long; %d are the most", text.len,
                         REGEX_PATTERN_MAX);
    enum err err = compile(regex, text, error);
    if (err)
        return err;

    regex->limits = pcre2_match_context_create(NULL);
    regex->match = pcre2_match_data_create_from_pattern(regex->code, NULL);
    if (regex->limits == NULL || regex->match == NULL)
        return error_set(error, ERR_NOMEM, "compile a pattern");
    pcre2_set_heap_limit(regex->limits, REGEX_HEAP_MAX >> 10);
    pcre2_set_callout(regex->limits, meter, regex);
    /* Without machine code, for lack of memory that may be executed, it is interpreted. */
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    MOVE(*ret_regex, regex);
    return OK;
}

size_t regex_groups(const struct regex *regex)
{
    return regex->groups;
}

/* The table's entries are a group's number, big-endian, and its name with a NUL. */
const char *regex_group_name(const struct regex *regex, size_t group)
{
    PCRE2_SPTR at = NULL;
    uint32_t names = 0, size = 0;

    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &names);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &at);
    for (uint32_t i = 0; i < names; i++, at += size) {
        if ((size_t)(at[0] << 8 | at[1]) == group)
            return (const char *)at + 2;
    }
    return NULL;
}

static void copy_spans(const struct regex *regex, size_t found, struct regex_span *spans,
                       size_t count)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(regex->match);

    for (size_t i = 0; i < count; i++) {
        bool set = i < found && at[2 * i] != PCRE2_UNSET;
        spans[i] = set ? (struct regex_span){at[2 * i], at[2 * i + 1]}
                       : (struct regex_span){REGEX_UNSET, REGEX_UNSET};
        /* \K in a lookahead can end a match before it begins */
        if (set && spans[i].to < spans[i].from)
            spans[i].to = spans[i].from;
    }
}

enum regex_found regex_search(struct regex *regex, struct bytes text, size_t from,
                              struct regex_span *spans, size_t count)
{
    PCRE2_SPTR subject = text.len > 0 ? text.data : (PCRE2_SPTR) "";

    regex->work = 0;
    regex->work_max = REGEX_WORK_MAX + (uint64_t)text.len * REGEX_WORK_PER_BYTE;
    regex->toll = regex->back_references > 0 ? 1 + text.len / 32 : 1;
    regex->at = from;
    int found = pcre2_match(regex->code, subject, text.len, from, 0, regex->match, regex->limits);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(regex->code, subject, text.len, from, PCRE2_NO_JIT, regex->match,
                            regex->limits);
    if (found == PCRE2_ERROR_NOMATCH)
        return REGEX_NO;
    if (found < 0)
        return REGEX_GAVE_UP;
    copy_spans(regex, (size_t)found, spans, count);
    return REGEX_YES;
}

size_t regex_after(struct bytes text, struct regex_span match)
{
    size_t at = match.to;

    if (match.to > match.from)
        return at;
    if (at >= text.len)
        return SIZE_MAX;
    for (at++; at < text.len && (text.data[at] & 0xc0) == 0x80;)
        at++;
    return at;
}
