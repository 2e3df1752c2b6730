/* roll.c - finds the loops over time of a tape.
 *
 * The statements in tape order are cut into iterations: a new one begins where the step changes, at every ur_step, and
 * where ur_grad comes to the adjoints of another one's nodes. Iterations whose steps follow each other, up or down, are a
 * chain, of which chain.c makes loops; where only every so many are alike, join.c makes one of so many before. Code
 * without steps is period.c's. */
#include <string.h>

#include "roll.h"

uint32_t ur__add_line(ur__roller *r, ur__line line, uint32_t slot)
{
    ur__program *p = r->program;
    if (!ur__room(r->tape, &p->line, &p->line_room, p->lines, sizeof *p->line) ||
        !ur__room(r->tape, &r->track, &r->track_room, p->lines, sizeof *r->track))
        return UR_NONE;
    p->line[p->lines] = line;
    r->track[p->lines] = (ur__track){.slot = slot, .last = line.node};
    return (uint32_t)p->lines++;
}

/* ---- leaves */

/* The inputs of one shape are one line: what is read at step t is a fixed number of values after what is read at t - 1,
 * whatever the inputs' names and how they were made. `line` has an element for each shape: its number of inputs, then
 * its line. */
static bool place_inputs(ur__roller *r, uint32_t *line)
{
    const ur_tape *tape = r->tape;
    ur__program *p = r->program;
    uint32_t first = 0;
    memset(line, 0, tape->shapes * sizeof *line);
    for (size_t i = 0; i < tape->leaves; i++)
        line[ur__kind_of(tape, tape->leaf[i].node)->shape] += ur__op(tape, tape->leaf[i].node) == &ur_op_input;
    for (size_t s = 0; s < tape->shapes; s++) {
        uint32_t count = line[s];
        if (count && (line[s] = ur__add_line(r, (ur__line){.loop = UR_NONE, .first = first}, UR_NONE)) == UR_NONE)
            return false;
        first += count;
    }
    for (size_t i = 0; i < tape->leaves; i++) {
        uint32_t v = tape->leaf[i].node;
        ur__line *own = &p->line[line[ur__kind_of(tape, v)->shape]];
        if (ur__op(tape, v) != &ur_op_input)
            continue;
        p->place[v] = (ur__position){.line = (uint32_t)(own - p->line), .value = own->values};
        p->leaf[own->first + own->values++] = own->node = v;
    }
    p->leaves = first;
    return true;
}

static bool place_params(ur__roller *r)
{
    const ur_tape *tape = r->tape;
    ur__program *p = r->program;
    for (size_t i = 0; i < tape->params; i++) {
        uint32_t v = tape->leaf[tape->param[i]].node;
        ur__line line = {.node = v, .loop = UR_NONE, .values = 1, .first = (uint32_t)p->leaves};
        if ((p->place[v].line = ur__add_line(r, line, UR_NONE)) == UR_NONE)
            return false;
        p->place[v].value = 0;
        p->leaf[p->leaves++] = v;
    }
    return true;
}

/* A constant is the one node of its kind. */
static bool place_constants(ur__roller *r)
{
    const ur_tape *tape = r->tape;
    for (size_t k = 0; k < tape->kinds; k++) {
        uint32_t v = tape->kind[k].node;
        if (tape->kind[k].op != &ur_op_const)
            continue;
        uint32_t line = ur__add_line(r, (ur__line){.node = v, .loop = UR_NONE, .values = 1}, UR_NONE);
        if (line == UR_NONE)
            return false;
        r->program->place[v] = (ur__position){.line = line, .value = 0};
    }
    return true;
}

static bool place_leaves(ur__roller *r)
{
    ur_tape *tape = r->tape;
    ur__program *p = r->program;
    size_t bytes = tape->shapes * sizeof(uint32_t);
    uint32_t *line = (uint32_t *)ur__take(tape, bytes);
    bool good = line && (!tape->leaves || ur__room(tape, &p->leaf, &p->leaf_room, tape->leaves - 1, sizeof *p->leaf)) &&
                place_inputs(r, line) && place_params(r) && place_constants(r);
    ur__give(tape, line, bytes);
    return good;
}

/* ---- iterations */

