/* max_over.c - the largest of all elements, or along one axis, which stays with size 1. The elements that attain it share
 * the derivative equally: with e = 1 where a = y, else 0,  da = g e / sum e. */
#include "axis.h"

static void run(const ur_call *c)
{
    size_t results = ur_shape_count(c->out_shape);
    for (size_t o = 0; o < results; o++) {
        ur__axis x = ur__axis_of(c, o);
        double largest = c->in[0][x.first];
        for (size_t i = 1; i < x.count; i++) {
            double value = c->in[0][x.first + i * x.stride];
            largest = value > largest || isnan(value) ? value : largest;
        }
        c->out[o] = largest;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    int axis = (int)a->attr[0];
    ur_var attains = ur_one_minus(ur_square(ur_sign(ur_sub(a->in[k], a->y))));
    return ur_mul(attains, ur_div(a->g, ur_sum_over(attains, axis)));
}

const ur_op ur_op_max_over = {
    .name = "max_over",
    .formula = "max of a, all or along an axis",
    .derivative = "g e / sum e, e = 1 where a = y",
    .inputs = 1,
    .attrs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__MAX_OVER,
    .shape = ur__axis_shape,
    .run = run,
    .derive = derive,
    .onnx = "ReduceMax",
    .samples = {{{UR_SIZES(3, 4)}, {-1}, 0, 0}, {{UR_SIZES(3, 4)}, {0}, 0, 0}, {{UR_SIZES(2, 3, 2)}, {1}, 0, 0}},
};

ur_var ur_max_over(ur_var a, int axis)
{
    return ur__unary(&ur_op_max_over, a, (double[]){axis});
}
