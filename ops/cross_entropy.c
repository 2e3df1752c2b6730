/* cross_entropy.c - E = -y ln o of probabilities, elementwise;  dE/do = -y/o,  dE/dy = -ln o.
 *
 * 0 ln 0 is 0, and where y is 0 the derivative by o is 0 too, at o = 0 as elsewhere. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[1] == 0 ? 0 : -in[1] * log(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    if (k == 1)
        return ur_neg(ur_mul(a->g, ur_log(a->in[0])));
    ur_var share = ur_mul(a->g, a->in[1]);
    return ur_neg(ur_div(share, ur__divisor(share, a->in[0])));
}

const ur_op ur_op_cross_entropy = {
    .name = "cross_entropy",
    .formula = "-b ln a",
    .derivative = "da = -g b/a, db = -g ln a",
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__CROSS_ENTROPY,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0.1, 0.9}},
};

ur_var ur_cross_entropy(ur_var o, ur_var y)
{
    return ur__binary(&ur_op_cross_entropy, o, y, NULL);
}
