/* spool_tool: looks into a spool's directory without owning it: `spool ls|cat|verify DIR`.
 *
 * Only reads, so it works beside a running owner too; what it then shows of the segment being
 * written may be a moment old. It needs neither the configuration nor the lock.
 *
 *   ls      a line for each file: lane, number, frames, items, sequences, time of the first frame;
 *           for each reader: its cursor; and for each mark: what it says
 *   cat     the data of all frames of a lane (traces, metrics or logs) that count, back to back
 *   verify  reads everything, reports each damage, also of what is gone without a trace but in the
 *           cursor file; ERR_CORRUPT if there is any. A torn tail, which was never acknowledged, is
 *           told and is none
 *
 * Thread: any.
 */
#ifndef SIDECAR_SPOOL_SPOOL_TOOL_H
#define SIDECAR_SPOOL_SPOOL_TOOL_H

#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/spool/spool.h"

#include <stdio.h>

/* Writes what a mark says, as part of a line. False, and nothing written: it is not one that it
 * knows. NULL knows none; such marks are shown as bytes. */
typedef bool spool_tool_describe_fn(const uint8_t key[static SPOOL_MARK_KEY], struct bytes value,
                                    FILE *out);

/* ERR_NOTFOUND: no such directory, or no spool in it. ERR_IO, ERR_NOMEM, and ERR_IO for a failure
 * to write to `out`. */
NODISCARD enum err spool_tool_ls(const char *dir, spool_tool_describe_fn *describe, FILE *out,
                                 struct error *error);
NODISCARD enum err spool_tool_cat(const char *dir, enum signal lane, FILE *out,
                                  struct error *error);
NODISCARD enum err spool_tool_verify(const char *dir, FILE *out, struct error *error);

/* The verb: argv[0] is "ls", "cat" or "verify". Writes to `out`, faults to `log`. Returns the exit
 * code: 0, 1 for damage or a failure, 2 for a wrong command line. */
int spool_tool_main(int argc, char **argv, spool_tool_describe_fn *describe, FILE *out, FILE *log);

#endif
