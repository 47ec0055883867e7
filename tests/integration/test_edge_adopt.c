/* What an earlier pod left on the node is sent to Kafka by a later one, once nobody owns it, and
 * nobody's spool is touched while its owner lives. On librdkafka's mock cluster. */
// link: tests/support/mock_kafka.c tests/support/numbered.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/edge/edge_adopt.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/numbered.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REQUESTS = 20, DEADLINE_MS = 60000 };

static struct mock_kafka kafka;
static struct pipeline_topic topic = {.signal = SIGNAL_LOGS, .topic = "t", .dead_letter = "t.dlq"};
static const struct produce_route route = {&topic, 0};
static struct spool_config config = {.size_bytes = 8 << 20, .save_interval_ms = 100};
static char home[64];

static int begin(void **state)
{
    (void)state;
    snprintf(home, sizeof home, "/tmp/surgetank-adopt-%d", (int)getpid());
    config.dir = home;
    mock_kafka_start(&kafka);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", 1, 1), 0);
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    mock_kafka_stop(&kafka);
    snprintf(command, sizeof command, "rm -rf %s", home);
    return system(command);
}

struct answer {
    struct spool_waiter waiter; /* first */
    sem_t came;
};

static void answered(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    (void)error;
    assert_ok(err);
    sem_post(&((struct answer *)waiter)->came);
}

static void fill(struct spool *spool, uint64_t first)
{
    for (uint64_t n = first; n < first + REQUESTS; n++) {
        AUTO(buf_fini) struct buf value = {0};
        struct answer answer = {.waiter = {.done = answered}};
        numbered_request(n, 1, 100, &value);
        struct bytes part = buf_bytes(&value);
        struct spool_request request = {
            .lane = SIGNAL_LOGS, .parts = &part, .part_count = 1, .items = 1};
        sem_init(&answer.came, 0, 0);
        assert_ok(spool_append(spool, &request, &answer.waiter, NULL));
        while (sem_wait(&answer.came) != 0)
            ;
    }
}

static struct spool *claim(bool may_move, const char *want, struct arena *arena)
{
    struct spool *spool = NULL;
    const char *dir = NULL;
    char path[96];

    assert_ok(edge_claim_spool(&config, may_move, 0, arena, &dir, &spool, NULL));
    snprintf(path, sizeof path, "%s%s", home, want);
    assert_string_equal(dir, path);
    return spool;
}

static struct edge_adopt *start_adopting(const char *own)
{
    static const struct kafka_access access = {.bootstrap_servers = kafka.bootstrap,
                                               .client_id = "test"};
    static const struct produce_options produce = {.access = &access,
                                                   .routes = &route,
                                                   .route_count = 1,
                                                   .compression = "none",
                                                   .in_flight_bytes = 1 << 20,
                                                   .source = "ns/test/edge"};
    const struct edge_adopt_options options = {
        .home = home, .own = own, .spool = &config, .produce = &produce, .look_every_ms = 50};
    struct edge_adopt *adopt = NULL;

    assert_ok(edge_adopt_start(&options, &adopt, NULL));
    return adopt;
}

static void see_number(void *context, uint64_t number)
{
    bool *seen = context;
    assert_true(number < 4 * REQUESTS);
    assert_false(seen[number]);
    seen[number] = true;
}

static void see_message(void *context, const struct mock_message *message)
{
    numbered_visit(message->value, see_number, context);
}

static unsigned count_delivered(uint64_t first)
{
    bool seen[4 * REQUESTS] = {false};
    unsigned count = 0;

    mock_kafka_read(&kafka, "t", 1, see_message, seen);
    for (uint64_t n = first; n < first + REQUESTS; n++)
        count += seen[n];
    return count;
}

static void wait_for(uint64_t first)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    while (count_delivered(first) < REQUESTS)
        assert_true(clock_mono_ms() < until_ms);
}

static bool exists(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", home, name);
    return access(path, F_OK) == 0;
}

static void wait_until_gone(const char *name)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    while (exists(name)) {
        assert_true(clock_mono_ms() < until_ms);
        usleep(10000);
    }
}

static void test_takes_a_directory_that_nobody_has(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct spool *first = claim(true, "", &arena), *second = claim(true, "/2", &arena);
    struct spool *none = NULL;
    const char *dir = NULL;
    struct error error = {0};

    /* Who must have the first one waits, and says for whom. */
    uint64_t start_ms = clock_mono_ms();
    assert_int_equal(edge_claim_spool(&config, false, 300, &arena, &dir, &none, &error),
                     ERR_CONFLICT);
    assert_true(clock_mono_ms() - start_ms >= 300);
    assert_non_null(strstr(error.text, "is in use by process "));
    spool_close(&first);
    first = claim(false, "", &arena);
    spool_close(&first);
    spool_close(&second);
}

static void test_drains_what_nobody_owns_any_more(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct spool *own = claim(true, "", &arena);
    struct spool *left = claim(true, "/2", &arena), *alive = claim(true, "/3", &arena);

    fill(left, 0);
    fill(alive, REQUESTS);
    spool_close(&left);
    struct edge_adopt *adopt = start_adopting(home);
    wait_for(0);
    wait_until_gone("/2/cursors");
    wait_until_gone("/2/00000000.segment");
    assert_int_equal(count_delivered(REQUESTS), 0);
    assert_true(exists("/3/cursors"));
    spool_close(&alive);
    wait_for(REQUESTS);
    wait_until_gone("/3/cursors");
    edge_adopt_stop(&adopt);
    spool_close(&own);
}

static void test_drains_home_from_beside_it_and_leaves_its_files(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct spool *earlier = claim(true, "", &arena), *own = claim(true, "/2", &arena);
    char path[96];

    fill(earlier, 2 * REQUESTS);
    snprintf(path, sizeof path, "%s/2", home);
    struct edge_adopt *adopt = start_adopting(path);
    usleep(200000);
    assert_int_equal(count_delivered(2 * REQUESTS), 0);
    spool_close(&earlier);
    wait_for(2 * REQUESTS);
    edge_adopt_stop(&adopt);
    assert_true(exists("/cursors"));

    /* Nothing of it comes twice when the next pod has it. */
    earlier = claim(false, "", &arena);
    struct spool_stats stats;
    spool_stats(earlier, &stats);
    assert_int_equal(stats.lanes[SIGNAL_LOGS].readers[0].items, 0);
    spool_close(&earlier);
    spool_close(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_a_directory_that_nobody_has),
        cmocka_unit_test(test_drains_what_nobody_owns_any_more),
        cmocka_unit_test(test_drains_home_from_beside_it_and_leaves_its_files),
    };
    return cmocka_run_group_tests_name("edge_adopt", tests, begin, end);
}
