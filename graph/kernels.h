/* kernels.h - the fast kernels that a plan calls: the instruction set of the machine that plans are made for.
 * An operation names its kernel by number (ur_op.kernel); ops/kernels implements them. Not installed. */
#ifndef UR_KERNELS_H
#define UR_KERNELS_H

#include "graph.h"

/* The elementwise kernels: UR__SELECT is the number of map_select in ops/kernels, and so on. */
#define UR__EACH_MAP(X)                                                                                                \
    X(SELECT, select)                                                                                                  \
    X(ADD, add)                                                                                                        \
    X(SUB, sub)                                                                                                        \
    X(MUL, mul)                                                                                                        \
    X(DIV, div)                                                                                                        \
    X(NEG, neg)                                                                                                        \
    X(SCALE, scale)                                                                                                    \
    X(ONE_MINUS, one_minus)                                                                                            \
    X(SQUARE, square)                                                                                                  \
    X(EXP, exp)                                                                                                        \
    X(LOG, log)                                                                                                        \
    X(SIGMOID, sigmoid)                                                                                                \
    X(TANH, tanh)                                                                                                      \
    X(RELU, relu)                                                                                                      \
    X(STEP, step)                                                                                                      \
    X(SOFTPLUS, softplus)                                                                                              \
    X(BCE_NET, bce_net)                                                                                                \
    X(SQUARED_ERROR, squared_error)                                                                                    \
    X(MIN, min)                                                                                                        \
    X(MAX, max)                                                                                                        \
    X(ABS, abs)                                                                                                        \
    X(SQRT, sqrt)                                                                                                      \
    X(SIGN, sign)                                                                                                      \
    X(LRELU, lrelu)                                                                                                    \
    X(PRELU, prelu)                                                                                                    \
    X(ELU, elu)                                                                                                        \
    X(SELU, selu)                                                                                                      \
    X(SILU, silu)                                                                                                      \
    X(GELU, gelu)                                                                                                      \
    X(LOG_SIGMOID, log_sigmoid)                                                                                        \
    X(BCE, bce)                                                                                                        \
    X(CROSS_ENTROPY, cross_entropy)                                                                                    \
    X(POWER, power)                                                                                                    \
    X(SIN, sin)                                                                                                        \
    X(COS, cos)                                                                                                        \
    X(ERF, erf)                                                                                                        \
    /* several operations in one: a plan puts them together, no operation names them */                                \
    X(COPY, copy)                     /* a */                                                                          \
    X(MUL_ADD, mul_add)               /* a b + c */                                                                    \
    X(ADD_ADD, add_add)               /* (a + b) + c */                                                                \
    X(MUL_MUL, mul_mul)               /* a (b c) */                                                                    \
    X(MUL_SUB, mul_sub)               /* a (b - c) */                                                                  \
    X(MUL_ONE_MINUS, mul_one_minus)   /* a (1 - b) */                                                                  \
    X(DERIVE_TANH, derive_tanh)       /* a (1 - b^2) */                                                                \
    X(DERIVE_SIGMOID, derive_sigmoid) /* a (b (1 - b)) */                                                              \
    X(BLEND, blend)                   /* a b + (1 - a) c */                                                            \
    /* an operation in two, where others go on from the same first part: e^-|a|, then the operation of a and that */   \
    X(EXP_OF_SIZE, exp_of_size)           /* e^-|a| */                                                                 \
    X(SIGMOID_FROM, sigmoid_from)         /* sigmoid(a), b = e^-|a| */                                                 \
    X(SOFTPLUS_FROM, softplus_from)       /* softplus(a), b = e^-|a| */                                                \
    X(LOG_SIGMOID_FROM, log_sigmoid_from) /* log_sigmoid(a), b = e^-|a| */                                             \
    X(BCE_NET_FROM, bce_net_from)         /* bce_net(a, b), c = e^-|a| */

