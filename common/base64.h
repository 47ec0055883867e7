/* base64, the standard alphabet (RFC 4648), with padding. */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include "common/buf.h"

NODISCARD enum err base64_encode(struct bytes data, struct buf *into);

/* Appends what `text` stands for; line ends and spaces are skipped, padding may be missing.
 * ERR_INVALID: anything else is in it. */
NODISCARD enum err base64_decode(const char *text, struct buf *into);

#endif
