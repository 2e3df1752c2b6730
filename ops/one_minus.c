/* one_minus.c - y = 1 - a,  da = -g: the other half of a gate. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return 1 - in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_neg(a->g);
}

const ur_op ur_op_one_minus = {
    .name = "one_minus",
    .formula = "1 - a",
    .derivative = "-g",
    .print = "1 - {0}",
    .binds = UR_BINDS_SUM,
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__ONE_MINUS,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_one_minus(ur_var a)
{
    return ur__unary(&ur_op_one_minus, a, NULL);
}
