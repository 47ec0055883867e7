/* Whatever a name or value holds, it stays in its place in the URL. */
#include "tests/support/test.h"

#include "common/url.h"

static void test_encodes_whatever_is_not_unreserved(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf url = {0};

    assert_ok(url_start(&url, "https://10.96.0.1:443//"));
    assert_ok(url_segment(&url, "api"));
    assert_ok(url_segment(&url, "a/b ?%"));
    assert_ok(url_query(&url, "labelSelector", "a=b,c in (d)"));
    assert_ok(url_query(&url, "q", "\xc3\xa4&"));
    assert_string_equal(buf_text(&url), "https://10.96.0.1:443/api/a%2Fb%20%3F%25"
                                        "?labelSelector=a%3Db%2Cc%20in%20%28d%29&q=%C3%A4%26");
}

static void test_refuses_to_grow_past_the_bound(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf url = {.max = 12};

    assert_ok(url_start(&url, "http://a"));
    assert_int_equal(url_segment(&url, "long name"), ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodes_whatever_is_not_unreserved),
        cmocka_unit_test(test_refuses_to_grow_past_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
