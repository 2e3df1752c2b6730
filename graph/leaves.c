/* leaves.c - inputs, parameters, constants, and their memory. */
#include <string.h>

#include "internal.h"

static void no_run(const ur_call *c)
{
    (void)c;
}

const ur_op ur_op_input = {.name = "input", .kind = UR_LEAF, .run = no_run};
const ur_op ur_op_param = {.name = "param", .kind = UR_LEAF, .run = no_run};

static void run_const(const ur_call *c)
{
    size_t n = ur_shape_count(c->out_shape);
    for (size_t i = 0; i < n; i++)
        c->out[i] = c->attr[0];
}

const ur_op ur_op_const = {.name = "const", .attrs = 1, .kind = UR_LEAF, .run = run_const};

/* ---- recording */

/* Appends a leaf node and its record. The shape must be good. */
static ur_var add_leaf(ur_tape *tape, const ur_op *op, const char *name, ur_shape shape, ur__leaf leaf)
{
    if (ur_shape_count(shape) == 0) {
        char what[UR__OPERAND];
        snprintf(what, sizeof what, "%s %s", op->name, name);
        ur__possible(tape, what, shape); /* says why not */
        return ur__poison(tape, NULL);
    }
    if (!ur__room(tape, &tape->leaf, &tape->leaf_room, tape->leaves, sizeof *tape->leaf))
        return ur__poison(tape, NULL);
    leaf.node = (uint32_t)tape->nodes; /* the next one: there is no node whose name is refused */
    leaf.name = ur__name_leaf(tape, name, op == &ur_op_param ? UR__PARAM_STEP : tape->now.step, leaf.node);
    if (!leaf.name)
        return ur__poison(tape, NULL);
    ur_var v = ur__append(tape, ur__find_kind(tape, op, 0, shape, NULL), NULL);
    if (v.index == UR_NONE)
        return v;
    tape->node[v.index].in = (uint32_t)tape->leaves;
    tape->leaf[tape->leaves++] = leaf;
    return v;
}

static bool named(ur_tape *tape, const char *what, const char *name)
{
    return (name && *name) || ur__fail(&tape->error, "%s: a name was expected, there is none", what);
}

/* Zeroed memory of an input, or of a run of inputs. */
static void *input_memory(ur_tape *tape, ur_shape shape, size_t steps)
{
    size_t bytes = ur__times(ur__times(ur_shape_count(shape), ur_dtype_bytes(tape->dtype)), steps);
    return bytes ? ur_tape_memory(tape, bytes) : NULL;
}

ur_var ur_input(ur_tape *tape, const char *name, ur_shape shape)
{
    if (!tape || tape->error.text[0] || !named(tape, "input", name))
        return ur__poison(tape, NULL);
    return add_leaf(tape, &ur_op_input, name, shape, (ur__leaf){.data = input_memory(tape, shape, 1)});
}

bool ur_inputs(ur_tape *tape, const char *name, ur_shape shape, int64_t steps, ur_var *out)
{
    for (int64_t t = 0; out && t < steps && steps <= INT32_MAX; t++) /* what is not recorded below */
        out[t] = ur__poison(tape, NULL);
    if (!tape || tape->error.text[0] || !named(tape, "input", name))
        return false;
    if (steps < 1 || steps > INT32_MAX)
        return ur__fail(&tape->error, "input %s: from 1 to %d steps were expected, not %lld", name, INT32_MAX,
                        (long long)steps);
    if (!out)
        return ur__fail(&tape->error, "input %s: room for %lld handles was expected, there is none", name,
                        (long long)steps);
    char *data = (char *)input_memory(tape, shape, (size_t)steps);
    size_t bytes = ur_shape_count(shape) * ur_dtype_bytes(tape->dtype);
    int32_t now = tape->now.step;
    for (int64_t t = 1; t <= steps && !tape->error.text[0]; t++) {
        tape->now.step = (int32_t)t;
        void *own = data ? data + bytes * (size_t)(t - 1) : NULL;
        out[t - 1] = add_leaf(tape, &ur_op_input, name, shape, (ur__leaf){.data = own});
    }
    tape->now.step = now;
    return !tape->error.text[0];
}

ur_var ur_param(ur_tape *tape, const char *name, ur_shape shape)
{
    if (!tape || tape->error.text[0] || !named(tape, "parameter", name))
        return ur__poison(tape, NULL);
    uint32_t known = ur__find_param(tape, name);
    if (known != UR_NONE) {
        char was[UR_SHAPE_TEXT], now[UR_SHAPE_TEXT];
        ur_shape old = ur__shape(tape, known);
        if (!ur_shape_equal(old, shape))
            return ur__poison(tape, "parameter %s: declared as %s before and as %s now", name, ur_shape_text(old, was),
                              ur_shape_text(shape, now));
        return ur__var(tape, known);
    }
    size_t first = tape->theta_count, count = ur_shape_count(shape);
    if (count && !ur__room(tape, &tape->theta, &tape->theta_room, first + count - 1, ur_dtype_bytes(tape->dtype)))
        return ur__poison(tape, NULL);
    if (!ur__room(tape, &tape->param, &tape->param_room, tape->params, sizeof *tape->param))
        return ur__poison(tape, NULL);
    int32_t now = tape->now.step; /* a parameter does not depend on time */
    tape->now.step = 0;
    ur_var v = add_leaf(tape, &ur_op_param, name, shape, (ur__leaf){.offset = first});
    tape->now.step = now;
    if (v.index == UR_NONE)
        return v;
    memset((char *)tape->theta + first * ur_dtype_bytes(tape->dtype), 0, count * ur_dtype_bytes(tape->dtype));
    tape->theta_count += count;
    tape->param[tape->params++] = (uint32_t)tape->leaves - 1;
    return v;
}

