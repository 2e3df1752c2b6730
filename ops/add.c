/* add.c - y = a + b,  da = g, db = g. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] + in[1];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return a->g;
}

const ur_op ur_op_add = {
    .name = "add",
    .formula = "a + b",
    .derivative = "da = g, db = g",
    .print = "{0} + {1}",
    .binds = UR_BINDS_SUM,
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__ADD,
    .map = map,
    .derive = derive,
    .onnx = "Add",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(3), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(3, 4), UR_SIZES(1, 4)}, {0}, 0, 0},
                {{UR_SIZES(3), UR_SIZES(1, 4)}, {0}, 0, 0}},
};

ur_var ur_add(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_add, a, b, NULL);
}
