#include "tests/support/fault_disk.h"

#include "common/assert.h"
#include "common/os.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FILES = 96, HANDLES = 160, NAMES = 96, NAME_LEN = 96, SECTOR = 4096, FIRST_FD = 1000 };

struct image {
    uint8_t *data;
    uint64_t size;
};

/* A queued write; `data` is NULL for a change of size. */
struct op {
    struct op *next;
    uint64_t order, offset, len;
    uint8_t *data;
};

struct file {
    bool used;
    bool locked;
    struct image seen, platter;
    struct op *ops, **ops_tail;
    uint64_t bad_sector; /* + 1; 0: none */
};

struct name {
    char text[NAME_LEN]; /* "": free */
    int file;
    bool dir;
};

struct disk {
    struct file files[FILES];
    struct name seen[NAMES], platter[NAMES];
    uint64_t order;
};

static struct disk disk, saved;
static int handles[HANDLES]; /* file + 1; 0: closed */
static uint64_t capacity = 64u << 20;
static unsigned calls, changes, fail_at;
static bool fail_lasting;
static enum err fail_code;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- images, queues, names */

static void *grab(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    ASSERT(memory != NULL);
    return memory;
}

static void resize(struct image *image, uint64_t size)
{
    uint8_t *data = grab(size);
    uint64_t keep = size < image->size ? size : image->size;

    memset(data, 0, size);
    if (keep > 0)
        memcpy(data, image->data, keep);
    free(image->data);
    *image = (struct image){data, size};
}

static void put(struct image *image, uint64_t offset, const uint8_t *data, uint64_t len)
{
    if (offset + len > image->size)
        resize(image, offset + len);
    if (len > 0)
        memcpy(image->data + offset, data, len);
}

static struct image copy_image(struct image image)
{
    struct image copy = {0};
    if (image.data != NULL) {
        copy = (struct image){grab(image.size), image.size};
        memcpy(copy.data, image.data, image.size);
    }
    return copy;
}

static void queue(struct file *file, uint64_t offset, const uint8_t *data, uint64_t len)
{
    struct op *op = grab(sizeof *op);

    changes++;
    *op = (struct op){.order = disk.order++, .offset = offset, .len = len};
    if (data != NULL) {
        op->data = grab(len);
        memcpy(op->data, data, len);
    }
    *file->ops_tail = op;
    file->ops_tail = &op->next;
}

static void apply(struct file *file, const struct op *op)
{
    if (op->data == NULL)
        resize(&file->platter, op->len);
    else
        put(&file->platter, op->offset, op->data, op->len);
}

static void drop_ops(struct file *file, bool carry)
{
    changes++;
    while (file->ops != NULL) {
        struct op *op = file->ops;
        if (carry)
            apply(file, op);
        file->ops = op->next;
        free(op->data);
        free(op);
    }
    file->ops_tail = &file->ops;
}

static void wipe(struct disk *which)
{
    for (int i = 0; i < FILES; i++) {
        struct file *file = &which->files[i];
        if (file->ops_tail != NULL)
            drop_ops(file, false);
        free(file->seen.data);
        free(file->platter.data);
    }
    memset(which, 0, sizeof *which);
    for (int i = 0; i < FILES; i++)
        which->files[i].ops_tail = &which->files[i].ops;
}

static void copy_disk(struct disk *into, const struct disk *from)
{
    wipe(into);
    memcpy(into->seen, from->seen, sizeof into->seen);
    memcpy(into->platter, from->platter, sizeof into->platter);
    into->order = from->order;
    for (int i = 0; i < FILES; i++) {
        const struct file *source = &from->files[i];
        struct file *file = &into->files[i];
        file->used = source->used;
        file->bad_sector = source->bad_sector;
        file->seen = copy_image(source->seen);
        file->platter = copy_image(source->platter);
        for (const struct op *op = source->ops; op != NULL; op = op->next) {
            struct op *copy = grab(sizeof *copy);
            *copy = *op;
            copy->next = NULL;
            if (op->data != NULL) {
                copy->data = grab(op->len);
                memcpy(copy->data, op->data, op->len);
            }
            *file->ops_tail = copy;
            file->ops_tail = &copy->next;
        }
    }
}

