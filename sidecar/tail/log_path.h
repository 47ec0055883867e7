/* log_path: which names a rotation leaves behind, kubelet's, Docker's and logrotate's:
 *
 *   0.log.20260205-101500  0.log.20260205-101500.gz  app.log.1  app.log-20260205.gz  app.log.old
 *
 * Pure.
 */
#ifndef SIDECAR_TAIL_LOG_PATH_H
#define SIDECAR_TAIL_LOG_PATH_H

#include <stddef.h>

/* The length of the name from which a rotation made `name` ("0.log" of "0.log.20260205-101500");
 * 0: none did. Neither has directories. */
size_t log_path_base(const char *name);

#endif
