/* The objects of a pipeline are a function of its document and of what scaling decided, and nothing
 * that concerns only the controller restarts a pod. Cases are in tests/golden/desired/.
 */
// link: tests/support/golden.c tests/support/golden_case.c
#include "controller/desired/desired.h"

#include "common/contract/names.h"
#include "tests/support/golden_case.h"
#include "tests/support/test.h"

#include <stdlib.h>

#define CASES "tests/golden/desired"

static struct pipeline *read_pipeline(const struct json *document)
{
    struct faults *faults = calloc(1, sizeof *faults);
    struct pipeline *pipeline = NULL;
    struct error error = {0};

    assert_non_null(faults);
    if (pipeline_read(document, &pipeline, faults, &error))
        fail_msg("%s", error.text);
    faults_fini(faults);
    free(faults);
    return pipeline;
}

static struct desired_rollout rollout_of(const struct json *in, const char *name)
{
    const struct json *candidate = json_get(json_get(in, "candidates"), name);

    if (candidate == NULL)
        return (struct desired_rollout){0};
    return (struct desired_rollout){.current = json_string(json_get(candidate, "current"), NULL),
                                    .candidate = true,
                                    .percent =
                                        (unsigned)json_int(json_get(candidate, "percent"), 0)};
}

/* `in`: {pipeline, settings: {sidecarImage, imagePullPolicy}, bounds: {GATEWAY: [min, max]},
 * volumeClaims: {EDGE: [...]}, candidates: {EDGE or GATEWAY: {current, percent}}} */
static struct json *objects_of(const struct json *in)
{
    AUTO(pipeline_free) struct pipeline *pipeline = read_pipeline(json_get(in, "pipeline"));
    struct desired_bounds bounds[PIPELINE_GATEWAYS_MAX] = {0};
    struct desired_rollout edges[PIPELINE_EDGES_MAX] = {0}, gateways[PIPELINE_GATEWAYS_MAX] = {0};
    const struct json *claims[PIPELINE_EDGES_MAX] = {0};
    const struct desired_settings settings = {
        .sidecar_image = json_string(json_at(in, "settings.sidecarImage"), "sidecar:test"),
        .image_pull_policy = json_string(json_at(in, "settings.imagePullPolicy"), NULL),
    };

    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        const struct pipeline_gateway *gateway = &pipeline->gateways[i];
        const struct json *pair = json_get(json_get(in, "bounds"), gateway->name);
        bounds[i].replicas_min = json_int(json_item(pair, 0), gateway->scaling.min_replicas);
        bounds[i].replicas_max = json_int(json_item(pair, 1), gateway->scaling.max_replicas);
    }
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        claims[i] = json_get(json_get(in, "volumeClaims"), pipeline->edges[i].name);
        edges[i] = rollout_of(in, pipeline->edges[i].name);
    }
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        gateways[i] = rollout_of(in, pipeline->gateways[i].name);
    const struct desired_input input = {.pipeline = pipeline,
                                        .settings = &settings,
                                        .bounds = bounds,
                                        .edge_rollouts = edges,
                                        .gateway_rollouts = gateways,
                                        .volume_claims = claims};
    return desired_objects(&input);
}

static void check_case(const char *folder)
{
    AUTO(json_free) struct json *in = golden_case_read(folder, "in.yaml");
    AUTO(json_free) struct json *objects = objects_of(in);

    golden_case_compare(folder, "want.json", objects);
}

static void test_gives_the_objects_of_each_golden_case(void **state)
{
    (void)state;
    assert_true(golden_case_each(CASES, check_case) >= 5);
}

/* ---- what must hold for every case */

static const struct json *find_kind(const struct json *objects, const char *kind, const char *name)
{
    JSON_EACH(object, objects) {
        if (strcmp(json_string(json_get(object, "kind"), ""), kind) == 0 &&
            strcmp(json_string(json_at(object, "metadata.name"), ""), name) == 0)
            return object;
    }
    return NULL;
}

static void check_no_replicas(const char *folder)
{
    AUTO(json_free) struct json *in = golden_case_read(folder, "in.yaml");
    AUTO(json_free) struct json *objects = objects_of(in);

    JSON_EACH(object, objects)
        assert_null(json_at(object, "spec.replicas"));
}

static void test_never_says_replicas_as_an_apply_would_fight_the_autoscaler(void **state)
{
    (void)state;
    golden_case_each(CASES, check_no_replicas);
}

/* Each document in a ConfigMap must be one that the sidecar accepts, and mean the same. */
static void check_documents(const char *folder)
{
    AUTO(json_free) struct json *in = golden_case_read(folder, "in.yaml");
    AUTO(json_free) struct json *objects = objects_of(in);

    JSON_EACH(object, objects) {
        if (strcmp(json_string(json_get(object, "kind"), ""), "ConfigMap") != 0)
            continue;
        const struct json *data = json_get(object, "data");
        const char *text = json_string(json_get(data, NAMES_CANDIDATE_KEY),
                                       json_string(json_get(data, NAMES_CONFIG_KEY), ""));
        AUTO(json_free) struct json *document = NULL;
        struct bytes bytes = {(const uint8_t *)text, strlen(text)};
        assert_ok(json_parse(bytes, PIPELINE_TEXT_MAX, &document, NULL));
        AUTO(pipeline_free) struct pipeline *pipeline = read_pipeline(document);
        assert_true(pipeline->edge_count + pipeline->gateway_count >= 2);
    }
}

static void test_writes_documents_that_the_sidecar_accepts(void **state)
{
    (void)state;
    golden_case_each(CASES, check_documents);
}

