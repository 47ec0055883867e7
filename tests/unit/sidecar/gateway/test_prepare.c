/* What processors leave of a parcel is delivered in its place; a parcel of which nothing is left is
 * done without the backend, and none is done twice or forgotten. */
// link: tests/support/script_export.c tests/support/processors.c
#include "tests/support/processors.h"
#include "tests/support/script_export.h"
#include "tests/support/test.h"

#include "sidecar/gateway/delivery.h"
#include "sidecar/gateway/prepare.h"
#include "sidecar/otlp/otlp_json.h"

enum { NOW_MS = 1000, LATER_MS = 2000 };

struct rig {
    struct pipeline *pipeline;
    struct pipeline_gateway gateway;
    struct delivery *delivery;
    struct prepare *prepare;
    struct buf value;
    struct parcel parcel;
    unsigned done, buried;
    struct bytes dead;
};

static void on_done(void *context, struct parcel *parcel)
{
    struct rig *rig = context;

    assert_ptr_equal(parcel, &rig->parcel);
    rig->done++;
}

static void on_bury(void *context, struct piece *piece, const char *reason)
{
    struct rig *rig = context;

    assert_non_null(strstr(reason, "when processed"));
    rig->dead = piece->value;
    rig->buried++;
    delivery_buried(rig->delivery, piece);
}

static void nothing(void *context)
{
    (void)context;
}

static void set_up(struct rig *rig, const char *processors, const char *records)
{
    AUTO(buf_fini) struct buf json = {0};

    *rig = (struct rig){.pipeline = processors_pipeline(processors, "[]"),
                        .gateway = {.name = "test",
                                    .batch_max_items = 1000,
                                    .batch_max_bytes = 1 << 20,
                                    .batch_timeout_ms = 200,
                                    .retry_initial_ms = 1000,
                                    .retry_max_ms = 8000,
                                    .hold_above_percent = 10}};
    rig->gateway.processors = rig->pipeline->edges[0].processors;
    rig->gateway.processor_count = rig->pipeline->edges[0].processor_count;
    const struct delivery_options options = {.gateway = &rig->gateway,
                                             .export = script_export_new(),
                                             .done = on_done,
                                             .bury = on_bury,
                                             .backend_lost = nothing,
                                             .wake = nothing,
                                             .context = rig};
    assert_ok(delivery_open(&options, &rig->delivery, NULL));
    assert_ok(prepare_open(&rig->gateway, &rig->prepare, NULL));
    assert_ok(
        buf_printf(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[%s]}]}]}", records));
    assert_ok(otlp_json_read(SIGNAL_LOGS, buf_bytes(&json), NULL, &rig->value, NULL));
    rig->parcel =
        (struct parcel){.signal = SIGNAL_LOGS, .value = buf_bytes(&rig->value), .items = 2};
}

static void tear_down(struct rig *rig)
{
    prepare_close(&rig->prepare);
    delivery_close(&rig->delivery);
    pipeline_free(&rig->pipeline);
    buf_fini(&rig->value);
}

/* The one request that is sent, as JSON; then the backend takes it. */
static void take_request(struct rig *rig, const char *want)
{
    AUTO(buf_fini) struct buf json = {0};
    const struct judgement done = {.verdict = VERDICT_DONE};

    delivery_run(rig->delivery, LATER_MS);
    assert_int_equal(script_export_pending(), 1);
    assert_int_equal(script_export_at(0)->part_count, 1);
    assert_ok(otlp_json_write(SIGNAL_LOGS, script_export_at(0)->parts[0], &json, NULL));
    assert_string_equal(buf_text(&json), want);
    script_export_answer(0, &done);
}

#define TWO           "{\"severityNumber\":5},{\"severityNumber\":9}"
#define LOGS(records) "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[" records "]}]}]}"

