/* sum.c - the sum of all elements, or along one axis, which stays with size 1;  da = g, repeated. */
#include "axis.h"

static void run(const ur_call *c)
{
    size_t results = ur_shape_count(c->out_shape);
    for (size_t o = 0; o < results; o++) {
        ur__axis x = ur__axis_of(c, o);
        double sum = 0;
        for (size_t i = 0; i < x.count; i++)
            sum += c->in[0][x.first + i * x.stride];
        c->out[o] = sum;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    return ur_broadcast(a->g, ur__shape_of(a->in[k]));
}

const ur_op ur_op_sum = {
    .name = "sum",
    .formula = "sum of a, all or along an axis",
    .derivative = "g, repeated",
    .inputs = 1,
    .attrs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__REDUCE,
    .shape = ur__axis_shape,
    .run = run,
    .derive = derive,
    .onnx = "ReduceSum",
    .samples = {{{UR_SIZES(3, 4)}, {-1}, 0, 0},
                {{UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(2, 3, 2)}, {1}, 0, 0},
                {{UR_SIZES(3)}, {0}, 0, 0}},
};

ur_var ur_sum_over(ur_var a, int axis)
{
    return ur__unary(&ur_op_sum, a, (double[]){axis});
}

ur_var ur_sum(ur_var a)
{
    return ur_sum_over(a, -1);
}