static struct name *find_name(struct name *names, const char *text)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(names[i].text, text) == 0)
            return &names[i];
    return NULL;
}

static struct name *add_name(struct name *names, const char *text, int file, bool dir)
{
    struct name *name = find_name(names, "");

    changes++;
    ASSERT(name != NULL && strlen(text) < NAME_LEN);
    memcpy(name->text, text, strlen(text) + 1);
    name->file = file;
    name->dir = dir;
    return name;
}

static bool in_dir(const char *text, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(text, dir, len) == 0 && text[len] == '/' && strchr(text + len + 1, '/') == NULL;
}

static struct file *file_of(int fd)
{
    ASSERT(fd >= FIRST_FD && fd < FIRST_FD + HANDLES && handles[fd - FIRST_FD] > 0);
    return &disk.files[handles[fd - FIRST_FD] - 1];
}

static int new_handle(int file)
{
    for (int i = 0; i < HANDLES; i++)
        if (handles[i] == 0) {
            handles[i] = file + 1;
            return FIRST_FD + i;
        }
    ASSERT(false && "fault_disk has a handle left");
    return -1;
}

static bool is_named(int file)
{
    for (int i = 0; i < NAMES; i++)
        if ((disk.seen[i].text[0] != '\0' && !disk.seen[i].dir && disk.seen[i].file == file) ||
            (disk.platter[i].text[0] != '\0' && !disk.platter[i].dir &&
             disk.platter[i].file == file))
            return true;
    return false;
}

static bool is_open(int file)
{
    for (int i = 0; i < HANDLES; i++)
        if (handles[i] == file + 1)
            return true;
    return false;
}

/* Files without a name and a handle are gone. */
static void collect_files(void)
{
    for (int i = 0; i < FILES; i++) {
        struct file *file = &disk.files[i];
        if (!file->used || is_named(i) || is_open(i))
            continue;
        drop_ops(file, false);
        free(file->seen.data);
        free(file->platter.data);
        *file = (struct file){.ops_tail = &file->ops};
    }
}

static int new_file(void)
{
    collect_files();
    for (int i = 0; i < FILES; i++)
        if (!disk.files[i].used) {
            disk.files[i].used = true;
            return i;
        }
    ASSERT(false && "fault_disk has a file left");
    return -1;
}

static uint64_t used_bytes(void)
{
    uint64_t bytes = 0;
    for (int i = 0; i < NAMES; i++)
        if (disk.seen[i].text[0] != '\0' && !disk.seen[i].dir)
            bytes += disk.files[disk.seen[i].file].seen.size;
    return bytes;
}

/* ---- what tests call */

void fault_disk_reset(void)
{
    pthread_mutex_lock(&lock);
    wipe(&disk);
    memset(handles, 0, sizeof handles);
    capacity = 64u << 20;
    calls = changes = fail_at = 0;
    pthread_mutex_unlock(&lock);
}

void fault_disk_fail(unsigned nth, bool lasting, enum err code)
{
    pthread_mutex_lock(&lock);
    fail_at = nth;
    fail_lasting = lasting;
    fail_code = code;
    calls = 0;
    pthread_mutex_unlock(&lock);
}

unsigned fault_disk_calls(void)
{
    pthread_mutex_lock(&lock);
    unsigned result = calls;
    pthread_mutex_unlock(&lock);
    return result;
}

unsigned fault_disk_changes(void)
{
    pthread_mutex_lock(&lock);
    unsigned result = changes;
    pthread_mutex_unlock(&lock);
    return result;
}

void fault_disk_set_capacity(uint64_t bytes)
{
    pthread_mutex_lock(&lock);
    capacity = bytes;
    pthread_mutex_unlock(&lock);
}

/* The queued write after `order`, over all files, or NULL. */
static struct op *next_op(uint64_t from, struct file **ret_file)
{
    struct op *best = NULL;

    for (int i = 0; i < FILES; i++)
        for (struct op *op = disk.files[i].ops; op != NULL; op = op->next)
            if (op->order >= from && (best == NULL || op->order < best->order)) {
                best = op;
                *ret_file = &disk.files[i];
            }
    return best;
}