/* Constants belong to no step, and equal ones are one node. */
ur_var ur_const(ur_tape *tape, ur_shape shape, double value)
{
    if (!tape || tape->error.text[0] || !ur__possible(tape, ur_op_const.name, shape))
        return ur__poison(tape, NULL);
    uint32_t kind = ur__find_kind(tape, &ur_op_const, 0, shape, &value);
    if (kind != UR_NONE && tape->kind[kind].node < tape->nodes)
        return ur__var(tape, tape->kind[kind].node);
    ur__site now = tape->now;
    tape->now = (ur__site){0};
    ur_var v = ur__append(tape, kind, NULL);
    tape->now = now;
    return v;
}

/* ---- memory */

void *ur__leaf_data(const ur_tape *tape, uint32_t node)
{
    const ur__leaf *leaf = &tape->leaf[tape->node[node].in];
    if (ur__op(tape, node) == &ur_op_input)
        return leaf->data;
    return (char *)tape->theta + leaf->offset * ur_dtype_bytes(tape->dtype);
}

void *ur__leaf_for(ur_var leaf, const char *what)
{
    if (!ur__known(leaf.tape, leaf, what))
        return NULL;
    if (ur__is_leaf(ur__kind_of(leaf.tape, leaf.index)))
        return ur__leaf_data(leaf.tape, leaf.index);
    char text[UR__OPERAND];
    ur__fail(&leaf.tape->error, "%s: an input or parameter was expected, not %s", what,
             ur__operand(leaf.tape, leaf.index, text));
    return NULL;
}

void *ur_leaf(ur_var leaf)
{
    return ur__leaf_for(leaf, "ur_leaf");
}

bool ur_write(ur_var leaf, size_t count, const double *values)
{
    void *data = ur__valid(leaf.tape, leaf, "ur_write") ? ur__leaf_for(leaf, "ur_write") : NULL;
    if (!data)
        return false;
    if (!values)
        return ur__fail(&leaf.tape->error, "ur_write: values were expected, there are none");
    size_t expected = ur_shape_count(ur__shape(leaf.tape, leaf.index));
    if (count != expected) {
        char text[UR__OPERAND];
        return ur__fail(&leaf.tape->error, "ur_write: %s has %zu elements, %zu were given",
                        ur__operand(leaf.tape, leaf.index, text), expected, count);
    }
    ur__put_row(leaf.tape->dtype, data, 0, count, values);
    return true;
}

void *ur_params(ur_tape *tape, size_t *count)
{
    if (count)
        *count = tape ? tape->theta_count : 0;
    return tape ? tape->theta : NULL;
}

bool ur_param_at(ur_tape *tape, size_t k, ur_var *param, const char **name, size_t *offset)
{
    if (!tape || k >= tape->params)
        return false;
    const ur__leaf *leaf = &tape->leaf[tape->param[k]];
    if (param)
        *param = ur__var(tape, leaf->node);
    if (name)
        *name = leaf->name;
    if (offset)
        *offset = leaf->offset;
    return true;
}

static void copy(void *to, ur_dtype to_dtype, const void *from, ur_dtype from_dtype, size_t count)
{
    if (to_dtype == from_dtype)
        memcpy(to, from, count * ur_dtype_bytes(to_dtype));
    else if (to_dtype == UR_F32)
        ur__put_row(to_dtype, to, 0, count, (const double *)from);
    else
        ur__get_row(from_dtype, from, 0, count, (double *)to);
}

bool ur_params_copy(ur_tape *to, ur_tape *from)
{
    if (!to || to->error.text[0])
        return false;
    if (!from)
        return ur__fail(&to->error, "ur_params_copy: a tape to copy from was expected, there is none");
    if (from->error.text[0])
        return ur__fail(&to->error, "ur_params_copy: the other tape: %s", from->error.text);
    for (size_t k = 0; k < to->params; k++) {
        const ur__leaf *leaf = &to->leaf[to->param[k]];
        ur_var source = ur_find(from, leaf->name, UR__PARAM_STEP);
        ur_shape shape = ur__shape(to, leaf->node);
        char text[UR_SHAPE_TEXT], other[UR_SHAPE_TEXT];
        if (source.index == UR_NONE)
            return ur__fail(&to->error, "parameter %s%s: the other tape has none of this name", leaf->name,
                            ur_shape_text(shape, text));
        if (!ur_shape_equal(shape, ur__shape(from, source.index)))
            return ur__fail(&to->error, "parameter %s%s: the other tape has it as %s", leaf->name,
                            ur_shape_text(shape, text), ur_shape_text(ur__shape(from, source.index), other));
        copy(ur__leaf_data(to, leaf->node), to->dtype, ur_leaf(source), from->dtype, ur_shape_count(shape));
    }
    return true;
}
