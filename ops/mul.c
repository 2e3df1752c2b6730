/* mul.c - Hadamard's product y = a b,  da = g b, db = g a. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] * in[1];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return ur_mul(a->g, a->in[1 - k]);
}

const ur_op ur_op_mul = {
    .name = "mul",
    .formula = "a b, elementwise",
    .derivative = "da = g b, db = g a",
    .print = "{0} .* {1}",
    .binds = UR_BINDS_PRODUCT,
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__MUL,
    .map = map,
    .derive = derive,
    .onnx = "Mul",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(3), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(3, 4), UR_SIZES(1, 4)}, {0}, 0, 0},
                {{UR_SIZES(3), UR_SIZES(1, 4)}, {0}, 0, 0}},
};

ur_var ur_mul(ur_var a, ur_var b)
{
    return ur__binary(&ur_op_mul, a, b, NULL);
}