/* A change of size counts as one byte. */
static size_t weight(const struct op *op)
{
    return op->data == NULL ? 1 : (size_t)op->len;
}

size_t fault_disk_unsynced(void)
{
    struct file *file = NULL;
    size_t bytes = 0;

    for (struct op *op = next_op(0, &file); op != NULL; op = next_op(op->order + 1, &file))
        bytes += weight(op);
    return bytes;
}

size_t fault_disk_next_keep(size_t keep)
{
    struct file *file = NULL;
    size_t before = 0;

    for (struct op *op = next_op(0, &file); op != NULL; op = next_op(op->order + 1, &file)) {
        size_t len = weight(op);
        for (size_t i = keep > before ? keep - before : 0; i < len; i++) {
            uint64_t at = op->offset + i;
            if (op->data == NULL || at >= file->platter.size ||
                op->data[i] != file->platter.data[at])
                return before + i + 1;
        }
        before += len;
    }
    return before + 1;
}

static void crash_bytes(size_t from, size_t to, enum damage damage)
{
    struct file *file = NULL;
    size_t at = 0;

    for (struct op *op = next_op(0, &file); op != NULL; op = next_op(op->order + 1, &file)) {
        size_t len = weight(op);
        size_t first = from > at ? from - at : 0, last = to > at ? to - at : 0;
        if (last > len)
            last = len;
        if (first < last && op->data == NULL)
            resize(&file->platter, op->len);
        if (first < last && op->data != NULL) {
            uint8_t *bytes = grab(last - first);
            memcpy(bytes, op->data + first, last - first);
            for (size_t i = first; damage == DAMAGE_ALL && i < last; i++)
                bytes[i - first] ^= 0x01;
            if (damage == DAMAGE_FIRST_BYTE && at + first == from)
                bytes[0] ^= 0x01;
            if (damage == DAMAGE_LAST_BYTE && at + last == to)
                bytes[last - first - 1] ^= 0x01;
            put(&file->platter, op->offset + first, bytes, last - first);
            free(bytes);
        }
        at += len;
    }
}

void fault_disk_crash(size_t keep, enum damage damage, bool keep_names)
{
    size_t all = fault_disk_unsynced();

    pthread_mutex_lock(&lock);
    if (keep > all)
        keep = all;
    if (damage == DAMAGE_BACKWARDS)
        crash_bytes(all - keep, all, damage);
    else
        crash_bytes(0, keep, damage);
    if (keep_names)
        memcpy(disk.platter, disk.seen, sizeof disk.seen);
    else
        memcpy(disk.seen, disk.platter, sizeof disk.seen);
    for (int i = 0; i < FILES; i++) {
        struct file *file = &disk.files[i];
        drop_ops(file, false);
        free(file->seen.data);
        file->seen = copy_image(file->platter);
        file->locked = false;
    }
    memset(handles, 0, sizeof handles);
    pthread_mutex_unlock(&lock);
}

void fault_disk_save(void)
{
    pthread_mutex_lock(&lock);
    copy_disk(&saved, &disk);
    pthread_mutex_unlock(&lock);
}

void fault_disk_restore(void)
{
    pthread_mutex_lock(&lock);
    copy_disk(&disk, &saved);
    memset(handles, 0, sizeof handles);
    pthread_mutex_unlock(&lock);
}

bool fault_disk_rot(const char *path, uint64_t offset)
{
    pthread_mutex_lock(&lock);
    const struct name *name = find_name(disk.seen, path);
    struct file *file = name != NULL ? &disk.files[name->file] : NULL;
    bool there = file != NULL && offset < file->seen.size && offset < file->platter.size;
    if (there) {
        file->seen.data[offset] ^= 0x01;
        file->platter.data[offset] ^= 0x01;
    }
    pthread_mutex_unlock(&lock);
    return there;
}

void fault_disk_bad_sector(const char *path, uint64_t offset)
{
    pthread_mutex_lock(&lock);
    const struct name *name = find_name(disk.seen, path);
    ASSERT(name != NULL);
    disk.files[name->file].bad_sector = offset / SECTOR + 1;
    pthread_mutex_unlock(&lock);
}

