#include "tests/support/free_port.h"

#include "tests/support/test.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static unsigned tries;
    bool is_free = false;

    while (!is_free) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0 && tries < 10000);
        address.sin_port = htons((uint16_t)(10000 + ((unsigned)getpid() * 499 + tries++) % 20000));
        is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
    }
    return ntohs(address.sin_port);
}
