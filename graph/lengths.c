/* lengths.c - what is left to do in a step in which no sequence of the block lasts any more.
 *
 * A network reads x_t as select(alive_t, x_t, 0) and writes a state as select(alive_t, new, previous). So from the last
 * step on in which a mask is not 0, states stay as they are, and every adjoint that comes through a mask is 0, as is what
 * is computed from it by products and sums. A step there is then a few copies and zeros: those of the values that
 * another step or the caller reads. If something else would have to be computed, or the steps are not marked, steps
 * past the end run like the others. So they do where a phase makes a value with the batch from values without it, which
 * have all columns. */
#include <string.h>

#include "plan.h"

/* ---- which step a value belongs to */

/* Step t in iteration i of a phase is t + pace * i; known is false for straight code and leaves. */
typedef struct moment {
    bool known;
    int64_t t, pace;
} moment;

static moment moment_of_phase(const ur_plan *plan, const ur__phase *phase)
{
    const ur__loop *loop = &plan->program.loop[phase->loop];
    return (moment){loop->direction != 0, ur__step_in(loop, phase->begin), loop->direction};
}

/* The step of what a phase reads. */
static moment moment_of(const ur_plan *plan, const ur__ref *r)
{
    const ur__program *p = &plan->program;
    const ur__line *line = &p->line[r->line];
    if (line->loop == UR_NONE || p->loop[line->loop].direction == 0)
        return (moment){0};
    const ur__loop *loop = &p->loop[line->loop];
    int64_t iteration = (int64_t)line->begin + r->first;
    return (moment){true, ur__step_in(loop, iteration), (int64_t)loop->direction * r->stride};
}

/* How many steps later than its reader a value is; false if that is not constant. */
static bool later_by(const ur_plan *plan, const ur__phase *phase, const ur__ref *r, int64_t *by)
{
    moment own = moment_of_phase(plan, phase), other = moment_of(plan, r);
    *by = other.t - own.t;
    return own.known && other.known && (own.pace == other.pace || phase->end - phase->begin == 1);
}

/* ---- the mask */

/* Is the mask of statement s the one that others have, at the step of their own? */
static bool agree_on_mask(ur_plan *plan, const ur__phase *phase, const ur__statement *s)
{
    moment own = moment_of_phase(plan, phase);
    ur__ref mask = ur__resolve(plan, plan->program.ref[s->ref]);
    int64_t origin = mask.first - own.t;
    bool paced = mask.stride == own.pace || phase->end - phase->begin == 1;
    if (!own.known || !paced || (plan->mask != UR_NONE && (plan->mask != mask.line || plan->mask_origin != origin)))
        return false;
    plan->mask = mask.line;
    plan->mask_origin = origin;
    return true;
}

/* Finds the one line of masks, and which of its values belongs to step 0. */
static bool find_mask(ur_plan *plan)
{
    const ur__program *p = &plan->program;
    plan->mask = UR_NONE;
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = 0; i < p->phase[f].statements; i++) {
            const ur__statement *s = &p->statement[p->phase[f].statement + i];
            if (ur__is_masked(plan, s) && !agree_on_mask(plan, &p->phase[f], s))
                return false;
        }
    return plan->mask != UR_NONE;
}

/* ---- what is 0 past the end */

/* A statement in a phase. */
typedef struct reader {
    const ur_plan *plan;
    const ur__phase *phase;
    const ur__statement *s;
} reader;

/* Operand k, its aliases resolved. */
static ur__ref operand(const reader *a, uint32_t k)
{
    return ur__resolve(a->plan, a->plan->program.ref[a->s->ref + k]);
}

static bool reads_zero(const reader *a, uint32_t k)
{
    ur__ref r = operand(a, k);
    const ur__kind *kind = ur__line_kind(a->plan, r.line);
    int64_t by;
    if (kind->op == &ur_op_const)
        return ur__attr(a->plan->tape, kind)[0] == 0;
    return r.count <= 1 && a->plan->line[r.line].zero && later_by(a->plan, a->phase, &r, &by) && by >= 0;
}

/* Are all operands from `first` on 0? */
static bool all_zero(const reader *a, uint32_t first)
{
    for (uint32_t k = first; k < a->s->refs; k++)
        if (!reads_zero(a, k))
            return false;
    return true;
}

static bool is_zero(const reader *a)
{
    const ur_op *op = ur__line_kind(a->plan, a->s->line)->op;
    if (ur__is_masked(a->plan, a->s))
        return reads_zero(a, 2);
    switch (op->kernel) {
    case UR__MUL:
    case UR__MATMUL:
        return reads_zero(a, 0) || reads_zero(a, 1);
    case UR__DIV:
        return reads_zero(a, 0);
    case UR__ADD:
    case UR__SUB:
    case UR__NEG:
    case UR__SCALE:
    case UR__SUM_OF:
    case UR__ALIAS:
    case UR__REDUCE:
    case UR__MEAN:
    case UR__BROADCAST:
        return all_zero(a, 0);
    default:
        return false;
    }
}

static reader reader_at(const ur_plan *plan, const ur__phase *phase, uint32_t i)
{
    return (reader){plan, phase, &plan->program.statement[phase->statement + i]};
}

/* Calls for every statement, from the last one on; true if some call was. */
static bool each(ur_plan *plan, bool (*visit)(ur_plan *plan, const reader *a))
{
    const ur__program *p = &plan->program;
    bool any = false;
    for (size_t f = p->phases; f-- > 0;)
        for (uint32_t i = p->phase[f].statements; i-- > 0;) {
            reader a = reader_at(plan, &p->phase[f], i);
            any |= visit(plan, &a);
        }
    return any;
}

