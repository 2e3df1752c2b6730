/* structural.c - the operations that the graph itself needs: sum, reduce-to, broadcast, select, detach, state.
 *
 *     sum          y = a + b + ...                    da = g, db = g, ...
 *     reduce_to    y = sums of a to a smaller shape   da = g, repeated
 *     broadcast    y = a, repeated                    da = g, summed to a's shape
 *     select       y = c ? a : b                      da = c ? g : 0, db = c ? 0 : g
 *     detach       y = a                              da = 0
 *     state        after the run, leaf = value        none */
#include "internal.h"
#include "kernels.h"

/* ---- sum */

static bool sum_shape(ur_shaping *s)
{
    s->out = s->in[0];
    for (int k = 1; k < s->inputs; k++)
        if (!ur_shape_equal(s->in[k], s->out))
            return ur_refuse(s, "the shapes of a sum differ");
    return true;
}

static void sum_run(const ur_call *c)
{
    size_t n = ur_shape_count(c->out_shape);
    for (size_t i = 0; i < n; i++) {
        double sum = c->in[0][i];
        for (int k = 1; k < c->inputs; k++)
            sum += c->in[k][i];
        c->out[i] = sum;
    }
}

static ur_var sum_derive(const ur_adjoint *a, int k)
{
    (void)k;
    return a->g;
}

const ur_op ur_op_sum_of = {
    .name = "sum_of",
    .formula = "a + b + ...",
    .derivative = "g",
    .inputs = UR_ANY_INPUTS,
    .kind = UR_COLUMNS,
    .kernel = UR__SUM_OF,
    .shape = sum_shape,
    .run = sum_run,
    .derive = sum_derive,
    .onnx = "Sum",
    .samples = {{{UR_SIZES(3, 2), UR_SIZES(3, 2), UR_SIZES(3, 2)}, {0}, 0, 0}},
};

ur_var ur_total(size_t n, const ur_var *values)
{
    return ur_record(&ur_op_sum_of, n, values, NULL);
}

/* ---- reduce_to and broadcast: attr is the shape */

static ur_shape shape_of_attr(const double *attr)
{
    ur_shape shape = {.rank = (int)attr[0]};
    for (int i = 0; i < UR_RANK; i++)
        shape.size[i] = (int64_t)attr[1 + i];
    return shape;
}

enum { SHAPE_ATTRS = 1 + UR_RANK };

static void attr_of_shape(ur_shape shape, double attr[SHAPE_ATTRS])
{
    attr[0] = shape.rank;
    for (int i = 0; i < UR_RANK; i++)
        attr[1 + i] = i < shape.rank ? (double)shape.size[i] : 1;
}

static bool fits_into(ur_shape small, ur_shape large)
{
    ur_shape out;
    return ur__broadcast_shape(2, (ur_shape[]){small, large}, &out) && ur_shape_equal(out, large);
}

static bool reduce_shape(ur_shaping *s)
{
    char text[UR_SHAPE_TEXT];
    s->out = shape_of_attr(s->attr);
    return fits_into(s->out, s->in[0]) || ur_refuse(s, "cannot be summed to %s", ur_shape_text(s->out, text));
}

/* Calls for every element of the larger shape with its index in both. */
static void walk(ur_shape large, ur_shape small, void (*visit)(const ur_call *c, size_t large, size_t small),
                 const ur_call *c)
{
    size_t stride[UR_RANK], size[UR_RANK], at[UR_RANK] = {0}, element = 0;
    ur__strides(small, large, stride);
    ur__sizes(large, size);
    do
        visit(c, element++, ur__offset(at, stride));
    while (ur__next(at, size));
}

static void add_element(const ur_call *c, size_t large, size_t small)
{
    c->out[small] += c->in[0][large];
}

static void reduce_run(const ur_call *c)
{
    size_t n = ur_shape_count(c->out_shape);
    for (size_t i = 0; i < n; i++)
        c->out[i] = 0;
    walk(c->shape[0], c->out_shape, add_element, c);
}

static ur_var reduce_derive(const ur_adjoint *a, int k)
{
    return ur_broadcast(a->g, ur__shape(a->in[k].tape, a->in[k].index));
}

const ur_op ur_op_reduce_to = {
    .name = "reduce_to",
    .formula = "a summed to a shape",
    .derivative = "g repeated",
    .inputs = 1,
    .attrs = SHAPE_ATTRS,
    .kind = UR_COLUMNS,
    .kernel = UR__REDUCE,
    .shape = reduce_shape,
    .run = reduce_run,
    .derive = reduce_derive,
    .onnx = "ReduceSum",
    .samples = {{{UR_SIZES(3, 4)}, {2, 3, 1, 1}, 0, 0}, {{UR_SIZES(3, 4)}, {2, 1, 4, 1}, 0, 0}},
};

ur_var ur_reduce_to(ur_var value, ur_shape shape)
{
    double attr[SHAPE_ATTRS];
    if (value.tape && !ur__possible(value.tape, "reduce_to", shape))
        return ur__poison(value.tape, NULL);
    attr_of_shape(shape, attr);
    return ur_record(&ur_op_reduce_to, 1, &value, attr);
}

