#include "controller/reconcile/diff.h"

#include "common/contract/names.h"
#include "controller/api/fingerprint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct walk {
    char *path; /* DIFF_PATH_MAX bytes: where we are, and in the end where the two part */
    bool quantities;
};

static bool covers(struct walk walk, const struct json *desired, const struct json *live);

void diff_seal(struct json *desired)
{
    char hash[FINGERPRINT_SIZE];
    struct json *metadata = json_need_object(desired, "metadata");
    struct json *annotations = json_need_object(metadata, "annotations");

    fingerprint(desired, hash);
    json_set_string(annotations, NAMES_ANNOTATION_HASH, hash);
}

/* ---- leaves */

/* "250m", "1.5Gi", "1e3" -> its value; NAN for anything else. */
static double quantity(const char *text)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"", 1},        {"n", 1e-9},    {"u", 1e-6},    {"m", 1e-3},
                 {"k", 1e3},     {"M", 1e6},     {"G", 1e9},     {"T", 1e12},
                 {"P", 1e15},    {"E", 1e18},    {"Ki", 0x1p10}, {"Mi", 0x1p20},
                 {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"Ei", 0x1p60}};
    char *end = NULL;

    double number = strtod(text, &end);
    if (end == text)
        return (double)NAN;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].suffix) == 0)
            return number * units[i].factor;
    }
    return (double)NAN;
}

/* A quantity may be written as a number, and comes back as text. */
static double quantity_of(const struct json *json)
{
    if (json_kind(json) == JSON_NUMBER)
        return json_number(json, (double)NAN);
    return quantity(json_string(json, ""));
}

/* What Go's encoder leaves out, so that it doesn't come back. */
static bool is_zero(const struct json *json)
{
    switch (json_kind(json)) {
    case JSON_NONE:
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return !json_bool(json, true);
    case JSON_NUMBER:
        return fpclassify(json_number(json, 1)) == FP_ZERO;
    case JSON_STRING:
        return json_string(json, "x")[0] == '\0';
    case JSON_ARRAY:
    case JSON_OBJECT:
        return json_size(json) == 0;
    }
    return false;
}

static bool leaf_equal(struct walk walk, const struct json *desired, const struct json *live)
{
    if (json_equal(desired, live))
        return true;
    if (!walk.quantities)
        return false;

    double want = quantity_of(desired), have = quantity_of(live);
    return !isnan(want) && !isnan(have) && fabs(want - have) <= 1e-9 * fabs(want);
}

/* ---- lists */

/* By what the API server merges the elements of a list, in the order in which they are tried: an
 * element of a list named so has that key. NULL: the list is one value. */
static const char *merge_key(const char *list)
{
    static const struct {
        const char *list, *key;
    } keys[] = {{"containers", "name"},
                {"initContainers", "name"},
                {"env", "name"},
                {"volumes", "name"},
                {"volumeMounts", "mountPath"},
                {"imagePullSecrets", "name"},
                {"ownerReferences", "uid"},
                {"topologySpreadConstraints", "topologyKey"}};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(list, keys[i].list) == 0)
            return keys[i].key;
    }
    return NULL;
}

/* Ports of a container have a containerPort, those of a Service a port. */
static const char *port_key(const struct json *list)
{
    return json_get(json_first(list), "containerPort") ? "containerPort" : "port";
}

static const struct json *find_element(const struct json *list, const char *key,
                                       const struct json *value)
{
    JSON_EACH(element, list) {
        if (json_equal(json_get(element, key), value))
            return element;
    }
    return NULL;
}

static bool list_covers(struct walk walk, const char *name, const struct json *desired,
                        const struct json *live)
{
    const char *key = strcmp(name, "ports") == 0 ? port_key(desired) : merge_key(name);

    if (key == NULL) {
        if (json_size(desired) != json_size(live))
            return false;
        const struct json *other = json_first(live);
        JSON_EACH(element, desired) {
            if (!covers(walk, element, other))
                return false;
            other = json_next(other);
        }
        return true;
    }
    JSON_EACH(element, desired) {
        const struct json *other = find_element(live, key, json_get(element, key));
        if (other == NULL || !covers(walk, element, other))
            return false;
    }
    return true;
}

/* ---- objects */

/* Maps that the API server replaces as a whole: something added by hand counts. */
static bool is_atomic_map(const char *key)
{
    return strcmp(key, "selector") == 0 || strcmp(key, "nodeSelector") == 0;
}

static bool holds_quantities(const char *key)
{
    return strcmp(key, "requests") == 0 || strcmp(key, "limits") == 0 ||
           strcmp(key, "sizeLimit") == 0 || strcmp(key, "averageValue") == 0;
}

static bool member_covers(struct walk walk, const struct json *member, const struct json *live)
{
    const char *key = json_key(member);

    if (strcmp(key, NAMES_ANNOTATION_HASH) == 0)
        return true; /* asked for last: what differs beside it says more */
    if (live == NULL || json_kind(live) == JSON_NULL)
        return is_zero(member);
    walk.quantities = walk.quantities || holds_quantities(key);
    if (json_kind(member) == JSON_ARRAY && json_kind(live) == JSON_ARRAY)
        return list_covers(walk, key, member, live);
    if (is_atomic_map(key) && json_size(member) != json_size(live))
        return false;
    return covers(walk, member, live);
}

static bool covers(struct walk walk, const struct json *desired, const struct json *live)
{
    if (json_kind(desired) != JSON_OBJECT)
        return leaf_equal(walk, desired, live);
    if (json_kind(live) != JSON_OBJECT)
        return false;

    size_t len = strlen(walk.path);
    JSON_EACH(member, desired) {
        snprintf(walk.path + len, DIFF_PATH_MAX - len, "%s%s", len > 0 ? "." : "",
                 json_key(member));
        if (!member_covers(walk, member, json_get(live, json_key(member))))
            return false;
        walk.path[len] = '\0';
    }
    return true;
}

static const char *seal_of(const struct json *object)
{
    return json_string(json_get(json_at(object, "metadata.annotations"), NAMES_ANNOTATION_HASH),
                       "");
}

bool diff_covers(const struct json *desired, const struct json *live, char path[DIFF_PATH_MAX])
{
    path[0] = '\0';
    if (!covers((struct walk){.path = path}, desired, live))
        return false;
    if (strcmp(seal_of(desired), seal_of(live)) == 0)
        return true;
    snprintf(path, DIFF_PATH_MAX, "a field that is no longer said");
    return false;
}
