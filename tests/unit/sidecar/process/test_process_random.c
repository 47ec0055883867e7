/* Processors on requests by the dice, against a naive reference: the same done to the request's
 * JSON, on a tree, step by step. */
// link: tests/support/processors.c tests/support/otlp_random.c
#include "tests/support/otlp_random.h"
#include "tests/support/processors.h"
#include "tests/support/test.h"

#include "common/expr/expr.h"
#include "common/json.h"
#include "common/regex.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/process/redact.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 900, JSON_MAX = 64 << 20 };

/* ---- the reference */

/* The item at hand, with what is above it. */
struct place {
    enum signal signal;
    struct json *resource, *scope, *metric, *item;
};

static struct expr_value value_of(const struct json *any)
{
    struct expr_value value = {.type = EXPR_OTHER};
    const struct json *member = json_first(any);

    if (member == NULL)
        return value;
    const char *kind = json_key(member);
    if (strcmp(kind, "stringValue") == 0) {
        value.type = EXPR_STRING;
        value.string = bytes_from(json_string(member, ""));
    } else if (strcmp(kind, "intValue") == 0) {
        value.type = EXPR_INT;
        value.integer = strtoll(json_string(member, ""), NULL, 10);
    } else if (strcmp(kind, "boolValue") == 0) {
        value.type = EXPR_BOOL;
        value.boolean = json_bool(member, false);
    } else if (strcmp(kind, "doubleValue") == 0) {
        value.type = EXPR_DOUBLE;
        value.number = json_kind(member) == JSON_NUMBER ? json_number(member, 0)
                                                        : strtod(json_string(member, ""), NULL);
    }
    return value;
}

static struct json *find_attribute(const struct json *owner, const char *key)
{
    JSON_EACH(attribute, json_get(owner, "attributes"))
        if (strcmp(json_string(json_get(attribute, "key"), ""), key) == 0)
            return attribute;
    return NULL;
}

/* Only what the expressions below ask for. */
static struct expr_value lookup(void *context, const struct expr_path *path)
{
    const struct place *place = context;
    const struct json *owner = path->root == EXPR_RESOURCE ? place->resource : place->item;
    char key[64];

    if (path->root == EXPR_NAME) {
        const struct json *named = place->signal == SIGNAL_METRICS ? place->metric : place->item;
        const char *name = json_string(json_get(named, "name"), "");
        if (*name == '\0')
            return (struct expr_value){0};
        return (struct expr_value){.type = EXPR_STRING, .string = bytes_from(name)};
    }
    assert_true(path->root == EXPR_RESOURCE || path->root == EXPR_ATTRIBUTES);
    memcpy(key, path->keys[0].data, path->keys[0].len);
    key[path->keys[0].len] = '\0';
    const struct json *attribute = find_attribute(owner, key);
    if (attribute == NULL)
        return (struct expr_value){0};
    return value_of(json_get(attribute, "value"));
}

static void remove_attribute(struct json *owner, const char *key)
{
    struct json *kept = json_new_array();
    struct json *list = json_take(owner, "attributes");

    JSON_EACH(attribute, list) {
        if (strcmp(json_string(json_get(attribute, "key"), ""), key) == 0)
            continue;
        struct json *copy = json_clone(attribute);
        json_add(kept, &copy);
    }
    json_free(&list);
    if (json_size(kept) > 0)
        json_set(owner, "attributes", &kept);
    else
        json_free(&kept);
}

static void set_attribute(struct json *owner, const char *key, struct json **any)
{
    struct json *list = json_get(owner, "attributes");

    remove_attribute(owner, key);
    list = json_get(owner, "attributes");
    if (list == NULL)
        list = json_set_array(owner, "attributes");
    struct json *attribute = json_add_object(list);
    if (*key != '\0')
        json_set_string(attribute, "key", key);
    json_set(attribute, "value", any);
}

