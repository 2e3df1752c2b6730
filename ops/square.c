/* square.c - y = a^2,  da = 2 g a. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] * in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_scale(a->in[0], 2));
}

const ur_op ur_op_square = {
    .name = "square",
    .formula = "a^2",
    .derivative = "2 g a",
    .print = "{0^}^2",
    .binds = UR_BINDS_POWER,
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SQUARE,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_square(ur_var a)
{
    return ur__unary(&ur_op_square, a, NULL);
}