/* Those of whole arrays, ur__dense_kernel: UR__BMM is the number of dense_bmm. */
#define UR__EACH_DENSE(X)                                                                                              \
    X(BMM, bmm)                                                                                                        \
    X(OUTER, outer)                                                                                                    \
    X(TRANSPOSE, transpose)                                                                                            \
    X(CONCAT, concat)                                                                                                  \
    X(SLICE, slice)                                                                                                    \
    X(PAD, pad)                                                                                                        \
    X(GATHER, gather)                                                                                                  \
    X(SCATTER, scatter)                                                                                                \
    X(MEAN, mean)                                                                                                      \
    X(MAX_OVER, max_over)                                                                                              \
    X(NORM, norm)                                                                                                      \
    X(CUMSUM, cumsum)                                                                                                  \
    X(DECAY, decay)                                                                                                    \
    X(SOFTMAX, softmax)                                                                                                \
    X(LOG_SOFTMAX, log_softmax)                                                                                        \
    X(SOFTMAX_CE, softmax_ce)                                                                                          \
    X(LAYER_NORM, layer_norm)

#define UR__NUMBER_OF(NUMBER, name) UR__##NUMBER,

typedef enum ur__kernel {
    UR__SPECIFICATION,                    /* no kernel: the operation's specification */
    UR__EACH_MAP(UR__NUMBER_OF) UR__MAPS, /* how many there are, with the specification */
    /* with calling conventions of their own */
    UR__MATMUL = UR__MAPS,
    UR__ALIAS, /* the result is the input's memory */
    UR__SUM_OF,
    UR__REDUCE,
    UR__ADD_LANES,   /* part of a sum over the batch: a plan's, no operation names it */
    UR__ADD_BCE_NET, /* that of bce_net(a, b), c = e^-|a|, which it may overwrite */
    UR__BROADCAST,
    UR__DENSE, /* the first of those of whole arrays */
    UR__BEFORE_DENSE = UR__DENSE - 1,
    UR__EACH_DENSE(UR__NUMBER_OF) UR__KERNELS
} ur__kernel;

/* The most elements of one tile: an elementwise kernel is never called with more. */
enum { UR__TILE = 512 };

/* y[i] = f(a[i], b[i], c[i]) for n elements of the table's type; y may be an operand. */
typedef void ur__map_kernel(size_t n, void *y, const void *a, const void *b, const void *c, const double *attr);

/* As ur_call, with elements of the table's type; the result lies apart from the inputs. */
typedef struct ur__dense_call {
    int inputs;
    const ur_shape *shape; /* of each input */
    const void *const *in;
    ur_shape out_shape;
    void *out;
    const double *attr;
} ur__dense_call;

typedef void ur__dense_kernel(const ur__dense_call *c);

/* What layer_norm adds to the variance. */
#define UR__LAYER_NORM_EPSILON 1e-5

/* One term A X of a product, A [m,k]. X has k rows, x_stride elements apart. `a` is what `pack` wrote for A; for
 * `product_narrow` it is what `pack_narrow` wrote, or the matrix as it lies, element (i,q) at a[i a_stride + q], or
 * a[q a_stride + i] transposed. */
typedef struct ur__term {
    const void *a, *x;
    size_t k, x_stride, a_stride;
    bool a_packed, a_transposed;
} ur__term;

/* Steps of a contraction whose operands lie at constant distances: at step s A is at a + s a_step, matrix B_g at
 * b[g] + s b_step[g], and their rows are a_stride and b_stride[g] apart, counted in elements. Of step s the first
 * columns[s] columns count, all where `columns` is NULL. */
typedef struct ur__stretch {
    size_t steps;
    const uint32_t *columns;
    const void *a;
    ptrdiff_t a_step;
    size_t a_stride;
    const void *const *b;
    const ptrdiff_t *b_step;
    const size_t *b_stride;
} ur__stretch;

/* out[g][i,j] = sum over all steps and columns of A[i] B_g[j], for A [rows,n] and each of `matrices` matrices B_g [m,n]:
 * gradients of weights; where `turned` is set out[g] is the transpose of that. sums[g][j] = sum over all steps and columns
 * of B_g[j]: gradients of biases. */
typedef struct ur__contraction {
    size_t rows, m, n; /* rows = 0: there is no A */
    size_t matrices, stretches;
    const ur__stretch *stretch;
    bool turned;
    void *const *out;    /* of each matrix: [rows,m] or [m,rows], dense, overwritten */
    void *const *sums;   /* of each matrix: [m], overwritten; NULL: not wanted */
    bool begun, goes_on; /* of several columns, in several calls with one room: not the first, not the last of them */
} ur__contraction;