static void change(struct json *owner, const struct pipeline_attribute_change *wanted)
{
    bool present = find_attribute(owner, wanted->key) != NULL;
    struct json *any = NULL;

    if (wanted->action == PIPELINE_CHANGE_DELETE) {
        remove_attribute(owner, wanted->key);
        return;
    }
    if ((present && wanted->action == PIPELINE_CHANGE_INSERT) ||
        (!present && wanted->action == PIPELINE_CHANGE_UPDATE))
        return;
    if (wanted->value != NULL) {
        any = json_new_object();
        json_set_string(any, "stringValue", wanted->value);
    } else {
        const struct json *from = find_attribute(owner, wanted->from_attribute);
        if (from == NULL)
            return;
        any = json_get(from, "value") == NULL ? json_new_object()
                                              : json_clone(json_get(from, "value"));
    }
    if (wanted->action == PIPELINE_CHANGE_RENAME)
        remove_attribute(owner, wanted->from_attribute);
    set_attribute(owner, wanted->key, &any);
}

/* Every text of the kinds that redact.h names, and every value of a key. `key` is what the node, or
 * the list that it is in, is called. */
static void redact(struct json *node, const char *key, const struct pipeline_redact *wanted)
{
    JSON_EACH(member, node) {
        const char *name = json_kind(node) == JSON_OBJECT ? json_key(member) : key;
        bool text = strcmp(name, "stringValue") == 0 ||
                    (strcmp(name, "name") == 0 &&
                     (strcmp(key, "spans") == 0 || strcmp(key, "events") == 0)) ||
                    (strcmp(name, "message") == 0 && strcmp(key, "status") == 0);
        if (json_kind(member) == JSON_STRING && text) {
            for (size_t i = 0; i < wanted->patterns.count; i++) {
                AUTO(regex_free) struct regex *regex = NULL;
                AUTO(buf_fini) struct buf out = {0};
                struct regex_span span = {0};
                const char *now = json_string(member, "");
                size_t from = 0, next = 0;
                assert_ok(regex_compile(wanted->patterns.items[i], &regex, NULL));
                while (next <= strlen(now) &&
                       regex_search(regex, bytes_from(now), next, &span, 1) == REGEX_YES) {
                    assert_ok(buf_append(
                        &out, (struct bytes){(const uint8_t *)now + from, span.from - from}));
                    assert_ok(buf_append_text(&out, REDACT_MARK));
                    from = span.to;
                    next = regex_after(bytes_from(now), span);
                }
                assert_ok(buf_append_text(&out, now + from));
                json_change_string(member, buf_text(&out));
            }
        }
        redact(member, name, wanted);
    }
    for (size_t i = 0; i < wanted->keys.count; i++) {
        struct json *any = json_get(node, "value");
        bool key_value = strcmp(key, "attributes") == 0 || strcmp(key, "values") == 0 ||
                         strcmp(key, "filteredAttributes") == 0 || strcmp(key, "metadata") == 0;
        if (json_kind(node) == JSON_OBJECT && key_value &&
            strcmp(json_string(json_get(node, "key"), ""), wanted->keys.items[i]) == 0 &&
            json_get(node, "stringValue") == NULL) {
            any = json_new_object();
            json_set_string(any, "stringValue", REDACT_MARK);
            json_set(node, "value", &any);
        }
    }
}

static bool drops(const struct pipeline_processor *step, struct place *place)
{
    AUTO(expr_free) struct expr *expr = NULL;
    const char *advice = NULL;

    if (step->filter == NULL)
        return false;
    assert_ok(expr_parse(step->filter->drop, &expr, &advice, NULL));
    return (expr_signals(expr) >> place->signal & 1) != 0 && expr_eval(expr, lookup, place);
}

static void change_all(struct json *owner, const struct pipeline_attributes *wanted,
                       enum pipeline_on on)
{
    for (size_t i = 0; wanted != NULL && wanted->on == on && i < wanted->action_count; i++)
        change(owner, &wanted->actions[i]);
}

static const char *const names[SIGNAL_COUNT][3] = {{"resourceSpans", "scopeSpans", "spans"},
                                                   {"resourceMetrics", "scopeMetrics", "metrics"},
                                                   {"resourceLogs", "scopeLogs", "logRecords"}};
