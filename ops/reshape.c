/* reshape.c - the same elements in the same order under another shape;  da = g under a's. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    char text[UR_SHAPE_TEXT];
    s->out = (ur_shape){.rank = ur__whole_int(s->attr[0])};
    for (int i = 0; i < s->out.rank && i < UR_RANK; i++)
        s->out.size[i] = ur__whole(s->attr[1 + i]);
    if (!ur_shape_count(s->out))
        return ur_refuse(s, "%s is not a shape that a tape holds: sizes from 1, at most 2^40 elements",
                         ur_shape_text(s->out, text));
    if (ur_shape_count(s->out) != ur_shape_count(s->in[0]))
        return ur_refuse(s, "%s has another number of elements", ur_shape_text(s->out, text));
    return true;
}

static void run(const ur_call *c)
{
    size_t n = ur_shape_count(c->out_shape);
    for (size_t i = 0; i < n; i++)
        c->out[i] = c->in[0][i];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return ur_reshape(a->g, ur__shape_of(a->in[k]));
}

const ur_op ur_op_reshape = {
    .name = "reshape",
    .formula = "a under another shape",
    .derivative = "g under a's shape",
    .inputs = 1,
    .attrs = 1 + UR_RANK,
    .kind = UR_COLUMNS,
    .kernel = UR__ALIAS,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "Reshape",
    .samples = {{{UR_SIZES(3, 4)}, {3, 2, 3, 2, 0}, 0, 0}, {{UR_SIZES(3)}, {2, 3, 1, 0, 0}, 0, 0}},
};

ur_var ur_reshape(ur_var a, ur_shape shape)
{
    double attr[1 + UR_RANK] = {shape.rank};
    for (int i = 0; i < shape.rank && i < UR_RANK; i++)
        attr[1 + i] = (double)shape.size[i];
    return ur__unary(&ur_op_reshape, a, attr);
}
