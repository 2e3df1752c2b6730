/* abs.c - y = |a|;  da = g sign a: 0 at the kink. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return fabs(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_sign(a->in[0]));
}

const ur_op ur_op_abs = {
    .name = "abs",
    .formula = "|a|",
    .derivative = "g sign a",
    .print = "|{0}|",
    .binds = UR_BINDS_CALL,
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__ABS,
    .map = map,
    .derive = derive,
    .onnx = "Abs",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_abs(ur_var a)
{
    return ur__unary(&ur_op_abs, a, NULL);
}
