/* fuse.c - loop fusion: puts loops over the same steps into one. A cell, its output layer and its loss, which were recorded
 * one after another, run step by step, and what only goes from one to the next is not saved for all steps.
 *
 * A loop B joins an earlier loop A of the same direction when no iteration of B reads a later one of A, and when B can
 * be moved up to A, or A down to B, past the loops between. Two loops that both carry a state from step to step stay
 * apart: each has weights of its own, which stay in the cache while only that loop runs. */
#include <stdlib.h>

#include "program.h"

/* How many loops back a partner is looked for. */
enum { FAR = 8 };

/* A loop of the old program within a new one: its iteration i is number i + shift there. */
typedef struct member {
    uint32_t loop;
    int32_t shift;
    uint32_t next; /* the group's next member, UR_NONE: none */
} member;

/* Loops that become one. */
typedef struct group {
    uint32_t first, last;
    bool carries; /* a state, from one iteration to another */
} group;

typedef struct fusion {
    ur_tape *tape;
    ur__program *p;
    member *member;  /* by loop */
    uint32_t *of;    /* of each loop: its group */
    group *group;    /* by number */
    uint32_t *order; /* numbers of the groups, in an order in which they can run */
    uint32_t *reads; /* of each loop: the last one that reads it */
    int32_t *cut;    /* where phases of a group begin and end */
    size_t groups, cuts, cut_room;
} fusion;

/* ---- what may go together */

/* Calls for every operand of a loop; false as soon as a call is. */
static bool each_read(const fusion *f, uint32_t loop,
                      bool (*visit)(const fusion *f, const ur__phase *phase, const ur__ref *r))
{
    const ur__program *p = f->p;
    const ur__loop *l = &p->loop[loop];
    for (const ur__phase *phase = &p->phase[l->phase]; phase < &p->phase[l->phase + l->phases]; phase++)
        for (uint32_t i = phase->statement; i < phase->statement + phase->statements; i++)
            for (uint32_t k = 0; k < p->statement[i].refs; k++)
                if (!visit(f, phase, &p->ref[p->statement[i].ref + k]))
                    return false;
    return true;
}

static bool note_read(const fusion *f, const ur__phase *phase, const ur__ref *r)
{
    uint32_t from = f->p->line[r->line].loop;
    if (from != UR_NONE)
        f->reads[from] = phase->loop;
    return true;
}

/* Is the value of the same iteration, where it is the loop's own? */
static bool is_own(const fusion *f, const ur__phase *phase, const ur__ref *r)
{
    return f->p->line[r->line].loop != phase->loop || ur__is_value_in(f->p, phase, r);
}

/* Is what it reads of its new group there by then? */
static bool is_there(const fusion *f, const ur__phase *phase, const ur__ref *r)
{
    const ur__line *line = &f->p->line[r->line];
    const uint32_t loop = phase->loop;
    if (line->loop == UR_NONE || line->loop == loop || f->of[line->loop] != f->of[loop])
        return true;
    int64_t n = phase->end - phase->begin, first = (int64_t)f->member[line->loop].shift + line->begin + r->first;
    int64_t own = (int64_t)f->member[loop].shift + phase->begin;
    return r->count <= 1 && first <= own && first + (n - 1) * r->stride <= own + n - 1;
}

/* Which iteration of the partner is at the same step as iteration 0? False if they have no steps in common. */
static bool align(const ur__program *p, uint32_t loop, uint32_t partner, int32_t *shift)
{
    const ur__loop *l = &p->loop[loop], *other = &p->loop[partner];
    const int32_t at = *shift = l->direction ? (l->step - other->step) * l->direction : 0;
    return l->direction == other->direction && !ur__is_straight(l) && !ur__is_straight(other) &&
           (l->direction || l->iterations == other->iterations) && at < (int32_t)other->iterations &&
           at + (int32_t)l->iterations > 0;
}

static void append(fusion *f, group *g, uint32_t loop)
{
    f->member[g->last].next = loop;
    g->last = loop;
}

