/* duration: "1h30m", "500ms", as Go and Kubernetes write them. Units: h, m, s, ms; parts may have a
 * fraction ("1.5h"). Never negative. Exact in milliseconds, or refused.
 */
#ifndef COMMON_CONTRACT_DURATION_H
#define COMMON_CONTRACT_DURATION_H

#include "common/attr.h"
#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define DURATION_TEXT_MAX 48 /* with the NUL */

/* ERR_INVALID with what is wrong, to go behind a path: "is no duration". */
NODISCARD enum err duration_parse(const char *text, int64_t *ret_ms, struct error *error);

/* The shortest form: 86400000 -> "24h", 0 -> "0s". */
void duration_print(int64_t ms, char into[static DURATION_TEXT_MAX]);

#endif
