/* A client is told what concerns it and nothing else, and notices that a file of a secret is
 * another one. */
#include "tests/support/test.h"

#include "sidecar/kafka/kafka_access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pipeline_pair of_all[] = {
    {"linger.ms", "20"}, {"fetch.min.bytes", "1000"}, {"socket.timeout.ms", "5000"}};
static struct pipeline_pair of_consumer[] = {{"fetch.min.bytes", "2000"}, {"client.rack", "a"}};
static const char *servers[] = {"a:9092", "b:9092"};

static struct pipeline_kafka kafka = {.bootstrap_servers = {servers, 2}, .properties = {of_all, 3}};

static void assert_properties(const struct kafka_access *access, const char *want)
{
    char got[256] = "";

    for (size_t i = 0; i < access->properties_len; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s=%s ", access->properties[i].name,
                 access->properties[i].value);
    assert_string_equal(got, want);
}

static void test_properties_go_to_whom_they_concern(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const struct pipeline pipeline = {.kafka = &kafka};
    const struct pipeline_map consumer = {of_consumer, 2}, nothing = {0};
    struct kafka_access access;

    assert_ok(kafka_access_make(&pipeline, NULL, "p", NULL, &arena, &access, NULL));
    assert_properties(&access, "linger.ms=20 socket.timeout.ms=5000 ");
    assert_string_equal(access.bootstrap_servers, "a:9092,b:9092");
    assert_ok(kafka_access_make(&pipeline, NULL, "c", &consumer, &arena, &access, NULL));
    assert_properties(
        &access, "fetch.min.bytes=1000 socket.timeout.ms=5000 fetch.min.bytes=2000 client.rack=a ");
    assert_ok(kafka_access_make(&pipeline, NULL, "c", &nothing, &arena, &access, NULL));
    assert_properties(&access, "fetch.min.bytes=1000 socket.timeout.ms=5000 ");
}

/* Each file of a secret, and for those of TLS also the number that is for them alone. */
static void test_notices_that_a_file_has_changed(void **state)
{
    (void)state;
    struct kafka_access access = {0};
    const char **const files[] = {&access.ca_file, &access.certificate_file, &access.key_file,
                                  &access.user_file, &access.password_file};
    char paths[5][40];

    for (unsigned i = 0; i < 5; i++) {
        snprintf(paths[i], sizeof paths[i], "/tmp/surgetank-access-XXXXXX");
        assert_int_equal(close(mkstemp(paths[i])), 0);
        *files[i] = paths[i];
    }
    for (unsigned i = 0; i < 5; i++) {
        uint32_t all = kafka_access_stamp(&access);
        uint32_t certificates = kafka_access_certificates_stamp(&access);
        assert_int_equal(kafka_access_stamp(&access), all);
        assert_int_equal(truncate(paths[i], 10), 0);
        assert_true(kafka_access_stamp(&access) != all);
        assert_int_equal(kafka_access_certificates_stamp(&access) != certificates, i < 3);
    }
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(unlink(paths[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties_go_to_whom_they_concern),
        cmocka_unit_test(test_notices_that_a_file_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
