/* struct json is cJSON's node under another name: no header but this file's includes cJSON. cJSON's
 * own parser recurses and has a depth limit far above what any document of ours needs, so depth is
 * checked by a scan of the text beforehand. */
#include "common/json.h"

#include "common/assert.h"
#include "common/xalloc.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

static cJSON *node(const struct json *json)
{
    union {
        const struct json *in;
        cJSON *out;
    } view = {.in = json}; /* cJSON's readers take non-const pointers in places */
    return view.out;
}

static struct json *wrap(cJSON *item)
{
    return (struct json *)item;
}

static cJSON *made(cJSON *item)
{
    if (item == NULL)
        xalloc_fail(0); /* the header says so */
    return item;
}

/* Deepest nesting of brackets outside strings. */
static size_t text_depth(struct bytes text)
{
    size_t depth = 0, deepest = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > deepest)
                deepest = depth;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

enum err json_parse(struct bytes text, size_t size_max, struct json **ret_json, struct error *error)
{
    if (text.len > size_max)
        return error_set(error, ERR_FULL, "JSON of %zu bytes is above the limit of %zu", text.len,
                         size_max);
    if (text_depth(text) > JSON_DEPTH_MAX)
        return error_set(error, ERR_INVALID, "JSON is nested deeper than %d", JSON_DEPTH_MAX);
    if (text.len == 0)
        return error_set(error, ERR_INVALID, "JSON is empty");

    const char *end = NULL, *start = (const char *)text.data;
    cJSON *root = cJSON_ParseWithLengthOpts(start, text.len, &end, 0);
    if (root == NULL)
        return error_set(error, ERR_INVALID, "bad JSON at byte %zu",
                         end == NULL ? (size_t)0 : (size_t)(end - start));
    for (const char *at = end; at < start + text.len; at++) {
        if (strchr(" \t\r\n", *at) == NULL || *at == '\0') {
            size_t offset = (size_t)(at - start);
            cJSON_Delete(root);
            return error_set(error, ERR_INVALID, "JSON goes on behind its end at byte %zu", offset);
        }
    }
    *ret_json = wrap(root);
    return OK;
}

void json_free(struct json **json)
{
    cJSON_Delete(node(*json));
    *json = NULL;
}

static enum err print_as(char *text, struct buf *into)
{
    if (text == NULL)
        return ERR_NOMEM;
    enum err err = buf_append_text(into, text);
    cJSON_free(text);
    return err;
}

enum err json_print(const struct json *json, struct buf *into)
{
    return print_as(cJSON_PrintUnformatted(node(json)), into);
}

/* cJSON lays out with tabs, which kubectl shows as "\\t" in one long line. In strings it escapes
 * them, so that all there are can be replaced. */
enum err json_print_pretty(const struct json *json, struct buf *into)
{
    AUTO(buf_fini) struct buf tabs = {0}, spaces = {0};

    enum err err = print_as(cJSON_Print(node(json)), &tabs);
    for (size_t i = 0; i < tabs.len && err == OK; i++) {
        if (tabs.data[i] != '\t')
            err = buf_append_byte(&spaces, tabs.data[i]);
        else
            err = buf_append_text(&spaces, tabs.data[i - 1] == ':' ? " " : "  ");
    }
    return err ? err : buf_append(into, buf_bytes(&spaces));
}

enum json_kind json_kind(const struct json *json)
{
    const cJSON *item = node(json);
    if (item == NULL)
        return JSON_NONE;
    if (cJSON_IsBool(item))
        return JSON_BOOL;
    if (cJSON_IsNumber(item))
        return JSON_NUMBER;
    if (cJSON_IsString(item))
        return JSON_STRING;
    if (cJSON_IsArray(item))
        return JSON_ARRAY;
    if (cJSON_IsObject(item))
        return JSON_OBJECT;
    return JSON_NULL;
}

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {
        [JSON_NONE] = "nothing",    [JSON_NULL] = "null",       [JSON_BOOL] = "true or false",
        [JSON_NUMBER] = "a number", [JSON_STRING] = "a string", [JSON_ARRAY] = "a list",
        [JSON_OBJECT] = "an object"};
    return names[kind];
}

struct json *json_get(const struct json *object, const char *key)
{
    if (json_kind(object) != JSON_OBJECT)
        return NULL;
    return wrap(cJSON_GetObjectItemCaseSensitive(node(object), key));
}

struct json *json_at(const struct json *object, const char *path)
{
    struct json *at = wrap(node(object));

    while (at != NULL && *path != '\0') {
        char key[128];
        size_t len = strcspn(path, ".");
        ASSERT(len < sizeof key);
        memcpy(key, path, len);
        key[len] = '\0';
        at = json_get(at, key);
        path += len + (path[len] == '.');
    }
    return at;
}

