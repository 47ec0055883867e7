/* The operator's leader knows the numbers of this second. It is asked through the API server, if
 * one may: the Deployment says where the operator is, its Lease which pod leads. Whatever fails on
 * the way, the status of the pipelines has to do.
 */
#include "controller/plugin/plugin.h"

#include "common/kube/object.h"

#include <stdio.h>
#include <string.h>

#define OPERATOR_SELECTOR "app.kubernetes.io/name=surgetank,app.kubernetes.io/component=controller"

enum { STATE_BYTES_MAX = 16 << 20, TIMEOUT_MS = 5000 };

/* The path of the leader's state behind the API server's proxy. */
static enum err find_leader(struct kube_client *client, const struct json *operator,
                            struct buf * path)
{
    const struct json *container = json_first(json_at(operator, "spec.template.spec.containers"));
    int64_t port =
        json_int(json_get(json_first(json_get(container, "ports")), "containerPort"), 8080);
    AUTO(json_free) struct json *lease = NULL;

    enum err err = kube_get(client, &kube_leases, object_namespace(operator), object_name(operator),
                            &lease, NULL);
    if (err)
        return err;
    /* "POD_RANDOM" */
    const char *holder = json_string(json_at(lease, "spec.holderIdentity"), "");
    const char *end = strrchr(holder, '_');
    if (end == NULL)
        return ERR_NOTFOUND;
    return buf_printf(path, "/api/v1/namespaces/%s/pods/http:%.*s:%d/proxy/debug/state",
                      object_namespace(operator), (int)(end - holder), holder, (int)port);
}

static struct json *ask_leader(struct kube_client *client)
{
    AUTO(json_free) struct json *operators = NULL;
    AUTO(buf_fini) struct buf path = {0}, body = {.max = STATE_BYTES_MAX};
    struct json *state = NULL;

    enum err err = kube_list(client, &kube_deployments, NULL, OPERATOR_SELECTOR, &operators, NULL);
    if (err == OK)
        err = find_leader(client, json_first(json_get(operators, "items")), &path);
    if (err == OK)
        err = kube_get_raw(client, buf_text(&path), &body, NULL);
    if (err == OK)
        err = json_parse(buf_bytes(&body), STATE_BYTES_MAX, &state, NULL);
    return err == OK ? state : NULL;
}

/* What the leader calls it -> what the status calls it. */
static void overlay_gateway(const struct json *live, struct json *status)
{
    static const struct {
        const char *live, *status;
    } numbers[] = {{"wanted", "desiredReplicas"},     {"reason", "reason"},
                   {"groupState", "groupState"},      {"lagMessages", "lagMessages"},
                   {"lagSeconds", "lagSeconds"},      {"drainSeconds", "drainSeconds"},
                   {"capacity", "capacityPerReplica"}};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const struct json *value = json_get(live, numbers[i].live);
        struct json *copy = value != NULL ? json_clone(value) : NULL;
        if (copy != NULL)
            json_set(status, numbers[i].status, &copy);
        else
            json_remove(status, numbers[i].status);
    }
    if (json_number(json_get(status, "capacityPerReplica"), 0) < 1)
        json_remove(status, "capacityPerReplica");
}

static void overlay_pipeline(const struct json *live, struct json *pipeline)
{
    JSON_EACH(gateway, json_get(live, "gateways")) {
        JSON_EACH(status, json_at(pipeline, "status.gateways")) {
            const char *name = json_string(json_get(status, "name"), "");
            if (strcmp(json_string(json_get(gateway, "name"), "-"), name) == 0)
                overlay_gateway(gateway, status);
        }
    }
}

bool plugin_overlay_live(struct kube_client *client, struct json *pipelines)
{
    kube_client_set_timeout(client, TIMEOUT_MS);
    AUTO(json_free) struct json *state = ask_leader(client);

    JSON_EACH(live, json_get(state, "pipelines")) {
        const char *key = json_string(json_get(live, "key"), "");
        JSON_EACH(pipeline, pipelines) {
            const char *namespace = object_namespace(pipeline);
            size_t len = strlen(namespace);
            if (strncmp(key, namespace, len) == 0 && key[len] == '/' &&
                strcmp(key + len + 1, object_name(pipeline)) == 0)
                overlay_pipeline(live, pipeline);
        }
    }
    return state != NULL;
}
