/* grad.c - ur_grad: the derivative of a tape, recorded on the same tape.
 *
 * Reverse mode (Speelpenning 1980; Griewank and Walther 2008, section 3.2): walk from y down; the adjoint of a node is
 * the sum of what its consumers contribute,
 *
 *     adj(v) = sum over consumers u of v:  adj(u) * du/dv,
 *
 * one node `sum_of` with the last consumer first, even of one; contributions that are one operation's own may be joined
 * in another way, which it says. The rules record tape operations, so the derivative has a derivative. Adjoint nodes take
 * the step and scope of the node they belong to: a loop over time differentiates into a loop over time, and a parameter's
 * gradient is one sum over t. Broadcasting is undone here, never in a rule.
 *
 * What is the same in every step, though each has a node of its own for it, has one adjoint for all (equal.c), outside of
 * the steps; but when the adjoint of one of them is asked for, each has its own.
 *
 * Only nodes between wrt and y get an adjoint. An adjoint is complete once it is there, because every consumer that
 * leads to y lies between too; a later call for the same y adds those that are missing. */
#include <string.h>

#include "internal.h"

enum { FEW = 8 }; /* lists up to this length need no memory */

/* What a consumer adds to the adjoint of a node; `before` is the one that came before it to the same node, 0: none. */
typedef struct contribution {
    uint32_t value, before;
} contribution;

/* What one call works with; arrays have y + 1 elements. */
typedef struct walk {
    ur_tape *tape;
    uint32_t y;
    uint32_t *adjoint; /* of the sweep */
    uint8_t *between;  /* on a path from wrt to y */
    uint32_t *last;    /* number of a node's last contribution, 0: none */
    bool shares;       /* equal nodes have one adjoint */
    uint32_t *first;   /* the one that has it */
    uint8_t *state;
    contribution *list;
    size_t count, room; /* contributions are numbered from 1 */
} walk;

static ur__sweep *sweep_of(ur_tape *tape, uint32_t y, bool apart)
{
    for (size_t i = 0; i < tape->sweeps; i++)
        if (tape->sweep[i].y == y && tape->sweep[i].apart == apart)
            return &tape->sweep[i];
    if (!ur__room(tape, &tape->sweep, &tape->sweep_room, tape->sweeps, sizeof *tape->sweep))
        return NULL;
    size_t bytes = ((size_t)y + 1) * sizeof(uint32_t);
    uint32_t *adjoint = (uint32_t *)ur__take(tape, bytes);
    if (!adjoint)
        return NULL;
    memset(adjoint, 0xff, bytes); /* UR_NONE */
    tape->sweep[tape->sweeps] = (ur__sweep){.y = y, .apart = apart, .adjoint = adjoint};
    return &tape->sweep[tape->sweeps++];
}

/* The node that has v's adjoint. */
static uint32_t holder(const walk *w, uint32_t v)
{
    return w->shares ? w->first[v] : v;
}

/* between[v]: some wrt leads to v, and v leads to y. No path goes through `detach`. */
static void mark(const walk *w, size_t n, const ur_var *wrt)
{
    enum { FROM_WRT = 1, TO_Y = 2 };
    const ur_tape *tape = w->tape;
    for (size_t i = 0; i < n; i++)
        if (wrt[i].index <= w->y)
            w->between[wrt[i].index] = FROM_WRT;
    for (uint32_t v = 0; v <= w->y; v++) {
        const ur__kind *kind = ur__kind_of(tape, v);
        for (uint32_t k = 0; k < kind->inputs && kind->op != &ur_op_detach; k++)
            w->between[v] |= w->between[ur__in(tape, v, k)] & FROM_WRT;
    }
    w->between[w->y] |= TO_Y;
    for (uint32_t v = w->y + 1; v-- > 0;) {
        const ur__kind *kind = ur__kind_of(tape, v);
        for (uint32_t k = 0; (w->between[v] & TO_Y) && k < kind->inputs && kind->op != &ur_op_detach; k++)
            w->between[holder(w, ur__in(tape, v, k))] |= TO_Y;
    }
    for (size_t v = 0; v <= w->y; v++)
        w->between[v] = w->between[v] == (FROM_WRT | TO_Y);
}

/* Says why what a function of the operation gave is no value of the tape. */
static void refuse_value(ur_tape *tape, const ur_op *op, const char *function, ur_var v)
{
    char what[UR__OPERAND];
    snprintf(what, sizeof what, "ur_grad: the %s of %s", function, op->name);
    ur__valid(tape, v, what);
}

static bool contribute(walk *w, uint32_t v, uint32_t value)
{
    size_t c = w->count + 1;
    if (!ur__room(w->tape, &w->list, &w->room, c, sizeof *w->list))
        return false;
    w->count = c;
    w->list[c] = (contribution){.value = value, .before = w->last[v]};
    w->last[v] = (uint32_t)c;
    return true;
}

