/* mean.c - the mean of n elements, all or along one axis, which stays with size 1;  da = g/n, repeated. */
#include "axis.h"

static void run(const ur_call *c)
{
    size_t results = ur_shape_count(c->out_shape);
    for (size_t o = 0; o < results; o++) {
        ur__axis x = ur__axis_of(c, o);
        double sum = 0;
        for (size_t i = 0; i < x.count; i++)
            sum += c->in[0][x.first + i * x.stride];
        c->out[o] = sum / (double)x.count;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_shape shape = ur__shape_of(a->in[k]);
    double n = (double)ur_shape_count(shape) / (double)ur_shape_count(ur__shape_of(a->y));
    return ur_broadcast(ur_scale(a->g, 1 / n), shape);
}

const ur_op ur_op_mean = {
    .name = "mean",
    .formula = "mean of a, all or along an axis",
    .derivative = "g/n, repeated",
    .inputs = 1,
    .attrs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__MEAN,
    .shape = ur__axis_shape,
    .run = run,
    .derive = derive,
    .onnx = "ReduceMean",
    .samples = {{{UR_SIZES(3, 4)}, {-1}, 0, 0},
                {{UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(2, 3, 2)}, {1}, 0, 0},
                {{UR_SIZES(3)}, {0}, 0, 0}},
};

ur_var ur_mean_over(ur_var a, int axis)
{
    return ur__unary(&ur_op_mean, a, (double[]){axis});
}

ur_var ur_mean(ur_var a)
{
    return ur_mean_over(a, -1);
}
