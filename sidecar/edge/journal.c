/* Live entries are kept in memory too: few, what is in flight and what has been delivered since the
 * spool last saved its cursors. The file is only ever read at start. */
#include "sidecar/edge/journal.h"

#include "common/array.h"
#include "common/crc32c.h"
#include "common/endian.h"
#include "common/os.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECORD = 48, WHOLE_AT = 32, CRC_AT = 44, VERSION = 2, BOOT_ID_LEN = 36, NIBBLES = 32 };
enum {
    AT_ONCE = 256, /* entries in one write */
    MORE_SHIFT = 8,
    MORE_MAX = (1 << 24) - 1,
    FILE_MAX = 2 * JOURNAL_LIVE_MAX + JOURNAL_SLACK, /* entries, see is_long() */
};

static const uint8_t magic[4] = {'S', 'T', 'J', '1'};
static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";

struct journal {
    char *path;
    int fd;
    bool whole;
    bool lacks;      /* an entry that there was no memory for: never whole again */
    bool torn;       /* the file lacks an entry: write it anew */
    bool knows_boot; /* without a boot id nothing can be relied on later */
    uint8_t header[RECORD];
    uint64_t written; /* entries in the file */
    struct journal_entry *live;
    size_t len, cap;
    size_t unwritten;                                     /* of these, at the end */
    uint64_t lowest[SIGNAL_COUNT], highest[SIGNAL_COUNT]; /* sequences that were ever noted */
};

static void seal(uint8_t record[RECORD])
{
    put_le32(record + CRC_AT, crc32c(0, (struct bytes){record, CRC_AT}));
}

static bool is_sound(const uint8_t record[RECORD])
{
    return get_le32(record + CRC_AT) == crc32c(0, (struct bytes){record, CRC_AT});
}

static void encode(const struct journal_entry *entry, uint8_t record[RECORD])
{
    memset(record, 0, RECORD);
    put_le64(record, entry->seq);
    put_le64(record + 8, entry->first_try_ms);
    put_le64(record + 16, entry->cut_bytes);
    put_le32(record + 24, (uint32_t)entry->partition);
    put_le32(record + 28, entry->part);
    put_le32(record + 32, entry->parts);
    put_le32(record + 36, (uint32_t)entry->lane | entry->more << MORE_SHIFT);
    put_le32(record + 40, entry->plan);
    seal(record);
}

static bool decode(const uint8_t record[RECORD], struct journal_entry *ret_entry)
{
    *ret_entry = (struct journal_entry){.seq = get_le64(record),
                                        .first_try_ms = get_le64(record + 8),
                                        .cut_bytes = get_le64(record + 16),
                                        .partition = (int32_t)get_le32(record + 24),
                                        .part = get_le32(record + 28),
                                        .parts = get_le32(record + 32),
                                        .more = get_le32(record + 36) >> MORE_SHIFT,
                                        .lane = (enum signal)record[36],
                                        .plan = get_le32(record + 40)};
    return is_sound(record) && record[36] < SIGNAL_COUNT && ret_entry->partition > INT32_MIN &&
           ret_entry->part < ret_entry->parts &&
           ret_entry->more < ret_entry->parts - ret_entry->part;
}

/* Reads the boot id, so that a journal of before a restart of the machine is told apart. */
static bool read_boot_id(uint8_t id[NIBBLES / 2])
{
    char text[BOOT_ID_LEN + 2] = "";
    size_t nibbles = 0;
    FILE *file = fopen(boot_id_path, "re");

    if (file == NULL)
        return false;
    if (fgets(text, sizeof text, file) == NULL)
        text[0] = '\0';
    fclose(file);
    for (const char *at = text; *at != '\0' && nibbles < NIBBLES; at++) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, *at);
        if (digit == NULL)
            continue;
        id[nibbles / 2] = (uint8_t)(id[nibbles / 2] << 4 | (digit - digits));
        nibbles++;
    }
    return nibbles == NIBBLES;
}

static void make_header(struct journal *journal, uint64_t incarnation)
{
    uint8_t *header = journal->header;

    memcpy(header, magic, sizeof magic);
    put_le32(header + 4, VERSION);
    journal->knows_boot = read_boot_id(header + 8);
    put_le64(header + 24, incarnation);
}

