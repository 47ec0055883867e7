/* expr: the conditions of a pipeline document: what is filtered, kept, routed.
 *
 *   severity < "INFO" and not (k8s.namespace.name in ["pay", "shop"] or body =~ "timeout")
 *
 *   expression := and { ("or" | "||") and }          and := not { ("and" | "&&") not }
 *   not        := ("not" | "!") not | test
 *   test       := "(" expression ")" | "true" | "false" | "exists" path | "exists" "(" path ")"
 *               | operand ("==" | "!=" | "<" | "<=" | ">" | ">=") operand
 *               | path ["not"] "in" "[" literal { "," literal } "]"
 *               | path ("=~" | "matches") string
 *   operand    := path | literal                     literal := string | number | "true" | "false"
 *   path       := name { "[" string "]" }
 *
 *   name                     is                                        of
 *   resource["key"]          an attribute of the resource              all signals
 *   k8s.namespace.name       the same; any other name with a dot in it
 *   scope["key"]             an attribute of the scope                 all
 *   scope.name scope.version                                           all
 *   attributes["key"]        an attribute of the span, record, point   all
 *   body  body["key"]        the body; a member of one that is a map   logs
 *   severity                 "TRACE" < "DEBUG" < "INFO" < "WARN" < "ERROR" < "FATAL", each also
 *                            with 2 to 4 behind it; 1 to 24            logs
 *   status                   "unset", "ok", "error"                    traces
 *   kind                     "internal", "server", "client", "producer", "consumer"   traces
 *   duration                 compared with "500ms", "1m30s"            traces
 *   name                     the span's, the metric's                  traces, metrics
 *
 * Further ["key"] go into maps. A string is in double or single quotes; a backslash takes the
 * meaning from a quote or a backslash behind it and is itself otherwise, so that "\d+" is a
 * pattern. Patterns are those of regex.h, and match anywhere unless they say ^ and $.
 *
 * Types are checked when it is parsed where they are known then. An attribute or body has whatever
 * type the sender gave it; a comparison with a literal of another type, or with what is absent, is
 * false, and != is always the opposite of ==. Whole and other numbers compare by value; text by
 * bytes. Only ==, != and `in` take true and false.
 *
 * An expression is about the signals that have all of its names (expr_signals()); for others it is
 * never asked, so that a filter for records drops no span. One that is about none is refused.
 *
 * Bounds: EXPR_TEXT_MAX bytes, EXPR_DEPTH_MAX parentheses, nots and brackets within each other,
 * EXPR_TERMS_MAX tests, EXPR_LIST_MAX literals in a list, EXPR_KEYS_MAX keys in a path. Evaluation
 * takes time linear in the expression and what it is asked about.
 *
 * Thread: an expression belongs to one thread at a time, as regex.h says.
 */
#ifndef COMMON_EXPR_EXPR_H
#define COMMON_EXPR_EXPR_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

#define EXPR_TEXT_MAX  1024
#define EXPR_DEPTH_MAX 32
#define EXPR_TERMS_MAX 128
#define EXPR_LIST_MAX  64
#define EXPR_KEYS_MAX  8

enum expr_root {
    EXPR_RESOURCE, /* these four are followed by a key */
    EXPR_SCOPE,
    EXPR_ATTRIBUTES,
    EXPR_BODY, /* or not */
    EXPR_SCOPE_NAME,
    EXPR_SCOPE_VERSION,
    EXPR_NAME,
    EXPR_SEVERITY, /* these four are whole numbers, as OTLP has them */
    EXPR_STATUS,
    EXPR_KIND,
    EXPR_DURATION, /* nanoseconds */
};

struct expr_path {
    enum expr_root root;
    size_t key_count;
    struct bytes keys[EXPR_KEYS_MAX];
};

enum expr_type {
    EXPR_ABSENT,
    EXPR_STRING,
    EXPR_INT,
    EXPR_DOUBLE,
    EXPR_BOOL,
    EXPR_OTHER, /* there, but nothing that can be compared: a map, a list, bytes, null */
};

struct expr_value {
    enum expr_type type;
    union {
        struct bytes string;
        int64_t integer;
        double number;
        bool boolean;
    };
};

/* What is at `path` of the item at hand. */
typedef struct expr_value expr_lookup_fn(void *context, const struct expr_path *path);

/* Where an expression has to look: nothing in it changes below that. */
enum expr_level { EXPR_AT_RESOURCE, EXPR_AT_SCOPE, EXPR_AT_ITEM };

/* Bits of expr_signals(): 1 << SIGNAL_TRACES and so on (common/contract/signal.h). */
#define EXPR_ALL_SIGNALS 7u

struct expr;

/* Parses and checks `text`. ERR_INVALID: "line 1, column 10: "severty" is no field", and what to do
 * in *ret_advice, which lives for ever. ERR_NOMEM. */
NODISCARD enum err expr_parse(const char *text, struct expr **ret_expr, const char **ret_advice,
                              struct error *error);
void expr_free(struct expr **expr);

/* A path alone: `body`, `attributes["message"]`. */
NODISCARD enum err expr_parse_path(const char *text, struct expr **ret_expr,
                                   const char **ret_advice, struct error *error);
const struct expr_path *expr_path(const struct expr *expr);

bool expr_eval(struct expr *expr, expr_lookup_fn *lookup, void *context);

unsigned expr_signals(const struct expr *expr);
enum expr_level expr_level(const struct expr *expr);

/* The severity number that a text stands for (INFO: 9), in any case; 0: none. */
int64_t expr_severity(struct bytes text);

#endif
