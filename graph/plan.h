/* plan.h - what plan.c and layout.c hand to run.c. */
#ifndef UR_PLAN_H
#define UR_PLAN_H

#include "internal.h"
#include "kernels.h"

enum { UR__OPERANDS = 3 };
#define UR__NOWHERE SIZE_MAX
enum { UR__LINE = 64 }; /* bytes of a cache line: values begin on one */

/* One node to compute. Elementwise kernels run over rows of n elements; the rows are counted by up to three outer
 * dimensions. */
typedef struct ur__launch {
    uint32_t node;
    int kernel;
    size_t n, dims, size[UR_RANK - 1];
    size_t stride[UR__OPERANDS][UR_RANK]; /* of each outer dimension, in elements */
    size_t inner[UR__OPERANDS];           /* 0: the operand is one element for the whole row */
} ur__launch;

/* A state: after the run, value -> the plan's memory -> leaf, so that states may be exchanged. */
typedef struct ur__carry {
    uint32_t leaf, value;
    size_t offset;
} ur__carry;

struct ur_plan {
    ur_tape *tape;
    uint32_t generation;
    const ur__kernels *kernels;
    bool reference, finite, copies, has_run;
    size_t nodes, roots, launches, launch_room, states;
    uint32_t *root;
    size_t *root_offset;
    ur__launch *launch;
    size_t *offset;    /* of each node in memory, or UR__NOWHERE */
    uint8_t *readable; /* marked by ur_keep when the plan was made, or a root */
    ur__carry *state;
    char *block, *memory;
    size_t bytes, root_bytes;
    double *scratch; /* for specifications */
    size_t scratch_count;
    const void **operand;
    ur_shape *shapes;
    size_t most_inputs;
};

/* Gives every wanted node that is no leaf its offset, and the plan its bytes. False with the tape's error set. */
bool ur__layout(ur_plan *plan, const uint8_t *wanted);

#endif