static bool broadcast_shape(ur_shaping *s)
{
    char text[UR_SHAPE_TEXT];
    s->out = shape_of_attr(s->attr);
    return fits_into(s->in[0], s->out) || ur_refuse(s, "cannot be broadcast to %s", ur_shape_text(s->out, text));
}

static void copy_element(const ur_call *c, size_t large, size_t small)
{
    c->out[large] = c->in[0][small];
}

static void broadcast_run(const ur_call *c)
{
    walk(c->out_shape, c->shape[0], copy_element, c);
}

static ur_var broadcast_derive(const ur_adjoint *a, int k)
{
    (void)k;
    return a->g; /* ur_grad sums it to the input's shape */
}

const ur_op ur_op_broadcast = {
    .name = "broadcast",
    .formula = "a repeated to a shape",
    .derivative = "g summed to a's shape",
    .inputs = 1,
    .attrs = SHAPE_ATTRS,
    .kind = UR_COLUMNS,
    .kernel = UR__BROADCAST,
    .shape = broadcast_shape,
    .run = broadcast_run,
    .derive = broadcast_derive,
    .onnx = "Expand",
    .samples = {{{UR_SIZES(3)}, {2, 3, 4, 1}, 0, 0}, {{UR_SIZES(1, 4)}, {2, 3, 4, 1}, 0, 0}},
};

ur_var ur_broadcast(ur_var value, ur_shape shape)
{
    double attr[SHAPE_ATTRS];
    if (value.tape && !ur__possible(value.tape, "broadcast", shape))
        return ur__poison(value.tape, NULL);
    attr_of_shape(shape, attr);
    return ur_record(&ur_op_broadcast, 1, &value, attr);
}

/* ---- select */

static double select_map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] != 0 ? in[1] : in[2];
}

static ur_var select_derive(const ur_adjoint *a, int k)
{
    if (k == 0)
        return UR_ZERO;
    ur_var zero = ur_const(a->y.tape, UR_SCALAR, 0);
    return k == 1 ? ur_select(a->in[0], a->g, zero) : ur_select(a->in[0], zero, a->g);
}

const ur_op ur_op_select = {
    .name = "select",
    .formula = "a != 0 ? b : c",
    .derivative = "db = a != 0 ? g : 0, dc = a != 0 ? 0 : g",
    .inputs = 3,
    .kind = UR_MAP,
    .kernel = UR__SELECT,
    .map = select_map,
    .derive = select_derive,
    .onnx = "Where",
    .samples = {{{UR_SIZES(3, 2), UR_SIZES(3, 2), UR_SIZES(3, 2)}, {0}, 0, 0}},
};

ur_var ur_select(ur_var condition, ur_var a, ur_var b)
{
    return ur_record(&ur_op_select, 3, (ur_var[]){condition, a, b}, NULL);
}

/* ---- detach */

static double identity_map(const double *in, const double *attr)
{
    (void)attr;
    return in[0];
}

static ur_var detach_derive(const ur_adjoint *a, int k)
{
    (void)a;
    (void)k;
    return UR_ZERO;
}

const ur_op ur_op_detach = {
    .name = "detach",
    .formula = "a",
    .derivative = "0",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__ALIAS,
    .map = identity_map,
    .derive = detach_derive,
    .onnx = "Identity",
    .samples = {{{UR_SIZES(3, 2)}, {0}, 0, 0}},
};

ur_var ur_detach(ur_var value)
{
    return ur_record(&ur_op_detach, 1, &value, NULL);
}

/* ---- state: the value of the node is that of its second input; the plan copies it to the first after the run */

static bool state_shape(ur_shaping *s)
{
    s->out = s->in[0];
    return ur_shape_equal(s->in[0], s->in[1]) || ur_refuse(s, "a state and its next value have one shape");
}

static void state_run(const ur_call *c)
{
    size_t n = ur_shape_count(c->out_shape);
    for (size_t i = 0; i < n; i++)
        c->out[i] = c->in[1][i];
}

const ur_op ur_op_state = {
    .name = "state", .formula = "b", .inputs = 2, .kind = UR_WHOLE, .shape = state_shape, .run = state_run};

bool ur_state(ur_var leaf, ur_var value)
{
    ur_tape *tape = leaf.tape;
    if (!ur__valid(tape, leaf, "ur_state") || !ur__valid(tape, value, "ur_state"))
        return false;
    char text[UR__OPERAND];
    if (ur__op(tape, leaf.index) != &ur_op_input)
        return ur__fail(&tape->error, "ur_state: an input was expected, not %s", ur__operand(tape, leaf.index, text));
    for (size_t i = 0; i < tape->states; i++)
        if (ur__in(tape, tape->state[i], 0) == leaf.index)
            return ur__fail(&tape->error, "ur_state: %s has a next value already", ur__operand(tape, leaf.index, text));
    ur_var node = ur_record(&ur_op_state, 2, (ur_var[]){leaf, value}, NULL);
    if (node.index == UR_NONE || !ur__room(tape, &tape->state, &tape->state_room, tape->states, sizeof *tape->state))
        return false;
    tape->state[tape->states++] = node.index;
    return true;
}
