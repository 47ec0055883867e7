#include "common/kube/exec_credential.h"

#include "common/clock.h"
#include "common/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* NULL-ended list of owned strings. */
struct strings {
    char **items;
    size_t count;
};

static void strings_add(struct strings *strings, const char *text)
{
    strings->items = xrealloc(strings->items, strings->count + 2, sizeof *strings->items);
    strings->items[strings->count++] = xstrdup(text);
    strings->items[strings->count] = NULL;
}

static void strings_fini(struct strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
}

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool is_version(const char *text)
{
    return strcmp(text, "client.authentication.k8s.io/v1") == 0 ||
           strcmp(text, "client.authentication.k8s.io/v1beta1") == 0;
}

static void add_variable(struct strings *variables, const char *name, const char *value)
{
    AUTO(buf_fini) struct buf text = {0};
    if (!buf_printf(&text, "%s=%s", name, value) && buf_text(&text) != NULL)
        strings_add(variables, buf_text(&text));
}

/* Ours first, the plugin's own later: what getenv() finds is decided by removing ours. */
static void make_environment(const struct json *exec, const char *version,
                             struct strings *variables)
{
    AUTO(buf_fini) struct buf info = {0};
    AUTO(json_free) struct json *document = json_new_object();

    json_set_string(document, "apiVersion", version);
    json_set_string(document, "kind", "ExecCredential");
    json_set_bool(json_set_object(document, "spec"), "interactive", false);

    for (char **at = environ; *at != NULL; at++) {
        size_t len = strcspn(*at, "=");
        bool replaced = strncmp(*at, "KUBERNETES_EXEC_INFO=", 21) == 0;
        JSON_EACH(variable, json_get(exec, "env")) {
            const char *name = json_string(json_get(variable, "name"), "");
            replaced = replaced || (strlen(name) == len && memcmp(name, *at, len) == 0);
        }
        if (!replaced)
            strings_add(variables, *at);
    }
    JSON_EACH(variable, json_get(exec, "env"))
        add_variable(variables, json_string(json_get(variable, "name"), ""),
                     json_string(json_get(variable, "value"), ""));
    if (!json_print(document, &info) && buf_text(&info) != NULL)
        add_variable(variables, "KUBERNETES_EXEC_INFO", buf_text(&info));
}

static void make_arguments(const struct json *exec, const char *dir, struct strings *arguments)
{
    AUTO(buf_fini) struct buf path = {0};
    const char *command = json_string(json_get(exec, "command"), "");

    /* A bare name is looked up in PATH, an absolute path is itself. */
    bool relative = command[0] != '/' && strchr(command, '/') != NULL;
    if (relative && !buf_printf(&path, "%s%s", dir, command) && buf_text(&path) != NULL)
        command = buf_text(&path);
    strings_add(arguments, command);
    JSON_EACH(argument, json_get(exec, "args"))
        strings_add(arguments, json_string(argument, ""));
}

static enum err spawn(const struct strings *arguments, const struct strings *variables,
                      pid_t *ret_pid, int *ret_out, struct error *error)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set_errno(error, ERR_IO, "pipe");
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawnattr_init(&attributes); /* our threads block all signals; its shouldn't */
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

    int failed = posix_spawnp(ret_pid, arguments->items[0], &actions, &attributes, arguments->items,
                              variables->items);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return error_set(error, ERR_INVALID, "%s", strerror(failed));
    }
    *ret_out = ends[0];
    return OK;
}

static enum err read_output(int fd, struct buf *into, struct error *error)
{
    uint64_t deadline = clock_mono_ms() + EXEC_TIMEOUT_MS;

    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        char piece[4096];

        if (now >= deadline || poll(&poller, 1, (int)(deadline - now)) == 0)
            return error_set(error, ERR_AGAIN, "it said nothing for %d s", EXEC_TIMEOUT_MS / 1000);
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(error, ERR_IO, "read");
        if (got == 0)
            return OK;
        enum err err = buf_append(into, (struct bytes){(uint8_t *)piece, (size_t)got});
        if (err)
            return error_set(error, err, "it printed more than %d bytes", EXEC_OUTPUT_MAX);
    }
}

static enum err run(const struct json *exec, const char *version, const char *dir,
                    struct buf *output, struct error *error)
{
    AUTO(strings_fini) struct strings arguments = {0};
    AUTO(strings_fini) struct strings variables = {0};
    AUTO(fd_close) int out = -1;
    pid_t pid = 0;
    int status = 0;

    make_arguments(exec, dir, &arguments);
    make_environment(exec, version, &variables);
    enum err err = spawn(&arguments, &variables, &pid, &out, error);
    if (err)
        return err;
    err = read_output(out, output, error);
    if (err)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!err && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        return error_set(error, ERR_AGAIN, "it failed with status %d",
                         WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return err;
}

enum err exec_credential_run(const struct json *exec, const char *dir, struct json **ret_status,
                             struct error *error)
{
    AUTO(buf_fini) struct buf output = {.max = EXEC_OUTPUT_MAX};
    AUTO(json_free) struct json *answer = NULL;
    const char *command = json_string(json_get(exec, "command"), "");
    const char *version = json_string(json_get(exec, "apiVersion"), "");

    if (command[0] == '\0' || !is_version(version))
        return error_set(error, ERR_INVALID,
                         "exec plugin: it needs a command and an apiVersion of "
                         "client.authentication.k8s.io/v1 or v1beta1");
    enum err err = run(exec, version, dir, &output, error);
    if (err)
        return error_prefix(error, err, "exec plugin '%s'", command);

    err = json_parse(buf_bytes(&output), EXEC_OUTPUT_MAX, &answer, NULL);
    if (output.cap > 0)
        explicit_bzero(output.data, output.cap);
    const struct json *status = json_get(answer, "status");
    if (err || strcmp(json_string(json_get(answer, "kind"), ""), "ExecCredential") != 0 ||
        json_kind(status) != JSON_OBJECT)
        return error_set(error, ERR_INVALID,
                         "exec plugin '%s' printed no ExecCredential with a status", command);
    *ret_status = json_take(answer, "status");
    return OK;
}
