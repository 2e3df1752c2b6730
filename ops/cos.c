/* cos.c - y = cos a;  da = -g sin a. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return cos(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_neg(ur_mul(a->g, ur_sin(a->in[0])));
}

const ur_op ur_op_cos = {
    .name = "cos",
    .formula = "cos a",
    .derivative = "-g sin a",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__COS,
    .map = map,
    .derive = derive,
    .onnx = "Cos",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_cos(ur_var a)
{
    return ur__unary(&ur_op_cos, a, NULL);
}
