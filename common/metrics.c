/* One global registry under one mutex: it is taken to look a series up and to write them all out,
 * never to count. Values are doubles changed by compare-and-swap; counters of whole numbers are
 * exact up to 2^53. */
#include "common/metrics.h"

#include "common/assert.h"
#include "common/xalloc.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { HOOKS_MAX = 16 };

struct metric {
    struct metric *next;
    const struct metric_desc *desc;
    char *labels[METRIC_LABELS_MAX];
    uint64_t hash;        /* of the labels */
    _Atomic bool is_set;  /* since the last sweep */
    _Atomic double value; /* a histogram's sum */
    _Atomic uint64_t count;
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX];
};

struct family {
    struct family *next;
    const struct metric_desc *desc;
    struct metric *first, **end;
    size_t len;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static struct family *families, **families_end = &families;
static struct {
    metrics_refresh_fn *refresh;
    void *context;
} hooks[HOOKS_MAX];
static size_t hooks_len;

static void *must(void *memory)
{
    if (memory == NULL)
        xalloc_fail(0); /* small, and made at start: nothing sensible goes on without it */
    return memory;
}

static struct family *family_of(const struct metric_desc *desc)
{
    for (struct family *at = families; at != NULL; at = at->next)
        if (at->desc == desc || strcmp(at->desc->name, desc->name) == 0)
            return at;

    struct family *family = must(calloc(1, sizeof *family));
    family->desc = desc;
    family->end = &family->first;
    *families_end = family;
    families_end = &family->next;
    return family;
}

/* FNV-1a, so that a look through thousands of series compares the labels of one. */
static uint64_t hash_of(const struct metric_desc *desc, const char *const values[METRIC_LABELS_MAX])
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < METRIC_LABELS_MAX && desc->labels[i] != NULL; i++) {
        for (const char *at = values[i] == NULL ? "" : values[i]; *at != '\0'; at++)
            hash = (hash ^ (uint8_t)*at) * UINT64_C(1099511628211);
        hash = (hash ^ 0xff) * UINT64_C(1099511628211);
    }
    return hash;
}

static bool has_labels(const struct metric *metric, const char *const values[METRIC_LABELS_MAX])
{
    for (size_t i = 0; i < METRIC_LABELS_MAX && metric->desc->labels[i] != NULL; i++)
        if (strcmp(metric->labels[i], values[i] == NULL ? "" : values[i]) != 0)
            return false;
    return true;
}

static struct metric *find(struct family *family, const char *const values[METRIC_LABELS_MAX])
{
    uint64_t hash = hash_of(family->desc, values);

    for (struct metric *at = family->first; at != NULL; at = at->next)
        if (at->hash == hash && has_labels(at, values))
            return at;
    return NULL;
}

static struct metric *add_series(struct family *family, const char *const values[METRIC_LABELS_MAX])
{
    struct metric *metric = must(calloc(1, sizeof *metric));

    metric->desc = family->desc;
    metric->hash = hash_of(family->desc, values);
    for (size_t i = 0; i < METRIC_LABELS_MAX && family->desc->labels[i] != NULL; i++)
        metric->labels[i] = must(strdup(values[i] == NULL ? "" : values[i]));
    *family->end = metric;
    family->end = &metric->next;
    family->len++;
    return metric;
}

struct metric *metrics_series4(const struct metric_desc *desc, const char *a, const char *b,
                               const char *c, const char *d)
{
    static const char *const overflow[METRIC_LABELS_MAX] = {"_overflow", "_overflow", "_overflow",
                                                            "_overflow"};
    const char *const values[METRIC_LABELS_MAX] = {a, b, c, d};

    ASSERT(desc->buckets_len <= METRIC_BUCKETS_MAX);
    pthread_mutex_lock(&lock);
    struct family *family = family_of(desc);
    struct metric *metric = find(family, values);
    if (metric == NULL && family->len < METRIC_SERIES_MAX)
        metric = add_series(family, values);
    if (metric == NULL)
        metric = find(family, overflow);
    if (metric == NULL)
        metric = add_series(family, overflow);
    pthread_mutex_unlock(&lock);
    return metric;
}

void metrics_sweep(const struct metric_desc *desc)
{
    pthread_mutex_lock(&lock);
    struct family *family = family_of(desc);
    family->end = &family->first;
    while (*family->end != NULL) {
        struct metric *metric = *family->end;
        if (atomic_exchange_explicit(&metric->is_set, false, memory_order_relaxed)) {
            family->end = &metric->next;
            continue;
        }
        *family->end = metric->next;
        family->len--;
        for (size_t i = 0; i < METRIC_LABELS_MAX; i++)
            free(metric->labels[i]);
        free(metric);
    }
    pthread_mutex_unlock(&lock);
}

