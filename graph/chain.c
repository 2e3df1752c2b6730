/* chain.c - makes loops of a chain of iterations, whose steps follow each other.
 *
 * Of the first iterations that look alike one is a loop's body, and the loop grows over its neighbours on both sides. A
 * neighbour's nodes are matched with the body's, in order; what matches none is a line of its own, with a value in this
 * iteration alone.
 *
 * How well iterations are matched decides how long a description is, never whether it is right: order.c describes every
 * iteration by what the tape says. What it does rely on is that all values of a line have one operation, shape and
 * constants. */
#include "roll.h"

/* Fewer iterations are not worth a loop. */
enum { LEAST = 4 };

/* ---- what iterations look like */

/* A place in a loop's body, while a chain becomes loops. */
typedef struct slot {
    uint32_t node;     /* the body's */
    uint32_t up, down; /* the line that goes on with a later iteration, and with an earlier one */
} slot;

typedef struct chain {
    ur__roller *r;
    uint32_t loop, body, slots; /* the loop in the making, the body's iteration and its number of nodes */
    slot *slot;
    uint32_t *in_body, *now; /* slot + 1 of the nodes of the body and of another iteration; 0: a leaf */
} chain;

#define UNMATCHED UR_NONE

/* What tells of a node how it is computed; sums of one shape are alike, however many operands they have. */
static uint64_t method_of(const ur_tape *tape, uint32_t v)
{
    const ur__kind *kind = ur__kind_of(tape, v);
    return kind->op == &ur_op_sum_of ? UINT64_C(0x100000000) + kind->shape : tape->node[v].kind;
}

/* A node's look beside its operands. */
static uint64_t look(const ur__roller *r, uint32_t v)
{
    const ur_tape *tape = r->tape;
    uint64_t h = ur__mix(method_of(tape, v), ur__site_of(tape, v)->scope);
    uint32_t o = r->origin[v];
    return o == UR_NONE ? h : ur__mix(h, 1u + (uint64_t)r->program->place[o].line);
}

static bool same_scope(const ur_tape *tape, uint32_t a, uint32_t b)
{
    return ur__site_of(tape, a)->scope == ur__site_of(tape, b)->scope;
}

static bool same_kind(const ur_tape *tape, uint32_t a, uint32_t b)
{
    return same_scope(tape, a, b) && method_of(tape, a) == method_of(tape, b);
}

/* Do the nodes of iteration s look like those of p beside their operands? Neither has leaves among them. */
static bool same_nodes(const ur__roller *r, const ur__iteration *s, const ur__iteration *p)
{
    const ur_tape *tape = r->tape;
    for (uint32_t v = s->begin, w = p->begin; v < s->end; v++, w++) {
        uint32_t a = r->origin[v], b = r->origin[w];
        if (tape->node[v].kind != tape->node[w].kind || !same_scope(tape, v, w) ||
            (a != UR_NONE && b != UR_NONE ? r->program->place[a].line != r->program->place[b].line : a != b))
            return false;
    }
    return true;
}

/* Is an operand of s as far into s as that of p into p; or is each of them before its iteration, and neither a parameter
 * that the other one is not? */
static bool same_operand(const ur_tape *tape, const ur__iteration *s, const ur__iteration *p, uint32_t x, uint32_t y)
{
    if (x >= s->begin || y >= p->begin)
        return x - s->begin == y - p->begin;
    return x == y || (ur__op(tape, x) != &ur_op_param && ur__op(tape, y) != &ur_op_param);
}

/* Marks iteration s if it looks like p, the one before it, in all its nodes and operands: so do their hashes then. */
static bool mark_like(const ur__roller *r, ur__iteration *s, const ur__iteration *p)
{
    uint32_t length = s->end - s->begin;
    if (length != s->nodes || length != p->nodes || length != p->end - p->begin || !same_nodes(r, s, p))
        return false;
    size_t operands = ur__operands_between(r->tape, s->begin, s->end);
    for (uint32_t k = 0; k < operands; k++)
        if (!same_operand(r->tape, s, p, ur__operand_of(r->tape, s->begin, k), ur__operand_of(r->tape, p->begin, k)))
            return false;
    s->hash = p->hash;
    return s->like = true;
}

