/* file: whole small files, such as settings, certificates and tokens. What must survive a crash
 * goes through common/os.h. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include "common/buf.h"

/* Appends the contents of the file (or pipe). ERR_NOTFOUND: absent. ERR_FULL: longer than size_max.
 * ERR_INVALID: a directory. ERR_IO. */
NODISCARD enum err file_read(const char *path, size_t size_max, struct buf *into,
                             struct error *error);

/* A number for how the file looks, and those before it, whose number is `stamp` (0: none): another
 * one once the file is another or has been written to. NULL and what is not there have one too. */
uint32_t file_stamp(uint32_t stamp, const char *path);

#endif
