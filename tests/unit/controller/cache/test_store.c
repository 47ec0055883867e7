/* The store equals what the watch said, its indexes too, and every change is told once. */
#include "tests/support/test.h"

#include "controller/cache/store.h"

#include <stdio.h>
#include <stdlib.h>

/* "+a" new, "~a" changed, "-a" gone. */
static char told[2048];

static void on_change(void *context, const struct kube_resource *resource, const struct object *old,
                      const struct object *now)
{
    (void)context;
    (void)resource;
    size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s%s ",
             old == NULL   ? "+"
             : now == NULL ? "-"
                           : "~",
             now == NULL ? old->name : now->name);
}

static struct object *make(const char *name, const char *version, const char *owner,
                           const char *label)
{
    struct json *json = object_new(&kube_pods, "shop", name);
    struct json *metadata = json_get(json, "metadata");
    struct object *object = NULL;
    char uid[64];

    snprintf(uid, sizeof uid, "uid-%s", name);
    json_set_string(metadata, "uid", uid);
    json_set_string(metadata, "resourceVersion", version);
    json_set_string(json_set_object(metadata, "labels"), "pipeline", label);
    struct json *reference = json_add_object(json_set_array(metadata, "ownerReferences"));
    json_set_string(reference, "uid", owner);
    json_set_bool(reference, "controller", true);
    assert_ok(object_create(json, &object, NULL));
    json_free(&json);
    return object;
}

static void put(struct store *store, const char *name, const char *version, const char *owner,
                const char *label)
{
    struct kube_sink sink = store_sink(store);
    AUTO(object_unref) struct object *object = make(name, version, owner, label);
    sink.put(sink.context, &kube_pods, object);
}

static void assert_list(struct object_list list, const char *want)
{
    char names[256] = "";
    for (size_t i = 0; i < list.count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s ", list.items[i]->name);
    }
    object_list_fini(&list);
    assert_string_equal(names, want);
}

static int set_up(void **state)
{
    told[0] = '\0';
    *state = store_create("pipeline", on_change, NULL);
    return 0;
}

static int tear_down(void **state)
{
    struct store *store = *state;
    store_destroy(&store);
    return 0;
}

static void test_finds_objects_by_name_owner_and_label(void **state)
{
    struct store *store = *state;
    struct object *object = NULL;

    put(store, "b", "1", "o1", "x");
    put(store, "a", "2", "o1", "y");
    put(store, "c", "3", "o2", "x");
    assert_ok(store_get(store, &kube_pods, "shop", "a", &object));
    assert_string_equal(object->name, "a");
    object_unref(&object);
    assert_int_equal(store_get(store, &kube_pods, "other", "a", &object), ERR_NOTFOUND);
    assert_int_equal(store_get(store, &kube_services, "shop", "a", &object), ERR_NOTFOUND);
    assert_list(store_list(store, &kube_pods, NULL), "a b c ");
    assert_list(store_list(store, &kube_pods, "other"), "");
    assert_list(store_owned(store, &kube_pods, "o1"), "a b ");
    assert_list(store_owned(store, &kube_pods, "o3"), "");
    assert_list(store_labelled(store, &kube_pods, "shop", "x"), "b c ");
    assert_list(store_labelled(store, &kube_pods, NULL, "z"), "");
    assert_int_equal(store_count(store, &kube_pods), 3);
}

static void test_moves_an_object_in_its_indexes_when_it_changes(void **state)
{
    struct store *store = *state;

    put(store, "a", "1", "o1", "x");
    put(store, "a", "2", "o2", "y");
    assert_list(store_owned(store, &kube_pods, "o1"), "");
    assert_list(store_owned(store, &kube_pods, "o2"), "a ");
    assert_list(store_labelled(store, &kube_pods, NULL, "x"), "");
    assert_list(store_labelled(store, &kube_pods, NULL, "y"), "a ");
    assert_string_equal(told, "+a ~a ");
}

static void test_says_nothing_of_what_it_knows_or_what_is_older(void **state)
{
    struct store *store = *state;

    put(store, "a", "10", "o1", "x");
    put(store, "a", "10", "o1", "x");
    put(store, "a", "9", "o1", "old");
    assert_string_equal(told, "+a ");
    assert_list(store_labelled(store, &kube_pods, NULL, "x"), "a ");
}

static void test_a_replace_finds_what_went_while_nobody_looked(void **state)
{
    struct store *store = *state;
    struct kube_sink sink = store_sink(store);

    put(store, "gone", "1", "o1", "x");
    put(store, "same", "2", "o1", "x");
    put(store, "edited", "3", "o1", "x");
    told[0] = '\0';
    struct object *present[] = {make("same", "2", "o1", "x"), make("edited", "7", "o2", "x"),
                                make("new", "8", "o1", "x")};
    sink.replace(sink.context, &kube_pods, present, 3);
    assert_string_equal(told, "~edited +new -gone ");
    assert_list(store_list(store, &kube_pods, NULL), "edited new same ");
    assert_list(store_owned(store, &kube_pods, "o1"), "new same ");
    for (size_t i = 0; i < 3; i++)
        object_unref(&present[i]);

    told[0] = '\0';
    sink.replace(sink.context, &kube_pods, NULL, 0);
    assert_int_equal(store_count(store, &kube_pods), 0);
    assert_int_equal(strlen(told), strlen("-edited -new -same "));
}

static void test_a_removal_is_of_one_uid(void **state)
{
    struct store *store = *state;
    struct kube_sink sink = store_sink(store);
    AUTO(object_unref) struct object *a = make("a", "5", "o1", "x");

    put(store, "a", "4", "o1", "x");
    AUTO(json_free) struct json *other = object_parse(a);
    json_set_string(json_get(other, "metadata"), "uid", "another");
    AUTO(object_unref) struct object *impostor = NULL;
    assert_ok(object_create(other, &impostor, NULL));
    sink.remove(sink.context, &kube_pods, impostor);
    assert_int_equal(store_count(store, &kube_pods), 1);
    sink.remove(sink.context, &kube_pods, a);
    sink.remove(sink.context, &kube_pods, a);
    assert_int_equal(store_count(store, &kube_pods), 0);
    assert_string_equal(told, "+a -a ");
}

static void test_notes_a_write_only_over_what_was_seen(void **state)
{
    struct store *store = *state;
    AUTO(object_unref) struct object *written = make("a", "6", "o2", "y");
    AUTO(object_unref) struct object *unknown = make("b", "6", "o2", "y");

    put(store, "a", "4", "o1", "x");
    told[0] = '\0';
    assert_false(store_note_write(store, &kube_pods, written, "3"));
    assert_false(store_note_write(store, &kube_pods, unknown, "4"));
    assert_true(store_note_write(store, &kube_pods, written, "4"));
    assert_string_equal(told, "");
    put(store, "a", "5", "o1", "x"); /* from before our write */
    put(store, "a", "6", "o2", "y"); /* our write comes back */
    assert_string_equal(told, "");
    assert_list(store_owned(store, &kube_pods, "o2"), "a ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds_objects_by_name_owner_and_label, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_moves_an_object_in_its_indexes_when_it_changes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_says_nothing_of_what_it_knows_or_what_is_older, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_replace_finds_what_went_while_nobody_looked, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_removal_is_of_one_uid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_notes_a_write_only_over_what_was_seen, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
