/* gather.c - rows of a table, the embedding: W [V,d] and indices i [1,B] give the columns y_n = W[i_n], [d,B].
 *
 *     dW = scatter(g, i): row v is the sum of the g_n with i_n = v.   An index has no derivative.
 *
 * An index that is no row of the table gives a column of NaN. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    if (s->in[0].rank != 2 || s->in[1].rank != 2 || s->in[1].size[0] != 1)
        return ur_refuse(s, "a table [V,d] and indices [1,B] were expected");
    s->out = UR_SHAPE(s->in[0].size[1], s->in[1].size[1]);
    return true;
}

static void run(const ur_call *c)
{
    size_t rows = (size_t)c->shape[0].size[0], d = (size_t)c->shape[0].size[1], batch = (size_t)c->shape[1].size[1];
    for (size_t n = 0; n < batch; n++) {
        double row = c->in[1][n];
        bool good = row >= 0 && row < (double)rows && row == floor(row);
        for (size_t i = 0; i < d; i++)
            c->out[i * batch + n] = good ? c->in[0][(size_t)row * d + i] : (double)NAN;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return k == 0 ? ur_scatter(a->g, a->in[1], ur__size(ur__shape_of(a->in[0]), 0)) : UR_ZERO;
}

const ur_op ur_op_gather = {
    .name = "gather",
    .formula = "the rows b of the table a, as columns",
    .derivative = "da = scatter(g, b)",
    .inputs = 2,
    .kind = UR_COLUMNS,
    .kernel = UR__GATHER,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "Gather",
    .samples = {{{UR_SIZES(4, 3), UR_SIZES(1, 5)}, {0}, 0, 0}},
};

ur_var ur_gather(ur_var table, ur_var index)
{
    return ur__binary(&ur_op_gather, table, index, NULL);
}
