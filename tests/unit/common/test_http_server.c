/* The small server answers probes on its own thread, whatever clients send. */
#include "tests/support/test.h"

#include "common/http_server.h"
#include "common/metrics.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void say_hello(void *context, struct http_reply *reply)
{
    assert_ok(buf_append_text(&reply->body, context));
}

static void say_much(void *context, struct http_reply *reply)
{
    (void)context;
    for (int i = 0; i < 100000; i++)
        assert_ok(buf_append_text(&reply->body, "0123456789"));
}

static const struct http_route routes[] = {
    {.path = "/hello", .handler = say_hello, .context = (void *)(uintptr_t) "hi"},
    {.path = "/much", .handler = say_much},
    {.path = "/metrics", .handler = http_serve_metrics},
};

/* Sends `request` and reads until the peer closes; returns the length. */
static size_t ask(uint16_t port, const char *request, char *into, size_t cap)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    size_t len = 0;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    for (;;) {
        ssize_t n = read(fd, into + len, cap - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    into[len] = '\0';
    close(fd);
    return len;
}

static struct http_server *open_server(void)
{
    const struct http_listener listener = {
        .listen = "127.0.0.1:0", .routes = routes, .routes_len = 3};
    struct http_server *server = NULL;
    assert_ok(http_server_open(&listener, 1, &server, NULL));
    return server;
}

/* What is meant for this machine is not for the network. */
static void test_listens_on_the_address_that_it_was_given(void **state)
{
    (void)state;
    AUTO(http_server_close) struct http_server *server = open_server();
    struct sockaddr_in other = {.sin_family = AF_INET,
                                .sin_port = htons(http_server_port(server, 0))};
    other.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&other, sizeof other), -1);
    close(fd);
}

static void test_answers_known_paths_and_refuses_others(void **state)
{
    (void)state;
    char text[4096];
    AUTO(http_server_close) struct http_server *server = open_server();
    uint16_t port = http_server_port(server, 0);

    ask(port, "GET /hello?x=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", text, sizeof text);
    assert_non_null(strstr(text, "200 OK"));
    assert_non_null(strstr(text, "\r\n\r\nhi"));
    ask(port, "GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", text, sizeof text);
    assert_non_null(strstr(text, "404"));
    assert_non_null(strstr(text, "/hello"));
}

static void test_sends_a_large_page_whole(void **state)
{
    (void)state;
    static char text[2000000];
    AUTO(http_server_close) struct http_server *server = open_server();

    size_t len =
        ask(http_server_port(server, 0),
            "GET /much HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", text, sizeof text);
    const char *body = strstr(text, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(len - (size_t)(body + 4 - text), 1000000);
}

static void test_exposes_metrics(void **state)
{
    (void)state;
    static const struct metric_desc desc = {
        .name = "surgetank_test_total", .kind = METRIC_COUNTER, .help = "A\nb.", .labels = {"who"}};
    static char text[100000];
    AUTO(http_server_close) struct http_server *server = open_server();

    metric_add(metrics_series(&desc, "a\"b"), 3);
    ask(http_server_port(server, 0),
        "GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", text, sizeof text);
    assert_non_null(strstr(text, "# HELP surgetank_test_total A\\nb.\n"));
    assert_non_null(strstr(text, "surgetank_test_total{who=\"a\\\"b\"} 3\n"));
    assert_non_null(strstr(text, "process_resident_memory_bytes "));
}

static void test_says_which_address_can_not_be_had(void **state)
{
    (void)state;
    AUTO(http_server_close) struct http_server *first = open_server(), *second = NULL;
    char listen[32];
    struct error error = {0};
    snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(first, 0));
    const struct http_listener taken = {.listen = listen, .routes = routes, .routes_len = 1};

    assert_int_equal(http_server_open(&taken, 1, &second, &error), ERR_IO);
    assert_non_null(strstr(error.text, listen));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_known_paths_and_refuses_others),
        cmocka_unit_test(test_listens_on_the_address_that_it_was_given),
        cmocka_unit_test(test_sends_a_large_page_whole),
        cmocka_unit_test(test_exposes_metrics),
        cmocka_unit_test(test_says_which_address_can_not_be_had),
    };
    return cmocka_run_group_tests_name("http_server", tests, NULL, NULL);
}
