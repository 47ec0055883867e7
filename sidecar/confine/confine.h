/* confine: the process gives up what it does not need, for good.
 *
 *   no new privileges   a program that it could run would gain none
 *   Landlock            files: below the paths it is given, and what name resolution, TLS and
 *                       metrics read. What is open stays open
 *   system calls        an allow-list. An unknown one fails with ENOSYS, so that a newer library
 *                       falls back as on an older kernel, and is in the kernel's audit log; one
 *                       that only an intruder would make (execve, ptrace, mount, ...) ends the
 *                       process with SIGSYS. Threads can be made, processes can't
 *
 * Landlock binds the calling thread and those it makes later, so this comes before the first
 * thread: with the document read and the spool's directory made, and nothing open. What is opened
 * later (segments, a new Kafka client, a certificate that changed, the next ..data of a ConfigMap)
 * must lie below the paths or be in the lists here.
 *
 * A kernel without Landlock or seccomp is no reason not to run: the state says what is missing.
 * Builds under AddressSanitizer and ThreadSanitizer are not confined, for their runtimes do what
 * the lists do not allow; the state says that too.
 *
 * Thread: the only one there is.
 */
#ifndef SIDECAR_CONFINE_CONFINE_H
#define SIDECAR_CONFINE_CONFINE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

enum confine_right {
    CONFINE_READ,  /* of what is there now or later below the directory, or of the file */
    CONFINE_WRITE, /* also make, write, rename and remove files and directories below it */
};

struct confine_path {
    const char *path; /* to be read: may be absent or NULL, and is left out then */
    enum confine_right right;
};

struct confine_state {
    bool no_new_privileges;
    int landlock;        /* the kernel's ABI version; 0: none */
    bool system_calls;   /* the allow-list holds */
    const char *without; /* why one of them is missing, a literal; "" if none is */
};

/* ERR_IO: a path to be written could not be opened, or one to be read for want of memory or
 * descriptors, or the kernel refused what it knows. The process is to end then: part of the
 * confinement may hold. */
NODISCARD enum err confine_process(const struct confine_path *paths, size_t len,
                                   struct confine_state *ret_state, struct error *error);

/* What to allow so that `file` can be read however others replace it by renaming (an editor, a
 * resolver, kubelet's ..data): its directory as written; or the file alone, where it is mounted by
 * itself, for then nobody can. `into` holds the answer; NULL: there is no such file. A link that
 * leads elsewhere is another place. */
#define CONFINE_PATH_MAX 4096
const char *confine_place_of(const char *file, char into[CONFINE_PATH_MAX]);

/* ---- the two halves; see confine_process() */

/* *ret_abi 0: the kernel has no Landlock, and nothing happened. */
NODISCARD enum err confine_files(const struct confine_path *paths, size_t len, int *ret_abi,
                                 struct error *error);

/* *ret_held false: the kernel has no filters, and nothing happened. */
NODISCARD enum err confine_calls(bool *ret_held, struct error *error);

#endif
