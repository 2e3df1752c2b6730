/* order.c - makes the program of a tape whose loops are known: what is needed, in an order in which it can run.
 *
 * A line is needed when a root lies on it or a statement of another one reads it. Loops and nodes of straight code are
 * put in order by depth-first search, each after what it reads. Two can still need each other, though no node leads to
 * itself: a loop that was recorded between two steps of another one, of which one iteration reads an earlier step and
 * another is read by a later step. Then a loop becomes straight code, which always has an order, the tape's. */
#include <string.h>

#include "roll.h"

/* ---- regular iterations */

/* Where an operand of a loop's body was in one iteration, and how much further in the next. A node of straight code is
 * on no line: it is its own value. */
typedef struct course {
    uint32_t line, value, pace;
} course;

/* Follows the operands of iteration s that are outside of it, as it is like the iteration p before it: are its nodes on the
 * lines of those of p, and the operands as far from those of p as those from what was before? */
static bool follow(const ur__roller *r, const ur__iteration *s, const ur__iteration *p, course *operand)
{
    const ur_tape *tape = r->tape;
    const ur__position *place = r->program->place;
    uint32_t operands = ur__operands_between(tape, s->begin, s->end);
    bool steady = true;
    for (uint32_t v = s->begin, w = p->begin; v < s->end; v++, w++)
        steady &= place[v].line == place[w].line;
    for (uint32_t k = 0; k < operands; k++) {
        uint32_t u = ur__operand_of(tape, s->begin, k);
        if (u >= s->begin)
            continue;
        uint32_t line = place[u].line, value = line == UR_NONE ? u : place[u].value, pace = value - operand->value;
        steady &= line == operand->line && pace == operand->pace && (line != UR_NONE || pace == 0);
        *operand++ = (course){.line = line, .value = value, .pace = pace};
    }
    return steady;
}

/* An iteration is regular if it is steady and the third of a row at least: the first tells where the operands are, the
 * second how they move. */
static bool find_regular_of(ur__roller *r, const ur__found *f)
{
    course *operand = NULL;
    size_t room = 0;
    uint32_t row = 0;
    bool good = true;
    for (uint32_t g = f->begin + 1; g < f->end && good; g++) {
        ur__iteration *s = &r->iteration[g];
        row = s->like ? row + 1 : 0;
        if (row == 1) {
            uint32_t operands = ur__operands_between(r->tape, s->begin, s->end);
            good = ur__room(r->tape, &operand, &room, operands, sizeof *operand);
            if (good)
                memset(operand, 0, operands * sizeof *operand);
        }
        s->regular = good && row && follow(r, s, s - 1, operand) && row > 2;
    }
    ur__give(r->tape, operand, room * sizeof *operand);
    return good;
}

bool ur__find_regular(ur__roller *r)
{
    for (uint32_t l = 0; l < r->founds; l++)
        if (!find_regular_of(r, &r->found[l]))
            return false;
    return true;
}

/* ---- what is needed */

/* The value u is needed by `reader`. True when nodes of its line that come after the reader were not looked at yet. */
static bool want(ur__roller *r, uint32_t u, size_t reader)
{
    uint32_t line = r->program->place[u].line;
    if (line == UR_NONE) {
        r->wanted[u] = UR__NEEDED;
        return false;
    }
    bool news = !r->track[line].wanted;
    r->track[line].wanted = true;
    return news && r->track[line].last > reader;
}

/* From the last node to the first. Mostly once is enough; where a line turns out to be needed by an earlier node than
 * its last one, once more. Regular iterations read the lines that the one before them reads. */
static void prune(ur__roller *r, size_t roots, const uint32_t *root)
{
    const ur_tape *tape = r->tape;
    bool again = true;
    for (size_t i = 0; i < roots; i++)
        want(r, root[i], r->nodes);
    for (size_t i = 0; i < tape->states; i++)
        want(r, ur__operand_of(tape, tape->state[i], 1), r->nodes);
    while (again) {
        again = false;
        for (uint32_t v = (uint32_t)r->nodes; v-- > 0;) {
            ur__position place = r->program->place[v];
            uint32_t line = place.line;
            if (line != UR_NONE && r->program->line[line].loop != UR_NONE && r->iteration[place.value].regular)
                v = r->iteration[place.value].begin;
            else if (line == UR_NONE ? r->wanted[v] : r->track[line].wanted)
                for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++)
                    again |= want(r, ur__operand_of(tape, v, k), v);
        }
    }
}