/* Fills in `now`, counting, and the hash. */
static void look_at(const chain *c, ur__iteration *s)
{
    const ur__roller *r = c->r;
    const ur_tape *tape = r->tape;
    uint32_t rank = 0;
    uint64_t h = s->nodes;
    for (uint32_t v = s->begin; v < s->end; v++) {
        const ur__kind *kind = ur__kind_of(tape, v);
        c->now[v - s->begin] = 0;
        if (!ur__is_code(tape, v))
            continue;
        c->now[v - s->begin] = ++rank;
        h = ur__mix(h, look(r, v));
        uint64_t operands = kind->op == &ur_op_sum_of ? 0 : kind->inputs;
        for (uint32_t k = 0; k < kind->inputs; k++) {
            uint32_t u = ur__operand_of(tape, v, k);
            bool param = ur__op(tape, u) == &ur_op_param, local = !param && u >= s->begin;
            operands = operands * 31 + (param ? UINT64_C(0x100000000) + u : local ? c->now[u - s->begin] : 0);
        }
        h = ur__mix(h, operands);
    }
    s->hash = h;
}

/* How far back the iteration leads through code outside the steps. */
static uint32_t reach_back(const ur__roller *r, const ur__iteration *s)
{
    uint32_t reach = 0;
    for (uint32_t v = s->begin; v < s->end && r->leads_back; v++)
        for (uint32_t k = 0; k < ur__kind_of(r->tape, v)->inputs; k++) {
            uint32_t own = r->reach[ur__operand_of(r->tape, v, k)];
            reach = own > reach ? own : reach;
        }
    return reach;
}

/* Do a and b, nodes of iterations `distance` apart, belong to nodes on one line as far apart? */
static bool same_origin(const ur__roller *r, uint32_t a, uint32_t b, int64_t distance)
{
    uint32_t o = r->origin[a], p = r->origin[b];
    if (o == UR_NONE || p == UR_NONE)
        return o == p;
    ur__position x = r->program->place[o], y = r->program->place[p];
    if (x.line == UR_NONE || y.line == UR_NONE)
        return x.line == y.line;
    int64_t apart = (int64_t)x.value - y.value;
    if (apart != distance && apart != -distance)
        return false;
    return x.line == y.line || (r->track[x.line].slot != UR_NONE && r->track[x.line].slot == r->track[y.line].slot &&
                                r->program->line[x.line].loop == r->program->line[y.line].loop);
}

/* The slot of an operand within its iteration; 0: it is elsewhere, or a leaf. */
static uint32_t slot_of(const ur__iteration *s, const uint32_t *slots, uint32_t u)
{
    return u >= s->begin ? slots[u - s->begin] : 0;
}

/* The sum v may lack some of the sum m's operands: those it has within its iteration stand in m's order. */
static bool same_terms(const chain *c, const ur__iteration *s, uint32_t v, uint32_t m)
{
    const ur_tape *tape = c->r->tape;
    const ur__iteration *body = &c->r->iteration[c->body];
    uint32_t j = 0;
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
        uint32_t own = slot_of(s, c->now, ur__operand_of(tape, v, k));
        bool found = own == 0 || own == UNMATCHED;
        while (!found && j < ur__kind_of(tape, m)->inputs)
            found = slot_of(body, c->in_body, ur__operand_of(tape, m, j++)) == own;
        if (!found)
            return false;
    }
    return true;
}

/* Are the operands of v within its iteration on the lines of those of m? Or is one on none, but of the same operation: a
 * mask of random numbers has constants of its own in each step. */
