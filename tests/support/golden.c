#include "tests/support/golden.h"

#include <stdio.h>

bool golden_read(const char *path, struct buf *out)
{
    uint8_t block[4096];
    size_t got;

    buf_clear(out);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        if (buf_append(out, (struct bytes){block, got}) != OK)
            break;
    }
    bool whole = feof(file) && !ferror(file);
    fclose(file);
    return whole;
}