/* ---- statements and phases */

/* Where an operand is, its value counted from its line's first. */
static ur__position place_of(const ur__program *p, uint32_t u)
{
    ur__position place = p->place[u];
    place.value -= p->line[place.line].begin;
    return place;
}

/* Lengthens a sum's last operand by one more of the same line. */
static bool lengthen(ur__ref *ref, ur__position place)
{
    int64_t stride = (int64_t)place.value - ref->first;
    if (ref->line != place.line || (ref->count > 1 && stride != (int64_t)ref->stride * ref->count))
        return false;
    if (ref->count == 1)
        ref->stride = (int32_t)stride;
    ref->count++;
    return true;
}

static bool add_statement(ur__roller *r, uint32_t v, uint32_t line, bool straight)
{
    ur_tape *tape = r->tape;
    ur__program *p = r->program;
    const ur__kind *kind = ur__kind_of(tape, v);
    bool compress = straight && kind->op->inputs == UR_ANY_INPUTS && kind->inputs > 2;
    bool good = ur__add_statement(tape, p, line);
    for (uint32_t k = 0; k < kind->inputs && good; k++) {
        ur__position place = place_of(p, ur__operand_of(tape, v, k));
        if (!compress || k == 0 || !lengthen(&p->ref[p->refs - 1], place))
            good = ur__add_ref(tape, p, (ur__ref){.line = place.line, .first = (int32_t)place.value, .count = 1});
    }
    return good;
}

/* Appends a node to the straight code at the program's end. */
static bool emit_node(ur__roller *r, uint32_t v)
{
    ur__program *p = r->program;
    if ((!p->loops || !ur__is_straight(&p->loop[p->loops - 1])) &&
        (!ur__begin_loop(r->tape, p, (ur__loop){.iterations = 1}) || !ur__begin_phase(r->tape, p, 0, 1)))
        return false;
    ur__line own = {.node = v, .loop = UR__STRAIGHT, .values = 1};
    uint32_t line = ur__add_line(r, own, (uint32_t)p->loops - 1);
    if (line == UR_NONE || !add_statement(r, v, line, true))
        return false;
    r->track[line].wanted = true;
    p->place[v] = (ur__position){.line = line, .value = 0};
    return true;
}

/* Is v a statement of this loop that a root needs? */
static bool belongs(const ur__roller *r, uint32_t loop, uint32_t v)
{
    uint32_t line = r->program->place[v].line;
    return line != UR_NONE && r->program->line[line].loop == loop && r->track[line].wanted;
}

/* Does the iteration go on with the phase that runs? The phase's second iteration, at distance 1, sets the strides. */
static bool goes_on(const ur__roller *r, uint32_t loop, const ur__iteration *iteration, const ur__phase *phase,
                    uint32_t distance)
{
    const ur__program *p = r->program;
    const ur__statement *s = p->statement + phase->statement, *end = s + phase->statements;
    for (uint32_t v = iteration->begin; v < iteration->end; v++) {
        if (!belongs(r, loop, v))
            continue;
        uint32_t inputs = ur__kind_of(r->tape, v)->inputs;
        if (s == end || s->line != p->place[v].line || s->refs != inputs)
            return false;
        ur__ref *ref = p->ref + s->ref;
        for (uint32_t k = 0; k < inputs; k++, ref++) {
            ur__position place = place_of(p, ur__operand_of(r->tape, v, k));
            int64_t far = (int64_t)place.value - ref->first;
            if (distance == 1)
                ref->stride = (int32_t)far;
            if (ref->line != place.line || far != (int64_t)ref->stride * distance)
                return false;
        }
        s++;
    }
    return s == end;
}

