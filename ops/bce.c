/* bce.c - binary cross-entropy of probabilities, elementwise:
 *
 *     E = -y ln o - (1 - y) ln(1 - o),   dE/do = (1 - y)/(1 - o) - y/o,   dE/dy = ln(1 - o) - ln o.
 *
 * 0 ln 0 is 0, and of a term whose factor, y or 1 - y, is 0 the derivative by o is 0 too, at o = 0 and 1 as elsewhere.
 * Where o = sigmoid(net), use bce_net: this one loses its digits near 0 and 1. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    double o = in[0], y = in[1];
    return (y == 0 ? 0 : -y * log(o)) + (y == 1 ? 0 : -(1 - y) * log1p(-o));
}

/* y/o, where g decides with y whether it counts. */
static ur_var part(ur_var g, ur_var y, ur_var o)
{
    return ur_div(y, ur__divisor(ur_mul(g, y), o));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var o = a->in[0], y = a->in[1];
    if (k == 0)
        return ur_mul(a->g, ur_sub(part(a->g, ur_one_minus(y), ur_one_minus(o)), part(a->g, y, o)));
    return ur_mul(a->g, ur_sub(ur_log(ur_one_minus(o)), ur_log(o)));
}

const ur_op ur_op_bce = {
    .name = "bce",
    .formula = "-b ln a - (1 - b) ln(1 - a)",
    .derivative = "da = g ((1 - b)/(1 - a) - b/a), db = g (ln(1 - a) - ln a)",
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__BCE,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0.1, 0.9}},
};

ur_var ur_bce(ur_var o, ur_var y)
{
    return ur__binary(&ur_op_bce, o, y, NULL);
}
