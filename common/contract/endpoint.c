#include "common/contract/endpoint.h"

#include <stdio.h>
#include <string.h>

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

/* Takes a name, an IPv4 address or a bracketed IPv6 address from the front. */
static enum err take_host(const char **text, struct endpoint *endpoint, struct error *error)
{
    const char *start = *text, *end = start;
    bool bracket = *start == '[';

    if (bracket) {
        end = ++start;
        while (is_host_char(*end) || *end == ':')
            end++;
        if (*end != ']')
            return error_set(error, ERR_INVALID, "opens a bracket and does not close it");
    } else {
        while (is_host_char(*end))
            end++;
    }
    size_t len = (size_t)(end - start);
    if (len == 0)
        return error_set(error, ERR_INVALID, "has no host");
    if (len > ENDPOINT_HOST_MAX)
        return error_set(error, ERR_INVALID, "has a host longer than %d", ENDPOINT_HOST_MAX);
    memcpy(endpoint->host, start, len);
    endpoint->host[len] = '\0';
    *text = end + bracket;
    return OK;
}

/* Takes ":port" from the front. */
static enum err take_port(const char **text, struct endpoint *endpoint, struct error *error)
{
    unsigned port = 0;
    const char *at = *text + 1;

    if (**text != ':')
        return error_set(error, ERR_INVALID, "has no port");
    for (; *at >= '0' && *at <= '9' && port <= UINT16_MAX; at++)
        port = port * 10 + (unsigned)(*at - '0');
    if (port == 0 || port > UINT16_MAX)
        return error_set(error, ERR_INVALID, "has no port between 1 and 65535");
    endpoint->port = (uint16_t)port;
    *text = at;
    return OK;
}

enum err endpoint_parse_address(const char *text, struct endpoint *ret_endpoint,
                                struct error *error)
{
    struct endpoint endpoint = {0};

    if (strstr(text, "://") != NULL)
        return error_set(error, ERR_INVALID, "is a URL, not host:port");
    enum err err = take_host(&text, &endpoint, error);
    if (err)
        return err;
    err = take_port(&text, &endpoint, error);
    if (err)
        return err;
    if (*text != '\0')
        return error_set(error, ERR_INVALID, "goes on behind the port");
    *ret_endpoint = endpoint;
    return OK;
}

static enum err take_path(const char *text, struct endpoint *endpoint, struct error *error)
{
    size_t len = strlen(text);

    if (len > 0 && *text != '/')
        return error_set(error, ERR_INVALID, "has something else than a path behind its host");
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] == 0x7f || strchr("?#@\"<>\\^`{|}", text[i]) != NULL)
            return error_set(error, ERR_INVALID, "has a query, or a character that no path has");
    while (len > 0 && text[len - 1] == '/')
        len--;
    if (len > ENDPOINT_PATH_MAX)
        return error_set(error, ERR_INVALID, "has a path longer than %d", ENDPOINT_PATH_MAX);
    memcpy(endpoint->path, text, len);
    endpoint->path[len] = '\0';
    return OK;
}

enum err endpoint_parse_url(const char *text, struct endpoint *ret_endpoint, struct error *error)
{
    struct endpoint endpoint = {0};
    size_t authority = 0;

    if (strncmp(text, "https://", 8) == 0)
        endpoint.tls = true;
    else if (strncmp(text, "http://", 7) != 0)
        return error_set(error, ERR_INVALID, "does not begin with http:// or https://");
    text += endpoint.tls ? 8 : 7;
    authority = strcspn(text, "/?#");
    if (memchr(text, '@', authority) != NULL)
        return error_set(error, ERR_INVALID, "holds a user or password");

    endpoint.port = endpoint.tls ? 443 : 80;
    enum err err = take_host(&text, &endpoint, error);
    if (!err && *text == ':')
        err = take_port(&text, &endpoint, error);
    if (!err)
        err = take_path(text, &endpoint, error);
    if (err)
        return err;
    *ret_endpoint = endpoint;
    return OK;
}