static bool emit_iteration(ur__roller *r, uint32_t loop, uint32_t g)
{
    ur__program *p = r->program;
    const ur__found *f = &r->found[loop];
    const ur__iteration *s = &r->iteration[g];
    uint32_t i = g - f->begin;
    if (i > 0) {
        ur__phase *phase = &p->phase[p->phases - 1];
        if ((s->regular && i - phase->begin > 1) || goes_on(r, loop, s, phase, i - phase->begin)) {
            phase->end++;
            return true;
        }
        if (i - phase->begin == 1 && phase->statements) /* it stays the only one */
            for (size_t k = p->statement[phase->statement].ref; k < p->refs; k++)
                p->ref[k].stride = 0;
    }
    if (!ur__begin_phase(r->tape, p, i, i + 1))
        return false;
    for (uint32_t v = s->begin; v < s->end; v++)
        if (belongs(r, loop, v) && !add_statement(r, v, p->place[v].line, false))
            return false;
    return true;
}

/* The first statement of a phase, or operand of one, that is on another line than in the phase before; false: there is
 * none. */
static bool find_odd(const ur__program *p, const ur__phase *phase, uint32_t *reader, uint32_t *line, uint32_t *was)
{
    const ur__phase *before = phase - 1;
    for (uint32_t k = 0; k < phase->statements && k < before->statements; k++) {
        const ur__statement *s = &p->statement[phase->statement + k], *other = &p->statement[before->statement + k];
        *reader = *line = s->line;
        *was = other->line;
        for (uint32_t q = 0; *line == *was && q < s->refs && q < other->refs; q++) {
            *line = p->ref[s->ref + q].line;
            *was = p->ref[other->ref + q].line;
        }
        if (*line != *was)
            return true;
    }
    return false;
}

/* Of a loop most of whose steps are phases of their own: says why, by one in the middle. */
static void explain_phases(const ur__roller *r, const ur__loop *loop)
{
    enum { FEW = 8 };
    ur__program *p = r->program;
    const ur__phase *phase = &p->phase[loop->phase + loop->phases / 2];
    uint32_t reader, line, was;
    if (loop->phases <= FEW || 2 * loop->phases <= loop->iterations || !loop->direction)
        return;
    const int step = (int)ur__step_in(loop, phase->begin);
    if (!find_odd(p, phase, &reader, &line, &was)) {
        ur__fail(&p->why, "step %d: it has other operations, or reads at other distances, than the step before", step);
        return;
    }
    const ur__kind *kind = ur__kind_of(r->tape, p->line[line].node), *other = ur__kind_of(r->tape, p->line[was].node);
    if (kind->op == other->op && kind != other && p->line[line].loop != UR_NONE)
        ur__fail(&p->why, "step %d: %s differs from the step before in its shape, constants or number of operands",
                 step, kind->op->name);
    else
        ur__fail(&p->why, "step %d: %s is, or reads, another value than in the step before", step,
                 ur__op(r->tape, p->line[reader].node)->name);
}

static bool emit_loop(ur__roller *r, uint32_t loop)
{
    ur__found *f = &r->found[loop];
    const ur__iteration *s = &r->iteration[f->begin];
    bool marked = s->marked;
    if (!ur__begin_loop(r->tape, r->program,
                        (ur__loop){.iterations = f->end - f->begin,
                                   .step = marked ? s->step : 0,
                                   .direction = marked ? s[1].step - s->step : 0}))
        return false;
    f->number = (uint32_t)r->program->loops - 1;
    f->state = UR__DONE;
    for (uint32_t g = f->begin; g < f->end; g++)
        if (!emit_iteration(r, loop, g))
            return false;
    explain_phases(r, &r->program->loop[f->number]);
    return true;
}

/* ---- the order */

/* A node of straight code, or a loop at one of its nodes, whose operands from k on are still to be looked at. */
typedef struct frame {
    uint32_t loop; /* UR_NONE: straight code */
    uint32_t iteration, node, k;
} frame;

typedef struct search {
    ur__roller *r;
    frame *stack;
    size_t depth, room;
    bool unrolled;
} search;

static bool push(search *s, frame f)
{
    if (!ur__room(s->r->tape, &s->stack, &s->room, s->depth, sizeof f))
        return false;
    s->stack[s->depth++] = f;
    if (f.loop == UR_NONE)
        s->r->wanted[f.node] = UR__VISITED;
    else
        s->r->found[f.loop].state = UR__OPEN;
    return true;
}

/* The loop of a node that is in one, else UR_NONE. */
static uint32_t loop_of(const ur__roller *r, uint32_t v)
{
    uint32_t line = r->program->place[v].line;
    uint32_t loop = line == UR_NONE ? UR_NONE : r->program->line[line].loop;
    return loop == UR__STRAIGHT ? UR_NONE : loop;
}

