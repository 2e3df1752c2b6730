/* exp.c - y = e^a,  y' = y. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return exp(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, a->y);
}

const ur_op ur_op_exp = {
    .name = "exp",
    .formula = "e^a",
    .derivative = "g y",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__EXP,
    .map = map,
    .derive = derive,
    .onnx = "Exp",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_exp(ur_var a)
{
    return ur__unary(&ur_op_exp, a, NULL);
}
