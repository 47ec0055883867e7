/* Any file in any format, with all rules and a pattern.
 *
 *   input := format, modulo 4; +4: no pattern (1)  chunk size - 1 (1)
 *            records between two breaks - 1 (1)  file
 */
#include "tests/fuzz/lines_follow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const starts[] = {"^\\d\\d|^start"};
    AUTO(multiline_destroy) struct multiline *multiline = NULL;

    if (size < 3)
        return 0;
    if (multiline_create(MULTILINE_JAVA | MULTILINE_PYTHON | MULTILINE_GO, starts,
                         data[0] & 4 ? 0 : 1, &multiline, NULL))
        abort();
    struct bytes file = {data + 3, size - 3};
    follow_check((enum lines_format)(data[0] & 3), multiline, file, (size_t)data[1] + 1,
                 (size_t)data[2] + 1);
    return 0;
}
