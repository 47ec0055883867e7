/* free_port: where a process that a test starts may listen. */
#ifndef TESTS_SUPPORT_FREE_PORT_H
#define TESTS_SUPPORT_FREE_PORT_H

#include <stdint.h>

/* One of 127.0.0.1 that nobody has, and that the kernel gives to nobody who does not ask for it:
 * not ephemeral, for it has to stay free until the process listens, and while it is restarted. */
uint16_t free_port(void);

#endif
