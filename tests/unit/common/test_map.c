/* A map holds what was set last, however many keys there are. */
#include "tests/support/test.h"

#include "common/map.h"

#include <stdio.h>

static void test_holds_what_was_set_last(void **state)
{
    (void)state;
    struct map map = {0};
    int first = 1, second = 2;

    assert_null(map_get(&map, "a"));
    assert_null(map_remove(&map, "a"));
    assert_null(map_next(&map, NULL));
    assert_null(map_set(&map, "a", &first));
    assert_ptr_equal(map_set(&map, "a", &second), &first);
    assert_ptr_equal(map_get(&map, "a"), &second);
    assert_ptr_equal(map_remove(&map, "a"), &second);
    assert_null(map_get(&map, "a"));
    assert_int_equal(map.count, 0);
    map_fini(&map);
}

static void test_finds_and_walks_thousands_while_growing_and_shrinking(void **state)
{
    (void)state;
    enum { KEYS = 5000 };
    static int values[KEYS];
    struct map map = {0};
    char key[16];

    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        values[i] = i;
        assert_null(map_set(&map, key, &values[i]));
    }
    for (int i = 0; i < KEYS; i += 2) {
        snprintf(key, sizeof key, "key-%d", i);
        assert_ptr_equal(map_remove(&map, key), &values[i]);
    }

    size_t walked = 0;
    for (struct map_entry *e = map_next(&map, NULL), *next; e != NULL; e = next) {
        next = map_next(&map, e);
        int value = *(int *)e->value;
        assert_int_equal(value % 2, 1);
        snprintf(key, sizeof key, "key-%d", value);
        assert_ptr_equal(map_remove(&map, key), &values[value]);
        walked++;
    }
    assert_int_equal(walked, KEYS / 2);
    assert_int_equal(map.count, 0);
    map_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_what_was_set_last),
        cmocka_unit_test(test_finds_and_walks_thousands_while_growing_and_shrinking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
