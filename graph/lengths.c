/* lengths.c - what is left to do in a step in which no sequence of the block lasts any more.
 *
 * A network reads x_t as select(alive_t, x_t, 0) and writes a state as select(alive_t, new, previous). So from the last
 * step on in which a mask is not 0, states stay as they are, and every adjoint that comes through a mask is 0, as is what
 * is computed from it by products and sums. A step there is then a few copies and zeros: those of the values that
 * another step or the caller reads. If something else would have to be computed, or the steps are not marked, steps
 * past the end run like the others. So they do where a phase makes a value with the batch from values without it, which
 * have all columns.
 *
 * The form without masks reads new where the other one reads select(alive_t, new, previous). In the columns that have
 * ended it is to find the same, so new is written there as that select would be: 0 or a copy. Where it is clear what is
 * read there, that form runs also in blocks whose columns end one after another, the last one first: a step then is on
 * just the columns that last. */
#include <string.h>

#include "plan.h"

/* ---- which step a value belongs to */

/* Step t in iteration i of a phase is t + pace * i; known is false for straight code and leaves. */
typedef struct moment {
    bool known;
    int64_t t, pace;
} moment;

static moment moment_of_phase(const ur__form *form, const ur__phase *phase)
{
    const ur__loop *loop = &form->program.loop[phase->loop];
    return (moment){loop->direction != 0, ur__step_in(loop, phase->begin), loop->direction};
}

/* The step of what a phase reads. */
static moment moment_of(const ur__form *form, const ur__ref *r)
{
    const ur__program *p = &form->program;
    const ur__line *line = &p->line[r->line];
    if (line->loop == UR_NONE || p->loop[line->loop].direction == 0)
        return (moment){0};
    const ur__loop *loop = &p->loop[line->loop];
    int64_t iteration = (int64_t)line->begin + r->first;
    return (moment){true, ur__step_in(loop, iteration), (int64_t)loop->direction * r->stride};
}

/* How many steps later than its reader a value is; false if that is not constant. */
static bool later_by(const ur__form *form, const ur__phase *phase, const ur__ref *r, int64_t *by)
{
    moment own = moment_of_phase(form, phase), other = moment_of(form, r);
    *by = other.t - own.t;
    return own.known && other.known && (own.pace == other.pace || phase->end - phase->begin == 1);
}

/* ---- the mask */

/* Is the mask of statement s the one that others have, at the step of their own? */
static bool agree_on_mask(ur__form *form, const ur__phase *phase, const ur__statement *s)
{
    moment own = moment_of_phase(form, phase);
    ur__ref mask = ur__resolve(form, form->program.ref[s->ref]);
    const int64_t origin = mask.first - own.t, begin = mask.first;
    const int64_t last = begin + (int64_t)mask.stride * (phase->end - phase->begin - (int64_t)1);
    bool paced = mask.stride == own.pace || phase->end - phase->begin == 1;
    if (!own.known || !paced || (form->mask != UR_NONE && (form->mask != mask.line || form->mask_origin != origin)))
        return false;
    form->mask = mask.line;
    form->mask_origin = origin;
    const int64_t first = begin < last ? begin : last, end = begin + last + 1 - first;
    form->mask_first = first < form->mask_first ? first : form->mask_first;
    form->mask_end = end > form->mask_end ? end : form->mask_end;
    return true;
}

/* Finds the one line of masks, and which of its values belong to which steps. */
static bool find_mask(ur__form *form)
{
    const ur__program *p = &form->program;
    form->mask = UR_NONE;
    form->mask_first = INT64_MAX;
    form->mask_end = 0;
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = 0; i < p->phase[f].statements; i++) {
            const ur__statement *s = &p->statement[p->phase[f].statement + i];
            if (s->masked && !agree_on_mask(form, &p->phase[f], s))
                return false;
        }
    return form->mask != UR_NONE;
}

/* ---- what is 0 past the end */

/* A statement in a phase of a form; `masked` is the form that has masks, which says what values are past the end. */
typedef struct reader {
    const ur__form *form, *masked;
    const ur__phase *phase;
    const ur__statement *s;
} reader;

/* Operand k, its aliases resolved. */
static ur__ref operand(const reader *a, uint32_t k)
{
    return ur__resolve(a->form, a->form->program.ref[a->s->ref + k]);
}

static bool reads_zero(const reader *a, uint32_t k)
{
    ur__ref r = operand(a, k);
    const ur__kind *kind = ur__line_kind(a->form, r.line);
    int64_t by;
    if (kind->op == &ur_op_const)
        return ur__attr(a->form->tape, kind)[0] == 0;
    return r.count <= 1 && a->form->line[r.line].zero && later_by(a->form, a->phase, &r, &by) && by >= 0;
}

