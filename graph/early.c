/* early.c - moves computations to the loop that makes their operands, from the one that reads them.
 *
 * The adjoint of an output, (o - y) / n, is recorded with the other adjoints, for the loop back. But all that it is made
 * from is at hand when o is, and nothing else reads o later: so the loop forward makes it at once and saves it in place
 * of o. So with every elementwise value that reads values of the same iterations of an earlier loop, one of which, no
 * smaller, would be saved for it alone: less is read, and no more saved. (But where the caller reads select(alive, o, 0),
 * which might be read in place of o, the value is saved beside that.) What it reads besides, made for it alone from leaves
 * and the like, goes along, and straight code of leaves and constants is put before the loop. */
#include "kernels.h"
#include "program.h"

/* Where a line goes. */
typedef struct target {
    uint32_t loop;  /* that makes it, or, of straight code, that it is computed before; UR_NONE: it stays */
    uint32_t begin; /* the iteration of its first value there */
    bool turned;    /* its values are in the opposite order there */
} target;

typedef struct mover {
    ur_tape *tape;
    ur__program *p;
    target *to;         /* by line, as the next three are */
    uint32_t *later;    /* the one line that reads it in other loops than its own, UR_NONE: none, UR__MANY: several */
    uint32_t *within;   /* the same in its own */
    uint8_t *free;      /* straight code that reads leaves and constants only, or other such lines */
    uint32_t *moved;    /* the lines that go from loop to loop, operands before their readers ... */
    uint32_t *straight; /* ... and straight code that moves, likewise, up to `end` */
    const uint32_t *end;
    size_t moves;
} mover;

/* ---- who reads what */

static bool is_straight(const mover *m, uint32_t line)
{
    const uint32_t loop = m->p->line[line].loop;
    return loop != UR_NONE && ur__is_straight(&m->p->loop[loop]);
}

static uint32_t with_reader(uint32_t readers, uint32_t reader)
{
    return readers == UR_NONE || readers == reader ? reader : reader == UR_NONE ? readers : UR__MANY;
}

/* The line that a line of steps may be another name of: where all columns are alive, select(alive, a, b) is a. */
static uint32_t named_by(const mover *m, uint32_t line)
{
    const ur_op *op = ur__op(m->tape, m->p->line[line].node);
    if (!ur__is_rolled(m->p, m->p->line[line].loop) || (op != &ur_op_select && op->kernel != UR__ALIAS))
        return UR_NONE;
    return m->p->ref[ur__first_statement(m->p, line)->ref + (op == &ur_op_select)].line;
}

/* Who reads a name reads what it names. */
static void note_reads(mover *m, const ur__statement *s)
{
    const ur__program *p = m->p;
    bool free = is_straight(m, s->line);
    for (uint32_t k = 0; k < s->refs; k++) {
        uint32_t line = p->ref[s->ref + k].line;
        free = free && (p->line[line].loop == UR_NONE || m->free[line]);
        for (; line != UR_NONE; line = named_by(m, line)) {
            uint32_t *readers = p->line[line].loop == p->line[s->line].loop ? m->within : m->later;
            readers[line] = with_reader(readers[line], s->line);
        }
    }
    m->free[s->line] = free;
}

/* ---- which lines move */

/* Value v of the line is made where r's value v is: where is that? False if these are not one iteration after another. */
static bool follow(const mover *m, uint32_t line, ur__ref r, target *to)
{
    const ur__line *operand = &m->p->line[r.line];
    const target *moved = &m->to[r.line];
    const int32_t last = (int32_t)m->p->line[line].values - 1;
    *to = (target){.loop = operand->loop, .begin = operand->begin};
    if (moved->loop != UR_NONE)
        *to = *moved;
    if (to->turned) {
        r.first = (int32_t)operand->values - 1 - r.first;
        r.stride = -r.stride;
    }
    to->turned = last > 0 && r.stride < 0;
    to->begin += (uint32_t)(to->turned ? r.first - last : r.first);
    return last == 0 || r.stride == 1 || r.stride == -1;
}

/* Do the values fill whole phases of the loop? */
static bool fills_phases(const mover *m, const target *to, uint32_t values)
{
    const ur__program *p = m->p;
    const ur__loop *loop = &p->loop[to->loop];
    bool begins = false, ends = false;
    for (const ur__phase *f = &p->phase[loop->phase]; f < &p->phase[loop->phase + loop->phases]; f++) {
        begins |= f->begin == to->begin;
        ends |= f->end == to->begin + values;
    }
    return begins && ends;
}

