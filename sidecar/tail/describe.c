#include "sidecar/tail/describe.h"

#include "common/endian.h"
#include "sidecar/tail/tail_internal.h"

#include <inttypes.h>
#include <time.h>

static void put_time(uint64_t seconds, FILE *out)
{
    char text[32];
    time_t time = (time_t)seconds;
    struct tm utc;

    if (gmtime_r(&time, &utc) != NULL && strftime(text, sizeof text, "%FT%TZ", &utc) > 0)
        fputs(text, out);
}

/* Somebody chose the name, and it is for a terminal. */
static void put_path(struct bytes path, FILE *out)
{
    for (size_t i = 0; i < path.len; i++) {
        uint8_t c = path.data[i];
        if (c < ' ' || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
}

static void put_position(uint64_t number, const struct position *position, struct bytes path,
                         FILE *out)
{
    fprintf(out, "file %" PRIu64 " read to %" PRIu64, number, position->mark.resume);
    if (position->compressed)
        fputs(position->done ? ", its end (compressed)" : " (compressed)", out);
    else
        fprintf(out, " of %" PRIu64 " bytes", position->size);
    fprintf(out, ", device %" PRIu64 ", inode %" PRIu64 ", at ", position->dev, position->ino);
    put_time(position->seen_ms / 1000, out);
    fputs(": ", out);
    put_path(path, out);
}

bool tail_describe_mark(const uint8_t key[static SPOOL_MARK_KEY], struct bytes value, FILE *out)
{
    struct position position;
    struct bytes path;
    uint64_t number;

    if (tail_key_read(key, 'f', &number) && position_decode(value, &position, &path) == OK) {
        put_position(number, &position, path, out);
        return true;
    }
    if (!tail_key_read(key, 's', &number) || value.len != 8)
        return false;
    fprintf(out, "input %016" PRIx64 " scanned first at ", number);
    put_time(get_le64(value.data) / 1000000000u, out);
    return true;
}
