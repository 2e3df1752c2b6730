/* remake.c - rematerialisation: values that are computed again where they are read, in place of being saved.
 *
 * 1 - phi of every step would have to lie in memory until the adjoint of the step reads it. Where phi does so anyway, a
 * loop that reads 1 - phi makes it itself: so with every cheap elementwise value of other saved values, of inputs and of
 * constants, unless products read it, whose operands must lie in memory in any case. */
#include <string.h>

#include "kernels.h"
#include "program.h"

/* What a phase reads from another loop, and the line that makes it anew. */
typedef struct made {
    ur__ref ref;
    uint32_t line;
} made;

typedef struct remaker {
    ur_tape *tape;
    ur__program *p;
    uint8_t *fixed;    /* by line: a root, or read by something that cannot make it again */
    uint8_t *remade;   /* by line: its readers in other loops make it again */
    uint32_t *readers; /* by line: how many operands in other loops than its own read it */
    made *made;        /* in the phase before, then in the phase at hand */
    size_t mades, before, made_room;
} remaker;

/* ---- which lines */

bool ur__is_cheap(const ur_op *op)
{
    switch (op->kernel) {
    case UR__ADD:
    case UR__SUB:
    case UR__MUL:
    case UR__NEG:
    case UR__SCALE:
    case UR__ONE_MINUS:
    case UR__SQUARE:
    case UR__SELECT:
        return true;
    default:
        return false;
    }
}

static const ur__kind *kind_of(const remaker *m, uint32_t line)
{
    return ur__kind_of(m->tape, m->p->line[line].node);
}

static void note_reads(remaker *m, const ur__statement *s)
{
    const ur__program *p = m->p;
    const uint32_t loop = p->line[s->line].loop;
    for (uint32_t k = 0; k < s->refs; k++) {
        const ur__ref *r = &p->ref[s->ref + k];
        if (p->line[r->line].loop == loop)
            continue;
        m->readers[r->line]++;
        if (!ur__is_rolled(p, loop) || r->count > 1 || !ur__is_elementwise(kind_of(m, s->line)->op))
            m->fixed[r->line] = 1;
    }
}

/* Is it a leaf, a constant, or a value that other loops read as well and do not make anew themselves? */
static bool is_kept(const remaker *m, const ur__ref *r)
{
    if (r->count > 1)
        return false;
    return m->p->line[r->line].loop == UR_NONE ||
           (m->readers[r->line] > 0 && (m->fixed[r->line] || !ur__is_cheap(kind_of(m, r->line)->op)));
}

static bool has_kept_operands(const remaker *m, uint32_t line)
{
    const ur__program *p = m->p;
    const ur__loop *l = &p->loop[p->line[line].loop];
    for (uint32_t f = l->phase; f < l->phase + l->phases; f++) {
        const ur__statement *s = ur__statement_of(p, &p->phase[f], line);
        for (uint32_t k = 0; s && k < s->refs; k++)
            if (!is_kept(m, &p->ref[s->ref + k]))
                return false;
    }
    return true;
}

static bool may_be_remade(const remaker *m, uint32_t line)
{
    return ur__is_rolled(m->p, m->p->line[line].loop) && m->readers[line] > 0 && !m->fixed[line] &&
           ur__is_cheap(kind_of(m, line)->op) && has_kept_operands(m, line);
}

/* ---- what is read in place of them */

/* Does loop `loop` read r in place of what makes it? */
static bool is_foreign(const remaker *m, uint32_t loop, const ur__ref *r)
{
    return m->remade[r->line] && m->p->line[r->line].loop != loop;
}

/* Can a phase make r again? */
static bool can_make(const remaker *m, const ur__phase *phase, const ur__ref *r)
{
    ur__ref operand;
    for (uint32_t k = 0; k < kind_of(m, r->line)->inputs; k++)
        if (!ur__follow(m->p, *r, phase->end - phase->begin, k, &operand))
            return false;
    return true;
}

/* Takes back those that some reader cannot make again. */
static void take_back(remaker *m)
{
    const ur__program *p = m->p;
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = 0; i < p->phase[f].statements; i++) {
            const ur__statement *s = &p->statement[p->phase[f].statement + i];
            for (uint32_t k = 0; k < s->refs; k++)
                if (is_foreign(m, p->phase[f].loop, &p->ref[s->ref + k]) &&
                    !can_make(m, &p->phase[f], &p->ref[s->ref + k]))
                    m->remade[p->ref[s->ref + k].line] = 0;
        }
}

/* ---- the new program */

