/* YAML that both of its versions read alike: strings are quoted as in JSON unless they can't be
 * taken for anything else; those of several lines are literal blocks. */
#include "controller/plugin/plugin.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static void print_node(const struct json *json, unsigned indent);

/* ---- leaves */

static bool is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on",
                                        "off",  "y",     "n",    "nan", "inf"};
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";

    if (!isalpha((unsigned char)text[0]) || text[strspn(text, characters)] != '\0')
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0)
            return false;
    }
    return true;
}

/* The JSON of a string or number is YAML too. */
static void print_leaf(const struct json *json)
{
    AUTO(buf_fini) struct buf text = {0};

    if (json_kind(json) == JSON_STRING && is_plain(json_string(json, "")))
        fputs(json_string(json, ""), stdout);
    else if (json_print(json, &text) == OK)
        fputs(buf_text(&text), stdout);
}

static void print_key(const struct json *member)
{
    AUTO(json_free) struct json *key = json_new_string(json_key(member));

    print_leaf(key);
    putchar(':');
}

/* A text that began with white space would need to say how far it is indented. */
static bool is_block(const struct json *json)
{
    const char *text = json_string(json, "");

    return strchr(text, '\n') != NULL && strchr(text, '\r') == NULL &&
           !isspace((unsigned char)text[0]);
}

static void print_block(const char *text, unsigned indent)
{
    size_t len = strlen(text);

    fputs(text[len - 1] == '\n' ? " |\n" : " |-\n", stdout);
    while (*text != '\0') {
        size_t line = strcspn(text, "\n");
        if (line > 0)
            printf("%*s%.*s", (int)indent, "", (int)line, text);
        putchar('\n');
        text += line + (text[line] == '\n');
    }
}

/* ---- lists and objects. Each begins where its first line is to stand. */

static bool is_container(const struct json *json)
{
    return (json_kind(json) == JSON_OBJECT || json_kind(json) == JSON_ARRAY) && json_size(json) > 0;
}

static void print_member(const struct json *member, unsigned indent)
{
    /* The dashes of a list stand under its key, as kubectl prints them. */
    unsigned deeper = json_kind(member) == JSON_ARRAY ? indent : indent + 2;

    print_key(member);
    if (is_block(member)) {
        print_block(json_string(member, ""), indent + 2);
    } else if (is_container(member)) {
        printf("\n%*s", (int)deeper, "");
        print_node(member, deeper);
    } else {
        putchar(' ');
        print_leaf(member);
        putchar('\n');
    }
}

static void print_node(const struct json *json, unsigned indent)
{
    bool first = true;

    if (!is_container(json)) {
        print_leaf(json);
        putchar('\n');
        return;
    }
    JSON_EACH(element, json) {
        if (!first)
            printf("%*s", (int)indent, "");
        first = false;
        if (json_kind(json) == JSON_ARRAY) {
            fputs("- ", stdout);
            print_node(element, indent + 2);
        } else {
            print_member(element, indent);
        }
    }
}

void plugin_print_yaml(const struct json *json)
{
    print_node(json, 0);
}
