#include "sidecar/otlp/levels.h"

const struct otlp_levels otlp_levels[SIGNAL_COUNT] = {
    [SIGNAL_TRACES] = {3, {1u << 1, 1u << 2, 1u << 2}},
    [SIGNAL_METRICS] = {5,
                        {1u << 1, 1u << 2, 1u << 2,
                         1u << 5 | 1u << 7 | 1u << 9 | 1u << 10 | 1u << 11, 1u << 1}},
    [SIGNAL_LOGS] = {3, {1u << 1, 1u << 2, 1u << 2}},
};

bool otlp_count_level(enum signal signal, unsigned level, struct bytes container,
                      struct otlp_level_counts *counts)
{
    const struct otlp_levels *levels = &otlp_levels[signal];
    struct wire_field field;

    if (level == levels->count) { /* an item: what is inside does not matter */
        counts->at[level]++;
        return true;
    }
    counts->at[level]++;
    while (container.len > 0) {
        if (!wire_next(&container, &field))
            return false;
        if (otlp_is_child(levels, level, &field) &&
            !otlp_count_level(signal, level + 1, field.payload, counts))
            return false;
    }
    return true;
}
