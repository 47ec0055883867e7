#include "sidecar/spool/cursor.h"

#include "common/crc32c.h"
#include "common/endian.h"
#include "common/os.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SLOT = 4096,
    CRC_AT = SLOT - 4,
    MAGIC_LEN = 8,
    VERSION_AT = 6, /* in the magic */
    LANES_AT = 32,
    LANE_LEN = 32,
    READERS_AT = LANES_AT + SIGNAL_COUNT * LANE_LEN,
    READER_LEN = 96,
    READERS_ALL = SIGNAL_COUNT * SPOOL_READERS_MAX,
    AHEAD_AT = READERS_AT + READERS_ALL * READER_LEN,
    AHEAD_LEN = 48,
    NUMBERS_AT = AHEAD_AT + READERS_ALL * AHEAD_LEN,
    GIVEN_AT = NUMBERS_AT + 8,
    NAME_LEN = SPOOL_READER_NAME_MAX + 1,
    PATH_CAP = 4096,
};

_Static_assert(GIVEN_AT + SIGNAL_COUNT * 8 <= CRC_AT, "a slot holds all readers");

static const char magic[] = "SRGCUR01";

struct cursor_file {
    char *dir;
    int fd;          /* -1: none that can be trusted */
    uint64_t serial; /* of the newest slot */
    bool inherited;  /* an earlier run's, whose last save may not have come to the disk */
};

static void encode_reader(const struct cursor_reader *reader, enum signal lane, uint8_t *at)
{
    memcpy(at, reader->name, NAME_LEN);
    put_le64(at + 32, reader->seq);
    put_le64(at + 40, reader->items);
    put_le64(at + 48, reader->start_items);
    put_le64(at + 56, reader->damaged);
    put_le64(at + 64, reader->dropped);
    at[72] = (uint8_t)lane;
}

static void encode_ahead(const struct cursor_reader *reader, uint8_t *at)
{
    put_le64(at, reader->ahead_from.seq);
    put_le64(at + 8, reader->ahead_from.items);
    put_le64(at + 16, reader->ahead_to.seq);
    put_le64(at + 24, reader->ahead_to.items);
    put_le64(at + 32, reader->ahead_to.damaged);
}

static void encode(const struct cursor_state *state, uint64_t serial, uint8_t slot[static SLOT])
{
    size_t count = 0;

    memset(slot, 0, SLOT);
    memcpy(slot, magic, MAGIC_LEN);
    put_le64(slot + 8, serial);
    put_le64(slot + 16, state->incarnation);
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        const struct cursor_lane *from = &state->lanes[lane];
        uint8_t *at = slot + LANES_AT + (size_t)lane * LANE_LEN;
        put_le64(at, from->begin);
        put_le64(at + 8, from->synced);
        put_le64(at + 16, from->items);
        put_le64(at + 24, from->dropped);
        put_le64(slot + GIVEN_AT + (size_t)lane * 8, from->given);
        for (int i = 0; i < SPOOL_READERS_MAX; i++) {
            if (from->readers[i].name[0] == '\0')
                continue;
            encode_reader(&from->readers[i], lane, slot + READERS_AT + count * READER_LEN);
            encode_ahead(&from->readers[i], slot + AHEAD_AT + count * AHEAD_LEN);
            count++;
        }
    }
    put_le32(slot + 24, (uint32_t)count);
    put_le64(slot + NUMBERS_AT, state->numbers);
    put_le32(slot + CRC_AT, crc32c(0, (struct bytes){slot, CRC_AT}));
}

static void decode_reader(const uint8_t *at, const uint8_t *ahead, struct cursor_state *state)
{
    if (at[72] >= SIGNAL_COUNT)
        return;
    struct cursor_reader *readers = state->lanes[at[72]].readers;
    int free_at = 0;
    while (free_at < SPOOL_READERS_MAX && readers[free_at].name[0] != '\0')
        free_at++;
    if (free_at == SPOOL_READERS_MAX)
        return;

    struct cursor_reader *reader = &readers[free_at];
    memcpy(reader->name, at, NAME_LEN);
    reader->name[NAME_LEN - 1] = '\0';
    reader->seq = get_le64(at + 32);
    reader->items = get_le64(at + 40);
    reader->start_items = get_le64(at + 48);
    reader->damaged = get_le64(at + 56);
    reader->dropped = get_le64(at + 64);
    reader->ahead_from =
        (struct spool_position){.seq = get_le64(ahead), .items = get_le64(ahead + 8)};
    reader->ahead_to = (struct spool_position){.seq = get_le64(ahead + 16),
                                               .items = get_le64(ahead + 24),
                                               .damaged = get_le64(ahead + 32)};
}

static void decode(const uint8_t slot[static SLOT], struct cursor_state *ret_state)
{
    *ret_state = (struct cursor_state){.incarnation = get_le64(slot + 16),
                                       .numbers = get_le64(slot + NUMBERS_AT)};
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        const uint8_t *at = slot + LANES_AT + (size_t)lane * LANE_LEN;
        struct cursor_lane *into = &ret_state->lanes[lane];
        into->begin = get_le64(at);
        into->synced = get_le64(at + 8);
        into->items = get_le64(at + 16);
        into->dropped = get_le64(at + 24);
        into->given = get_le64(slot + GIVEN_AT + (size_t)lane * 8);
    }
    uint32_t count = get_le32(slot + 24);
    for (size_t i = 0; i < count && i < READERS_ALL; i++)
        decode_reader(slot + READERS_AT + i * READER_LEN, slot + AHEAD_AT + i * AHEAD_LEN,
                      ret_state);
}

