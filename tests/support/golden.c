#include "tests/support/golden.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool golden_write(const char *path, const char *text)
{
    const char *mode = getenv("SURGETANK_GOLDEN");

    if (mode == NULL || strcmp(mode, "write") != 0)
        return false;
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        fail_msg("can't write %s", path);
    return true;
}