/* Will readers in other loops make the line's values again (remake.c), from what is there in any case? */
static bool is_remade(const mover *m, uint32_t line)
{
    const ur__statement *s = ur__first_statement(m->p, line);
    bool there = m->to[line].loop == UR_NONE && ur__is_cheap(ur__op(m->tape, m->p->line[line].node));
    for (uint32_t k = 0; k < s->refs && there; k++) {
        const uint32_t operand = m->p->ref[s->ref + k].line;
        there = m->p->line[operand].loop == UR_NONE || m->later[operand] != UR_NONE;
    }
    return there;
}

static bool same(const target *a, const target *b)
{
    return a->loop == b->loop && a->begin == b->begin && a->turned == b->turned;
}

/* Who will make a line again reads its operands. Called from the last statement to the first. */
static void pass_readers(mover *m, const ur__statement *s)
{
    if (s != ur__first_statement(m->p, s->line) || m->later[s->line] == UR_NONE || !is_remade(m, s->line))
        return;
    for (uint32_t k = 0; k < s->refs; k++) {
        uint32_t *later = &m->later[m->p->ref[s->ref + k].line];
        *later = with_reader(*later, m->later[s->line]);
    }
}

/* Is each value of the line made in the step that it belongs to now? */
static bool keeps_steps(const mover *m, uint32_t line, const target *to)
{
    const ur__line *l = &m->p->line[line];
    const ur__loop *from = &m->p->loop[l->loop], *loop = &m->p->loop[to->loop];
    const int64_t first = to->begin, last = first + l->values - 1;
    return from->direction == loop->direction * (to->turned ? -1 : 1) &&
           ur__step_in(from, l->begin) == ur__step_in(loop, to->turned ? last : first);
}

/* Operand k of all values of the line. */
static bool operand_of(const mover *m, uint32_t line, uint32_t k, ur__ref *r)
{
    return ur__follow(m->p, (ur__ref){.line = line, .stride = 1}, m->p->line[line].values, k, r);
}

/* Straight code, or leaf or constant? */
static bool is_fixed(const mover *m, uint32_t line)
{
    return m->p->line[line].loop == UR_NONE || is_straight(m, line);
}

/* Does the line only compute, element by element, in steps of a loop? */
static bool is_elementwise(const mover *m, uint32_t line)
{
    const ur_op *op = ur__op(m->tape, m->p->line[line].node);
    return ur__is_rolled(m->p, m->p->line[line].loop) && ur__is_elementwise(op);
}

/* Is the operand one that its loop makes for the line alone, or sums up, in the same iteration? It goes along. */
static bool goes_along(const mover *m, uint32_t line, const ur__ref *r)
{
    const ur__line *own = &m->p->line[line], *l = &m->p->line[r->line];
    return l->loop == own->loop && m->to[r->line].loop == UR_NONE && r->first == 0 && l->begin == own->begin &&
           l->values == own->values && m->within[r->line] == line && m->later[r->line] == UR_NONE &&
           (is_elementwise(m, r->line) || ur__op(m->tape, l->node)->kernel == UR__REDUCE);
}

/* A line that might move, and what is known of that so far. */
typedef struct move {
    uint32_t line;
    uint32_t *along; /* it and those that go along with it, operands first */
    size_t count;
    target to;
    bool saves; /* one of the operands is saved for it alone, and at least as large */
} move;

static bool is_saved_for(const mover *m, uint32_t operand, uint32_t reader, const move *v)
{
    const ur__line *l = m->p->line;
    return m->later[operand] == reader && !is_remade(m, operand) &&
           ur_shape_count(ur__shape(m->tape, l[v->line].node)) <= ur_shape_count(ur__shape(m->tape, l[operand].node));
}

static bool is_along(const move *v, uint32_t line)
{
    bool is = false;
    for (size_t i = 0; i < v->count && !is; i++)
        is = v->along[i] == line;
    return is;
}

/* Are the operands of `line`, which is the one that might move or goes along with it, values of the same iterations of one
 * loop, or fixed? */
static bool find_target(const mover *m, uint32_t line, move *v)
{
    for (uint32_t k = 0; k < ur__first_statement(m->p, line)->refs; k++) {
        ur__ref r;
        target there;
        if (!operand_of(m, line, k, &r))
            return false;
        if (is_fixed(m, r.line) || is_along(v, r.line))
            continue;
        if (goes_along(m, line, &r)) {
            if (!find_target(m, r.line, v))
                return false;
            continue;
        }
        if (!follow(m, line, r, &there) || (v->to.loop != UR_NONE && !same(&v->to, &there)))
            return false;
        v->to = there;
        v->saves |= is_saved_for(m, r.line, line, v);
    }
    v->along[v->count++] = line;
    return true;
}

