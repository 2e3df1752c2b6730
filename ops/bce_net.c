/* bce_net.c - binary cross-entropy from net values, elementwise: with o = sigmoid(net),
 *
 *     E = -y ln o - (1 - y) ln(1 - o) = ln(1 + e^net) - y net,   dE/dnet = o - y,   dE/dy = -net,
 *
 * and ln(1 + e^net) = max(net, 0) + ln(1 + e^-|net|) is finite for every net. */
#include "op.h"

static double map(const double *in, const double *attr)
{
    (void)attr;
    double net = in[0], softplus = (net > 0 ? net : 0) + log1p(exp(-fabs(net)));
    return softplus - net * in[1];
}

static ur_var derive(const ur_adjoint *a, int k)
{
    if (k == 0)
        return ur_mul(a->g, ur_sub(ur__once(&ur_op_sigmoid, a->in[0], a->y), a->in[1]));
    return ur_neg(ur_mul(a->g, a->in[0]));
}

const ur_op ur_op_bce_net = {
    .name = "bce_net",
    .formula = "ln(1 + e^a) - b a",
    .derivative = "da = g (sigmoid(a) - b), db = -g a",
    .inputs = 2,
    .kind = UR_MAP,
    .kernel = UR__BCE_NET,
    .map = map,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_bce_net(ur_var net, ur_var y)
{
    return ur__binary(&ur_op_bce_net, net, y, NULL);
}
