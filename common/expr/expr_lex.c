#include "common/expr/expr_tree.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_MAX = 64 };

/* Lines and columns begin with 1; a column is a character, not a byte. */
bool expr_wrong(struct expr_lexer *lexer, size_t at, const char *advice, const char *format, ...)
{
    unsigned line = 1, column = 1;
    char what[320];
    va_list args;

    for (size_t i = 0; i < at && i < lexer->text.len; i++) {
        if (lexer->text.data[i] == '\n') {
            line++;
            column = 1;
        } else if ((lexer->text.data[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    *lexer->ret_advice = advice;
    error_set(lexer->error, ERR_INVALID, "line %u, column %u: %s", line, column, what);
    return false;
}

static bool is_name_start(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(uint8_t c)
{
    return is_name_start(c) || is_digit(c) || c == '.' || c == '-';
}

static uint8_t peek(const struct expr_lexer *lexer, size_t ahead)
{
    size_t at = lexer->at + ahead;
    return at < lexer->text.len ? lexer->text.data[at] : 0;
}

static bool lex_name(struct expr_lexer *lexer, struct expr_token *token)
{
    static const struct {
        const char *word;
        enum expr_token_kind kind;
        bool boolean;
    } words[] = {{"and", TOKEN_AND, false},       {"or", TOKEN_OR, false},
                 {"not", TOKEN_NOT, false},       {"in", TOKEN_IN, false},
                 {"matches", TOKEN_MATCH, false}, {"exists", TOKEN_EXISTS, false},
                 {"true", TOKEN_BOOL, true},      {"false", TOKEN_BOOL, false}};
    size_t from = lexer->at;

    while (is_name(peek(lexer, 0)))
        lexer->at++;
    token->kind = TOKEN_NAME;
    token->text = (struct bytes){lexer->text.data + from, lexer->at - from};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(token->text, bytes_from(words[i].word))) {
            token->kind = words[i].kind;
            token->boolean = words[i].boolean;
        }
    }
    return true;
}

/* What is in the quotes stays as it is until it is known what it is for. */
static bool lex_string(struct expr_lexer *lexer, struct expr_token *token)
{
    uint8_t quote = lexer->text.data[lexer->at++];
    size_t from = lexer->at;

    for (; lexer->at < lexer->text.len; lexer->at++) {
        uint8_t c = lexer->text.data[lexer->at];
        if (c == '\\') {
            lexer->at++;
        } else if (c == quote) {
            token->kind = TOKEN_STRING;
            token->text = (struct bytes){lexer->text.data + from, lexer->at - from};
            lexer->at++;
            return true;
        }
    }
    return expr_wrong(lexer, token->at, "Close it with the quote that opens it",
                      "the string has no end");
}

static bool number_of(struct bytes text, struct expr_literal *ret_number)
{
    struct expr_literal number = {.type = EXPR_INT};
    char digits[NUMBER_MAX];
    char *end = NULL;

    if (text.len >= sizeof digits)
        return false;
    memcpy(digits, text.data, text.len);
    digits[text.len] = '\0';
    errno = 0;
    number.low = number.high = strtoll(digits, &end, 10);
    if (*end != '\0' || errno != 0) {
        number = (struct expr_literal){.type = EXPR_DOUBLE, .number = strtod(digits, &end)};
        if (*end != '\0' || !isfinite(number.number))
            return false;
    }
    *ret_number = number;
    return true;
}

static bool lex_number(struct expr_lexer *lexer, struct expr_token *token)
{
    size_t from = lexer->at++;

    for (;; lexer->at++) {
        uint8_t c = peek(lexer, 0), before = lexer->text.data[lexer->at - 1];
        bool exponent = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        if (!is_digit(c) && !is_name_start(c) && c != '.' && !exponent)
            break;
    }
    token->kind = TOKEN_NUMBER;
    token->text = (struct bytes){lexer->text.data + from, lexer->at - from};
    bool hex = token->text.len > 1 && (token->text.data[1] | 0x20) == 'x';
    if (!hex && number_of(token->text, &token->number))
        return true;
    return expr_wrong(lexer, token->at,
                      "Write a number, as in 500 or 0.5; put durations in quotes, as in \"500ms\"",
                      "\"%.*s\" is no number", (int)token->text.len,
                      (const char *)token->text.data);
}

static bool lex_symbol(struct expr_lexer *lexer, struct expr_token *token)
{
    static const struct {
        char text[3];
        enum expr_token_kind kind;
        enum expr_compare compare;
    } symbols[] = {/* longer ones first */
                   {"==", TOKEN_COMPARE, EXPR_EQ}, {"!=", TOKEN_COMPARE, EXPR_NE},
                   {"<=", TOKEN_COMPARE, EXPR_LE}, {">=", TOKEN_COMPARE, EXPR_GE},
                   {"=~", TOKEN_MATCH, EXPR_EQ},   {"&&", TOKEN_AND, EXPR_EQ},
                   {"||", TOKEN_OR, EXPR_EQ},      {"<", TOKEN_COMPARE, EXPR_LT},
                   {">", TOKEN_COMPARE, EXPR_GT},  {"!", TOKEN_NOT, EXPR_EQ},
                   {"(", TOKEN_OPEN, EXPR_EQ},     {")", TOKEN_CLOSE, EXPR_EQ},
                   {"[", TOKEN_BRACKET, EXPR_EQ},  {"]", TOKEN_UNBRACKET, EXPR_EQ},
                   {",", TOKEN_COMMA, EXPR_EQ}};
    uint8_t first = peek(lexer, 0);

    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        size_t len = strlen(symbols[i].text);
        if (lexer->text.len - lexer->at < len ||
            memcmp(lexer->text.data + lexer->at, symbols[i].text, len) != 0)
            continue;
        token->kind = symbols[i].kind;
        token->compare = symbols[i].compare;
        token->text = (struct bytes){lexer->text.data + lexer->at, len};
        lexer->at += len;
        return true;
    }
    if (first == '=')
        return expr_wrong(lexer, lexer->at, "Write == to compare, =~ to match a pattern",
                          "\"=\" is no operator");
    if (first > ' ' && first < 0x7f)
        return expr_wrong(lexer, lexer->at, "Leave it out, or put text in quotes",
                          "\"%c\" has no meaning here", first);
    return expr_wrong(lexer, lexer->at, "Leave it out, or put text in quotes",
                      "a character that has no meaning here");
}

bool expr_lex(struct expr_lexer *lexer, struct expr_token *ret_token)
{
    uint8_t c;

    while ((c = peek(lexer, 0)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        lexer->at++;
    *ret_token = (struct expr_token){.kind = TOKEN_END, .at = lexer->at};
    if (lexer->at == lexer->text.len)
        return true;
    if (is_name_start(c))
        return lex_name(lexer, ret_token);
    if (c == '"' || c == '\'')
        return lex_string(lexer, ret_token);
    if (is_digit(c) || ((c == '-' || c == '+') && is_digit(peek(lexer, 1))))
        return lex_number(lexer, ret_token);
    return lex_symbol(lexer, ret_token);
}
