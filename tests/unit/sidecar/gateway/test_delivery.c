/* Whatever a backend answers: every item is stored or in the dead letters before its parcel is
 * done, only what is refused alone is buried, and a backend that fails is asked less often. */
// link: tests/support/script_export.c tests/support/numbered.c tests/support/fake_clock.c
#include "tests/support/test.h"

#include "sidecar/gateway/delivery.h"
#include "tests/support/fake_clock.h"
#include "tests/support/numbered.h"
#include "tests/support/script_export.h"

#include <stdio.h>
#include <string.h>

enum { PARCELS_MAX = 256, ITEMS_MAX = 4096, BURIED_MAX = 512 };

/* What became of an item. */
struct fate {
    unsigned stored, buried;
};

struct fixture {
    struct pipeline_gateway gateway;
    struct delivery *delivery;
    uint64_t now_ms;
    struct parcel parcels[PARCELS_MAX];
    struct buf values[PARCELS_MAX];
    bool done[PARCELS_MAX];
    unsigned parcel_count;
    uint64_t next_item;
    struct fate fates[ITEMS_MAX];
    struct piece *buried[BURIED_MAX];
    char reasons[BURIED_MAX][400];
    unsigned buried_count;
    unsigned lost, woken;
    bool (*refuses)(uint64_t item); /* what backend() won't take */
    bool may_be_data;               /* it says so of what it did not take */
};

/* ---- what delivery hands on */

static void on_done(void *context, struct parcel *parcel)
{
    struct fixture *fixture = context;
    size_t index = (size_t)(parcel - fixture->parcels);

    assert_false(fixture->done[index]);
    fixture->done[index] = true;
}

static void see_buried(void *context, uint64_t item)
{
    struct fixture *fixture = context;
    fixture->fates[item].buried++;
}

static void on_bury(void *context, struct piece *piece, const char *reason)
{
    struct fixture *fixture = context;

    assert_true(fixture->buried_count < BURIED_MAX);
    snprintf(fixture->reasons[fixture->buried_count], 400, "%s", reason);
    fixture->buried[fixture->buried_count++] = piece;
    numbered_visit(piece->value, see_buried, fixture);
}

static void on_lost(void *context)
{
    struct fixture *fixture = context;
    fixture->lost++;
}

static void on_wake(void *context)
{
    struct fixture *fixture = context;
    fixture->woken++;
}

/* ---- the fixture */

static void begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->gateway = (struct pipeline_gateway){.name = "test",
                                                 .batch_max_items = 1000,
                                                 .batch_max_bytes = 1 << 20,
                                                 .batch_timeout_ms = 200,
                                                 .retry_initial_ms = 1000,
                                                 .retry_max_ms = 8000,
                                                 .hold_above_percent = 10};
    fixture->now_ms = 1000000;
    fake_clock_set_ms(fixture->now_ms);
}

static void open_delivery(struct fixture *fixture)
{
    const struct delivery_options options = {.gateway = &fixture->gateway,
                                             .export = script_export_new(),
                                             .done = on_done,
                                             .bury = on_bury,
                                             .backend_lost = on_lost,
                                             .wake = on_wake,
                                             .context = fixture};
    assert_ok(delivery_open(&options, &fixture->delivery, NULL));
}

static void end(struct fixture *fixture)
{
    delivery_close(&fixture->delivery);
    for (unsigned i = 0; i < fixture->parcel_count; i++)
        buf_fini(&fixture->values[i]);
}

static void wait_ms(struct fixture *fixture, uint64_t ms)
{
    fixture->now_ms += ms;
    fake_clock_set_ms(fixture->now_ms);
}

static void add(struct fixture *fixture, unsigned items, size_t padding)
{
    unsigned at = fixture->parcel_count++;

    assert_true(at < PARCELS_MAX);
    numbered_request(fixture->next_item, items, padding, &fixture->values[at]);
    fixture->next_item += items;
    assert_true(fixture->next_item <= ITEMS_MAX);
    fixture->parcels[at] = (struct parcel){
        .signal = SIGNAL_LOGS, .value = buf_bytes(&fixture->values[at]), .items = items};
    delivery_add(fixture->delivery, &fixture->parcels[at], fixture->now_ms);
}