static void seal_header(struct journal *journal)
{
    put_le32(journal->header + WHOLE_AT, journal->whole && journal->knows_boot);
    seal(journal->header);
}

static enum err remember(struct journal *journal, const struct journal_entry *entry, size_t max,
                         struct error *error)
{
    if (journal->len >= max)
        return error_set(error, ERR_FULL,
                         "journal: %zu entries since the spool could last save its cursors", max);
    struct journal_entry *live =
        array_grow(journal->live, journal->len, &journal->cap, sizeof *live);
    if (live == NULL)
        return error_set(error, ERR_NOMEM, "journal of %zu entries", journal->len + 1);
    journal->live = live;
    journal->live[journal->len++] = *entry;
    if (entry->seq < journal->lowest[entry->lane])
        journal->lowest[entry->lane] = entry->seq;
    if (entry->seq > journal->highest[entry->lane])
        journal->highest[entry->lane] = entry->seq;
    return OK;
}

/* Takes over what an earlier run left, also what is done of it: who reads the spool forgets that.
 * False: nothing that can be relied on. */
static enum err load(struct journal *journal, bool *ret_whole, struct error *error)
{
    uint8_t record[RECORD];
    size_t got = 0;

    *ret_whole = false;
    enum err err = os_read_at(journal->fd, record, RECORD, 0, &got, error);
    if (err || got < RECORD || !is_sound(record) || memcmp(record, journal->header, WHOLE_AT) != 0)
        return err;
    bool was_whole = get_le32(record + WHOLE_AT) == 1;
    for (uint64_t i = 0;; i++) {
        struct journal_entry entry;
        err = os_read_at(journal->fd, record, RECORD, (i + 1) * RECORD, &got, error);
        if (err || got == 0) {
            *ret_whole = !err && was_whole;
            return err;
        }
        if (got < RECORD || !decode(record, &entry) || i == FILE_MAX)
            return OK;
        err = remember(journal, &entry, FILE_MAX, error);
        if (err)
            return err;
    }
}

/* Writes the live entries from number `from` on behind the first `place` entries of the file. */
static enum err write_live(const struct journal *journal, size_t from, int fd, uint64_t place,
                           struct error *error)
{
    uint8_t records[AT_ONCE * RECORD];

    for (size_t i = from, n; i < journal->len; i += n, place += n) {
        for (n = 0; n < AT_ONCE && i + n < journal->len; n++)
            encode(&journal->live[i + n], records + n * RECORD);
        enum err err =
            os_write_at(fd, (struct bytes){records, n * RECORD}, (place + 1) * RECORD, error);
        if (err)
            return err;
    }
    return OK;
}

/* Writes the live entries to a new file and puts it in place of the old one. */
static enum err rewrite(struct journal *journal, struct error *error)
{
    char temporary[4096];
    int fd = -1;

    int len = snprintf(temporary, sizeof temporary, "%s.new", journal->path);
    if (len < 0 || (size_t)len >= sizeof temporary)
        return error_set(error, ERR_INVALID, "journal path is too long");
    seal_header(journal);
    enum err err = os_open(temporary, &fd, error);
    if (!err)
        err = os_truncate(fd, 0, error);
    if (!err)
        err = os_write_at(fd, (struct bytes){journal->header, RECORD}, 0, error);
    if (!err)
        err = write_live(journal, 0, fd, 0, error);
    if (!err)
        err = os_rename(temporary, journal->path, error);
    if (err) {
        os_close(&fd);
        return err;
    }
    os_close(&journal->fd);
    journal->fd = fd;
    journal->written = journal->len;
    journal->unwritten = 0;
    journal->torn = false;
    return OK;
}

enum err journal_open(const char *path, uint64_t incarnation, struct journal **ret_journal,
                      struct error *error)
{
    AUTO(journal_close) struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return error_set(error, ERR_NOMEM, "open journal '%s'", path);
    journal->fd = -1;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        journal->lowest[i] = UINT64_MAX;
    journal->path = strdup(path);
    if (journal->path == NULL)
        return error_set(error, ERR_NOMEM, "open journal '%s'", path);

