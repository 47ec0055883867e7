/* content: what one physical line of a log file says: the content, and what the format adds to it.
 *
 * Readers of three formats; each takes a line without its \n and says false if it is none of its
 * kind. Views are of the line, or, where escapes were undone, of `scratch`.
 *
 * Pure, but for `scratch`; any thread.
 */
#ifndef SIDECAR_LINES_CONTENT_H
#define SIDECAR_LINES_CONTENT_H

#include "common/attr.h"
#include "common/buf.h"
#include "sidecar/lines/mark.h"

struct content {
    struct bytes text;
    uint64_t time_ns; /* wall; 0: not told */
    enum lines_stream stream;
    unsigned severity; /* OTLP's number; 0: not told */
    bool partial;      /* the next line of the stream goes on */
};

/* TIME stdout|stderr TAG[:TAG...] text. The blank before an empty text may be missing. */
bool content_of_cri(struct bytes line, struct content *ret_content);

/* {"log":TEXT,"stream":"stdout","time":TIME}, members in any order, others passed over.
 * ERR_INVALID: it is none. ERR_NOMEM. */
NODISCARD enum err content_of_docker(struct bytes line, struct buf *scratch,
                                     struct content *ret_content);

/* Any JSON object. Its text is the line as it stands; time and severity come from members named as
 * loggers name them: time, timestamp, @timestamp, ts; level, severity, lvl. */
bool content_of_json(struct bytes line, struct content *ret_content);

/* RFC 3339 with any fraction, and Z or an offset; moves `*at` past it. 1970 to 2261. */
bool content_time(const uint8_t **at, const uint8_t *end, uint64_t *ret_ns);

#endif
