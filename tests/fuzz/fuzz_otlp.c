/* Any bytes at all: nothing reads outside them, and what the walk accepts survives stamping,
 * cutting, the way to JSON and back and that to Fluent Bit's documents, with all its items.
 *
 *   input := how (1)  request          how := signal (how % 3)  size of parts (how / 3, in steps)
 */
#include "common/assert.h"
#include "common/json.h"
#include "sidecar/otlp/fluentbit_json.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/partition.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/otlp/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct stamp_rule rules[] = {
    {"service.name", "stamped", STAMP_UPSERT},
    {"k8s.cluster.name", "prod", STAMP_INSERT},
    {"host.name", "node", STAMP_UPDATE},
    {"process.pid", NULL, STAMP_DELETE},
    {"", "", STAMP_INSERT},
};

struct parts {
    enum signal signal;
    size_t part_max;
    bool valid; /* the whole was accepted, so must be the parts */
    uint64_t items;
};

static struct bytes join(const struct otlp_slices *slices, struct buf *into)
{
    buf_clear(into);
    enum err err = otlp_slices_append_to(slices, into);
    ASSERT(err == OK);
    return buf_bytes(into);
}

static uint32_t items_of(enum signal signal, struct bytes request)
{
    struct otlp_summary summary = {0}, counted = {0};

    enum err err = otlp_walk(signal, request, NULL, &summary, NULL);
    ASSERT(err == OK);
    err = otlp_count(signal, request, &counted, NULL);
    ASSERT(err == OK);
    ASSERT(counted.items == summary.items);
    ASSERT(counted.resources == summary.resources);
    ASSERT(counted.scopes == summary.scopes);
    return summary.items;
}

static enum err take(void *user, const struct otlp_part *part, struct error *error)
{
    struct parts *parts = user;
    AUTO(buf_fini) struct buf bytes = {0};

    (void)error;
    struct bytes request = join(part->slices, &bytes);
    ASSERT(part->oversized == (request.len > parts->part_max));
    if (parts->valid)
        ASSERT(items_of(parts->signal, request) == part->items);
    parts->items += part->items;
    return OK;
}

static void stamp(enum signal signal, struct bytes request, bool valid, uint32_t items)
{
    AUTO(stamp_destroy) struct stamp *plan = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    AUTO(buf_fini) struct buf once = {0}, twice = {0};

    enum err err = stamp_create(rules, 4, &plan, NULL);
    ASSERT(err == OK);
    err = stamp_apply(plan, request, SIZE_MAX, &slices, NULL);
    ASSERT(err == OK || (!valid && err == ERR_INVALID));
    if (!valid)
        return;
    struct bytes stamped = join(&slices, &once);
    ASSERT(items_of(signal, stamped) == items);
    err = stamp_apply(plan, stamped, SIZE_MAX, &slices, NULL);
    ASSERT(err == OK);
    ASSERT(join(&slices, &twice).len == stamped.len);
}

static void cut(enum signal signal, struct bytes request, size_t part_max, bool valid,
                uint32_t items)
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    AUTO(buf_fini) struct buf bytes = {0};
    struct parts parts = {.signal = signal, .part_max = part_max, .valid = valid};

    enum err err = otlp_split(signal, request, part_max, &first, take, &parts, NULL);
    ASSERT(err == OK || (!valid && err == ERR_INVALID));
    ASSERT(!valid || parts.items == items);

    err = otlp_halve(signal, request, &first, &second, NULL);
    ASSERT(err == OK || err == ERR_NOTFOUND || (!valid && err == ERR_INVALID));
    if (!valid || err)
        return;
    uint32_t halves = items_of(signal, join(&first, &bytes));
    halves += items_of(signal, join(&second, &bytes));
    ASSERT(halves == items);
}

static enum err take_group(void *user, struct bytes key, const struct otlp_slices *request,
                           uint32_t items, struct error *error)
{
    struct parts *parts = user;
    AUTO(buf_fini) struct buf bytes = {0};

    (void)error;
    ASSERT(key.len <= 32);
    struct bytes group = join(request, &bytes);
    if (parts->valid)
        ASSERT(items_of(parts->signal, group) == items);
    parts->items += items;
    return OK;
}

