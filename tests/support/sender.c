#include "tests/support/sender.h"

#include "common/buf.h"
#include "tests/support/numbered.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 60000, CONNECT_AGAIN_MS = 5 };

static void hang_up(struct sender *sender, unsigned i)
{
    if (sender->connections[i].fd != 0)
        close(sender->connections[i].fd);
    sender->broken += sender->connections[i].busy;
    sender->connections[i].fd = 0;
    sender->connections[i].busy = false;
}

static void dial(struct sender *sender, unsigned i)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(sender->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd > 0);
    sender->connections[i].fd = fd;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return;
    hang_up(sender, i);
    sender->broken++;
    poll(NULL, 0, CONNECT_AGAIN_MS);
}

/* Whole: the edge reads what it is sent, however busy it is. */
static bool send_whole(int fd, const struct buf *text)
{
    for (size_t sent = 0; sent < text->len;) {
        ssize_t n = send(fd, text->data + sent, text->len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void send_one(struct sender *sender, unsigned i)
{
    AUTO(buf_fini) struct buf value = {0}, text = {0};

    numbered_request(sender->next, sender->per_request, sender->padding, &value);
    assert_ok(buf_printf(&text,
                         "POST /v1/logs HTTP/1.1\r\nHost: x\r\n"
                         "Content-Type: application/x-protobuf\r\nContent-Length: %zu\r\n\r\n",
                         value.len));
    assert_ok(buf_append(&text, buf_bytes(&value)));
    sender->connections[i].first = sender->next;
    sender->connections[i].busy = true;
    sender->next += sender->per_request;
    assert_true(sender->next <= sender->ledger->size);
    if (!send_whole(sender->connections[i].fd, &text))
        hang_up(sender, i);
}

/* Answers are short: they come in one piece, or the connection has ended. */
static void take_answer(struct sender *sender, unsigned i)
{
    char answer[1024];
    ssize_t len = recv(sender->connections[i].fd, answer, sizeof answer - 1, 0);

    if (len <= 0) {
        hang_up(sender, i);
        return;
    }
    answer[len] = '\0';
    assert_int_equal(strncmp(answer, "HTTP/1.1 ", 9), 0);
    sender->connections[i].busy = false;
    if (strncmp(answer + 9, "200", 3) == 0) {
        ledger_promise(sender->ledger, sender->connections[i].first, sender->per_request);
        sender->acknowledged++;
    } else {
        sender->refused++;
        hang_up(sender, i); /* some refusals end a connection */
    }
}

/* Waits for an answer on any of them. False: none is under way. */
static bool take_some(struct sender *sender)
{
    struct pollfd polls[SENDER_CONNECTIONS];
    unsigned busy = 0;

    for (unsigned i = 0; i < SENDER_CONNECTIONS; i++) {
        bool waits = sender->connections[i].busy;
        polls[i] = (struct pollfd){.fd = waits ? sender->connections[i].fd : -1, .events = POLLIN};
        busy += waits;
    }
    if (busy == 0)
        return false;
    if (poll(polls, SENDER_CONNECTIONS, ANSWER_MS) == 0)
        fail_msg("no answer to %u requests", busy);
    for (unsigned i = 0; i < SENDER_CONNECTIONS; i++)
        if (polls[i].fd >= 0 && polls[i].revents != 0)
            take_answer(sender, i);
    return true;
}

static unsigned decided(const struct sender *sender)
{
    return sender->acknowledged + sender->refused + sender->broken;
}

void sender_begin(struct sender *sender)
{
    for (unsigned i = 0; i < SENDER_CONNECTIONS; i++) {
        if (sender->connections[i].fd == 0)
            dial(sender, i);
        if (sender->connections[i].fd != 0 && !sender->connections[i].busy)
            send_one(sender, i);
    }
}

void sender_run(struct sender *sender, unsigned requests)
{
    unsigned until = decided(sender) + requests;

    while (decided(sender) < until) {
        sender_begin(sender);
        take_some(sender);
    }
}

void sender_finish(struct sender *sender)
{
    while (take_some(sender))
        ;
}

void sender_close(struct sender *sender)
{
    for (unsigned i = 0; i < SENDER_CONNECTIONS; i++)
        hang_up(sender, i);
}
