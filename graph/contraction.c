/* contraction.c - sums over the batch and over time of A_t B_t^T and of rows: they wait for the end of the block, where
 * those that share their A are one contraction. */
#include <string.h>

#include "group.h"

/* ---- contractions */

/* A and B of a line that is a contraction, in one phase; A is UR_NONE's line for sums of rows. */
static bool factors_of(const ur_plan *plan, uint32_t line, const ur__phase *phase, ur__ref *a, ur__ref *b)
{
    const ur__statement *s = ur__statement_of(&plan->program, phase, line);
    if (!s)
        return false;
    bool product = s->refs == 2;
    *a = product ? ur__resolve(plan, plan->program.ref[s->ref]) : (ur__ref){.line = UR_NONE};
    *b = ur__resolve(plan, plan->program.ref[s->ref + product]);
    return true;
}

/* Do two lines of one loop have the same A in every phase, and B of one size? */
static bool same_factor(const ur_plan *plan, uint32_t l, uint32_t k)
{
    const ur__program *p = &plan->program;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    if (p->line[k].loop != p->line[l].loop || plan->line[k].rows != plan->line[l].rows)
        return false;
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b, c, d;
        const ur__phase *phase = &p->phase[loop->phase + f];
        bool one = factors_of(plan, l, phase, &a, &b), other = factors_of(plan, k, phase, &c, &d);
        if (one != other || (one && (a.line != c.line || plan->line[b.line].rows != plan->line[d.line].rows ||
                                     (a.line != UR_NONE && (a.first != c.first || a.stride != c.stride)))))
            return false;
    }
    return true;
}

static ur__ref part_of(const ur_plan *plan, uint32_t line)
{
    return (ur__ref){.line = plan->line[line].deferred ? plan->line[line].reader : line, .count = 1};
}

/* Inputs that were not made together lie anywhere: the number of iterations from `from` on, of n in all, in which a leaf
 * is at a constant distance from the one before. */
static uint32_t even_steps(const ur_plan *plan, ur__ref r, uint32_t from, uint32_t n)
{
    if (r.line == UR_NONE || plan->program.line[r.line].loop != UR_NONE || r.stride == 0 ||
        !ur__is_leaf(ur__line_kind(plan, r.line)))
        return n - from;
    const uint32_t *leaf = plan->program.leaf + plan->program.line[r.line].first;
    uintptr_t at[2] = {0, 0}, step = 0;
    for (uint32_t i = from; i < n; i++) {
        at[0] = at[1];
        at[1] = (uintptr_t)ur__leaf_data(plan->tape, leaf[r.first + r.stride * (int32_t)i]);
        if (i > from + 1 && at[1] - at[0] != step)
            return i - from;
        step = at[1] - at[0];
    }
    return n - from;
}

static ur__ref from_iteration(ur__ref r, uint32_t i)
{
    r.first += r.stride * (int32_t)i;
    return r;
}

/* The number of iterations from `from` on in which A and all B are so. */
static uint32_t even_stretch(const ur_plan *plan, const ur__phase *phase, size_t n, const uint32_t *lines,
                             uint32_t from)
{
    const uint32_t all = phase->end - phase->begin;
    uint32_t some = all - from;
    for (size_t k = 0; k < n; k++) {
        ur__ref a, b;
        factors_of(plan, lines[k], phase, &a, &b);
        uint32_t even[] = {even_steps(plan, a, from, all), even_steps(plan, b, from, all)};
        some = even[0] < some ? even[0] : some;
        some = even[1] < some ? even[1] : some;
    }
    return some;
}

/* n iterations of a phase from `from` on. */
static bool add_part(ur_plan *plan, ur__launch *l, const ur__phase *phase, const uint32_t *lines, uint32_t from,
                     uint32_t n)
{
    if (!ur__room(plan->tape, &plan->part, &plan->part_room, plan->parts, sizeof *plan->part))
        return false;
    plan->part[plan->parts++] = (ur__contraction_part){
        .operand = (uint32_t)plan->arguments, .n = n, .loop = phase->loop, .begin = phase->begin + from};
    l->count++;
    ur__ref a, b;
    bool good =
        factors_of(plan, lines[0], phase, &a, &b) && (l->ones || ur__add_operand(plan, l, from_iteration(a, from)));
    for (size_t k = 0; k < l->outputs && good; k++)
        good = factors_of(plan, lines[k], phase, &a, &b) && ur__add_operand(plan, l, from_iteration(b, from));
    return good;
}

/* The stretches of a contraction, one or more for each phase that has it. */
static bool add_parts(ur_plan *plan, ur__launch *l, const uint32_t *lines)
{
    const ur__program *p = &plan->program;
    const ur__loop *loop = &p->loop[p->line[lines[0]].loop];
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b;
        const ur__phase *phase = &p->phase[loop->phase + f];
        if (!factors_of(plan, lines[0], phase, &a, &b) || (a.line != UR_NONE && ur__is_zero(plan, a.line)))
            continue;
        l->m = (uint32_t)plan->line[b.line].rows;
        l->ones = a.line == UR_NONE;
        l->rows = l->ones ? 1 : (uint32_t)plan->line[a.line].rows;
        for (uint32_t i = 0, n; i < phase->end - phase->begin; i += n) {
            n = even_stretch(plan, phase, l->outputs, lines, i);
            if (!add_part(plan, l, phase, lines, i, n))
                return false;
        }
    }
    return true;
}

/* One contraction for all lines that share their A with line l. `lines` has room for all lines. */
static bool launch_contraction(ur__maker *m, uint32_t l, uint8_t *taken, uint32_t *lines)
{
    ur_plan *plan = m->plan;
    size_t n = 0;
    for (uint32_t k = l; k < plan->program.lines; k++)
        if (plan->line[k].contracted && !taken[k] && same_factor(plan, l, k)) {
            taken[k] = 1;
            lines[n++] = k;
        }
    ur__launch *launch = ur__begin_launch(m, (ur__launch){.kind = UR__CONTRACT, .line = l, .outputs = (uint32_t)n});
    if (!launch)
        return false;
    launch->first = (uint32_t)plan->parts;
    for (size_t k = 0; k < n; k++)
        if (!ur__add_operand(plan, launch, part_of(plan, lines[k])))
            return false;
    return add_parts(plan, launch, lines);
}

bool ur__launch_contractions(ur__maker *m)
{
    ur_plan *plan = m->plan;
    size_t lines = plan->program.lines;
    uint8_t *taken = (uint8_t *)ur__take(plan->tape, lines);
    uint32_t *shared = (uint32_t *)ur__take(plan->tape, lines * sizeof *shared);
    bool good = taken && shared;
    plan->finish.first = (uint32_t)plan->launches;
    if (good)
        memset(taken, 0, lines);
    for (uint32_t l = 0; l < lines && good; l++)
        if (plan->line[l].contracted && !taken[l])
            good = launch_contraction(m, l, taken, shared);
    plan->finish.count = (uint32_t)plan->launches - plan->finish.first;
    ur__give(plan->tape, taken, lines);
    ur__give(plan->tape, shared, lines * sizeof *shared);
    return good;
}
