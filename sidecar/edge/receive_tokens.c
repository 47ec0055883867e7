#include "sidecar/edge/receive_tokens.h"

#include "common/arena.h"
#include "common/assert.h"
#include "common/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

struct receive_tokens {
    char *path;
    pthread_mutex_t mutex; /* guards the rest */
    char *text;            /* the file as it was read last */
};

void receive_tokens_close(struct receive_tokens **tokens)
{
    struct receive_tokens *gone = *tokens;
    if (gone == NULL)
        return;
    pthread_mutex_destroy(&gone->mutex);
    free(gone->path);
    free(gone->text);
    free(gone);
    *tokens = NULL;
}

/* The next line of *text that is not empty, without blanks around it. False: no more. */
static bool next_token(const char **text, struct bytes *ret_token)
{
    *text += strspn(*text, " \t\r\n");
    size_t len = strcspn(*text, "\r\n");
    *ret_token = (struct bytes){(const uint8_t *)*text, len};
    *text += len;
    while (ret_token->len > 0 && strchr(" \t", ret_token->data[ret_token->len - 1]) != NULL)
        ret_token->len--;
    return len > 0;
}

static enum err read_tokens(const char *path, char **ret_text, struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    const char *text = NULL;
    struct bytes first;

    enum err err = secret_read(path, &arena, &text, error);
    if (err)
        return error_prefix(error, err, "bearer tokens");
    const char *at = text;
    if (!next_token(&at, &first))
        return error_set(error, ERR_INVALID,
                         "bearer tokens: '%s' is empty; write at least one token into it", path);
    char *copy = strdup(text);
    if (copy == NULL)
        return error_set(error, ERR_NOMEM, "bearer tokens");
    *ret_text = copy;
    return OK;
}

enum err receive_tokens_open(const char *path, struct receive_tokens **ret_tokens,
                             struct error *error)
{
    struct receive_tokens *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(error, ERR_NOMEM, "bearer tokens");
    pthread_mutex_init(&made->mutex, NULL);
    AUTO(receive_tokens_close) struct receive_tokens *tokens = made;

    tokens->path = strdup(path);
    if (tokens->path == NULL)
        return error_set(error, ERR_NOMEM, "bearer tokens");
    enum err err = read_tokens(path, &tokens->text, error);
    if (err)
        return err;
    MOVE(*ret_tokens, tokens);
    return OK;
}

enum err receive_tokens_refresh(struct receive_tokens *tokens, bool *ret_changed,
                                struct error *error)
{
    char *text = NULL;

    enum err err = read_tokens(tokens->path, &text, error);
    if (err)
        return error_prefix(error, err, "keeping the tokens read before");
    ASSERT(text != NULL); /* gcc's analyzer doesn't see that an error is none */
    pthread_mutex_lock(&tokens->mutex);
    char *old = tokens->text;
    tokens->text = text;
    pthread_mutex_unlock(&tokens->mutex);
    *ret_changed = strcmp(old, text) != 0;
    free(old);
    return OK;
}

/* Looks at every byte, whether or not one differed already. */
static bool is_same(struct bytes a, struct bytes b)
{
    volatile uint8_t difference = 0;

    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        difference = (uint8_t)(difference | (a.data[i] ^ b.data[i]));
    return difference == 0;
}

bool receive_tokens_allow(struct receive_tokens *tokens, struct bytes authorization)
{
    static const char scheme[] = "Bearer "; /* in any case, as HTTP has it */
    size_t skip = sizeof scheme - 1;
    struct bytes token;
    bool allowed = false;

    if (authorization.len <= skip ||
        strncasecmp((const char *)authorization.data, scheme, skip) != 0)
        return false;
    struct bytes shown = {authorization.data + skip, authorization.len - skip};
    pthread_mutex_lock(&tokens->mutex);
    for (const char *at = tokens->text; next_token(&at, &token);)
        allowed |= is_same(shown, token);
    pthread_mutex_unlock(&tokens->mutex);
    return allowed;
}
