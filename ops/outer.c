/* outer.c - the outer product of each column, [k,...] [v,...] -> [k,v,...]: y_ij = a_i b_j, a column a b^T.
 *
 *     da_i = sum_j g_ij b_j,   db_j = sum_i g_ij a_i:   products of the matrix g with a column. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    ur_shape a = s->in[0], b = s->in[1];
    if (a.rank < 2 || a.rank > 3 || a.rank != b.rank)
        return ur_refuse(s, "two vectors with one batch behind them were expected, of rank 2 or 3");
    s->out = (ur_shape){.rank = a.rank + 1, .size = {a.size[0], b.size[0], a.size[1], ur__size(a, 2)}};
    for (int i = 1; i < a.rank; i++)
        if (a.size[i] != b.size[i])
            return ur_refuse(s, "the batches differ, %lld and %lld", (long long)a.size[i], (long long)b.size[i]);
    return true;
}

static void run(const ur_call *c)
{
    size_t k = (size_t)c->out_shape.size[0], v = (size_t)c->out_shape.size[1];
    size_t batch = ur_shape_count(c->out_shape) / (k * v);
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < v; j++)
            for (size_t b = 0; b < batch; b++)
                c->out[(i * v + j) * batch + b] = c->in[0][i * batch + b] * c->in[1][j * batch + b];
}

/* A vector [n,...] as the matrix [n,1,...]. */
static ur_var column(ur_var a)
{
    ur_shape s = ur__shape_of(a);
    return ur_reshape(a, (ur_shape){.rank = s.rank + 1, .size = {s.size[0], 1, s.size[1], ur__size(s, 2)}});
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return ur_reshape(ur_bmm(a->g, k == 1, column(a->in[1 - k]), false), ur__shape_of(a->in[k]));
}

const ur_op ur_op_outer = {
    .name = "outer",
    .formula = "a b^T for each column",
    .derivative = "da = g b, db = g^T a",
    .inputs = 2,
    .kind = UR_COLUMNS,
    .kernel = UR__OUTER,
    .shape = shape,
    .run = run,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(2, 4)}, {0}, 0, 0}, {{UR_SIZES(3, 2, 2), UR_SIZES(2, 2, 2)}, {0}, 0, 0}},
};

ur_var ur_outer(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_outer, a, b, NULL);
}
