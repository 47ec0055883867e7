/* An exporter follows its files: what has changed is used for the next attempts, what can't be used
 * is not, and no attempt is lost or cut off over it.
 */
// link: tests/support/certs.c tests/support/fake_clock.c
#include "tests/support/test.h"

#include "common/metrics.h"
#include "common/tls.h"
#include "sidecar/export/export.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "tests/support/certs.h"
#include "tests/support/fake_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 128, TIMEOUT_MS = 60000, ROUND_MS = 10, ROUNDS_MAX = 6000 };

static const struct bytes part = {(const uint8_t *)"batch", 5};

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct tls_context *server_tls;
    struct net_server *server;
    struct pipeline_export settings;
    char dir[64], endpoint[64];
    struct export *export;
    char seen[64]; /* the last request's authorization */
    bool hold, came;
    struct net_request *held;
    unsigned judged;
    bool done;
    struct judgement judgement;
    uint64_t now_ms;
} f;

static void on_request(void *ctx, struct net_request *request)
{
    const struct grpc_reply reply = {.status = GRPC_OK};
    struct bytes token = net_request_header(request, NET_HEADER_AUTHORIZATION);

    (void)ctx;
    snprintf(f.seen, sizeof f.seen, "%.*s", (int)token.len, (const char *)token.data);
    f.came = true;
    if (f.hold)
        f.held = request;
    else
        grpc_respond(&request, &reply);
}

static void on_judged(void *context, const struct judgement *judgement)
{
    (void)context;
    f.judged++;
    f.judgement = *judgement;
    f.done = true;
}

static void path(char into[PATH_SIZE], const char *name)
{
    snprintf(into, PATH_SIZE, "%s/s/%s", f.dir, name);
}

/* As Kubernetes does it: another file under the same name. */
static void write_secret(const char *name, const char *text)
{
    char to[PATH_SIZE], fresh[PATH_SIZE];

    path(to, name);
    path(fresh, "fresh");
    FILE *file = fopen(fresh, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, to), 0);
}

static struct pipeline_secret secret(const char *key)
{
    return (struct pipeline_secret){.name = "s", .key = key};
}

static void start(void)
{
    struct net_server_options server;
    const struct export_options options = {.loop = f.loop,
                                           .settings = &f.settings,
                                           .secrets_dir = f.dir,
                                           .user_agent = "test",
                                           .gateway = "g"};

    net_server_options_init(&server);
    server.address = "127.0.0.1";
    server.budget = &f.budget;
    server.on_request = on_request;
    server.tls = f.server_tls;
    assert_ok(net_server_open(f.loop, &server, &f.server, NULL));
    snprintf(f.endpoint, sizeof f.endpoint, "127.0.0.1:%u", (unsigned)net_server_port(f.server));
    f.settings.endpoint = f.endpoint;
    f.settings.protocol = PIPELINE_OTLP_GRPC;
    f.settings.timeout_ms = TIMEOUT_MS;
    f.settings.tls.insecure = f.server_tls == NULL;
    assert_ok(export_open(&options, &f.export, NULL));
}

static void send(void)
{
    const struct export_batch batch = {
        .signal = SIGNAL_LOGS, .parts = &part, .part_count = 1, .size_bytes = 5, .done = on_judged};
    f.done = false;
    assert_ok(export_send(f.export, &batch, NULL));
}

/* The clock stands still meanwhile. */
static void run_until(const bool *flag)
{
    for (int i = 0; i < ROUNDS_MAX && !*flag; i++)
        net_loop_run_once(f.loop, ROUND_MS);
    assert_true(*flag);
}

static enum verdict send_and_wait(void)
{
    send();
    run_until(&f.done);
    return f.judgement.verdict;
}

/* It is time for another look at the files. */
static void a_second_passes(void)
{
    fake_clock_set_ms(f.now_ms += 1000);
}

static double reloads(const char *result)
{
    static const struct metric_desc desc = {.name = "surgetank_gateway_credential_reloads_total",
                                            .kind = METRIC_COUNTER,
                                            .labels = {"gateway", "what", "result"}};
    return metric_value(metrics_series(&desc, "g", "backend", result));
}

