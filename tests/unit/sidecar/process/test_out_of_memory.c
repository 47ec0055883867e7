/* Whichever request for memory fails, processors say so, leave nothing behind, and work
 * again with the next request; run under ASan, which sees leaks and wild pointers. */
// link: tests/support/fault_alloc.c tests/support/otlp_random.c
// wrap: malloc calloc realloc strdup strndup
#include "sidecar/process/process.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

enum { MANY = 3000 }; /* requests for memory that no case here needs */

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct pipeline_attribute_change changes[] = {{"a", "v", NULL, PIPELINE_CHANGE_UPSERT},
                                                     {"b", NULL, "k", PIPELINE_CHANGE_RENAME}};
static struct pipeline_attributes on_resource = {PIPELINE_ON_RESOURCE, changes, COUNT(changes)};
static struct pipeline_attributes on_item = {PIPELINE_ON_ITEM, changes, COUNT(changes)};
static struct pipeline_parse pattern = {.regex = "(?<first>.)(?<rest>.*)",
                                        .from = "attributes[\"a\"]"};
static const char *keys[] = {"k"}, *patterns[] = {"[a-e]+"};
static struct pipeline_redact redact = {{keys, 1}, {patterns, 1}};
static struct pipeline_filter filter = {"name =~ \"^G\" and not resource[\"x\"] in [\"a\", \"b\"]"};
static struct pipeline_sample sample = {0.9, "scope.name == \"x\""};
static const struct pipeline_processor processors[] = {
    {.attributes = &on_resource}, {.attributes = &on_item}, {.parse = &pattern},
    {.redact = &redact},          {.filter = &filter},      {.sample = &sample}};

static struct buf request;

static enum err run(struct process *process, size_t *ret_size)
{
    struct process_counts counts;
    struct bytes out;
    uint32_t items = 0;

    enum err err = process_run(process, SIGNAL_TRACES, buf_bytes(&request), SIZE_MAX / 4, &out,
                               &items, &counts, NULL);
    if (!err)
        *ret_size = out.len;
    return err;
}

static void test_making_processors_fails_cleanly(void **state)
{
    (void)state;
    AUTO(process_destroy) struct process *first = NULL; /* makes the metrics */
    enum err err = ERR_NOMEM;

    assert_ok(process_create(processors, COUNT(processors), "test", &first, NULL));
    for (unsigned nth = 1; err; nth++) {
        AUTO(process_destroy) struct process *process = NULL;
        assert_true(nth < MANY);
        fault_alloc_fail_at(nth);
        err = process_create(processors, COUNT(processors), "test", &process, NULL);
        bool failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        assert_true(err == OK || err == ERR_NOMEM);
        assert_true(failed || err == OK);
        assert_true((process == NULL) == (err != OK));
    }
}

static void test_a_run_fails_cleanly_and_the_next_one_works(void **state)
{
    (void)state;
    AUTO(process_destroy) struct process *fresh = NULL;
    enum err err = ERR_NOMEM;
    size_t want = 0;

    assert_ok(process_create(processors, COUNT(processors), "test", &fresh, NULL));
    assert_ok(run(fresh, &want));
    for (unsigned nth = 1; err; nth++) {
        AUTO(process_destroy) struct process *process = NULL;
        size_t size = 0;
        assert_true(nth < MANY);
        assert_ok(process_create(processors, COUNT(processors), "test", &process, NULL));
        fault_alloc_fail_at(nth);
        err = run(process, &size);
        fault_alloc_fail_at(0);
        assert_true(err == OK || err == ERR_NOMEM);
        assert_ok(run(process, &size));
        assert_int_equal(size, want);
    }
}

int main(void)
{
    struct otlp_random random = {.state = 6, .list_max = 5};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_making_processors_fails_cleanly),
        cmocka_unit_test(test_a_run_fails_cleanly_and_the_next_one_works),
    };

    while (request.len < 8000)
        otlp_random_request(&random, SIGNAL_TRACES, &request);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&request);
    return failed;
}
