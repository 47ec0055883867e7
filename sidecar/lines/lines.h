/* lines: the bytes of one followed file, as log records.
 *
 *   chunk --> physical lines --> content --> whole lines --> groups --> records
 *             (end in \n)        (format)    (partial ones   (multiline)
 *                                             joined, long
 *                                             ones cut)
 *
 *   format        physical line                                        partial
 *   LINES_RAW     content                                              never
 *   LINES_JSON    content, with its time and severity read             never
 *   LINES_CRI     TIME stdout|stderr TAG[:TAG...] content              first tag is P
 *   LINES_DOCKER  {"log":"content\n","stream":"stdout","time":TIME}    log does not end in \n
 *
 * Parts are joined and lines are grouped for each stream by itself, as streams interleave. The time
 * of a record is that of its first line. One \r before the end is left out.
 *
 * What it promises
 *   - Every byte of content is in one record, in order of its stream. A line longer than
 *     `line_max` becomes several, which are numbered; a line that isn't in the format is a record
 *     as it stands; an empty line is an empty record.
 *   - The records are the same however the file is cut into chunks.
 *   - With the mark taken after record n, a new assembler fed from mark.resume gives record n + 1
 *     next and all that follow, except that a group may be cut where the first one had waited long
 *     enough for more. Nothing is left out and nothing comes twice.
 *   - Memory is below 3 * line_max for each stream, plus 132 KiB; it is only held while needed.
 *
 * Use: feed a chunk; show the next record, put it somewhere, take it, until there is none; store
 * the mark with what was put. Where there is no room, stop: the same record is shown again later.
 *
 * No clock and no I/O. Thread: one at a time.
 */
#ifndef SIDECAR_LINES_LINES_H
#define SIDECAR_LINES_LINES_H

#include "common/attr.h"
#include "common/error.h"
#include "sidecar/lines/mark.h"

#define LINES_LINE_MIN (1u << 10)  /* line_max is at least this */
#define LINES_LINE_MAX (16u << 20) /* and at most this */

#define LINES_GROUP_LINES_MAX 4096 /* lines of a group; the next one begins a new group */

#define LINES_GROUP_WAIT_MS 1000  /* a group that gets no line for this long is complete */
#define LINES_PART_WAIT_MS  10000 /* a partial line that gets no more for this long is cut */

struct lines;
struct multiline;

enum lines_format { LINES_RAW, LINES_JSON, LINES_CRI, LINES_DOCKER };

/* Of all files that share it. Only ever counted up. */
struct lines_counts {
    uint64_t lines;    /* read to their end, parts joined */
    uint64_t empty;    /* of those, without content: they are records all the same */
    uint64_t invalid;  /* lines that were not in the format, and were kept as they stood */
    uint64_t cut;      /* lines in several records, because of their length or of waiting */
    uint64_t too_long; /* of those, because of their length */
    uint64_t joined;   /* lines that had come in parts */
    uint64_t grouped;  /* records of several lines */
    uint64_t passed;   /* lines read again that had been emitted */
};

struct lines_options {
    enum lines_format format;
    size_t line_max;             /* bytes of a record's body */
    struct multiline *multiline; /* a loan for life; NULL: none */
    struct lines_counts *counts; /* a loan for life */
};

/* One record; `body` is valid until it is taken. */
struct line {
    struct bytes body; /* as in the file, perhaps no UTF-8; the lines of a group with \n between */
    uint64_t time_ns;  /* wall; 0: the line does not tell */
    uint64_t start, end; /* of its physical lines in the file; they may hold other streams' too */
    uint64_t part;       /* 1, 2, ... for the records of one line that was cut; else 0 */
    enum lines_stream stream;
    unsigned severity; /* OTLP's number; 0: not told */
    bool invalid;
};

/* Begins at `mark` (NULL: at offset 0, with nothing emitted). ERR_NOMEM. */
NODISCARD enum err lines_create(const struct lines_options *options, const struct lines_mark *mark,
                                struct lines **ret_lines, struct error *error);
void lines_destroy(struct lines **lines);

/* The offset of the byte that the next chunk begins with. */
uint64_t lines_wants(const struct lines *lines);

/* Lends the bytes at offset lines_wants(), until lines_next() has said ERR_AGAIN. The chunk before
 * must have been used up. `now_ms` (monotonic) is when it was read. */
void lines_feed(struct lines *lines, struct bytes chunk, uint64_t now_ms);

/* Nothing will follow what was fed: lines_next() gives what is left, the last line without \n, the
 * partial lines and groups. (A line that goes on in the next file of a rotation becomes two.)
 * Nothing can be fed any more. */
void lines_finish(struct lines *lines);

/* Shows the next record, the same one until it is taken. ERR_AGAIN: there is none; feed more.
 * ERR_NOMEM: ask again later. */
NODISCARD enum err lines_next(struct lines *lines, struct line *ret_line);

/* The record that was shown is in good hands: it is part of the mark from now on. */
void lines_take(struct lines *lines);

/* When lines_expire() would give something, if no more is fed (monotonic); UINT64_MAX: never. */
uint64_t lines_deadline_ms(const struct lines *lines);

/* Completes what has waited for too long: lines_next() gives it. To be called when the end of the
 * file has been reached and lines_next() has said ERR_AGAIN. */
void lines_expire(struct lines *lines, uint64_t now_ms);

/* Covers all records taken so far, none that was not. */
void lines_mark(const struct lines *lines, struct lines_mark *ret_mark);

/* Nothing is held back: everything fed has been taken, so mark.resume is lines_wants(). */
bool lines_is_idle(const struct lines *lines);

#endif