static bool same_operands(const chain *c, const ur__iteration *s, uint32_t v, uint32_t m)
{
    const ur_tape *tape = c->r->tape;
    const ur__iteration *body = &c->r->iteration[c->body];
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
        uint32_t u = ur__operand_of(tape, v, k), own = slot_of(s, c->now, u);
        uint32_t w = ur__operand_of(tape, m, k), expected = slot_of(body, c->in_body, w);
        bool param = ur__op(tape, w) == &ur_op_param, alone = own == UNMATCHED;
        if (expected ? own != expected && !(alone && ur__op(tape, u) == ur__op(tape, w))
                     : (own && !alone) || (param && u != w))
            return false;
    }
    return true;
}

/* ---- loops */

/* Matches the nodes of iteration g with the body's: fills in `now`. False when it is another loop's. */
static bool align(const chain *c, uint32_t g)
{
    const ur__roller *r = c->r;
    const ur__iteration *s = &r->iteration[g];
    uint32_t next = 0, hits = 0;
    uint64_t tries = 64 * ((uint64_t)c->slots + s->nodes);
    for (uint32_t v = s->begin; v < s->end; v++) {
        uint32_t *now = &c->now[v - s->begin];
        *now = 0;
        if (!ur__is_code(r->tape, v))
            continue;
        *now = UNMATCHED;
        for (uint32_t q = next; q < c->slots && tries > 0; q++, tries--) {
            uint32_t m = c->slot[q].node;
            if (!same_kind(r->tape, v, m) || !same_origin(r, v, m, (int64_t)g - c->body) ||
                !(ur__op(r->tape, v) == &ur_op_sum_of ? same_terms : same_operands)(c, s, v, m))
                continue;
            *now = next = q + 1;
            hits++;
            break;
        }
    }
    return 2 * hits >= c->slots || hits == s->nodes;
}

/* The same for an iteration that looks like the body. */
static bool copy(const chain *c, uint32_t g)
{
    const ur__roller *r = c->r;
    const ur__iteration *s = &r->iteration[g];
    uint32_t q = 0;
    for (uint32_t v = s->begin; v < s->end; v++) {
        uint32_t *now = &c->now[v - s->begin];
        *now = 0;
        if (!ur__is_code(r->tape, v))
            continue;
        if (q == c->slots || !same_kind(r->tape, v, c->slot[q].node))
            return false;
        *now = ++q;
    }
    return q == c->slots;
}

static uint32_t new_line(const chain *c, uint32_t v, uint32_t g, uint32_t q)
{
    return ur__add_line(c->r, (ur__line){.node = v, .loop = c->loop, .begin = g, .values = 1}, q);
}

/* The line of slot q that gets a value in iteration g: the one that reaches up to it, or a new one. */
static uint32_t extend(const chain *c, uint32_t v, uint32_t g, uint32_t q)
{
    slot *s = &c->slot[q];
    ur__line *up = &c->r->program->line[s->up], *down = &c->r->program->line[s->down];
    if (g > c->body) {
        if (up->begin + up->values == g)
            up->values++;
        else
            s->up = new_line(c, v, g, q);
        return s->up;
    }
    if (down->begin == g + 1) {
        down->begin = g;
        down->values++;
    } else {
        s->down = new_line(c, v, g, q);
    }
    return s->down;
}

/* Gives the nodes of iteration g their lines, by `now`. */
static bool place_iteration(const chain *c, uint32_t g)
{
    ur__roller *r = c->r;
    const ur__iteration *s = &r->iteration[g];
    for (uint32_t v = s->begin; v < s->end; v++) {
        uint32_t now = c->now[v - s->begin];
        if (!now)
            continue;
        uint32_t line = now == UNMATCHED ? new_line(c, v, g, UR_NONE) : extend(c, v, g, now - 1);
        if (line == UR_NONE)
            return false;
        if (v > r->track[line].last)
            r->track[line].last = v;
        r->program->place[v] = (ur__position){.line = line, .value = g};
    }
    return true;
}

