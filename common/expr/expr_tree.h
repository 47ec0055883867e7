/* expr_tree: what the parser makes and the evaluation walks. Private to expr/. */
#ifndef COMMON_EXPR_EXPR_TREE_H
#define COMMON_EXPR_EXPR_TREE_H

#include "common/arena.h"
#include "common/expr/expr.h"
#include "common/regex.h"

enum expr_op {
    EXPR_OP_CONST,
    EXPR_OP_AND,
    EXPR_OP_OR,
    EXPR_OP_NOT, /* of left */
    EXPR_OP_EXISTS,
    EXPR_OP_COMPARE,
    EXPR_OP_IN,
    EXPR_OP_MATCH,
};

enum expr_compare { EXPR_EQ, EXPR_NE, EXPR_LT, EXPR_LE, EXPR_GT, EXPR_GE };

/* A literal; whole numbers are a range, for "INFO" stands for four severities. */
struct expr_literal {
    enum expr_type type;
    struct bytes string;
    int64_t low, high;
    double number;
    bool boolean;
};

struct expr_node {
    enum expr_op op;
    struct expr_node *left, *right;
    bool constant;
    struct expr_path path;
    const struct expr_path *other; /* COMPARE: NULL if it is with the literal */
    enum expr_compare compare;
    struct expr_literal *literals; /* COMPARE: one; IN: count of them */
    size_t literal_count;
    struct regex *regex;
    struct expr_node *next_match; /* all that have a regex, for freeing */
};

struct expr {
    struct arena arena;
    struct expr_node *root;
    struct expr_node *matches;
    struct expr_path path; /* expr_parse_path() */
    unsigned signals;
    enum expr_level level;
};

/* ---- tokens (expr_lex.c) */

enum expr_token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_OPEN,    /* ( */
    TOKEN_CLOSE,   /* ) */
    TOKEN_BRACKET, /* [ */
    TOKEN_UNBRACKET /* ] */,
    TOKEN_COMMA,
    TOKEN_COMPARE, /* == != < <= > >= */
    TOKEN_MATCH,   /* =~ */
    TOKEN_AND,     /* && and */
    TOKEN_OR,
    TOKEN_NOT,
    TOKEN_IN, /* words have tokens of their own */
    TOKEN_EXISTS,
    TOKEN_BOOL,
};

struct expr_token {
    enum expr_token_kind kind;
    size_t at;         /* offset */
    struct bytes text; /* as written, a string's without its quotes */
    enum expr_compare compare;
    bool boolean;
    struct expr_literal number;
};

struct expr_lexer {
    struct bytes text;
    size_t at;
    const char **ret_advice;
    struct error *error;
};

/* Reads the next token; false: said what is wrong. */
bool expr_lex(struct expr_lexer *lexer, struct expr_token *ret_token);

/* Says what is wrong at offset `at`, with line and column in front; returns false. */
bool expr_wrong(struct expr_lexer *lexer, size_t at, const char *advice, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* ---- names and words (expr_field.c) */

enum expr_static {
    EXPR_IS_ANY,
    EXPR_IS_TEXT,
    EXPR_IS_SEVERITY,
    EXPR_IS_STATUS,
    EXPR_IS_KIND,
    EXPR_IS_DURATION,
};

enum expr_keys { EXPR_NO_KEY, EXPR_MAY_KEY, EXPR_MUST_KEY };

struct expr_field {
    const char *name;
    enum expr_root root;
    enum expr_static type;
    enum expr_keys keys;
    unsigned signals;
    enum expr_level level;
};

const struct expr_field *expr_field_named(struct bytes name); /* NULL: none */
const struct expr_field *expr_field_of(enum expr_root root);

/* Makes of a literal, as written, one that a field of that type is compared with. False: it can't
 * be, and *ret_advice says what can. */
bool expr_field_literal(enum expr_static type, struct expr_literal *literal,
                        const char **ret_advice);

/* Whether < and > mean something for it. */
bool expr_field_ordered(enum expr_static type);

#endif
