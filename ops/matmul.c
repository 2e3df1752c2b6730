/* matmul.c - the matrix product y = A B, each operand transposed or not.
 *
 *     y = A B:      dA = g B^T,    dB = A^T g
 *     y = A^T B:    dA = B g^T,    dB = A g
 *     y = A B^T:    dA = g B,      dB = g^T A
 *     y = A^T B^T:  dA = B^T g^T,  dB = g^T A^T
 *
 * In one line each: the derivative by op(A) is g op(B)^T, by op(B) it is op(A)^T g; where op transposes, so does the
 * result. */
#include "op.h"

/* Rows and columns of a shape as a matrix, transposed or not. */
static int64_t rows(ur_shape s, bool transposed)
{
    return ur__size(s, transposed ? 1 : 0);
}

static int64_t columns(ur_shape s, bool transposed)
{
    return rows(s, !transposed);
}

static bool shape(ur_shaping *s)
{
    bool ta = s->attr[0] != 0, tb = s->attr[1] != 0;
    if (s->in[0].rank > 2 || s->in[1].rank > 2)
        return ur_refuse(s, "a matrix product takes matrices, of rank 2 at most");
    int64_t inner_a = columns(s->in[0], ta), inner_b = rows(s->in[1], tb);
    if (inner_a != inner_b)
        return ur_refuse(s, "inner sizes differ, %lld and %lld%s", (long long)inner_a, (long long)inner_b,
                         ur__transposed(s->attr));
    s->out = UR_SHAPE(rows(s->in[0], ta), columns(s->in[1], tb));
    return true;
}

static void run(const ur_call *c)
{
    bool ta = c->attr[0] != 0, tb = c->attr[1] != 0;
    size_t m = (size_t)rows(c->shape[0], ta), k = (size_t)columns(c->shape[0], ta);
    size_t n = (size_t)columns(c->shape[1], tb);
    const size_t step_a = ta ? m : 1, step_b = tb ? 1 : n;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            const double *a = c->in[0] + (ta ? i : i * k), *b = c->in[1] + (tb ? j * k : j);
            double sum = 0;
            for (size_t q = 0; q < k; q++)
                sum += a[q * step_a] * b[q * step_b];
            c->out[i * n + j] = sum;
        }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    bool ta = a->attr[0] != 0, tb = a->attr[1] != 0;
    ur_var A = a->in[0], B = a->in[1], g = a->g;
    if (k == 0)
        return ta ? ur_gemm(B, tb, g, true) : ur_gemm(g, false, B, !tb);
    return tb ? ur_gemm(g, true, A, ta) : ur_gemm(A, !ta, g, false);
}

const ur_op ur_op_matmul = {
    .name = "matmul",
    .formula = "A B, each transposed or not",
    .derivative = "dA = g B^T, dB = A^T g",
    .print = "{0'} {1'}",
    .binds = UR_BINDS_PRODUCT,
    .inputs = 2,
    .attrs = 2,
    .kind = UR_COLUMNS,
    .kernel = UR__MATMUL,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "Gemm",
    .samples = {{{UR_SIZES(2, 3), UR_SIZES(3, 4)}, {0, 0}, 0, 0},
                {{UR_SIZES(3, 2), UR_SIZES(3, 4)}, {1, 0}, 0, 0},
                {{UR_SIZES(2, 3), UR_SIZES(4, 3)}, {0, 1}, 0, 0},
                {{UR_SIZES(3, 2), UR_SIZES(4, 3)}, {1, 1}, 0, 0}},
};

ur_var ur_gemm(ur_var a, bool a_transposed, ur_var b, bool b_transposed)
{
    return ur__binary(&ur_op_matmul, a, b, (double[]){a_transposed, b_transposed});
}

ur_var ur_matmul(ur_var a, ur_var b)
{
    return ur_gemm(a, false, b, false);
}
