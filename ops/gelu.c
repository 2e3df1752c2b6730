/* gelu.c - the Gaussian error linear unit (Hendrycks and Gimpel 2016), in its erf form: y = a P(a) with the normal
 * distribution P(a) = (1 + erf(a/sqrt 2))/2 and its density p;  da = g (P(a) + a p(a)). */
#include "op.h"

static const double sqrt_half = 0.7071067811865476;

static double map(const double *in, const double *attr)
{
    (void)attr;
    return 0.5 * in[0] * erfc(-in[0] * sqrt_half);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    static const double over_sqrt_two_pi = 0.3989422804014327;
    ur_var x = a->in[0], one = ur_const(a->y.tape, UR_SCALAR, 1);
    ur_var distribution = ur_scale(ur_add(one, ur_erf(ur_scale(x, sqrt_half))), 0.5);
    ur_var density = ur_scale(ur_exp(ur_scale(ur_square(x), -0.5)), over_sqrt_two_pi);
    return ur_mul(a->g, ur_add(distribution, ur_mul(x, density)));
}

const ur_op ur_op_gelu = {
    .name = "gelu",
    .formula = "a (1 + erf(a/sqrt 2))/2",
    .derivative = "g (P(a) + a p(a)), P the normal distribution, p its density",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__GELU,
    .map = map,
    .derive = derive,
    .onnx = "Gelu",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_gelu(ur_var a)
{
    return ur__unary(&ur_op_gelu, a, NULL);
}
