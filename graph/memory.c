/* memory.c - the plan's one allocation: its areas follow each other, those of each worker behind those that all share. */
#include "plan.h"

#include <string.h>

void ur__place_states(ur_plan *plan)
{
    for (size_t i = 0; i < plan->states; i++) {
        size_t count = ur_shape_count(ur__shape(plan->tape, plan->state[i].leaf));
        plan->state[i].offset = plan->bytes[UR__AREA_MEMORY];
        plan->bytes[UR__AREA_MEMORY] += ur__round_up(count * ur__element_bytes(plan), UR__CACHE_LINE);
    }
}

static size_t packed_bytes(const ur_plan *plan)
{
    return ur__round_up(plan->packed_elements * ur__element_bytes(plan), UR__CACHE_LINE);
}

/* What the workers share, and each one's own, begin on pairs of cache lines, for they are fetched so. */
enum { PAIR = 2 * UR__CACHE_LINE };

static size_t sum(const ur_plan *plan, ur__area first, ur__area end)
{
    size_t bytes = 0;
    for (ur__area a = first; a < end; a++)
        bytes += plan->bytes[a];
    return ur__round_up(bytes, PAIR);
}

void ur__add_bytes(ur_plan *plan)
{
    plan->bytes[UR__AREA_SUMS] = plan->blocks * plan->parts_bytes;
    plan->bytes[UR__AREA_PACKED] = packed_bytes(plan) + (plan->alive ? packed_bytes(plan->alive) : 0);
    plan->shared_bytes = sum(plan, UR__AREA_MEMORY, UR__FIRST_OWN_AREA);
    plan->worker_bytes = sum(plan, UR__FIRST_OWN_AREA, UR__AREAS);
    const size_t all = ur__times(plan->workers, plan->worker_bytes);
    plan->allocation_bytes = all > SIZE_MAX / 4 ? SIZE_MAX : plan->shared_bytes + all + PAIR;
}

static void place(ur_plan *plan, char *at, ur__area first, ur__area end)
{
    for (ur__area a = first; a < end; a++) {
        plan->at[a] = at;
        at += plan->bytes[a];
    }
}

bool ur__take_memory(ur_plan *plan)
{
    ur_plan *alive = plan->alive;
    plan->allocation = (char *)ur__new_pages(&plan->tape->allocator, plan->allocation_bytes);
    if (!plan->allocation)
        return ur__fail(&plan->tape->error, "no memory for %zu bytes", plan->allocation_bytes);
    char *at = plan->allocation + (PAIR - (size_t)((uintptr_t)plan->allocation % PAIR)) % PAIR;
    place(plan, at, UR__AREA_MEMORY, UR__FIRST_OWN_AREA);
    place(plan, at + plan->shared_bytes, UR__FIRST_OWN_AREA, UR__AREAS);
    memset(plan->at[UR__AREA_MEMORY], 0, plan->bytes[UR__AREA_MEMORY]);
    memset(plan->at[UR__AREA_PACKED], 0, plan->bytes[UR__AREA_PACKED]);
    if (alive) {
        memcpy(alive->at, plan->at, sizeof plan->at);
        alive->at[UR__AREA_PACKED] += packed_bytes(plan);
        alive->parts_bytes = plan->parts_bytes;
        alive->worker_bytes = plan->worker_bytes;
    }
    return true;
}
