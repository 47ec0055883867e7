/* Any text at all: it is parsed, or refused with a place and an advice; what was parsed can be
 * asked about anything and gives the same answer twice. */
#include "common/assert.h"
#include "common/expr/expr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Values by the dice, but the same ones for the same path. */
static struct expr_value lookup(void *context, const struct expr_path *path)
{
    const uint8_t *seed = context;
    struct expr_value value = {.type = (enum expr_type)((*seed + path->root) % (EXPR_OTHER + 1))};

    ASSERT(path->key_count <= EXPR_KEYS_MAX);
    if (path->key_count > 0 && path->keys[0].len > 0)
        value.type = (enum expr_type)((*seed + path->keys[0].data[0]) % (EXPR_OTHER + 1));
    if (value.type == EXPR_STRING)
        value.string = path->key_count > 0 ? path->keys[0] : BYTES_LITERAL("text");
    else if (value.type == EXPR_INT)
        value.integer = *seed;
    else if (value.type == EXPR_DOUBLE)
        value.number = *seed / 2.0;
    else if (value.type == EXPR_BOOL)
        value.boolean = *seed % 2 == 0;
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(expr_free) struct expr *expr = NULL, *path = NULL;
    const char *advice = NULL;
    struct error error = {0};
    char *text = malloc(size + 1);

    ASSERT(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    enum err err = expr_parse(text, &expr, &advice, &error);
    ASSERT(err == OK || (err == ERR_INVALID && advice != NULL && error.text[0] != '\0'));
    IGNORE_RESULT(expr_parse_path(text, &path, &advice, NULL)); /* either is fine */
    free(text);
    for (unsigned i = 0; err == OK && i < 8; i++) {
        uint8_t seed = (uint8_t)(i * 37);
        bool first = expr_eval(expr, lookup, &seed);
        ASSERT(first == expr_eval(expr, lookup, &seed));
    }
    return 0;
}
