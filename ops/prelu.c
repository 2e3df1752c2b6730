/* prelu.c - the parametric ReLU (He et al. 2015, equation 1): y = a where a > 0, else b a, with a learned slope b.
 *
 *     da = g where a > 0, else g b,   db = 0 where a > 0, else g a. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] > 0 ? in[0] : in[1] * in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var positive = ur_step_function(a->in[0]);
    if (k == 0)
        return ur_select(positive, a->g, ur_mul(a->g, a->in[1]));
    return ur_select(positive, ur_const(a->y.tape, UR_SCALAR, 0), ur_mul(a->g, a->in[0]));
}

const ur_op ur_op_prelu = {
    .name = "prelu",
    .formula = "a where a > 0, else b a",
    .derivative = "da = g where a > 0, else g b; db = g a where a <= 0",
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__PRELU,
    .map = map,
    .derive = derive,
    .onnx = "PRelu",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3)}, {0}, 0, 0}, {{UR_SIZES(3, 4), UR_SIZES(1)}, {0}, 0, 0}},
};

ur_var ur_prelu(ur_var a, ur_var slope)
{
    return ur__binary(&ur_op_prelu, a, slope, NULL);
}
