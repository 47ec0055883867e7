/* Promise: one child that the server refuses holds up what stands on it and nothing else; it is
 * named, and nothing is removed until all that is wanted is there. */
#include "tests/support/test.h"

#include "common/contract/names.h"
#include "common/yaml.h"
#include "controller/reconcile/children.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/volumes.h"
#include "tests/support/kube_script.h"

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define DOCUMENT                                                                            \
    "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\n"                         \
    "metadata: {name: shop, namespace: ns, uid: us, generation: 1, resourceVersion: '3'}\n" \
    "spec:\n  kafka: {bootstrapServers: ['kafka:9092']}\n"                                  \
    "  edges: [{name: edge}]\n"                                                             \
    "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: 'backend:4317'}}}]\n"

#define REFUSED \
    "{\"kind\":\"Status\",\"message\":\"no such thing\",\"reason\":\"Invalid\",\"code\":422}"
#define WRITTEN                                                                                  \
    "{\"apiVersion\":\"v1\",\"kind\":\"Any\",\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"," \
    "\"uid\":\"u\",\"resourceVersion\":\"9\"}}"

#define PATCH_OF(plural, name) "PATCH /api" plural "/" name "?"
#define CORE(plural)           "/v1/namespaces/ns/" plural
#define GROUP(group, plural)   "s/" group "/namespaces/ns/" plural
#define EDGE_SCALE             GROUP("apps/v1", "statefulsets") "/shop-edge/scale"

/* A pipeline whose children are all there as they should be, but for what a test breaks. */
struct stand {
    struct kube_script script;
    struct reconcile reconcile;
    struct board *board;
    struct subject *subject;
    struct json *children;
    struct gathered *gathered;
    atomic_bool leading;
    bool again;
};

static void watch_brings(struct stand *stand, const struct json *json)
{
    struct object *object = NULL;
    struct kube_sink sink = store_sink(stand->reconcile.apply.store);

    assert_ok(object_create(json, &object, NULL));
    sink.put(sink.context, kind_of(json), object);
    object_unref(&object);
}

static struct json *child(const struct stand *stand, const char *kind, const char *name)
{
    JSON_EACH(object, stand->children) {
        if (strcmp(json_string(json_get(object, "kind"), ""), kind) == 0 &&
            strcmp(object_name(object), name) == 0)
            return object;
    }
    fail_msg("there is no %s %s", kind, name);
    return NULL;
}

/* Somebody took its spec, or its data, away. */
static void empty(struct stand *stand, const char *kind, const char *name)
{
    struct json *object = child(stand, kind, name);

    json_remove(object, "data");
    json_remove(object, "spec");
}

static void make_subject(struct stand *stand)
{
    AUTO(json_free) struct json *documents = NULL;
    struct object *object = NULL;

    assert_ok(yaml_parse(bytes_from(DOCUMENT), 4096, &documents, NULL));
    assert_ok(object_create(json_first(documents), &object, NULL));
    stand->board = board_create();
    board_put(stand->board, object);
    object_unref(&object);
    assert_ok(board_subject(stand->board, "ns/shop", &stand->subject, NULL));
}

static void make_children(struct stand *stand)
{
    AUTO(gathered_free) struct gathered *gathered = NULL;

    gather_facts(&stand->reconcile.gather, stand->subject, NULL, &gathered);
    const struct desired_input input = {.pipeline = stand->subject->pipeline,
                                        .settings = &stand->reconcile.desired,
                                        .bounds = gathered->bounds};
    stand->children = desired_objects(&input);
    JSON_EACH(object, stand->children) {
        diff_seal(object);
        json_set_string(json_get(object, "metadata"), "uid", object_name(object));
        json_set_string(json_get(object, "metadata"), "resourceVersion", "7");
    }
    json_set_number(json_get(child(stand, "StatefulSet", "shop-edge"), "spec"), "replicas", 2);
}

