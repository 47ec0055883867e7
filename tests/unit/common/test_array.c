/* Promise: an array grows without losing what is in it, and one that can't grow stays as it is. */
// link: tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "common/array.h"
#include "tests/support/fault_alloc.h"

#include <stdint.h>
#include <stdlib.h>

static void test_keeps_what_is_in_it_while_it_grows(void **state)
{
    size_t count = 0, cap = 0;
    uint32_t *list = NULL;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t *grown = array_grow(list, count, &cap, sizeof *list);
        assert_non_null(grown);
        list = grown;
        assert_true(cap > count);
        list[count++] = i;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(list[i], i);
    free(list);
}

static void test_stays_as_it_is_without_memory(void **state)
{
    size_t cap = 0;

    (void)state;
    uint32_t *list = array_grow(NULL, 0, &cap, sizeof *list);
    assert_non_null(list);
    size_t full = cap;
    list[0] = 7;
    fault_alloc_fail_at(1);
    assert_null(array_grow(list, full, &cap, sizeof *list));
    assert_true(fault_alloc_has_failed());
    assert_int_equal(cap, full);
    assert_int_equal(list[0], 7);
    list = array_grow(list, full, &cap, sizeof *list);
    assert_non_null(list);
    assert_true(cap > full);
    free(list);
}

static void test_refuses_a_size_that_overflows(void **state)
{
    size_t cap = SIZE_MAX / 8, most = SIZE_MAX;
    char byte = 0;

    (void)state;
    assert_null(array_grow(&byte, cap, &cap, 16));
    assert_int_equal(cap, SIZE_MAX / 8);
    assert_null(array_grow(&byte, most, &most, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_what_is_in_it_while_it_grows),
        cmocka_unit_test(test_stays_as_it_is_without_memory),
        cmocka_unit_test(test_refuses_a_size_that_overflows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
