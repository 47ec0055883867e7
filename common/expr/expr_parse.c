/* By recursive descent, one function for each line of the grammar. What goes wrong is said where it
 * is seen, and every function then returns NULL or false all the way up. */
#include "common/expr/expr_tree.h"

#include "common/attr.h"

#include <stdlib.h>

struct parser {
    struct expr_lexer lexer;
    struct expr_token token; /* the next one */
    struct expr *expr;
    unsigned depth, terms;
    bool out_of_memory;
};

static struct expr_node *parse_or(struct parser *parser);

/* ---- small steps */

static bool wrong(struct parser *parser, const struct expr_token *token, const char *advice,
                  const char *what)
{
    return expr_wrong(&parser->lexer, token->at, advice, "%s", what);
}

static bool advance(struct parser *parser)
{
    return expr_lex(&parser->lexer, &parser->token);
}

/* What stands there, for sentences. */
static bool expected(struct parser *parser, const char *advice, const char *what)
{
    const struct expr_token *token = &parser->token;

    if (token->kind == TOKEN_END)
        return expr_wrong(&parser->lexer, token->at, advice, "it ends where %s should be", what);
    return expr_wrong(&parser->lexer, token->at, advice, "%s should be here, not \"%.*s\"", what,
                      (int)(token->text.len < 64 ? token->text.len : 64),
                      (const char *)token->text.data);
}

static bool take(struct parser *parser, enum expr_token_kind kind, const char *advice,
                 const char *what)
{
    if (parser->token.kind != kind)
        return expected(parser, advice, what);
    return advance(parser);
}

static void *make(struct parser *parser, size_t size)
{
    void *made = arena_zalloc(&parser->expr->arena, size);
    if (made == NULL)
        parser->out_of_memory = true;
    return made;
}

static struct expr_node *new_node(struct parser *parser, enum expr_op op, struct expr_node *left,
                                  struct expr_node *right)
{
    struct expr_node *node = make(parser, sizeof *node);
    if (node == NULL)
        return NULL;
    node->op = op;
    node->left = left;
    node->right = right;
    return node;
}

static bool go_down(struct parser *parser)
{
    if (parser->depth == EXPR_DEPTH_MAX)
        return wrong(parser, &parser->token, "Say it with fewer parentheses",
                     "more than 32 parentheses within each other");
    parser->depth++;
    return true;
}

/* A copy with the escapes undone: only quotes and backslashes have any. */
static bool unescape(struct parser *parser, struct bytes raw, struct bytes *ret_text)
{
    uint8_t *to = make(parser, raw.len + 1);
    size_t len = 0;

    if (to == NULL)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t next = i + 1 < raw.len ? raw.data[i + 1] : 0;
        if (raw.data[i] == '\\' && (next == '"' || next == '\'' || next == '\\'))
            i++;
        to[len++] = raw.data[i];
    }
    *ret_text = (struct bytes){to, len}; /* the arena's byte behind it is 0 */
    return true;
}

/* ---- paths and literals */

static bool add_key(struct parser *parser, struct expr_path *path, struct bytes key)
{
    if (path->key_count == EXPR_KEYS_MAX)
        return wrong(parser, &parser->token, "Leave some out", "more than 8 keys in a path");
    path->keys[path->key_count++] = key;
    return true;
}

static bool parse_keys(struct parser *parser, struct expr_path *path)
{
    while (parser->token.kind == TOKEN_BRACKET) {
        struct bytes key;
        if (!advance(parser))
            return false;
        if (parser->token.kind != TOKEN_STRING)
            return expected(parser, "Write the key in quotes, as in attributes[\"http.route\"]",
                            "a key in quotes");
        if (!unescape(parser, parser->token.text, &key) || !add_key(parser, path, key) ||
            !advance(parser) ||
            !take(parser, TOKEN_UNBRACKET, "Close the bracket behind the key", "\"]\""))
            return false;
    }
    return true;
}

static bool starts_with(struct bytes text, const char *start)
{
    return text.len >= strlen(start) && memcmp(text.data, start, strlen(start)) == 0;
}