/* Does any group after the `from`-th in the order read a loop of group g? */
static bool is_read_behind(fusion *f, uint32_t g, size_t from)
{
    for (size_t q = from + 1; q < f->groups; q++)
        for (uint32_t m = f->group[f->order[q]].first; m != UR_NONE; m = f->member[m].next) {
            each_read(f, m, note_read);
            for (uint32_t own = f->group[g].first; own != UR_NONE; own = f->member[own].next)
                if (f->reads[own] == m)
                    return true;
        }
    return false;
}

/* Does the loop read a group after the `from`-th? */
static bool reads_behind(fusion *f, uint32_t loop, size_t from)
{
    each_read(f, loop, note_read);
    for (size_t q = from + 1; q < f->groups; q++)
        for (uint32_t m = f->group[f->order[q]].first; m != UR_NONE; m = f->member[m].next)
            if (f->reads[m] == loop)
                return true;
    return false;
}

/* Makes group g the last in the order. */
static void move_down(fusion *f, size_t at)
{
    uint32_t g = f->order[at];
    for (; at + 1 < f->groups; at++)
        f->order[at] = f->order[at + 1];
    f->order[at] = g;
}

/* Puts the loop into the group at place `at` of the order, if it may be there. */
static bool join(fusion *f, uint32_t loop, size_t at)
{
    uint32_t g = f->order[at];
    group *own = &f->group[g];
    int32_t shift;
    if (!align(f->p, loop, own->first, &shift))
        return false;
    bool carries = !each_read(f, loop, is_own);
    if (own->carries && carries)
        return false;
    f->of[loop] = g;
    f->member[loop].shift = shift + f->member[own->first].shift;
    bool up = each_read(f, loop, is_there);
    if (up && reads_behind(f, loop, at)) {
        up = !is_read_behind(f, g, at);
        if (up)
            move_down(f, at);
    }
    if (!up)
        return false;
    append(f, own, loop);
    own->carries |= carries;
    return true;
}

static void find_groups(fusion *f)
{
    const ur__program *p = f->p;
    for (uint32_t l = 0; l < p->loops; l++) {
        bool joined = false;
        f->reads[l] = UR_NONE;
        f->member[l] = (member){.loop = l, .next = UR_NONE};
        for (size_t at = f->groups; at-- > 0 && f->groups - at <= FAR && !joined;)
            joined = join(f, l, at);
        if (joined)
            continue;
        f->of[l] = (uint32_t)f->groups;
        f->member[l].shift = 0;
        f->group[f->groups] = (group){.first = l, .last = l, .carries = !each_read(f, l, is_own)};
        f->order[f->groups] = (uint32_t)f->groups;
        f->groups++;
    }
}

/* ---- the new program */

