/* regex: the door to PCRE2. Patterns that users write, matched against bytes that anybody wrote.
 *
 * Perl's syntax; text is UTF-8, and bytes of it that are not match nothing. Without (?s) a dot does
 * not match \n, without (?m) ^ and $ are the ends of the text.
 *
 * No pattern can hang or fill memory: its length, its groups and what it compiles to are bounded,
 * and a search gives up when it has done REGEX_WORK_MAX steps and REGEX_WORK_PER_BYTE for each byte
 * of the text, some ten milliseconds at worst, or needs more than REGEX_HEAP_MAX of memory. It
 * always gives up on the same texts. Whoever searches counts it and goes on as if nothing had been
 * found. \C is refused.
 *
 * Patterns become machine code where the kernel lets the process map executable memory; where it
 * doesn't (a seccomp filter, SELinux) they are interpreted, with the same results.
 *
 * Thread: a struct regex belongs to one thread at a time, as it holds the state of its search.
 */
#ifndef COMMON_REGEX_H
#define COMMON_REGEX_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

#define REGEX_PATTERN_MAX 4096       /* bytes */
#define REGEX_GROUPS_MAX  64         /* capturing groups, the whole match not counted */
#define REGEX_HEAP_MAX    (1u << 20) /* bytes */

#define REGEX_WORK_MAX      500000
#define REGEX_WORK_PER_BYTE 16

struct regex;

/* Compiles `pattern`. ERR_INVALID: the sentence says what is wrong and at which character (from 1).
 * ERR_NOMEM. */
NODISCARD enum err regex_compile(const char *pattern, struct regex **ret_regex,
                                 struct error *error);
void regex_free(struct regex **regex);

/* Capturing groups are 1 to regex_groups(). Their names, NULL for those that have none, live as
 * long as the regex. Group 0 is the whole match. */
size_t regex_groups(const struct regex *regex);
const char *regex_group_name(const struct regex *regex, size_t group);

enum regex_found {
    REGEX_NO,
    REGEX_YES,
    REGEX_GAVE_UP, /* a limit was met: whether it matches is not known */
};

#define REGEX_UNSET SIZE_MAX

struct regex_span {
    size_t from, to; /* offsets into the text; REGEX_UNSET: the group took no part */
};

/* Searches from offset `from` on; what lies before is seen by \b and lookbehinds. `spans` gets the
 * whole match and the groups behind it, `count` in all; those that the pattern lacks are unset.
 * Without REGEX_YES `spans` is untouched. */
enum regex_found regex_search(struct regex *regex, struct bytes text, size_t from,
                              struct regex_span *spans, size_t count);

static inline bool regex_matches(struct regex *regex, struct bytes text)
{
    return regex_search(regex, text, 0, NULL, 0) == REGEX_YES;
}

/* Where to search for the match after `match`: at its end, or, if it is empty, one character on.
 * SIZE_MAX: nothing is left. Each match found this way begins where the last one ended, or later.
 */
size_t regex_after(struct bytes text, struct regex_span match);

#endif