static bool is_restricted(const struct json *spec)
{
    const struct json *container = json_first(json_get(spec, "containers"));

    return json_bool(json_at(spec, "securityContext.runAsNonRoot"), false) &&
           strcmp(json_string(json_at(spec, "securityContext.seccompProfile.type"), ""),
                  "RuntimeDefault") == 0 &&
           !json_bool(json_at(container, "securityContext.allowPrivilegeEscalation"), true) &&
           json_bool(json_at(container, "securityContext.readOnlyRootFilesystem"), false) &&
           strcmp(
               json_string(json_first(json_at(container, "securityContext.capabilities.drop")), ""),
               "ALL") == 0 &&
           !json_bool(json_get(spec, "automountServiceAccountToken"), true);
}

static void check_restricted(const char *folder)
{
    AUTO(json_free) struct json *in = golden_case_read(folder, "in.yaml");
    AUTO(json_free) struct json *objects = objects_of(in);

    JSON_EACH(object, objects) {
        const char *kind = json_string(json_get(object, "kind"), "");
        if (strcmp(kind, "Deployment") == 0 || strcmp(kind, "StatefulSet") == 0)
            assert_true(is_restricted(json_at(object, "spec.template.spec")));
    }
}

static void test_keeps_every_pod_but_a_daemonsets_in_the_restricted_profile(void **state)
{
    (void)state;
    golden_case_each(CASES, check_restricted);
}

/* ---- restarts */

static struct json *smallest(void)
{
    return golden_case_read(CASES "/smallest", "in.yaml");
}

static char *config_hash(const struct json *in, const char *kind, const char *name)
{
    AUTO(json_free) struct json *objects = objects_of(in);
    const struct json *object = find_kind(objects, kind, name);

    assert_non_null(object);
    const struct json *annotations = json_at(object, "spec.template.metadata.annotations");
    return strdup(json_string(json_get(annotations, NAMES_ANNOTATION_CONFIG), ""));
}

/* Whether putting `value` at spec.gateways[0].KEY restarts the object. */
static bool restarts(const char *key, struct json *value, const char *kind, const char *name)
{
    AUTO(json_free) struct json *before = smallest();
    AUTO(json_free) struct json *after = smallest();
    struct json *gateway = json_first(json_at(after, "pipeline.spec.gateways"));

    json_set(gateway, key, &value);
    char *old = config_hash(before, kind, name), *new = config_hash(after, kind, name);
    assert_string_not_equal(old, "");
    bool differ = strcmp(old, new) != 0;
    free(old);
    free(new);
    return differ;
}

static struct json *object_with(const char *key, const char *value)
{
    struct json *object = json_new_object();
    json_set_string(object, key, value);
    return object;
}

static struct json *scaling_to(double replicas_max)
{
    struct json *object = json_new_object();
    json_set_number(object, "maxReplicas", replicas_max);
    return object;
}

static void test_restarts_a_gateway_for_its_group_but_not_for_its_scaling(void **state)
{
    (void)state;
    assert_true(
        restarts("consumer", object_with("groupID", "another"), "Deployment", "shop-tempo"));
    assert_false(restarts("scaling", scaling_to(5), "Deployment", "shop-tempo"));
}

static void test_restarts_nothing_for_what_is_taken_over_live(void **state)
{
    (void)state;
    assert_false(restarts("batch", object_with("timeout", "3s"), "Deployment", "shop-tempo"));
    assert_false(restarts("retry", object_with("maxInterval", "10s"), "Deployment", "shop-tempo"));
}

static void test_restarts_no_edge_for_what_a_gateway_does(void **state)
{
    (void)state;
    assert_false(
        restarts("consumer", object_with("groupID", "another"), "StatefulSet", "shop-edge"));
}

static void test_restarts_nothing_when_a_topic_grows(void **state)
{
    (void)state;
    AUTO(json_free) struct json *before = smallest();
    AUTO(json_free) struct json *after = smallest();
    struct json *topics = json_set_array(json_at(after, "pipeline.spec"), "topics");
    struct json *topic = json_add_object(topics);

    json_set_string(topic, "name", "traces");
    json_set_number(topic, "partitions", 48);
    char *old = config_hash(before, "Deployment", "shop-tempo");
    char *new = config_hash(after, "Deployment", "shop-tempo");
    assert_string_equal(old, new);
    free(old);
    free(new);
}

/* ---- volumes */

static void test_keeps_volumes_as_they_were_made(void **state)
{
    (void)state;
    AUTO(json_free) struct json *in = smallest();
    AUTO(json_free) struct json *first = objects_of(in);
    const struct json *claims =
        json_at(find_kind(first, "StatefulSet", "shop-edge"), "spec.volumeClaimTemplates");
    AUTO(json_free) struct json *live = json_clone(claims);

    json_set_string(json_at(json_first(live), "spec.resources.requests"), "storage", "3Gi");
    struct json *copy = json_clone(live);
    json_set(json_set_object(in, "volumeClaims"), "edge", &copy);
    AUTO(json_free) struct json *second = objects_of(in);
    assert_true(json_equal(
        live, json_at(find_kind(second, "StatefulSet", "shop-edge"), "spec.volumeClaimTemplates")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_objects_of_each_golden_case),
        cmocka_unit_test(test_never_says_replicas_as_an_apply_would_fight_the_autoscaler),
        cmocka_unit_test(test_writes_documents_that_the_sidecar_accepts),
        cmocka_unit_test(test_keeps_every_pod_but_a_daemonsets_in_the_restricted_profile),
        cmocka_unit_test(test_restarts_a_gateway_for_its_group_but_not_for_its_scaling),
        cmocka_unit_test(test_restarts_nothing_for_what_is_taken_over_live),
        cmocka_unit_test(test_restarts_no_edge_for_what_a_gateway_does),
        cmocka_unit_test(test_restarts_nothing_when_a_topic_grows),
        cmocka_unit_test(test_keeps_volumes_as_they_were_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
