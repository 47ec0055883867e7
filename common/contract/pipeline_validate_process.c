/* What processors and routes say in small languages is compiled here and thrown away, so that
 * whatever can't be is refused when the pipeline is applied, with line and column. */
#include "common/contract/pipeline_shape.h"

#include "common/expr/expr.h"
#include "common/regex.h"

/* Adds a fault at path.field if `text` is no expression. The caller frees what it gets. */
static struct expr *parse_expression(const char *text, const char *path, const char *field,
                                     struct faults *faults)
{
    struct expr *expr = NULL;
    const char *advice = NULL;
    struct error error = {0};

    if (expr_parse(text, &expr, &advice, &error))
        fault_add_below(faults, path, field, advice, "%s", error.text);
    return expr;
}

static void validate_expression(const char *text, const char *path, const char *field,
                                struct faults *faults)
{
    AUTO(expr_free)
    struct expr *expr = text == NULL ? NULL : parse_expression(text, path, field, faults);

    (void)expr; /* that it can be made is all */
}

static struct regex *compile(const char *pattern, const char *path, struct faults *faults)
{
    struct regex *regex = NULL;
    struct error error = {0};

    if (regex_compile(pattern, &regex, &error))
        fault_add(faults, path, "Write a pattern as Perl knows them, as in \\b\\d{16}\\b",
                  "the pattern: %s", error.text);
    return regex;
}

/* ---- one function for each kind of processor */

static void validate_change(const struct pipeline_attribute_change *change, const char *path,
                            struct faults *faults)
{
    size_t sources = (change->value != NULL) + (size_t)(change->from_attribute != NULL);

    if (faults_at(faults, path))
        return;
    if (change->action == PIPELINE_CHANGE_DELETE && sources > 0)
        fault_add(faults, path, "Leave value and fromAttribute out",
                  "deletes, and says what to set");
    else if (change->action == PIPELINE_CHANGE_RENAME &&
             (change->from_attribute == NULL || sources > 1))
        fault_add(faults, path, "Write fromAttribute, the old key, and no value",
                  "doesn't say which attribute is renamed");
    else if (change->action != PIPELINE_CHANGE_DELETE && sources != 1)
        fault_add(faults, path, "Write value or fromAttribute", "has %s",
                  sources == 0 ? "no value" : "both");
}

static void validate_attributes(const struct pipeline_attributes *attributes, const char *path,
                                struct faults *faults)
{
    char actions[FAULT_PATH_MAX], at[FAULT_PATH_MAX];

    fault_path(path, "actions", actions);
    if (attributes->action_count == 0 && !faults_at(faults, actions))
        fault_add(faults, actions, "Write at least one, as in {key: team, value: red}", "is empty");
    for (size_t i = 0; i < attributes->action_count; i++)
        validate_change(&attributes->actions[i], fault_path_at(actions, i, at), faults);
}

static void validate_source(const char *text, const char *path, const char *field,
                            struct faults *faults)
{
    AUTO(expr_free) struct expr *expr = NULL;
    const char *advice = NULL;
    struct error error = {0};

    if (expr_parse_path(text, &expr, &advice, &error))
        fault_add_below(faults, path, field, "Write body, or attributes[\"key\"]", "%s",
                        error.text);
    else if (expr_path(expr)->root != EXPR_BODY && expr_path(expr)->root != EXPR_ATTRIBUTES)
        fault_add_below(faults, path, field, "Write body, or attributes[\"key\"]",
                        "is nothing that can be parsed");
}

static void validate_parse(const struct pipeline_parse *parse, const char *path,
                           struct faults *faults)
{
    AUTO(regex_free) struct regex *regex = NULL;
    char at[FAULT_PATH_MAX];
    bool named = false;

    if (faults_at(faults, path))
        return;
    if ((parse->json == NULL) == (parse->regex == NULL)) {
        fault_add(faults, path, "Write json: body, or regex: PATTERN", "has %s",
                  parse->json == NULL ? "neither json nor regex" : "both json and regex");
        return;
    }
    if (parse->json != NULL) {
        validate_source(parse->json, path, "json", faults);
        if (parse->from != NULL)
            fault_add_below(faults, path, "from", "Leave it out; json says where the text is",
                            "has no meaning beside json");
        return;
    }
    if (parse->from != NULL)
        validate_source(parse->from, path, "from", faults);
    regex = compile(parse->regex, fault_path(path, "regex", at), faults);
    for (size_t i = 1; regex != NULL && i <= regex_groups(regex); i++)
        named = named || regex_group_name(regex, i) != NULL;
    if (regex != NULL && !named)
        fault_add(faults, at, "Name what you want, as in (?<level>[A-Z]+)",
                  "has no group with a name, so nothing comes of it");
}