static int compare(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static bool add_cut(fusion *f, int32_t at)
{
    if (!ur__room(f->tape, &f->cut, &f->cut_room, f->cuts, sizeof at))
        return false;
    f->cut[f->cuts++] = at;
    return true;
}

/* The iterations at which a phase of some member begins or ends, in order. */
static bool find_cuts(fusion *f, const group *g)
{
    f->cuts = 0;
    for (uint32_t m = g->first; m != UR_NONE; m = f->member[m].next) {
        const ur__loop *l = &f->p->loop[m];
        for (uint32_t k = l->phase; k < l->phase + l->phases; k++)
            if (!add_cut(f, (int32_t)f->p->phase[k].begin + f->member[m].shift) ||
                !add_cut(f, (int32_t)f->p->phase[k].end + f->member[m].shift))
                return false;
    }
    qsort(f->cut, f->cuts, sizeof *f->cut, compare);
    size_t n = 0;
    for (size_t i = 0; i < f->cuts; i++)
        if (n == 0 || f->cut[i] != f->cut[n - 1])
            f->cut[n++] = f->cut[i];
    f->cuts = n;
    return true;
}

/* Appends the statements of a member's phase as they are from its iteration `i` on. */
static bool copy_statements(fusion *f, ur__program *to, const ur__phase *phase, uint32_t i, bool once)
{
    const ur__program *p = f->p;
    for (uint32_t k = phase->statement; k < phase->statement + phase->statements; k++) {
        const ur__statement *s = &p->statement[k];
        if (!ur__add_statement(f->tape, to, s->line))
            return false;
        for (uint32_t q = s->ref; q < s->ref + s->refs; q++) {
            ur__ref r = p->ref[q];
            if (r.count <= 1) {
                r.first += r.stride * (int32_t)(i - phase->begin);
                r.stride = once ? 0 : r.stride;
            }
            if (!ur__add_ref(f->tape, to, r))
                return false;
        }
    }
    return true;
}

/* The phase of the new loop from `begin` to `end`, in the group's count. */
static bool make_phase(fusion *f, ur__program *to, const group *g, int32_t begin, int32_t end)
{
    if (!ur__begin_phase(f->tape, to, (uint32_t)(begin - f->cut[0]), (uint32_t)(end - f->cut[0])))
        return false;
    for (uint32_t m = g->first; m != UR_NONE; m = f->member[m].next) {
        const ur__loop *l = &f->p->loop[m];
        int32_t i = begin - f->member[m].shift;
        for (const ur__phase *phase = &f->p->phase[l->phase]; phase < &f->p->phase[l->phase + l->phases]; phase++)
            if (i >= (int32_t)phase->begin && i < (int32_t)phase->end &&
                !copy_statements(f, to, phase, (uint32_t)i, end - begin == 1 && !ur__is_straight(l)))
                return false;
    }
    return true;
}

static bool make_loop(fusion *f, ur__program *to, const group *g)
{
    if (!find_cuts(f, g))
        return false;
    const ur__loop *first = &f->p->loop[g->first];
    ur__loop made = {.iterations = (uint32_t)(f->cut[f->cuts - 1] - f->cut[0]),
                     .direction = first->direction,
                     .step = first->step + first->direction * f->cut[0]};
    if (!ur__begin_loop(f->tape, to, made))
        return false;
    for (size_t k = 0; k + 1 < f->cuts; k++)
        if (!make_phase(f, to, g, f->cut[k], f->cut[k + 1]))
            return false;
    for (uint32_t m = g->first; m != UR_NONE; m = f->member[m].next) {
        f->member[m].shift -= f->cut[0];
        f->member[m].loop = (uint32_t)to->loops - 1;
    }
    return true;
}

/* Gives the program the new loops. */
static bool rebuild(fusion *f)
{
    ur__program *p = f->p, made = {0};
    bool good = true;
    for (size_t q = 0; q < f->groups && good; q++)
        good = make_loop(f, &made, &f->group[f->order[q]]);
    if (!good) {
        ur__program_free(f->tape, &made);
        return false;
    }
    for (size_t i = 0; i < p->lines; i++) {
        ur__line *line = &p->line[i];
        if (line->loop == UR_NONE)
            continue;
        const member *m = &f->member[line->loop];
        line->begin = (uint32_t)((int32_t)line->begin + m->shift);
        line->loop = m->loop;
    }
    ur__program_replace(f->tape, p, &made);
    return true;
}

bool ur__fuse(ur_tape *tape, ur__program *program)
{
    size_t n = program->loops, bytes = n * (sizeof(member) + sizeof(group) + 3 * sizeof(uint32_t));
    member *block = (member *)ur__take(tape, bytes);
    if (!block)
        return false;
    fusion f = {.tape = tape, .p = program, .member = block, .group = (group *)(void *)(block + n)};
    f.of = (uint32_t *)(void *)(f.group + n);
    f.order = f.of + n;
    f.reads = f.order + n;
    find_groups(&f);
    bool good = f.groups == n || rebuild(&f);
    ur__give(tape, f.cut, f.cut_room * sizeof *f.cut);
    ur__give(tape, block, bytes);
    return good;
}