/* The line for what is made again in a phase: that of the phase before, which made the same line's values, or a new one. */
static uint32_t line_for(remaker *m, const ur__phase *phase, uint32_t of)
{
    ur__program *p = m->p;
    const uint32_t loop = phase->loop;
    for (size_t i = 0; i < m->before; i++) {
        ur__line *line = &p->line[m->made[i].line];
        if (m->made[i].ref.line != of || line->loop != loop || line->begin + line->values != phase->begin)
            continue;
        line->values += phase->end - phase->begin;
        return m->made[i].line;
    }
    if (!ur__room(m->tape, &p->line, &p->line_room, p->lines, sizeof *p->line))
        return UR_NONE;
    p->line[p->lines] =
        (ur__line){.node = p->line[of].node, .loop = loop, .begin = phase->begin, .values = phase->end - phase->begin};
    return (uint32_t)p->lines++;
}

/* What makes r again in the phase at hand; NULL: nothing yet. */
static const made *known(const remaker *m, const ur__ref *r)
{
    for (size_t i = m->before; i < m->mades; i++) {
        const ur__ref *own = &m->made[i].ref;
        if (own->line == r->line && own->first == r->first && own->stride == r->stride)
            return &m->made[i];
    }
    return NULL;
}

/* Writes the statement that makes r again in this phase, unless it is there. */
static bool make_again(remaker *m, ur__program *to, const ur__phase *phase, ur__ref r)
{
    if (known(m, &r))
        return true;
    made one = {.ref = r, .line = line_for(m, phase, r.line)};
    bool good = one.line != UR_NONE && ur__room(m->tape, &m->made, &m->made_room, m->mades, sizeof one) &&
                ur__add_statement(m->tape, to, one.line);
    for (uint32_t k = 0; good && k < kind_of(m, r.line)->inputs; k++) {
        ur__ref operand = r;
        good = ur__follow(m->p, r, phase->end - phase->begin, k, &operand) && ur__add_ref(m->tape, to, operand);
    }
    if (good)
        m->made[m->mades++] = one;
    return good;
}

static bool copy_statement(remaker *m, ur__program *to, const ur__phase *phase, ur__statement s)
{
    const ur__ref *own = m->p->ref + s.ref;
    for (uint32_t k = 0; k < s.refs; k++)
        if (is_foreign(m, phase->loop, &own[k]) && !make_again(m, to, phase, own[k]))
            return false;
    bool good = ur__add_statement(m->tape, to, s.line);
    for (uint32_t k = 0; k < s.refs && good; k++) {
        const made *again = is_foreign(m, phase->loop, &own[k]) ? known(m, &own[k]) : NULL;
        good = ur__add_ref(m->tape, to, again ? ur__value_in(m->p, phase, again->line) : own[k]);
    }
    return good;
}

/* When a phase ends, what was made in it is what was made in the phase before the next one. */
static void leave_phase(remaker *m)
{
    for (size_t i = m->before; i < m->mades; i++)
        m->made[i - m->before] = m->made[i];
    m->before = m->mades -= m->before;
}

static bool write_loop(remaker *m, ur__program *to, uint32_t l)
{
    const ur__program *p = m->p;
    bool good = ur__begin_loop(m->tape, to, p->loop[l]);
    for (uint32_t f = p->loop[l].phase; f < p->loop[l].phase + p->loop[l].phases && good; f++) {
        const ur__phase *old = &p->phase[f];
        leave_phase(m);
        good = ur__begin_phase(m->tape, to, old->begin, old->end);
        for (uint32_t i = old->statement; i < old->statement + old->statements && good; i++)
            good = copy_statement(m, to, old, p->statement[i]);
    }
    return good;
}

/* The old statements are looked at until the last new one is written. */
static bool rebuild(remaker *m)
{
    ur__program to = {0};
    bool good = true;
    for (uint32_t l = 0; l < m->p->loops && good; l++)
        good = write_loop(m, &to, l);
    if (good)
        ur__program_replace(m->tape, m->p, &to);
    else
        ur__program_free(m->tape, &to);
    return good;
}

bool ur__remake(ur_tape *tape, ur__program *program, size_t roots, const uint32_t *root)
{
    size_t lines = program->lines, bytes = lines * (sizeof(uint32_t) + 2);
    uint32_t *block = (uint32_t *)ur__take(tape, bytes);
    if (!block)
        return false;
    memset(block, 0, bytes);
    remaker m = {.tape = tape, .p = program, .readers = block, .fixed = (uint8_t *)(block + lines)};
    m.remade = m.fixed + lines;
    for (size_t i = 0; i < roots; i++)
        m.fixed[program->place[root[i]].line] = 1;
    for (size_t i = 0; i < program->statements; i++)
        note_reads(&m, &program->statement[i]);
    bool any = false;
    for (uint32_t l = 0; l < lines; l++)
        m.remade[l] = may_be_remade(&m, l);
    take_back(&m);
    for (uint32_t l = 0; l < lines; l++)
        any |= m.remade[l];
    bool good = !any || rebuild(&m);
    ur__give(tape, m.made, m.made_room * sizeof *m.made);
    ur__give(tape, block, bytes);
    return good;
}
