/* pad.c - a between zeros along an axis: `before` of them, a, `after` of them;  da is the slice of g where a lies.
 *
 * It is the adjoint of slice. A value that slices take apart has the sum of them for its adjoint, nearly all of whose
 * terms are zeros; where the slices lie side by side it is one concat, and `join` records that. */
#include <stdlib.h>
#include <string.h>

#include "axis.h"

static bool shape(ur_shaping *s)
{
    int axis = ur__whole_int(s->attr[0]);
    if (!ur__has_axis(s))
        return false;
    if (!(s->attr[1] >= 0 && s->attr[2] >= 0 && s->attr[1] + s->attr[2] <= 0x1p53))
        return ur_refuse(s, "%.0f zeros before it and %.0f behind it were asked for", s->attr[1], s->attr[2]);
    s->out.size[axis] += ur__whole(s->attr[1]) + ur__whole(s->attr[2]);
    return true;
}

static void run(const ur_call *c)
{
    int axis = (int)c->attr[0];
    size_t inner = ur__inner(c->shape[0], axis), n = (size_t)c->shape[0].size[axis], before = (size_t)c->attr[1];
    size_t all = (size_t)c->out_shape.size[axis], results = ur_shape_count(c->out_shape);
    for (size_t o = 0; o < results; o++) {
        size_t outer = o / (inner * all), at = o / inner % all;
        bool within = at >= before && at < before + n;
        c->out[o] = within ? c->in[0][(outer * n + at - before) * inner + o % inner] : 0;
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    int axis = (int)a->attr[0];
    return ur_slice(a->g, axis, (int64_t)a->attr[1], ur__size(ur__shape_of(a->in[k]), axis));
}

static ur_node look(ur_var v)
{
    ur_node node = {0};
    ur_look(v, &node);
    return node;
}

static int by_place(const void *a, const void *b)
{
    double p = look(*(const ur_var *)a).attr[1], q = look(*(const ur_var *)b).attr[1];
    return (p > q) - (p < q);
}

/* The concat of what is padded, if every element of the sum is in one of the n parts. */
static ur_var join_parts(size_t n, ur_var *part)
{
    qsort(part, n, sizeof *part, by_place);
    const int axis = (int)look(part[0]).attr[0];
    double end = 0, after = 0;
    for (size_t k = 0; k < n; k++) {
        const ur_node pad = look(part[k]);
        if (pad.attr[0] != axis || pad.attr[1] != end)
            return UR_ZERO;
        after = pad.attr[2];
        end = (double)pad.shape.size[axis] - after;
        part[k] = ur_node_input(part[k], 0);
    }
    return after > 0 ? UR_ZERO : ur_concat(n, part, axis);
}

static ur_var join(size_t n, const ur_var *terms)
{
    ur_tape *tape = terms[0].tape;
    ur_var *part = (ur_var *)ur__take(tape, n * sizeof *part);
    if (!part)
        return UR_ZERO;
    memcpy(part, terms, n * sizeof *part);
    ur_var joined = join_parts(n, part);
    ur__give(tape, part, n * sizeof *part);
    return joined;
}

const ur_op ur_op_pad = {
    .name = "pad",
    .formula = "zeros, then a, then zeros along an axis",
    .derivative = "the slice of g",
    .inputs = 1,
    .attrs = 3,
    .kind = UR_COLUMNS,
    .kernel = UR__PAD,
    .shape = shape,
    .run = run,
    .derive = derive,
    .join = join,
    .onnx = "Pad",
    .samples = {{{UR_SIZES(2, 3)}, {0, 1, 2}, 0, 0},
                {{UR_SIZES(2, 3)}, {1, 0, 2}, 0, 0},
                {{UR_SIZES(2, 3)}, {0, 0, 0}, 0, 0}},
};

ur_var ur_pad(ur_var a, int axis, int64_t before, int64_t after)
{
    return ur__unary(&ur_op_pad, a, (double[]){axis, (double)before, (double)after});
}
