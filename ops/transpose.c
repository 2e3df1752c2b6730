/* transpose.c - two axes exchanged;  da = g with the same axes exchanged. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    int i = ur__whole_int(s->attr[0]), j = ur__whole_int(s->attr[1]);
    s->out = s->in[0];
    if (i < 0 || j < 0 || i >= UR_RANK || j >= UR_RANK)
        return ur_refuse(s, "there are no axes %d and %d", i, j);
    int rank = i > j ? i + 1 : j + 1;
    for (int q = s->out.rank; q < rank; q++)
        s->out.size[q] = 1;
    s->out.rank = rank > s->out.rank ? rank : s->out.rank;
    s->out.size[i] = ur__size(s->in[0], j);
    s->out.size[j] = ur__size(s->in[0], i);
    return true;
}

static void run(const ur_call *c)
{
    size_t stride[UR_RANK], size[UR_RANK], step = 1, at[UR_RANK] = {0};
    double *out = c->out;
    for (int q = UR_RANK - 1; q >= 0; q--) {
        size[q] = (size_t)ur__size(c->out_shape, q);
        stride[q] = step;
        step *= (size_t)ur__size(c->shape[0], q);
    }
    int i = (int)c->attr[0], j = (int)c->attr[1];
    size_t exchanged = stride[i];
    stride[i] = stride[j];
    stride[j] = exchanged;
    do
        *out++ = c->in[0][ur__offset(at, stride)];
    while (ur__next(at, size));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_transpose(a->g, (int)a->attr[0], (int)a->attr[1]);
}

const ur_op ur_op_transpose = {
    .name = "transpose",
    .formula = "a with two axes exchanged",
    .derivative = "g with the same axes exchanged",
    .inputs = 1,
    .attrs = 2,
    .kind = UR_COLUMNS,
    .kernel = UR__TRANSPOSE,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "Transpose",
    .samples = {{{UR_SIZES(3, 4)}, {0, 1}, 0, 0},
                {{UR_SIZES(2, 3, 4)}, {0, 2}, 0, 0},
                {{UR_SIZES(2, 3, 2)}, {1, 1}, 0, 0}},
};

ur_var ur_transpose(ur_var a, int i, int j)
{
    return ur__unary(&ur_op_transpose, a, (double[]){i, j});
}
