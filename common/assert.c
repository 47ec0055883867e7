#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "level=fatal msg=\"Broken invariant\" condition=\"%s\" at=%s:%d\n", condition,
            file, line);
    abort();
}