/* A name that is no field: of a resource's attribute if there is a dot in it. */
static bool name_resource(struct parser *parser, const struct expr_token *name,
                          struct expr_path *path)
{
    static const char *const roots[] = {"attributes.", "resource.", "body.", "scope."};
    struct bytes text = name->text, key;

    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++)
        if (starts_with(text, roots[i]))
            return expr_wrong(
                &parser->lexer, name->at,
                "Write the key in brackets and quotes, as in attributes[\"http.route\"]",
                "\"%.*s\" is no field", (int)text.len, (const char *)text.data);
    if (memchr(text.data, '.', text.len) == NULL || text.data[text.len - 1] == '.')
        return expr_wrong(
            &parser->lexer, name->at,
            "Write severity, body, status, kind, duration, name, attributes[\"key\"], "
            "resource[\"key\"] or the name of a resource's attribute with a dot in "
            "it; put text in quotes",
            "\"%.*s\" is no field", (int)text.len, (const char *)text.data);
    path->root = EXPR_RESOURCE;
    return unescape(parser, text, &key) && add_key(parser, path, key);
}

/* Narrows down what the expression is about. */
static bool note_field(struct parser *parser, const struct expr_token *name,
                       const struct expr_field *field)
{
    struct expr *expr = parser->expr;

    if ((expr->signals & field->signals) == 0)
        return expr_wrong(&parser->lexer, name->at,
                          "Write one expression for each signal; what a signal doesn't have, it is "
                          "never asked about",
                          "no signal has %s beside the fields before it", field->name);
    expr->signals &= field->signals;
    if (expr->level < field->level)
        expr->level = field->level;
    return true;
}

static bool parse_path(struct parser *parser, struct expr_path *path)
{
    struct expr_token name = parser->token;
    const struct expr_field *field = expr_field_named(name.text);

    if (field != NULL)
        path->root = field->root;
    else if (!name_resource(parser, &name, path))
        return false;
    if (!advance(parser) || !parse_keys(parser, path))
        return false;
    field = expr_field_of(path->root);
    if (field->keys == EXPR_MUST_KEY && path->key_count == 0)
        return expr_wrong(&parser->lexer, name.at,
                          "Write a key behind it, as in attributes[\"http.route\"]",
                          "%s has no key", field->name);
    if (field->keys == EXPR_NO_KEY && path->key_count > 0)
        return expr_wrong(&parser->lexer, name.at, "Leave the key out", "%s has no keys",
                          field->name);
    return note_field(parser, &name, field);
}

static bool is_literal(const struct expr_token *token)
{
    return token->kind == TOKEN_STRING || token->kind == TOKEN_NUMBER || token->kind == TOKEN_BOOL;
}

static bool parse_literal(struct parser *parser, struct expr_literal *ret_literal)
{
    const struct expr_token *token = &parser->token;
    struct expr_literal literal = {0};

    if (token->kind == TOKEN_STRING) {
        literal.type = EXPR_STRING;
        if (!unescape(parser, token->text, &literal.string))
            return false;
    } else if (token->kind == TOKEN_NUMBER) {
        literal = token->number;
    } else if (token->kind == TOKEN_BOOL) {
        literal = (struct expr_literal){.type = EXPR_BOOL, .boolean = token->boolean};
    } else {
        return expected(parser, "Write text in quotes, a number, true or false", "a value");
    }
    *ret_literal = literal;
    return advance(parser);
}

/* ---- tests */

/* Makes the literal one of the field's type. `at`: where it stands. */
static bool fit(struct parser *parser, const struct expr_path *path, const struct expr_token *at,
                struct expr_literal *literal)
{
    const struct expr_field *field = expr_field_of(path->root);
    const char *advice = NULL;

    if (expr_field_literal(field->type, literal, &advice))
        return true;
    return expr_wrong(&parser->lexer, at->at, advice, "%s can't be compared with this",
                      field->name);
}

static bool check_order(struct parser *parser, const struct expr_token *operator,
                        const struct expr_node * node)
{
    enum expr_static type = expr_field_of(node->path.root)->type;
    bool ordered =
        expr_field_ordered(type) && (node->other != NULL || node->literals[0].type != EXPR_BOOL);

    return ordered || node->compare == EXPR_EQ || node->compare == EXPR_NE ||
           wrong(parser, operator, "Write == or !=", "there is no order among these");
}

