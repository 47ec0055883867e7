/* golden: files under tests/golden, read whole. Tests run from the top of the tree. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "common/buf.h"

/* Reads `path` into `out`, which is emptied first; false if it can't be read. */
bool golden_read(const char *path, struct buf *out);

#endif
