/* What Fluent Bit 5.1.1 wrote into Kafka of the same input, member by member: container.jsonl of
 * container.log, by its tail, cri and kubernetes plugins; otlp.jsonl of otlp.json, over OTLP/HTTP.
 * There may be more in ours, but nothing less and nothing else. */
// link: tests/support/golden.c
#include "tests/support/golden.h"
#include "tests/support/test.h"

#include "common/json.h"
#include "common/rfc3339.h"
#include "sidecar/lines/batch.h"
#include "sidecar/lines/lines.h"
#include "sidecar/otlp/fluentbit_json.h"
#include "sidecar/otlp/otlp_json.h"

#include <string.h>

#define DIRECTORY "tests/golden/fluentbit/"

struct theirs {
    struct buf text;
    char *at; /* the next document */
    unsigned number;
};

static void read_theirs(const char *path, struct theirs *theirs)
{
    assert_true(golden_read(path, &theirs->text));
    assert_ok(buf_append_byte(&theirs->text, '\0'));
    theirs->at = (char *)theirs->text.data;
}

static struct json *parse(struct bytes text)
{
    struct json *json = NULL;

    assert_ok(json_parse(text, text.len, &json, NULL));
    return json;
}

/* They keep the text of the log file, with its offset and as many digits as it has. */
static void assert_same_time(const struct json *theirs, const struct json *ours)
{
    uint64_t want = 0, got = 0;

    assert_true(rfc3339_parse(json_string(theirs, ""), &want));
    assert_true(rfc3339_parse(json_string(ours, ""), &got));
    assert_int_equal(got, want);
}

static enum err compare(void *user, struct bytes resource, struct bytes record, struct error *error)
{
    AUTO(buf_fini) struct buf text = {0};
    AUTO(fluentbit_resource_fini) struct fluentbit_resource made = {0};
    struct theirs *theirs = user;
    size_t len = strcspn(theirs->at, "\n");

    assert_ok(fluentbit_json_write(resource, record, 0, &made, &text, error));
    AUTO(json_free) struct json *want = parse((struct bytes){(const uint8_t *)theirs->at, len});
    AUTO(json_free) struct json *got = parse(buf_bytes(&text));
    for (const struct json *at = json_first(want); at != NULL; at = json_next(at)) {
        const struct json *mine = json_get(got, json_key(at));
        if (strcmp(json_key(at), "_p") == 0) /* what a part of a line was; ours are whole */
            continue;
        if (mine == NULL)
            fail_msg("document %u has no \"%s\"", theirs->number, json_key(at));
        if (strcmp(json_key(at), "time") == 0)
            assert_same_time(at, mine);
        else if (!json_equal(at, mine))
            fail_msg("document %u has another \"%s\": %s", theirs->number, json_key(at),
                     buf_text(&text));
    }
    theirs->at += len + 1;
    theirs->number++;
    return OK;
}

static void assert_all_were_compared(const struct theirs *theirs)
{
    assert_true(theirs->number > 10);
    assert_string_equal(theirs->at, "");
}

static void test_writes_of_otlp_what_fluent_bit_wrote(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf otlp = {0}, request = {0};
    struct theirs theirs = {0};

    assert_true(golden_read(DIRECTORY "otlp.json", &otlp));
    read_theirs(DIRECTORY "otlp.jsonl", &theirs);
    assert_ok(otlp_json_read(SIGNAL_LOGS, buf_bytes(&otlp), NULL, &request, NULL));
    assert_ok(fluentbit_records(buf_bytes(&request), compare, &theirs, NULL));
    assert_all_were_compared(&theirs);
    buf_fini(&theirs.text);
}

/* The pod as an edge describes it, where it has all that Fluent Bit was told of it. */
static const struct batch_attribute pod[] = {
    {"k8s.namespace.name", "shop"},
    {"k8s.pod.name", "web-0"},
    {"k8s.pod.uid", "11111111-2222-3333-4444-555555555555"},
    {"k8s.pod.ip", "10.0.0.1"},
    {"k8s.node.name", "node-1"},
    {"k8s.container.name", "app"},
    {"container.id", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {"container.image.name", "docker.io/img:1"},
    {"container.image.id", "docker.io/img@sha256:abc"},
    {"k8s.pod.label.app", "web"},
    {"k8s.pod.label.app.kubernetes.io/name", "shop"},
    {"k8s.pod.annotation.a/b", "c"},
    {"log.file.path", "/var/log/pods/shop_web-0_11111111-2222-3333-4444-555555555555/app/0.log"},
};

static void read_container_log(struct bytes log, struct batch *batch)
{
    AUTO(lines_destroy) struct lines *lines = NULL;
    struct lines_counts counts = {0};
    const struct lines_options options = {
        .format = LINES_CRI, .line_max = 64 << 10, .counts = &counts};
    struct line line;

    assert_ok(lines_create(&options, NULL, &lines, NULL));
    lines_feed(lines, log, 0);
    while (lines_next(lines, &line) == OK) {
        assert_ok(batch_add(batch, &line, 1));
        lines_take(lines);
    }
    assert_int_equal(counts.invalid, 0);
}

static void test_writes_of_a_containers_lines_what_fluent_bit_wrote(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf log = {0}, resource = {0}, request = {0};
    AUTO(batch_destroy) struct batch *batch = NULL;
    struct theirs theirs = {0};
    const struct bytes *parts = NULL;

    assert_true(golden_read(DIRECTORY "container.log", &log));
    read_theirs(DIRECTORY "container.jsonl", &theirs);
    assert_ok(batch_resource(pod, sizeof pod / sizeof pod[0], NULL, &resource));
    assert_ok(batch_create(1 << 20, &batch, NULL));
    assert_ok(batch_file(batch, buf_bytes(&resource)));
    read_container_log(buf_bytes(&log), batch);
    size_t count = batch_parts(batch, &parts);
    for (size_t i = 0; i < count; i++)
        assert_ok(buf_append(&request, parts[i]));
    assert_ok(fluentbit_records(buf_bytes(&request), compare, &theirs, NULL));
    assert_all_were_compared(&theirs);
    buf_fini(&theirs.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_of_otlp_what_fluent_bit_wrote),
        cmocka_unit_test(test_writes_of_a_containers_lines_what_fluent_bit_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
