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

/* Keeps the elements of `list` that `keep` wants. */
static void filter(struct json *parent, const char *key,
                   bool (*keep)(const struct tier *tier, const char *name), const struct tier *tier)
{
    struct json *kept = json_new_array();

    JSON_EACH(element, json_get(parent, key))
    {
        if (!keep(tier, json_string(json_get(element, "name"), "")))
            continue;
        struct json *copy = json_clone(element);
        json_add(kept, &copy);
    }
    json_set(parent, key, &kept);
}

static bool is_tier(const struct tier *tier, const char *name)
{
    return strcmp(tier->part, name) == 0;
}

static bool reads_topic(const struct tier *tier, const char *name)
{
    for (size_t i = 0; i < tier->gateway->from_count; i++) {
        if (strcmp(tier->gateway->from[i]->name, name) == 0)
            return true;
    }
    return false;
}

static struct json *cut_to_tier(const struct tier *tier)
{
    struct json *document = pipeline_to_json(tier->pipeline);
    struct json *spec = json_get(document, "spec");

    json_remove(document, "status");
    if (tier->edge != NULL) {
        filter(spec, "edges", is_tier, tier);
    } else {
        json_remove(spec, "edges");
        filter(spec, "gateways", is_tier, tier);
        filter(spec, "topics", reads_topic, tier);
    }
    return document;
}

void desired_config_map(struct json *objects, const struct tier *tier)
{
    AUTO(json_free) struct json *document = cut_to_tier(tier);
    AUTO(buf_fini) struct buf text = {0};
    enum err err = json_print_pretty(document, &text);
    ASSERT(err == OK);

    struct json *map = object_add(objects, tier, "v1", "ConfigMap", tier->name);
    json_set_string(json_set_object(map, "data"), NAMES_CONFIG_KEY, buf_text(&text));
}

void desired_config_hash(const struct tier *tier, char *into, size_t size)
{
    AUTO(json_free)
    struct json *part = pipeline_start_part(tier->pipeline, tier->edge != NULL, tier->part);
    char hash[FINGERPRINT_SIZE];

    fingerprint(part, hash);
    snprintf(into, size, "%s", hash);
}
