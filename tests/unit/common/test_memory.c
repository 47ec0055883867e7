/* Promise: what has been freed goes back to the kernel, and the process goes on all the same. */
#include "common/memory.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if UNDER_ASAN || UNDER_TSAN
#define OWN_MALLOC 1 /* a sanitizer's, which keeps what it likes */
#endif

enum { BLOCKS = 4096, BLOCK = 8192, MIB = 1 << 20 };

static size_t resident(void)
{
    size_t size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &size, &pages), 2);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void test_gives_back_what_was_freed(void **state)
{
    static uint8_t *blocks[BLOCKS];
    struct memory_keeper keeper = {0};
    (void)state;

    memory_setup();
    memory_keep(&keeper, 1000);
    size_t before = resident();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, BLOCK);
    }
    for (size_t i = 0; i < BLOCKS - 1; i++) /* the last one holds the top of the heap */
        free(blocks[i]);
    memory_keep(&keeper, 1001); /* too early to look again */
#ifndef OWN_MALLOC
    assert_true(resident() > before + 20 * MIB);
    memory_keep(&keeper, 60000);
    assert_true(resident() < before + 4 * MIB);
#endif
    assert_int_equal(blocks[BLOCKS - 1][BLOCK - 1], 1);
    free(blocks[BLOCKS - 1]);
    assert_true(before > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gives_back_what_was_freed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
