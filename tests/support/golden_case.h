/* golden_case: tests from files. A case is a folder with what goes in and what must come out (see
 * golden.h). Paths are from the repository's root, where tests run.
 */
#ifndef TESTS_SUPPORT_GOLDEN_CASE_H
#define TESTS_SUPPORT_GOLDEN_CASE_H

#include "common/json.h"

/* Calls `check` with the path of each folder in `dir`, in order. Returns how many there were. */
typedef void golden_case_fn(const char *folder);
size_t golden_case_each(const char *dir, golden_case_fn *check);

/* Parses FOLDER/NAME (YAML or JSON, one document); fails the test if it can't. */
struct json *golden_case_read(const char *folder, const char *name);

/* Compares pretty JSON with FOLDER/NAME; fails the test with the first line that differs. */
void golden_case_compare(const char *folder, const char *name, const struct json *got);

#endif
