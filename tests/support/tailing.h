/* tailing: files that a tail follows into a real spool, and what arrived there, by identity.
 *
 * Lines are numbered: "n=17 xxxx". Everything lies in a directory of its own below /tmp.
 */
#ifndef TESTS_SUPPORT_TAILING_H
#define TESTS_SUPPORT_TAILING_H

#include "sidecar/tail/tail.h"

#define TAILING_NUMBERS 2000000

struct tailing {
    char dir[64];  /* of all of it */
    char logs[80]; /* of the files; made */
    char glob[96]; /* logs, *.log */
    const char *paths[1];
    struct tail_source source;
    size_t open_max;
    const char *spool_dir;               /* NULL: beside the logs */
    uint64_t spool_bytes, segment_bytes; /* 0: the spool's default */
    struct spool *spool;
    struct tail *tail;

    uint8_t *seen;    /* how often each number arrived */
    uint64_t records; /* that arrived, numbered or not */
    uint64_t others;  /* not numbered */
    char last_other[256];
    char last_resource[2048]; /* of the last record's: key=value lines */
};

/* A source for raw files that is read from the beginning. */
void tailing_begin(struct tailing *tailing);
void tailing_end(struct tailing *tailing);

/* A start of the process, and its orderly end. */
void tailing_open(struct tailing *tailing);
void tailing_close(struct tailing *tailing);

/* Takes turns until that many records were read since the start, for as long as any come. */
void tailing_run(struct tailing *tailing, uint64_t records);

/* The same until each of the numbers below `count` is in the spool. */
void tailing_run_until_stored(struct tailing *tailing, uint64_t count);

/* Takes turns for so long, and at least a few. */
void tailing_run_ms(struct tailing *tailing, unsigned ms);

/* Records that were read since the start; what else the only source tells. */
struct tail_source_state tailing_state(struct tailing *tailing);

/* Appends lines with the numbers first .. first + count - 1, made if absent, in one write. */
void tailing_write(const char *path, uint64_t first, uint64_t count, size_t padding);
void tailing_append(const char *path, const char *text);

/* "LOGS/name", in one of a few buffers that take turns. */
const char *tailing_path(const struct tailing *tailing, const char *name);

/* Reads the whole spool, which must be open, and fails unless each of the numbers below `count`
 * arrived exactly once and nothing else did. */
void tailing_check(struct tailing *tailing, uint64_t count);

/* The same without judging: fills `seen`. And one request for it. */
void tailing_collect(struct tailing *tailing);
void tailing_take(struct tailing *tailing, struct bytes request);

#endif
