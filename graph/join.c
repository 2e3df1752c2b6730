/* join.c - marked steps that are alike only every so many of them. Of a cell that updates one part of its state in every
 * step and another one in every second, two steps are an iteration: what were two becomes one, forward and back, and so it
 * does for all that is computed from such steps. */
#include <string.h>

#include "roll.h"

enum {
    LEAST = 4, /* periods of a chain that is worth it */
    MOST = 16  /* steps of a period */
};

/* Which operations an iteration has, and on which parameters. What is cut off from gradients, every so many steps, is
 * the same value. */
static uint64_t look_of(const ur__roller *r, const ur__iteration *s)
{
    const ur_tape *tape = r->tape;
    uint64_t h = 0;
    for (uint32_t v = s->begin; v < s->end; v++) {
        if (!ur__is_code(tape, v) || ur__op(tape, v) == &ur_op_detach)
            continue;
        h = ur__mix(h, tape->node[v].kind);
        for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
            uint32_t u = ur__in(tape, v, k);
            if (ur__op(tape, u) == &ur_op_param)
                h = ur__mix(h, u);
        }
    }
    return h;
}

/* Do at least three of four iterations look like the one `period` after them? */
static bool repeats(const uint64_t *look, uint32_t n, uint32_t period)
{
    uint32_t alike = 0;
    for (uint32_t g = 0; g + period < n; g++)
        alike += look[g] == look[g + period];
    return 4 * (uint64_t)alike >= 3 * (uint64_t)(n - period);
}

/* The least number of steps with which the looks repeat; 1 where there is none. */
static uint32_t period_of(const uint64_t *look, uint32_t n)
{
    for (uint32_t period = 1; period <= MOST && LEAST * period <= n; period++)
        if (repeats(look, n, period))
            return period;
    return 1;
}

static bool has_adjoints(const ur__roller *r, const ur__iteration *s)
{
    for (uint32_t v = s->begin; v < s->end; v++)
        if (r->origin[v] != UR_NONE)
            return true;
    return false;
}

static uint32_t common(uint32_t a, uint32_t b)
{
    uint32_t least = a;
    while (least % b != 0)
        least += a;
    return least;
}

/* The period of all chains but those of adjoints, which follow them; 1: none, or no common one of so few steps. */
static uint32_t common_period(const ur__roller *r, uint64_t *look)
{
    uint32_t period = 1;
    for (uint32_t begin = 0, end; begin < r->iterations && period <= MOST; begin = end) {
        end = ur__chain_end(r, begin);
        if (end - begin < 2 * LEAST || has_adjoints(r, &r->iteration[begin + (end - begin) / 2]))
            continue;
        for (uint32_t g = begin; g < end; g++)
            look[g] = look_of(r, &r->iteration[g]);
        period = common(period, period_of(look + begin, end - begin));
    }
    return period <= MOST ? period : 1;
}

/* Is there nothing but leaves between the two? */
static bool is_next(const ur__roller *r, const ur__iteration *before, const ur__iteration *s)
{
    for (uint32_t v = before->end; v < s->begin; v++)
        if (ur__is_code(r->tape, v))
            return false;
    return true;
}

/* Steps 1 to P are the first iteration. */
static void join(ur__roller *r, int32_t period)
{
    uint32_t to = 0;
    for (uint32_t begin = 0, end; begin < r->iterations; begin = end) {
        end = ur__chain_end(r, begin);
        uint32_t first = to;
        for (uint32_t g = begin; g < end; g++) {
            ur__iteration s = r->iteration[g], *last = to > first ? &r->iteration[to - 1] : NULL;
            s.step = (s.step - 1) / period;
            s.marked = false;
            if (last && last->step == s.step && is_next(r, last, &s)) {
                last->end = s.end;
                last->nodes += s.nodes;
            } else {
                r->iteration[to++] = s;
            }
        }
    }
    r->iterations = to;
}

bool ur__join_steps(ur__roller *r)
{
    size_t bytes = r->iterations * sizeof(uint64_t);
    uint64_t *look = bytes ? (uint64_t *)ur__take(r->tape, bytes) : NULL;
    if (!look)
        return !bytes;
    uint32_t period = common_period(r, look);
    ur__give(r->tape, look, bytes);
    if (period > 1)
        join(r, (int32_t)period);
    return true;
}