static bool same_type(enum expr_static a, enum expr_static b)
{
    bool both_loose =
        (a == EXPR_IS_ANY || a == EXPR_IS_TEXT) && (b == EXPR_IS_ANY || b == EXPR_IS_TEXT);
    return a == b || both_loose;
}

/* path OP path */
static bool compare_paths(struct parser *parser, struct expr_node *node)
{
    struct expr_token at = parser->token;
    struct expr_path *other = make(parser, sizeof *other);

    if (other == NULL || !parse_path(parser, other))
        return false;
    node->other = other;
    if (!same_type(expr_field_of(node->path.root)->type, expr_field_of(other->root)->type))
        return wrong(parser, &at, "Compare it with a value in quotes, or with another attribute",
                     "these two are never of one type");
    return true;
}

static struct expr_node *finish_compare(struct parser *parser, struct expr_node *node)
{
    struct expr_token operator= parser->token;

    node->op = EXPR_OP_COMPARE;
    node->compare = operator.compare;
    node->literals = make(parser, sizeof *node->literals);
    if (node->literals == NULL || !advance(parser))
        return NULL;
    struct expr_token at = parser->token;
    if (at.kind == TOKEN_NAME) {
        if (!compare_paths(parser, node))
            return NULL;
    } else if (!parse_literal(parser, node->literals) ||
               !fit(parser, &node->path, &at, node->literals)) {
        return NULL;
    }
    return check_order(parser, &operator, node) ? node : NULL;
}

/* literal OP path, the other way round. */
static struct expr_node *parse_flipped(struct parser *parser)
{
    static const enum expr_compare flipped[] = {
        [EXPR_EQ] = EXPR_EQ, [EXPR_NE] = EXPR_NE, [EXPR_LT] = EXPR_GT,
        [EXPR_LE] = EXPR_GE, [EXPR_GT] = EXPR_LT, [EXPR_GE] = EXPR_LE};
    struct expr_token at = parser->token, operator;
    struct expr_node *node = new_node(parser, EXPR_OP_COMPARE, NULL, NULL);
    struct expr_literal literal;

    if (node == NULL || !parse_literal(parser, &literal))
        return NULL;
    operator= parser->token;
    if (at.kind == TOKEN_BOOL && operator.kind != TOKEN_COMPARE) {
        node->op = EXPR_OP_CONST;
        node->constant = literal.boolean;
        return node;
    }
    if (operator.kind != TOKEN_COMPARE) {
        wrong(parser, &at, "Compare it with something, as in severity < \"INFO\"",
              "a value alone is no condition");
        return NULL;
    }
    node->compare = flipped[operator.compare];
    node->literals = make(parser, sizeof *node->literals);
    if (node->literals == NULL || !advance(parser))
        return NULL;
    if (parser->token.kind != TOKEN_NAME) {
        expected(parser, "Write a field, as in severity or attributes[\"http.route\"]", "a field");
        return NULL;
    }
    *node->literals = literal;
    if (!parse_path(parser, &node->path) || !fit(parser, &node->path, &at, node->literals) ||
        !check_order(parser, &operator, node))
        return NULL;
    return node;
}

static struct expr_node *finish_match(struct parser *parser, struct expr_node *node)
{
    enum expr_static type = expr_field_of(node->path.root)->type;
    struct expr_token operator= parser->token;
    struct error error = {0};
    struct bytes pattern;

    node->op = EXPR_OP_MATCH;
    if (!advance(parser))
        return NULL;
    struct expr_token at = parser->token;
    if (!same_type(type, EXPR_IS_TEXT)) {
        wrong(parser, &operator, "Write ==, !=, < or >", "patterns match text, and this is none");
        return NULL;
    }
    if (at.kind != TOKEN_STRING) {
        expected(parser, "Write the pattern in quotes", "a pattern in quotes");
        return NULL;
    }
    if (!unescape(parser, at.text, &pattern))
        return NULL;
    enum err err = memchr(pattern.data, '\0', pattern.len) != NULL
                       ? error_set(&error, ERR_INVALID, "there is a NUL in it")
                       : regex_compile((const char *)pattern.data, &node->regex, &error);
    if (err) {
        parser->out_of_memory = err == ERR_NOMEM;
        expr_wrong(&parser->lexer, at.at, "Write a pattern as Perl knows them, as in \"time-?out\"",
                   "the pattern: %s", error.text);
        return NULL;
    }
    node->next_match = parser->expr->matches;
    parser->expr->matches = node;
    return advance(parser) ? node : NULL;
}

