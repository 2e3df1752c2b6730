/* softmax.c - y_i = e^a_i / sum_j e^a_j over the features, each column by itself; computed from a - max a.
 *
 *     dy_i/da_j = y_i ([i = j] - y_j),   so   da = y (g - sum_j g_j y_j). */
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
            sum += c->out[i * columns + j] = exp(a[i * columns] - largest);
        for (size_t i = 0; i < rows; i++)
            c->out[i * columns + j] /= sum;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_mul(a->y, ur_sub(a->g, ur_sum_over(ur_mul(a->g, a->y), 0)));
}

const ur_op ur_op_softmax = {
    .name = "softmax",
    .formula = "e^a_i / sum_j e^a_j",
    .derivative = "y (g - sum_j g_j y_j)",
    .inputs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__SOFTMAX,
    .shape = ur__features_shape,
    .run = run,
    .derive = derive,
    .onnx = "Softmax",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}, {{UR_SIZES(1, 2)}, {0}, 0, 0}, {{UR_SIZES(5)}, {0}, 0, 0}},
};

ur_var ur_softmax(ur_var a)
{
    return ur__unary(&ur_op_softmax, a, NULL);
}
