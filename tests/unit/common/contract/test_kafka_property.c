/* Nothing that voids a promise, names a file or runs a command gets through, and values
 * are checked before librdkafka sees them. */
#include "tests/support/test.h"

#include "common/contract/kafka_property.h"

static bool takes(enum kafka_property_scope scope, const char *name, const char *value)
{
    const char *advice = NULL;
    struct error error = {0};

    enum err err = kafka_property_check(scope, name, value, &advice, &error);
    if (err) {
        assert_true(error.text[0] != '\0');
        assert_non_null(advice);
    }
    return err == OK;
}

static void test_refuses_what_voids_a_promise(void **state)
{
    (void)state;
    static const char *const names[] = {"acks",
                                        "request.required.acks",
                                        "enable.idempotence",
                                        "enable.auto.commit",
                                        "enable.auto.offset.store",
                                        "auto.offset.reset",
                                        "auto.commit.interval.ms",
                                        "retries",
                                        "message.timeout.ms",
                                        "delivery.timeout.ms",
                                        "max.in.flight",
                                        "max.in.flight.requests.per.connection",
                                        "enable.gapless.guarantee",
                                        "transactional.id",
                                        "group.id",
                                        "group.instance.id",
                                        "group.protocol",
                                        "partition.assignment.strategy",
                                        "bootstrap.servers",
                                        "metadata.broker.list",
                                        "security.protocol",
                                        "ssl.key.location",
                                        "ssl.engine.location",
                                        "enable.ssl.certificate.verification",
                                        "sasl.password",
                                        "sasl.oauthbearer.config",
                                        "sasl.kerberos.kinit.cmd",
                                        "plugin.library.paths",
                                        "debug",
                                        "client.id",
                                        "queue.buffering.max.kbytes",
                                        "fetch.max.bytes",
                                        "compression.codec",
                                        "",
                                        "x"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_false(takes(KAFKA_PROPERTY_CLIENT, names[i], "1"));
        assert_false(takes(KAFKA_PROPERTY_CONSUMER, names[i], "1"));
        assert_false(kafka_property_concerns(names[i], true));
        assert_false(kafka_property_concerns(names[i], false));
    }
}

static void test_checks_values(void **state)
{
    (void)state;
    assert_true(takes(KAFKA_PROPERTY_CLIENT, "linger.ms", "20"));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "linger.ms", "20.5"));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "linger.ms", "-1"));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "linger.ms", ""));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "linger.ms", "99999999999999999999"));
    assert_true(takes(KAFKA_PROPERTY_CLIENT, "broker.address.family", "v4"));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "broker.address.family", "v"));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "broker.address.family", "any v4"));
    assert_false(takes(KAFKA_PROPERTY_CLIENT, "broker.address.family", ""));
    assert_true(takes(KAFKA_PROPERTY_CLIENT, "client.rack", "fra1-a"));
}

static void test_knows_whose_they_are(void **state)
{
    (void)state;
    assert_false(takes(KAFKA_PROPERTY_CONSUMER, "linger.ms", "20"));
    assert_true(takes(KAFKA_PROPERTY_CONSUMER, "fetch.min.bytes", "1"));
    assert_true(kafka_property_concerns("linger.ms", true));
    assert_false(kafka_property_concerns("linger.ms", false));
    assert_true(kafka_property_concerns("fetch.min.bytes", false));
    assert_false(kafka_property_concerns("fetch.min.bytes", true));
    assert_true(kafka_property_concerns("socket.timeout.ms", true));
    assert_true(kafka_property_concerns("socket.timeout.ms", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_what_voids_a_promise),
        cmocka_unit_test(test_checks_values),
        cmocka_unit_test(test_knows_whose_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
