/* Stack traces of real programs are one record each, and the built-in rules, which are written by
 * hand, say what Fluent Bit's regular expressions (and the ones we add to them) say. */
#include "tests/support/test.h"

#include "common/regex.h"
#include "sidecar/lines/multiline.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the rules as expressions: from a state, over a line that matches, to another */

struct edge {
    unsigned rule;
    const char *from, *pattern, *to;
};

static const struct edge edges[] = {
    {MULTILINE_JAVA, "start nested",
     "(?s).(?:Exception|Error|Throwable|V8 errors stack trace)(?::|\\z)", "exception"},
    {MULTILINE_JAVA, "exception", "^[\\t ]*nested exception is:", "nested"},
    {MULTILINE_JAVA, "exception", "^\\z", "exception"},
    {MULTILINE_JAVA, "exception java", "^[\\t ]+(?:eval )?at ", "java"},
    {MULTILINE_JAVA, "exception java", "^[\\t ]+--- End of inner exception stack trace ---\\z",
     "java"},
    {MULTILINE_JAVA, "exception java",
     "^--- End of stack trace from previous location where exception was thrown ---\\z", "java"},
    {MULTILINE_JAVA, "exception java", "^[\\t ]*(?:Caused by|Suppressed):", "exception"},
    {MULTILINE_JAVA, "exception java", "^[\\t ]*\\.\\.\\. \\d+ (?:more|common frames omitted)",
     "java"},
    {MULTILINE_PYTHON, "start", "^Traceback \\(most recent call last\\):\\z", "python"},
    {MULTILINE_PYTHON, "start",
     "^[\\t ]*\\+ Exception Group Traceback \\(most recent call last\\):\\z", "indented"},
    {MULTILINE_PYTHON, "indented", "^[\\t ]", "indented"},
    {MULTILINE_PYTHON, "python", "^[\\t ]", "python"},
    {MULTILINE_PYTHON, "python", "^(?:[^\\s.():]+\\.)*[^\\s.():]+(?::|\\z)", "end"},
    {MULTILINE_GO, "start", "(?:\\bpanic|^fatal error): ", "panic"},
    {MULTILINE_GO, "start", "http: panic serving", "panic"},
    {MULTILINE_GO, "panic signal frame", "^\\z", "goroutine"},
    {MULTILINE_GO, "panic", "^\\[signal ", "signal"},
    {MULTILINE_GO, "panic", "^\\t?panic: ", "panic"},
    {MULTILINE_GO, "panic signal goroutine", "^goroutine \\d+ \\[[^\\]]+\\]:\\z", "frame"},
    {MULTILINE_GO, "frame", "^\\.\\.\\.", "frame"},
    {MULTILINE_GO, "frame", "^(?:[^\\s.:]+\\.)*[^\\s.():]+\\(|^created by ", "file"},
    {MULTILINE_GO, "file", "^\\s", "frame"},
};
enum { EDGES = sizeof edges / sizeof edges[0] };

static struct regex *patterns[EDGES];

static int compile_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDGES; i++)
        if (regex_compile(edges[i].pattern, &patterns[i], NULL))
            return -1;
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDGES; i++)
        regex_free(&patterns[i]);
    return 0;
}

struct model {
    unsigned rule;
    const char *at;
};

static const struct edge *edge_of(unsigned rules, const char *at, struct bytes line)
{
    for (size_t i = 0; i < EDGES; i++)
        if ((edges[i].rule & rules) && strstr(edges[i].from, at) != NULL &&
            regex_matches(patterns[i], line))
            return &edges[i];
    return NULL;
}

static enum multiline_step model_step(unsigned rules, struct model *model, struct bytes line)
{
    const struct edge *edge = model->rule != 0 ? edge_of(model->rule, model->at, line) : NULL;

    if (edge != NULL && strcmp(edge->to, "end") == 0) {
        model->rule = 0;
        return MULTILINE_ENDS;
    }
    if (edge != NULL) {
        model->at = edge->to;
        return MULTILINE_GOES_ON;
    }
    model->rule = 0;
    for (unsigned rule = MULTILINE_JAVA; rule <= MULTILINE_GO && model->rule == 0; rule <<= 1) {
        edge = (rules & rule) ? edge_of(rule, "start", line) : NULL;
        if (edge != NULL)
            *model = (struct model){rule, edge->to};
    }
    return model->rule != 0 ? MULTILINE_BEGINS : MULTILINE_ALONE;
}