bool ur__add_iteration(ur__roller *r, ur__iteration iteration)
{
    if (!ur__room(r->tape, &r->iteration, &r->iteration_room, r->iterations, sizeof iteration))
        return false;
    r->iteration[r->iterations++] = iteration;
    return true;
}

/* Where code outside the steps leads back to. */
static uint32_t reach_of(const ur__roller *r, uint32_t v)
{
    uint32_t reach = 0;
    for (uint32_t k = 0; k < ur__kind_of(r->tape, v)->inputs; k++) {
        uint32_t u = ur__operand_of(r->tape, v, k), own = r->reach[u];
        if (ur__step(r->tape, u) && ur__is_code(r->tape, u))
            own = u + 1;
        reach = own > reach ? own : reach;
    }
    return reach;
}

static bool cut(ur__roller *r)
{
    const ur_tape *tape = r->tape;
    size_t mark = 0, row = 0;
    bool open = false;
    for (uint32_t v = 0; v < r->nodes; v++) {
        for (; mark < tape->marks && tape->mark[mark] <= v; mark++)
            open = false;
        if (!ur__is_code(tape, v))
            continue;
        int32_t step = ur__step(tape, v);
        row = step ? 0 : row + 1;
        r->longest = row > r->longest ? row : r->longest;
        if (!step) {
            if (r->iterations && (r->reach[v] = reach_of(r, v)) != 0)
                r->leads_back = true;
            open = false;
            continue;
        }
        if ((!open || r->iteration[r->iterations - 1].step != step) &&
            !ur__add_iteration(r, (ur__iteration){.begin = v, .end = v, .step = step, .marked = true}))
            return false;
        open = true;
        r->iteration[r->iterations - 1].end = v + 1;
        r->iteration[r->iterations - 1].nodes++;
    }
    return true;
}

/* ---- the whole */

/* Which node is the adjoint of which. */
static void find_origins(ur__roller *r)
{
    const ur_tape *tape = r->tape;
    for (size_t i = 0; i < tape->sweeps; i++)
        for (uint32_t v = 0; v <= tape->sweep[i].y; v++) {
            uint32_t a = tape->sweep[i].adjoint[v];
            if (a != UR_NONE && ur__is_code(tape, a))
                r->origin[a] = v;
        }
}

static bool take_tables(ur__roller *r)
{
    size_t words = r->nodes * sizeof(uint32_t);
    r->origin = (uint32_t *)ur__take(r->tape, words);
    r->reach = (uint32_t *)ur__take(r->tape, words);
    r->wanted = (uint8_t *)ur__take(r->tape, r->nodes);
    r->program->place = (ur__position *)ur__take(r->tape, r->nodes * sizeof(ur__position));
    if (!r->origin || !r->reach || !r->wanted || !r->program->place)
        return false;
    memset(r->origin, 0xff, words); /* UR_NONE */
    memset(r->reach, 0, words);
    memset(r->wanted, 0, r->nodes);
    memset(r->program->place, 0xff, r->nodes * sizeof(ur__position)); /* UR_NONE */
    return true;
}

static void give_tables(const ur__roller *r)
{
    ur__give(r->tape, r->origin, r->nodes * sizeof *r->origin);
    ur__give(r->tape, r->reach, r->nodes * sizeof *r->reach);
    ur__give(r->tape, r->wanted, r->nodes);
    ur__give(r->tape, r->iteration, r->iteration_room * sizeof *r->iteration);
    ur__give(r->tape, r->found, r->found_room * sizeof *r->found);
    ur__give(r->tape, r->track, r->track_room * sizeof *r->track);
}

bool ur__roll(ur_tape *tape, size_t roots, const uint32_t *root, ur__program *program)
{
    *program = (ur__program){.nodes = tape->nodes};
    ur__roller r = {.tape = tape, .program = program, .nodes = tape->nodes};
    bool good = take_tables(&r) && place_leaves(&r) && cut(&r);
    if (good)
        find_origins(&r);
    good = good && ur__join_steps(&r) && ur__roll_steps(&r, 0) && ur__roll_periods(&r) && ur__find_regular(&r) &&
           ur__order(&r, roots, root);
    give_tables(&r);
    if (!good)
        ur__program_free(tape, program);
    return good;
}
