/* lrelu.c - the leaky ReLU of the lecture (Maas et al. 2013): y = a where a > 0, else c a; c = 0.01 is the small leak,
 * 0.2 the huge one.  da = g where a > 0, else c g. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    return in[0] > 0 ? in[0] : attr[0] * in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_select(ur_step_function(a->in[0]), a->g, ur_scale(a->g, a->attr[0]));
}

const ur_op ur_op_lrelu = {
    .name = "lrelu",
    .formula = "a where a > 0, else c a",
    .derivative = "g where a > 0, else c g",
    .inputs = 1,
    .attrs = 1,
    .kind = UR_MAP,
    .kernel = UR__LRELU,
    .map = map,
    .derive = derive,
    .onnx = "LeakyRelu",
    .samples = {{{UR_SIZES(3, 4)}, {0.2}, 0, 0}},
};

ur_var ur_lrelu(ur_var a, double slope)
{
    return ur__unary(&ur_op_lrelu, a, &slope);
}