/* Gives the lines of the slots a value in each of the iterations begin..end-1: those that reach up to them, or new ones. */
static bool extend_all(const chain *c, uint32_t begin, uint32_t end)
{
    ur__roller *r = c->r;
    bool up = begin > c->body;
    for (uint32_t q = 0; q < c->slots; q++) {
        uint32_t last = r->iteration[end - 1].begin + q, *own = up ? &c->slot[q].up : &c->slot[q].down;
        ur__line *line = &r->program->line[*own];
        if (up ? line->begin + line->values == begin : line->begin == end) {
            line->begin = up ? line->begin : begin;
            line->values += end - begin;
        } else {
            *own = new_line(c, up ? r->iteration[begin].begin + q : last, begin, q);
            if (*own == UR_NONE)
                return false;
            r->program->line[*own].values = end - begin;
        }
        if (last > r->track[*own].last)
            r->track[*own].last = last;
    }
    return true;
}

/* Gives the nodes of iterations begin..end-1 their lines: they are all like one that looks like the body, without
 * leaves. */
static bool place_row(const chain *c, uint32_t begin, uint32_t end)
{
    if (!extend_all(c, begin, end))
        return false;
    bool up = begin > c->body;
    for (uint32_t g = begin; g < end; g++) {
        ur__position *place = &c->r->program->place[c->r->iteration[g].begin];
        for (uint32_t q = 0; q < c->slots; q++)
            place[q] = (ur__position){.line = up ? c->slot[q].up : c->slot[q].down, .value = g};
    }
    return true;
}

/* The body's own lines. */
static bool begin_loop(chain *c, uint32_t body)
{
    ur__roller *r = c->r;
    const ur__iteration *s = &r->iteration[body];
    if (!ur__room(r->tape, &r->found, &r->found_room, r->founds, sizeof *r->found))
        return false;
    c->loop = (uint32_t)r->founds++;
    c->body = body;
    c->slots = 0;
    for (uint32_t v = s->begin; v < s->end; v++) {
        c->in_body[v - s->begin] = 0;
        if (!ur__is_code(r->tape, v))
            continue;
        uint32_t line = new_line(c, v, body, c->slots);
        if (line == UR_NONE)
            return false;
        c->slot[c->slots++] = (slot){.node = v, .up = line, .down = line};
        c->in_body[v - s->begin] = c->slots;
        r->program->place[v] = (ur__position){.line = line, .value = body};
    }
    r->found[c->loop] = (ur__found){.begin = body, .end = body + 1};
    return true;
}

static bool fits(const chain *c, uint32_t g)
{
    const ur__iteration *s = c->r->iteration;
    return s[g].hash == s[c->body].hash ? copy(c, g) : align(c, g);
}

/* Does iteration g of the loop look like the body? */
static bool is_copy(const chain *c, uint32_t g)
{
    return c->r->iteration[g].hash == c->r->iteration[c->body].hash;
}

/* Lets the loop grow up to the iteration `end`. Of a row of iterations that are like one another one is compared with the
 * body. */
static bool grow_up(const chain *c, uint32_t end)
{
    ur__found *f = &c->r->found[c->loop];
    while (f->end < end) {
        uint32_t next = f->end;
        while (next < end && is_copy(c, f->end - 1) && c->r->iteration[next].like)
            next++;
        if (next == f->end && !fits(c, next))
            break;
        if (next == f->end ? !place_iteration(c, next++) : !place_row(c, f->end, next))
            return false;
        f->end = next;
    }
    return true;
}

/* The same down to the iteration `begin`. */
static bool grow_down(const chain *c, uint32_t begin)
{
    ur__found *f = &c->r->found[c->loop];
    while (f->begin > begin) {
        uint32_t next = f->begin;
        while (next > begin && is_copy(c, f->begin) && c->r->iteration[next].like)
            next--;
        if (next == f->begin && !fits(c, next - 1))
            break;
        if (next == f->begin ? !place_iteration(c, --next) : !place_row(c, next, f->begin))
            return false;
        f->begin = next;
    }
    return true;
}

static void explain(ur__roller *r, const ur__iteration *s, const char *reason)
{
    char path[UR__PATH];
    ur__path(r->tape, ur__site_of(r->tape, s->begin)->scope, path, sizeof path);
    if (s->marked)
        ur__fail(&r->program->why, "step %d%s%s: %s", (int)s->step, *path ? " in " : "", path, reason);
}

