/* softmax_ce.c - cross-entropy from net values: with o = softmax(net) over the features,
 *
 *     E = -sum_i y_i ln o_i = sum_i y_i (ln sum_j e^net_j - net_i),   one number for each column.
 *
 *     dE/dnet = o sum_i y_i - y  (o - y for a distribution y),   dE/dy = -log_softmax(net).
 *
 * From net - max net, so it is finite for every net. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    s->out = s->in[0];
    if (!ur_shape_equal(s->in[0], s->in[1]))
        return ur_refuse(s, "net values and targets have one shape");
    if (s->out.rank == 0)
        return ur_refuse(s, "a column of net values was expected");
    s->out.size[0] = 1;
    return true;
}

static void run(const ur_call *c)
{
    size_t rows = (size_t)ur__size(c->shape[0], 0), columns = ur_shape_count(c->shape[0]) / rows;
    for (size_t j = 0; j < columns; j++) {
        const double *net = c->in[0] + j, *y = c->in[1] + j;
        double largest = net[0], sum = 0, error = 0;
        for (size_t i = 1; i < rows; i++)
            largest = net[i * columns] > largest ? net[i * columns] : largest;
        for (size_t i = 0; i < rows; i++)
            sum += exp(net[i * columns] - largest);
        for (size_t i = 0; i < rows; i++)
            error += y[i * columns] * (log(sum) - (net[i * columns] - largest));
        c->out[j] = error;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var net = a->in[0], y = a->in[1];
    if (k == 0)
        return ur_mul(a->g, ur_sub(ur_mul(ur__once(&ur_op_softmax, net, a->y), ur_sum_over(y, 0)), y));
    return ur_neg(ur_mul(a->g, ur_log_softmax(net)));
}

const ur_op ur_op_softmax_ce = {
    .name = "softmax_ce",
    .formula = "-sum_i b_i ln softmax(a)_i",
    .derivative = "da = g (softmax(a) sum_i b_i - b), db = -g log_softmax(a)",
    .inputs = 2,
    .kind = UR_COLUMNS,
    .kernel = UR__SOFTMAX_CE,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "SoftmaxCrossEntropyLoss",
    .samples = {{{UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_softmax_ce(ur_var net, ur_var y)
{
    return ur__binary(&ur_op_softmax_ce, net, y, NULL);
}
