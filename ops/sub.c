/* sub.c - y = a - b,  da = g, db = -g. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] - in[1];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return k == 0 ? a->g : ur_neg(a->g);
}

const ur_op ur_op_sub = {
    .name = "sub",
    .formula = "a - b",
    .derivative = "da = g, db = -g",
    .print = "{0} - {1}",
    .binds = UR_BINDS_SUM,
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__SUB,
    .map = map,
    .derive = derive,
    .onnx = "Sub",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(3), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(3, 4), UR_SIZES(1, 4)}, {0}, 0, 0},
                {{UR_SIZES(3), UR_SIZES(1, 4)}, {0}, 0, 0}},
};

ur_var ur_sub(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_sub, a, b, NULL);
}
