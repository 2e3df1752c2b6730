/* axis.h - what the operations along one axis share, whose number is attr[0]. Not installed. */
#ifndef UR_AXIS_H
#define UR_AXIS_H

#include "op.h"

/* Refuses an axis that the first input does not have; otherwise the shape of the result begins as that input's. */
static inline bool ur__has_axis(ur_shaping *s)
{
    int axis = ur__whole_int(s->attr[0]);
    s->out = s->in[0];
    return (axis >= 0 && axis < s->in[0].rank) ||
           ur_refuse(s, "there is no axis %d, the axes are 0 to %d", axis, s->in[0].rank - 1);
}

/* Elements from one index of an axis to the next. */
static inline size_t ur__inner(ur_shape shape, int axis)
{
    size_t inner = 1;
    for (int i = axis + 1; i < UR_RANK; i++)
        inner *= (size_t)ur__size(shape, i);
    return inner;
}

/* ---- reductions: axis -1 is all elements */

/* The axis keeps size 1; all elements give a scalar. */
static inline bool ur__axis_shape(ur_shaping *s)
{
    int axis = ur__whole_int(s->attr[0]);
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
    size_t inner = ur__inner(c->shape[0], axis), count = (size_t)c->shape[0].size[axis];
    return (ur__axis){.first = o / inner * inner * count + o % inner, .stride = inner, .count = count};
}

#endif
