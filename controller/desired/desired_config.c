/* The document that the pods of a tier read, and the hash of what they are restarted for.
 *
 *   resolved document --cut to the tier--> ConfigMap
 *                    --pipeline_start_part()--> hash
 *
 * A gateway gets itself and the topics it reads. An edge gets itself and all topics; the gateways
 * stay, for a document without any is refused, but they aren't part of its hash. What concerns only
 * the controller, and what running pods take over by themselves, is in the ConfigMap and not in the
 * hash.
 */
#include "controller/desired/desired_object.h"

#include "common/assert.h"
#include "common/contract/names.h"
#include "common/contract/pipeline_live.h"
#include "controller/api/fingerprint.h"

#include <stdio.h>

/* ---- cutting */

/* What the names in the list are kept by. */
struct kept {
    const char *self;                       /* the edge or gateway */
    const struct pipeline_gateway *gateway; /* whose topics are kept */
};

/* Keeps the elements of `list` that `keep` wants. */
static void filter(struct json *parent, const char *key,
                   bool (*keep)(const struct kept *kept, const char *name), const struct kept *kept)
{
    struct json *list = json_new_array();

    JSON_EACH(element, json_get(parent, key)) {
        if (!keep(kept, json_string(json_get(element, "name"), "")))
            continue;
        struct json *copy = json_clone(element);
        json_add(list, &copy);
    }
    json_set(parent, key, &list);
}

static bool is_self(const struct kept *kept, const char *name)
{
    return strcmp(kept->self, name) == 0;
}

static bool reads_topic(const struct kept *kept, const char *name)
{
    for (size_t i = 0; i < kept->gateway->from_count; i++) {
        if (strcmp(kept->gateway->from[i]->name, name) == 0)
            return true;
    }
    return false;
}

void desired_document(const struct pipeline *pipeline, bool edge, const char *name,
                      struct buf *into)
{
    AUTO(json_free) struct json *document = pipeline_to_json(pipeline);
    const struct kept kept = {name, edge ? NULL : pipeline_gateway(pipeline, name)};
    struct json *spec = json_get(document, "spec");

    json_remove(document, "status");
    if (edge) {
        filter(spec, "edges", is_self, &kept);
    } else {
        json_remove(spec, "edges");
        filter(spec, "gateways", is_self, &kept);
        filter(spec, "topics", reads_topic, &kept);
    }
    enum err err = json_print_pretty(document, into);
    ASSERT(err == OK);
}

void desired_config_map(struct json *objects, const struct tier *tier)
{
    AUTO(buf_fini) struct buf text = {0};
    const struct desired_rollout *rollout = tier->rollout;
    char percent[8];

    desired_document(tier->pipeline, tier->edge != NULL, tier->part, &text);
    struct json *map = object_add(objects, tier, "v1", "ConfigMap", tier->name);
    struct json *data = json_set_object(map, "data");
    json_set_string(data, NAMES_CONFIG_KEY,
                    rollout != NULL && rollout->current != NULL ? rollout->current
                                                                : buf_text(&text));
    if (rollout == NULL || !rollout->candidate)
        return;
    snprintf(percent, sizeof percent, "%u", rollout->percent);
    json_set_string(data, NAMES_CANDIDATE_KEY, buf_text(&text));
    json_set_string(data, NAMES_PERCENT_KEY, percent);
}

/* ---- hashing */

void desired_config_hash(const struct tier *tier, char *into, size_t size)
{
    AUTO(json_free)
    struct json *part = pipeline_start_part(tier->pipeline, tier->edge != NULL, tier->part);
    char hash[FINGERPRINT_SIZE];

    fingerprint(part, hash);
    snprintf(into, size, "%s", hash);
}
