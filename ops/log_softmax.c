/* log_softmax.c - y_i = a_i - ln sum_j e^a_j over the features, each column by itself; from a - max a.
 *
 *     dy_i/da_j = [i = j] - softmax(a)_j,   so   da = g - softmax(a) sum_j g_j. */
#include "op.h"

static void run(const ur_call *c)
{
    size_t rows = (size_t)ur__size(c->out_shape, 0), columns = ur_shape_count(c->out_shape) / rows;
    for (size_t j = 0; j < columns; j++) {
        const double *a = c->in[0] + j;
        double largest = a[0], sum = 0;
        for (size_t i = 1; i < rows; i++)
            largest = a[i * columns] > largest ? a[i * columns] : largest;
        for (size_t i = 0; i < rows; i++)
            sum += exp(a[i * columns] - largest);
        for (size_t i = 0; i < rows; i++)
            c->out[i * columns + j] = a[i * columns] - largest - log(sum);
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_sub(a->g, ur_mul(ur_softmax(a->in[0]), ur_sum_over(a->g, 0)));
}

const ur_op ur_op_log_softmax = {
    .name = "log_softmax",
    .formula = "a_i - ln sum_j e^a_j",
    .derivative = "g - softmax(a) sum_j g_j",
    .inputs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__LOG_SOFTMAX,
    .shape = ur__features_shape,
    .run = run,
    .derive = derive,
    .onnx = "LogSoftmax",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}, {{UR_SIZES(5)}, {0}, 0, 0}},
};

ur_var ur_log_softmax(ur_var a)
{
    return ur__unary(&ur_op_log_softmax, a, NULL);
}
