/* op.h - what every operation's file includes. Not installed. */
#ifndef UR_OP_H
#define UR_OP_H

#include <limits.h>
#include <math.h>

#include "../graph/kernels.h"
#include "../graph/support.h"
#include "ops.h"

/* Records an operation of one or two inputs. */
static inline ur_var ur__unary(const ur_op *op, ur_var a, const double *attr)
{
    return ur_record(op, 1, &a, attr);
}

static inline ur_var ur__binary(const ur_op *op, ur_var a, ur_var b, const double *attr)
{
    return ur_record(op, 2, (ur_var[]){a, b}, attr);
}

/* Operations that derivatives of others look for. */
extern const ur_op ur_op_sigmoid, ur_op_softmax;

/* op(a), an operation of one input without constants: the one that was recorded soon after a and before y, or a new one.
 * What a derivative needs may stand beside its y, as o = sigmoid(net) does beside the loss. */
static inline ur_var ur__once(const ur_op *op, ur_var a, ur_var y)
{
    enum { NEAR = 32 };
    const size_t end = y.index - a.index < NEAR ? y.index : (size_t)a.index + NEAR;
    for (size_t k = (size_t)a.index + 1; k < end; k++) {
        ur_var v = ur_node_at(a.tape, k);
        ur_node node;
        if (ur_look(v, &node) && node.op == op && ur_node_input(v, 0).index == a.index)
            return v;
    }
    return ur__unary(op, a, NULL);
}

/* For sums of an operation that are one operation: have the inputs of n nodes of one shape fewer elements than the nodes
 * have? Input k of all, one after another along an axis. */
bool ur__inputs_are_smaller(size_t n, const ur_var *nodes);
ur_var ur__inputs_joined(size_t n, const ur_var *nodes, uint32_t k, int axis);

/* What to divide by in place of b where `factor` decides whether the quotient counts: 1 where both are 0, so that
 * neither the quotient nor a derivative of it is infinite there. */
static inline ur_var ur__divisor(ur_var factor, ur_var b)
{
    ur_var one = ur_const(b.tape, UR_SCALAR, 1);
    return ur_select(factor, b, ur_select(b, b, one));
}

/* The shape of a value that is known to be good. */
static inline ur_shape ur__shape_of(ur_var v)
{
    ur_node node = {0};
    ur_look(v, &node);
    return node.shape;
}

/* A whole number that is a constant of an operation; the nearest one there is, the largest for NaN. */
static inline int64_t ur__whole(double constant)
{
    return constant < -0x1p63 ? INT64_MIN : constant < 0x1p63 ? (int64_t)constant : INT64_MAX;
}

/* The same for an axis or a rank. */
static inline int ur__whole_int(double constant)
{
    return constant < INT_MIN ? INT_MIN : constant < INT_MAX ? (int)constant : INT_MAX;
}

/* Size of dimension i: 1 past the rank. */
static inline int64_t ur__size(ur_shape shape, int i)
{
    return i < shape.rank ? shape.size[i] : 1;
}

/* What the refusal of a matrix product says of its operands, whose shapes are printed as they were given. */
static inline const char *ur__transposed(const double *attr)
{
    const char *second = attr[1] != 0 ? " (the second is transposed)" : "";
    return attr[0] == 0 ? second : attr[1] != 0 ? " (both are transposed)" : " (the first is transposed)";
}

/* The shape rule of operations over the features: the shape stays. */
static inline bool ur__features_shape(ur_shaping *s)
{
    s->out = s->in[0];
    return s->out.rank > 0 || ur_refuse(s, "a vector of features was expected, not a scalar");
}

#endif
