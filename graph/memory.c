/* memory.c - the plan's one allocation: its areas follow each other, those of each worker behind those that all share. */
#include <string.h>

#include "plan.h"

void ur__place_states(ur_plan *plan)
{
    ur__form *form = &plan->form;
    for (size_t i = 0; i < plan->states; i++) {
        size_t count = ur_shape_count(ur__shape(form->tape, plan->state[i].leaf));
        plan->state[i].offset = form->bytes[UR__AREA_MEMORY];
        form->bytes[UR__AREA_MEMORY] += ur__round_up(count * ur__element_bytes(form), UR__CACHE_LINE);
    }
}

/* What the workers share, and each one's own, begin on pairs of cache lines, for they are fetched so. */
enum { PAIR = 2 * UR__CACHE_LINE };

static size_t sum(const ur__form *form, ur__area first, ur__area end)
{
    size_t bytes = 0;
    for (ur__area a = first; a < end; a++)
        bytes += form->bytes[a];
    return ur__round_up(bytes, PAIR);
}

void ur__add_bytes(ur_plan *plan)
{
    ur__form *form = &plan->form;
    form->bytes[UR__AREA_SUMS] = form->blocks * form->parts_bytes + (form->blocks - 1) * form->written_bytes;
    form->bytes[UR__AREA_PACKED] = ur__round_up(form->packed_elements * ur__element_bytes(form), UR__CACHE_LINE);
    form->worker_bytes = sum(form, UR__FIRST_OWN_AREA, UR__AREAS);
    plan->shared_bytes = sum(form, UR__AREA_MEMORY, UR__FIRST_OWN_AREA);
    const size_t all = ur__times(plan->workers, form->worker_bytes);
    plan->allocation_bytes = all > SIZE_MAX / 4 ? SIZE_MAX : plan->shared_bytes + all + PAIR;
}

static void place(ur__form *form, char *at, ur__area first, ur__area end)
{
    for (ur__area a = first; a < end; a++) {
        form->at[a] = at;
        at += form->bytes[a];
    }
}

bool ur__take_memory(ur_plan *plan)
{
    ur__form *form = &plan->form, *alive = plan->alive;
    plan->allocation = (char *)ur__new_pages(&form->tape->allocator, plan->allocation_bytes);
    if (!plan->allocation)
        return ur__fail(&form->tape->error, "no memory for %zu bytes", plan->allocation_bytes);
    char *at = plan->allocation + (PAIR - (size_t)((uintptr_t)plan->allocation % PAIR)) % PAIR;
    place(form, at, UR__AREA_MEMORY, UR__FIRST_OWN_AREA);
    place(form, at + plan->shared_bytes, UR__FIRST_OWN_AREA, UR__AREAS);
    memset(form->at[UR__AREA_MEMORY], 0, form->bytes[UR__AREA_MEMORY]);
    memset(form->at[UR__AREA_PACKED], 0, form->bytes[UR__AREA_PACKED]);
    if (alive) { /* beside it, or in the same places */
        memcpy(alive->at, form->at, sizeof form->at);
        alive->parts_bytes = form->parts_bytes;
        alive->written_bytes = form->written_bytes;
        alive->worker_bytes = form->worker_bytes;
    }
    return true;
}
