/* softplus.c - y = ln(1 + e^a) = max(a, 0) + ln(1 + e^-|a|), finite for every a;  da = g sigmoid(a). */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return (in[0] > 0 ? in[0] : 0) + log1p(exp(-fabs(in[0])));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur__once(&ur_op_sigmoid, a->in[0], a->y));
}

const ur_op ur_op_softplus = {
    .name = "softplus",
    .formula = "ln(1 + e^a)",
    .derivative = "g sigmoid(a)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SOFTPLUS,
    .map = map,
    .derive = derive,
    .onnx = "Softplus",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_softplus(ur_var a)
{
    return ur__unary(&ur_op_softplus, a, NULL);
}
