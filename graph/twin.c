/* twin.c - common subexpressions across loops: of values that are computed twice the later one becomes another name of the
 * earlier.
 *
 * What a user writes twice is there twice, and so is what the rule of an adjoint makes of its operand where the forward
 * pass has it too. Where a loop computes what an earlier one, or itself, computes at the same steps by the same operation
 * from the same values, it reads that. Cheap values are left alone: remake.c rather makes them again than has them
 * saved.
 *
 * Where all columns are alive, a root select(alive, o, 0) has the values of o: later loops read those of the root, and o
 * is not saved. */
#include <string.h>

#include "plan.h"

/* Lines that were computed by then, by the first operand's line. */
typedef struct twins {
    ur__form *form;
    uint32_t *last; /* by line: the last line that reads it first, UR_NONE: none */
    uint32_t *next; /* by line: the one before it that reads the same first */
    uint32_t *root; /* by line: a root that has its values too, UR_NONE: none */
} twins;

static ur__ref operand_of(const ur__form *form, const ur__statement *s, uint32_t k)
{
    return ur__resolve(form, form->program.ref[s->ref + k]);
}

/* May it have a twin? Not a sum over the batch: blocks may run different forms, and what runs after them reads one place. */
static bool is_candidate(const ur__form *form, uint32_t l)
{
    const ur__program *p = &form->program;
    const ur__statement *s = ur__first_statement(p, l);
    return !form->line[l].alias && s->refs > 0 && form->line[l].class != UR__REDUCED &&
           !ur__is_cheap(ur__line_kind(form, l)->op);
}

/* The longest phase that computes a line. */
static const ur__phase *main_phase(const ur__program *p, uint32_t line)
{
    const ur__loop *loop = &p->loop[p->line[line].loop];
    const ur__phase *best = NULL;
    for (const ur__phase *f = &p->phase[loop->phase]; f < &p->phase[loop->phase + loop->phases]; f++)
        if ((!best || f->end - f->begin > best->end - best->begin) && ur__statement_of(p, f, line))
            best = f;
    return best;
}

/* Which values of line o read, as their first operands that change, what those of line l read: value k of l is value
 * first + stride k of o. False if none do. */
static bool align(const ur__form *form, uint32_t l, uint32_t o, ur__ref *source)
{
    const ur__program *p = &form->program;
    const ur__phase *own = main_phase(p, l), *other = main_phase(p, o);
    const ur__statement *s = ur__statement_of(p, own, l), *t = ur__statement_of(p, other, o);
    uint32_t k = 0;
    while (k < s->refs && k < t->refs && operand_of(form, t, k).stride == 0)
        k++;
    if (k == s->refs || s->refs != t->refs)
        return false;
    ur__ref r = operand_of(form, s, k), q = operand_of(form, t, k);
    int32_t far = r.first - q.first - r.stride * (int32_t)(own->begin - p->line[l].begin); /* of value 0 of l */
    if (r.line != q.line || r.stride % q.stride || far % q.stride)
        return false;
    *source = (ur__ref){.line = o,
                        .first = (int32_t)(other->begin - p->line[o].begin) + far / q.stride,
                        .stride = r.stride / q.stride,
                        .count = 1};
    int64_t first = source->first, last = first + source->stride * ((int64_t)p->line[l].values - 1);
    return first >= 0 && first < p->line[o].values && last >= 0 && last < p->line[o].values;
}

/* Does statement s of a phase of n iterations read what makes the n values of `source`? */
static bool reads_the_same(const ur__form *form, const ur__statement *s, ur__ref source, uint32_t n)
{
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = operand_of(form, s, k), q;
        if (r.count > 1 || !ur__follow(&form->program, source, n, k, &q))
            return false;
        q = ur__resolve(form, q);
        if (r.line != q.line || r.first != q.first || (n > 1 && r.stride != q.stride))
            return false;
    }
    return true;
}

/* Is the source there when the statement is to run? An earlier loop is through by then, and an earlier iteration. */
static bool is_there(const ur__program *p, const ur__phase *phase, const ur__statement *s, ur__ref source)
{
    const ur__line *other = &p->line[source.line];
    const uint32_t iteration = other->begin + (uint32_t)source.first;
    if (other->loop != phase->loop || (source.stride == 1 && iteration < phase->begin))
        return true;
    const ur__statement *first = ur__statement_of(p, phase, source.line);
    return source.stride == 1 && iteration == phase->begin && first && first < s;
}

