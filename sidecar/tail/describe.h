/* describe: what the tail has stored beside the lines, for people: `spool ls`.
 *
 *   file 12 read to 4096 of 8192 bytes, device 2049, inode 77, at 2026-02-05T10:00:00Z: /a.log
 *   input 0123456789abcdef scanned first at 2026-02-05T10:00:00Z
 *
 * Pure, but that it writes. Thread: any.
 */
#ifndef SIDECAR_TAIL_DESCRIBE_H
#define SIDECAR_TAIL_DESCRIBE_H

#include "sidecar/spool/spool.h"

#include <stdio.h>

/* A spool_tool_describe_fn. */
bool tail_describe_mark(const uint8_t key[static SPOOL_MARK_KEY], struct bytes value, FILE *out);

#endif