    make_header(journal, incarnation);
    enum err err = os_open(path, &journal->fd, error);
    if (!err)
        err = load(journal, &journal->whole, error);
    if (!err)
        err = rewrite(journal, error);
    if (err)
        return error_prefix(error, err, "open journal '%s'", path);
    MOVE(*ret_journal, journal);
    return OK;
}

void journal_close(struct journal **journal)
{
    if (*journal == NULL)
        return;
    os_close(&(*journal)->fd);
    free((*journal)->path);
    free((*journal)->live);
    free(*journal);
    *journal = NULL;
}

bool journal_is_whole(const struct journal *journal)
{
    return journal->whole;
}

enum err journal_vouch(struct journal *journal, struct error *error)
{
    journal->whole = !journal->lacks;
    return rewrite(journal, error);
}

/* Without its header the file says by itself that it can't be relied on. */
static void tear(struct journal *journal)
{
    journal->torn = true;
    IGNORE_RESULT(os_truncate(journal->fd, 0, NULL));
}

/* Whether the latest entry, if it is not written yet, can tell of the next part as well. */
static bool goes_on(const struct journal *journal, const struct journal_entry *entry)
{
    if (journal->unwritten == 0)
        return false;
    const struct journal_entry *last = &journal->live[journal->len - 1];
    return last->seq == entry->seq && last->lane == entry->lane && last->plan == entry->plan &&
           last->cut_bytes == entry->cut_bytes && last->parts == entry->parts &&
           last->partition == entry->partition && last->first_try_ms == entry->first_try_ms &&
           entry->part == last->part + last->more + 1 && entry->more == 0 && last->more < MORE_MAX;
}

enum err journal_note(struct journal *journal, const struct journal_entry *entry,
                      struct error *error)
{
    if (goes_on(journal, entry)) {
        journal->live[journal->len - 1].more++;
        return OK;
    }
    enum err err = remember(journal, entry, JOURNAL_LIVE_MAX, error);
    if (!err) {
        journal->unwritten++;
        return OK;
    }
    if (!journal->lacks)
        journal->torn = true; /* once: written anew, it says by itself that it is not whole */
    journal->lacks = true;
    journal->whole = false;
    return err;
}

static bool is_long(const struct journal *journal)
{
    return journal->written + journal->unwritten > 2 * journal->len + JOURNAL_SLACK;
}

enum err journal_write(struct journal *journal, struct error *error)
{
    enum err err = OK;

    if (journal->unwritten == 0 && !journal->torn)
        return OK;
    if (journal->torn || is_long(journal)) {
        err = rewrite(journal, error);
    } else {
        err = write_live(journal, journal->len - journal->unwritten, journal->fd, journal->written,
                         error);
        if (!err)
            journal->written += journal->unwritten;
    }
    journal->unwritten = 0; /* if that failed, it is written with all else when the file is */
    if (err)
        tear(journal);
    return err;
}

bool journal_find(const struct journal *journal, enum signal lane, uint64_t seq, uint32_t part,
                  struct journal_entry *ret_entry)
{
    /* Asked for after a start only, and mostly of frames that are newer than what is noted. */
    if (seq < journal->lowest[lane] || seq > journal->highest[lane])
        return false;
    for (size_t i = journal->len; i-- > 0;) {
        const struct journal_entry *entry = &journal->live[i];
        bool tells = part >= entry->part && part - entry->part <= entry->more;
        if (entry->seq == seq && entry->lane == lane && (tells || part == JOURNAL_ANY_PART)) {
            *ret_entry = *entry;
            return true;
        }
    }
    return false;
}

void journal_forget(struct journal *journal, enum signal lane, uint64_t from, uint64_t to)
{
    size_t kept = 0, written = journal->len - journal->unwritten;

    journal->unwritten = 0;
    for (size_t i = 0; i < journal->len; i++) {
        const struct journal_entry *entry = &journal->live[i];
        if (entry->lane == lane && entry->seq >= from && entry->seq < to)
            continue;
        journal->unwritten += i >= written;
        journal->live[kept++] = *entry;
    }
    journal->len = kept;
}