/* Is it so in every phase? */
static bool stands_for(const ur__form *form, uint32_t l, ur__ref source)
{
    const ur__program *p = &form->program;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    for (const ur__phase *f = &p->phase[loop->phase]; f < &p->phase[loop->phase + loop->phases]; f++) {
        const ur__statement *s = ur__statement_of(p, f, l);
        ur__ref of = source;
        of.first += source.stride * (int32_t)(f->begin - p->line[l].begin);
        if (s && (!is_there(p, f, s, of) || !reads_the_same(form, s, of, f->end - f->begin)))
            return false;
    }
    return true;
}

static bool is_twin(const ur__form *form, uint32_t l, uint32_t o, ur__ref *source)
{
    const ur__line_plan *line = &form->line[l], *other = &form->line[o];
    const ur_tape *tape = form->tape;
    return tape->node[form->program.line[l].node].kind == tape->node[form->program.line[o].node].kind &&
           line->class == other->class && line->time == other->time && align(form, l, o, source) &&
           stands_for(form, l, *source);
}

/* Is the line select(alive, a, b) in every phase, where all columns are alive? */
static bool is_transparent(const ur__form *form, uint32_t l)
{
    const ur__program *p = &form->program;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    for (const ur__phase *f = &p->phase[loop->phase]; f < &p->phase[loop->phase + loop->phases]; f++) {
        const ur__statement *s = ur__statement_of(p, f, l);
        if (s && !s->masked)
            return false;
    }
    return form->assumes_alive;
}

/* Where all columns are alive, a root select(alive, o, 0) has the values of o, and has them in memory anyway. */
static void note_root(const twins *t, uint32_t l)
{
    const ur__form *form = t->form;
    const ur__program *p = &form->program;
    const ur__ref all = {.line = l, .stride = 1, .count = 1};
    ur__ref o;
    if (!form->line[l].root || !is_transparent(form, l) || !ur__follow(p, all, p->line[l].values, 1, &o))
        return;
    o = ur__resolve(form, o);
    if (o.first == 0 && o.stride == 1 && p->line[o.line].values == p->line[l].values && ur__same_shape(form, o.line, l))
        t->root[o.line] = l;
}

static void look_for_twin(const twins *t, uint32_t l)
{
    ur__form *form = t->form;
    const ur__program *p = &form->program;
    const uint32_t first = operand_of(form, ur__statement_of(p, main_phase(p, l), l), 0).line;
    for (uint32_t o = t->last[first]; o != UR_NONE && !form->line[l].root && !form->line[l].alias; o = t->next[o])
        form->line[l].alias = is_twin(form, l, o, &form->line[l].source);
    if (form->line[l].alias)
        return;
    t->next[l] = t->last[first];
    t->last[first] = l;
}

/* Statement i reads values of earlier loops where the caller reads them. */
static void read_roots(const twins *t, size_t i)
{
    ur__program *p = &t->form->program;
    const ur__statement *s = &p->statement[i];
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref *own = &p->ref[s->ref + k], r = ur__resolve(t->form, *own);
        const uint32_t root = t->root[r.line];
        if (root == UR_NONE || p->line[root].statement > i || p->line[root].loop == p->line[s->line].loop ||
            !ur__same_shape(t->form, own->line, root)) /* an alias of another shape is needed as it is */
            continue;
        r.line = root;
        *own = r;
    }
}

bool ur__twins(ur__form *form)
{
    ur__program *p = &form->program;
    size_t bytes = 3 * p->lines * sizeof(uint32_t);
    uint32_t *block = (uint32_t *)ur__take(form->tape, bytes);
    if (!block)
        return false;
    twins t = {.form = form, .last = block, .next = block + p->lines, .root = block + 2 * p->lines};
    memset(block, 0xff, bytes); /* UR_NONE */
    for (size_t i = 0; i < p->statements; i++) {
        uint32_t l = p->statement[i].line;
        if (p->line[l].statement != i || !ur__is_rolled(p, p->line[l].loop))
            continue;
        note_root(&t, l);
        if (is_candidate(form, l))
            look_for_twin(&t, l);
    }
    for (size_t i = 0; i < p->statements; i++)
        read_roots(&t, i);
    ur__give(form->tape, block, bytes);
    return true;
}
