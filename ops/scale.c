/* scale.c - y = c a for a number c,  da = c g. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    return attr[0] * in[0];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_scale(a->g, a->attr[0]);
}

const ur_op ur_op_scale = {
    .name = "scale",
    .formula = "c a",
    .derivative = "c g",
    .print = "{c} {0}",
    .binds = UR_BINDS_PRODUCT,
    .inputs = 1,
    .attrs = 1,
    .kind = UR_MAP,
    .kernel = UR__SCALE,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4)}, {-1.5}, 0, 0}},
};

ur_var ur_scale(ur_var a, double factor)
{
    return ur__unary(&ur_op_scale, a, &factor);
}
