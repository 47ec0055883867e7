/* field: how a JSON object and a C struct correspond. One table for each object drives reading,
 * defaults, limits, the check for unknown names, and writing, so that they can't disagree and every
 * error sounds the same.
 *
 *   struct shape: { "topics[]", fields... }      struct field: name, kind, where in the struct,
 *                                                default as text, limits, syntax, nested shape
 *
 * A field without a default that is left out holds its `none`: NULL, 0 entries, or for numbers the
 * value that the table says (FIELD_UNSET where only a later step can know).
 *
 * Private to contract/ and its tests.
 */
#ifndef COMMON_CONTRACT_FIELD_H
#define COMMON_CONTRACT_FIELD_H

#include "common/contract/pipeline.h"

#define FIELD_UNSET      INT64_MIN
#define FIELD_WORD_UNSET (-1)

enum field_kind {
    FIELD_BOOL,     /* bool */
    FIELD_INT,      /* int64_t */
    FIELD_DURATION, /* int64_t, milliseconds: "1h30m" */
    FIELD_SIZE,     /* int64_t, bytes: "10Gi" or a number */
    FIELD_PERCENT,  /* int64_t: "15%" */
    FIELD_RATIO,    /* double, 0 to 1: 0.25 */
    FIELD_AMOUNT,   /* struct pipeline_amount: 2 or "50%" */
    FIELD_WORD,     /* an enum, the index in `words` */
    FIELD_STRING,   /* const char * */
    FIELD_STRINGS,  /* struct pipeline_strings */
    FIELD_MAP,      /* struct pipeline_map, values are strings */
    FIELD_RAW,      /* const struct json *, of the kind in `raw` */
    FIELD_SECRET,   /* struct pipeline_secret; `fallback` is the default of its key */
    FIELD_OBJECT,   /* fields of `shape`, relative to `offset` (0: they lie in the same struct) */
    FIELD_POINTER,  /* pointer to a struct of `shape`; NULL when left out */
    FIELD_LIST,     /* pointer to an array of structs of `shape`, its length at `count_offset` */
};

/* ERR_INVALID with what is wrong in `error`, to go behind the path. */
typedef enum err field_syntax(const char *text, struct error *error);

struct shape;

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    bool optional; /* OBJECT: its defaults count only where it is given */
    size_t offset, count_offset;
    const char *fallback;     /* default, as one would write it */
    int64_t min, max;         /* of the number; of entries; STRING: max is its length (0: 253) */
    size_t value_max;         /* MAP: length of each value; STRINGS: of each (0: 253) */
    int64_t none;             /* numbers: left out */
    const char *const *words; /* WORD: ends with NULL */
    enum json_kind raw;
    field_syntax *syntax; /* STRING, each of STRINGS, each key of MAP */
    const char *advice;   /* what to do where syntax refuses */
    const struct shape *shape;
};

struct shape {
    const char *name;
    size_t size; /* of the struct; 0 where the fields lie in that of the parent */
    const struct field *fields;
    size_t count;
    bool open; /* unknown names are none of our business */
};

enum field_verdict {
    FIELD_BUILT,   /* goes by its table */
    FIELD_TRIVIAL, /* not built, but the value asks for nothing */
    FIELD_REFUSED, /* not built: a fault was noted */
};

/* Asked about every member before it is read. `pattern` is the path with [] for every index. */
typedef enum field_verdict field_judge(struct faults *faults, const char *pattern, const char *path,
                                       const struct json *value);

struct field_reader {
    struct arena *arena;
    struct faults *faults;
    field_judge *judge;
    bool quiet; /* inside of a faulty object: what it lacks is no news */
    bool out_of_memory;
};

/* Reads `object` (NULL: everything is left out) into `target`, which is zeroed. Faults are noted.
 */
void field_read(struct field_reader *reader, const struct shape *shape, const struct json *object,
                const char *path, void *target);

/* Writes what isn't `none` or empty; nothing changes in `source`. */
void field_write(const struct shape *shape, const void *source, struct json *into);

/* Calls `visit` for each secret in the struct and in what it holds. */
void field_secrets(const struct shape *shape, const void *source, pipeline_visit_secret *visit,
                   void *context);

/* ---- sentences */

#define FIELD_ADVICE_MAX 320

/* What such a value looks like: "Write a duration, as in 500ms, 30s, 1h30m or 168h". */
const char *field_example(const struct field *field);

/* The table's own sentence, or the example. */
const char *field_advice(const struct field *field);

/* "Write a, b or c". */
void field_words_advice(const struct field *field, char into[static FIELD_ADVICE_MAX]);

/* Notes that `name` isn't in the shape, with the nearest one that is. */
void field_unknown(struct faults *faults, const struct shape *shape, const char *name,
                   const char *path);

#endif
