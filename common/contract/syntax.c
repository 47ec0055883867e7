#include "common/contract/syntax.h"

#include "common/rfc3339.h"

#include "common/contract/endpoint.h"

#include <string.h>

#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define LETTERS      "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LOWER_DIGITS

enum { LABEL_MAX = 63, SUBDOMAIN_MAX = 253, TOPIC_MAX = 249, KEY_MAX = 63 };

static bool only(const char *text, size_t len, const char *allowed)
{
    for (size_t i = 0; i < len; i++)
        if (strchr(allowed, text[i]) == NULL)
            return false;
    return len > 0;
}

/* One label of a DNS name, from text[0] to text[len - 1]. */
static bool is_label(const char *text, size_t len)
{
    return len <= LABEL_MAX && only(text, len, LOWER_DIGITS "-") && text[0] != '-' &&
           text[len - 1] != '-';
}

enum err syntax_dns_label(const char *text, struct error *error)
{
    if (!is_label(text, strlen(text)))
        return error_set(error, ERR_INVALID, "is no DNS label");
    return OK;
}

static bool is_subdomain(const char *text, size_t len)
{
    const char *end = text + len;

    if (len > SUBDOMAIN_MAX)
        return false;
    for (;;) {
        const char *dot = memchr(text, '.', (size_t)(end - text));
        if (!is_label(text, (size_t)((dot == NULL ? end : dot) - text)))
            return false;
        if (dot == NULL)
            return true;
        text = dot + 1;
    }
}

enum err syntax_dns_subdomain(const char *text, struct error *error)
{
    if (!is_subdomain(text, strlen(text)))
        return error_set(error, ERR_INVALID, "is no DNS name");
    return OK;
}

enum err syntax_topic(const char *text, struct error *error)
{
    size_t len = strlen(text);

    if (len > TOPIC_MAX)
        return error_set(error, ERR_INVALID, "is longer than a topic's %d", TOPIC_MAX);
    if (!only(text, len, LETTERS "._-") || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return error_set(error, ERR_INVALID, "is no topic name");
    if (strncmp(text, "__", 2) == 0)
        return error_set(error, ERR_INVALID, "begins with __, as Kafka's own topics do");
    return OK;
}

enum err syntax_group(const char *text, struct error *error)
{
    if (!only(text, strlen(text), LETTERS "._-"))
        return error_set(error, ERR_INVALID, "is no group name");
    return OK;
}

enum err syntax_address(const char *text, struct error *error)
{
    struct endpoint endpoint;
    return endpoint_parse_address(text, &endpoint, error);
}

/* Origins are compared as browsers write them: another way of writing one would allow nobody. */
enum err syntax_origin(const char *text, struct error *error)
{
    struct endpoint endpoint;
    size_t len = strlen(text);

    if (strcmp(text, "*") == 0)
        return OK;
    enum err err = endpoint_parse_url(text, &endpoint, error);
    if (err)
        return err;
    if (endpoint.path[0] != '\0')
        return error_set(error, ERR_INVALID, "has a path, which no origin has");
    if (text[len - 1] == '/')
        return error_set(error, ERR_INVALID, "ends in a slash, which no origin does");
    const char *port = strrchr(text, ':');
    if (strcmp(port, endpoint.tls ? ":443" : ":80") == 0)
        return error_set(error, ERR_INVALID,
                         "has the port that goes without saying, which "
                         "browsers leave out");
    for (size_t i = 0; i < len; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return error_set(error, ERR_INVALID,
                             "has capitals, which browsers write as small "
                             "letters");
    return OK;
}

enum err syntax_directory(const char *text, struct error *error)
{
    size_t len = strlen(text);

    if (text[0] != '/' || len == 1)
        return error_set(error, ERR_INVALID, "is no absolute path below /");
    if (strstr(text, "/../") != NULL || (len >= 3 && strcmp(text + len - 3, "/..") == 0))
        return error_set(error, ERR_INVALID, "goes up by '..'");
    return OK;
}

/* Each ** can match in as many ways as a path is deep. */
enum err syntax_glob(const char *text, struct error *error)
{
    enum { ANY_DEPTH_MAX = 4 };
    unsigned found = 0;

    for (const char *at = strstr(text, "**"); at != NULL; at = strstr(at + 2, "**"))
        found++;
    if (found > ANY_DEPTH_MAX)
        return error_set(error, ERR_INVALID, "has ** more than %d times", ANY_DEPTH_MAX);
    return syntax_directory(text, error);
}

enum err syntax_start_at(const char *text, struct error *error)
{
    uint64_t wall_ns;

    if (strcmp(text, "end") == 0 || strcmp(text, "beginning") == 0 || rfc3339_parse(text, &wall_ns))
        return OK;
    return error_set(error, ERR_INVALID, "is neither a place nor a time");
}

enum err syntax_header(const char *text, struct error *error)
{
    if (!only(text, strlen(text), LETTERS "!#$%&'*+-.^_`|~"))
        return error_set(error, ERR_INVALID, "is no name of a header");
    return OK;
}

enum err syntax_label(const char *text, struct error *error)
{
    const char *slash = strchr(text, '/'), *name = slash == NULL ? text : slash + 1;
    size_t len = strlen(name);

    if (slash != NULL && !is_subdomain(text, (size_t)(slash - text)))
        return error_set(error, ERR_INVALID, "has a prefix that is no DNS name");
    if (len > KEY_MAX || !only(name, len, LETTERS "._-") || strchr("._-", name[0]) != NULL ||
        strchr("._-", name[len - 1]) != NULL)
        return error_set(error, ERR_INVALID, "is no key of a label");
    return OK;
}

enum err syntax_attribute(const char *text, struct error *error)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return error_set(error, ERR_INVALID, "holds a blank or a control character");
    return OK;
}
