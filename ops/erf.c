/* erf.c - the error function y = 2/sqrt(pi) int_0^a e^-s^2 ds;  da = g 2/sqrt(pi) e^-a^2. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return erf(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    static const double two_over_sqrt_pi = 1.1283791670955126;
    return ur_mul(a->g, ur_scale(ur_exp(ur_neg(ur_square(a->in[0]))), two_over_sqrt_pi));
}

const ur_op ur_op_erf = {
    .name = "erf",
    .formula = "erf a",
    .derivative = "g 2/sqrt(pi) e^-a^2",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__ERF,
    .map = map,
    .derive = derive,
    .onnx = "Erf",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_erf(ur_var a)
{
    return ur__unary(&ur_op_erf, a, NULL);
}
