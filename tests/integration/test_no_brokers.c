/* Promise: a Kafka that for a moment names no brokers at all, as one that starts or stops does, is
 * read again once it names them. librdkafka needs a patch for it (hack/deps). A relay stands before
 * librdkafka's mock cluster and takes the brokers out of its answers. */
// link: tests/support/mock_kafka.c tests/support/kafka_peer.c
#include "common/buf.h"
#include "common/clock.h"
#include "tests/support/kafka_peer.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000, CONNECTIONS_MAX = 256, TOPICS = 20, IN_FLIGHT_MAX = 256 };
enum { METADATA = 3, FIND_COORDINATOR = 10, FLEXIBLE_METADATA = 9 };

/* One connection: requests pass as they are, answers are changed on their way back. The header of a
 * request tells what the answer will be, for answers come in the order of requests. */
struct link {
    int client, broker;
    struct buf up, down;
    int16_t keys[IN_FLIGHT_MAX], versions[IN_FLIGHT_MAX];
    unsigned asked, answered;
    pthread_t thread;
};

static struct {
    struct mock_kafka kafka;
    uint16_t broker_port, port;
    int listener;
    atomic_bool hide_brokers, cut, ending;
    atomic_uint hidden; /* answers */
    struct link links[CONNECTIONS_MAX];
    unsigned link_count;
    pthread_t thread;
} relay;

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Connects to 127.0.0.1. */
static int connect_to(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Of an unsigned varint below 128 only: the mock's one broker and its short names. */
static size_t short_varint(const uint8_t *at)
{
    assert_true(*at < 128);
    return *at;
}

/* The broker's port becomes the relay's, and if so wished no broker is left. Returns the new
 * length. Metadata: correlation, tags, throttle, then the brokers: id, host, port, rack, tags. */
static size_t change_answer(uint8_t *frame, size_t len, int16_t key, int16_t version)
{
    if (key != METADATA && key != FIND_COORDINATOR)
        return len;
    for (size_t i = 4; i + 4 <= len; i++)
        if (get32(frame + i) == relay.broker_port)
            put32(frame + i, relay.port);
    if (key != METADATA || !relay.hide_brokers)
        return len;
    assert_true(version >= FLEXIBLE_METADATA);
    uint8_t *count = frame + 4 + 4 + 1 + 4, *at = count + 1;
    for (size_t left = short_varint(count) - 1; left > 0; left--) {
        at += 4;
        at += short_varint(at); /* its length and one */
        at += 4;
        at += *at == 0 ? 1 : short_varint(at);
        assert_int_equal(*at, 0);
        at++;
    }
    *count = 1;
    memmove(count + 1, at, (size_t)(frame + len - at));
    len -= (size_t)(at - count - 1);
    put32(frame, (uint32_t)(len - 4));
    relay.hidden++;
    return len;
}

/* Passes on what is whole of what has come. */
static bool pass(struct link *link, struct buf *buf, bool up)
{
    while (buf->len >= 4 && buf->len - 4 >= get32(buf->data)) {
        size_t whole = 4 + get32(buf->data);
        size_t len = whole;
        if (up) {
            unsigned slot = link->asked++ % IN_FLIGHT_MAX;
            link->keys[slot] = (int16_t)(buf->data[4] << 8 | buf->data[5]);
            link->versions[slot] = (int16_t)(buf->data[6] << 8 | buf->data[7]);
        } else {
            unsigned slot = link->answered++ % IN_FLIGHT_MAX;
            len = change_answer(buf->data, whole, link->keys[slot], link->versions[slot]);
        }
        if (!send_all(up ? link->broker : link->client, buf->data, len))
            return false;
        buf_consume(buf, whole);
    }
    return true;
}

static bool take(struct link *link, bool up)
{
    static _Thread_local uint8_t data[65536];
    struct buf *buf = up ? &link->up : &link->down;
    ssize_t n = recv(up ? link->client : link->broker, data, sizeof data, 0);

    return n > 0 && buf_append(buf, (struct bytes){data, (size_t)n}) == OK && pass(link, buf, up);
}

static void *run_link(void *context)
{
    struct link *link = context;
    bool sound = true;

    while (sound && !relay.ending && !relay.cut) {
        struct pollfd ends[2] = {{.fd = link->client, .events = POLLIN},
                                 {.fd = link->broker, .events = POLLIN}};
        if (poll(ends, 2, 50) <= 0)
            continue;
        if (ends[0].revents)
            sound = take(link, true);
        if (sound && ends[1].revents)
            sound = take(link, false);
    }
    close(link->client);
    close(link->broker);
    buf_fini(&link->up);
    buf_fini(&link->down);
    return NULL;
}

static void *run_relay(void *context)
{
    (void)context;
    while (!relay.ending) {
        struct pollfd waits = {.fd = relay.listener, .events = POLLIN};
        if (poll(&waits, 1, 50) <= 0)
            continue;
        int client = accept4(relay.listener, NULL, NULL, SOCK_CLOEXEC);
        int broker = relay.cut ? -1 : connect_to(relay.broker_port);
        if (client < 0 || broker < 0 || relay.link_count == CONNECTIONS_MAX) {
            close(client);
            close(broker);
            continue;
        }
        struct link *link = &relay.links[relay.link_count++];
        link->client = client;
        link->broker = broker;
        assert_int_equal(pthread_create(&link->thread, NULL, run_link, link), 0);
    }
    return NULL;
}

static int begin(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    (void)state;
    memset(&relay, 0, sizeof relay);
    mock_kafka_start(&relay.kafka);
    assert_int_equal(rd_kafka_mock_topic_create(relay.kafka.cluster, "t", 1, 1), 0);
    for (int i = 0; i < TOPICS; i++) { /* so that the answers take time to go through */
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(rd_kafka_mock_topic_create(relay.kafka.cluster, name, 100, 1), 0);
    }
    relay.broker_port = (uint16_t)strtoul(strrchr(relay.kafka.bootstrap, ':') + 1, NULL, 10);
    relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(relay.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(relay.listener, 64), 0);
    assert_int_equal(getsockname(relay.listener, (struct sockaddr *)&at, &len), 0);
    relay.port = ntohs(at.sin_port);
    return pthread_create(&relay.thread, NULL, run_relay, NULL);
}

static int end(void **state)
{
    (void)state;
    relay.ending = true;
    pthread_join(relay.thread, NULL);
    for (unsigned i = 0; i < relay.link_count; i++)
        pthread_join(relay.links[i].thread, NULL);
    close(relay.listener);
    mock_kafka_stop(&relay.kafka);
    return 0;
}

/* ---- tests */

static void read_five(rd_kafka_t *consumer)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    peer_produce(relay.kafka.bootstrap, "t", 0, 5, 0);
    for (unsigned came = 0; came < 5; came += peer_poll(consumer, 100))
        if (clock_mono_ms() > until_ms)
            fail_msg("%u of 5 messages came", came);
}

static void test_reads_on_after_an_answer_without_brokers(void **state)
{
    char bootstrap[32];
    const struct rd_kafka_metadata *metadata = NULL;

    (void)state;
    snprintf(bootstrap, sizeof bootstrap, "127.0.0.1:%u", relay.port);
    rd_kafka_t *consumer = peer_join(bootstrap, "g", "c", "t", false);
    read_five(consumer);

    for (int stops = 0; stops < 5; stops++) {
        unsigned before = relay.hidden;
        relay.hide_brokers = true;
        for (uint64_t until_ms = clock_mono_ms() + DEADLINE_MS; relay.hidden == before;) {
            assert_true(clock_mono_ms() < until_ms);
            if (rd_kafka_metadata(consumer, 1, NULL, &metadata, 1000) == 0)
                rd_kafka_metadata_destroy(metadata);
        }
        relay.hide_brokers = false;
        read_five(consumer);
    }
    peer_leave(&consumer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads_on_after_an_answer_without_brokers, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