static const char *const datas[] = {"gauge", "sum", "histogram", "exponentialHistogram", "summary"};

static size_t count_items(const struct json *node)
{
    static const char *const lists[] = {"spans", "logRecords", "dataPoints"};
    size_t count = 0;

    for (size_t i = 0; i < 3; i++)
        count += json_size(json_get(node, lists[i]));
    JSON_EACH(member, node)
        count += count_items(member);
    return count;
}

/* Does a step to each element of a list, which says whether it loses something; what has lost and
 * has no items left goes. */
typedef bool do_fn(struct json *element, const struct pipeline_processor *step,
                   struct place *place);

static bool do_list(struct json *owner, const char *name, do_fn *do_one,
                    const struct pipeline_processor *step, struct place *place)
{
    struct json *kept = json_new_array();
    bool any_lost = false;

    JSON_EACH(element, json_get(owner, name)) {
        bool lost = do_one(element, step, place);
        any_lost = any_lost || lost;
        if (lost && count_items(element) == 0)
            continue;
        struct json *copy = json_clone(element);
        json_add(kept, &copy);
    }
    if (json_size(kept) > 0)
        json_set(owner, name, &kept);
    else
        json_remove(owner, name);
    json_free(&kept);
    return any_lost;
}

/* True for an item is: it goes. */
static bool do_item(struct json *item, const struct pipeline_processor *step, struct place *place)
{
    place->item = item;
    if (drops(step, place))
        return true;
    change_all(item, step->attributes, PIPELINE_ON_ITEM);
    return false;
}

static bool do_metric(struct json *metric, const struct pipeline_processor *step,
                      struct place *place)
{
    bool lost = false;

    place->metric = metric;
    for (size_t i = 0; i < sizeof datas / sizeof datas[0]; i++) {
        struct json *data = json_get(metric, datas[i]);
        if (data == NULL || !do_list(data, "dataPoints", do_item, step, place))
            continue;
        lost = true;
        if (count_items(data) == 0)
            json_remove(metric, datas[i]);
    }
    return lost;
}

static bool do_scope(struct json *scope, const struct pipeline_processor *step, struct place *place)
{
    place->scope = scope;
    if (step->attributes != NULL && step->attributes->on == PIPELINE_ON_SCOPE)
        change_all(json_need_object(scope, "scope"), step->attributes, PIPELINE_ON_SCOPE);
    return do_list(scope, names[place->signal][2],
                   place->signal == SIGNAL_METRICS ? do_metric : do_item, step, place);
}

static bool do_resource(struct json *resource, const struct pipeline_processor *step,
                        struct place *place)
{
    if (step->attributes != NULL && step->attributes->on == PIPELINE_ON_RESOURCE)
        change_all(json_need_object(resource, "resource"), step->attributes, PIPELINE_ON_RESOURCE);
    place->resource = json_get(resource, "resource");
    return do_list(resource, names[place->signal][1], do_scope, step, place);
}

static void do_step(struct json *root, const struct pipeline_processor *step, enum signal signal)
{
    struct place place = {.signal = signal};

    do_list(root, names[signal][0], do_resource, step, &place);
    if (step->redact != NULL)
        redact(root, "", step->redact);
}

/* An empty object says no more than none. */
static void prune(struct json *node)
{
    static const char *const heads[] = {"resource", "scope"};

    for (size_t i = 0; i < 2; i++)
        if (json_kind(json_get(node, heads[i])) == JSON_OBJECT &&
            json_size(json_get(node, heads[i])) == 0)
            json_remove(node, heads[i]);
    JSON_EACH(member, node)
        prune(member);
}

/* ---- both */

static struct json *to_json(enum signal signal, struct bytes request)
{
    AUTO(buf_fini) struct buf text = {0};
    struct json *json = NULL;

    assert_ok(otlp_json_write(signal, request, &text, NULL));
    assert_ok(json_parse(buf_bytes(&text), JSON_MAX, &json, NULL));
    return json;
}

