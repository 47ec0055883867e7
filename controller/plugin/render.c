#include "controller/plugin/plugin.h"

#include <stdio.h>

static void print_json(struct json **objects)
{
    AUTO(json_free) struct json *list = json_new_object();
    AUTO(buf_fini) struct buf text = {0};

    json_set_string(list, "apiVersion", "v1");
    json_set_string(list, "kind", "List");
    json_set(list, "items", objects);
    if (json_print_pretty(list, &text) == OK)
        puts(buf_text(&text));
}

int plugin_render(const struct plugin_options *options)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;

    int code = plugin_read_file(options, &pipeline);
    if (code != PLUGIN_OK)
        return code;
    AUTO(json_free) struct json *objects = plugin_objects(options, pipeline);

    if (options->output != NULL && strcmp(options->output, "json") == 0) {
        print_json(&objects);
        return PLUGIN_OK;
    }
    JSON_EACH(object, objects) {
        puts("---");
        plugin_print_yaml(object);
    }
    return PLUGIN_OK;
}
