/* norm.c - the Euclidean norm y = sqrt(sum a^2) of all elements, or along one axis, which stays with size 1;
 * da = g a/y, and 0 where the norm is 0. */
#include "axis.h"

static void run(const ur_call *c)
{
    size_t results = ur_shape_count(c->out_shape);
    for (size_t o = 0; o < results; o++) {
        ur__axis x = ur__axis_of(c, o);
        double norm = 0; /* hypot: no overflow on the way */
        for (size_t i = 0; i < x.count; i++)
            norm = hypot(norm, c->in[0][x.first + i * x.stride]);
        c->out[o] = norm;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    ur_var one = ur_const(a->y.tape, UR_SCALAR, 1); /* in place of a norm of 0, where a is 0 too */
    return ur_mul(a->in[k], ur_div(a->g, ur_select(a->y, a->y, one)));
}

const ur_op ur_op_norm = {
    .name = "norm",
    .formula = "sqrt(sum a^2), all or along an axis",
    .derivative = "g a/y",
    .inputs = 1,
    .attrs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__NORM,
    .shape = ur__axis_shape,
    .run = run,
    .derive = derive,
    .onnx = "ReduceL2",
    .samples = {{{UR_SIZES(3, 4)}, {-1}, 0, 0}, {{UR_SIZES(3, 4)}, {0}, 0, 0}, {{UR_SIZES(2, 3, 2)}, {1}, 0, 0}},
};

ur_var ur_norm(ur_var a)
{
    return ur_norm_over(a, -1);
}

ur_var ur_norm_over(ur_var a, int axis)
{
    return ur__unary(&ur_op_norm, a, (double[]){axis});
}
