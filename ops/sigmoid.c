/* sigmoid.c - y = 1/(1 + e^-a);  y' = e^-a / (1 + e^-a)^2 = y (1 - y). */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] >= 0 ? 1 / (1 + exp(-in[0])) : exp(in[0]) / (1 + exp(in[0]));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_mul(a->y, ur_one_minus(a->y)));
}

const ur_op ur_op_sigmoid = {
    .name = "sigmoid",
    .formula = "1/(1 + e^-a)",
    .derivative = "g y (1 - y)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SIGMOID,
    .map = map,
    .derive = derive,
    .onnx = "Sigmoid",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_sigmoid(ur_var a)
{
    return ur__unary(&ur_op_sigmoid, a, NULL);
}
