/* bmm.c - a matrix product for each column of the batch: [m,k,...] [k,n,...] -> [m,n,...], each operand transposed in
 * its first two dimensions or not; the dimensions after them are the batch. The derivatives are those of matmul. */
#include "op.h"

static int64_t rows(ur_shape s, bool transposed)
{
    return ur__size(s, transposed ? 1 : 0);
}

static bool shape(ur_shaping *s)
{
    bool ta = s->attr[0] != 0, tb = s->attr[1] != 0;
    int64_t inner_a = rows(s->in[0], !ta), inner_b = rows(s->in[1], tb);
    s->out = s->in[0];
    if (s->in[0].rank < 3 || s->in[1].rank < 3)
        return ur_refuse(s, "a batched product takes matrices with a batch behind them, of rank 3 or 4");
    if (inner_a != inner_b)
        return ur_refuse(s, "inner sizes differ, %lld and %lld%s", (long long)inner_a, (long long)inner_b,
                         ur__transposed(s->attr));
    for (int i = 2; i < UR_RANK; i++)
        if (ur__size(s->in[0], i) != ur__size(s->in[1], i))
            return ur_refuse(s, "the batches differ, %lld and %lld", (long long)ur__size(s->in[0], i),
                             (long long)ur__size(s->in[1], i));
    s->out.size[0] = rows(s->in[0], ta);
    s->out.size[1] = rows(s->in[1], !tb);
    return true;
}

static void run(const ur_call *c)
{
    bool ta = c->attr[0] != 0, tb = c->attr[1] != 0;
    size_t m = (size_t)c->out_shape.size[0], n = (size_t)c->out_shape.size[1];
    size_t k = (size_t)rows(c->shape[0], !ta), batch = ur_shape_count(c->out_shape) / (m * n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t b = 0; b < batch; b++) {
                double sum = 0;
                for (size_t q = 0; q < k; q++)
                    sum += c->in[0][(ta ? q * m + i : i * k + q) * batch + b] *
                           c->in[1][(tb ? j * k + q : q * n + j) * batch + b];
                c->out[(i * n + j) * batch + b] = sum;
            }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    bool ta = a->attr[0] != 0, tb = a->attr[1] != 0;
    ur_var A = a->in[0], B = a->in[1], g = a->g;
    if (k == 0)
        return ta ? ur_bmm(B, tb, g, true) : ur_bmm(g, false, B, !tb);
    return tb ? ur_bmm(g, true, A, ta) : ur_bmm(A, !ta, g, false);
}

/* sum_t A_t B_t = [A_1 A_2 ...] [B_1; B_2; ...], where that is smaller than the products: so a value that every step
 * attends to has one derivative, and not one for each. */
static ur_var join(size_t n, const ur_var *terms)
{
    ur_node first = {0}, other = {0};
    ur_look(terms[0], &first);
    const bool ta = first.attr[0] != 0, tb = first.attr[1] != 0;
    for (size_t i = 1; i < n && ur_look(terms[i], &other); i++)
        if ((other.attr[0] != 0) != ta || (other.attr[1] != 0) != tb)
            return UR_ZERO;
    if (!ur__inputs_are_smaller(n, terms))
        return UR_ZERO;
    return ur_bmm(ur__inputs_joined(n, terms, 0, ta ? 0 : 1), ta, ur__inputs_joined(n, terms, 1, tb ? 1 : 0), tb);
}

const ur_op ur_op_bmm = {
    .name = "bmm",
    .formula = "A B for each column, each transposed or not",
    .derivative = "dA = g B^T, dB = A^T g",
    .inputs = 2,
    .attrs = 2,
    .kind = UR_COLUMNS,
    .kernel = UR__BMM,
    .shape = shape,
    .run = run,
    .derive = derive,
    .join = join,
    .samples = {{{UR_SIZES(2, 3, 4), UR_SIZES(3, 2, 4)}, {0, 0}, 0, 0},
                {{UR_SIZES(3, 2, 4), UR_SIZES(3, 1, 4)}, {1, 0}, 0, 0},
                {{UR_SIZES(2, 3, 2, 2), UR_SIZES(2, 3, 2, 2)}, {0, 1}, 0, 0},
                {{UR_SIZES(3, 2, 2), UR_SIZES(2, 3, 2)}, {1, 1}, 0, 0}},
};

ur_var ur_bmm(ur_var a, bool a_transposed, ur_var b, bool b_transposed)
{
    return ur__binary(&ur_op_bmm, a, b, (double[]){a_transposed, b_transposed});
}