static void set_up(struct stand *stand, const struct http_step *steps, size_t count)
{
    *stand = (struct stand){.leading = true};
    kube_script_start(&stand->script, steps, count);
    make_subject(stand);
    stand->reconcile =
        (struct reconcile){.apply = {.client = stand->script.client,
                                     .store = store_create(NAMES_LABEL_PIPELINE, NULL, NULL),
                                     .leading = &stand->leading},
                           .desired = {.sidecar_image = "sidecar:1"},
                           .board = stand->board,
                           .volumes = volumes_create()};
    stand->reconcile.gather =
        (struct gather){.store = stand->reconcile.apply.store, .board = stand->board};
    make_children(stand);
}

static enum err apply(struct stand *stand, struct error *error)
{
    JSON_EACH(object, stand->children)
        watch_brings(stand, object);
    gather_facts(&stand->reconcile.gather, stand->subject, NULL, &stand->gathered);
    stand->gathered->edge_can_shrink[0] = true;
    return children_apply(&stand->reconcile, stand->subject, NULL, stand->gathered, &stand->again,
                          error);
}

/* All of the steps, and no more, were asked for. */
static void take_down(struct stand *stand, size_t requests)
{
    assert_int_equal(http_script_requests(stand->script.http), requests);
    gathered_free(&stand->gathered);
    json_free(&stand->children);
    subject_unref(&stand->subject);
    board_destroy(&stand->board);
    volumes_destroy(&stand->reconcile.volumes);
    store_destroy(&stand->reconcile.apply.store);
    kube_script_stop(&stand->script);
}

static void test_what_is_as_it_should_be_costs_no_request(void **state)
{
    (void)state;
    static struct stand stand;

    set_up(&stand, NULL, 0);
    assert_ok(apply(&stand, NULL));
    take_down(&stand, 0);
}

static void test_a_refused_child_holds_up_no_others(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = PATCH_OF(GROUP("policy/v1", "poddisruptionbudgets"), "shop-edge"),
         .status = 422,
         .body = REFUSED},
        {.expect = PATCH_OF(CORE("configmaps"), "shop-g"), .status = 200, .body = WRITTEN},
        {.expect = EDGE_SCALE, .status = 200, .body = "{}"},
        {.expect = NAMES_ANNOTATION_DRAINED, .status = 200, .body = WRITTEN},
    };
    static struct stand stand;
    struct error error = {0};

    set_up(&stand, steps, COUNT(steps));
    empty(&stand, "PodDisruptionBudget", "shop-edge");
    empty(&stand, "ConfigMap", "shop-g");
    json_set_number(json_get(child(&stand, "StatefulSet", "shop-edge"), "spec"), "replicas", 5);
    assert_int_equal(apply(&stand, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "PodDisruptionBudget shop-edge: "));
    assert_non_null(strstr(error.text, "no such thing"));
    assert_true(stand.again); /* it has three more to go */
    take_down(&stand, COUNT(steps));
}

static void test_pods_do_not_begin_with_a_document_that_was_refused(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = PATCH_OF(CORE("configmaps"), "shop-edge"), .status = 422, .body = REFUSED},
        {.expect = PATCH_OF(GROUP("policy/v1", "poddisruptionbudgets"), "shop-edge"),
         .status = 422,
         .body = REFUSED},
        {.expect = PATCH_OF(GROUP("apps/v1", "deployments"), "shop-g"),
         .status = 200,
         .body = WRITTEN},
    };
    static struct stand stand;
    struct error error = {0};

    set_up(&stand, steps, COUNT(steps));
    empty(&stand, "ConfigMap", "shop-edge");
    empty(&stand, "PodDisruptionBudget", "shop-edge");
    json_remove(json_get(child(&stand, "StatefulSet", "shop-edge"), "spec"), "template");
    json_remove(json_get(child(&stand, "Deployment", "shop-g"), "spec"), "template");
    assert_int_equal(apply(&stand, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "ConfigMap shop-edge: "));
    assert_non_null(strstr(error.text, "Beside it, 1 more"));
    take_down(&stand, COUNT(steps));
}