/* Is straight code that they read there before the loop, or can it be? */
static bool is_there(const mover *m, const move *v)
{
    bool there = true;
    for (size_t i = 0; i < v->count; i++) {
        const ur__statement *s = ur__first_statement(m->p, v->along[i]);
        for (uint32_t k = 0; k < s->refs && there; k++) {
            const uint32_t operand = m->p->ref[s->ref + k].line;
            there = !is_straight(m, operand) || m->p->line[operand].loop < v->to.loop || m->free[operand];
        }
    }
    return there;
}

/* What a line that moves alone read later is read in its own loop now. */
static void move_to(mover *m, uint32_t line, const target *to)
{
    const ur__statement *s = ur__first_statement(m->p, line);
    for (uint32_t k = 0; k < s->refs; k++) {
        uint32_t *later = &m->later[m->p->ref[s->ref + k].line];
        *later = *later == line ? UR_NONE : *later;
    }
    m->to[line] = *to;
    m->later[line] = with_reader(m->later[line], m->within[line]);
}

static void move_line(mover *m, uint32_t line)
{
    move v = {.line = line, .along = m->moved + m->moves, .to = {.loop = UR_NONE}};
    const ur__line *l = &m->p->line[line];
    if (!is_elementwise(m, line) || !find_target(m, line, &v) || !v.saves || v.to.loop >= l->loop ||
        !keeps_steps(m, line, &v.to) || !fills_phases(m, &v.to, l->values) || !is_there(m, &v))
        return;
    for (size_t i = 0; i < v.count; i++)
        move_to(m, v.along[i], &v.to);
    m->moves += v.count;
}

/* Straight code that is read earlier now, and what that reads. Called from the last statement to the first. */
static void move_straight(mover *m, const ur__statement *s)
{
    const target *to = &m->to[s->line];
    for (uint32_t k = 0; k < s->refs && to->loop != UR_NONE; k++) {
        const uint32_t operand = m->p->ref[s->ref + k].line;
        if (is_straight(m, operand) && m->p->line[operand].loop > to->loop && m->to[operand].loop > to->loop)
            m->to[operand] = (target){.loop = to->loop};
    }
    if (to->loop != UR_NONE && is_straight(m, s->line))
        *--m->straight = s->line;
}

/* ---- the new program */

/* An operand, where the values of its line are in the opposite order now. */
static ur__ref turned(const mover *m, ur__ref r)
{
    if (m->to[r.line].loop != UR_NONE && m->to[r.line].turned) {
        r.first = (int32_t)m->p->line[r.line].values - 1 - r.first;
        r.stride = -r.stride;
    }
    return r;
}

static bool add_statement(const mover *m, ur__program *to, const ur__statement *s)
{
    bool good = ur__add_statement(m->tape, to, s->line);
    for (uint32_t k = 0; k < s->refs && good; k++)
        good = ur__add_ref(m->tape, to, turned(m, m->p->ref[s->ref + k]));
    return good;
}

/* The straight code that is computed before a loop now. */
static bool add_straight(const mover *m, ur__program *to, uint32_t loop)
{
    bool begun = false, good = true;
    for (const uint32_t *line = m->straight; line < m->end && good; line++) {
        if (m->to[*line].loop != loop)
            continue;
        if (!begun)
            good = ur__begin_loop(m->tape, to, (ur__loop){.iterations = 1}) && ur__begin_phase(m->tape, to, 0, 1);
        begun = true;
        good = good && add_statement(m, to, ur__first_statement(m->p, *line));
    }
    return good;
}

/* The line's statement in a phase of the loop that it goes to. */
static bool add_moved(const mover *m, ur__program *to, const ur__phase *f, uint32_t line)
{
    const target *t = &m->to[line];
    const int32_t n = (int32_t)(f->begin - t->begin), last = (int32_t)m->p->line[line].values - 1;
    const ur__ref own = {.line = line, .first = t->turned ? last - n : n, .stride = t->turned ? -1 : 1};
    bool good = ur__add_statement(m->tape, to, line);
    for (uint32_t k = 0; k < ur__first_statement(m->p, line)->refs && good; k++) {
        ur__ref r = own;
        good = ur__follow(m->p, own, f->end - f->begin, k, &r) && ur__add_ref(m->tape, to, turned(m, r));
    }
    return good;
}

