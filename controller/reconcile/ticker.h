/* ticker: a thread that does something every so often, while it is told to. */
#ifndef CONTROLLER_RECONCILE_TICKER_H
#define CONTROLLER_RECONCILE_TICKER_H

#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

struct ticker;

typedef void ticker_fn(void *context);

/* Starts inactive. `name`: of the thread, at most 15 characters. */
NODISCARD enum err ticker_create(const char *name, uint64_t period_ms, ticker_fn *tick,
                                 void *context, struct ticker **ret_ticker, struct error *error);

/* Waits for a tick under way. */
void ticker_destroy(struct ticker **ticker);

/* A tick under way goes on. */
void ticker_set_active(struct ticker *ticker, bool active);

#endif
