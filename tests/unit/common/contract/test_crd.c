/* The schema in crds/ and the tables of pipeline_shape.c say the same: what is read is in the
 * schema with the same default, limits and words; what is only in the schema is refused as not
 * built, and lets its own defaults through. */
// link: tests/support/golden.c
#include "tests/support/golden.h"
#include "tests/support/test.h"

#include "common/contract/duration.h"
#include "common/contract/pipeline_shape.h"
#include "common/yaml.h"

#include <stdio.h>

#define CRD "crds/telemetrypipelines.surgetank.dev.yaml"

enum { CRD_MAX = 200 * 1000, STRING_MAX = 253 };

static void compare_shape(const struct shape *shape, const struct json *schema, const char *path);

static struct json *load_crd(void)
{
    AUTO(buf_fini) struct buf text = {0};
    AUTO(json_free) struct json *documents = NULL;
    struct error error = {0};

    assert_true(golden_read(CRD, &text));
    assert_true(text.len < CRD_MAX);
    if (yaml_parse(buf_bytes(&text), CRD_MAX, &documents, &error))
        fail_msg(CRD ": %s", error.text);
    return json_clone(json_first(documents));
}

static const struct json *spec_schema(const struct json *crd)
{
    const struct json *version = json_first(json_at(crd, "spec.versions"));
    return json_at(version, "schema.openAPIV3Schema.properties.spec");
}

/* A scalar as one would write it. */
static const char *text_of(const struct json *value, char into[static 64])
{
    if (json_kind(value) == JSON_BOOL)
        return json_bool(value, false) ? "true" : "false";
    if (json_kind(value) != JSON_NUMBER)
        return json_string(value, NULL);
    snprintf(into, 64, "%lld", (long long)json_int(value, 0));
    return into;
}

static void compare_default(const struct field *field, const struct json *schema, const char *path)
{
    char number[64];
    const char *want = field->fallback;
    const char *got = text_of(json_get(schema, "default"), number);

    if (field->kind == FIELD_SECRET)
        got = json_string(json_at(schema, "properties.key.default"), NULL);
    if ((want == NULL) != (got == NULL) || (want != NULL && strcmp(want, got) != 0))
        fail_msg("%s: the table's default is %s, the schema's %s", path, want == NULL ? "-" : want,
                 got == NULL ? "-" : got);
}

static void compare_limit(const struct json *schema, const char *key, int64_t want,
                          const char *path)
{
    if (json_int(json_get(schema, key), -1) != want)
        fail_msg("%s: %s is %lld in the schema and %lld in the table", path, key,
                 (long long)json_int(json_get(schema, key), -1), (long long)want);
}

/* The table's words, in any order; what the schema has beyond them isn't built. */
static void compare_words(const struct field *field, const struct json *schema, const char *path)
{
    size_t found = 0, known = 0;

    while (field->words[known] != NULL)
        known++;
    JSON_EACH(word, json_get(schema, "enum")) {
        struct faults faults = {0};
        bool read = false;
        for (size_t i = 0; i < known; i++)
            read = read || strcmp(field->words[i], json_string(word, "")) == 0;
        found += read;
        if (!read && pipeline_judge(&faults, path, path, word) != FIELD_REFUSED)
            fail_msg("%s: '%s' is in the schema and neither read nor refused", path,
                     json_string(word, ""));
        faults_fini(&faults);
    }
    /* A word that only Kafka knows may be missing from an export's schema. */
    if (found != known && strstr(path, "export.") == NULL)
        fail_msg("%s: the schema lacks some of the table's words", path);
}

/* CEL says self.matches(...) && duration(self) >= duration('1m') && ... */
static void compare_range(const struct field *field, const struct json *schema, const char *path)
{
    char min[DURATION_TEXT_MAX], max[DURATION_TEXT_MAX], rule[256];

    duration_print(field->min, min);
    duration_print(field->max, max);
    snprintf(rule, sizeof rule,
             "self.matches(r\"^(0|([0-9]+(\\.[0-9]+)?(h|m|s|ms))+)$\") && "
             "duration(self) >= duration('%s') && duration(self) <= duration('%s')",
             min, max);
    const struct json *first = json_first(json_get(schema, "x-kubernetes-validations"));
    const char *got = json_string(json_get(first, "rule"), "");
    if (strcmp(got, rule) != 0)
        fail_msg("%s: the schema's rule is \"%s\", the table wants \"%s\"", path, got, rule);
}

static void compare_string(const struct field *field, const struct json *schema, const char *path)
{
    int64_t max = field->max > 0 ? field->max : STRING_MAX;

    if (json_get(schema, "enum") != NULL)
        return;
    if (json_int(json_get(schema, "maxLength"), INT64_MAX) > max)
        fail_msg("%s: maxLength is missing or above %lld", path, (long long)max);
}

static void compare_field(const struct field *field, const struct json *schema, const char *path)
{
    compare_default(field, schema, path);
    switch (field->kind) {
    case FIELD_INT:
        compare_limit(schema, "minimum", field->min, path);
        compare_limit(schema, "maximum", field->max, path);
        return;
    case FIELD_DURATION:
        compare_range(field, schema, path);
        return;
    case FIELD_WORD:
        compare_words(field, schema, path);
        return;
    case FIELD_STRING:
        compare_string(field, schema, path);
        return;
    case FIELD_STRINGS:
        compare_limit(schema, "maxItems", field->max, path);
        if (field->value_max > 0)
            compare_limit(json_get(schema, "items"), "maxLength", (int64_t)field->value_max, path);
        return;
    case FIELD_MAP:
        compare_limit(schema, "maxProperties", field->max, path);
        compare_limit(json_get(schema, "additionalProperties"), "maxLength",
                      (int64_t)field->value_max, path);
        return;
    case FIELD_LIST:
        compare_limit(schema, "maxItems", field->max, path);
        compare_shape(field->shape, json_get(schema, "items"), path);
        return;
    case FIELD_OBJECT:
    case FIELD_POINTER:
        compare_shape(field->shape, schema, path);
        return;
    case FIELD_RATIO:
        compare_limit(schema, "minimum", 0, path);
        compare_limit(schema, "maximum", 1, path);
        return;
    case FIELD_BOOL:
    case FIELD_SIZE:
    case FIELD_PERCENT:
    case FIELD_AMOUNT:
    case FIELD_RAW:
    case FIELD_SECRET:
        return;
    }
}

