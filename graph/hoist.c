/* hoist.c - loop-invariant code motion: what is the same in every step is computed once, before the loop.
 *
 * W = g V / |V|, written within the steps, is a line of T equal values: in every iteration it reads the same parameters,
 * constants and values of other loops, or other such lines. It becomes straight code of one value, as soon as all is
 * there that it reads, and whoever reads any of its values reads that one. Where several such lines are computed in the
 * same way from the same, as by two steps of a solver within one of the cell, the first one stands for all. */
#include <string.h>

#include "program.h"

typedef struct hoister {
    ur_tape *tape;
    ur__program *p;
    uint32_t *before; /* of each line: the loop that it is computed before, UR_NONE: it stays in its own */
    uint32_t *same;   /* the line that stands for it, itself mostly */
    uint32_t *number; /* the new number of that one */
    uint32_t *moved;  /* the lines that do not stay, in the order of their statements */
    uint32_t *loop;   /* of each old loop: its new number */
    size_t moves;
} hoister;

static uint32_t loop_of(const hoister *h, uint32_t line)
{
    return h->p->line[line].loop;
}

static bool moves(const hoister *h, uint32_t line)
{
    return h->before[line] != UR_NONE;
}

/* ---- which lines */

/* Of all lines that have several values it is assumed that they are equal. */
static void assume(hoister *h)
{
    const ur__program *p = h->p;
    for (uint32_t l = 0; l < p->lines; l++) {
        h->same[l] = l;
        h->before[l] = p->line[l].loop != UR_NONE && p->line[l].values > 1 ? 0 : UR_NONE;
    }
}

/* One value that all iterations of the loop read? */
static bool is_fixed(const hoister *h, const ur__ref *r, uint32_t loop)
{
    return moves(h, r->line) || (r->stride == 0 && loop_of(h, r->line) != loop);
}

static bool same_value(const hoister *h, const ur__ref *a, const ur__ref *b)
{
    return h->same[a->line] == h->same[b->line] && (moves(h, a->line) || a->first == b->first);
}

static bool same_operands(const hoister *h, const ur__statement *a, const ur__statement *b)
{
    const ur__ref *r = &h->p->ref[a->ref], *q = &h->p->ref[b->ref];
    bool same = a->refs == b->refs;
    for (uint32_t k = 0; same && k < a->refs; k++)
        same = same_value(h, &r[k], &q[k]);
    return same;
}

/* Does the statement read what the first one of its line reads, and nothing that changes? */
static bool repeats(const hoister *h, const ur__statement *s)
{
    bool fixed = true;
    for (uint32_t k = 0; k < s->refs && fixed; k++)
        fixed = is_fixed(h, &h->p->ref[s->ref + k], loop_of(h, s->line));
    return fixed && same_operands(h, s, ur__first_statement(h->p, s->line));
}

/* Takes back the assumption where it is wrong, and from what follows from it. */
static void take_back(hoister *h)
{
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < h->p->statements; i++) {
            const ur__statement *s = &h->p->statement[i];
            if (!moves(h, s->line) || repeats(h, s))
                continue;
            h->before[s->line] = UR_NONE;
            again = true;
        }
    }
}

/* ---- where they go */

/* The first loop that comes after all that the statement reads. */
static uint32_t place_of(const hoister *h, const ur__statement *s)
{
    uint32_t place = 0;
    for (uint32_t k = 0; k < s->refs; k++) {
        uint32_t line = h->p->ref[s->ref + k].line, loop = loop_of(h, line);
        uint32_t own = moves(h, line) ? h->before[line] : loop == UR_NONE ? 0 : loop + 1;
        place = place < own ? own : place;
    }
    return place;
}

/* The earlier one of the moved lines that is computed as this one; itself: there is none. */
static uint32_t stand_in(const hoister *h, uint32_t line)
{
    const ur_tape *tape = h->tape;
    const ur__program *p = h->p;
    for (size_t i = 0; i < h->moves; i++) {
        uint32_t other = h->moved[i];
        if (tape->node[p->line[other].node].kind == tape->node[p->line[line].node].kind &&
            same_operands(h, ur__first_statement(h->p, line), ur__first_statement(h->p, other)))
            return other;
    }
    return line;
}

static void find_places(hoister *h)
{
    for (size_t i = 0; i < h->p->statements; i++) {
        const ur__statement *s = &h->p->statement[i];
        if (!moves(h, s->line) || s != ur__first_statement(h->p, s->line))
            continue;
        h->before[s->line] = place_of(h, s);
        h->same[s->line] = stand_in(h, s->line);
        if (h->same[s->line] == s->line)
            h->moved[h->moves++] = s->line;
    }
}

