/* condition: an expression asked about item after item, and no oftener than it must be: one that
 * asks about nothing below the resource or the scope is answered once for each of these.
 *
 * Thread: one at a time. Zero-initialised is one that nothing meets.
 */
#ifndef SIDECAR_PROCESS_CONDITION_H
#define SIDECAR_PROCESS_CONDITION_H

#include "common/attr.h"
#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/process/item.h"

struct condition {
    struct expr *expr; /* NULL: there is none */
    enum { CONDITION_OPEN, CONDITION_MET, CONDITION_NOT_MET } verdict;
};

/* ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err condition_make(struct condition *condition, const char *text,
                                  struct error *error);
void condition_fini(struct condition *condition);

/* Another resource (or scope) is at hand: what was found out about the last one is forgotten. */
void condition_enter(struct condition *condition, enum expr_level level);

/* False also for items of signals that it isn't about. */
bool condition_holds(struct condition *condition, enum signal signal, struct item *item);

#endif