const char *json_string(const struct json *json, const char *fallback)
{
    return json_kind(json) == JSON_STRING ? node(json)->valuestring : fallback;
}

bool json_bool(const struct json *json, bool fallback)
{
    return json_kind(json) == JSON_BOOL ? cJSON_IsTrue(node(json)) : fallback;
}

double json_number(const struct json *json, double fallback)
{
    return json_kind(json) == JSON_NUMBER ? node(json)->valuedouble : fallback;
}

int64_t json_int(const struct json *json, int64_t fallback)
{
    const double limit = 9007199254740992.0; /* 2^53 */

    if (json_kind(json) != JSON_NUMBER || isnan(node(json)->valuedouble))
        return fallback;
    double value = node(json)->valuedouble;
    if (value > limit)
        value = limit;
    if (value < -limit)
        value = -limit;
    return (int64_t)value;
}

size_t json_size(const struct json *json)
{
    size_t n = 0;
    JSON_EACH(element, json)
        n++;
    return n;
}

struct json *json_first(const struct json *json)
{
    enum json_kind kind = json_kind(json);
    return kind == JSON_ARRAY || kind == JSON_OBJECT ? wrap(node(json)->child) : NULL;
}

struct json *json_next(const struct json *element)
{
    return element == NULL ? NULL : wrap(node(element)->next);
}

struct json *json_item(const struct json *array, size_t index)
{
    struct json *at = json_first(array);
    while (at != NULL && index-- > 0)
        at = json_next(at);
    return at;
}

const char *json_key(const struct json *member)
{
    return member == NULL || node(member)->string == NULL ? "" : node(member)->string;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return cJSON_Compare(node(a), node(b), 1);
}

struct json *json_new_object(void)
{
    return wrap(made(cJSON_CreateObject()));
}

struct json *json_new_array(void)
{
    return wrap(made(cJSON_CreateArray()));
}

struct json *json_new_string(const char *value)
{
    return wrap(made(cJSON_CreateString(value)));
}

struct json *json_new_number(double value)
{
    return wrap(made(cJSON_CreateNumber(value)));
}

struct json *json_new_bool(bool value)
{
    return wrap(made(cJSON_CreateBool(value)));
}

struct json *json_new_null(void)
{
    return wrap(made(cJSON_CreateNull()));
}

struct json *json_clone(const struct json *json)
{
    return json == NULL ? NULL : wrap(made(cJSON_Duplicate(node(json), 1)));
}

struct json *json_set(struct json *object, const char *key, struct json **value)
{
    ASSERT(json_kind(object) == JSON_OBJECT);
    ASSERT(*value != NULL);
    struct json *owned = *value;

    *value = NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(node(object), key);
    if (!cJSON_AddItemToObject(node(object), key, node(owned)))
        xalloc_fail(0);
    return owned;
}

void json_set_string(struct json *object, const char *key, const char *value)
{
    struct json *item = json_new_string(value);
    json_set(object, key, &item);
}

void json_set_number(struct json *object, const char *key, double value)
{
    struct json *item = json_new_number(value);
    json_set(object, key, &item);
}

void json_set_bool(struct json *object, const char *key, bool value)
{
    struct json *item = json_new_bool(value);
    json_set(object, key, &item);
}

void json_change_string(struct json *string, const char *value)
{
    ASSERT(json_kind(string) == JSON_STRING);
    if (cJSON_SetValuestring(node(string), value) == NULL)
        xalloc_fail(0);
}

struct json *json_set_object(struct json *object, const char *key)
{
    struct json *item = json_new_object();
    return json_set(object, key, &item);
}

struct json *json_set_array(struct json *object, const char *key)
{
    struct json *item = json_new_array();
    return json_set(object, key, &item);
}

struct json *json_add(struct json *array, struct json **value)
{
    ASSERT(json_kind(array) == JSON_ARRAY);
    ASSERT(*value != NULL);
    struct json *owned = *value;

    *value = NULL;
    if (!cJSON_AddItemToArray(node(array), node(owned)))
        xalloc_fail(0);
    return owned;
}

struct json *json_add_object(struct json *array)
{
    struct json *item = json_new_object();
    return json_add(array, &item);
}

void json_add_string(struct json *array, const char *value)
{
    struct json *item = json_new_string(value);
    json_add(array, &item);
}

struct json *json_need_object(struct json *object, const char *key)
{
    struct json *found = json_get(object, key);
    return json_kind(found) == JSON_OBJECT ? found : json_set_object(object, key);
}

void json_remove(struct json *object, const char *key)
{
    if (json_kind(object) == JSON_OBJECT)
        cJSON_DeleteItemFromObjectCaseSensitive(node(object), key);
}

struct json *json_take(struct json *object, const char *key)
{
    if (json_kind(object) != JSON_OBJECT)
        return NULL;
    return wrap(cJSON_DetachItemFromObjectCaseSensitive(node(object), key));
}
