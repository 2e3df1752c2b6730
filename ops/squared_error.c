/* squared_error.c - E = 1/2 (o - y)^2, elementwise, with the lecture's factor 1/2;  dE/do = o - y. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return 0.5 * (in[0] - in[1]) * (in[0] - in[1]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var da = ur_mul(a->g, ur_sub(a->in[0], a->in[1]));
    return k == 0 ? da : ur_neg(da);
}

const ur_op ur_op_squared_error = {
    .name = "squared_error",
    .formula = "1/2 (a - b)^2",
    .derivative = "da = g (a - b), db = -g (a - b)",
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__SQUARED_ERROR,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_squared_error(ur_var o, ur_var y)
{
    return ur__binary(&ur_op_squared_error, o, y, NULL);
}
