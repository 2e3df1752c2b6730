/* log_sigmoid.c - y = ln sigmoid(a) = min(a, 0) - ln(1 + e^-|a|), finite for every a;  da = g sigmoid(-a). */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    return (in[0] < 0 ? in[0] : 0) - log1p(exp(-fabs(in[0])));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->g, ur_sigmoid(ur_neg(a->in[0])));
}

const ur_op ur_op_log_sigmoid = {
    .name = "log_sigmoid",
    .formula = "ln sigmoid(a)",
    .derivative = "g sigmoid(-a)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__LOG_SIGMOID,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_log_sigmoid(ur_var a)
{
    return ur__unary(&ur_op_log_sigmoid, a, NULL);
}
