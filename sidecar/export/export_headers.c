#include "sidecar/export/export_headers.h"

#include "common/base64.h"
#include "common/buf.h"

#include <ctype.h>

static enum err no_memory(struct error *error)
{
    return error_set(error, ERR_NOMEM, "the export's headers");
}

static bool is_token(const char *name)
{
    if (*name == '\0')
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && strchr("!#$%&'*+-.^_`|~", *name) == NULL)
            return false;
    return true;
}

static bool is_visible(const char *value)
{
    for (; *value != '\0'; value++)
        if ((unsigned char)*value < ' ' || (unsigned char)*value > '~')
            return false;
    return true;
}

static enum err add(struct export_headers *headers, const char *name, const char *value,
                    struct arena *arena, struct error *error)
{
    if (!is_token(name))
        return error_set(error, ERR_INVALID, "header '%.40s': no valid header name", name);
    if (!is_visible(value))
        return error_set(error, ERR_INVALID,
                         "header '%.40s': its value holds other than visible ASCII", name);
    if (headers->count == EXPORT_HEADERS_MAX)
        return error_set(error, ERR_INVALID, "more than %d headers", EXPORT_HEADERS_MAX);
    char *lower = arena_strdup(arena, name);
    char *copy = arena_strdup(arena, value);
    if (lower == NULL || copy == NULL)
        return no_memory(error);
    for (char *at = lower; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    headers->items[headers->count++] = (struct export_header){lower, copy};
    return OK;
}

/* Lines of "Name: value". */
static enum err add_lines(struct export_headers *headers, const char *text, struct arena *arena,
                          struct error *error)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\r\n");
        char *line = arena_strndup(arena, text, len);
        if (line == NULL)
            return no_memory(error);
        text += len;
        text += strspn(text, "\r\n");
        char *colon = strchr(line, ':');
        if (colon == NULL)
            return error_set(error, ERR_INVALID, "headersSecret: a line is not 'Name: value'");
        *colon = '\0';
        enum err err = add(headers, line, colon + 1 + strspn(colon + 1, " \t"), arena, error);
        if (err)
            return err;
    }
    return OK;
}

static enum err add_basic(struct export_headers *headers, const char *username,
                          const char *password, struct arena *arena, struct error *error)
{
    AUTO(buf_fini) struct buf plain = {0}, encoded = {0};

    if (buf_printf(&plain, "%s:%s", username, password) || buf_append_text(&encoded, "Basic ") ||
        base64_encode(buf_bytes(&plain), &encoded))
        return no_memory(error);
    const char *text = buf_text(&encoded);
    return text == NULL ? no_memory(error) : add(headers, "authorization", text, arena, error);
}

static enum err add_credentials(const struct pipeline_export *settings, const char *dir,
                                struct arena *arena, struct export_headers *headers,
                                struct error *error)
{
    const char *username = NULL, *password = NULL, *token = NULL;

    enum err err =
        pipeline_secret_read(&settings->basic_username_secret, dir, arena, &username, error);
    if (!err)
        err = pipeline_secret_read(&settings->basic_password_secret, dir, arena, &password, error);
    if (!err)
        err = pipeline_secret_read(&settings->bearer_token_secret, dir, arena, &token, error);
    if (!err && username != NULL && password != NULL)
        err = add_basic(headers, username, password, arena, error);
    if (!err && token != NULL) {
        const char *value = arena_printf(arena, "Bearer %s", token);
        err = value == NULL ? no_memory(error) : add(headers, "authorization", value, arena, error);
    }
    return err;
}

enum err export_headers_make(const struct pipeline_export *settings, const char *secrets_dir,
                             struct arena *arena, struct export_headers *ret_headers,
                             struct error *error)
{
    struct export_headers headers = {.count = 0};
    const char *lines = NULL;
    enum err err = OK;

    for (size_t i = 0; i < settings->headers.count && !err; i++)
        err = add(&headers, settings->headers.items[i].name, settings->headers.items[i].value,
                  arena, error);
    if (!err)
        err = pipeline_secret_read(&settings->headers_secret, secrets_dir, arena, &lines, error);
    if (!err && lines != NULL)
        err = add_lines(&headers, lines, arena, error);
    if (!err)
        err = add_credentials(settings, secrets_dir, arena, &headers, error);
    if (!err && settings->tenant != NULL)
        err = add(&headers, settings->tenant_header, settings->tenant, arena, error);
    if (!err)
        *ret_headers = headers;
    return err;
}
