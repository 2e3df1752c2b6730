/* scatter.c - sums columns into the rows of a table: y [V,d] with y_v the sum of the a_n [d,B] with i_n = v; the
 * derivative of gather.  da = gather(g, i).  Indices that are no row are left out. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    if (s->in[0].rank != 2 || s->in[1].rank != 2 || s->in[1].size[0] != 1 || s->in[0].size[1] != s->in[1].size[1])
        return ur_refuse(s, "columns [d,B] and indices [1,B] were expected");
    s->out = UR_SHAPE(ur__whole(s->attr[0]), s->in[0].size[0]);
    return true;
}

static void run(const ur_call *c)
{
    size_t rows = (size_t)c->out_shape.size[0], d = (size_t)c->out_shape.size[1], batch = (size_t)c->shape[1].size[1];
    for (size_t i = 0; i < rows * d; i++)
        c->out[i] = 0;
    for (size_t n = 0; n < batch; n++) {
        double row = c->in[1][n];
        for (size_t i = 0; row >= 0 && row < (double)rows && row == floor(row) && i < d; i++)
            c->out[(size_t)row * d + i] += c->in[0][i * batch + n];
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return k == 0 ? ur_gather(a->g, a->in[1]) : UR_ZERO;
}

/* A table that is read at every step has a derivative at every step; where those are larger than the columns in them, their
 * sum is one table of all columns. */
static ur_var join(size_t n, const ur_var *terms)
{
    if (!ur__inputs_are_smaller(n, terms))
        return UR_ZERO;
    const ur_var columns = ur__inputs_joined(n, terms, 0, 1), index = ur__inputs_joined(n, terms, 1, 1);
    return ur_scatter(columns, index, ur__size(ur__shape_of(terms[0]), 0));
}

const ur_op ur_op_scatter = {
    .name = "scatter",
    .formula = "the columns a summed into the rows b of a table",
    .derivative = "da = gather(g, b)",
    .inputs = 2,
    .attrs = 1,
    .kind = UR_WHOLE,
    .kernel = UR__SCATTER,
    .shape = shape,
    .run = run,
    .derive = derive,
    .join = join,
    .onnx = "ScatterElements",
    .samples = {{{UR_SIZES(3, 5), UR_SIZES(1, 5)}, {4}, 0, 0}},
};

ur_var ur_scatter(ur_var columns, ur_var index, int64_t rows)
{
    return ur__binary(&ur_op_scatter, columns, index, (double[]){(double)rows});
}