static const char *schema_type(enum field_kind kind)
{
    static const char *const types[] = {
        [FIELD_BOOL] = "boolean",   [FIELD_INT] = "integer",   [FIELD_DURATION] = "string",
        [FIELD_PERCENT] = "string", [FIELD_RATIO] = "number",  [FIELD_WORD] = "string",
        [FIELD_STRING] = "string",  [FIELD_STRINGS] = "array", [FIELD_MAP] = "object",
        [FIELD_SECRET] = "object",  [FIELD_OBJECT] = "object", [FIELD_POINTER] = "object",
        [FIELD_LIST] = "array"};
    return kind == FIELD_SIZE || kind == FIELD_AMOUNT || kind == FIELD_RAW ? NULL : types[kind];
}

static void join(const char *path, const struct field *field, char into[static FAULT_PATH_MAX])
{
    char plain[FAULT_PATH_MAX];

    fault_path(path, field->name, plain);
    snprintf(into, FAULT_PATH_MAX, "%.500s%s", plain, field->kind == FIELD_LIST ? "[]" : "");
}

/* What is in the schema and not in the table: refused, but for its own default. */
static void check_unbuilt(const struct json *schema, const char *path)
{
    struct faults faults = {0};
    AUTO(json_free) struct json *null = json_new_null();
    const struct json *fallback = json_get(schema, "default");

    if (pipeline_judge(&faults, path, path, null) != FIELD_TRIVIAL)
        fail_msg("%s: is in the schema and neither read nor refused", path);
    if (fallback != NULL && pipeline_judge(&faults, path, path, fallback) != FIELD_TRIVIAL)
        fail_msg("%s: the schema's default is refused", path);
    faults_fini(&faults);
}

static void compare_shape(const struct shape *shape, const struct json *schema, const char *path)
{
    const struct json *properties = json_get(schema, "properties");
    size_t found = 0;

    JSON_EACH(property, properties) {
        const struct field *field = NULL;
        char at[FAULT_PATH_MAX];

        for (size_t i = 0; i < shape->count; i++)
            if (strcmp(shape->fields[i].name, json_key(property)) == 0)
                field = &shape->fields[i];
        if (json_string(json_get(property, "description"), NULL) == NULL)
            fail_msg("%s.%s: has no description", path, json_key(property));
        if (field == NULL) {
            check_unbuilt(property, fault_path(path, json_key(property), at));
            continue;
        }
        found++;
        join(path, field, at);
        const char *type = schema_type(field->kind);
        if (type != NULL && strcmp(type, json_string(json_get(property, "type"), "")) != 0)
            fail_msg("%s: is no %s in the schema", at, type);
        compare_field(field, property, at);
    }
    if (found != shape->count)
        fail_msg("%s: %zu of %zu fields are in the schema", path, found, shape->count);
}

static void test_schema_and_tables_say_the_same(void **state)
{
    (void)state;
    AUTO(json_free) struct json *crd = load_crd();
    compare_shape(&shape_spec, spec_schema(crd), "spec");
}

/* Without a bound the API server would find rules too expensive, or take what nobody can store. */
static void assert_bounded(const struct json *schema, const char *path)
{
    const char *type = json_string(json_get(schema, "type"), "");
    char at[FAULT_PATH_MAX];

    bool counted = json_get(schema, "enum") != NULL || json_get(schema, "format") != NULL;
    if (strcmp(type, "string") == 0 && !counted && json_get(schema, "maxLength") == NULL)
        fail_msg("%s: has no maxLength", path);
    if (strcmp(type, "array") == 0 && json_get(schema, "maxItems") == NULL)
        fail_msg("%s: has no maxItems", path);
    if (json_get(schema, "additionalProperties") != NULL &&
        json_get(schema, "maxProperties") == NULL)
        fail_msg("%s: has no maxProperties", path);
    JSON_EACH(property, json_get(schema, "properties"))
        assert_bounded(property, fault_path(path, json_key(property), at));
    if (json_get(schema, "items") != NULL)
        assert_bounded(json_get(schema, "items"), fault_path(path, "items", at));
}

static void test_everything_in_the_schema_is_bounded(void **state)
{
    (void)state;
    AUTO(json_free) struct json *crd = load_crd();
    assert_bounded(spec_schema(crd), "spec");
}

/* Rules tell people what to do. */
static void assert_rules_speak(const struct json *schema)
{
    JSON_EACH(rule, json_get(schema, "x-kubernetes-validations")) {
        const char *message = json_string(json_get(rule, "message"), "");
        if (strlen(message) < 16)
            fail_msg("rule \"%s\" has no message", json_string(json_get(rule, "rule"), ""));
    }
    JSON_EACH(child, schema)
        assert_rules_speak(child);
}

static void test_every_rule_says_what_to_do(void **state)
{
    (void)state;
    AUTO(json_free) struct json *crd = load_crd();
    assert_rules_speak(crd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_and_tables_say_the_same),
        cmocka_unit_test(test_everything_in_the_schema_is_bounded),
        cmocka_unit_test(test_every_rule_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