static bool push_item(search *s, uint32_t v)
{
    const ur__roller *r = s->r;
    uint32_t loop = loop_of(r, v);
    if (loop == UR_NONE)
        return push(s, (frame){.loop = UR_NONE, .node = v});
    const ur__found *f = &r->found[loop];
    return push(s, (frame){.loop = loop, .iteration = f->begin, .node = r->iteration[f->begin].begin});
}

/* Has u its place in the order? */
static bool is_ready(const ur__roller *r, uint32_t u)
{
    uint32_t loop = loop_of(r, u);
    return loop == UR_NONE ? r->program->place[u].line != UR_NONE : r->found[loop].state == UR__DONE;
}

/* The next operand of the node that has to come first; UR_NONE: there is none. */
static uint32_t next_operand(const ur__roller *r, frame *f)
{
    uint32_t inputs = ur__kind_of(r->tape, f->node)->inputs;
    for (; f->k < inputs; f->k++) {
        uint32_t u = ur__operand_of(r->tape, f->node, f->k);
        if (!is_ready(r, u) && (f->loop == UR_NONE || loop_of(r, u) != f->loop))
            return u;
    }
    return UR_NONE;
}

static uint32_t next_of(const ur__roller *r, frame *f)
{
    if (f->loop == UR_NONE)
        return next_operand(r, f);
    const ur__found *loop = &r->found[f->loop];
    while (f->iteration < loop->end) {
        if (r->iteration[f->iteration].regular) /* all is there that the one before it reads */
            f->node = r->iteration[f->iteration].end;
        for (; f->node < r->iteration[f->iteration].end; f->node++, f->k = 0) {
            uint32_t u = belongs(r, f->loop, f->node) ? next_operand(r, f) : UR_NONE;
            if (u != UR_NONE)
                return u;
        }
        if (++f->iteration < loop->end)
            f->node = r->iteration[f->iteration].begin;
        f->k = 0;
    }
    return UR_NONE;
}

/* Makes straight code of a loop, for the reason that its node needs what the loop leads to. */
static void unroll(ur__roller *r, const frame *at)
{
    ur__program *p = r->program;
    ur__found *f = &r->found[at->loop];
    const ur__site *site = ur__site_of(r->tape, at->node);
    char path[UR__PATH];
    ur__path(r->tape, site->scope, path, sizeof path);
    ur__fail(&p->why, "step %d%s%s: %s reads what the steps themselves lead to", (int)site->step, *path ? " in " : "",
             path, ur__op(r->tape, at->node)->name);
    for (size_t g = 0; g < r->iterations; g++) /* what reads them is on no line now */
        r->iteration[g].regular = false;
    for (uint32_t g = f->begin; g < f->end; g++)
        for (uint32_t v = r->iteration[g].begin; v < r->iteration[g].end; v++)
            if (loop_of(r, v) == at->loop) {
                r->wanted[v] = r->track[p->place[v].line].wanted ? UR__NEEDED : 0;
                p->place[v].line = UR_NONE;
            }
    for (size_t i = 0; i < p->lines; i++)
        if (p->line[i].loop == at->loop)
            r->track[i].wanted = false;
    f->state = UR__UNROLLED;
}

/* A cycle: the topmost loop of the stack is in it. What is below goes on as if it had not been looked at. */
static void break_cycle(search *s)
{
    while (s->stack[s->depth - 1].loop == UR_NONE)
        s->r->wanted[s->stack[--s->depth].node] = UR__NEEDED;
    unroll(s->r, &s->stack[--s->depth]);
    s->unrolled = true;
}

/* Puts the node, or its loop, in order after all that it needs. */
static bool visit(search *s, uint32_t v)
{
    ur__roller *r = s->r;
    bool good = push_item(s, v);
    while (good && s->depth) {
        frame *f = &s->stack[s->depth - 1];
        uint32_t u = next_of(r, f), loop = u == UR_NONE ? UR_NONE : loop_of(r, u);
        if (u == UR_NONE) {
            good = f->loop == UR_NONE ? emit_node(r, f->node) : emit_loop(r, f->loop);
            s->depth--;
        } else if (loop == UR_NONE ? r->wanted[u] == UR__VISITED : r->found[loop].state == UR__OPEN) {
            break_cycle(s);
        } else {
            good = push_item(s, u);
        }
    }
    return good;
}

