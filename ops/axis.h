/* axis.h - what the reductions along one axis share: attr[0] is the axis, -1 for all elements. Not installed. */
#ifndef UR_AXIS_H
#define UR_AXIS_H

#include "op.h"

/* The axis keeps size 1; all elements give a scalar. */
static inline bool ur__axis_shape(ur_shaping *s)
{
    int axis = (int)s->attr[0];
    if (axis < -1 || axis >= s->in[0].rank)
        return ur_refuse(s, "there is no axis %d, the axes are 0 to %d, and -1 for all", axis, s->in[0].rank - 1);
    s->out = axis < 0 ? UR_SCALAR : s->in[0];
    if (axis >= 0)
        s->out.size[axis] = 1;
    return true;
}

/* The elements that make result `o`: a[first + i * stride] for i < count. */
typedef struct ur__axis {
    size_t first, stride, count;
} ur__axis;

static inline ur__axis ur__axis_of(const ur_call *c, size_t o)
{
    int axis = (int)c->attr[0];
    if (axis < 0)
        return (ur__axis){.stride = 1, .count = ur_shape_count(c->shape[0])};
    size_t inner = 1, count = (size_t)c->shape[0].size[axis];
    for (int i = axis + 1; i < UR_RANK; i++)
        inner *= (size_t)ur__size(c->shape[0], i);
    return (ur__axis){.first = o / inner * inner * count + o % inner, .stride = inner, .count = count};
}

#endif