static void test_nothing_scales_what_is_somebody_elses(void **state)
{
    (void)state;
    static struct stand stand;
    struct error error = {0};

    set_up(&stand, NULL, 0);
    struct json *set = child(&stand, "StatefulSet", "shop-edge");
    struct json *deployment = child(&stand, "Deployment", "shop-g");
    json_set_number(json_get(set, "spec"), "replicas", 5);
    json_remove(json_get(set, "metadata"), "ownerReferences");
    json_remove(json_get(deployment, "metadata"), "ownerReferences");
    empty(&stand, "HorizontalPodAutoscaler", "shop-g");
    assert_int_equal(apply(&stand, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "StatefulSet shop-edge exists and belongs to somebody"));
    assert_non_null(strstr(error.text, "Beside it, 1 more"));
    take_down(&stand, 0);
}

static void test_removes_what_is_not_wanted_only_when_all_the_rest_is_there(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = PATCH_OF(CORE("configmaps"), "shop-g"), .status = 422, .body = REFUSED},
        {.expect = PATCH_OF(CORE("configmaps"), "shop-g"), .status = 200, .body = WRITTEN},
        {.expect = "DELETE /api" CORE("configmaps") "/shop-old", .status = 200, .body = "{}"},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    AUTO(json_free) struct json *old = json_clone(child(&stand, "ConfigMap", "shop-edge"));
    json_set_string(json_get(old, "metadata"), "name", "shop-old");
    watch_brings(&stand, old);
    empty(&stand, "ConfigMap", "shop-g");
    assert_int_equal(apply(&stand, NULL), ERR_INVALID);
    assert_int_equal(http_script_requests(stand.script.http), 1);
    gathered_free(&stand.gathered);
    assert_ok(apply(&stand, NULL));
    take_down(&stand, COUNT(steps));
}

static void test_a_server_that_is_away_ends_the_round(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = PATCH_OF(CORE("configmaps"), "shop-edge"), .status = 401, .body = "{}"},
        {.expect = PATCH_OF(CORE("configmaps"), "shop-edge"), .status = 401, .body = "{}"},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    empty(&stand, "ConfigMap", "shop-edge");
    empty(&stand, "ConfigMap", "shop-g");
    assert_int_equal(apply(&stand, NULL), ERR_AGAIN);
    take_down(&stand, COUNT(steps));
}

static void test_says_that_volumes_stay_as_large_as_they_were_made(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = "\"storage\":\"20Gi\"", .status = 200, .body = WRITTEN},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    struct json *set = child(&stand, "StatefulSet", "shop-edge");
    struct json *claim = json_first(json_at(set, "spec.volumeClaimTemplates"));
    json_set_string(json_at(claim, "spec.resources.requests"), "storage", "20Gi");
    assert_ok(apply(&stand, NULL));
    const char *said = stand.gathered->status.edges[0].problem;
    assert_non_null(strstr(said, "made with 20Gi and can't shrink; its spools take 10Gi of that"));
    assert_non_null(strstr(said, "Put spool.size back to 20Gi"));
    take_down(&stand, COUNT(steps));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_as_it_should_be_costs_no_request),
        cmocka_unit_test(test_a_refused_child_holds_up_no_others),
        cmocka_unit_test(test_pods_do_not_begin_with_a_document_that_was_refused),
        cmocka_unit_test(test_nothing_scales_what_is_somebody_elses),
        cmocka_unit_test(test_removes_what_is_not_wanted_only_when_all_the_rest_is_there),
        cmocka_unit_test(test_a_server_that_is_away_ends_the_round),
        cmocka_unit_test(test_says_that_volumes_stay_as_large_as_they_were_made),
    };
    return cmocka_run_group_tests_name("children", tests, NULL, NULL);
}
