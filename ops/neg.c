/* neg.c - y = -a,  da = -g. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return -in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_neg(a->g);
}

const ur_op ur_op_neg = {
    .name = "neg",
    .formula = "-a",
    .derivative = "-g",
    .print = "-{0}",
    .binds = UR_BINDS_SIGN,
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__NEG,
    .map = map,
    .derive = derive,
    .onnx = "Neg",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_neg(ur_var a)
{
    return ur__unary(&ur_op_neg, a, NULL);
}
