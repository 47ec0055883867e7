/* lock: one process owns a spool's directory. DIR/lock is locked as long as the descriptor is open,
 * so the kernel drops the lock with the process, and holds a line of text that says who it is. */
#ifndef SIDECAR_SPOOL_LOCK_H
#define SIDECAR_SPOOL_LOCK_H

#include "common/error.h"

/* ERR_CONFLICT: owned by another process, which the error names. */
NODISCARD enum err lock_take(const char *dir, int *ret_fd, struct error *error);

#endif
