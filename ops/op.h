/* op.h - what every operation's file includes. Not installed. */
#ifndef UR_OP_H
#define UR_OP_H

#include <math.h>

#include "../graph/kernels.h"
#include "../graph/support.h"
#include "ops.h"

/* What derivatives of others look for: see ur__once. */
extern const ur_op ur_op_sigmoid, ur_op_softmax;

/* Records an operation of one or two inputs. */
static inline ur_var ur__unary(const ur_op *op, ur_var a, const double *attr)
{
    return ur_record(op, 1, &a, attr);
}

static inline ur_var ur__binary(const ur_op *op, ur_var a, ur_var b, const double *attr)
{
    return ur_record(op, 2, (ur_var[]){a, b}, attr);
}

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
