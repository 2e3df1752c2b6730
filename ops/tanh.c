/* tanh.c - y = tanh a;  y' = 1 - y^2. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return tanh(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_one_minus(ur_square(a->y)));
}

const ur_op ur_op_tanh = {
    .name = "tanh",
    .formula = "tanh a",
    .derivative = "g (1 - y^2)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__TANH,
    .map = map,
    .derive = derive,
    .onnx = "Tanh",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_tanh(ur_var a)
{
    return ur__unary(&ur_op_tanh, a, NULL);
}
