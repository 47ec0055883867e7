/* surgetank-controller: options, signals, and the wait between start and end. */
#include "common/log.h"
#include "common/version.h"
#include "controller/controller.h"
#include "controller/options.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_FLAGS = 2 };

/* Blocked here, before there are threads, so that only wait_for_end() sees them. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    pthread_sigmask(SIG_BLOCK, set, NULL);

    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

/* True: somebody asked for it. */
static bool wait_for_end(const struct controller *controller, const sigset_t *set)
{
    const struct timespec step = {.tv_nsec = 200000000};

    while (!controller_is_over(controller)) {
        if (sigtimedwait(set, NULL, &step) > 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    AUTO(controller_destroy) struct controller *controller = NULL;
    AUTO(options_fini) struct options options = {0};
    struct error error = {0};
    sigset_t signals;

    enum err err = options_read(argc, argv, getenv, &options, &error);
    if (err) {
        fprintf(stderr, "surgetank-controller: %s\n", error.text);
        return EXIT_FLAGS;
    }
    if (options.help) {
        fputs(options_help, stdout);
        return EXIT_SUCCESS;
    }
    if (options.version) {
        printf("surgetank-controller %s\n", version_text);
        return EXIT_SUCCESS;
    }
    block_signals(&signals);
    log_setup(options.log_level, options.log_format);
    err = controller_create(&options.controller, &controller, &error);
    if (err) {
        LOG_ERROR("Failed to start", LOG_STR("error", error.text));
        return EXIT_FAILURE;
    }
    if (!wait_for_end(controller, &signals)) {
        LOG_ERROR("Lost the lease, ending so that a new start reads everything again");
        return EXIT_FAILURE;
    }
    LOG_INFO("Stopping");
    return EXIT_SUCCESS;
}
