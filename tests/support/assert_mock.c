/* Stands in for common/assert.c in unit tests: a failed ASSERT ends the test, not the process. */
#include "tests/support/test.h"

#include "common/assert.h"

#include <stdlib.h>

void assert_failed(const char *condition, const char *file, int line)
{
    mock_assert(0, condition, file, line);
    abort(); /* mock_assert() does not return */
}
