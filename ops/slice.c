/* slice.c - `count` elements along an axis, from index `first` on, counted from 0;  da is g between zeros. */
#include "axis.h"

static bool shape(ur_shaping *s)
{
    int axis = ur__whole_int(s->attr[0]);
    if (!ur__has_axis(s))
        return false;
    if (!(s->attr[1] >= 0 && s->attr[2] >= 1 && s->attr[1] + s->attr[2] <= (double)s->in[0].size[axis]))
        return ur_refuse(s, "axis %d has %lld elements, %.0f from %.0f on were asked for", axis,
                         (long long)s->in[0].size[axis], s->attr[2], s->attr[1]);
    s->out.size[axis] = (int64_t)s->attr[2];
    return true;
}

static void run(const ur_call *c)
{
    int axis = (int)c->attr[0];
    size_t n = (size_t)c->shape[0].size[axis], first = (size_t)c->attr[1], count = (size_t)c->attr[2];
    size_t inner = ur__inner(c->shape[0], axis), results = ur_shape_count(c->out_shape);
    for (size_t o = 0; o < results; o++) {
        size_t outer = o / (inner * count), within = o % (inner * count);
        c->out[o] = c->in[0][(outer * n + first) * inner + within];
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    int axis = (int)a->attr[0];
    int64_t before = (int64_t)a->attr[1], after = ur__size(ur__shape_of(a->in[k]), axis) - before - (int64_t)a->attr[2];
    return ur_pad(a->g, axis, before, after);
}

const ur_op ur_op_slice = {
    .name = "slice",
    .formula = "a part of a along an axis",
    .derivative = "g between zeros",
    .inputs = 1,
    .attrs = 3,
    .kind = UR_COLUMNS,
    .kernel = UR__SLICE,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "Slice",
    .samples = {{{UR_SIZES(4, 3)}, {0, 1, 2}, 0, 0},
                {{UR_SIZES(4, 3)}, {1, 0, 2}, 0, 0},
                {{UR_SIZES(4, 3)}, {0, 0, 4}, 0, 0}},
};

ur_var ur_slice(ur_var a, int axis, int64_t first, int64_t count)
{
    return ur__unary(&ur_op_slice, a, (double[]){axis, (double)first, (double)count});
}
