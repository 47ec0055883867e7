/* signal: the three kinds of telemetry. */
#ifndef COMMON_CONTRACT_SIGNAL_H
#define COMMON_CONTRACT_SIGNAL_H

enum signal { SIGNAL_TRACES, SIGNAL_METRICS, SIGNAL_LOGS, SIGNAL_COUNT };

/* "traces", "metrics", "logs": as in documents, topics, paths and labels. */
static inline const char *signal_name(enum signal signal)
{
    static const char *const names[SIGNAL_COUNT] = {"traces", "metrics", "logs"};
    return names[signal];
}

#endif
