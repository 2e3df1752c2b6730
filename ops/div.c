/* div.c - y = a/b,  da = g/b, db = -g a/b^2 = -(g/b) y. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] / in[1];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var share = ur_div(a->g, a->in[1]);
    return k == 0 ? share : ur_neg(ur_mul(share, a->y));
}

const ur_op ur_op_div = {
    .name = "div",
    .formula = "a/b",
    .derivative = "da = g/b, db = -g y/b",
    .print = "{0} ./ {1}",
    .binds = UR_BINDS_PRODUCT,
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__DIV,
    .map = map,
    .derive = derive,
    .onnx = "Div",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0.1, 3},
                {{UR_SIZES(3), UR_SIZES(3, 4)}, {0}, 0.1, 3},
                {{UR_SIZES(3, 4), UR_SIZES(1, 4)}, {0}, 0.1, 3},
                {{UR_SIZES(3), UR_SIZES(1, 4)}, {0}, 0.1, 3}},
};

ur_var ur_div(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_div, a, b, NULL);
}
