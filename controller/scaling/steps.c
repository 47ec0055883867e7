#include "controller/scaling/scaling.h"

static uint32_t share(uint32_t partitions, uint32_t replicas)
{
    return (uint32_t)(((uint64_t)partitions + replicas - 1) / replicas);
}

/* The fewest replicas at which the busiest one has as many partitions as with `replicas`. */
static uint32_t step_of(uint32_t partitions, uint32_t replicas)
{
    return share(partitions, share(partitions, replicas));
}

uint32_t scaling_step_down(uint32_t partitions, uint32_t replicas)
{
    if (partitions == 0 || replicas == 0)
        return replicas;
    return replicas >= partitions ? partitions : step_of(partitions, replicas);
}

uint32_t scaling_step_up(uint32_t partitions, uint32_t replicas)
{
    if (partitions == 0 || replicas == 0)
        return replicas;
    if (replicas >= partitions)
        return partitions;
    if (step_of(partitions, replicas) == replicas)
        return replicas;
    /* `replicas` does no more than the step below it, so the next one has a smaller share. */
    return share(partitions, share(partitions, replicas) - 1);
}

struct scaling_bounds scaling_hpa_bounds(bool cpu, uint32_t wanted, uint32_t replicas_max)
{
    uint32_t floor = wanted > 0 ? wanted : 1;
    uint32_t ceiling = cpu && replicas_max > floor ? replicas_max : floor;
    return (struct scaling_bounds){.replicas_min = floor, .replicas_max = ceiling};
}

bool scaling_must_patch(enum scaling_mode mode, bool cpu, uint32_t current, uint32_t wanted)
{
    if (mode == SCALING_FIXED || current == wanted)
        return false;
    if (mode == SCALING_HPA && cpu && wanted > 0)
        return current < wanted;
    return true;
}
