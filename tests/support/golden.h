/* golden: files under tests/golden, read whole. Tests run from the top of the tree. With
 * SURGETANK_GOLDEN=write in the environment what came out takes a file's place instead of being
 * compared, to be read in the diff before it is committed. */
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

#include "common/buf.h"

/* Reads `path` into `out`, which is emptied first; false if it can't be read. */
bool golden_read(const char *path, struct buf *out);

/* Writes the file if the environment says so; false: it doesn't, compare. */
bool golden_write(const char *path, const char *text);

#endif