void fault_disk_mend(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FILES; i++)
        disk.files[i].bad_sector = 0;
    pthread_mutex_unlock(&lock);
}

void fault_disk_put(const char *path, const void *data, size_t len)
{
    pthread_mutex_lock(&lock);
    int file = new_file();
    put(&disk.files[file].seen, 0, data, len);
    disk.files[file].platter = copy_image(disk.files[file].seen);
    add_name(disk.seen, path, file, false);
    add_name(disk.platter, path, file, false);
    pthread_mutex_unlock(&lock);
}

bool fault_disk_exists(const char *path)
{
    pthread_mutex_lock(&lock);
    bool there = find_name(disk.seen, path) != NULL;
    pthread_mutex_unlock(&lock);
    return there;
}

unsigned fault_disk_files(void)
{
    unsigned count = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < NAMES; i++)
        count += disk.seen[i].text[0] != '\0' && !disk.seen[i].dir;
    pthread_mutex_unlock(&lock);
    return count;
}

/* ---- what stands in for common/os.c; every call takes the lock and counts */

static bool fails(void)
{
    calls++;
    return fail_at != 0 && (fail_lasting ? calls >= fail_at : calls == fail_at);
}

static enum err injected(struct error *error, const char *what)
{
    return error_set(error, fail_code, "%s: injected", what);
}

static enum err open_locked(const char *path, enum os_mode mode, bool any, int *ret_fd,
                            struct error *error)
{
    if (fails())
        return injected(error, "open");
    const struct name *name = find_name(disk.seen, path);
    if (name == NULL && !any && mode != OS_NEW)
        return error_set(error, ERR_NOTFOUND, "open '%s': no such file", path);
    if (name != NULL && !any && mode == OS_NEW)
        return error_set(error, ERR_CONFLICT, "open '%s': exists", path);
    if (name == NULL)
        name = add_name(disk.seen, path, new_file(), false);
    *ret_fd = new_handle(name->file);
    return OK;
}

