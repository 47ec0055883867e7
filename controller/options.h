/* options: the operator's command line. `--help` teaches; every flag has its environment variable,
 * SURGETANK_ and the flag's name in capitals, which the flag overrides.
 */
#ifndef CONTROLLER_OPTIONS_H
#define CONTROLLER_OPTIONS_H

#include "common/arena.h"
#include "common/log.h"
#include "controller/controller.h"

struct options {
    struct controller_config controller;
    enum log_level log_level;
    enum log_format log_format;
    bool help;          /* --help was asked for: print options_help and end */
    bool version;       /* --version was */
    struct arena arena; /* holds the lists */
};

/* ERR_INVALID: the sentence says which flag and what it takes. `getenv_fn` is getenv() but in
 * tests. */
NODISCARD enum err options_read(int argc, char **argv, char *(*getenv_fn)(const char *),
                                struct options *ret_options, struct error *error);
void options_fini(struct options *options);

extern const char options_help[];

#endif
