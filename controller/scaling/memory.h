/* memory: what scaling remembers from one call to the next. Internal to the folder; see scaling.h
 * for what each field means. */
#ifndef CONTROLLER_SCALING_MEMORY_H
#define CONTROLLER_SCALING_MEMORY_H

#include "controller/scaling/scaling.h"

uint64_t memory_window_ms(const struct scaling_settings *settings);

/* Takes note of changed replicas and idleness, judges the last step up, learns the capacity. */
void memory_observe(struct scaling_memory *memory, uint64_t now_ms,
                    const struct scaling_settings *settings,
                    const struct scaling_observation *seen);

/* Notes what is wanted now; returns the largest number of the window. */
uint32_t memory_window(struct scaling_memory *memory, uint64_t now_ms,
                       const struct scaling_settings *settings, uint32_t wanted);

/* Notes that replicas go from the present number up to `wanted`, to be judged later. */
void memory_step_up(struct scaling_memory *memory, uint64_t now_ms,
                    const struct scaling_settings *settings, const struct scaling_observation *seen,
                    uint32_t wanted);

/* Notes that replicas go down from the present number. */
void memory_step_down(struct scaling_memory *memory, uint64_t now_ms,
                      const struct scaling_observation *seen);

/* How far down it may go as long as the capacity is not known: one step, once in a window, and not
 * where that has failed before. */
uint32_t memory_cold_down(struct scaling_memory *memory, uint64_t now_ms,
                          const struct scaling_settings *settings,
                          const struct scaling_observation *seen);

#endif
