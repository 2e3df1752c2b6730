/* layer_norm.c - layer normalisation without gain (Ba et al. 2016) over the features, each column by itself:
 *
 *     y = (a - mean a) / s,   s = sqrt(mean (a - mean a)^2 + eps),   eps = 1e-5
 *     da = (g - mean g - y mean(g y)) / s. */
#include "op.h"

static const double eps = UR__LAYER_NORM_EPSILON;

static void run(const ur_call *c)
{
    size_t rows = (size_t)ur__size(c->out_shape, 0), columns = ur_shape_count(c->out_shape) / rows;
    for (size_t j = 0; j < columns; j++) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < rows; i++)
            mean += c->in[0][i * columns + j] / (double)rows;
        for (size_t i = 0; i < rows; i++) {
            double d = c->in[0][i * columns + j] - mean;
            variance += d * d / (double)rows;
        }
        for (size_t i = 0; i < rows; i++)
            c->out[i * columns + j] = (c->in[0][i * columns + j] - mean) / sqrt(variance + eps);
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var centred = ur_sub(a->in[k], ur_mean_over(a->in[k], 0));
    ur_var variance = ur_mean_over(ur_square(centred), 0);
    ur_var s = ur_sqrt(ur_add(variance, ur_const(a->y.tape, UR_SCALAR, eps)));
    ur_var along = ur_mul(a->y, ur_mean_over(ur_mul(a->g, a->y), 0));
    return ur_div(ur_sub(ur_sub(a->g, ur_mean_over(a->g, 0)), along), s);
}

const ur_op ur_op_layer_norm = {
    .name = "layer_norm",
    .formula = "(a - mean a)/sqrt(var a + 1e-5)",
    .derivative = "(g - mean g - y mean(g y))/s",
    .inputs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__LAYER_NORM,
    .shape = ur__features_shape,
    .run = run,
    .derive = derive,
    .onnx = "LayerNormalization",
    .samples = {{{UR_SIZES(4, 3)}, {0}, 0, 0}, {{UR_SIZES(5)}, {0}, 0, 0}},
};

ur_var ur_layer_norm(ur_var a)
{
    return ur__unary(&ur_op_layer_norm, a, NULL);
}
