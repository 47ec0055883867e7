/* What every process of ours reads, whatever its document says: name resolution (the resolver looks
 * at its files again whenever they change), certificate authorities, libraries that glibc and
 * OpenSSL load on demand, its own figures. */
#include "sidecar/confine/confine.h"

#include "common/assert.h"
#include "common/sanitizer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { PATHS_MAX = 512 };

/* Files that are replaced by renaming are read from their directory, where a link leads. */
static const char *const replaced[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"};

static const char *const read_by_all[] = {
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/proc",
    "/sys/devices/system/cpu",
    "/dev/null",
    "/dev/urandom",
    "/var/run/secrets/kubernetes.io/serviceaccount",
};

/* Where OpenSSL and curl are told to look by the environment. */
static const char *const named_by_environment[] = {"SSL_CERT_FILE", "SSL_CERT_DIR",
                                                   "CURL_CA_BUNDLE", "OPENSSL_CONF"};

const char *confine_place_of(const char *file, char into[CONFINE_PATH_MAX])
{
    struct stat self, place;
    int len = snprintf(into, CONFINE_PATH_MAX, "%s%s", strchr(file, '/') == NULL ? "./" : "", file);

    if (len >= CONFINE_PATH_MAX || stat(into, &self) != 0)
        return NULL;
    char *slash = strrchr(into, '/');
    if (slash == into)
        return into; /* in the root, which is not given away */
    *slash = '\0';
    if (stat(into, &place) != 0 || place.st_dev != self.st_dev)
        *slash = '/';
    return into;
}

static void add(struct confine_path *list, size_t *len, const char *path, enum confine_right right)
{
    ASSERT(*len < PATHS_MAX);
    list[(*len)++] = (struct confine_path){path, right};
}

static enum err confine_to(const struct confine_path *paths, size_t len, int *ret_abi,
                           struct error *error)
{
    enum { REPLACED = sizeof replaced / sizeof replaced[0] };
    char places[REPLACED][CONFINE_PATH_MAX];
    struct confine_path all[PATHS_MAX];
    char real[PATH_MAX];
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        add(all, &n, paths[i].path, paths[i].right);
    for (size_t i = 0; i < REPLACED; i++)
        if (realpath(replaced[i], real) != NULL)
            add(all, &n, confine_place_of(real, places[i]), CONFINE_READ);
    for (size_t i = 0; i < sizeof read_by_all / sizeof read_by_all[0]; i++)
        add(all, &n, read_by_all[i], CONFINE_READ);
    for (size_t i = 0; i < sizeof named_by_environment / sizeof named_by_environment[0]; i++)
        add(all, &n, getenv(named_by_environment[i]), CONFINE_READ);
    return confine_files(all, n, ret_abi, error);
}

enum err confine_process(const struct confine_path *paths, size_t len,
                         struct confine_state *ret_state, struct error *error)
{
    struct confine_state state = {.without = ""};

    if (UNDER_ASAN || UNDER_TSAN) {
        state.without = "this build is for a sanitizer, which needs more than the lists allow";
        *ret_state = state;
        return OK;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return error_set_errno(error, ERR_IO, "set no_new_privs");
    state.no_new_privileges = true;
    enum err err = confine_to(paths, len, &state.landlock, error);
    if (!err)
        err = confine_calls(&state.system_calls, error);
    if (err)
        return error_prefix(error, err, "confine the process");
    if (state.landlock == 0 && !state.system_calls)
        state.without = "this kernel has neither Landlock nor seccomp filters";
    else if (state.landlock == 0)
        state.without = "this kernel has no Landlock, or it is turned off";
    else if (!state.system_calls)
        state.without = "this kernel has no seccomp filters";
    *ret_state = state;
    return OK;
}
