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
ur_var ur_add(ur_var a, ur_var b); /* a + b */
ur_var ur_sub(ur_var a, ur_var b); /* a - b */
ur_var ur_mul(ur_var a, ur_var b); /* a * b, Hadamard's product */
ur_var ur_div(ur_var a, ur_var b); /* a / b */

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

/* Products of matrices, [m,k] [k,n] -> [m,n]; a vector [k] is the column [k,1]. Nothing is copied to transpose it. */
ur_var ur_matmul(ur_var a, ur_var b);                                     /* a b */
ur_var ur_gemm(ur_var a, bool a_transposed, ur_var b, bool b_transposed); /* a b, a^T b, a b^T or a^T b^T */

/* Sums. Over one axis the result keeps that axis with size 1: over 0, the features, [m,B] -> [1,B]. */
ur_var ur_sum(ur_var a);                 /* of all elements -> [] */
ur_var ur_sum_over(ur_var a, int axis);  /* along one axis */
ur_var ur_mean(ur_var a);                /* of all elements -> [] */
ur_var ur_mean_over(ur_var a, int axis); /* along one axis */

/* Over the features (axis 0), each column by itself. */
ur_var ur_softmax(ur_var a);     /* e^a_i / sum_j e^a_j */
ur_var ur_log_softmax(ur_var a); /* a_i - ln sum_j e^a_j */

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