/* ---- the new program */

/* The straight code before a loop of the old program. */
static bool add_moved(hoister *h, ur__program *to, uint32_t loop)
{
    ur__program *p = h->p;
    bool begun = false;
    for (size_t i = 0; i < h->moves; i++) {
        ur__line *line = &p->line[h->moved[i]];
        if (h->before[h->moved[i]] != loop)
            continue;
        if (!begun &&
            (!ur__begin_loop(h->tape, to, (ur__loop){.iterations = 1}) || !ur__begin_phase(h->tape, to, 0, 1)))
            return false;
        begun = true;
        line->loop = (uint32_t)to->loops - 1;
        line->begin = 0;
        line->values = 1;
        if (!ur__copy_statement(h->tape, to, p, ur__first_statement(h->p, h->moved[i])))
            return false;
    }
    return true;
}

/* What stays of a loop, unless that is nothing. */
static bool add_rest(hoister *h, ur__program *to, uint32_t loop)
{
    const ur__program *p = h->p;
    ur__loop l = p->loop[loop];
    const ur__phase *phase = &p->phase[l.phase], *end = phase + l.phases;
    uint32_t i = phase->statement, after = end[-1].statement + end[-1].statements;
    while (i < after && moves(h, p->statement[i].line))
        i++;
    if (i == after && i > phase->statement)
        return true;
    bool good = ur__begin_loop(h->tape, to, l);
    for (; phase < end && good; phase++) {
        good = ur__begin_phase(h->tape, to, phase->begin, phase->end);
        for (i = phase->statement; i < phase->statement + phase->statements && good; i++)
            good = moves(h, p->statement[i].line) || ur__copy_statement(h->tape, to, p, &p->statement[i]);
    }
    return good;
}

/* Lines that stay get their loop's new number at the end: until then the old one is looked up. */
static bool write_loops(hoister *h, ur__program *to)
{
    bool good = true;
    for (uint32_t l = 0; l < h->p->loops && good; l++) {
        good = add_moved(h, to, l) && add_rest(h, to, l);
        h->loop[l] = (uint32_t)to->loops - 1;
    }
    return good;
}

/* Leaves the lines that stand for themselves. */
static void renumber_lines(hoister *h)
{
    ur__program *p = h->p;
    uint32_t lines = 0;
    for (uint32_t l = 0; l < p->lines; l++)
        if (h->same[l] == l) {
            ur__line line = p->line[l];
            if (!moves(h, l) && line.loop != UR_NONE)
                line.loop = h->loop[line.loop];
            h->number[l] = lines;
            p->line[lines++] = line;
        }
    for (uint32_t l = 0; l < p->lines; l++)
        h->number[l] = h->number[h->same[l]];
    p->lines = lines;
}

/* Everything that names a line. */
static void renumber(hoister *h)
{
    ur__program *p = h->p;
    renumber_lines(h);
    for (size_t i = 0; i < p->statements; i++)
        p->statement[i].line = h->number[p->statement[i].line];
    for (size_t i = 0; i < p->refs; i++) {
        ur__ref *r = &p->ref[i];
        if (moves(h, r->line))
            r->first = r->stride = 0;
        r->line = h->number[r->line];
    }
    for (size_t v = 0; v < p->nodes; v++) {
        ur__position *place = &p->place[v];
        if (place->line == UR_NONE)
            continue;
        if (moves(h, place->line))
            place->value = 0;
        place->line = h->number[place->line];
    }
}

static bool rebuild(hoister *h)
{
    ur__program *p = h->p, to = {0};
    if (!write_loops(h, &to)) {
        ur__program_free(h->tape, &to);
        return false;
    }
    ur__program_replace(h->tape, p, &to);
    renumber(h);
    return true;
}

bool ur__hoist(ur_tape *tape, ur__program *program)
{
    size_t lines = program->lines, bytes = (4 * lines + program->loops) * sizeof(uint32_t);
    uint32_t *block = (uint32_t *)ur__take(tape, bytes);
    if (!block)
        return false;
    hoister h = {.tape = tape, .p = program, .before = block, .same = block + lines, .number = block + 2 * lines};
    h.moved = block + 3 * lines;
    h.loop = block + 4 * lines;
    assume(&h);
    take_back(&h);
    find_places(&h);
    bool good = !h.moves || rebuild(&h);
    ur__give(tape, block, bytes);
    return good;
}