/* Every value is 0 until one of its statements says otherwise. */
static bool take_back_zero(ur_plan *plan, const reader *a)
{
    ur__line_plan *line = &plan->line[a->s->line];
    if (!line->zero || is_zero(a))
        return false;
    line->zero = false;
    return true;
}

/* ---- what is read past the end */

/* Further back than this counts as everywhere. */
enum { NEAR = 4 };

/* From how many steps before a value is read that lies `by` steps later than one that is itself read from so many. */
static uint32_t reach(uint32_t needed, int64_t by)
{
    if (needed == UR_NONE || (int64_t)needed + by > NEAR)
        return UR_NONE;
    return (int64_t)needed + by > 0 ? (uint32_t)((int64_t)needed + by) : 0;
}

static bool need(ur__line_plan *line, uint32_t needed)
{
    const bool more = needed > line->needed;
    line->needed = more ? needed : line->needed;
    return more;
}

/* What is computed in a step that lasts is wanted in its columns; a copy, or a product that its reader computes, where it
 * is needed itself. */
static bool need_operands(ur_plan *plan, const reader *a)
{
    const ur__line_plan *line = &plan->line[a->s->line];
    bool computes = line->needed && (line->inlined || !line->zero); /* inlined: its reader reads the operands */
    bool masked = ur__is_masked(plan, a->s), changed = false;
    if (line->alias)
        return false; /* what it stands for is read under its own name */
    if (line->class == UR__REDUCED)
        computes = !line->zero;
    for (uint32_t k = 0; k < a->s->refs; k++) {
        ur__ref r = operand(a, k);
        int64_t by = 0;
        bool paced = later_by(plan, a->phase, &r, &by);
        bool mixes = line->class == UR__ONCE && plan->line[r.line].class == UR__BATCH; /* reads every column */
        uint32_t past = !computes || (masked && k < 2) ? 0 : line->class == UR__REDUCED ? UR_NONE : line->needed;
        changed |= need(&plan->line[r.line], !paced || mixes ? UR_NONE : reach(past, by));
    }
    return changed;
}

/* ---- the steps past the end */

/* Can value `line` be made there without computing, and is it 0 or a copy? */
static bool add_remainder(ur_plan *plan, const reader *a)
{
    const ur__line_plan *line = &plan->line[a->s->line];
    if (line->alias || line->inlined || line->time != UR__WITHIN)
        return true;
    if (line->class == UR__REDUCED)
        return line->zero;
    if (!line->needed || !line->stored)
        return !line->needed || line->class == UR__BATCH;
    ur__remainder r = {.line = a->s->line, .from = {.line = UR_NONE}, .needed = line->needed};
    if (!line->zero) {
        if (line->class != UR__BATCH || !ur__is_masked(plan, a->s))
            return false;
        r.from = operand(a, 2);
        const ur__line_plan *from = &plan->line[r.from.line];
        const ur__kind *kind = ur__line_kind(plan, r.from.line);
        if (ur__is_zero(plan, r.from.line))
            r.from.line = UR_NONE;
        else if (from->rows != line->rows || from->class != UR__BATCH ||
                 (!from->stored && plan->program.line[r.from.line].loop != UR_NONE) || kind->op == &ur_op_const)
            return false;
    }
    if (!ur__room(plan->tape, &plan->remainder, &plan->remainder_room, plan->remainders, sizeof r))
        return false;
    plan->remainder[plan->remainders++] = r;
    return true;
}

static bool list_remainders(ur_plan *plan)
{
    const ur__program *p = &plan->program;
    for (size_t f = 0; f < p->phases; f++) {
        plan->rest[f].first = (uint32_t)plan->remainders;
        for (uint32_t i = 0; i < p->phase[f].statements; i++) {
            reader a = reader_at(plan, &p->phase[f], i);
            if (p->loop[p->phase[f].loop].direction != 0 && !add_remainder(plan, &a))
                return false;
        }
        plan->rest[f].count = (uint32_t)plan->remainders - plan->rest[f].first;
    }
    return true;
}

/* The mask's values must cover the steps of every loop. */
static bool covers(const ur_plan *plan)
{
    const ur__program *p = &plan->program;
    for (size_t l = 0; l < p->loops; l++) {
        const ur__loop *loop = &p->loop[l];
        int64_t first = loop->step + plan->mask_origin,
                last = first + (int64_t)loop->direction * (loop->iterations - 1);
        int64_t values = p->line[plan->mask].values;
        if (loop->direction != 0 && (first < 0 || last < 0 || first >= values || last >= values))
            return false;
    }
    return true;
}

bool ur__lengths(ur_plan *plan)
{
    const ur__program *p = &plan->program;
    plan->ends = !plan->odd_phases && find_mask(plan) && covers(plan);
    if (!plan->ends)
        return true;
    plan->rest = (ur__span *)ur__take(plan->tape, p->phases * sizeof *plan->rest);
    if (!plan->rest)
        return false;
    for (size_t l = 0; l < p->lines; l++) {
        ur__line_plan *line = &plan->line[l];
        bool rolled = p->line[l].loop != UR_NONE && p->loop[p->line[l].loop].direction != 0;
        line->zero = rolled && line->class != UR__ONCE;
        line->needed = line->root ? UR_NONE : 0;
    }
    while (each(plan, take_back_zero))
        ;
    while (each(plan, need_operands))
        ;
    plan->ends = list_remainders(plan);
    return !plan->tape->error.text[0];
}