static void validate_redact(const struct pipeline_redact *redact, const char *path,
                            struct faults *faults)
{
    char patterns[FAULT_PATH_MAX], at[FAULT_PATH_MAX];

    fault_path(path, "patterns", patterns);
    if (redact->keys.count + redact->patterns.count == 0 && !faults_at(faults, path))
        fault_add(faults, path, "Write keys or patterns", "redacts nothing");
    for (size_t i = 0; i < redact->patterns.count; i++) {
        AUTO(regex_free) struct regex *regex = NULL;
        regex = compile(redact->patterns.items[i], fault_path_at(patterns, i, at), faults);
        if (regex != NULL && regex_matches(regex, BYTES_LITERAL("")))
            fault_add(faults, at, "Write one that matches a character at least",
                      "matches the empty text, which is everywhere");
    }
}

static void validate_processor(const struct pipeline_processor *processor, const char *path,
                               struct faults *faults)
{
    char at[FAULT_PATH_MAX];
    size_t kinds = (processor->attributes != NULL) + (size_t)(processor->parse != NULL) +
                   (size_t)(processor->redact != NULL) + (size_t)(processor->filter != NULL) +
                   (size_t)(processor->sample != NULL);

    if (kinds != 1 && !faults_at(faults, path))
        fault_add(faults, path, "Write one of attributes, parse, redact, filter and sample",
                  kinds == 0 ? "says nothing to do" : "says several things to do");
    if (processor->attributes != NULL)
        validate_attributes(processor->attributes, fault_path(path, "attributes", at), faults);
    if (processor->parse != NULL)
        validate_parse(processor->parse, fault_path(path, "parse", at), faults);
    if (processor->redact != NULL)
        validate_redact(processor->redact, fault_path(path, "redact", at), faults);
    if (processor->filter != NULL)
        validate_expression(processor->filter->drop, fault_path(path, "filter", at), "drop",
                            faults);
    if (processor->sample != NULL)
        validate_expression(processor->sample->keep, fault_path(path, "sample", at), "keep",
                            faults);
}

void pipeline_validate_processors(const struct pipeline_processor *processors, size_t count,
                                  const char *path, struct faults *faults)
{
    char list[FAULT_PATH_MAX], at[FAULT_PATH_MAX];

    fault_path(path, "processors", list);
    for (size_t i = 0; i < count; i++)
        validate_processor(&processors[i], fault_path_at(list, i, at), faults);
}

/* ---- routes */

static void validate_route(const struct pipeline *pipeline, const struct pipeline_route *route,
                           const char *path, struct faults *faults)
{
    AUTO(expr_free) struct expr *expr = NULL;
    const struct pipeline_topic *topic = pipeline_topic(pipeline, route->to);

    if (topic == NULL)
        fault_add_below(faults, path, "to", "Write the name of one of spec.topics",
                        "\"%s\" names no topic", route->to);
    if (route->when != NULL)
        expr = parse_expression(route->when, path, "when", faults);
    if (topic != NULL && expr != NULL && (expr_signals(expr) >> topic->signal & 1) == 0)
        fault_add_below(faults, path, "when", "Ask about what the topic's signal has",
                        "is never true of %s, which are what %s holds", signal_name(topic->signal),
                        route->to);
}

void pipeline_validate_routes(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                              const char *path, struct faults *faults)
{
    char routes[FAULT_PATH_MAX], at[FAULT_PATH_MAX];

    fault_path(path, "routes", routes);
    if (edge->route_count > 0 && pipeline->kafka == NULL)
        fault_add(faults, routes, "Leave them out, or set spec.kafka",
                  "need Kafka; without it gateways read all of a signal from the spool");
    for (size_t i = 0; i < edge->route_count; i++) {
        fault_path_at(routes, i, at);
        if (!faults_at(faults, at))
            validate_route(pipeline, &edge->routes[i], at, faults);
    }
}
