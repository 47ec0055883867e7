/* rfc3339: instants as text, in UTC. */
#ifndef COMMON_RFC3339_H
#define COMMON_RFC3339_H

#include <stdbool.h>
#include <stdint.h>

#define RFC3339_SIZE 40

/* "2026-11-21T10:20:30Z"; returns `into`. Kubernetes' Time. */
const char *rfc3339_seconds(uint64_t wall_ns, char into[RFC3339_SIZE]);

/* "2026-11-21T10:20:30.123456Z". Kubernetes' MicroTime. */
const char *rfc3339_micros(uint64_t wall_ns, char into[RFC3339_SIZE]);

/* "2026-11-21T10:20:30.123456789Z". */
const char *rfc3339_nanos(uint64_t wall_ns, char into[RFC3339_SIZE]);

/* Reads all of these, with any fraction and with an offset such as +02:00. False: not such a text,
 * or before 1970. */
bool rfc3339_parse(const char *text, uint64_t *ret_wall_ns);

#endif
