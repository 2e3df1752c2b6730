/* sin.c - y = sin a;  da = g cos a. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return sin(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_cos(a->in[0]));
}

const ur_op ur_op_sin = {
    .name = "sin",
    .formula = "sin a",
    .derivative = "g cos a",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SIN,
    .map = map,
    .derive = derive,
    .onnx = "Sin",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_sin(ur_var a)
{
    return ur__unary(&ur_op_sin, a, NULL);
}
