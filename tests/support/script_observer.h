/* script_observer: stands in for controller/kafka_admin/observer.c and notes what it is asked to
 * watch. */
#ifndef TESTS_SUPPORT_SCRIPT_OBSERVER_H
#define TESTS_SUPPORT_SCRIPT_OBSERVER_H

#include "controller/kafka_admin/observer.h"

#define SCRIPT_GROUPS_MAX 8

struct script_group {
    char group[64], client_prefix[128]; /* group "": a free place */
    bool asleep;
};

/* What is watched now, by all observers together. */
extern struct script_group script_groups[SCRIPT_GROUPS_MAX];
extern unsigned script_observers; /* alive */

/* NULL: not watched. */
const struct script_group *script_group(const char *group);

#endif
