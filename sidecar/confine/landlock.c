/* Landlock grows with the kernel: each ABI version handles more. We handle all that the kernel
 * knows and allow what the table says, so a newer kernel refuses more and never less. The constants
 * of newer versions are written out, for libc's headers are older than the kernels we run on. */
#include "sidecar/confine/confine.h"

#include "common/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_TRUNCATE  (UINT64_C(1) << 14) /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */

#define FS_READ       (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE_FILE (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define FS_WRITE                                                                 \
    (FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER)
#define FS_OF_A_FILE (LANDLOCK_ACCESS_FS_READ_FILE | FS_WRITE_FILE) /* not of a directory */

static uint64_t known_to(int abi)
{
    uint64_t known = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; /* ABI 1: up to this one */

    if (abi >= 2)
        known |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        known |= FS_TRUNCATE;
    if (abi >= 5)
        known |= FS_IOCTL_DEV;
    return known;
}

static enum err allow(int ruleset, const struct confine_path *path, uint64_t known,
                      struct error *error)
{
    AUTO(os_close) int fd = open(path->path, O_PATH | O_CLOEXEC);
    uint64_t rights = path->right == CONFINE_WRITE ? FS_READ | FS_WRITE : FS_READ;
    struct stat status;

    if (fd < 0 && path->right == CONFINE_READ && !error_is_shortage(errno))
        return OK; /* what isn't there can't be read */
    if (fd < 0 || fstat(fd, &status) != 0)
        return error_set_errno(error, ERR_IO, "open '%s'", path->path);
    if (!S_ISDIR(status.st_mode))
        rights &= FS_OF_A_FILE;
    const struct landlock_path_beneath_attr rule = {.allowed_access = rights & known,
                                                    .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        return error_set_errno(error, ERR_IO, "allow '%s'", path->path);
    return OK;
}

enum err confine_files(const struct confine_path *paths, size_t len, int *ret_abi,
                       struct error *error)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) {
        *ret_abi = 0;
        return OK;
    }
    const struct landlock_ruleset_attr attr = {.handled_access_fs = known_to((int)abi)};
    AUTO(os_close) int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return error_set_errno(error, ERR_IO, "make a Landlock ruleset");
    for (size_t i = 0; i < len; i++) {
        enum err err =
            paths[i].path == NULL ? OK : allow(ruleset, &paths[i], attr.handled_access_fs, error);
        if (err)
            return err;
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        return error_set_errno(error, ERR_IO, "hold to the Landlock ruleset");
    *ret_abi = (int)abi;
    return OK;
}