/* Are all operands from `first` on 0? */
static bool all_zero(const reader *a, uint32_t first)
{
    for (uint32_t k = first; k < a->s->refs; k++)
        if (!reads_zero(a, k))
            return false;
    return true;
}

/* Is the operation 0 where all its operands are? An elementwise one tells by itself. */
static bool keeps_zero(const ur__form *form, const ur__kind *kind)
{
    const double zeros[UR__MAP_INPUTS] = {0};
    if (kind->op->kind == UR_MAP)
        return kind->op->map(zeros, ur__attr(form->tape, kind)) == 0;
    switch (kind->op->kernel) {
    case UR__SUM_OF:
    case UR__ALIAS:
    case UR__REDUCE:
    case UR__MEAN:
    case UR__BROADCAST:
    case UR__TRANSPOSE:
    case UR__CONCAT:
    case UR__SLICE:
    case UR__PAD:
    case UR__CUMSUM:
        return true;
    default:
        return false;
    }
}

static bool is_zero(const reader *a)
{
    const ur__kind *kind = ur__line_kind(a->form, a->s->line);
    if (a->s->masked)
        return reads_zero(a, 2);
    switch (kind->op->kernel) {
    case UR__MUL:
    case UR__MATMUL:
    case UR__BMM:
    case UR__OUTER:
        return reads_zero(a, 0) || reads_zero(a, 1);
    case UR__DIV:
        return reads_zero(a, 0);
    case UR__SELECT:
        return all_zero(a, 1);
    default:
        return all_zero(a, 0) && keeps_zero(a->form, kind);
    }
}

/* The number of the operand that a value is equal to past the end: what a mask leaves, the only term that is not 0; UR_NONE
 * where it would have to be computed. */
static uint32_t copied(const reader *a)
{
    uint32_t terms = 0, last = UR_NONE;
    if (a->s->masked)
        return 2;
    const reader own = {a->masked, a->masked, a->phase, a->s};
    for (uint32_t k = 0; k < a->s->refs && ur__adds(a->masked, a->s->line); k++)
        if (!reads_zero(&own, k)) {
            terms++;
            last = k;
        }
    return terms == 1 ? last : UR_NONE;
}

/* Calls for every statement, from the last one on; true if some call was. */
static bool each(ur__form *form, const ur__form *masked, bool (*visit)(ur__form *form, const reader *a))
{
    const ur__program *p = &form->program;
    bool any = false;
    for (const ur__phase *f = p->phase + p->phases; f-- > p->phase;)
        for (uint32_t i = f->statements; i-- > 0;)
            any |= visit(form, &(reader){form, masked, f, &p->statement[f->statement + i]});
    return any;
}

/* Every value is 0 until one of its statements says otherwise. */
static bool take_back_zero(ur__form *form, const reader *a)
{
    ur__line_plan *line = &form->line[a->s->line];
    if (!line->zero || is_zero(a))
        return false;
    line->zero = false;
    return true;
}

/* ---- what is read past the end */

/* Further back than this counts as everywhere. */
enum { NEAR = 4 };

/* The reader, of step s, is needed in the columns of step s - needed. A value of step s + by that it reads is so in the
 * same columns, those of step (s + by) - (needed + by). */
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

/* The reader of what the line of statement a shows past the end. */
static reader shown_by(const reader *a)
{
    reader shown = *a;
    shown.s = ur__statement_of(&a->form->program, a->phase, a->form->line[a->s->line].shows);
    return shown;
}

/* Does value k of line m lie where value k of line l does, in the same iteration? */
static bool lies_at(const ur__form *form, uint32_t m, uint32_t l)
{
    const ur__line *shown = &form->program.line[m], *own = &form->program.line[l];
    const ur__ref at = ur__resolve(form, (ur__ref){.line = m, .stride = 1, .count = 1});
    return at.line == l && at.stride == 1 && shown->loop == own->loop &&
           (int64_t)shown->begin == (int64_t)own->begin + at.first;
}

/* Line l is to show, past the end, the value that line m of the form with masks has there, in the same step: false if it
 * cannot. The first one says whose value that is, and what is 0 may show any other that is. */
static bool claim(ur__form *form, const ur__form *masked, uint32_t l, uint32_t m)
{
    ur__line_plan *line = &form->line[l];
    const bool zero = masked->line[m].zero;
    if (ur__is_zero(form, l) && l != m)
        return zero;
    if (l != m && !line->needed && !line->inlined && lies_at(form, m, l)) {
        line->shows = m;
        line->zero = zero;
    }
    return line->shows == m || (line->zero && zero);
}