static int set_up(void **state)
{
    char dir[PATH_SIZE];

    (void)state;
    memset(&f, 0, sizeof f);
    fake_clock_set_ms(f.now_ms = 1000);
    snprintf(f.dir, sizeof f.dir, "/tmp/surgetank-export-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    path(dir, "");
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_ok(net_loop_create(&f.loop, NULL));
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"token",  "ca",    "other-ca",   "cert", "key",
                                        "server", "fresh", "server-key", ""};
    char at[PATH_SIZE];

    (void)state;
    export_close(&f.export);
    net_server_close(&f.server);
    tls_context_close(&f.server_tls);
    net_loop_destroy(&f.loop);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        path(at, names[i]);
        if (names[i][0] == '\0')
            assert_int_equal(rmdir(at), 0);
        else
            unlink(at);
    }
    assert_int_equal(rmdir(f.dir), 0);
    return 0;
}

static void test_takes_a_new_token_over_and_keeps_it_where_the_next_can_not_be_used(void **state)
{
    (void)state;
    double taken = reloads("ok"), kept = reloads("failed");

    write_secret("token", "one");
    f.settings.bearer_token_secret = secret("token");
    start();
    assert_int_equal(send_and_wait(), VERDICT_DONE);
    assert_string_equal(f.seen, "Bearer one");

    write_secret("token", "two");
    assert_int_equal(send_and_wait(), VERDICT_DONE); /* it is not looked at for each of them */
    assert_string_equal(f.seen, "Bearer one");
    a_second_passes();
    assert_int_equal(send_and_wait(), VERDICT_DONE);
    assert_string_equal(f.seen, "Bearer two");
    assert_true(reloads("ok") == taken + 1);

    write_secret("token", "not\x01 a header");
    a_second_passes();
    assert_int_equal(send_and_wait(), VERDICT_DONE);
    assert_string_equal(f.seen, "Bearer two");
    assert_true(reloads("failed") == kept + 1);

    write_secret("token", "three");
    a_second_passes();
    assert_int_equal(send_and_wait(), VERDICT_DONE);
    assert_string_equal(f.seen, "Bearer three");
}

static void test_what_is_under_way_is_answered_by_the_old_backend(void **state)
{
    (void)state;
    const struct grpc_reply reply = {.status = GRPC_OK};

    write_secret("token", "one");
    f.settings.bearer_token_secret = secret("token");
    start();
    f.hold = true;
    send();
    run_until(&f.came);
    f.hold = false;
    write_secret("token", "two");
    a_second_passes();
    assert_int_equal(send_and_wait(), VERDICT_DONE);
    assert_string_equal(f.seen, "Bearer two");
    assert_int_equal(f.judged, 1); /* and the first one waits */
    f.done = false;
    grpc_respond(&f.held, &reply);
    run_until(&f.done);
    assert_int_equal(f.judged, 2);
    assert_int_equal(f.judgement.verdict, VERDICT_DONE);
    assert_int_equal(send_and_wait(), VERDICT_DONE); /* the old one is closed now */
}

static void make_server_tls(struct cert_authority *server_ca, const char *clients_ca)
{
    char certificate[PATH_SIZE], key[PATH_SIZE], clients[PATH_SIZE];
    const struct tls_server_options options = {
        .certificate_file = certificate, .key_file = key, .client_ca_file = clients, .alpn = "h2"};

    path(certificate, "server");
    path(key, "server-key");
    path(clients, clients_ca);
    cert_issue(server_ca, "localhost", 3600, certificate, key);
    assert_ok(tls_server_open(&options, &f.server_tls, NULL));
}

static void test_takes_a_new_certificate_over(void **state)
{
    (void)state;
    char ca[PATH_SIZE], other[PATH_SIZE], certificate[PATH_SIZE], key[PATH_SIZE];

    path(ca, "ca");
    path(other, "other-ca");
    path(certificate, "cert");
    path(key, "key");
    struct cert_authority *mine = cert_authority_create("mine", ca);
    struct cert_authority *stranger = cert_authority_create("stranger", other);
    cert_issue(stranger, "gateway", 3600, certificate, key);
    make_server_tls(mine, "ca");
    f.settings.tls = (struct pipeline_tls_client){.ca_secret = secret("ca"),
                                                  .certificate_secret = secret("cert"),
                                                  .key_secret = secret("key")};
    start();
    assert_int_not_equal(send_and_wait(), VERDICT_DONE); /* the server does not know who signed */

    cert_issue(mine, "gateway", 3600, certificate, key);
    a_second_passes();
    assert_int_equal(send_and_wait(), VERDICT_DONE);
    cert_authority_destroy(&mine);
    cert_authority_destroy(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_takes_a_new_token_over_and_keeps_it_where_the_next_can_not_be_used, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_under_way_is_answered_by_the_old_backend,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takes_a_new_certificate_over, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