/* Fewer columns than this: lanes may go along the features. */
enum { UR__NARROW = 8 };

typedef struct ur__kernels {
    size_t lanes; /* elements of a vector: so many columns take no longer than one */
    ur__map_kernel *map[UR__MAPS];
    ur__dense_kernel *dense[UR__KERNELS - UR__DENSE];
    /* Products of packed matrices with many columns. A matrix of m rows is packed in panels of `panel` rows, the number
     * that suits m and the k of all terms, m itself where all rows are one panel; pack writes rows first..first+m-1 of it
     * from op(A), A having rows of a_stride elements, so that matrices over the same X can be stacked.
     * packed_elements(panel, m, k) is the room for m rows in all, zeroed once by the caller. */
    size_t (*panel)(size_t m, size_t k);
    size_t (*packed_elements)(size_t panel, size_t m, size_t k);
    void (*pack)(size_t panel, size_t first, size_t m, size_t k, const void *a, size_t a_stride, bool a_transposed,
                 void *packed);
    /* C[m,n] = bias + sum of the terms in their order, rows of C being c_stride elements apart: bias is one element for
     * each row or NULL. k goes upwards for every element, whatever the blocks are. */
    void (*product)(size_t panel, size_t m, size_t n, size_t terms, const ur__term *term, const void *bias, void *c,
                    size_t c_stride);
    /* Should it be product_narrow for m rows and n columns? Never for n from UR__NARROW on. */
    bool (*narrow)(size_t m, size_t n);
    /* The same for few columns. pack_narrow writes rows first..first+m-1 of `all` rows; there is room for all k. */
    void (*pack_narrow)(size_t all, size_t first, size_t m, size_t k, const void *a, size_t a_stride, bool a_transposed,
                        void *packed);
    void (*product_narrow)(size_t m, size_t n, size_t terms, const ur__term *term, const void *bias, void *c,
                           size_t c_stride);
    /* `room` is contraction_room(c) bytes, 64-byte aligned; it does for fewer columns too. */
    size_t (*contraction_room)(const ur__contraction *c);
    void (*contract)(const ur__contraction *c, void *room);
    /* C[m,n] = op(A) op(B), op(A) being [m,k]; A and B are stored transposed where the flags say so. */
    void (*matmul)(size_t m, size_t n, size_t k, const void *a, bool a_transposed, const void *b, bool b_transposed,
                   void *c);
    void (*add_to)(size_t n, void *y, const void *a); /* y += a */
    void (*sum_to)(size_t n, void *y, const void *a); /* *y += sum of a */
    /* y[j] = the sum over i of a[i,j], a being [rows,n], its rows `row` elements apart; `add`: added to what y holds. */
    void (*sum_rows)(size_t rows, size_t n, void *y, const void *a, ptrdiff_t row, bool add);
    /* Two vectors of y, in turn, += factor times the vectors of the rows of a, [rows,n], which are `row` elements apart. */
    void (*add_lanes)(size_t rows, size_t n, size_t row, void *y, const void *a, double factor);
    /* The same of bce_net(x, target), u = e^-|x|, for one row. */
    void (*add_bce_net)(size_t n, void *y, const void *x, const void *target, const void *u);
    void (*fill)(size_t n, void *y, const void *element); /* y = *element, n times */
    void (*to_f64)(size_t n, double *y, const void *a);
    void (*from_f64)(size_t n, void *y, const double *a);
    /* Index of the first element that is no finite number; n when all are. */
    size_t (*not_finite)(size_t n, const void *a);
    bool (*has_zero)(size_t n, const void *a);    /* is any element 0? */
    size_t (*length_of)(size_t n, const void *a); /* up to the last element that is not 0 */
} ur__kernels;

/* Those of every instruction set, and the best that the processor has. */
extern const ur__kernels ur__kernels_f32_portable, ur__kernels_f64_portable;
#if defined(__x86_64__)
extern const ur__kernels ur__kernels_f32_avx2, ur__kernels_f64_avx2, ur__kernels_f32_avx512, ur__kernels_f64_avx512;
#endif
const ur__kernels *ur__kernels_of(ur_dtype dtype);

#endif
