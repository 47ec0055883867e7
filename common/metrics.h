/* metrics: counters, gauges and histograms, written out as Prometheus text.
 *
 * A family is declared once, where its module starts; a series is a family with label values and is
 * looked up once and kept: metric_add() on it is one atomic addition. Families and series live
 * until the process ends, except for series that metrics_sweep() drops (of a pipeline that was
 * deleted).
 *
 *   static const struct metric_desc refused_desc = {
 *       .name = "surgetank_edge_refused_requests_total", .kind = METRIC_COUNTER,
 *       .help = "OTLP requests that were refused, by reason.", .labels = {"signal", "reason"}};
 *   struct metric *refused = metrics_series(&refused_desc, "traces", "spool_full");
 *   metric_add(refused, 1);
 *
 * Limits: METRIC_LABELS_MAX labels, METRIC_SERIES_MAX series in one family; beyond it values go to
 * one series whose label values are all "_overflow".
 * Thread: any.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include "common/attr.h"
#include "common/buf.h"

#define METRIC_LABELS_MAX  4
#define METRIC_SERIES_MAX  4096
#define METRIC_BUCKETS_MAX 24

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_desc {
    const char *name; /* ends in its unit, or _total for counters */
    enum metric_kind kind;
    const char *help;
    const char *labels[METRIC_LABELS_MAX]; /* NULL behind the last */
    const double *buckets;                 /* histograms: upper bounds, rising, without +Inf */
    size_t buckets_len;
};

struct metric;

/* The series of `desc` with these label values, in the order of desc->labels; values beyond what
 * desc has are ignored, a missing one is "". Made at 0 when new. Never NULL. */
struct metric *metrics_series4(const struct metric_desc *desc, const char *a, const char *b,
                               const char *c, const char *d);
#define METRICS_PICK(desc, a, b, c, d, ...) metrics_series4(desc, a, b, c, d)
#define metrics_series(...)                 METRICS_PICK(__VA_ARGS__, NULL, NULL, NULL, NULL, NULL)

void metric_add(struct metric *metric, double value);     /* counters and gauges */
void metric_set(struct metric *metric, double value);     /* gauges, and counters kept elsewhere */
void metric_observe(struct metric *metric, double value); /* histograms */
double metric_value(const struct metric *metric);         /* a histogram's number of observations */

/* Drops the series of the family that were not metric_set() since the last sweep: what they are
 * about is gone, or not known any more. A family that is swept belongs to one thread, which keeps
 * none of its series. */
void metrics_sweep(const struct metric_desc *desc);

/* Runs before each exposition, to set gauges that are cheaper to read than to keep. */
typedef void metrics_refresh_fn(void *context);
void metrics_on_refresh(metrics_refresh_fn *refresh, void *context);
void metrics_off_refresh(metrics_refresh_fn *refresh, void *context);

/* All families in order of declaration, in the text format 0.0.4. Also sets the process_* family
 * (CPU seconds, resident memory, open files, start time). */
NODISCARD enum err metrics_expose(struct buf *into);

#endif
