/* Events of libyaml arrive one by one and hang nodes into a tree whose open collections are on a
 * stack. libyaml's own limits don't bound aliases ("billion laughs"), so nodes are counted, those
 * of a copied alias before it is copied. */
#include "common/yaml.h"

#include "common/assert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

enum { KEY_MAX = 512, NUMBER_MAX = 64 };

struct anchor {
    char *name;
    const struct json *node;
};

struct level {
    struct json *node;
    char *key; /* of an object: the one whose value comes next */
};

struct builder {
    struct json *documents;
    struct json *root; /* of the document that is open */
    struct level stack[JSON_DEPTH_MAX];
    size_t depth, nodes;
    struct anchor anchors[YAML_ANCHORS_MAX];
    size_t anchor_count;
    yaml_mark_t mark; /* of the event at hand */
    struct error *error;
};

static enum err fail(const struct builder *builder, enum err code, const char *what)
{
    return error_set(builder->error, code, "line %zu, column %zu: %s", builder->mark.line + 1,
                     builder->mark.column + 1, what);
}

static void forget_anchors(struct builder *builder)
{
    for (size_t i = 0; i < builder->anchor_count; i++)
        free(builder->anchors[i].name);
    builder->anchor_count = 0;
}

static void builder_fini(struct builder *builder)
{
    forget_anchors(builder);
    for (size_t i = 0; i < builder->depth; i++)
        free(builder->stack[i].key);
    json_free(&builder->root);
    json_free(&builder->documents);
}