/* Lines near to what the rules know: their words, put together and damaged at random. */
static size_t make_line(char *into, size_t size)
{
    static const char *const words[] = {
        "java.lang.Exception",
        "Error",
        "Throwable",
        ":",
        ": ",
        "text",
        "\t",
        " ",
        "at ",
        "eval at ",
        "Caused by:",
        "Suppressed:",
        "... 12 more",
        "... ",
        "3 common frames omitted",
        "nested exception is:",
        "Traceback (most recent call last):",
        "  File \"x.py\"",
        "ValueError",
        "a.b.",
        "(",
        ")",
        "panic",
        "panic: ",
        "fatal error: ",
        "http: panic serving",
        "goroutine 1 [running]:",
        "goroutine ",
        "[signal ",
        "]:",
        "main.f(0x1)",
        "created by ",
        "main.(*T).run",
        "...",
        "+ Exception Group ",
        "~",
        "_",
        "",
        "\t--- End of inner exception stack trace ---",
        "--- End of stack trace from previous location where exception was thrown ---",
        "V8 errors stack trace",
        "\v",
        ".",
        "Traceback (most recent call last):",
        "\t",
        "Traceback (most recent call last):",
        "panic: "};
    size_t len = 0;
    unsigned count = (unsigned)rand() % 4;

    for (unsigned i = 0; i < count; i++) {
        const char *word = words[(size_t)rand() % (sizeof words / sizeof words[0])];
        size_t n = strlen(word);
        if (rand() % 16 == 0)
            n = n > 0 ? (size_t)rand() % n : 0;
        if (len + n > size)
            break;
        memcpy(into + len, word, n);
        len += n;
    }
    return len;
}

static void test_says_what_the_expressions_say(void **state)
{
    (void)state;
    srand(7);
    for (unsigned rules = 1; rules < 8; rules++) {
        AUTO(multiline_destroy) struct multiline *multiline = NULL;
        struct multiline_state at = {0};
        struct model model = {0};
        unsigned kinds[4] = {0};
        assert_ok(multiline_create(rules, NULL, 0, &multiline, NULL));
        for (int i = 0; i < 40000; i++) {
            char text[256];
            struct bytes line = {(const uint8_t *)text, make_line(text, sizeof text)};
            enum multiline_step got = multiline_step(multiline, &at, line);
            enum multiline_step want = model_step(rules, &model, line);
            if (got != want)
                fail_msg("rules %u, line %d '%.*s': %d, not %d", rules, i, (int)line.len, text, got,
                         want);
            kinds[got]++;
        }
        assert_true(kinds[MULTILINE_ALONE] > 20 && kinds[MULTILINE_BEGINS] > 20 &&
                    kinds[MULTILINE_GOES_ON] > 20);
    }
}

/* ---- what programs print */

/* Each line is marked: '+' begins a record, '.' goes on. */
static void check(unsigned rules, const char *const *starts, size_t starts_len,
                  const char *const *lines)
{
    AUTO(multiline_destroy) struct multiline *multiline = NULL;
    struct multiline_state at = {0};
    bool ended = true;

    assert_ok(multiline_create(rules, starts, starts_len, &multiline, NULL));
    for (; *lines != NULL; lines++) {
        enum multiline_step step = multiline_step(multiline, &at, bytes_from(*lines + 1));
        bool goes_on = (step == MULTILINE_GOES_ON || step == MULTILINE_ENDS) && !ended;
        if (goes_on != (**lines == '.'))
            fail_msg("'%s' is step %d", *lines, step);
        ended = step == MULTILINE_ENDS || step == MULTILINE_ALONE;
    }
}

#define ALL_RULES (MULTILINE_JAVA | MULTILINE_PYTHON | MULTILINE_GO)

static void test_knows_java(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "+2026-11-21 13:30:01 ERROR Handler - failed: java.lang.IllegalStateException: no shop",
        ".\tat com.shop.Cart.add(Cart.java:12)",
        ".    at com.shop.Cart.<init>(Cart.java:9)",
        ".\tSuppressed: java.io.IOException",
        ".\t\tat com.shop.Db.close(Db.java:3)",
        ".Caused by: java.sql.SQLException: gone",
        ".\tat com.shop.Db.get(Db.java:77)",
        ".\t... 27 more",
        ".\t... 3 common frames omitted",
        "+2026-11-21 13:30:02 INFO next",
        NULL};
    static const char *const node[] = {"+TypeError: Cannot read properties of undefined",
                                       ".    at Object.<anonymous> (/app/x.js:3:1)",
                                       ".    at eval at run (repl)",
                                       "+done",
                                       "+Unhandled javax.mail.SendFailedException: x",
                                       ".  nested exception is:",
                                       ".\tjavax.mail.AuthenticationFailedException: y",
                                       ".\tat a.b(C.java)",
                                       "+bye",
                                       NULL};
    check(ALL_RULES, NULL, 0, lines);
    check(ALL_RULES, NULL, 0, node);
}

