/* url: URLs put together without hand-made escaping.
 *
 *   url_start(&buf, "https://10.96.0.1:443/");
 *   url_segment(&buf, "api"); url_segment(&buf, name);      /api/NAME, NAME percent-encoded
 *   url_query(&buf, "limit", "500");                         ?limit=500, then &...
 *   buf_text(&buf)
 */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include "common/buf.h"

/* Empties `url` and puts `base` in it as it is, without slashes at its end. */
NODISCARD enum err url_start(struct buf *url, const char *base);

/* Appends "/" and the segment; whatever is not unreserved (RFC 3986) is percent-encoded. */
NODISCARD enum err url_segment(struct buf *url, const char *segment);

/* Appends a query parameter, both parts encoded. No segment may follow. */
NODISCARD enum err url_query(struct buf *url, const char *name, const char *value);

#endif