/* How r is needed by statement a, which is itself needed so. */
static uint32_t needed_by(const reader *a, const ur__ref *r, uint32_t needed)
{
    int64_t by;
    return later_by(a->form, a->phase, r, &by) ? reach(needed, by) : UR_NONE;
}

static bool at_one_step(const ur__form *form, const ur__ref *a, const ur__ref *b)
{
    const moment one = moment_of(form, a), other = moment_of(form, b);
    return !one.known || !other.known || (one.t == other.t && one.pace == other.pace);
}

/* How r is needed that the reader finds where the form with masks has `shown`. */
static uint32_t needed_for(const reader *a, const ur__ref *r, const ur__ref *shown, uint32_t needed)
{
    uint32_t one = needed_by(a, shown, needed), own = moment_of(a->form, r).known ? needed_by(a, r, needed) : 0;
    if (a->form->line[a->s->line].class == UR__ONCE && a->form->line[r->line].class == UR__BATCH)
        return UR_NONE; /* it reads every column */
    return one < own ? own : one;
}

/* Is a ref of the form with masks to a select that this form looks through? */
static bool is_seen_through(const ur__form *form, const ur__ref *r)
{
    return form->line[r->line].alias && ur__line_kind(form, r->line)->op == &ur_op_select;
}

/* Goes on to what it sees through the select; is that another one? */
static bool look_through(const reader *a, ur__ref *shown)
{
    const ur__form *masked = a->masked;
    ur__ref next;
    if (!is_seen_through(a->form, shown) ||
        !ur__follow(&masked->program, *shown, a->phase->end - a->phase->begin, 1, &next))
        return false;
    *shown = ur__resolve(masked, next);
    return is_seen_through(a->form, shown);
}

/* Operand k of statement a, which is itself needed so. Where it is needed in columns that have ended, it has to be equal to
 * what the form with masks has there. Without masks the reader may look through several selects, each of its own step. */
static bool need_operand(ur__form *form, const reader *a, uint32_t k, uint32_t needed)
{
    const ur__ref r = operand(a, k);
    ur__ref shown = ur__resolve(a->masked, a->masked->program.ref[a->s->ref + k]);
    bool changed = false;
    for (bool more = true; more; more = look_through(a, &shown)) {
        const uint32_t own = needed_for(a, &r, &shown, needed);
        if (own && !(at_one_step(form, &r, &shown) && claim(form, a->masked, r.line, shown.line)))
            form->ends = false;
        changed |= need(&form->line[r.line], own);
    }
    return changed;
}

/* What is computed in a step that lasts is needed in its columns; a copy, or a product that its reader computes, where it
 * is needed itself. */
static bool need_operands(ur__form *form, const reader *a)
{
    const ur__line_plan *line = &form->line[a->s->line];
    const bool sum = line->class == UR__REDUCED;
    bool changed = false;
    if (line->alias)
        return false; /* what it stands for is read under its own name */
    for (uint32_t k = 0; k < a->s->refs; k++)
        changed |= need_operand(form, a, k, sum ? (line->zero ? 0 : UR_NONE) : line->inlined ? line->needed : 0);
    const reader shown = shown_by(a);
    if (sum || line->inlined || line->zero || !shown.s)
        return changed;
    const uint32_t one = copied(&shown);
    for (uint32_t k = 0; k < shown.s->refs; k++)
        if (one == UR_NONE || one == k)
            changed |= need_operand(form, &shown, k, line->needed);
    return changed;
}

/* ---- the steps past the end */

/* Can operand k be copied? It is in memory by then: with the batch, from another step, or from before the blocks, the same
 * for all columns. */
static bool can_copy(const reader *a, uint32_t k)
{
    const ur__form *form = a->form;
    const ur__ref r = operand(a, k);
    const ur__line_plan *from = &form->line[r.line];
    const bool leaf = form->program.line[r.line].loop == UR_NONE;
    uint8_t spread;
    if (ur__line_kind(form, r.line)->op == &ur_op_const)
        return true;
    if (from->class == UR__BATCH)
        return from->rows == form->line[a->s->line].rows && (from->stored || leaf);
    return from->class == UR__ONCE && (leaf || (from->stored && from->time == UR__BEFORE)) &&
           ur__spread_of(form, r, a->s->line, &spread) &&
           (spread == UR__COLUMN || spread == UR__ELEMENT || from->rows == form->line[a->s->line].rows);
}

/* Is it the value of this iteration of a line that is written after that of statement a, as remainders are too? */
static bool is_made_later(const reader *a, const ur__ref *r)
{
    const ur__statement *made = ur__statement_of(&a->form->program, a->phase, r->line);
    return made && made >= a->s && ur__is_value_in(&a->form->program, a->phase, r);
}