/* The contributions as their operation joins them, if it is the same for all and can; otherwise their sum. */
static ur_var total(ur_tape *tape, size_t n, const ur_var *terms)
{
    const ur_op *op = ur__op(tape, terms[0].index);
    bool one = n > 1 && op->join;
    for (size_t i = 1; i < n && one; i++)
        one = ur__op(tape, terms[i].index) == op;
    ur_var joined = one ? op->join(n, terms) : UR_ZERO;
    if (!joined.tape)
        return ur_total(n, terms);
    if (ur__usable(tape, joined))
        return joined;
    refuse_value(tape, op, "join", joined);
    return ur__poison(tape, NULL);
}

/* adj(v) as one sum of its contributions in the order in which they came; UR_NONE when there are none. */
static uint32_t gather(const walk *w, uint32_t v)
{
    size_t n = 0;
    if (!w->list) /* no contribution to any node yet */
        return UR_NONE;
    for (uint32_t c = w->last[v]; c; c = w->list[c].before)
        n++;
    ur_var few[FEW], *terms = few;
    if (n == 0 || (n > FEW && !(terms = (ur_var *)ur__take(w->tape, n * sizeof *terms))))
        return UR_NONE;
    size_t i = n;
    for (uint32_t c = w->last[v]; c && i > 0; c = w->list[c].before)
        terms[--i] = ur__var(w->tape, w->list[c].value);
    ur_var sum = total(w->tape, n, terms);
    if (terms != few)
        ur__give(w->tape, terms, n * sizeof *terms);
    return sum.index;
}

/* Undoes a broadcast of input k. */
static ur_var reduced(ur_tape *tape, const ur_op *op, uint32_t k, ur_var c, ur_shape shape)
{
    char given[UR_SHAPE_TEXT], expected[UR_SHAPE_TEXT];
    ur_shape both[] = {shape, ur__shape(tape, c.index)}, large;
    if (!ur__broadcast_shape(2, both, &large) || !ur_shape_equal(large, both[1]))
        return ur__poison(tape, "ur_grad: the derivative rule of %s for input %u gave %s, %s was expected", op->name,
                          (unsigned)k, ur_shape_text(both[1], given), ur_shape_text(shape, expected));
    return ur_reduce_to(c, shape);
}

/* Records what node u contributes to its inputs that still need an adjoint. */
static bool derive(walk *w, uint32_t u)
{
    ur_tape *tape = w->tape;
    const ur__kind *kind = ur__kind_of(tape, u);
    const ur_op *op = kind->op;
    uint32_t inputs = kind->inputs;
    ur_var few[FEW], *in = few;
    if (inputs > FEW && !(in = (ur_var *)ur__take(tape, inputs * sizeof *in)))
        return false;
    for (uint32_t k = 0; k < inputs; k++)
        in[k] = ur__var(tape, ur__in(tape, u, k));
    double attr[UR_ATTRS]; /* a copy: the rule's own nodes may move the tape's */
    if (op->attrs > 0)
        memcpy(attr, ur__attr(tape, kind), (size_t)op->attrs * sizeof *attr);
    ur_adjoint a = {
        .y = ur__var(tape, u), .g = ur__var(tape, w->adjoint[u]), .in = in, .inputs = (int)inputs, .attr = attr};
    for (uint32_t k = 0; k < inputs && !tape->error.text[0]; k++) {
        uint32_t v = holder(w, in[k].index);
        if (!w->between[v] || w->adjoint[v] != UR_NONE)
            continue;
        char place[UR__PLACE];
        if (!op->derive) {
            ur__fail(&tape->error, "ur_grad: %s%s has no derivative rule", op->name,
                     ur__place(tape, *ur__site_of(tape, u), place));
            break;
        }
        ur_var c = op->derive(&a, (int)k);
        if (!c.tape)
            continue; /* UR_ZERO */
        if (!ur__usable(tape, c)) {
            refuse_value(tape, op, "derivative rule", c);
            break;
        }
        if (ur__kind_of(tape, c.index)->shape != ur__kind_of(tape, v)->shape &&
            !ur_shape_equal(ur__shape(tape, c.index), ur__shape(tape, v)))
            c = reduced(tape, op, k, c, ur__shape(tape, v));
        if (c.index != UR_NONE)
            contribute(w, v, c.index);
    }
    if (in != few)
        ur__give(tape, in, inputs * sizeof *in);
    return !tape->error.text[0];
}

/* Is its adjoint outside of the steps? */
static bool is_timeless(const walk *w, uint32_t v)
{
    return w->shares && w->state[v] & UR__TIMELESS;
}

