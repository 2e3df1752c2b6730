/* ops.h - the operations, a formula each. Inputs are broadcast where the operation is elementwise; g stands for the
 * adjoint of the result in the derivatives, which `unroll help ops` prints beside the formulas.
 *
 * A mistake in the shapes poisons the result and stays in the tape: see graph.h. */
#ifndef UR_OPS_H
#define UR_OPS_H

#include "../graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Elementwise, of two values. */
ur_var ur_add(ur_var a, ur_var b);   /* a + b */
ur_var ur_sub(ur_var a, ur_var b);   /* a - b */
ur_var ur_mul(ur_var a, ur_var b);   /* a * b, Hadamard's product */
ur_var ur_div(ur_var a, ur_var b);   /* a / b */
ur_var ur_min(ur_var a, ur_var b);   /* the smaller one; at a tie of finite numbers both get half of the derivative */
ur_var ur_max(ur_var a, ur_var b);   /* the larger one; the same */
ur_var ur_power(ur_var a, ur_var b); /* a^b for a > 0 */

/* Elementwise, of one value. */
ur_var ur_neg(ur_var a);                  /* -a */
ur_var ur_scale(ur_var a, double factor); /* factor a */
ur_var ur_one_minus(ur_var a);            /* 1 - a */
ur_var ur_square(ur_var a);               /* a^2 */
ur_var ur_exp(ur_var a);                  /* e^a */
ur_var ur_log(ur_var a);                  /* ln a */
ur_var ur_sigmoid(ur_var a);              /* 1/(1 + e^-a) */
ur_var ur_tanh(ur_var a);                 /* tanh a */
ur_var ur_relu(ur_var a);                 /* max(a, 0); derivative 0 at 0 */
ur_var ur_step_function(ur_var a);        /* 1 where a > 0, else 0; derivative 0 */
ur_var ur_sqrt(ur_var a);                 /* sqrt a */
ur_var ur_abs(ur_var a);                  /* |a|; derivative 0 at 0 */
ur_var ur_sign(ur_var a);                 /* -1, 0 or 1; derivative 0 */
ur_var ur_sin(ur_var a);                  /* sin a */
ur_var ur_cos(ur_var a);                  /* cos a */
ur_var ur_erf(ur_var a);                  /* 2/sqrt(pi) int_0^a e^-s^2 ds */
ur_var ur_softplus(ur_var a);             /* ln(1 + e^a), finite for any a */
ur_var ur_log_sigmoid(ur_var a);          /* ln sigmoid(a), finite for any a */
ur_var ur_lrelu(ur_var a, double slope);  /* a where a > 0, else slope a */
ur_var ur_prelu(ur_var a, ur_var slope);  /* the same with a learned slope */
ur_var ur_elu(ur_var a, double alpha);    /* a where a > 0, else alpha (e^a - 1) */
ur_var ur_selu(ur_var a);                 /* elu, scaled to keep mean 0 and variance 1 */
ur_var ur_gelu(ur_var a);                 /* a (1 + erf(a/sqrt 2))/2 */
ur_var ur_silu(ur_var a);                 /* a sigmoid(a) */

/* Products of matrices, [m,k] [k,n] -> [m,n]; a vector [k] is the column [k,1]. Nothing is copied to transpose it. */
ur_var ur_matmul(ur_var a, ur_var b);                                     /* a b */
ur_var ur_gemm(ur_var a, bool a_transposed, ur_var b, bool b_transposed); /* a b, a^T b, a b^T or a^T b^T */

/* The same for each column, [m,k,...] [k,n,...] -> [m,n,...], and a b^T for each, [k,...] [v,...] -> [k,v,...]. */
ur_var ur_bmm(ur_var a, bool a_transposed, ur_var b, bool b_transposed);
ur_var ur_outer(ur_var a, ur_var b);
/* The influence a [L,L,...] of step j on step t, fading: a_tj e^(b_t - b_j + c_j) for j <= t, else 0; b, c [L,...]. */
ur_var ur_decay(ur_var a, ur_var b, ur_var c);

/* Sums. Over one axis the result keeps that axis with size 1: over 0, the features, [m,B] -> [1,B]. */
ur_var ur_sum(ur_var a);                            /* of all elements -> [] */
ur_var ur_sum_over(ur_var a, int axis);             /* along one axis */
ur_var ur_mean(ur_var a);                           /* of all elements -> [] */
ur_var ur_mean_over(ur_var a, int axis);            /* along one axis */
ur_var ur_norm(ur_var a);                           /* sqrt(sum a^2) of all elements -> [] */
ur_var ur_norm_over(ur_var a, int axis);            /* along one axis */
ur_var ur_max_over(ur_var a, int axis);             /* the largest along one axis, -1: of all -> [] */
ur_var ur_cumsum(ur_var a, int axis, bool reverse); /* a_1 + ... + a_i, or a_i + ... + a_n; the shape stays */

/* Shapes. */
ur_var ur_concat(size_t n, const ur_var *parts, int axis);         /* one after another */
ur_var ur_slice(ur_var a, int axis, int64_t first, int64_t count); /* from index `first`, counted from 0 */
ur_var ur_pad(ur_var a, int axis, int64_t before, int64_t after);  /* so many zeros before it and after it */
ur_var ur_reshape(ur_var a, ur_shape shape);                       /* the same elements in the same order */
ur_var ur_transpose(ur_var a, int i, int j);                       /* two axes exchanged */

/* Tables: rows of W [V,d] by the indices [1,B] as columns [d,B], NaN where there is no such row; and columns summed into
 * rows, those of other indices left out. */
ur_var ur_gather(ur_var table, ur_var index);
ur_var ur_scatter(ur_var columns, ur_var index, int64_t rows);

/* A dropout mask [rows,B]: 1 with probability p, else 0, a function of seed, stream, the training step [] (an input;
 * below 0: evaluation, p everywhere) and the sequences' numbers [1,B]. */
ur_var ur_mask(ur_var step, ur_var sequences, double p, int64_t rows, uint32_t seed, uint32_t stream);

/* Over the features (axis 0), each column by itself. */
ur_var ur_softmax(ur_var a);     /* e^a_i / sum_j e^a_j */
ur_var ur_log_softmax(ur_var a); /* a_i - ln sum_j e^a_j */
ur_var ur_layer_norm(ur_var a);  /* (a - mean a)/sqrt(var a + 1e-5), the variance divided by the count */

/* Losses, against a target y of the same shape. All but the softmax one are elementwise. 0 ln 0 is 0. */
ur_var ur_bce(ur_var o, ur_var y);           /* of probabilities: -y ln o - (1 - y) ln(1 - o) */
ur_var ur_bce_net(ur_var net, ur_var y);     /* the same of o = sigmoid(net), finite for any net */
ur_var ur_cross_entropy(ur_var o, ur_var y); /* of probabilities: -y ln o */
ur_var ur_softmax_ce(ur_var net, ur_var y);  /* -sum_i y_i ln softmax(net)_i, [p,B] -> [1,B], finite for any net */
ur_var ur_squared_error(ur_var o, ur_var y); /* 1/2 (o - y)^2 */

/* All operations of the library, in alphabetical order of their files; NULL past the last. */
const ur_op *ur_op_at(size_t index);

#ifdef __cplusplus
}
#endif

#endif
