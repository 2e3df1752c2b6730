/* equal.c - values that are the same in every step, though each step has a node of its own for them.
 *
 * A weight normalised within the cell, W = g V / |V|, is recorded once for each step: T equal nodes. What any node
 * contributes to the adjoint of W leads to g and V through one and the same Jacobian, which is linear:
 *
 *     sum over t of  J^T dW[t]  =  J^T  (sum over t of dW[t]),
 *
 * so ur_grad collects what belongs to all of them at the first, and goes on from there once. dW, a sum over t of products
 * over the batch, is then what the gradient of a parameter is, and what the planner makes of that it makes of dW too.
 *
 * A node is timeless when it belongs to no step, or when nodes of several steps are equal to it, and its operands are
 * timeless. Leaves that belong to no step are, but where no node belongs to one an input may be that of any: then
 * only parameters and constants. Nodes are numbered by what they compute (Cocke and Schwartz 1970): equal are nodes of one
 * kind with equal operands. */
#include <string.h>

#include "internal.h"

typedef struct numbering {
    ur_tape *tape;
    uint32_t *first; /* of each node: the first that is equal to it */
    uint8_t *state;
    bool stepped;    /* some node belongs to a step */
    ur__index index; /* of those that depend on nothing of a step, by what they compute */
    size_t indexed;
    bool any; /* two are equal */
} numbering;

/* Depends on nothing of a step; and equal ones are in several steps. */
enum { FIXED = UR__SHARED << 1, SPREAD = FIXED << 1 };

static bool has_steps(const ur_tape *tape, uint32_t nodes)
{
    uint32_t v = tape->marks ? 0 : nodes; /* no ur_step yet */
    while (v < nodes && ur__step(tape, v) == 0)
        v++;
    return v < nodes;
}

static bool is_fixed(const numbering *n, uint32_t v)
{
    const ur_tape *tape = n->tape;
    const ur__kind *kind = ur__kind_of(tape, v);
    if (kind->op->kind == UR_LEAF)
        return kind->op != &ur_op_input || (n->stepped && ur__step(tape, v) == 0);
    for (uint32_t k = 0; k < kind->inputs; k++)
        if (!n->state[ur__in(tape, v, k)])
            return false;
    return true;
}

/* ---- numbers */

static uint32_t hash_of(const numbering *n, uint32_t v)
{
    uint64_t h = n->tape->node[v].kind;
    for (uint32_t k = 0; k < ur__kind_of(n->tape, v)->inputs; k++)
        h = ur__mix(h, n->first[ur__in(n->tape, v, k)]);
    return (uint32_t)h;
}

static bool is_equal(const numbering *n, uint32_t a, uint32_t b)
{
    const ur_tape *tape = n->tape;
    bool equal = tape->node[a].kind == tape->node[b].kind;
    for (uint32_t k = 0; equal && k < ur__kind_of(tape, a)->inputs; k++)
        equal = n->first[ur__in(tape, a, k)] == n->first[ur__in(tape, b, k)];
    return equal;
}

/* Leaves are equal to themselves only. */
static bool has_number(const numbering *n, uint32_t v)
{
    return n->state[v] && ur__op(n->tape, v)->kind != UR_LEAF;
}

/* Doubles the index when it is half full of nodes before v. */
static bool index_room(numbering *n, uint32_t v)
{
    if (n->indexed * 2 < n->index.slots)
        return true;
    if (!ur__index_double(n->tape, &n->index))
        return false;
    for (uint32_t u = 0; u < v; u++)
        if (has_number(n, u) && n->first[u] == u)
            ur__index_add(&n->index, hash_of(n, u), u);
    return true;
}

/* Finds the first node that is equal to v. */
static bool number(numbering *n, uint32_t v)
{
    if (!index_room(n, v))
        return false;
    uint32_t hash = hash_of(n, v);
    size_t i = ur__index_first(&n->index, hash);
    while (n->index.slot[i] && !is_equal(n, n->index.slot[i] - 1, v))
        i = ur__index_next(&n->index, i);
    if (!n->index.slot[i]) {
        n->index.slot[i] = v + 1;
        n->indexed++;
        return true;
    }
    uint32_t first = n->first[v] = n->index.slot[i] - 1;
    n->any = true;
    if (ur__step(n->tape, first) != ur__step(n->tape, v))
        n->state[first] |= SPREAD;
    return true;
}

/* ---- which are timeless */

static bool is_timeless(const numbering *n, uint32_t v)
{
    const ur_tape *tape = n->tape;
    const ur__kind *kind = ur__kind_of(tape, v);
    bool timeless = n->state[v] & FIXED && (ur__step(tape, v) == 0 || n->state[v] & SPREAD);
    for (uint32_t k = 0; timeless && k < kind->inputs; k++)
        timeless = n->state[n->first[ur__in(tape, v, k)]] & UR__TIMELESS;
    return timeless;
}

/* Nodes that are not are themselves again. True when some timeless nodes are equal. */
static bool settle(numbering *n, uint32_t nodes)
{
    bool any = false;
    for (uint32_t v = 0; v < nodes; v++) {
        uint32_t first = n->first[v];
        if (first == v) {
            n->state[v] = is_timeless(n, v) ? UR__TIMELESS : 0;
        } else if (n->state[first]) {
            n->state[first] |= UR__SHARED;
            n->state[v] = n->state[first];
            any = true;
        } else {
            n->state[v] = 0;
            n->first[v] = v;
        }
    }
    return any;
}

bool ur__find_equal(ur_tape *tape, uint32_t nodes, uint32_t *first, uint8_t *state)
{
    numbering n = {.tape = tape, .first = first, .state = state, .stepped = has_steps(tape, nodes)};
    bool good = true;
    for (uint32_t v = 0; v < nodes && good; v++) {
        first[v] = v;
        state[v] = is_fixed(&n, v) ? FIXED : 0;
        good = !has_number(&n, v) || number(&n, v);
    }
    ur__give(tape, n.index.slot, n.index.slots * sizeof *n.index.slot);
    return good && n.any && settle(&n, nodes);
}
