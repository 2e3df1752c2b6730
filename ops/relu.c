/* relu.c - y = max(a, 0);  y' = 1 where a > 0, else 0: 0 at the kink. NaN stays NaN. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] > 0 || isnan(in[0]) ? in[0] : 0;
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_step_function(a->in[0]));
}

const ur_op ur_op_relu = {
    .name = "relu",
    .formula = "max(a, 0)",
    .derivative = "g where a > 0, else 0",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__RELU,
    .map = map,
    .derive = derive,
    .onnx = "Relu",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_relu(ur_var a)
{
    return ur__unary(&ur_op_relu, a, NULL);
}
