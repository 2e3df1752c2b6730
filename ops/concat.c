/* concat.c - one after another along an axis: [a; b; ...];  each gets its slice of g. */
#include "axis.h"

static bool shape(ur_shaping *s)
{
    int axis = ur__whole_int(s->attr[0]);
    if (!ur__has_axis(s))
        return false;
    for (int k = 1; k < s->inputs; k++) {
        for (int i = 0; i < UR_RANK; i++)
            if (i != axis && ur__size(s->in[k], i) != ur__size(s->in[0], i))
                return ur_refuse(s, "input %d of %d has the size %lld along axis %d, the first has %lld", k + 1,
                                 s->inputs, (long long)ur__size(s->in[k], i), i, (long long)ur__size(s->in[0], i));
        s->out.size[axis] += ur__size(s->in[k], axis);
    }
    return true;
}

static void run(const ur_call *c)
{
    int axis = (int)c->attr[0];
    size_t inner = ur__inner(c->out_shape, axis), outer = 1, at = 0;
    for (int i = 0; i < axis; i++)
        outer *= (size_t)c->out_shape.size[i];
    for (size_t o = 0; o < outer; o++)
        for (int k = 0; k < c->inputs; k++) {
            size_t run = (size_t)ur__size(c->shape[k], axis) * inner;
            for (size_t i = 0; i < run; i++)
                c->out[at++] = c->in[k][o * run + i];
        }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    int axis = (int)a->attr[0];
    int64_t first = 0;
    for (int i = 0; i < k; i++)
        first += ur__size(ur__shape_of(a->in[i]), axis);
    return ur_slice(a->g, axis, first, ur__size(ur__shape_of(a->in[k]), axis));
}

const ur_op ur_op_concat = {
    .name = "concat",
    .formula = "a, then b, ... along an axis",
    .derivative = "the slices of g",
    .inputs = UR_ANY_INPUTS,
    .attrs = 1,
    .kind = UR_COLUMNS,
    .kernel = UR__CONCAT,
    .shape = shape,
    .run = run,
    .derive = derive,
    .onnx = "Concat",
    .samples = {{{UR_SIZES(3, 2), UR_SIZES(1, 2), UR_SIZES(2, 2)}, {0}, 0, 0},
                {{UR_SIZES(3, 2), UR_SIZES(3, 1), UR_SIZES(3, 2)}, {1}, 0, 0}},
};

ur_var ur_concat(size_t n, const ur_var *parts, int axis)
{
    return ur_record(&ur_op_concat, n, parts, (double[]){axis});
}

bool ur__inputs_are_smaller(size_t n, const ur_var *nodes)
{
    size_t elements = 0;
    ur_node node = {0};
    for (size_t i = 0; i < n && ur_look(nodes[i], &node); i++)
        for (uint32_t k = 0; k < node.inputs; k++)
            elements += ur_shape_count(ur__shape_of(ur_node_input(nodes[i], k)));
    return elements < n * ur_shape_count(node.shape);
}

ur_var ur__inputs_joined(size_t n, const ur_var *nodes, uint32_t k, int axis)
{
    ur_tape *tape = nodes[0].tape;
    ur_var *part = (ur_var *)ur__take(tape, n * sizeof *part), joined = UR_ZERO;
    for (size_t i = 0; part && i < n; i++)
        part[i] = ur_node_input(nodes[i], k);
    if (part)
        joined = ur_concat(n, part, axis);
    ur__give(tape, part, n * sizeof *part);
    return joined;
}
