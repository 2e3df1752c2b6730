/* power.c - y = a^b, elementwise, for a > 0;  da = g b a^(b-1),  db = g y ln a, which is 0 where a is not positive. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return pow(in[0], in[1]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var base = a->in[0], exponent = a->in[1], one = ur_const(a->y.tape, UR_SCALAR, 1);
    if (k == 0)
        return ur_mul(a->g, ur_mul(exponent, ur_power(base, ur_sub(exponent, one))));
    return ur_mul(a->g, ur_mul(a->y, ur_log(ur_select(ur_step_function(base), base, one))));
}

const ur_op ur_op_power = {
    .name = "power",
    .formula = "a^b",
    .derivative = "da = g b a^(b - 1), db = g y ln a",
    .print = "{0^}^{1^}",
    .binds = UR_BINDS_POWER,
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__POWER,
    .map = map,
    .derive = derive,
    .onnx = "Pow",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0.2, 2}, {{UR_SIZES(3), UR_SIZES(1, 4)}, {0}, 0.2, 2}},
};

ur_var ur_power(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_power, a, b, NULL);
}