static bool is_sound(const uint8_t slot[static SLOT])
{
    return memcmp(slot, magic, VERSION_AT) == 0 &&
           get_le32(slot + CRC_AT) == crc32c(0, (struct bytes){slot, CRC_AT});
}

static enum err load(int fd, struct cursor_state *ret_state, uint64_t *ret_serial, bool *ret_found,
                     struct error *error)
{
    bool found = false;

    for (unsigned i = 0; i < 2; i++) {
        uint8_t slot[SLOT];
        size_t got = 0;
        if (os_read_at(fd, slot, SLOT, (uint64_t)i * SLOT, &got, NULL) != OK || got < SLOT ||
            !is_sound(slot))
            continue;
        if (memcmp(slot, magic, MAGIC_LEN) != 0)
            return error_set(error, ERR_INVALID,
                             "the spool was written by a newer version (cursors of format '%.8s'); "
                             "use that version to drain it",
                             (const char *)slot);
        uint64_t serial = get_le64(slot + 8);
        if (found && serial < *ret_serial)
            continue;
        decode(slot, ret_state);
        *ret_serial = serial;
        found = true;
    }
    *ret_found = found;
    return OK;
}

static bool file_path(const char *dir, const char *name, char path[static PATH_CAP])
{
    int len = snprintf(path, PATH_CAP, "%s/%s", dir, name);
    return len > 0 && len < PATH_CAP;
}

enum err cursor_peek(const char *dir, struct cursor_state *ret_state, bool *ret_found,
                     struct error *error)
{
    char path[PATH_CAP];
    AUTO(os_close) int fd = -1;
    uint64_t serial = 0;

    *ret_state = (struct cursor_state){0};
    *ret_found = false;
    if (!file_path(dir, "cursors", path) || os_open_as(path, OS_READ, &fd, NULL) != OK)
        return OK;
    return load(fd, ret_state, &serial, ret_found, error);
}

static enum err write_slot(const struct cursor_file *file, const uint8_t slot[static SLOT],
                           struct error *error)
{
    enum err err =
        os_write_at(file->fd, (struct bytes){slot, SLOT}, file->serial % 2 * SLOT, error);
    return err ? err : os_sync(file->fd, error);
}

enum err cursor_open(const char *dir, struct cursor_file **ret_file, struct cursor_state *ret_state,
                     bool *ret_found, struct error *error)
{
    char path[PATH_CAP];

    *ret_state = (struct cursor_state){0};
    *ret_found = false;
    AUTO(cursor_close) struct cursor_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return error_set(error, ERR_NOMEM, "open cursors");
    file->fd = -1;
    file->dir = strdup(dir);
    if (file->dir == NULL)
        return error_set(error, ERR_NOMEM, "open cursors");
    if (!file_path(dir, "cursors.new", path) || !file_path(dir, "cursors", path))
        return error_set(error, ERR_INVALID, "the path '%s' is too long", dir);

    if (os_open_as(path, OS_EXISTING, &file->fd, NULL) == OK) {
        enum err err = load(file->fd, ret_state, &file->serial, ret_found, error);
        if (err)
            return error_prefix(error, err, "'%s'", path);
        if (!*ret_found)
            os_close(&file->fd);
        file->inherited = *ret_found;
    }
    MOVE(*ret_file, file);
    return OK;
}

void cursor_close(struct cursor_file **file)
{
    if (*file == NULL)
        return;

    os_close(&(*file)->fd);
    free((*file)->dir);
    free(*file);
    *file = NULL;
}

/* A new file beside the old one. */
static enum err make_fresh(const struct cursor_file *file, const uint8_t slot[static SLOT],
                           const char *path, int *ret_fd, struct error *error)
{
    static const uint8_t blank[2 * SLOT];
    AUTO(os_close) int fd = -1;

    enum err err = os_remove(path, error);
    if (err && err != ERR_NOTFOUND)
        return err;
    err = os_open_as(path, OS_NEW, &fd, error);
    if (!err)
        err = os_write_at(fd, (struct bytes){blank, sizeof blank}, 0, error);
    if (!err)
        err = os_write_at(fd, (struct bytes){slot, SLOT}, file->serial % 2 * SLOT, error);
    if (!err)
        err = os_sync(fd, error);
    if (err)
        return err;
    *ret_fd = fd;
    fd = -1;
    return OK;
}

/* A new file in place of the old one. Where there is no room for it, the one that an earlier run
 * left must do. */
static enum err replace(struct cursor_file *file, const uint8_t slot[static SLOT],
                        struct error *error)
{
    char path[PATH_CAP], fresh[PATH_CAP];
    AUTO(os_close) int fd = -1;

    if (!file_path(file->dir, "cursors", path) || !file_path(file->dir, "cursors.new", fresh))
        return error_set(error, ERR_INVALID, "the path '%s' is too long", file->dir);
    enum err err = make_fresh(file, slot, fresh, &fd, error);
    if (err == ERR_FULL && file->fd >= 0 && write_slot(file, slot, error) == OK)
        return OK;
    os_close(&file->fd);
    if (!err)
        err = os_rename(fresh, path, error);
    if (!err)
        err = os_sync_dir(file->dir, error);
    if (err)
        return err;
    file->fd = fd;
    file->inherited = false;
    fd = -1;
    return OK;
}

enum err cursor_save(struct cursor_file *file, const struct cursor_state *state,
                     struct error *error)
{
    uint8_t slot[SLOT];

    file->serial++;
    encode(state, file->serial, slot);
    if (file->fd >= 0 && !file->inherited) {
        if (write_slot(file, slot, error) == OK)
            return OK;
        os_close(&file->fd);
    }
    enum err err = replace(file, slot, error);
    return err ? error_prefix(error, err, "save cursors in '%s'", file->dir) : OK;
}
