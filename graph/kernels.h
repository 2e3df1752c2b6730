/* kernels.h - the fast kernels that a plan calls: the instruction set of the machine that plans are made for.
 * An operation names its kernel by number (ur_op.kernel); ops/kernels implements them. Not installed. */
#ifndef UR_KERNELS_H
#define UR_KERNELS_H

#include "graph.h"

/* Elementwise kernels come first, then those with a calling convention of their own. */
typedef enum ur__kernel {
    UR__SPECIFICATION, /* no kernel: the operation's specification */
    UR__SELECT,
    UR__ADD,
    UR__SUB,
    UR__MUL,
    UR__DIV,
    UR__NEG,
    UR__SCALE,
    UR__ONE_MINUS,
    UR__SQUARE,
    UR__EXP,
    UR__LOG,
    UR__SIGMOID,
    UR__TANH,
    UR__RELU,
    UR__STEP,
    UR__SOFTPLUS,
    UR__BCE_NET,
    UR__SQUARED_ERROR,
    UR__MAPS, /* number of elementwise kernels */

    UR__MATMUL = UR__MAPS,
    UR__ALIAS, /* the result is the input's memory */
    UR__SUM_OF,
    UR__REDUCE,
    UR__BROADCAST,
    UR__KERNELS
} ur__kernel;

/* The elements of one tile: an elementwise kernel is never called with more. */
enum { UR__TILE = 256 };

/* y[i] = f(a[i], b[i], c[i]) for n elements of the table's type; y may be an operand. */
typedef void ur__map_kernel(size_t n, void *y, const void *a, const void *b, const void *c, const double *attr);

typedef struct ur__kernels {
    ur__map_kernel *map[UR__MAPS];
    /* C[m,n] = op(A) op(B), op(A) being [m,k]; A and B are stored transposed where the flags say so. */
    void (*matmul)(size_t m, size_t n, size_t k, const void *a, bool a_transposed, const void *b, bool b_transposed,
                   void *c);
    void (*add_to)(size_t n, void *y, const void *a);     /* y += a */
    void (*sum_to)(size_t n, void *y, const void *a);     /* *y += sum of a */
    void (*fill)(size_t n, void *y, const void *element); /* y = *element, n times */
    void (*to_f64)(size_t n, double *y, const void *a);
    void (*from_f64)(size_t n, void *y, const double *a);
    /* Index of the first element that is no finite number; n when all are. */
    size_t (*not_finite)(size_t n, const void *a);
} ur__kernels;

const ur__kernels *ur__kernels_of(ur_dtype dtype);

#endif
