/* Any file, read as one of CRI's.
 *
 *   input := chunk size - 1 (1)  records between two breaks - 1 (1)  file
 */
#include "tests/fuzz/lines_follow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct bytes file = {data + 2, size - 2};
    follow_check(LINES_CRI, NULL, file, (size_t)data[0] + 1, (size_t)data[1] + 1);
    return 0;
}
