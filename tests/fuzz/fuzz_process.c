/* Any bytes at all through processors: nothing reads outside them, and what the walk accepts comes
 * out as something it accepts, with the items that were not dropped, the same each time.
 *
 *   input := how (1)  request          how := signal (how % 3)  processors (how / 3)
 */
#include "common/assert.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/process/process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct pipeline_attribute_change changes[] = {
    {"k", "v", NULL, PIPELINE_CHANGE_UPSERT},
    {"service.name", NULL, NULL, PIPELINE_CHANGE_DELETE},
    {"a", NULL, "k", PIPELINE_CHANGE_RENAME},
    {"b", NULL, "http.method", PIPELINE_CHANGE_INSERT},
    {"host.name", "x", NULL, PIPELINE_CHANGE_UPDATE},
};
static struct pipeline_attributes on_resource = {PIPELINE_ON_RESOURCE, changes, COUNT(changes)};
static struct pipeline_attributes on_scope = {PIPELINE_ON_SCOPE, changes, COUNT(changes)};
static struct pipeline_attributes on_item = {PIPELINE_ON_ITEM, changes, COUNT(changes)};
static struct pipeline_parse json = {.json = "body", .to = PIPELINE_TO_BODY};
static struct pipeline_parse json_of_k = {.json = "attributes[\"k\"]"};
static struct pipeline_parse pattern = {.regex = "(?<first>\\w)(?<rest>.*)"};
static const char *keys[] = {"k", "http.method", "service.name"};
static const char *patterns[] = {"[a-e]+", "\\d"};
static struct pipeline_redact redact = {{keys, COUNT(keys)}, {patterns, COUNT(patterns)}};
static struct pipeline_filter by_attribute = {
    "attributes[\"k\"] == \"v\" or exists resource[\"k\"]"};
static struct pipeline_filter by_body = {"body[\"a\"] =~ \"x\" or severity < \"INFO\""};
static struct pipeline_filter by_span = {
    "status == \"error\" or duration > \"1s\" or name == \"x\""};
static struct pipeline_sample sample = {0.5, "scope.name =~ \"a\""};

static const struct pipeline_processor processors[] = {
    {.attributes = &on_resource}, {.attributes = &on_scope},
    {.attributes = &on_item},     {.parse = &json},
    {.parse = &json_of_k},        {.parse = &pattern},
    {.redact = &redact},          {.filter = &by_attribute},
    {.filter = &by_body},         {.filter = &by_span},
    {.sample = &sample},
};

static void run(struct process *process, const struct pipeline_processor *steps, enum signal signal,
                struct bytes request, bool valid, uint32_t items)
{
    AUTO(buf_fini) struct buf first = {0};
    struct process_counts counts;
    struct otlp_summary summary = {0};
    struct bytes out;
    uint32_t left = 0, dropped = 0, again = 0;

    enum err err = process_run(process, signal, request, SIZE_MAX, &out, &left, &counts, NULL);
    ASSERT(err == OK || (!valid && err == ERR_INVALID));
    if (!valid)
        return;
    err = otlp_walk(signal, out, NULL, &summary, NULL);
    ASSERT(err == OK);
    ASSERT(summary.items == left);
    for (size_t i = 0; i < counts.count; i++) {
        bool parses = steps[counts.list[i].step].parse != NULL;
        dropped += parses ? 0 : counts.list[i].items;
    }
    ASSERT(left + dropped == items);

    err = buf_append(&first, out);
    ASSERT(err == OK);
    err = process_run(process, signal, request, SIZE_MAX, &out, &again, &counts, NULL);
    ASSERT(err == OK);
    ASSERT(bytes_equal(buf_bytes(&first), out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(process_destroy) struct process *process = NULL;
    struct otlp_summary summary = {0};

    if (size == 0)
        return 0;
    /* one of them alone, or all from there on */
    size_t how = data[0] / SIGNAL_COUNT % (2 * COUNT(processors)), from = how / 2;
    size_t count = how % 2 == 0 ? 1 : COUNT(processors) - from;
    enum signal signal = (enum signal)(data[0] % SIGNAL_COUNT);
    struct bytes request = {data + 1, size - 1};
    bool valid = otlp_walk(signal, request, NULL, &summary, NULL) == OK;

    enum err err = process_create(processors + from, count, "fuzz", &process, NULL);
    ASSERT(err == OK);
    run(process, processors + from, signal, request, valid, summary.items);
    return 0;
}
