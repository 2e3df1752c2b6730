/* cumsum.c - running sums along one axis, y_i = a_1 + ... + a_i, or from the other end, y_i = a_i + ... + a_n;  the
 * derivative of one is the other of g. The number of elements along the axis is a constant of the operation: so a value
 * with more columns is one that it does not take along the batch, and along another axis columns are kept apart. */
#include "axis.h"

static bool shape(ur_shaping *s)
{
    int axis = ur__whole_int(s->attr[0]);
    if (!ur__has_axis(s))
        return false;
    if (s->attr[2] != (double)s->in[0].size[axis])
        return ur_refuse(s, "axis %d has %lld elements, not %.0f", axis, (long long)s->in[0].size[axis], s->attr[2]);
    return true;
}

static void run(const ur_call *c)
{
    int axis = (int)c->attr[0];
    bool reverse = c->attr[1] != 0;
    size_t n = (size_t)c->shape[0].size[axis], inner = ur__inner(c->shape[0], axis);
    size_t count = ur_shape_count(c->out_shape);
    for (size_t line = 0; line < count / n; line++) {
        size_t first = line / inner * inner * n + line % inner;
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            size_t at = first + (reverse ? n - 1 - i : i) * inner;
            c->out[at] = sum += c->in[0][at];
        }
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    return ur_cumsum(a->g, (int)a->attr[0], a->attr[1] == 0);
}

const ur_op ur_op_cumsum = {
    .name = "cumsum",
    .formula = "a_1 + ... + a_i along an axis, or from the end",
    .derivative = "the same of g from the other end",
    .inputs = 1,
    .attrs = 3,
    .kind = UR_COLUMNS,
    .kernel = UR__CUMSUM,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "CumSum",
    .samples = {{{UR_SIZES(3, 4)}, {0, 0, 3}, 0, 0},
                {{UR_SIZES(3, 4)}, {0, 1, 3}, 0, 0},
                {{UR_SIZES(2, 3, 2)}, {1, 0, 3}, 0, 0}},
};

ur_var ur_cumsum(ur_var a, int axis, bool reverse)
{
    int64_t count = axis >= 0 ? ur__size(ur__shape_of(a), axis) : 0;
    return ur__unary(&ur_op_cumsum, a, (double[]){axis, reverse, (double)count});
}
