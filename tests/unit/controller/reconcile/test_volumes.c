/* What an edge acknowledged lies on a claim: those too small grow, and none with data is forgotten.
 */
#include "controller/reconcile/volumes.h"

#include "common/contract/names.h"
#include "tests/support/test.h"

static struct json *claim(const char *name, const char *size, bool drained)
{
    struct json *claim = object_new(&kube_persistentvolumeclaims, "ns", name);
    struct json *spec = json_set_object(claim, "spec");

    json_set_string(json_set_object(json_set_object(spec, "resources"), "requests"), "storage",
                    size);
    if (drained)
        json_set_string(json_set_object(json_get(claim, "metadata"), "annotations"),
                        NAMES_ANNOTATION_DRAINED, "true");
    return claim;
}

static enum volume_step judge(const char *name, const char *size, bool drained, int64_t size_gib,
                              int64_t replicas)
{
    AUTO(json_free) struct json *object = claim(name, size, drained);
    struct volume volume;

    assert_true(volume_read(object, "shop-edge", &volume));
    return volume_judge(&volume, size_gib << 30, replicas);
}

static void test_grows_what_is_too_small_and_shrinks_nothing(void **state)
{
    (void)state;
    assert_int_equal(judge("spool-shop-edge-0", "10Gi", false, 20, 2), VOLUME_GROW);
    assert_int_equal(judge("spool-shop-edge-0", "20Gi", false, 20, 2), VOLUME_KEEP);
    assert_int_equal(judge("spool-shop-edge-0", "30Gi", false, 20, 2), VOLUME_KEEP);
}

static void test_names_what_no_pod_uses_unless_its_spool_was_empty(void **state)
{
    (void)state;
    assert_int_equal(judge("spool-shop-edge-1", "10Gi", false, 10, 2), VOLUME_KEEP);
    assert_int_equal(judge("spool-shop-edge-2", "10Gi", false, 10, 2), VOLUME_STRANDED);
    assert_int_equal(judge("spool-shop-edge-12", "1Gi", false, 10, 2), VOLUME_STRANDED);
    assert_int_equal(judge("spool-shop-edge-2", "10Gi", true, 10, 2), VOLUME_KEEP);
}

static void test_a_claim_that_is_used_again_loses_its_mark(void **state)
{
    (void)state;
    assert_int_equal(judge("spool-shop-edge-2", "10Gi", true, 10, 3), VOLUME_UNMARK);
}

static void test_takes_no_claim_of_others_for_its_own(void **state)
{
    (void)state;
    static const char *const names[] = {"spool-shop-edge-two-0", "spool-shop-edge",
                                        "spool-shop-edge-", "data-shop-edge-0",
                                        "spool-shop-edge-0x"};
    struct volume volume;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        AUTO(json_free) struct json *object = claim(names[i], "1Gi", false);
        assert_false(volume_read(object, "shop-edge", &volume));
    }
    AUTO(json_free) struct json *going = claim("spool-shop-edge-0", "1Gi", false);
    json_set_string(json_get(going, "metadata"), "deletionTimestamp", "2026-01-01T00:00:00Z");
    assert_false(volume_read(going, "shop-edge", &volume));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_what_is_too_small_and_shrinks_nothing),
        cmocka_unit_test(test_names_what_no_pod_uses_unless_its_spool_was_empty),
        cmocka_unit_test(test_a_claim_that_is_used_again_loses_its_mark),
        cmocka_unit_test(test_takes_no_claim_of_others_for_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
