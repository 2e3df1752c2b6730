/* own_ops.h - operations as a user writes them, outside of the library: one of each kind. */
#ifndef UR_TESTS_OWN_OPS_H
#define UR_TESTS_OWN_OPS_H

#include "../ops/ops.h"

/* ---- elementwise, without a kernel: a sin(k b) */

static inline double wave_map(const double *in, const double *attr)
{
    return in[0] * __builtin_sin(attr[0] * in[1]);
}

static inline ur_var wave_derive(const ur_adjoint *a, int k)
{
    ur_var inner = ur_scale(a->in[1], a->attr[0]);
    return ur_mul(a->g, k == 0 ? ur_sin(inner) : ur_scale(ur_mul(a->in[0], ur_cos(inner)), a->attr[0]));
}

static const ur_op wave_op = {.name = "wave",
                              .formula = "a sin(k b)",
                              .inputs = 2,
                              .attrs = 1,
                              .kind = UR_MAP,
                              .map = wave_map,
                              .derive = wave_derive};

static inline ur_var wave(ur_var a, ur_var b, double k)
{
    return ur_record(&wave_op, 2, (ur_var[]){a, b}, &k);
}

/* ---- each column by itself: row i is row i + k of a, counted round */

static inline bool same_shape(ur_shaping *s)
{
    s->out = s->in[0];
    return s->in[0].rank > 0 || ur_refuse(s, "a value with rows was expected");
}

static inline void rotate_run(const ur_call *c)
{
    int64_t rows = c->out_shape.size[0], columns = (int64_t)ur_shape_count(c->out_shape) / rows;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            c->out[i * columns + j] = c->in[0][((i + (int64_t)c->attr[0] + rows) % rows) * columns + j];
}

static inline ur_var rotate(ur_var a, double k);
static inline ur_var rotate_derive(const ur_adjoint *a, int k)
{
    (void)k;
    return rotate(a->g, -a->attr[0]);
}

static const ur_op rotate_op = {.name = "rotate",
                                .formula = "a[i+k]",
                                .inputs = 1,
                                .attrs = 1,
                                .kind = UR_COLUMNS,
                                .shape = same_shape,
                                .run = rotate_run,
                                .derive = rotate_derive};

static inline ur_var rotate(ur_var a, double k)
{
    return ur_record(&rotate_op, 1, &a, &k);
}

/* ---- anything else: the elements in the other order, the batch among them */

static inline void reverse_run(const ur_call *c)
{
    size_t n = ur_shape_count(c->out_shape);
    for (size_t i = 0; i < n; i++)
        c->out[i] = c->in[0][n - 1 - i];
}

static inline ur_var reverse(ur_var a);
static inline ur_var reverse_derive(const ur_adjoint *a, int k)
{
    (void)k;
    return reverse(a->g);
}

static const ur_op reverse_op = {.name = "reverse",
                                 .formula = "a[n-i]",
                                 .inputs = 1,
                                 .kind = UR_WHOLE,
                                 .shape = same_shape,
                                 .run = reverse_run,
                                 .derive = reverse_derive};

static inline ur_var reverse(ur_var a)
{
    return ur_record(&reverse_op, 1, &a, NULL);
}

#endif
