/* silu.c - the sigmoid linear unit (Elfwing et al. 2018): y = a s with s = sigmoid(a);  da = g (s + y (1 - s)). */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] / (1 + exp(-in[0]));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    ur_var s = ur_sigmoid(a->in[0]);
    return ur_mul(a->g, ur_add(s, ur_mul(a->y, ur_one_minus(s))));
}

const ur_op ur_op_silu = {
    .name = "silu",
    .formula = "a sigmoid(a)",
    .derivative = "g (s + y (1 - s)), s = sigmoid(a)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SILU,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_silu(ur_var a)
{
    return ur__unary(&ur_op_silu, a, NULL);
}