static const struct {
    const char *processors;
    bool odd; /* also on requests that are as strange as protobuf allows */
} plans[] = {
    {"        - attributes: {actions: [{key: k, value: v}, {key: GET, action: delete},"
     " {key: new, value: v, action: insert}, {key: checkout, value: v, action: update}]}\n"
     "        - attributes: {\"on\": item, actions: [{key: k, value: v, action: update},"
     " {key: service.name, action: delete}]}\n"
     "        - attributes: {\"on\": scope, actions: [{key: s, value: v}]}\n",
     true},
    {"        - attributes: {actions: [{key: a, fromAttribute: k, action: rename},"
     " {key: b, fromAttribute: service.name}]}\n"
     "        - attributes: {\"on\": item, actions: [{key: a, fromAttribute: GET, action: rename},"
     " {key: GET, fromAttribute: k, action: insert}]}\n",
     false},
    {"        - redact: {keys: [k, GET], patterns: ['check\\w*', 'a l[^ ]*']}\n", true},
    {"        - filter: {drop: 'exists attributes[\"k\"] or attributes[\"GET\"] == true'}\n",
     false},
    {"        - filter: {drop: 'name =~ \"^(GET|check)\"'}\n"
     "        - filter: {drop: 'resource[\"service.name\"] != \"GET\" and not exists "
     "resource[\"k\"]'}\n",
     false},
    {"        - attributes: {actions: [{key: x.y, value: v, action: update},"
     " {key: x.y, fromAttribute: k}]}\n"
     "        - filter: {drop: 'x.y == \"checkout\"'}\n"
     "        - attributes: {\"on\": item, actions: [{key: k, action: delete}]}\n"
     "        - filter: {drop: 'exists attributes[\"k\"] or exists attributes[\"GET\"]'}\n"
     "        - redact: {keys: [x.y], patterns: ['GET']}\n",
     false},
};

static void compare(unsigned seed, unsigned plan)
{
    AUTO(pipeline_free)
    struct pipeline *pipeline = processors_pipeline(plans[plan].processors, "[]");
    AUTO(process_destroy) struct process *process = processors_make(plans[plan].processors);
    AUTO(buf_fini) struct buf request = {0}, texts = {0};
    AUTO(json_free) struct json *want = NULL, *got = NULL;
    struct otlp_random random = {.state = seed, .odd = plans[plan].odd && seed % 2 == 0};
    enum signal signal = (enum signal)(seed / 2 % SIGNAL_COUNT);
    const struct pipeline_edge *edge = &pipeline->edges[0];
    struct otlp_summary before = {0}, after = {0};
    struct process_counts counts;
    struct error error = {0};
    struct bytes out;
    uint32_t items = 0, dropped = 0;

    otlp_random_request(&random, signal, &request);
    assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &before, NULL));
    assert_ok(
        process_run(process, signal, buf_bytes(&request), SIZE_MAX, &out, &items, &counts, NULL));
    if (otlp_walk(signal, out, NULL, &after, &error))
        fail_msg("seed %u, plan %u: %s", seed, plan, error.text);
    assert_int_equal(after.items, items);
    for (size_t i = 0; i < counts.count; i++)
        dropped += counts.list[i].items;
    assert_int_equal(before.items, items + dropped);

    want = to_json(signal, buf_bytes(&request));
    got = to_json(signal, out);
    for (size_t i = 0; i < edge->processor_count; i++)
        do_step(want, &edge->processors[i], signal);
    prune(want);
    prune(got);
    if (json_equal(want, got))
        return;
    assert_ok(buf_append_text(&texts, "\nwant: "));
    assert_ok(json_print(want, &texts));
    assert_ok(buf_append_text(&texts, "\ngot:  "));
    assert_ok(json_print(got, &texts));
    fprintf(stderr, "%s\n", buf_text(&texts));
    fail_msg("seed %u, plan %u", seed, plan);
}

static void test_does_what_a_naive_reference_does(void **state)
{
    (void)state;
    for (unsigned plan = 0; plan < sizeof plans / sizeof plans[0]; plan++)
        for (unsigned seed = 0; seed < ROUNDS / 6; seed++)
            compare(seed * 7919 + plan, plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_what_a_naive_reference_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
