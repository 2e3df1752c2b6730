/* roll.h - what the files that make a program share: the loops while they are being found. See roll.c. */
#ifndef UR_GRAPH_ROLL_H
#define UR_GRAPH_ROLL_H

#include "program.h"

/* An iteration of a loop, mostly one step: the nodes begin..end-1 of the tape; leaves among them do not count. */
typedef struct ur__iteration {
    uint32_t begin, end;
    int32_t step;
    uint32_t nodes; /* without leaves */
    bool marked;    /* false: the steps are counted by period.c */
    bool like;      /* it looks like the iteration before it, and neither has leaves among its nodes */
    bool regular; /* it is its loop's next iteration as the last one was the next: on the same lines, the operands too,
                       and these as many values further */
    uint64_t hash;
} ur__iteration;

/* A loop of the iterations begin..end-1. Once ordered it is number `number` of the program. */
typedef struct ur__found {
    uint32_t begin, end;
    uint32_t number;
    enum { UR__NEW, UR__OPEN, UR__DONE, UR__UNROLLED } state;
} ur__found;

enum { UR__NEEDED = 1, UR__VISITED };

/* What is known of a line, beside the program's. */
typedef struct ur__track {
    uint32_t slot; /* place in the loop's body; UR_NONE for what is in one iteration only; of straight code that has its
                      place in the order: the number of its loop */
    uint32_t last; /* the last of its nodes on the tape */
    bool wanted;   /* a root needs it */
} ur__track;

/* While loops are found, the line of a node of straight code is UR_NONE, and values are counted by iterations: line.begin
 * and place.value are numbers of iterations for lines of loops, and line.loop is a number in `found`. */
typedef struct ur__roller {
    ur_tape *tape;
    ur__program *program;
    size_t nodes;
    uint32_t *origin; /* the node that a node is the adjoint of, UR_NONE: none */
    uint32_t *reach;  /* the last node in a step that a node of straight code depends on, plus 1 */
    uint8_t *wanted;  /* nodes of straight code: UR__NEEDED by a root, UR__VISITED while their operands are ordered */
    ur__iteration *iteration;
    ur__found *found;
    ur__track *track; /* of the program's lines */
    size_t iterations, founds, iteration_room, found_room, track_room;
    size_t longest;  /* row of code without steps */
    bool leads_back; /* some node has a reach */
} ur__roller;

/* The line of a node of straight code that has its place in the order: the number of its loop is known at the end. */
#define UR__STRAIGHT (UR_NONE - 1)

/* Is this a statement? Leaves, constants and declared states are not. */
static inline bool ur__is_code(const ur_tape *tape, uint32_t v)
{
    const ur_op *op = ur__op(tape, v);
    return op->kind != UR_LEAF && op != &ur_op_state;
}

/* Operand k of a node. A state's own value is that of its second input. */
static inline uint32_t ur__operand_of(const ur_tape *tape, uint32_t v, uint32_t k)
{
    uint32_t u = ur__in(tape, v, k);
    while (tape->states && ur__op(tape, u) == &ur_op_state)
        u = ur__in(tape, u, 1);
    return u;
}

/* How many operands the nodes begin..end-1 have, none of which is a leaf: they are operands 0, 1, ... of `begin`, for
 * nodes have their inputs one after another. */
static inline uint32_t ur__operands_between(const ur_tape *tape, uint32_t begin, uint32_t end)
{
    return tape->node[end - 1].in + ur__kind_of(tape, end - 1)->inputs - tape->node[begin].in;
}

/* Appends an iteration; false, with the tape's error set, when there is no memory. */
bool ur__add_iteration(ur__roller *r, ur__iteration iteration);
/* Appends a line and returns its number; UR_NONE, with the tape's error set, when there is no memory. */
uint32_t ur__add_line(ur__roller *r, ur__line line, uint32_t slot);
/* Makes loops of iterations begin..end-1, whose steps follow each other. */
bool ur__roll_chain(ur__roller *r, uint32_t begin, uint32_t end);
/* The end of the chain that begins with an iteration: as far as steps follow each other, up or down. */
uint32_t ur__chain_end(const ur__roller *r, uint32_t begin);
/* Where the marked iterations repeat with a period of several steps, those of a period become one. */
bool ur__join_steps(ur__roller *r);
/* Makes chains of the iterations from `begin` on, and loops of the chains. */
bool ur__roll_steps(ur__roller *r, uint32_t begin);
/* Finds what repeats in code without steps. */
bool ur__roll_periods(ur__roller *r);
/* Finds the regular iterations of all loops. */
bool ur__find_regular(ur__roller *r);
/* Removes what no root needs, orders loops and straight code, and describes them. */
bool ur__order(ur__roller *r, size_t roots, const uint32_t *root);

#endif