static void test_what_is_left_goes_to_the_backend(void **state)
{
    (void)state;
    struct delivery_state delivered;
    struct rig rig;

    set_up(&rig, "        - filter: {drop: 'severity < \"INFO\"'}\n", TWO);
    assert_false(prepare_parcel(rig.prepare, rig.delivery, &rig.parcel, NOW_MS));
    take_request(&rig, LOGS("{\"severityNumber\":9}"));
    delivery_state(rig.delivery, &delivered);
    assert_int_equal(delivered.delivered_items, 1);
    assert_int_equal(prepare_filtered(rig.prepare), 1);
    assert_int_equal(rig.done, 1);
    tear_down(&rig);
}

static void test_without_processors_a_parcel_goes_as_it_is(void **state)
{
    (void)state;
    struct rig rig;

    set_up(&rig, "[]", TWO);
    assert_false(prepare_parcel(rig.prepare, rig.delivery, &rig.parcel, NOW_MS));
    delivery_run(rig.delivery, LATER_MS);
    assert_ptr_equal(script_export_at(0)->parts[0].data, rig.value.data);
    take_request(&rig, LOGS(TWO));
    assert_int_equal(rig.done, 1);
    tear_down(&rig);
}

static void test_a_parcel_of_which_nothing_is_left_is_handed_out_once(void **state)
{
    (void)state;
    struct rig rig;

    set_up(&rig, "        - filter: {drop: 'true'}\n", TWO);
    assert_true(prepare_parcel(rig.prepare, rig.delivery, &rig.parcel, NOW_MS));
    assert_true(prepare_has_empty(rig.prepare));
    assert_ptr_equal(prepare_next_empty(rig.prepare), &rig.parcel);
    assert_null(prepare_next_empty(rig.prepare));
    assert_false(prepare_has_empty(rig.prepare));
    assert_int_equal(prepare_filtered(rig.prepare), 2);
    delivery_run(rig.delivery, LATER_MS);
    assert_int_equal(script_export_pending(), 0);
    assert_int_equal(rig.done, 0); /* that is the intake's to hear, from the wiring */
    tear_down(&rig);
}

static void test_what_grows_beyond_bounds_is_a_dead_letter_as_it_came(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf records = {0}, processors = {0};
    struct rig rig;

    assert_ok(buf_append_text(&processors, "        - attributes: {\"on\": item, actions: ["));
    for (int i = 0; i < 10; i++) {
        assert_ok(buf_printf(&processors, "%s{key: k%d, value: ", i > 0 ? "," : "", i));
        for (int n = 0; n < 1000; n++)
            assert_ok(buf_append_byte(&processors, 'v'));
        assert_ok(buf_append_text(&processors, "}"));
    }
    assert_ok(buf_append_text(&processors, "]}\n"));
    for (int i = 0; i < 2000; i++) /* of which 20 MB would be */
        assert_ok(buf_append_text(&records, i > 0 ? ",{}" : "{}"));
    set_up(&rig, buf_text(&processors), buf_text(&records));
    rig.parcel.items = 2000;
    assert_false(prepare_parcel(rig.prepare, rig.delivery, &rig.parcel, NOW_MS));
    assert_int_equal(rig.buried, 1);
    assert_ptr_equal(rig.dead.data, rig.value.data);
    assert_int_equal(rig.done, 1);
    tear_down(&rig);
}

static void test_changed_processors_count_from_the_next_parcel_on(void **state)
{
    (void)state;
    struct prepare *next = NULL;
    struct rig rig;

    set_up(&rig, "        - filter: {drop: 'severity < \"INFO\"'}\n", TWO);
    rig.gateway.processor_count = 0;
    assert_ok(prepare_open(&rig.gateway, &next, NULL));
    prepare_change(rig.prepare, &next);
    assert_null(next);
    assert_false(prepare_parcel(rig.prepare, rig.delivery, &rig.parcel, NOW_MS));
    take_request(&rig, LOGS(TWO));
    tear_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_goes_to_the_backend),
        cmocka_unit_test(test_without_processors_a_parcel_goes_as_it_is),
        cmocka_unit_test(test_a_parcel_of_which_nothing_is_left_is_handed_out_once),
        cmocka_unit_test(test_what_grows_beyond_bounds_is_a_dead_letter_as_it_came),
        cmocka_unit_test(test_changed_processors_count_from_the_next_parcel_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
