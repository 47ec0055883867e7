/* multiline: which lines belong to one record: stack traces, and whatever a user's pattern begins.
 *
 *   rule    begins                           goes on with
 *   java    ...Exception: ...Error: and so   "at" lines, Caused by, Suppressed, ... n more, nested
 *   python  Traceback (most recent ...       indented lines, up to the line with the error
 *   go      panic: ... fatal error: ...      goroutines and their frames
 *   start   a line that the pattern matches  all lines up to the next that it matches
 *
 * Rules are asked in the order java, python, go, start. The first three are Fluent Bit's, and take
 * besides: python's ^^^^ markers, bare errors (KeyboardInterrupt) and exception groups; go's
 * repeated panics, fatal errors and elided frames. They work on bytes, need no memory and cost a
 * few dozen nanoseconds for a line that begins nothing.
 *
 * The rules hold patterns, so they belong to one thread; the state is a value.
 */
#ifndef SIDECAR_LINES_MULTILINE_H
#define SIDECAR_LINES_MULTILINE_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

#define MULTILINE_STARTS_MAX 16 /* patterns */

enum multiline_rule {
    MULTILINE_JAVA = 1 << 0,
    MULTILINE_PYTHON = 1 << 1,
    MULTILINE_GO = 1 << 2,
};

struct multiline;

/* Rules are a set of enum multiline_rule; starts are patterns (common/regex.h). ERR_INVALID: a
 * pattern is wrong, or there are too many. ERR_NOMEM. */
NODISCARD enum err multiline_create(unsigned rules, const char *const *starts, size_t starts_len,
                                    struct multiline **ret_multiline, struct error *error);
void multiline_destroy(struct multiline **multiline);

/* Of one stream of one file. All zero: no group is open. */
struct multiline_state {
    unsigned char rule, at;
};

enum multiline_step {
    MULTILINE_ALONE,  /* what was open ends before this line, which stands for itself */
    MULTILINE_BEGINS, /* what was open ends before this line, which begins a group */
    MULTILINE_GOES_ON,
    MULTILINE_ENDS, /* it is the group's last line */
};

/* What `line` (without its end) is to the group that is open. Changes the state. */
enum multiline_step multiline_step(struct multiline *multiline, struct multiline_state *state,
                                   struct bytes line);

/* Searches that met a limit of common/regex.h, and counted as no match. */
uint64_t multiline_gave_up(const struct multiline *multiline);

#endif