/* Is r the value before that of statement a of the same line? */
static bool is_own_last(const reader *a, const ur__ref *r)
{
    const int64_t direction = a->form->program.loop[a->phase->loop].direction;
    int64_t by;
    return r->line == a->s->line && later_by(a->form, a->phase, r, &by) && by == -direction;
}

/* Is r in memory when statement a runs? A line of the blocks that is not carried has its newest value only. */
static bool is_still_there(const reader *a, const ur__ref *r)
{
    const ur__line_plan *line = &a->form->line[r->line];
    return line->class != UR__BATCH || line->carried || a->form->program.line[r->line].loop == UR_NONE ||
           ur__is_value_in(&a->form->program, a->phase, r) || is_own_last(a, r);
}

/* Can the value of a statement be made there without computing, and is it 0 or a copy? */
static bool add_remainder(ur__form *form, const reader *a)
{
    const ur__line_plan *line = &form->line[a->s->line];
    if (line->alias || line->inlined || line->time != UR__WITHIN)
        return true;
    if (line->class == UR__REDUCED)
        return line->zero;
    if (!line->needed || !line->stored)
        return !line->needed || line->class == UR__BATCH;
    ur__remainder r = {.line = a->s->line, .from = {.line = UR_NONE}, .needed = line->needed};
    if (!line->zero) {
        const reader shown = shown_by(a);
        const uint32_t k = shown.s ? copied(&shown) : UR_NONE;
        if (line->class != UR__BATCH || k == UR_NONE || !can_copy(&shown, k))
            return false;
        r.from = operand(&shown, k);
        if (is_made_later(a, &r.from) || !is_still_there(a, &r.from))
            return false;
        r.own = is_own_last(a, &r.from);
        if (ur__is_zero(form, r.from.line))
            r.from.line = UR_NONE;
    }
    if (!ur__room(form->tape, &form->remainder, &form->remainder_room, form->remainders, sizeof r))
        return false;
    form->remainder[form->remainders++] = r;
    return true;
}

static bool list_remainders(ur__form *form, const ur__form *masked)
{
    const ur__program *p = &form->program;
    for (size_t k = 0; k < p->phases; k++) {
        const ur__phase *f = &p->phase[k];
        form->rest[k].first = (uint32_t)form->remainders;
        for (uint32_t i = 0; i < f->statements && p->loop[f->loop].direction != 0; i++)
            if (!add_remainder(form, &(reader){form, masked, f, &p->statement[f->statement + i]}))
                return false;
        form->rest[k].count = (uint32_t)form->remainders - form->rest[k].first;
    }
    return true;
}

/* There must be masks for the steps of every loop. */
static bool covers(const ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t l = 0; l < p->loops; l++) {
        const ur__loop *loop = &p->loop[l];
        int64_t first = loop->step + form->mask_origin,
                last = first + (int64_t)loop->direction * (loop->iterations - 1);
        const int64_t begin = form->mask_first, end = form->mask_end;
        if (loop->direction != 0 && (first < begin || last < begin || first >= end || last >= end))
            return false;
    }
    return true;
}

/* Which values are 0 past the end, the form with masks finds out for both; what is read there is not known yet. */
static void begin(ur__form *form, const ur__form *masked)
{
    const ur__program *p = &form->program;
    for (uint32_t l = 0; l < p->lines; l++) {
        ur__line_plan *line = &form->line[l];
        const bool rolled = p->line[l].loop != UR_NONE && p->loop[p->line[l].loop].direction != 0;
        line->zero = form == masked ? rolled && line->class != UR__ONCE : masked->line[l].zero;
        line->needed = line->root ? UR_NONE : 0;
        line->shows = l;
    }
    while (form == masked && each(form, masked, take_back_zero))
        ;
}

bool ur__lengths(ur__form *form, const ur__form *masked)
{
    if (form == masked) {
        form->ends = !form->odd_phases && find_mask(form) && covers(form);
    } else {
        form->ends = masked->ends;
        form->mask = masked->mask;
        form->mask_origin = masked->mask_origin;
        form->mask_first = masked->mask_first;
        form->mask_end = masked->mask_end;
    }
    if (!form->ends)
        return true;
    form->rest = (ur__span *)ur__take(form->tape, form->program.phases * sizeof *form->rest);
    if (!form->rest)
        return false;
    begin(form, masked);
    while (each(form, masked, need_operands))
        ;
    form->ends = form->ends && list_remainders(form, masked);
    return !form->tape->error.text[0];
}