static void run(struct fixture *fixture)
{
    uint64_t next = delivery_run(fixture->delivery, fixture->now_ms);
    assert_true(next > fixture->now_ms || script_export_pending() > 0);
}

static struct delivery_state state_of(const struct fixture *fixture)
{
    struct delivery_state state;
    delivery_state(fixture->delivery, &state);
    return state;
}

/* ---- the backend */

static void see_stored(void *context, uint64_t item)
{
    struct fixture *fixture = context;
    fixture->fates[item].stored++;
}

static void store(struct fixture *fixture, unsigned index)
{
    const struct export_batch *batch = script_export_at(index);
    for (size_t i = 0; i < batch->part_count; i++)
        numbered_visit(batch->parts[i], see_stored, fixture);
}

static void answer(struct fixture *fixture, enum verdict verdict)
{
    struct judgement judgement = {
        .verdict = verdict, .may_be_data = fixture->may_be_data, .text = "said so"};

    if (verdict == VERDICT_DONE)
        store(fixture, 0);
    script_export_answer(0, &judgement);
}

struct looked {
    bool (*refuses)(uint64_t item);
    uint64_t first;
    unsigned refused;
};

static void look(void *context, uint64_t item)
{
    struct looked *looked = context;
    looked->first = item < looked->first ? item : looked->first;
    looked->refused += looked->refuses != NULL && looked->refuses(item);
}

static struct looked look_at(unsigned index, bool (*refuses)(uint64_t item))
{
    struct looked looked = {.refuses = refuses, .first = UINT64_MAX};
    const struct export_batch *batch = script_export_at(index);

    for (size_t i = 0; i < batch->part_count; i++)
        numbered_visit(batch->parts[i], look, &looked);
    return looked;
}

static uint64_t first_item(unsigned index)
{
    return look_at(index, NULL).first;
}

/* Takes what has no culprit in it and refuses the rest, until nothing is sent any more. */
static unsigned backend(struct fixture *fixture, enum verdict refusal)
{
    unsigned requests = 0;

    for (run(fixture); script_export_pending() > 0; run(fixture), requests++)
        answer(fixture, look_at(0, fixture->refuses).refused > 0 ? refusal : VERDICT_DONE);
    return requests;
}

static void acknowledge_burials(struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->buried_count; i++)
        delivery_buried(fixture->delivery, fixture->buried[i]);
    fixture->buried_count = 0;
}

static bool all_done(const struct fixture *fixture)
{
    for (unsigned i = 0; i < fixture->parcel_count; i++)
        if (!fixture->done[i])
            return false;
    return true;
}

/* ---- batching */

