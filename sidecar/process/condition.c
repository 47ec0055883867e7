#include "sidecar/process/condition.h"

enum err condition_make(struct condition *condition, const char *text, struct error *error)
{
    const char *advice = NULL;

    return expr_parse(text, &condition->expr, &advice, error);
}

void condition_fini(struct condition *condition)
{
    expr_free(&condition->expr);
}

void condition_enter(struct condition *condition, enum expr_level level)
{
    if (condition->expr != NULL && expr_level(condition->expr) >= level)
        condition->verdict = CONDITION_OPEN;
}

bool condition_holds(struct condition *condition, enum signal signal, struct item *item)
{
    struct expr *expr = condition->expr;

    if (expr == NULL || (expr_signals(expr) >> signal & 1) == 0)
        return false;
    if (expr_level(expr) == EXPR_AT_ITEM)
        return expr_eval(expr, item_lookup, item);
    if (condition->verdict == CONDITION_OPEN)
        condition->verdict = expr_eval(expr, item_lookup, item) ? CONDITION_MET : CONDITION_NOT_MET;
    return condition->verdict == CONDITION_MET;
}