enum err os_open(const char *path, int *ret_fd, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = open_locked(path, OS_EXISTING, true, ret_fd, error);
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_open_as(const char *path, enum os_mode mode, int *ret_fd, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = open_locked(path, mode, false, ret_fd, error);
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_write_at(int fd, struct bytes data, uint64_t offset, struct error *error)
{
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    bool failing = fails();
    uint64_t len = failing ? data.len / 2 : data.len; /* a failed write may leave a prefix */
    uint64_t more = offset + len > file->seen.size ? offset + len - file->seen.size : 0;
    enum err err = OK;

    if (more > 0 && used_bytes() + more > capacity) {
        err = error_set(error, ERR_FULL, "write: fault_disk is full");
    } else {
        if (len > 0) {
            put(&file->seen, offset, data.data, len);
            queue(file, offset, data.data, len);
        }
        if (failing) {
            changes++; /* it is not what a whole write leaves */
            err = injected(error, "write");
        }
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_read_at(int fd, void *into, size_t cap, uint64_t offset, size_t *ret_len,
                    struct error *error)
{
    pthread_mutex_lock(&lock);
    const struct file *file = file_of(fd);
    enum err err = fails() ? injected(error, "read") : OK;
    uint64_t have = offset < file->seen.size ? file->seen.size - offset : 0;
    size_t len = have < cap ? (size_t)have : cap;
    uint64_t bad = (file->bad_sector - 1) * SECTOR;

    if (!err && file->bad_sector != 0 && offset < bad + SECTOR && bad < offset + len)
        err = error_set(error, ERR_IO, "read: bad sector");
    if (!err) {
        if (len > 0)
            memcpy(into, file->seen.data + offset, len);
        *ret_len = len;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

static enum err set_size(int fd, uint64_t size, bool shrink, struct error *error)
{
    pthread_mutex_lock(&lock);
    struct file *file = file_of(fd);
    enum err err = fails() ? injected(error, "size") : OK;
    uint64_t more = size > file->seen.size ? size - file->seen.size : 0;

    if (!err && more > 0 && used_bytes() + more > capacity)
        err = error_set(error, ERR_FULL, "allocate: fault_disk is full");
    if (!err && (more > 0 || (shrink && size < file->seen.size))) {
        resize(&file->seen, size);
        queue(file, 0, NULL, size);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_allocate(int fd, uint64_t size, struct error *error)
{
    return set_size(fd, size, false, error);
}

enum err os_truncate(int fd, uint64_t size, struct error *error)
{
    return set_size(fd, size, true, error);
}

enum err os_size(int fd, uint64_t *ret_size, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "stat") : OK;
    if (!err)
        *ret_size = file_of(fd)->seen.size;
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_sync(int fd, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "sync") : OK;
    drop_ops(file_of(fd), err == OK);
    changes += err != OK; /* not the same as having carried them over */
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_sync_dir(const char *path, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "sync directory") : OK;
    if (!err) {
        for (int i = 0; i < NAMES; i++)
            if (in_dir(disk.platter[i].text, path))
                disk.platter[i].text[0] = '\0';
        for (int i = 0; i < NAMES; i++)
            if (in_dir(disk.seen[i].text, path))
                add_name(disk.platter, disk.seen[i].text, disk.seen[i].file, disk.seen[i].dir);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_rename(const char *from, const char *to, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "rename") : OK;
    struct name *source = find_name(disk.seen, from), *target = find_name(disk.seen, to);

    if (!err && source == NULL)
        err = error_set(error, ERR_NOTFOUND, "rename '%s': no such file", from);
    if (!err) {
        if (target != NULL)
            target->text[0] = '\0';
        int file = source->file;
        source->text[0] = '\0';
        add_name(disk.seen, to, file, false);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_remove(const char *path, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "remove") : OK;
    struct name *name = find_name(disk.seen, path);

    if (!err && name == NULL)
        err = error_set(error, ERR_NOTFOUND, "remove '%s': no such file", path);
    if (!err) {
        changes++;
        name->text[0] = '\0';
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_make_dir(const char *path, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "make directory") : OK;
    if (!err && find_name(disk.seen, path) == NULL) {
        /* Its parent is not ours to sync: the directory itself is durable at once. */
        add_name(disk.seen, path, 0, true);
        add_name(disk.platter, path, 0, true);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_list(const char *path, os_visit_fn *visit, void *context, struct error *error)
{
    char(*names)[NAME_LEN] = grab(sizeof *names * NAMES);
    int count = 0;

    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "list") : OK;
    for (int i = 0; i < NAMES; i++)
        if (in_dir(disk.seen[i].text, path))
            memcpy(names[count++], disk.seen[i].text, NAME_LEN);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < count && !err; i++)
        err = visit(context, names[i] + strlen(path) + 1, error);
    free(names);
    return err;
}

enum err os_space(const char *path, uint64_t *ret_free, uint64_t *ret_total, struct error *error)
{
    (void)path;
    pthread_mutex_lock(&lock);
    enum err err = fails() ? injected(error, "statvfs") : OK;
    if (!err) {
        uint64_t used = used_bytes();
        *ret_free = used < capacity ? capacity - used : 0;
        *ret_total = capacity;
    }
    pthread_mutex_unlock(&lock);
    return err;
}

enum err os_lock(const char *path, int *ret_fd, struct error *error)
{
    pthread_mutex_lock(&lock);
    enum err err = open_locked(path, OS_EXISTING, true, ret_fd, error);
    if (!err && file_of(*ret_fd)->locked)
        err = error_set(error, ERR_CONFLICT, "'%s' is locked", path);
    else if (!err)
        file_of(*ret_fd)->locked = true;
    pthread_mutex_unlock(&lock);
    return err;
}

/* Closing a lock's only handle unlocks it. */
void os_close(int *fd)
{
    if (*fd < 0)
        return;

    pthread_mutex_lock(&lock);
    int *handle = &handles[*fd - FIRST_FD];
    if (*handle > 0) { /* a crash has closed it already */
        int file = *handle;
        *handle = 0;
        if (!is_open(file - 1))
            disk.files[file - 1].locked = false;
    }
    *fd = -1;
    pthread_mutex_unlock(&lock);
}
