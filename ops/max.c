/* max.c - y = max(a, b), elementwise: the larger one gets the whole derivative, at a tie both get half of it. With
 * s = sign(a - b) that is  da = g (1 + s)/2,  db = g (1 - s)/2. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] > in[1] || isnan(in[0]) ? in[0] : in[1];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var part = ur_mul(a->g, ur_sign(ur_sub(a->in[0], a->in[1])));
    return ur_scale(k == 0 ? ur_add(a->g, part) : ur_sub(a->g, part), 0.5);
}

const ur_op ur_op_max = {
    .name = "max",
    .formula = "max(a, b)",
    .derivative = "da = g (1 + sign(a - b))/2, db = g (1 - sign(a - b))/2",
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__MAX,
    .map = map,
    .derive = derive,
    .onnx = "Max",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0}, {{UR_SIZES(3), UR_SIZES(1, 4)}, {0}, 0, 0}},
};

ur_var ur_max(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_max, a, b, NULL);
}
