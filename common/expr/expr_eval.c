#include "common/expr/expr_tree.h"

#include <math.h>

/* What a comparison came to. */
enum order { LESS, SAME, MORE, NEVER /* of different types, or absent */ };

#define ORDER(a, low, high) ((a) < (low) ? LESS : (a) > (high) ? MORE : SAME)

static enum order order_text(struct bytes a, struct bytes b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int difference = both == 0 ? 0 : memcmp(a.data, b.data, both);

    if (difference != 0)
        return difference < 0 ? LESS : MORE;
    return ORDER(a.len, b.len, b.len);
}

static enum order order_double(double a, double b)
{
    if (isnan(a) || isnan(b))
        return NEVER;
    return ORDER(a, b, b);
}

static double as_double(const struct expr_value *value)
{
    return value->type == EXPR_INT ? (double)value->integer : value->number;
}

static bool is_number(enum expr_type type)
{
    return type == EXPR_INT || type == EXPR_DOUBLE;
}

static enum order order_literal(const struct expr_value *value, const struct expr_literal *literal)
{
    if (value->type == EXPR_STRING && literal->type == EXPR_STRING)
        return order_text(value->string, literal->string);
    if (value->type == EXPR_INT && literal->type == EXPR_INT)
        return ORDER(value->integer, literal->low, literal->high);
    if (is_number(value->type) && is_number(literal->type))
        return order_double(as_double(value),
                            literal->type == EXPR_INT ? (double)literal->low : literal->number);
    if (value->type == EXPR_BOOL && literal->type == EXPR_BOOL)
        return ORDER(value->boolean, literal->boolean, literal->boolean);
    return NEVER;
}

static enum order order_values(const struct expr_value *a, const struct expr_value *b)
{
    if (a->type == EXPR_STRING && b->type == EXPR_STRING)
        return order_text(a->string, b->string);
    if (a->type == EXPR_INT && b->type == EXPR_INT)
        return ORDER(a->integer, b->integer, b->integer);
    if (is_number(a->type) && is_number(b->type))
        return order_double(as_double(a), as_double(b));
    if (a->type == EXPR_BOOL && b->type == EXPR_BOOL)
        return a->boolean == b->boolean ? SAME : NEVER;
    return NEVER;
}

static bool holds(enum expr_compare compare, enum order order)
{
    switch (compare) {
    case EXPR_EQ:
        return order == SAME;
    case EXPR_NE:
        return order != SAME;
    case EXPR_LT:
        return order == LESS;
    case EXPR_LE:
        return order == LESS || order == SAME;
    case EXPR_GT:
        return order == MORE;
    case EXPR_GE:
        return order == MORE || order == SAME;
    }
    return false;
}

static bool eval_compare(const struct expr_node *node, const struct expr_value *value,
                         expr_lookup_fn *lookup, void *context)
{
    if (node->other == NULL)
        return holds(node->compare, order_literal(value, node->literals));
    struct expr_value other = lookup(context, node->other);
    return holds(node->compare, order_values(value, &other));
}

static bool eval_in(const struct expr_node *node, const struct expr_value *value)
{
    for (size_t i = 0; i < node->literal_count; i++)
        if (order_literal(value, &node->literals[i]) == SAME)
            return true;
    return false;
}

/* The depth is bounded by the parser: EXPR_DEPTH_MAX down, and EXPR_TERMS_MAX along ands and ors.
 */
static bool eval(struct expr_node *node, expr_lookup_fn *lookup, void *context)
{
    struct expr_value value = {0};

    if (node->op >= EXPR_OP_EXISTS)
        value = lookup(context, &node->path);
    switch (node->op) {
    case EXPR_OP_CONST:
        return node->constant;
    case EXPR_OP_AND:
        return eval(node->left, lookup, context) && eval(node->right, lookup, context);
    case EXPR_OP_OR:
        return eval(node->left, lookup, context) || eval(node->right, lookup, context);
    case EXPR_OP_NOT:
        return !eval(node->left, lookup, context);
    case EXPR_OP_EXISTS:
        return value.type != EXPR_ABSENT;
    case EXPR_OP_COMPARE:
        return eval_compare(node, &value, lookup, context);
    case EXPR_OP_IN:
        return eval_in(node, &value);
    case EXPR_OP_MATCH:
        return value.type == EXPR_STRING && regex_matches(node->regex, value.string);
    }
    return false;
}

bool expr_eval(struct expr *expr, expr_lookup_fn *lookup, void *context)
{
    return eval(expr->root, lookup, context);
}