/* ---- scalars */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* [-+]? digits, with digits of the base. */
static bool is_integer(const char *text)
{
    text += *text == '-' || *text == '+';
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool is_float(const char *text)
{
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, "0123456789"), part = 0;
    text += whole;
    if (*text == '.') {
        part = strspn(++text, "0123456789");
        text += part;
    }
    if (whole + part == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = strspn(text, "0123456789");
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == '\0';
}

/* 0x1F, 0o17 */
static bool is_based(const char *text)
{
    const char *digits = NULL;

    if (strncmp(text, "0x", 2) == 0)
        digits = "0123456789abcdefABCDEF";
    else if (strncmp(text, "0o", 2) == 0)
        digits = "01234567";
    return digits != NULL && text[2] != '\0' && text[2 + strspn(text + 2, digits)] == '\0';
}

/* What YAML 1.1, as Kubernetes reads it, takes for a number and 1.2 doesn't, or for another one:
 * 0644 (420), 1_000, 0b11, 0X1F, -0x1F. */
static bool is_ambiguous_number(const char *text)
{
    if (is_based(text))
        return false;
    text += *text == '-' || *text == '+';
    if (*text < '0' || *text > '9')
        return false;
    if (text[0] == '0' && text[1] != '\0' && strchr("xXoObB", text[1]) != NULL)
        return text[2] != '\0' && text[2 + strspn(text + 2, "0123456789abcdefABCDEF_")] == '\0';
    if (strchr(text, '_') != NULL)
        return text[strspn(text, "0123456789_.eE+-")] == '\0';
    return text[0] == '0' && text[1] >= '0' && text[1] <= '9' && is_integer(text);
}

static bool is_ambiguous_word(const char *text)
{
    static const char *const words[] = {"yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON",
                                        "off", "Off", "OFF", "y",  "Y",  "n",  "N",  NULL};
    return is_one_of(text, words);
}

static enum err plain_number(const struct builder *builder, const char *text,
                             struct json **ret_node)
{
    double value = 0;

    if (strncmp(text, "0x", 2) == 0 || strncmp(text, "0o", 2) == 0) {
        int base = text[1] == 'x' ? 16 : 8;
        char *end = NULL;
        unsigned long long whole = strtoull(text + 2, &end, base);
        if (whole > 1ull << 53)
            return fail(builder, ERR_INVALID,
                        "the number is too large to be exact. Put it in quotes");
        value = (double)whole;
    } else {
        value = strtod(text, NULL);
    }
    if (!isfinite(value))
        return fail(builder, ERR_INVALID, "the number is too large");
    *ret_node = json_new_number(value);
    return OK;
}

static enum err plain(const struct builder *builder, const char *text, struct json **ret_node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const odd[] = {".inf",  ".Inf", ".INF", "+.inf", "-.inf", "-.Inf",
                                      "-.INF", ".nan", ".NaN", ".NAN",  NULL};

    if (is_one_of(text, nulls))
        *ret_node = json_new_null();
    else if (is_one_of(text, trues) || is_one_of(text, falses))
        *ret_node = json_new_bool(is_one_of(text, trues));
    else if (is_ambiguous_word(text))
        return fail(
            builder, ERR_INVALID,
            "Kubernetes reads this word as true or false. Write true or false, or put it in "
            "quotes");
    else if (is_ambiguous_number(text))
        return fail(builder, ERR_INVALID,
                    "Kubernetes reads this as another number. Put it in quotes, or write it in "
                    "plain digits");
    else if (is_one_of(text, odd))
        return fail(builder, ERR_INVALID, "infinity and NaN can't be told in JSON");
    else if (strlen(text) < NUMBER_MAX && (is_integer(text) || is_float(text) || is_based(text)))
        return plain_number(builder, text, ret_node);
    else
        *ret_node = json_new_string(text);
    return OK;
}

/* libyaml hands out valid UTF-8 with a length; a NUL inside comes from "\0". */
static enum err scalar_text(const struct builder *builder, const yaml_event_t *event,
                            const char **ret_text)
{
    const char *text = (const char *)event->data.scalar.value;

    if (text == NULL || strlen(text) != event->data.scalar.length)
        return fail(builder, ERR_INVALID, "the string holds a NUL");
    if (event->data.scalar.tag != NULL)
        return fail(builder, ERR_INVALID, "tags are not taken. Leave it out");
    *ret_text = text;
    return OK;
}

/* ---- the tree */

static enum err count_nodes(struct builder *builder, size_t more)
{
    if (more > YAML_NODES_MAX - builder->nodes)
        return fail(builder, ERR_FULL,
                    "the text has too many values (aliases count as often as used)");
    builder->nodes += more;
    return OK;
}

/* Hangs *node where the next value belongs and says where it is now. */
static struct json *hang(struct builder *builder, struct json **node)
{
    struct json *hung = *node;

    if (builder->depth == 0) {
        MOVE(builder->root, *node);
        return hung;
    }
    struct level *top = &builder->stack[builder->depth - 1];
    if (json_kind(top->node) == JSON_ARRAY)
        return json_add(top->node, node);
    ASSERT(top->key != NULL);
    json_set(top->node, top->key, node);
    free(top->key);
    top->key = NULL;
    return hung;
}

static bool wants_key(const struct builder *builder)
{
    if (builder->depth == 0)
        return false;
    const struct level *top = &builder->stack[builder->depth - 1];
    return json_kind(top->node) == JSON_OBJECT && top->key == NULL;
}

static enum err take_key(struct builder *builder, const yaml_event_t *event)
{
    struct level *top = &builder->stack[builder->depth - 1];
    const char *text = "";

    enum err err = scalar_text(builder, event, &text);
    if (err)
        return err;
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (strlen(text) > KEY_MAX)
        return fail(builder, ERR_INVALID, "the key is too long");
    if (is_plain && strcmp(text, "<<") == 0)
        return fail(builder, ERR_INVALID, "merge keys are not taken. Write the fields out");
    if (is_plain && is_ambiguous_word(text))
        return fail(builder, ERR_INVALID,
                    "Kubernetes reads this key as true or false. Put it in quotes");
    if (json_get(top->node, text) != NULL)
        return fail(builder, ERR_INVALID, "the key is here for the second time");
    top->key = strdup(text);
    return top->key == NULL ? ERR_NOMEM : OK;
}

static enum err note_anchor(struct builder *builder, const yaml_char_t *name,
                            const struct json *node)
{
    if (name == NULL)
        return OK;
    if (builder->anchor_count == YAML_ANCHORS_MAX)
        return fail(builder, ERR_FULL, "the document has too many anchors");
    char *copy = strdup((const char *)name);
    if (copy == NULL)
        return ERR_NOMEM;
    builder->anchors[builder->anchor_count++] = (struct anchor){copy, node};
    return OK;
}

static enum err on_scalar(struct builder *builder, const yaml_event_t *event)
{
    const char *text = "";
    struct json *node = NULL;

    if (wants_key(builder)) {
        if (event->data.scalar.anchor != NULL)
            return fail(builder, ERR_INVALID, "a key has an anchor. Leave it out");
        return take_key(builder, event);
    }
    enum err err = scalar_text(builder, event, &text);
    if (!err)
        err = count_nodes(builder, 1);
    if (err)
        return err;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        err = plain(builder, text, &node);
    else
        node = json_new_string(text);
    if (err)
        return err;
    return note_anchor(builder, event->data.scalar.anchor, hang(builder, &node));
}

static enum err on_start(struct builder *builder, struct json *(*create)(void),
                         const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (tag != NULL)
        return fail(builder, ERR_INVALID, "tags are not taken. Leave it out");
    if (wants_key(builder))
        return fail(builder, ERR_INVALID, "a key must be a string");
    if (builder->depth == JSON_DEPTH_MAX)
        return fail(builder, ERR_INVALID, "the text is nested too deep");
    enum err err = count_nodes(builder, 1);
    if (err)
        return err;
    struct json *node = create();
    struct json *hung = hang(builder, &node);
    builder->stack[builder->depth++] = (struct level){.node = hung};
    return note_anchor(builder, anchor, hung);
}

static size_t size_of(const struct json *node)
{
    size_t size = 1;
    JSON_EACH(child, node)
        size += size_of(child); /* at most JSON_DEPTH_MAX deep */
    return size;
}

static size_t depth_of(const struct json *node)
{
    size_t deepest = 0;
    JSON_EACH(child, node) {
        size_t depth = depth_of(child);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

static enum err on_alias(struct builder *builder, const yaml_char_t *name)
{
    const struct json *target = NULL;

    if (wants_key(builder))
        return fail(builder, ERR_INVALID, "a key must be a string");
    for (size_t i = builder->anchor_count; i-- > 0 && target == NULL;)
        if (strcmp(builder->anchors[i].name, (const char *)name) == 0)
            target = builder->anchors[i].node;
    if (target == NULL)
        return fail(builder, ERR_INVALID, "there is no anchor of that name before it");
    for (size_t i = 0; i < builder->depth; i++)
        if (builder->stack[i].node == target)
            return fail(builder, ERR_INVALID, "the alias stands inside of what it means");
    if (builder->depth + depth_of(target) > JSON_DEPTH_MAX)
        return fail(builder, ERR_INVALID, "the text is nested too deep");
    enum err err = count_nodes(builder, size_of(target));
    if (err)
        return err;
    struct json *copy = json_clone(target);
    hang(builder, &copy);
    return OK;
}

static void on_document_end(struct builder *builder)
{
    if (json_kind(builder->root) == JSON_NULL)
        json_free(&builder->root);
    if (builder->root != NULL)
        json_add(builder->documents, &builder->root);
    forget_anchors(builder);
}

static enum err on_event(struct builder *builder, const yaml_event_t *event)
{
    builder->mark = event->start_mark;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(builder, event);
    case YAML_ALIAS_EVENT:
        return on_alias(builder, event->data.alias.anchor);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(builder, json_new_array, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_start(builder, json_new_object, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        return OK;
    case YAML_DOCUMENT_END_EVENT:
        on_document_end(builder);
        return OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
        return OK;
    }
    return OK;
}

static enum err parser_error(const yaml_parser_t *parser, struct error *error)
{
    const char *problem = parser->problem == NULL ? "can't be read" : parser->problem;

    if (parser->error == YAML_MEMORY_ERROR)
        return error_set(error, ERR_NOMEM, "parse YAML");
    if (parser->error == YAML_READER_ERROR)
        return error_set(error, ERR_INVALID, "byte %zu: %s", parser->problem_offset, problem);
    return error_set(error, ERR_INVALID, "line %zu, column %zu: %s%s%s",
                     parser->problem_mark.line + 1, parser->problem_mark.column + 1, problem,
                     parser->context == NULL ? "" : " ",
                     parser->context == NULL ? "" : parser->context);
}

static enum err parse_events(yaml_parser_t *parser, struct builder *builder)
{
    bool end = false;

    while (!end) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return parser_error(parser, builder->error);
        end = event.type == YAML_STREAM_END_EVENT;
        enum err err = on_event(builder, &event);
        yaml_event_delete(&event);
        if (err)
            return err;
    }
    return OK;
}

/* JSON is YAML but for details (surrogate pairs, tabs); what is JSON is read as JSON. */
static bool take_json(struct bytes text, size_t size_max, struct json *documents)
{
    struct json *root = NULL;
    size_t at = 0;

    while (at < text.len && text.data[at] != '\0' && strchr(" \t\r\n", text.data[at]) != NULL)
        at++;
    if (at == text.len || text.data[at] != '{')
        return false;
    if (json_parse(text, size_max, &root, NULL) != OK)
        return false;
    if (size_of(root) > YAML_NODES_MAX) {
        json_free(&root);
        return false; /* YAML will say so */
    }
    json_add(documents, &root);
    return true;
}

enum err yaml_parse(struct bytes text, size_t size_max, struct json **ret_documents,
                    struct error *error)
{
    AUTO(builder_fini) struct builder builder = {.error = error};
    AUTO(yaml_parser_delete) yaml_parser_t parser = {0};

    if (text.len > size_max)
        return error_set(error, ERR_FULL, "text of %zu bytes is above the limit of %zu", text.len,
                         size_max);
    builder.documents = json_new_array();
    if (text.len > 0 && !take_json(text, size_max, builder.documents)) {
        if (!yaml_parser_initialize(&parser))
            return error_set(error, ERR_NOMEM, "parse YAML");
        yaml_parser_set_input_string(&parser, text.data, text.len);
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        enum err err = parse_events(&parser, &builder);
        if (err)
            return err;
    }
    MOVE(*ret_documents, builder.documents);
    return OK;
}
