/* Secrets as Kubernetes mounts them: one file for each key. */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include "common/arena.h"
#include "common/attr.h"
#include "common/error.h"

#define SECRET_MAX (64u << 10) /* bytes */

/* The file as text from the arena, without the line ends behind it. ERR_NOTFOUND, ERR_IO; ERR_FULL:
 * above SECRET_MAX; ERR_INVALID: it holds a NUL. The text is never part of an error. */
NODISCARD enum err secret_read(const char *path, struct arena *arena, const char **ret_text,
                               struct error *error);

#endif
