/* layout.c - where a plan's values lie in its one block of memory.
 *
 * The roots come first, one behind another. Then every value gets a slot in the order of the launches, and the slot is
 * free again behind the launch that reads the value last: the next value of that size takes it, the newest free one
 * first, while it is still in the cache. What the caller may read, and what states carry over, keeps its slot. A sum of
 * one and a value under another shape lie where their input lies. */
#include <string.h>

#include "plan.h"

enum { SIZES = 64 };

/* What one placement works with; arrays have an element for each node. */
typedef struct placement {
    ur_plan *plan;
    uint32_t *owner; /* whose slot a value lies in */
    uint32_t *last;  /* by owner: the last launch that reads the slot */
    uint8_t *pinned; /* by owner: the slot is never free */
    uint32_t *next;  /* by owner: the slot below it on its stack, counted from 1 */
    size_t size[SIZES];
    uint32_t top[SIZES]; /* stacks of free slots, by size */
    size_t sizes;
} placement;

static size_t node_bytes(const ur_plan *plan, uint32_t v)
{
    return ur__times(ur_shape_count(ur__shape(plan->tape, v)), ur_dtype_bytes(plan->tape->dtype));
}

static size_t round_up(size_t bytes)
{
    return bytes > SIZE_MAX - UR__LINE ? SIZE_MAX : (bytes + UR__LINE - 1) / UR__LINE * UR__LINE;
}

static bool add_bytes(size_t *total, size_t bytes)
{
    if (bytes > SIZE_MAX / 4 - *total)
        return false;
    *total += bytes;
    return true;
}

/* ---- lifetimes */

/* Does v show its one input's memory? */
static bool is_alias(const ur_plan *plan, uint32_t v)
{
    const ur_tape *tape = plan->tape;
    const ur__node *n = &tape->node[v];
    bool same = n->op->kernel == UR__ALIAS || (n->op->kernel == UR__SUM_OF && n->inputs == 1);
    return same && !plan->reference && plan->offset[v] == UR__NOWHERE && !ur__is_leaf(&tape->node[ur__in(tape, n, 0)]);
}

static void find_lifetimes(const placement *p, const uint8_t *wanted)
{
    const ur_plan *plan = p->plan;
    const ur_tape *tape = plan->tape;
    for (uint32_t v = 0; v < plan->nodes; v++) {
        const ur__node *n = &tape->node[v];
        p->owner[v] = wanted[v] && is_alias(plan, v) ? p->owner[ur__in(tape, n, 0)] : v;
        p->pinned[p->owner[v]] |= plan->readable[v] || n->op->kind == UR_LEAF || plan->offset[v] != UR__NOWHERE;
        for (uint32_t k = 0; wanted[v] && k < n->inputs; k++)
            p->last[p->owner[ur__in(tape, n, k)]] = v;
    }
    for (size_t i = 0; i < plan->states; i++)
        p->pinned[p->owner[plan->state[i].value]] = 1;
}

/* ---- slots */

/* The stack for this size, or SIZES when there are too many sizes. */
static size_t stack_of(placement *p, size_t bytes)
{
    for (size_t i = 0; i < p->sizes; i++)
        if (p->size[i] == bytes)
            return i;
    if (p->sizes < SIZES)
        p->size[p->sizes++] = bytes;
    return p->sizes < SIZES ? p->sizes - 1 : SIZES;
}

static bool take_slot(placement *p, uint32_t v)
{
    ur_plan *plan = p->plan;
    size_t bytes = round_up(node_bytes(plan, v)), stack = stack_of(p, bytes);
    bool fixed = plan->tape->node[v].op->kind == UR_LEAF; /* a constant is there before the first launch */
    if (!fixed && stack < SIZES && p->top[stack]) {
        uint32_t free = p->top[stack] - 1;
        p->top[stack] = p->next[free];
        plan->offset[v] = plan->offset[free];
        return true;
    }
    plan->offset[v] = plan->bytes;
    return add_bytes(&plan->bytes, bytes);
}

static void free_slot(placement *p, uint32_t owner)
{
    size_t stack = stack_of(p, round_up(node_bytes(p->plan, owner)));
    if (stack == SIZES)
        return;
    p->next[owner] = p->top[stack];
    p->top[stack] = owner + 1;
}

/* Frees the slots that launch v reads last; an operand that stands twice is freed once. */
static void free_operands(placement *p, uint32_t v)
{
    const ur_tape *tape = p->plan->tape;
    const ur__node *n = &tape->node[v];
    for (uint32_t k = 0; k < n->inputs; k++) {
        uint32_t owner = p->owner[ur__in(tape, n, k)];
        if (p->last[owner] == v && !p->pinned[owner]) {
            p->pinned[owner] = 1;
            free_slot(p, owner);
        }
    }
}

/* ---- the placement */

/* A root that is a leaf, or comes twice, gets a copy. */
static bool place_roots(ur_plan *plan)
{
    bool fits = true;
    for (size_t i = 0; i < plan->roots; i++) {
        uint32_t v = plan->root[i];
        plan->root_offset[i] = plan->bytes;
        if (!ur__is_leaf(&plan->tape->node[v]) && plan->offset[v] == UR__NOWHERE)
            plan->offset[v] = plan->bytes;
        fits = fits && add_bytes(&plan->bytes, node_bytes(plan, v));
    }
    plan->root_bytes = plan->bytes;
    plan->bytes = round_up(plan->bytes);
    return fits;
}

static bool place_values(placement *p, const uint8_t *wanted)
{
    ur_plan *plan = p->plan;
    bool fits = true;
    find_lifetimes(p, wanted);
    for (uint32_t v = 0; v < plan->nodes && fits; v++) {
        if (!wanted[v] || ur__is_leaf(&plan->tape->node[v]))
            continue;
        if (p->owner[v] != v)
            plan->offset[v] = plan->offset[p->owner[v]];
        else if (plan->offset[v] == UR__NOWHERE)
            fits = take_slot(p, v);
        free_operands(p, v);
    }
    return fits;
}

bool ur__layout(ur_plan *plan, const uint8_t *wanted)
{
    ur_tape *tape = plan->tape;
    placement p = {.plan = plan};
    size_t n = plan->nodes, table = n * sizeof(uint32_t);
    bool fits = place_roots(plan);
    p.owner = (uint32_t *)ur__take(tape, table);
    p.last = (uint32_t *)ur__take(tape, table);
    p.next = (uint32_t *)ur__take(tape, table);
    p.pinned = (uint8_t *)ur__take(tape, n);
    bool good = p.owner && p.last && p.next && p.pinned;
    if (good && fits) {
        memset(p.last, 0, table);
        memset(p.pinned, 0, n);
        fits = place_values(&p, wanted);
    }
    ur__give(tape, p.owner, table);
    ur__give(tape, p.last, table);
    ur__give(tape, p.next, table);
    ur__give(tape, p.pinned, n);
    for (size_t i = 0; i < plan->states; i++) {
        plan->state[i].offset = plan->bytes;
        fits = fits && add_bytes(&plan->bytes, round_up(node_bytes(plan, plan->state[i].leaf)));
    }
    if (good && !fits)
        ur__fail(&tape->error, "ur_plan_new: the values take more memory than can be addressed");
    return good && fits;
}
