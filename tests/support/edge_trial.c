#include "tests/support/seed.h"
#include "tests/support/test.h"

#include "tests/support/edge_trial.h"

#include <stdlib.h>

enum { PADDING = 100, NUMBERS = 2000000 };

struct broker_process broker;
struct edge_process edge;
struct ledger ledger;
struct sender sender;

void trial_begin(void)
{
    seed_rand();
    broker_process_start(&broker);
    broker_process_topic(&broker, "t", TRIAL_PARTITIONS);
    edge_process_make(&edge);
    ledger_open(&ledger, NUMBERS);
    sender = (struct sender){.port = edge.http_port,
                             .ledger = &ledger,
                             .per_request = TRIAL_PER_REQUEST,
                             .padding = PADDING};
}

int trial_end(void **state)
{
    (void)state;
    sender_close(&sender);
    edge_process_remove(&edge);
    broker_process_stop(&broker);
    ledger_close(&ledger);
    return 0;
}

void trial_start(void)
{
    edge_process_start(&edge);
    edge_process_await_ready(&edge);
}

void trial_check(void)
{
    ledger_read(&ledger, broker.bootstrap, "t", TRIAL_PARTITIONS);
    ledger_check(&ledger);
}

unsigned trial_factor(void)
{
    const char *given = getenv("SURGETANK_LOSS");
    unsigned long n = given == NULL ? 1 : strtoul(given, NULL, 10);
    return n < 1 ? 1 : n > 100 ? 100 : (unsigned)n;
}

unsigned trial_up_to(unsigned most)
{
    return 1 + (unsigned)rand() % most;
}