static void test_fills_a_request_up_to_its_bounds(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.gateway.batch_max_items = 10;
    open_delivery(&fixture);
    for (int i = 0; i < 3; i++)
        add(&fixture, 4, 0);
    run(&fixture);
    assert_int_equal(script_export_pending(), 1); /* 4 + 4, for 12 would be too many */
    assert_int_equal(script_export_at(0)->part_count, 2);
    answer(&fixture, VERDICT_DONE);
    assert_true(fixture.done[0] && fixture.done[1] && !fixture.done[2]);
    add(&fixture, 6, 0);
    run(&fixture);
    assert_int_equal(script_export_at(0)->part_count, 2); /* 4 + 6 is full at once */
    answer(&fixture, VERDICT_DONE);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_fills_a_request_up_to_its_bytes(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.gateway.batch_max_bytes = 1000;
    open_delivery(&fixture);
    for (int i = 0; i < 3; i++)
        add(&fixture, 1, 450);
    add(&fixture, 1, 5000); /* larger than the bound: alone */
    run(&fixture);
    assert_int_equal(script_export_pending(), 3);
    assert_int_equal(script_export_at(0)->part_count, 2);
    assert_int_equal(script_export_at(1)->part_count, 1);
    assert_int_equal(script_export_at(2)->part_count, 1);
    while (script_export_pending() > 0)
        answer(&fixture, VERDICT_DONE);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_waits_for_company_only_so_long(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    open_delivery(&fixture);
    add(&fixture, 1, 0);
    assert_int_equal(delivery_run(fixture.delivery, fixture.now_ms), fixture.now_ms + 200);
    assert_int_equal(script_export_pending(), 0);
    wait_ms(&fixture, 200);
    run(&fixture);
    assert_int_equal(script_export_pending(), 1);
    answer(&fixture, VERDICT_DONE);
    end(&fixture);
}

static void test_sends_without_waiting_when_flushed(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    open_delivery(&fixture);
    add(&fixture, 1, 0);
    assert_int_equal(state_of(&fixture).waiting, 1);
    delivery_flush(fixture.delivery);
    run(&fixture);
    answer(&fixture, VERDICT_DONE);
    assert_int_equal(fixture.woken, 1);
    assert_int_equal(state_of(&fixture).waiting, 0);
    assert_int_equal(state_of(&fixture).delivered_items, 1);
    assert_true(all_done(&fixture));
    end(&fixture);
}

/* ---- a backend that fails */

static void test_tries_again_in_turn_until_it_is_stored(void **state)
{
    (void)state;
    struct fixture fixture;
    uint64_t first[6];

    begin(&fixture);
    fixture.gateway.batch_max_items = 1;
    open_delivery(&fixture);
    for (int i = 0; i < 3; i++)
        add(&fixture, 1, 0);
    run(&fixture);
    while (script_export_pending() > 0)
        answer(&fixture, VERDICT_AGAIN);
    for (int i = 0; i < 6; i++) { /* one at a time, each gets its turn */
        wait_ms(&fixture, 20000);
        run(&fixture);
        assert_int_equal(script_export_pending(), 1);
        first[i] = first_item(0);
        answer(&fixture, i % 2 == 0 ? VERDICT_AGAIN : VERDICT_MEND);
    }
    assert_true(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(first[i], first[i + 3]);
    assert_true(state_of(&fixture).mend);
    assert_string_equal(state_of(&fixture).trouble, "said so");
    wait_ms(&fixture, 20000);
    backend(&fixture, VERDICT_REFUSED);
    assert_true(all_done(&fixture));
    assert_int_equal(state_of(&fixture).failing, 0);
    assert_string_equal(state_of(&fixture).trouble, "");
    end(&fixture);
}

/* Waits of 1, 2, 4, 8, 8 seconds, 30 % more or less. */
static void test_asks_a_failing_backend_less_and_less_often(void **state)
{
    (void)state;
    static const uint64_t waits[] = {1000, 2000, 4000, 8000, 8000};
    struct fixture fixture;

    begin(&fixture);
    open_delivery(&fixture);
    add(&fixture, 1, 0);
    delivery_flush(fixture.delivery);
    for (int i = 0; i < 5; i++) {
        run(&fixture);
        answer(&fixture, VERDICT_AGAIN);
        delivery_run(fixture.delivery, fixture.now_ms);
        uint64_t wait = state_of(&fixture).next_try_ms - fixture.now_ms;
        assert_in_range(wait, waits[i] * 7 / 10, waits[i] * 13 / 10 + 1);
        wait_ms(&fixture, wait - 1);
        run(&fixture);
        assert_int_equal(script_export_pending(), 0);
        wait_ms(&fixture, 1);
    }
    assert_int_equal(state_of(&fixture).failures, 5);
    backend(&fixture, VERDICT_REFUSED);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_takes_requests_that_fail_together_for_one_failure(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.gateway.batch_max_items = 1;
    open_delivery(&fixture);
    for (int i = 0; i < 40; i++)
        add(&fixture, 1, 0);
    for (int i = 0; i < 30; i++) { /* warms up: more at once with each success */
        run(&fixture);
        answer(&fixture, VERDICT_DONE);
    }
    run(&fixture);
    assert_true(script_export_pending() > 8);
    while (script_export_pending() > 0)
        answer(&fixture, VERDICT_AGAIN);
    assert_int_equal(state_of(&fixture).failing, 1);
    delivery_run(fixture.delivery, fixture.now_ms);
    assert_true(state_of(&fixture).next_try_ms <= fixture.now_ms + 1301);
    wait_ms(&fixture, 1301);
    backend(&fixture, VERDICT_REFUSED);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_waits_as_long_as_the_backend_asks_for(void **state)
{
    (void)state;
    struct fixture fixture;
    const struct judgement later = {.verdict = VERDICT_AGAIN, .retry_after_ms = 60000};

    begin(&fixture);
    open_delivery(&fixture);
    add(&fixture, 1, 0);
    delivery_flush(fixture.delivery);
    run(&fixture);
    script_export_answer(0, &later);
    wait_ms(&fixture, 59999);
    run(&fixture);
    assert_int_equal(script_export_pending(), 0);
    wait_ms(&fixture, 1);
    backend(&fixture, VERDICT_REFUSED);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_tries_again_what_could_not_even_be_sent(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    open_delivery(&fixture);
    add(&fixture, 1, 0);
    delivery_flush(fixture.delivery);
    script_export_refuse(ERR_AGAIN);
    delivery_run(fixture.delivery, fixture.now_ms);
    assert_int_equal(state_of(&fixture).failing, 1);
    assert_int_equal(fixture.lost, 0); /* nothing had been taken */
    script_export_refuse(OK);
    wait_ms(&fixture, 2000);
    backend(&fixture, VERDICT_REFUSED);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_says_once_that_a_backend_was_lost_which_had_taken_data(void **state)
{
    (void)state;
    struct fixture fixture;
    const struct judgement gone = {.verdict = VERDICT_AGAIN, .lost_connection = true};

    begin(&fixture);
    fixture.gateway.batch_max_items = 1;
    open_delivery(&fixture);
    for (int i = 0; i < 4; i++)
        add(&fixture, 1, 0);
    run(&fixture);
    assert_int_equal(script_export_pending(), 4);
    script_export_answer(0, &gone);
    assert_int_equal(fixture.lost, 0);
    answer(&fixture, VERDICT_DONE);
    script_export_answer(0, &gone);
    script_export_answer(0, &gone);
    assert_int_equal(fixture.lost, 1);
    wait_ms(&fixture, 20000);
    backend(&fixture, VERDICT_REFUSED);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_buries_what_was_not_taken_within_max_elapsed(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.gateway.retry_max_elapsed_ms = 30000;
    open_delivery(&fixture);
    add(&fixture, 3, 0);
    add(&fixture, 2, 0);
    delivery_flush(fixture.delivery);
    while (fixture.buried_count == 0) {
        assert_true(fixture.now_ms < 1000000 + 30000 + 11000);
        run(&fixture);
        if (script_export_pending() > 0)
            answer(&fixture, VERDICT_AGAIN);
        wait_ms(&fixture, 1000);
    }
    assert_true(fixture.now_ms >= 1000000 + 30000);
    assert_int_equal(fixture.buried_count, 2);
    assert_non_null(strstr(fixture.reasons[0], "retry.maxElapsed"));
    assert_false(fixture.done[0]); /* not before the dead letters have it */
    acknowledge_burials(&fixture);
    assert_true(all_done(&fixture));
    end(&fixture);
}

/* ---- a backend that refuses */

static uint64_t culprit;
static bool is_culprit(uint64_t item)
{
    return item == culprit;
}

/* Wherever it is: it alone is buried, all others are stored once, and it takes few requests. */
static void find_the_culprit(enum verdict verdict)
{
    for (culprit = 0; culprit < 63; culprit += 7) {
        struct fixture fixture;

        begin(&fixture);
        fixture.refuses = is_culprit;
        open_delivery(&fixture);
        for (int i = 0; i < 7; i++)
            add(&fixture, 9, 20);
        delivery_flush(fixture.delivery);
        assert_true(backend(&fixture, verdict) <= 2 * 8 + 1);
        for (uint64_t item = 0; item < 63; item++) {
            assert_int_equal(fixture.fates[item].stored, item != culprit);
            assert_int_equal(fixture.fates[item].buried, item == culprit);
        }
        for (unsigned i = 0; i < 7; i++)
            assert_int_equal(fixture.done[i], i != culprit / 9);
        assert_int_equal(state_of(&fixture).delivered_items, 62);
        assert_string_equal(fixture.reasons[0], "said so");
        acknowledge_burials(&fixture);
        assert_true(all_done(&fixture));
        end(&fixture);
    }
}

static void test_finds_the_one_that_is_refused_and_buries_only_it(void **state)
{
    (void)state;
    find_the_culprit(VERDICT_REFUSED);
}

static void test_finds_the_one_that_is_too_large_and_buries_only_it(void **state)
{
    (void)state;
    find_the_culprit(VERDICT_TOO_LARGE);
}

static bool is_any(uint64_t item)
{
    (void)item;
    return true;
}

/* Requests that wait after so many rounds, in each of which another item comes, and a few more. */
static uint64_t requests_left(struct fixture *fixture, unsigned rounds)
{
    for (unsigned i = 0; i < rounds + 4; i++) {
        if (i < rounds)
            add(fixture, 1, 0);
        delivery_flush(fixture->delivery);
        backend(fixture, VERDICT_AGAIN);
        wait_ms(fixture, 11000);
    }
    return state_of(fixture).waiting;
}

static void begin_with_a_culprit(struct fixture *fixture, bool may_be_data)
{
    begin(fixture);
    culprit = 17;
    fixture->refuses = is_culprit;
    fixture->may_be_data = may_be_data;
    open_delivery(fixture);
    for (int i = 0; i < 7; i++)
        add(fixture, 9, 20);
    delivery_flush(fixture->delivery);
}

/* A 500 that is meant for one item: it alone is tried again, and never given up. */
static void test_what_a_backend_fails_on_is_left_alone_with_its_failure(void **state)
{
    (void)state;
    struct fixture fixture;

    begin_with_a_culprit(&fixture, true);
    assert_int_equal(requests_left(&fixture, 120), 1);
    for (uint64_t item = 0; item < 63; item++)
        assert_int_equal(fixture.fates[item].stored, item != culprit);
    assert_int_equal(fixture.buried_count, 0);
    fixture.refuses = NULL;
    assert_int_equal(requests_left(&fixture, 1), 0);
    assert_int_equal(fixture.fates[culprit].stored, 1);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_what_can_only_mean_later_is_not_cut(void **state)
{
    (void)state;
    struct fixture fixture;

    begin_with_a_culprit(&fixture, false);
    assert_int_equal(requests_left(&fixture, 50), 1);
    assert_int_equal(fixture.fates[culprit + 1].stored, 0);
    end(&fixture);
}

static void test_an_outage_cuts_nothing(void **state)
{
    (void)state;
    struct fixture fixture;

    begin_with_a_culprit(&fixture, true);
    fixture.refuses = is_any;
    assert_int_equal(requests_left(&fixture, 50), 51);
    end(&fixture);
}

static void test_copies_what_was_stored_in_part_and_calls_it_done(void **state)
{
    (void)state;
    struct fixture fixture;
    struct judgement partial = {.verdict = VERDICT_PARTIAL, .rejected = 2, .text = "too old"};

    begin(&fixture);
    open_delivery(&fixture);
    add(&fixture, 5, 0);
    add(&fixture, 5, 0);
    delivery_flush(fixture.delivery);
    run(&fixture);
    script_export_answer(0, &partial);
    assert_int_equal(fixture.buried_count, 2);
    assert_string_equal(fixture.reasons[0], "2 of 10 rejected: too old");
    assert_int_equal(state_of(&fixture).rejected, 2);
    assert_int_equal(state_of(&fixture).delivered_items, 8);
    assert_false(fixture.done[0]);
    acknowledge_burials(&fixture);
    assert_true(all_done(&fixture));

    add(&fixture, 5, 0); /* a backend that can't count */
    delivery_flush(fixture.delivery);
    run(&fixture);
    partial.rejected = 1000;
    script_export_answer(0, &partial);
    assert_int_equal(state_of(&fixture).rejected, 7);
    assert_int_equal(state_of(&fixture).delivered_items, 8);
    acknowledge_burials(&fixture);
    end(&fixture);
}

static bool is_none(uint64_t item)
{
    (void)item;
    return false;
}

/* A route or a backend is wrong, not an item: the dead letters must not become the topic. */
static void test_holds_back_when_far_too_much_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.refuses = is_any;
    open_delivery(&fixture);
    for (int i = 0; i < 200; i++)
        add(&fixture, 1, 0);
    delivery_flush(fixture.delivery);
    backend(&fixture, VERDICT_REFUSED);
    assert_int_equal(fixture.buried_count, DELIVERY_HOLD_MIN);
    assert_true(state_of(&fixture).holding);
    for (int i = 0; i < 10; i++) { /* minutes later still, for nothing else was taken */
        wait_ms(&fixture, DELIVERY_HOLD_MS);
        assert_true(backend(&fixture, VERDICT_REFUSED) > 0);
    }
    assert_int_equal(fixture.buried_count, DELIVERY_HOLD_MIN);
    assert_true(state_of(&fixture).holding);

    fixture.refuses = is_none; /* mended: all of it is stored */
    wait_ms(&fixture, DELIVERY_HOLD_MS);
    backend(&fixture, VERDICT_REFUSED);
    assert_false(state_of(&fixture).holding);
    assert_int_equal(state_of(&fixture).delivered_items, 200 - DELIVERY_HOLD_MIN);
    acknowledge_burials(&fixture);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static bool is_one_in_twenty(uint64_t item)
{
    return item % 20 == 7;
}

static void test_holds_nothing_back_when_a_few_are_refused(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.refuses = is_one_in_twenty;
    open_delivery(&fixture);
    for (int i = 0; i < 200; i++) {
        add(&fixture, 20, 0);
        delivery_flush(fixture.delivery);
        backend(&fixture, VERDICT_REFUSED);
        wait_ms(&fixture, 1);
    }
    assert_false(state_of(&fixture).holding);
    assert_int_equal(fixture.buried_count, 200);
    assert_int_equal(state_of(&fixture).delivered_items, 200 * 19);
    acknowledge_burials(&fixture);
    assert_true(all_done(&fixture));
    end(&fixture);
}

static void test_closes_with_parcels_in_every_state(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture);
    fixture.refuses = is_culprit;
    culprit = 3;
    open_delivery(&fixture);
    add(&fixture, 9, 0);
    delivery_flush(fixture.delivery);
    backend(&fixture, VERDICT_REFUSED); /* one buried */
    add(&fixture, 9, 0);
    delivery_flush(fixture.delivery); /* one ready */
    add(&fixture, 9, 0);              /* one being filled */
    end(&fixture);
    assert_false(fixture.done[0] || fixture.done[1] || fixture.done[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_a_request_up_to_its_bounds),
        cmocka_unit_test(test_fills_a_request_up_to_its_bytes),
        cmocka_unit_test(test_waits_for_company_only_so_long),
        cmocka_unit_test(test_sends_without_waiting_when_flushed),
        cmocka_unit_test(test_tries_again_in_turn_until_it_is_stored),
        cmocka_unit_test(test_asks_a_failing_backend_less_and_less_often),
        cmocka_unit_test(test_takes_requests_that_fail_together_for_one_failure),
        cmocka_unit_test(test_waits_as_long_as_the_backend_asks_for),
        cmocka_unit_test(test_tries_again_what_could_not_even_be_sent),
        cmocka_unit_test(test_says_once_that_a_backend_was_lost_which_had_taken_data),
        cmocka_unit_test(test_buries_what_was_not_taken_within_max_elapsed),
        cmocka_unit_test(test_finds_the_one_that_is_refused_and_buries_only_it),
        cmocka_unit_test(test_finds_the_one_that_is_too_large_and_buries_only_it),
        cmocka_unit_test(test_what_a_backend_fails_on_is_left_alone_with_its_failure),
        cmocka_unit_test(test_what_can_only_mean_later_is_not_cut),
        cmocka_unit_test(test_an_outage_cuts_nothing),
        cmocka_unit_test(test_copies_what_was_stored_in_part_and_calls_it_done),
        cmocka_unit_test(test_holds_back_when_far_too_much_is_refused),
        cmocka_unit_test(test_holds_nothing_back_when_a_few_are_refused),
        cmocka_unit_test(test_closes_with_parcels_in_every_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