static struct expr_node *finish_in(struct parser *parser, struct expr_node *node)
{
    struct expr_literal literals[EXPR_LIST_MAX];
    size_t count = 0;

    node->op = EXPR_OP_IN;
    if (!advance(parser) ||
        !take(parser, TOKEN_BRACKET, "Write a list, as in [\"a\", \"b\"]", "\"[\""))
        return NULL;
    for (;;) {
        struct expr_token at = parser->token;
        if (count == EXPR_LIST_MAX) {
            wrong(parser, &at, "Use a pattern, or two lists", "more than 64 values in a list");
            return NULL;
        }
        if (!parse_literal(parser, &literals[count]) ||
            !fit(parser, &node->path, &at, &literals[count]))
            return NULL;
        count++;
        if (parser->token.kind != TOKEN_COMMA)
            break;
        if (!advance(parser))
            return NULL;
    }
    node->literals = make(parser, count * sizeof *node->literals);
    if (node->literals == NULL ||
        !take(parser, TOKEN_UNBRACKET, "Close the list, or write a comma", "\"]\""))
        return NULL;
    memcpy(node->literals, literals, count * sizeof *literals);
    node->literal_count = count;
    return node;
}

/* path, and what is said of it */
static struct expr_node *parse_about(struct parser *parser)
{
    struct expr_token name = parser->token;
    struct expr_node *node = new_node(parser, EXPR_OP_EXISTS, NULL, NULL);

    if (node == NULL || !parse_path(parser, &node->path))
        return NULL;
    bool negated = parser->token.kind == TOKEN_NOT;
    if (negated && !advance(parser))
        return NULL;
    if (parser->token.kind == TOKEN_IN) {
        node = finish_in(parser, node);
        return negated && node != NULL ? new_node(parser, EXPR_OP_NOT, node, NULL) : node;
    }
    if (negated)
        expected(parser, "Write not in [..], or put not in front", "in");
    else if (parser->token.kind == TOKEN_COMPARE)
        return finish_compare(parser, node);
    else if (parser->token.kind == TOKEN_MATCH)
        return finish_match(parser, node);
    else
        expr_wrong(&parser->lexer, name.at,
                   "Write what it is compared with, as in == \"x\", or exists in front of it",
                   "a field alone is no condition");
    return NULL;
}

static struct expr_node *parse_exists(struct parser *parser)
{
    struct expr_node *node = new_node(parser, EXPR_OP_EXISTS, NULL, NULL);

    if (node == NULL || !advance(parser))
        return NULL;
    bool open = parser->token.kind == TOKEN_OPEN;
    if (open && !advance(parser))
        return NULL;
    if (parser->token.kind != TOKEN_NAME) {
        expected(parser, "Write a field, as in exists attributes[\"http.route\"]", "a field");
        return NULL;
    }
    if (!parse_path(parser, &node->path))
        return NULL;
    if (open && !take(parser, TOKEN_CLOSE, "Close the parenthesis", "\")\""))
        return NULL;
    return node;
}

static struct expr_node *parse_group(struct parser *parser)
{
    if (!go_down(parser) || !advance(parser))
        return NULL;
    struct expr_node *node = parse_or(parser);
    if (node == NULL ||
        !take(parser, TOKEN_CLOSE, "Close the parenthesis, or write and or or", "\")\""))
        return NULL;
    parser->depth--;
    return node;
}

static struct expr_node *parse_test(struct parser *parser)
{
    const struct expr_token *token = &parser->token;

