/* json: the door to cJSON. A `struct json` is a node of a tree; the root owns all of it.
 *
 * Reading is total: every getter accepts NULL and a node of another kind and then returns NULL, the
 * fallback or 0, so that json_string(json_at(pod, "status.podIP"), "") needs no checks in between.
 * Where the kind matters to a person, ask json_kind() and report the path yourself.
 *
 * Building never fails: memory for the small trees that we build ends the process when it is out
 * (a restart re-reads everything). Parsing outsiders' text is bounded and does fail.
 *
 * Numbers are doubles; whole numbers are exact up to 2^53. Strings are UTF-8 and hold no NUL.
 * Thread: a tree belongs to one thread at a time; trees that nobody changes may be read by several.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

struct json;

enum json_kind {
    JSON_NONE, /* no node at all */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* ---- text to tree and back */

#define JSON_DEPTH_MAX 64

/* Parses exactly one value. ERR_INVALID with the byte offset; ERR_FULL: longer than size_max bytes;
 * depth is bounded by JSON_DEPTH_MAX. */
NODISCARD enum err json_parse(struct bytes text, size_t size_max, struct json **ret_json,
                              struct error *error);
void json_free(struct json **json);

/* Appends compact text; `json_print_pretty` a member a line, indented by two spaces. */
NODISCARD enum err json_print(const struct json *json, struct buf *into);
NODISCARD enum err json_print_pretty(const struct json *json, struct buf *into);

/* ---- reading */

enum json_kind json_kind(const struct json *json);
const char *json_kind_name(enum json_kind kind); /* "a string", "an object", for sentences */

/* Member of an object by exact key. */
struct json *json_get(const struct json *object, const char *key);

/* Walks a dotted path of keys: "spec.template.spec". Keys that hold dots need json_get(). */
struct json *json_at(const struct json *object, const char *path);

const char *json_string(const struct json *json, const char *fallback);
bool json_bool(const struct json *json, bool fallback);
double json_number(const struct json *json, double fallback);
int64_t json_int(const struct json *json, int64_t fallback); /* truncates; clamps to +-2^53 */

/* Elements of an array or members of an object, in order. */
size_t json_size(const struct json *json);
struct json *json_first(const struct json *json);
struct json *json_next(const struct json *element);
struct json *json_item(const struct json *array, size_t index);
const char *json_key(const struct json *member); /* "" for array elements */

#define JSON_EACH(element, parent) \
    for (struct json *element = json_first(parent); element != NULL; element = json_next(element))

/* Equal as JSON values: the order of members does not matter, that of elements does. */
bool json_equal(const struct json *a, const struct json *b);

/* ---- building */

struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_string(const char *value);
struct json *json_new_number(double value);
struct json *json_new_bool(bool value);
struct json *json_new_null(void);
struct json *json_clone(const struct json *json);

/* Puts `*value` under `key`, replacing what was there; takes ownership and leaves NULL. Returns the
 * value, which the object now owns. */
struct json *json_set(struct json *object, const char *key, struct json **value);
void json_set_string(struct json *object, const char *key, const char *value);
void json_set_number(struct json *object, const char *key, double value);
void json_set_bool(struct json *object, const char *key, bool value);

/* Gives a string node another value, in place. */
void json_change_string(struct json *string, const char *value);

/* New, empty child under `key` or at the end, replacing what was there; returns it. */
struct json *json_set_object(struct json *object, const char *key);
struct json *json_set_array(struct json *object, const char *key);
struct json *json_add_object(struct json *array);
struct json *json_add(struct json *array, struct json **value);
void json_add_string(struct json *array, const char *value);

/* The object under `key`, made if it is missing or something else. */
struct json *json_need_object(struct json *object, const char *key);

void json_remove(struct json *object, const char *key);

/* Takes a member or element out of its parent; the caller owns it. NULL if absent. */
struct json *json_take(struct json *object, const char *key);

#endif
