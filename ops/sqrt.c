/* sqrt.c - y = sqrt a;  da = g/(2 y). */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return sqrt(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_scale(ur_div(a->g, a->y), 0.5);
}

const ur_op ur_op_sqrt = {
    .name = "sqrt",
    .formula = "sqrt a",
    .derivative = "g/(2 y)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SQRT,
    .map = map,
    .derive = derive,
    .onnx = "Sqrt",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0.1, 3}},
};

ur_var ur_sqrt(ur_var a)
{
    return ur__unary(&ur_op_sqrt, a, NULL);
}
