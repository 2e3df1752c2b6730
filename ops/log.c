/* log.c - y = ln a,  y' = 1/a. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return log(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_div(a->g, a->in[0]);
}

const ur_op ur_op_log = {
    .name = "log",
    .formula = "ln a",
    .derivative = "g/a",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__LOG,
    .map = map,
    .derive = derive,
    .onnx = "Log",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0.1, 3}},
};

ur_var ur_log(ur_var a)
{
    return ur__unary(&ur_op_log, a, NULL);
}