/* Takes back a loop that did not grow. */
static void drop_loop(const chain *c, size_t lines)
{
    ur__roller *r = c->r;
    const ur__found *f = &r->found[c->loop];
    for (uint32_t g = f->begin; g < f->end; g++)
        for (uint32_t v = r->iteration[g].begin; v < r->iteration[g].end; v++)
            if (ur__is_code(r->tape, v))
                r->program->place[v].line = UR_NONE;
    explain(r, &r->iteration[f->begin], "it is not like the steps beside it");
    r->program->lines = lines;
    r->founds--;
}

/* The first of the longest row of equal iterations that begins earliest, of three or else of two; or the middle. */
static uint32_t choose_body(const ur__roller *r, uint32_t begin, uint32_t end)
{
    for (uint32_t least = 3; least >= 2; least--)
        for (uint32_t first = begin, g = begin + 1; g < end; g++) {
            if (r->iteration[g].hash != r->iteration[first].hash)
                first = g;
            if (g - first + 1 == least)
                return first;
        }
    return begin + (end - begin) / 2;
}

/* The part before the loop has no three equal iterations: it is divided in halves at worst, so the calls do not get
 * deep. */
static bool roll_part(chain *c, uint32_t begin, uint32_t end)
{
    ur__roller *r = c->r;
    while (end - begin >= LEAST) {
        size_t lines = r->program->lines;
        if (!begin_loop(c, choose_body(r, begin, end)) || !grow_up(c, end) || !grow_down(c, begin))
            return false;
        ur__found f = r->found[c->loop];
        if (f.end - f.begin < LEAST)
            drop_loop(c, lines);
        if (!roll_part(c, begin, f.begin))
            return false;
        begin = f.end;
    }
    if (end - begin > 1)
        explain(r, &r->iteration[begin], "too few steps like it follow each other");
    return true;
}

/* Looks at all iterations and divides the chain where one reads what came, outside of the steps, from an earlier one:
 * such a loop could not run. */
static bool divide(chain *c, uint32_t begin, uint32_t end)
{
    ur__roller *r = c->r;
    uint32_t first = begin;
    for (uint32_t g = begin; g < end; g++) {
        ur__iteration *s = &r->iteration[g];
        uint32_t reach = reach_back(r, s);
        if (g == first || !mark_like(r, s, s - 1))
            look_at(c, s);
        if (g == first || reach <= r->iteration[first].begin)
            continue;
        explain(r, s, "it reads what code outside of the steps makes of a step before");
        if (!roll_part(c, first, g))
            return false;
        first = g--;
    }
    return roll_part(c, first, end);
}

bool ur__roll_chain(ur__roller *r, uint32_t begin, uint32_t end)
{
    size_t most = 0;
    for (uint32_t g = begin; g < end; g++)
        if (r->iteration[g].end - r->iteration[g].begin > most)
            most = r->iteration[g].end - r->iteration[g].begin;
    size_t bytes = most * (sizeof(slot) + 2 * sizeof(uint32_t));
    chain c = {.r = r, .slot = (slot *)ur__take(r->tape, bytes)};
    if (!c.slot)
        return false;
    c.in_body = (uint32_t *)(c.slot + most);
    c.now = c.in_body + most;
    bool good = divide(&c, begin, end);
    ur__give(r->tape, c.slot, bytes);
    return good;
}

uint32_t ur__chain_end(const ur__roller *r, uint32_t begin)
{
    const ur__iteration *s = r->iteration;
    uint32_t end = begin + 1;
    int64_t way = end < r->iterations ? (int64_t)s[end].step - s[begin].step : 0;
    while (end < r->iterations && (way == 1 || way == -1) && (int64_t)s[end].step - s[end - 1].step == way)
        end++;
    return end;
}

bool ur__roll_steps(ur__roller *r, uint32_t begin)
{
    for (uint32_t end; begin < r->iterations; begin = end) {
        end = ur__chain_end(r, begin);
        if (!ur__roll_chain(r, begin, end))
            return false;
    }
    return true;
}