static void group(enum signal signal, struct bytes request, bool valid, uint32_t items)
{
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct parts parts = {.signal = signal, .valid = valid};

    enum err err = otlp_group_by_resource(signal, request, &work, take_group, &parts, NULL);
    ASSERT(err == OK || (!valid && err == ERR_INVALID));
    ASSERT(!valid || parts.items == items);
    parts.items = 0;
    err = otlp_group_by_trace(signal, request, &work, take_group, &parts, NULL);
    ASSERT(err == OK || ((!valid || signal == SIGNAL_METRICS) && err == ERR_INVALID));
    ASSERT(!valid || signal == SIGNAL_METRICS || parts.items == items);
}

static void to_json_and_back(enum signal signal, struct bytes request, bool valid)
{
    AUTO(buf_fini) struct buf once = {0}, back = {0}, twice = {0};

    enum err err = otlp_json_write(signal, request, &once, NULL);
    ASSERT(err == OK || (!valid && err == ERR_INVALID));
    if (!valid)
        return;
    err = otlp_json_read(signal, buf_bytes(&once), NULL, &back, NULL);
    ASSERT(err == OK);
    err = otlp_json_write(signal, buf_bytes(&back), &twice, NULL);
    ASSERT(err == OK);
    ASSERT(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
}

static enum err take_record(void *user, struct bytes resource, struct bytes record,
                            struct error *error)
{
    AUTO(fluentbit_resource_fini) struct fluentbit_resource made = {0};
    AUTO(buf_fini) struct buf text = {0};
    AUTO(json_free) struct json *json = NULL;
    struct parts *parts = user;

    enum err err = fluentbit_json_write(resource, record, 1, &made, &text, error);
    ASSERT(err == OK || (!parts->valid && err == ERR_INVALID));
    parts->items++;
    if (!parts->valid)
        return OK;
    err = json_parse(buf_bytes(&text), text.len, &json, error);
    ASSERT(err == OK);
    return OK;
}

static void to_documents(struct bytes request, bool valid, uint32_t items)
{
    struct parts parts = {.valid = valid};

    enum err err = fluentbit_records(request, take_record, &parts, NULL);
    ASSERT(err == OK || (!valid && err == ERR_INVALID));
    ASSERT(!valid || parts.items == items);
}

/* Of anything at all, what is kept is either accepted, with its items, or its headers are at fault;
 * of what was accepted all is kept but metrics of two kinds. */
static void sift(enum signal signal, struct bytes request, bool valid, uint32_t items)
{
    AUTO(otlp_slices_fini) struct otlp_slices out = {0};
    AUTO(buf_fini) struct buf left = {0};
    struct otlp_summary after = {0};
    uint32_t kept = 0, rejected = 0;

    enum err err = otlp_sift(signal, request, &out, &kept, &rejected, NULL);
    ASSERT(err == OK || !valid);
    if (err)
        return;
    ASSERT(out.size_bytes <= request.len);
    ASSERT(!valid || kept + rejected == items);
    ASSERT(!valid || rejected == 0 || signal == SIGNAL_METRICS);
    err = otlp_walk(signal, join(&out, &left), NULL, &after, NULL);
    ASSERT(err != OK || after.items == kept);
    ASSERT(err == OK || !valid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct otlp_summary summary = {0};
    struct error error = {0};

    if (size == 0)
        return 0;
    enum signal signal = (enum signal)(data[0] % SIGNAL_COUNT);
    size_t part_max = (size_t)(data[0] / SIGNAL_COUNT) * 4;
    struct bytes request = {data + 1, size - 1};
    bool valid = otlp_walk(signal, request, NULL, &summary, &error) == OK;
    ASSERT(valid || error.text[0] != '\0');

    stamp(signal, request, valid, summary.items);
    cut(signal, request, part_max, valid, summary.items);
    group(signal, request, valid, summary.items);
    sift(signal, request, valid, summary.items);
    to_json_and_back(signal, request, valid);
    if (signal == SIGNAL_LOGS)
        to_documents(request, valid, summary.items);
    return 0;
}