/* Gives v its adjoint, recorded at v's step and in v's scope. */
static void adjoin(const walk *w, uint32_t v)
{
    ur_tape *tape = w->tape;
    tape->site_last = tape->node[v].site;
    tape->now = *ur__site_of(tape, v);
    if (is_timeless(w, v))
        tape->now.step = 0;
    if (w->adjoint[v] == UR_NONE)
        w->adjoint[v] = v == w->y ? ur_const(tape, ur__shape(tape, v), 1).index : gather(w, v);
}

/* Where a piece of a loop's body began, its adjoints end: those of the piece before it begin there. `marks` counts the
 * marks that the walk has not reached. */
static void pass_marks(ur_tape *tape, uint32_t v, size_t *marks)
{
    size_t before = *marks;
    while (*marks > 0 && tape->mark[*marks - 1] > v)
        (*marks)--;
    if (*marks < before)
        ur__mark(tape);
}

/* The sum over t of a parameter's gradient belongs to no step of the loop. */
static bool comes_last(const walk *w, uint32_t v)
{
    return v != w->y && (ur__is_leaf(ur__kind_of(w->tape, v)) || is_timeless(w, v));
}

/* From y down, over what comes last or over the rest. */
static void go_down(walk *w, bool last, size_t marks)
{
    ur_tape *tape = w->tape;
    ur__mark(tape);
    for (size_t i = w->y + (size_t)1; i-- > 0 && !tape->error.text[0];) {
        uint32_t v = (uint32_t)i;
        pass_marks(tape, v, &marks);
        if (!w->between[v] || comes_last(w, v) != last)
            continue;
        adjoin(w, v);
        if (w->adjoint[v] != UR_NONE)
            derive(w, v);
    }
}

static bool sweep(walk *w)
{
    ur_tape *tape = w->tape;
    const ur__site now = tape->now;
    size_t marks = tape->marks;
    go_down(w, false, marks);
    go_down(w, true, 0);
    tape->now = now;
    return !tape->error.text[0];
}

/* Is one of equal nodes asked for by itself? */
static bool asks_for_one(const walk *w, size_t n, const ur_var *wrt)
{
    bool one = w->state[w->y] & UR__SHARED;
    for (size_t i = 0; i < n && !one; i++)
        one = wrt[i].index <= w->y && w->state[wrt[i].index] & UR__SHARED;
    return one;
}

static bool take_tables(walk *w, size_t count)
{
    w->between = (uint8_t *)ur__take(w->tape, count);
    w->state = (uint8_t *)ur__take(w->tape, count);
    w->last = (uint32_t *)ur__take(w->tape, count * sizeof *w->last);
    w->first = (uint32_t *)ur__take(w->tape, count * sizeof *w->first);
    if (!w->between || !w->state || !w->last || !w->first)
        return false;
    memset(w->between, 0, count);
    memset(w->last, 0, count * sizeof *w->last);
    return true;
}

static void give_tables(const walk *w, size_t count)
{
    ur__give(w->tape, w->between, count);
    ur__give(w->tape, w->state, count);
    ur__give(w->tape, w->last, count * sizeof *w->last);
    ur__give(w->tape, w->first, count * sizeof *w->first);
    ur__give(w->tape, w->list, w->room * sizeof *w->list);
}

static bool differentiate(ur_var y, size_t n, const ur_var *wrt, uint32_t **adjoint)
{
    ur_tape *tape = y.tape;
    size_t count = (size_t)y.index + 1;
    walk w = {.tape = tape, .y = y.index};
    bool good = take_tables(&w, count);
    if (good) {
        bool equal = ur__find_equal(tape, (uint32_t)count, w.first, w.state), apart = equal && asks_for_one(&w, n, wrt);
        const ur__sweep *s = tape->error.text[0] ? NULL : sweep_of(tape, y.index, apart);
        w.shares = equal && !apart;
        w.adjoint = *adjoint = s ? s->adjoint : NULL;
        good = s != NULL;
    }
    if (good) {
        mark(&w, n, wrt);
        good = sweep(&w);
    }
    give_tables(&w, count);
    return good;
}

bool ur_grad(ur_var y, size_t n, const ur_var *wrt, ur_var *out)
{
    ur_tape *tape = y.tape;
    uint32_t *adjoint = NULL;
    bool good = ur__valid(tape, y, "ur_grad");
    if (n && (!wrt || !out))
        return good && ur__fail(&tape->error, "ur_grad: nodes and room for %zu gradients were expected", n);
    for (size_t i = 0; i < n && good; i++)
        good = ur__valid(tape, wrt[i], "ur_grad");
    good = good && differentiate(y, n, wrt, &adjoint);
    for (size_t i = 0; i < n; i++) {
        uint32_t v = wrt[i].index;
        if (!good)
            out[i] = ur__poison(tape, NULL);
        else if (v <= y.index && adjoint[v] != UR_NONE)
            out[i] = ur__var(tape, adjoint[v]);
        else
            out[i] = ur_const(tape, ur__shape(tape, v), 0);
    }
    return good && !tape->error.text[0];
}