/* The first statement of a loop that a root needs; UR_NONE: the loop is empty. */
static uint32_t first_of(const ur__roller *r, uint32_t loop)
{
    const ur__found *f = &r->found[loop];
    for (uint32_t g = f->begin; g < f->end; g++)
        for (uint32_t v = r->iteration[g].begin; v < r->iteration[g].end; v++)
            if (belongs(r, loop, v))
                return v;
    return UR_NONE;
}

static bool visit_all(search *s)
{
    const ur__roller *r = s->r;
    for (uint32_t v = 0; v < r->nodes; v++)
        if (r->wanted[v] && r->program->place[v].line == UR_NONE && !visit(s, v))
            return false;
    for (uint32_t l = 0; l < r->founds; l++) {
        uint32_t v = r->found[l].state == UR__NEW ? first_of(r, l) : UR_NONE;
        if (v != UR_NONE && !visit(s, v))
            return false;
    }
    return true;
}

/* ---- the end */

/* Leaves the lines that are needed, and leaves; `number` has an element for each line. */
static void renumber(ur__roller *r, uint32_t *number)
{
    ur__program *p = r->program;
    uint32_t lines = 0;
    for (size_t i = 0; i < p->lines; i++)
        number[i] = p->line[i].loop == UR_NONE || r->track[i].wanted ? lines++ : UR_NONE;
    for (size_t v = 0; v < r->nodes; v++) {
        ur__position *place = &p->place[v];
        if (place->line == UR_NONE)
            continue;
        place->value -= p->line[place->line].begin;
        place->line = number[place->line];
        place->value = place->line == UR_NONE ? 0 : place->value;
    }
    for (size_t i = 0; i < p->statements; i++)
        p->statement[i].line = number[p->statement[i].line];
    for (size_t i = 0; i < p->refs; i++)
        p->ref[i].line = number[p->ref[i].line];
    for (size_t i = 0; i < p->lines; i++) {
        ur__line line = p->line[i];
        if (number[i] == UR_NONE)
            continue;
        if (line.loop == UR__STRAIGHT) {
            line.loop = r->track[i].slot;
        } else if (line.loop != UR_NONE) {
            line.begin -= r->found[line.loop].begin;
            line.loop = r->found[line.loop].number;
        }
        p->line[number[i]] = line;
    }
    p->lines = lines;
    ur__index_statements(p);
    for (size_t i = 0; i < r->tape->states; i++) {
        uint32_t v = r->tape->state[i];
        p->place[v] = p->place[ur__operand_of(r->tape, v, 1)];
    }
}

/* Takes the memory for the straight code at once: it may be the whole tape. */
static bool reserve(ur__roller *r)
{
    ur_tape *tape = r->tape;
    ur__program *p = r->program;
    size_t nodes = 0, operands = 0;
    for (uint32_t v = 0; v < r->nodes; v++)
        if (r->wanted[v]) {
            nodes++;
            operands += ur__kind_of(tape, v)->inputs;
        }
    operands = operands < 2 * nodes ? operands : 2 * nodes; /* those of long sums are few references */
    return ur__room(tape, &p->line, &p->line_room, p->lines + nodes, sizeof *p->line) &&
           ur__room(tape, &r->track, &r->track_room, p->lines + nodes, sizeof *r->track) &&
           ur__room(tape, &p->statement, &p->statement_room, nodes, sizeof *p->statement) &&
           ur__room(tape, &p->ref, &p->ref_room, operands, sizeof *p->ref);
}

bool ur__order(ur__roller *r, size_t roots, const uint32_t *root)
{
    search s = {.r = r};
    bool good = true;
    prune(r, roots, root);
    if (!reserve(r))
        return false;
    do {
        s.unrolled = false;
        good = visit_all(&s);
    } while (good && s.unrolled);
    ur__give(r->tape, s.stack, s.room * sizeof *s.stack);
    size_t bytes = (r->program->lines + 1) * sizeof(uint32_t);
    uint32_t *number = good ? (uint32_t *)ur__take(r->tape, bytes) : NULL;
    if (number)
        renumber(r, number);
    ur__give(r->tape, number, bytes);
    return number != NULL;
}