static bool is_emptied(const mover *m, const ur__loop *loop)
{
    const ur__program *p = m->p;
    bool any = false;
    for (const ur__phase *f = &p->phase[loop->phase]; f < &p->phase[loop->phase + loop->phases]; f++)
        for (uint32_t i = f->statement; i < f->statement + f->statements; i++, any = true)
            if (m->to[p->statement[i].line].loop == UR_NONE)
                return false;
    return any;
}

static bool add_loop(const mover *m, ur__program *to, uint32_t loop)
{
    const ur__program *p = m->p;
    const ur__loop *l = &p->loop[loop];
    bool good = ur__begin_loop(m->tape, to, *l);
    for (const ur__phase *f = &p->phase[l->phase]; f < &p->phase[l->phase + l->phases] && good; f++) {
        good = ur__begin_phase(m->tape, to, f->begin, f->end);
        for (uint32_t i = f->statement; i < f->statement + f->statements && good; i++)
            good = m->to[p->statement[i].line].loop != UR_NONE || add_statement(m, to, &p->statement[i]);
        for (size_t i = 0; i < m->moves && good; i++) {
            const target *t = &m->to[m->moved[i]];
            if (t->loop == loop && t->begin <= f->begin && f->end <= t->begin + p->line[m->moved[i]].values)
                good = add_moved(m, to, f, m->moved[i]);
        }
    }
    return good;
}

static bool add_loops(const mover *m, ur__program *to)
{
    bool good = true;
    for (uint32_t l = 0; l < m->p->loops && good; l++)
        good = add_straight(m, to, l) && (is_emptied(m, &m->p->loop[l]) || add_loop(m, to, l));
    return good;
}

/* Tells lines and nodes where they are now. */
static void renumber(mover *m)
{
    ur__program *p = m->p;
    for (size_t v = 0; v < p->nodes; v++) {
        ur__position *place = &p->place[v];
        if (place->line != UR_NONE && m->to[place->line].loop != UR_NONE && m->to[place->line].turned)
            place->value = p->line[place->line].values - 1 - place->value;
    }
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = p->phase[f].statement; i < p->phase[f].statement + p->phase[f].statements; i++)
            p->line[p->statement[i].line].loop = p->phase[f].loop;
    for (size_t i = 0; i < m->moves; i++)
        p->line[m->moved[i]].begin = m->to[m->moved[i]].begin;
}

static bool rebuild(mover *m)
{
    ur__program to = {0};
    bool good = add_loops(m, &to);
    if (good) {
        ur__program_replace(m->tape, m->p, &to);
        renumber(m);
    } else {
        ur__program_free(m->tape, &to);
    }
    return good;
}

static void find_moves(mover *m, size_t roots, const uint32_t *root)
{
    const ur__program *p = m->p;
    for (uint32_t l = 0; l < p->lines; l++) {
        m->to[l].loop = m->later[l] = m->within[l] = UR_NONE;
        m->free[l] = false;
    }
    for (size_t i = 0; i < p->statements; i++)
        note_reads(m, &p->statement[i]);
    for (size_t i = p->statements; i-- > 0;)
        pass_readers(m, &p->statement[i]);
    for (size_t i = 0; i < roots; i++)
        m->later[p->place[root[i]].line] = UR__MANY;
    for (size_t i = 0; i < p->statements; i++)
        if (&p->statement[i] == ur__first_statement(m->p, p->statement[i].line))
            move_line(m, p->statement[i].line);
    for (size_t i = p->statements; i-- > 0 && m->moves;)
        move_straight(m, &p->statement[i]);
}

bool ur__early(ur_tape *tape, ur__program *program, size_t roots, const uint32_t *root)
{
    const size_t lines = program->lines, bytes = lines * (sizeof(target) + 3 * sizeof(uint32_t) + 1);
    target *block = (target *)ur__take(tape, bytes);
    if (!block)
        return false;
    mover m = {.tape = tape, .p = program, .to = block, .later = (uint32_t *)(void *)(block + lines)};
    m.within = m.later + lines;
    m.moved = m.within + lines;
    m.straight = m.moved + lines;
    m.end = m.straight;
    m.free = (uint8_t *)(m.moved + lines);
    find_moves(&m, roots, root);
    const bool good = !m.moves || rebuild(&m);
    ur__give(tape, block, bytes);
    return good;
}
