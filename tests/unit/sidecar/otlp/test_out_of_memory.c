/* Whichever request for memory fails, the call says so and leaves nothing behind; run under ASan,
 * which sees leaks and wild pointers. */
// link: tests/support/fault_alloc.c tests/support/otlp_random.c
// wrap: malloc calloc realloc strdup strndup
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/partition.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/stamp.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

enum { MANY = 1000 }; /* requests for memory that no case here needs */

static struct buf traces, json;

static enum err take(void *user, const struct otlp_part *part, struct error *error)
{
    (void)user;
    (void)part;
    (void)error;
    return OK;
}

static enum err take_group(void *user, struct bytes key, const struct otlp_slices *request,
                           uint32_t items, struct error *error)
{
    (void)user;
    (void)key;
    (void)request;
    (void)items;
    (void)error;
    return OK;
}

static enum err run_stamp(struct error *error)
{
    static const struct stamp_rule rules[] = {{"service.name", "x", STAMP_UPSERT},
                                              {"k", "v", STAMP_INSERT}};
    AUTO(stamp_destroy) struct stamp *stamp = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices out = {0};

    enum err err = stamp_create(rules, 2, &stamp, error);
    if (err)
        return err;
    return stamp_apply(stamp, buf_bytes(&traces), SIZE_MAX, &out, error);
}

static enum err run_split(struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    return otlp_split(SIGNAL_TRACES, buf_bytes(&traces), 200, &work, take, NULL, error);
}

static enum err run_halve(struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    return otlp_halve(SIGNAL_TRACES, buf_bytes(&traces), &first, &second, error);
}

static enum err run_by_resource(struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    return otlp_group_by_resource(SIGNAL_TRACES, buf_bytes(&traces), &work, take_group, NULL,
                                  error);
}

static enum err run_by_trace(struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    return otlp_group_by_trace(SIGNAL_TRACES, buf_bytes(&traces), &work, take_group, NULL, error);
}

static enum err run_json_read(struct error *error)
{
    AUTO(buf_fini) struct buf out = {0};
    return otlp_json_read(SIGNAL_TRACES, buf_bytes(&json), NULL, &out, error);
}

static enum err run_json_write(struct error *error)
{
    AUTO(buf_fini) struct buf out = {0};
    return otlp_json_write(SIGNAL_TRACES, buf_bytes(&traces), &out, error);
}

static void fail_each(enum err (*run)(struct error *error))
{
    for (unsigned nth = 1; nth < MANY; nth++) {
        struct error error = {0};
        fault_alloc_fail_at(nth);
        enum err err = run(&error);
        bool failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        if (!failed) {
            assert_ok(err);
            assert_true(nth > 1);
            return;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_true(error.text[0] != '\0');
    }
    fail_msg("never had enough");
}

static void test_stamping_says_so(void **state)
{
    (void)state;
    fail_each(run_stamp);
}

static void test_cutting_says_so(void **state)
{
    (void)state;
    fail_each(run_split);
    fail_each(run_halve);
}

static void test_grouping_says_so(void **state)
{
    (void)state;
    fail_each(run_by_resource);
    fail_each(run_by_trace);
}

static void test_json_says_so(void **state)
{
    (void)state;
    fail_each(run_json_read);
    fail_each(run_json_write);
}

static int set_up(void **state)
{
    struct otlp_random random = {.state = 3, .odd = true, .list_max = 6};

    (void)state;
    while (traces.len < 20000)
        otlp_random_request(&random, SIGNAL_TRACES, &traces);
    return otlp_json_write(SIGNAL_TRACES, buf_bytes(&traces), &json, NULL) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    buf_fini(&traces);
    buf_fini(&json);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamping_says_so),
        cmocka_unit_test(test_cutting_says_so),
        cmocka_unit_test(test_grouping_says_so),
        cmocka_unit_test(test_json_says_so),
    };
    return cmocka_run_group_tests_name("out_of_memory", tests, set_up, tear_down);
}