void metric_add(struct metric *metric, double value)
{
    double seen = atomic_load_explicit(&metric->value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&metric->value, &seen, seen + value,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void metric_set(struct metric *metric, double value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
    atomic_store_explicit(&metric->is_set, true, memory_order_relaxed);
}

void metric_observe(struct metric *metric, double value)
{
    const struct metric_desc *desc = metric->desc;
    size_t i = 0;

    while (i < desc->buckets_len && value > desc->buckets[i])
        i++;
    if (i < desc->buckets_len)
        atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->count, 1, memory_order_relaxed);
    metric_add(metric, value);
}

double metric_value(const struct metric *metric)
{
    if (metric->desc->kind == METRIC_HISTOGRAM)
        return (double)atomic_load_explicit(&metric->count, memory_order_relaxed);
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

void metrics_on_refresh(metrics_refresh_fn *refresh, void *context)
{
    pthread_mutex_lock(&lock);
    ASSERT(hooks_len < HOOKS_MAX);
    hooks[hooks_len].refresh = refresh;
    hooks[hooks_len++].context = context;
    pthread_mutex_unlock(&lock);
}

void metrics_off_refresh(metrics_refresh_fn *refresh, void *context)
{
    size_t kept = 0;

    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < hooks_len; i++)
        if (hooks[i].refresh != refresh || hooks[i].context != context)
            hooks[kept++] = hooks[i];
    hooks_len = kept;
    pthread_mutex_unlock(&lock);
}

/* ---- exposition */

static enum err put_escaped(struct buf *into, const char *text, bool quotes)
{
    enum err err = OK;
    for (; *text != '\0' && !err; text++) {
        if (*text == '\n')
            err = buf_append_text(into, "\\n");
        else if (*text == '\\' || (quotes && *text == '"'))
            err = buf_printf(into, "\\%c", *text);
        else
            err = buf_append_byte(into, (uint8_t)*text);
    }
    return err;
}

static enum err put_labels(struct buf *into, const struct metric *metric, const char *le)
{
    const struct metric_desc *desc = metric->desc;
    const char *comma = "{";
    enum err err = OK;

    for (size_t i = 0; i < METRIC_LABELS_MAX && desc->labels[i] != NULL && !err; i++, comma = ",") {
        err = buf_printf(into, "%s%s=\"", comma, desc->labels[i]);
        if (!err)
            err = put_escaped(into, metric->labels[i], true);
        if (!err)
            err = buf_append_byte(into, '"');
    }
    if (!err && le != NULL) {
        err = buf_printf(into, "%sle=\"%s\"", comma, le);
        comma = ",";
    }
    return err || *comma == '{' ? err : buf_append_byte(into, '}');
}

static enum err put_sample(struct buf *into, const struct metric *metric, const char *suffix,
                           const char *le, double value)
{
    enum err err = buf_printf(into, "%s%s", metric->desc->name, suffix);
    if (!err)
        err = put_labels(into, metric, le);
    if (err)
        return err;
    return isfinite(value) ? buf_printf(into, " %.17g\n", value) : buf_append_text(into, " NaN\n");
}

static enum err put_histogram(struct buf *into, const struct metric *metric)
{
    const struct metric_desc *desc = metric->desc;
    uint64_t below = 0;
    enum err err = OK;

    /* Read before the buckets, so that a bucket is never above the count. */
    uint64_t count = atomic_load_explicit(&metric->count, memory_order_relaxed);
    for (size_t i = 0; i < desc->buckets_len && !err; i++) {
        char le[32];
        below += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        snprintf(le, sizeof le, "%g", desc->buckets[i]);
        err = put_sample(into, metric, "_bucket", le, (double)(below > count ? count : below));
    }
    if (!err)
        err = put_sample(into, metric, "_bucket", "+Inf", (double)count);
    if (!err)
        err = put_sample(into, metric, "_sum", NULL,
                         atomic_load_explicit(&metric->value, memory_order_relaxed));
    return err ? err : put_sample(into, metric, "_count", NULL, (double)count);
}

static enum err put_family(struct buf *into, const struct family *family)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const struct metric_desc *desc = family->desc;

    if (family->first == NULL)
        return OK;
    enum err err = buf_printf(into, "# HELP %s ", desc->name);
    if (!err)
        err = put_escaped(into, desc->help, false);
    if (!err)
        err = buf_printf(into, "\n# TYPE %s %s\n", desc->name, kinds[desc->kind]);
    for (const struct metric *at = family->first; at != NULL && !err; at = at->next)
        err = desc->kind == METRIC_HISTOGRAM ? put_histogram(into, at)
                                             : put_sample(into, at, "", NULL, metric_value(at));
    return err;
}

/* ---- the process itself */

static const struct metric_desc process_cpu = {.name = "process_cpu_seconds_total",
                                               .kind = METRIC_COUNTER,
                                               .help =
                                                   "User and system CPU time spent, in seconds."};
static const struct metric_desc process_resident = {.name = "process_resident_memory_bytes",
                                                    .kind = METRIC_GAUGE,
                                                    .help = "Resident memory, in bytes."};
static const struct metric_desc process_start = {
    .name = "process_start_time_seconds",
    .kind = METRIC_GAUGE,
    .help = "Start of the process since 1970, in seconds."};

static double resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    int fields = fscanf(file, "%lu %lu", &size, &resident);
    fclose(file);
    return fields == 2 ? (double)resident * (double)sysconf(_SC_PAGESIZE) : 0;
}

static void refresh_process(void)
{
    static _Atomic double started;
    struct rusage usage;

    if (atomic_load(&started) <= 0) { /* the first exposition is within seconds of the start */
        struct timespec up;
        clock_gettime(CLOCK_REALTIME, &up);
        atomic_store(&started, (double)up.tv_sec + (double)up.tv_nsec / 1e9);
    }
    getrusage(RUSAGE_SELF, &usage);
    metric_set(metrics_series(&process_cpu),
               (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    metric_set(metrics_series(&process_resident), resident_bytes());
    metric_set(metrics_series(&process_start), atomic_load(&started));
}

enum err metrics_expose(struct buf *into)
{
    refresh_process();
    for (size_t i = 0; i < hooks_len; i++)
        hooks[i].refresh(hooks[i].context);

    pthread_mutex_lock(&lock);
    enum err err = OK;
    for (const struct family *at = families; at != NULL && !err; at = at->next)
        err = put_family(into, at);
    pthread_mutex_unlock(&lock);
    return err;
}
