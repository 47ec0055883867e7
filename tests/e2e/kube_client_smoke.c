/* The API client against a real API server: lists, watches, applies, scales, deletes, elects and
 * records, in a namespace that it makes and deletes. Run by hand, under hack/bed/in:
 *
 *   make build/tests/e2e/kube_client_smoke && hack/bed/in build/tests/e2e/kube_client_smoke
 *
 * With an argument N it then watches for N seconds and says what it sees, for trying what happens
 * when the API server is stopped, killed or frozen. Exit code 0: all as it should be.
 */
#include "common/clock.h"
#include "common/kube/client.h"
#include "common/kube/object.h"
#include "common/kube/watch.h"
#include "common/metrics.h"
#include "controller/cache/store.h"
#include "controller/kube/event.h"
#include "controller/kube/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SPACE "surgetank-smoke"

enum { MANY = 1100 };

static void check(bool right, const char *what, const struct error *error)
{
    printf("%s %s%s%s\n", right ? "ok  " : "FAIL", what, right ? "" : ": ",
           right || error == NULL ? "" : error->text);
    if (!right)
        exit(1);
}

static void nap(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static struct kube_client *new_client(const char *name)
{
    struct error error = {0};
    struct kube_auth *auth = NULL;
    struct kube_client *client = NULL;

    check(!kube_auth_default(NULL, NULL, &auth, &error), "credentials", &error);
    check(!kube_client_create(&auth, name, &client, &error), "client", &error);
    return client;
}

static struct json *new_configmap(const char *name, const char *value)
{
    struct json *object = object_new(&kube_configmaps, SPACE, name);
    json_set_string(json_set_object(json_get(object, "metadata"), "labels"), "smoke", "yes");
    json_set_string(json_set_object(object, "data"), "key", value);
    return object;
}

static void make_namespace(struct kube_client *client)
{
    struct error error = {0};
    AUTO(json_free) struct json *space = object_new(&kube_namespaces, NULL, SPACE);
    /* An earlier run's may still be there or going; none is the rule. */
    enum err err =
        kube_delete(client, &kube_namespaces, NULL, SPACE, &(struct kube_delete){0}, NULL);

    check(!err || err == ERR_NOTFOUND, "begin afresh", NULL);
    err = ERR_AGAIN;
    for (int i = 0; i < 60 && err; i++) {
        err = kube_create(client, &kube_namespaces, space, NULL, &error);
        if (err)
            nap(1000);
    }
    check(!err, "make a namespace", &error);
}

static void try_apply(struct kube_client *client)
{
    struct error error = {0};
    const struct kube_apply ours = {.field_manager = "smoke", .force = true};
    const struct kube_apply other = {.field_manager = "other"};
    AUTO(json_free) struct json *first = new_configmap("a", "1");
    AUTO(json_free) struct json *second = new_configmap("a", "2");
    AUTO(json_free) struct json *written = NULL;
    AUTO(json_free) struct json *again = NULL;

    check(!kube_apply(client, &kube_configmaps, first, &ours, &written, &error), "apply", &error);
    check(!kube_apply(client, &kube_configmaps, first, &ours, &again, &error) &&
              strcmp(object_resource_version(written), object_resource_version(again)) == 0,
          "applying the same again changes nothing", &error);
    check(object_hash(written) == object_hash(again), "nor the hash", NULL);

    enum err err = kube_apply(client, &kube_configmaps, second, &other, NULL, &error);
    check(err == ERR_CONFLICT && strstr(error.text, "smoke") != NULL,
          "another manager's field is a conflict that names it", &error);

    json_set_string(json_get(second, "metadata"), "resourceVersion", "1");
    err = kube_apply(client, &kube_configmaps, second, &ours, NULL, &error);
    check(err == ERR_CONFLICT, "an old resourceVersion is a conflict", &error);
    json_remove(json_get(second, "metadata"), "resourceVersion");

    json_set_string(second, "dta", "x");
    err = kube_apply(client, &kube_configmaps, second, &ours, NULL, &error);
    check(err == ERR_INVALID && strstr(error.text, "dta") != NULL,
          "an unknown field is refused by name", &error);
    printf("     %s\n", error.text);
}

static struct json *new_deployment(void)
{
    static const char text[] =
        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","
        "\"namespace\":\"" SPACE "\"},\"spec\":{\"replicas\":0,\"selector\":{\"matchLabels\":"
        "{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":"
        "{\"containers\":[{\"name\":\"c\",\"image\":\"bed.surgetank.dev/busybox:1\"}]}}}}";
    struct json *json = NULL;
    check(!json_parse(BYTES_LITERAL(text), sizeof text, &json, NULL), "deployment", NULL);
    return json;
}

static void try_scale_and_delete(struct kube_client *client)
{
    struct error error = {0};
    AUTO(json_free) struct json *deployment = new_deployment();
    AUTO(json_free) struct json *created = NULL;
    AUTO(json_free) struct json *scaled = NULL;

    check(!kube_create(client, &kube_deployments, deployment, &created, &error), "create", &error);
    check(kube_create(client, &kube_deployments, deployment, NULL, &error) == ERR_CONFLICT,
          "what exists can't be created", &error);
    check(!kube_scale(client, &kube_deployments, SPACE, "web", 1, NULL, "smoke", &error), "scale",
          &error);
    check(!kube_get(client, &kube_deployments, SPACE, "web", &scaled, &error) &&
              json_int(json_at(scaled, "spec.replicas"), -1) == 1,
          "it has the replicas", &error);
    check(kube_scale(client, &kube_deployments, SPACE, "web", 0, object_resource_version(created),
                     "smoke", &error) == ERR_CONFLICT,
          "scaling over an old version is a conflict", &error);
    check(kube_delete(client, &kube_deployments, SPACE, "web",
                      &(struct kube_delete){.uid = "00000000-0000-0000-0000-000000000000"},
                      &error) == ERR_CONFLICT,
          "deleting another uid is a conflict", &error);
    check(!kube_delete(client, &kube_deployments, SPACE, "web",
                       &(struct kube_delete){.uid = object_uid(created)}, &error),
          "delete", &error);
    nap(200);
    check(kube_get(client, &kube_deployments, SPACE, "web", NULL, &error) == ERR_NOTFOUND,
          "it is gone", &error);
}

static void on_trouble(void *context, const struct kube_resource *resource,
                       const struct error *error, unsigned pause_ms)
{
    (void)context;
    printf("     %s: %s; again in %u ms\n", resource->plural, error->text, pause_ms);
}

static bool wait_count(struct store *store, size_t want)
{
    for (int i = 0; i < 3000 && store_count(store, &kube_configmaps) != want; i++)
        nap(20);
    return store_count(store, &kube_configmaps) == want;
}

static void try_lists(struct kube_client *client, struct store *store)
{
    struct error error = {0};
    AUTO(json_free) struct json *list = NULL;
    char name[32];
    enum err err = OK;
    uint64_t begun = clock_mono_ms();

    check(wait_count(store, 1), "the watch has what was there", NULL);
    for (int i = 0; i < MANY && !err; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        AUTO(json_free) struct json *object = new_configmap(name, "x");
        err = kube_create(client, &kube_configmaps, object, NULL, &error);
    }
    check(!err, "create many", &error);
    printf("     %.2f ms each\n", (double)(clock_mono_ms() - begun) / MANY);
    check(wait_count(store, MANY + 1), "the watch saw them all", NULL);
    begun = clock_mono_ms();
    check(!kube_list(client, &kube_configmaps, SPACE, "smoke=yes", &list, &error) &&
              json_size(json_get(list, "items")) == MANY + 1,
          "list them in pages", &error);
    printf("     %llu ms\n", (unsigned long long)(clock_mono_ms() - begun));
    check(!kube_delete(client, &kube_configmaps, SPACE, "many-7", &(struct kube_delete){0}, &error),
          "delete one", &error);
    check(wait_count(store, MANY), "the watch saw it go", NULL);
}

static void set_true(void *context)
{
    *(_Atomic bool *)context = true;
}

static void set_false(void *context)
{
    *(_Atomic bool *)context = false;
}

static struct lease *new_lease(const char *identity, _Atomic bool *leads)
{
    struct error error = {0};
    struct kube_client *client = new_client("lease");
    struct lease *lease = NULL;
    union {
        _Atomic bool *in;
        void *out;
    } context = {.in = leads};
    const struct lease_config config = {.namespace = SPACE,
                                        .name = "smoke",
                                        .identity = identity,
                                        .on_leading = set_true,
                                        .on_lost = set_false,
                                        .context = context.out};
    check(!lease_create(&client, &config, &lease, &error), "elector", &error);
    return lease;
}

static void try_leases(void)
{
    _Atomic bool first_leads = false, second_leads = false;
    struct lease *first = new_lease("first", &first_leads);
    char leader[64];

    for (int i = 0; i < 100 && !first_leads; i++)
        nap(50);
    check(first_leads, "the first one leads", NULL);
    struct lease *second = new_lease("second", &second_leads);
    nap(5000);
    check(first_leads && !second_leads, "the second one waits", NULL);
    check(lease_leader(second, leader, sizeof leader) && strcmp(leader, "first") == 0,
          "and knows the leader", NULL);
    lease_destroy(&first);
    check(!first_leads, "it is lost before it is released", NULL);
    uint64_t begun = clock_mono_ms();
    for (int i = 0; i < 100 && !second_leads; i++)
        nap(50);
    check(second_leads, "the second one takes over", NULL);
    printf("     after %llu ms\n", (unsigned long long)(clock_mono_ms() - begun));
    lease_destroy(&second);
}

static void try_events(struct kube_client *client)
{
    struct error error = {0};
    struct event_recorder *recorder = NULL;
    AUTO(json_free) struct json *about = NULL;
    AUTO(json_free) struct json *list = NULL;

    check(!kube_get(client, &kube_configmaps, SPACE, "a", &about, &error), "get", &error);
    check(!event_recorder_create(client, "surgetank.dev/smoke", "smoke-1", &recorder, &error),
          "recorder", &error);
    for (int i = 0; i < 5; i++)
        event_record(recorder, about, EVENT_WARNING, "TooSmoky", "Smoke", "there is %s", "smoke");
    event_record(recorder, about, EVENT_NORMAL, "Aired", "Air", "the window is open");
    nap(500);
    event_recorder_destroy(&recorder);
    check(!kube_list(client, &kube_events, SPACE, NULL, &list, &error), "list events", &error);
    int64_t count = 0;
    size_t ours = 0;
    JSON_EACH(event, json_get(list, "items")) {
        const char *by = json_string(json_get(event, "reportingController"), "");
        const char *reason = json_string(json_get(event, "reason"), "");
        ours += strcmp(by, "surgetank.dev/smoke") == 0;
        if (strcmp(reason, "TooSmoky") == 0)
            count = json_int(json_at(event, "series.count"), 0);
    }
    check(ours == 2 && count == 5, "five warnings are one Event with a series of five", NULL);
}

int main(int argc, char **argv)
{
    struct error error = {0};
    struct kube_client *client = new_client("smoke");
    struct store *store = store_create("smoke", NULL, NULL);
    struct kube_watch *watch = NULL;
    AUTO(buf_fini) struct buf raw = {.max = 1 << 20};

    setvbuf(stdout, NULL, _IOLBF, 0);
    check(!kube_get_raw(client, "/version", &raw, &error), "version", &error);
    make_namespace(client);
    try_apply(client);
    const struct kube_watch_config config = {.resource = &kube_configmaps,
                                             .label_selector = "smoke=yes",
                                             .sink = store_sink(store),
                                             .on_trouble = on_trouble};
    check(!kube_watch_start(client, &config, &watch, &error), "watch", &error);
    try_lists(client, store);
    try_scale_and_delete(client);
    try_events(client);
    try_leases();

    for (int i = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0; i > 0; i--) {
        printf("     %zu objects\n", store_count(store, &kube_configmaps));
        nap(1000);
    }
    check(!kube_delete(client, &kube_namespaces, NULL, SPACE, &(struct kube_delete){0}, &error),
          "delete the namespace", &error);
    check(wait_count(store, 0), "the watch saw everything go", NULL);
    kube_watch_stop(&watch);
    kube_client_destroy(&client);
    store_destroy(&store);
    AUTO(buf_fini) struct buf text = {0};
    if (!metrics_expose(&text))
        printf("%s\n", buf_text(&text));
    return 0;
}
