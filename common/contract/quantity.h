/* quantity: sizes as Kubernetes writes them: "10Gi", "1.5G", "1e3", "4096". Never negative. Exact
 * in whole bytes, or refused.
 */
#ifndef COMMON_CONTRACT_QUANTITY_H
#define COMMON_CONTRACT_QUANTITY_H

#include "common/attr.h"
#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define QUANTITY_TEXT_MAX 24 /* with the NUL */

/* ERR_INVALID with what is wrong, to go behind a path: "is no size". */
NODISCARD enum err quantity_parse(const char *text, int64_t *ret_bytes, struct error *error);

/* The largest binary suffix that is exact: 10737418240 -> "10Gi", 1000 -> "1000". */
void quantity_print(int64_t bytes, char into[static QUANTITY_TEXT_MAX]);

#endif