static void test_knows_python(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "+INFO:root:start",
        "+Traceback (most recent call last):",
        ".  File \"/app/main.py\", line 12, in <module>",
        ".    run(x)",
        ".    ~~~^^^",
        ".  File \"/app/lib.py\", line 3, in run",
        ".    raise ValueError(\"no: x\")",
        ".pkg.errors.ValueError: no: x",
        "+",
        "+During handling of the above exception, another exception occurred:",
        "+",
        "+Traceback (most recent call last):",
        ".  File \"/app/main.py\", line 12, in <module>",
        ".KeyboardInterrupt",
        "+INFO:root:again",
        "+  + Exception Group Traceback (most recent call last):",
        ".  |   File \"<stdin>\", line 1, in <module>",
        ".  | ExceptionGroup: two (2 sub-exceptions)",
        ".  +-+---------------- 1 ----------------",
        ".    | ValueError: 1",
        ".    +------------------------------------",
        "+INFO:root:end",
        NULL};
    check(ALL_RULES, NULL, 0, lines);
}

static void test_knows_go(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "+2026/11/21 13:30:00 start",
        "+panic: runtime error: invalid memory address or nil pointer dereference [recovered]",
        ".\tpanic: again",
        ".[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47]",
        ".",
        ".goroutine 1 [running]:",
        ".main.(*server).run(0xc000012345, {0x1, 0x2})",
        ".\t/src/main.go:12 +0x1b",
        ".github.com/shop/cart/v2.Add(...)",
        ".\t/src/cart.go:9",
        "....additional frames elided...",
        ".created by main.main in goroutine 1",
        ".\t/src/main.go:5 +0x2",
        ".",
        ".goroutine 18 [select, 3 minutes]:",
        ".main.wait(0x0)",
        ".\t/src/main.go:50 +0x2",
        "+exit status 2",
        "+fatal error: all goroutines are asleep - deadlock!",
        ".",
        ".goroutine 1 [chan receive]:",
        ".main.main()",
        ".\t/src/main.go:5 +0x2",
        "+2026/11/21 http: panic serving 127.0.0.1:3: boom",
        ".goroutine 7 [running]:",
        ".net/http.(*conn).serve.func1(0xc0)",
        ".\t/go/server.go:1801 +0x1",
        "+bye",
        NULL};
    check(ALL_RULES, NULL, 0, lines);
}

static void test_ordinary_lines_stand_for_themselves(void **state)
{
    (void)state;
    static const char *const lines[] = {"+",
                                        "+Exception: nothing before it",
                                        "+  indented",
                                        "+\tat nowhere",
                                        "+10.0.0.1 - GET / HTTP/1.1",
                                        "+{\"level\":\"error\",\"msg\":\"Errors: 3\"}",
                                        "+dispanic: x",
                                        "+goroutine 1 [running]:",
                                        NULL};
    check(ALL_RULES, NULL, 0, lines);
}

static void test_groups_from_one_start_of_the_user_to_the_next(void **state)
{
    (void)state;
    static const char *const starts[] = {"^\\d{4}-\\d\\d-\\d\\d ", "^--$"};
    static const char *const lines[] = {"+before the first",
                                        ".still",
                                        "+2026-11-21 a",
                                        ". b",
                                        ".Caused by: c",
                                        ".",
                                        "+2026-11-21 x",
                                        "+--",
                                        ".y",
                                        NULL};
    check(0, starts, 2, lines);

    /* A trace begins where its rule says so only outside a group */
    static const char *const mixed[] = {"+java.lang.Error: a", ".\tat b", "+other", ".more",
                                        ".java.lang.Error: c", ".d",      "+--",    NULL};
    check(MULTILINE_JAVA, starts, 2, mixed);
}

static void test_refuses_patterns_that_are_wrong_and_counts_those_that_give_up(void **state)
{
    (void)state;
    static const char *const wrong[] = {"ok", "(x"}, *const slow[] = {"^(a+)+$"};
    static const char *const many[MULTILINE_STARTS_MAX + 1] = {0};
    struct multiline *multiline = NULL;
    struct multiline_state at = {0};
    struct error error;

    assert_int_equal(multiline_create(0, wrong, 2, &multiline, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "'(x'"));
    assert_int_equal(multiline_create(0, many, MULTILINE_STARTS_MAX + 1, &multiline, &error),
                     ERR_INVALID);
    assert_null(multiline);

    assert_ok(multiline_create(0, slow, 1, &multiline, NULL));
    struct bytes line = BYTES_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    assert_int_equal(multiline_step(multiline, &at, line), MULTILINE_BEGINS);
    assert_int_equal(multiline_step(multiline, &at, line), MULTILINE_GOES_ON);
    assert_int_equal(multiline_gave_up(multiline), 1);
    multiline_destroy(&multiline);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_the_expressions_say),
        cmocka_unit_test(test_knows_java),
        cmocka_unit_test(test_knows_python),
        cmocka_unit_test(test_knows_go),
        cmocka_unit_test(test_ordinary_lines_stand_for_themselves),
        cmocka_unit_test(test_groups_from_one_start_of_the_user_to_the_next),
        cmocka_unit_test(test_refuses_patterns_that_are_wrong_and_counts_those_that_give_up),
    };
    return cmocka_run_group_tests(tests, compile_all, free_all);
}
