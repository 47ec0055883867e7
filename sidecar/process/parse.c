#include "sidecar/process/parse.h"

#include "common/contract/signal.h"
#include "common/regex.h"
#include "sidecar/otlp/out.h"
#include "sidecar/process/json_map.h"
#include "sidecar/process/value.h"

#include <stdlib.h>

enum { LOG_BODY = 5, MEMBER = 1 };

struct parse {
    struct expr *source;
    struct regex *regex; /* NULL: JSON */
    enum pipeline_parse_to to;
    struct buf map; /* what came out, a KeyValueList */
};

void parse_destroy(struct parse **parse)
{
    if (*parse == NULL)
        return;
    expr_free(&(*parse)->source);
    regex_free(&(*parse)->regex);
    buf_fini(&(*parse)->map);
    free(*parse);
    *parse = NULL;
}

enum err parse_create(const struct pipeline_parse *wanted, struct parse **ret_parse,
                      struct error *error)
{
    const char *source = wanted->json != NULL ? wanted->json : wanted->from, *advice = NULL;

    AUTO(parse_destroy) struct parse *parse = calloc(1, sizeof *parse);
    if (parse == NULL)
        return error_set(error, ERR_NOMEM, "parse");
    enum err err =
        expr_parse_path(source != NULL ? source : "body", &parse->source, &advice, error);
    if (!err && wanted->json == NULL)
        err = regex_compile(wanted->regex, &parse->regex, error);
    if (err)
        return error_prefix(error, err, "parse");
    parse->to = wanted->to;
    MOVE(*ret_parse, parse);
    return OK;
}

unsigned parse_signals(const struct parse *parse)
{
    unsigned signals = expr_signals(parse->source);
    return parse->to == PIPELINE_TO_BODY ? signals & 1u << SIGNAL_LOGS : signals;
}

/* ---- from a pattern */

static enum err put_group(const char *name, struct bytes text, struct buf *map)
{
    struct out_mark member, value;

    enum err err = out_open(map, MEMBER, text.len + strlen(name) + WIRE_HEAD_MAX, &member);
    if (!err)
        err = out_field(map, KEY_VALUE_KEY, bytes_from(name));
    if (!err)
        err = out_open(map, KEY_VALUE_VALUE, text.len, &value);
    if (!err)
        err = out_field(map, ANY_STRING, text);
    if (!err)
        err = out_close(map, &value);
    return err ? err : out_close(map, &member);
}

static enum err match(struct parse *parse, struct bytes text)
{
    struct regex_span spans[REGEX_GROUPS_MAX + 1];
    size_t groups = regex_groups(parse->regex);
    enum err err = OK;

    if (regex_search(parse->regex, text, 0, spans, groups + 1) != REGEX_YES)
        return ERR_INVALID;
    for (size_t i = 1; i <= groups && !err; i++) {
        const char *name = regex_group_name(parse->regex, i);
        if (name == NULL || spans[i].from == REGEX_UNSET)
            continue;
        struct bytes group = {text.data + spans[i].from, spans[i].to - spans[i].from};
        err = put_group(name, group, &parse->map);
    }
    return err;
}

/* ---- where it goes */

static enum err put_attributes(struct bytes map, const struct item *item, struct attributes *work,
                               struct buf *out)
{
    struct wire_field member;
    struct bytes key, any;

    enum err err = attributes_load(work, item->bytes, value_attributes_field(item->message));
    while (!err && map.len > 0 && wire_next(&map, &member)) {
        value_of_attribute(member.payload, &key, &any);
        err = attributes_set(work, key, any);
    }
    return err ? err : attributes_write(work, out);
}

static enum err put_body(struct bytes map, const struct item *item, struct buf *out)
{
    struct bytes rest = item->bytes;
    struct wire_field field;
    struct out_mark mark;
    enum err err = OK;

    while (rest.len > 0 && wire_next(&rest, &field) && !err)
        if (field.number != LOG_BODY)
            err = buf_append(out, field.whole);
    if (!err)
        err = out_open(out, LOG_BODY, map.len + WIRE_HEAD_MAX / 2, &mark);
    if (!err)
        err = out_field(out, ANY_MAP, map);
    return err ? err : out_close(out, &mark);
}

enum err parse_item(struct parse *parse, struct item *item, struct attributes *work,
                    struct buf *out, bool *ret_parsed)
{
    struct expr_value source = item_lookup(item, expr_path(parse->source));

    *ret_parsed = false;
    if (source.type != EXPR_STRING)
        return OK;
    buf_clear(&parse->map);
    parse->map.max = out->max;
    enum err err = parse->regex != NULL ? match(parse, source.string)
                                        : json_map_read(source.string, &parse->map);
    if (err == ERR_INVALID)
        return OK;
    if (!err)
        err = parse->to == PIPELINE_TO_BODY
                  ? put_body(buf_bytes(&parse->map), item, out)
                  : put_attributes(buf_bytes(&parse->map), item, work, out);
    *ret_parsed = !err;
    return err;
}
