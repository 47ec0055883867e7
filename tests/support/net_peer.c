#include "tests/support/net_peer.h"

#include "common/clock.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

/* Patience is far more than a busy machine takes: only what never comes waits it out. */
enum { PATIENCE_MS = 60 * 1000, STEP_MS = 2 };

static struct sockaddr_in local(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

void net_peer_connect(struct net_peer *peer, struct net_loop *loop, uint16_t port)
{
    struct sockaddr_in addr = local(port);
    int yes = 1;

    *peer = (struct net_peer){.loop = loop};
    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(peer->fd >= 0);
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&addr, sizeof addr), 0);
}

int net_peer_listen(uint16_t *ret_port)
{
    struct sockaddr_in addr = local(0);
    socklen_t len = sizeof addr;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

void net_peer_accept(struct net_peer *peer, struct net_loop *loop, int listener)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    *peer = (struct net_peer){.loop = loop, .fd = -1};
    while (peer->fd < 0 && clock_mono_ms() < until) {
        net_loop_run_once(loop, STEP_MS);
        peer->fd = accept4(listener, NULL, NULL, 0);
        if (peer->fd < 0)
            assert_true(errno == EAGAIN || errno == EINTR);
    }
    assert_true(peer->fd >= 0);
}

void net_peer_close(struct net_peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    buf_fini(&peer->in);
}

void net_peer_reset(struct net_peer *peer)
{
    struct linger now = {.l_onoff = 1};
    assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    net_peer_close(peer);
}

bool net_peer_take(struct net_peer *peer)
{
    uint8_t data[65536];

    if (peer->ended)
        return false;
    ssize_t n = recv(peer->fd, data, sizeof data, MSG_DONTWAIT);
    if (n > 0)
        assert_ok(buf_append(&peer->in, (struct bytes){data, (size_t)n}));
    else if (n == 0 || errno == ECONNRESET || errno == EPIPE)
        peer->ended = true;
    return n > 0;
}

void net_peer_send(struct net_peer *peer, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (len > 0 && !peer->ended) {
        ssize_t n = send(peer->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
            continue;
        }
        if (errno == ECONNRESET || errno == EPIPE)
            return; /* what was received before may still be of interest */
        assert_int_equal(errno, EAGAIN);
        assert_true(clock_mono_ms() < until);
        net_loop_run_once(peer->loop, STEP_MS);
        net_peer_take(peer);
    }
}

void net_peer_send_text(struct net_peer *peer, const char *text)
{
    net_peer_send(peer, text, strlen(text));
}

void net_peer_await(struct net_peer *peer, size_t len)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (peer->in.len < len) {
        if (peer->ended || clock_mono_ms() > until)
            fail_msg("%zu bytes came, not %zu", peer->in.len, len);
        net_loop_run_once(peer->loop, STEP_MS);
        net_peer_take(peer);
    }
}

void net_peer_await_text(struct net_peer *peer, const char *text)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (strstr(net_peer_text(peer), text) == NULL) {
        net_loop_run_once(peer->loop, STEP_MS);
        if (!net_peer_take(peer) && (peer->ended || clock_mono_ms() > until))
            fail_msg("'%s' came, without '%s'", net_peer_text(peer), text);
    }
}

void net_peer_await_end(struct net_peer *peer)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (!peer->ended) {
        assert_true(clock_mono_ms() < until);
        net_loop_run_once(peer->loop, STEP_MS);
        net_peer_take(peer);
    }
}

const char *net_peer_text(struct net_peer *peer)
{
    const char *text = buf_text(&peer->in);
    assert_non_null(text);
    return text;
}

void net_peer_run_until(struct net_loop *loop, const bool *flag)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (!*flag) {
        assert_true(clock_mono_ms() < until);
        net_loop_run_once(loop, STEP_MS);
    }
}

void net_peer_run_for(struct net_loop *loop, uint32_t ms)
{
    uint64_t until = clock_mono_ms() + ms;

    /* Rounds too, for on a busy machine the time may be over before the first. */
    for (uint32_t rounds = 0; rounds * STEP_MS < ms || clock_mono_ms() < until; rounds++)
        net_loop_run_once(loop, STEP_MS);
}
