/* sign.c - y = -1, 0 or 1 as a is below, at or above 0;  y' = 0 everywhere, at the jump too. NaN stays NaN. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] > 0 ? 1 : in[0] < 0 ? -1 : in[0] == 0 ? 0 : in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    (void)a;
    return UR_ZERO;
}

const ur_op ur_op_sign = {
    .name = "sign",
    .formula = "-1, 0 or 1",
    .derivative = "0",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SIGN,
    .map = map,
    .derive = derive,
    .onnx = "Sign",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_sign(ur_var a)
{
    return ur__unary(&ur_op_sign, a, NULL);
}