    if (++parser->terms > EXPR_TERMS_MAX) {
        wrong(parser, token, "Use lists and patterns", "more than 128 tests");
        return NULL;
    }
    if (token->kind == TOKEN_OPEN)
        return parse_group(parser);
    if (token->kind == TOKEN_EXISTS)
        return parse_exists(parser);
    if (token->kind == TOKEN_NAME)
        return parse_about(parser);
    if (is_literal(token))
        return parse_flipped(parser);
    expected(parser, "Write a condition, as in severity < \"INFO\"", "a condition");
    return NULL;
}

/* ---- and, or, not */

static struct expr_node *parse_not(struct parser *parser)
{
    if (parser->token.kind != TOKEN_NOT)
        return parse_test(parser);
    if (!go_down(parser) || !advance(parser))
        return NULL;
    struct expr_node *node = parse_not(parser);
    parser->depth--;
    return node == NULL ? NULL : new_node(parser, EXPR_OP_NOT, node, NULL);
}

static struct expr_node *parse_and(struct parser *parser)
{
    struct expr_node *node = parse_not(parser);

    while (node != NULL && parser->token.kind == TOKEN_AND) {
        struct expr_node *right = advance(parser) ? parse_not(parser) : NULL;
        node = right == NULL ? NULL : new_node(parser, EXPR_OP_AND, node, right);
    }
    return node;
}

static struct expr_node *parse_or(struct parser *parser)
{
    struct expr_node *node = parse_and(parser);

    while (node != NULL && parser->token.kind == TOKEN_OR) {
        struct expr_node *right = advance(parser) ? parse_and(parser) : NULL;
        node = right == NULL ? NULL : new_node(parser, EXPR_OP_OR, node, right);
    }
    return node;
}

/* ---- the whole */

void expr_free(struct expr **expr)
{
    struct expr *gone = *expr;
    if (gone == NULL)
        return;

    for (struct expr_node *node = gone->matches; node != NULL; node = node->next_match)
        regex_free(&node->regex);
    arena_fini(&gone->arena);
    free(gone);
    *expr = NULL;
}

static bool parse_whole(struct parser *parser, bool path_only)
{
    if (!advance(parser))
        return false;
    if (path_only) {
        if (parser->token.kind != TOKEN_NAME)
            return expected(parser, "Write body, or attributes[\"key\"]", "a field");
        if (!parse_path(parser, &parser->expr->path))
            return false;
    } else {
        parser->expr->root = parse_or(parser);
        if (parser->expr->root == NULL)
            return false;
    }
    return take(parser, TOKEN_END,
                path_only ? "Write a field and nothing behind it"
                          : "Write and or or between two conditions",
                "the end");
}

static enum err parse(const char *text, bool path_only, struct expr **ret_expr,
                      const char **ret_advice, struct error *error)
{
    struct error unwanted;
    struct parser parser = {.lexer = {.text = bytes_from(text),
                                      .ret_advice = ret_advice,
                                      .error = error != NULL ? error : &unwanted}};

    AUTO(expr_free) struct expr *expr = calloc(1, sizeof *expr);
    if (expr == NULL)
        return error_set(error, ERR_NOMEM, "no memory for an expression");
    expr->signals = EXPR_ALL_SIGNALS;
    parser.expr = expr;
    if (parser.lexer.text.len > EXPR_TEXT_MAX) {
        expr_wrong(&parser.lexer, EXPR_TEXT_MAX, "Use lists and patterns",
                   "it is longer than %d bytes", EXPR_TEXT_MAX);
        return ERR_INVALID;
    }
    bool ok = parse_whole(&parser, path_only);
    if (parser.out_of_memory)
        return error_set(error, ERR_NOMEM, "no memory for an expression");
    if (!ok)
        return ERR_INVALID;
    MOVE(*ret_expr, expr);
    return OK;
}

enum err expr_parse(const char *text, struct expr **ret_expr, const char **ret_advice,
                    struct error *error)
{
    return parse(text, false, ret_expr, ret_advice, error);
}

enum err expr_parse_path(const char *text, struct expr **ret_expr, const char **ret_advice,
                         struct error *error)
{
    return parse(text, true, ret_expr, ret_advice, error);
}

const struct expr_path *expr_path(const struct expr *expr)
{
    return &expr->path;
}

unsigned expr_signals(const struct expr *expr)
{
    return expr->signals;
}

enum expr_level expr_level(const struct expr *expr)
{
    return expr->level;
}
