/* step.c - y = 1 where a > 0, else 0;  y' = 0 everywhere, at the jump too. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] > 0 ? 1 : 0;
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)a;
    (void)k;
    return UR_ZERO;
}

const ur_op ur_op_step = {
    .name = "step",
    .formula = "1 where a > 0, else 0",
    .derivative = "0",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__STEP,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_step_function(ur_var a)
{
    return ur__unary(&ur_op_step, a, NULL);
}
