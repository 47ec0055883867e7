#include "tests/support/ledger.h"

#include "common/contract/names.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/numbered.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ledger_open(struct ledger *ledger, size_t size)
{
    *ledger = (struct ledger){.size = size,
                              .promised = calloc(size, sizeof *ledger->promised),
                              .seen = calloc(size, sizeof *ledger->seen),
                              .marked = calloc(size, sizeof *ledger->marked),
                              .visit = numbered_visit};
    assert_true(ledger->promised != NULL && ledger->seen != NULL && ledger->marked != NULL);
}

void ledger_close(struct ledger *ledger)
{
    free(ledger->promised);
    free(ledger->seen);
    free(ledger->marked);
}

void ledger_promise(struct ledger *ledger, uint64_t first, unsigned count)
{
    assert_true(first + count <= ledger->size);
    for (uint64_t i = first; i < first + count; i++)
        ledger->promised[i] = true;
}

size_t ledger_promised(const struct ledger *ledger)
{
    size_t count = 0;
    for (size_t i = 0; i < ledger->size; i++)
        count += ledger->promised[i];
    return count;
}

static void see_number(void *context, uint64_t number)
{
    struct ledger *ledger = context;

    assert_true(number < ledger->size);
    ledger->seen[number]++;
    ledger->marked[number] += ledger->is_marked;
}

static void see_message(void *context, const struct mock_message *message)
{
    struct ledger *ledger = context;
    char text[64];

    mock_message_header(message, NAMES_HEADER_RETRY, text, sizeof text);
    ledger->is_marked = text[0] != '\0';
    ledger->messages++;
    if (message->value.len > ledger->largest)
        ledger->largest = message->value.len;
    ledger->visit(message->value, see_number, ledger);
}

void ledger_read(struct ledger *ledger, const char *bootstrap, const char *topic, int partitions)
{
    struct mock_kafka kafka = {0};

    memset(ledger->seen, 0, ledger->size * sizeof *ledger->seen);
    memset(ledger->marked, 0, ledger->size * sizeof *ledger->marked);
    ledger->messages = 0;
    ledger->largest = 0;
    snprintf(kafka.bootstrap, sizeof kafka.bootstrap, "%s", bootstrap);
    mock_kafka_read(&kafka, topic, partitions, see_message, ledger);
}

void ledger_check(const struct ledger *ledger)
{
    size_t lost = 0, silent = 0, first_lost = 0, first_silent = 0;

    for (size_t i = 0; i < ledger->size; i++) {
        if (ledger->promised[i] && ledger->seen[i] == 0 && lost++ == 0)
            first_lost = i;
        if (!ledger->may_repeat && ledger->seen[i] > 1 + ledger->marked[i] && silent++ == 0)
            first_silent = i;
    }
    if (lost > 0 || silent > 0)
        fail_msg("of %zu acknowledged %zu are lost (first %zu), %zu are there more often than they "
                 "say (first %zu)",
                 ledger_promised(ledger), lost, first_lost, silent, first_silent);
}
