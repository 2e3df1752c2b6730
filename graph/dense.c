/* dense.c - one operation on dense arrays: with the fast kernel where it has one, with its specification elsewhere. */
#include <string.h>

#include "plan.h"

/* ---- specifications */

/* Row by row of the last dimension. */
static void map_all(const ur_op *op, const ur_call *c)
{
    size_t stride[UR__MAP_INPUTS][UR_RANK], size[UR_RANK], at[UR_RANK] = {0};
    double *out = c->out, in[UR__MAP_INPUTS];
    ur__sizes(c->out_shape, size);
    for (int k = 0; k < c->inputs; k++)
        ur__strides(c->shape[k], c->out_shape, stride[k]);
    const int last = c->out_shape.rank > 0 ? c->out_shape.rank - 1 : 0;
    const size_t row = size[last];
    size[last] = 1;
    do {
        const double *x[UR__MAP_INPUTS];
        for (int k = 0; k < c->inputs; k++)
            x[k] = c->in[k] + ur__offset(at, stride[k]);
        for (size_t i = 0; i < row; i++) {
            for (int k = 0; k < c->inputs; k++)
                in[k] = x[k][i * stride[k][last]];
            *out++ = op->map(in, c->attr);
        }
    } while (ur__next(at, size));
}

void ur__specification(const ur_op *op, const ur_call *c)
{
    if (op->kind == UR_MAP)
        map_all(op, c);
    else
        op->run(c);
}

static void run_specification(const ur__dense *d)
{
    double *free_scratch = d->scratch;
    for (uint32_t k = 0; k < d->inputs && d->dtype == UR_F32; k++) {
        size_t count = ur_shape_count(d->shape[k]);
        d->kernels->to_f64(count, free_scratch, d->in[k]);
        d->in[k] = free_scratch;
        free_scratch += count;
    }
    ur_shape out = d->shape[d->inputs];
    ur_call c = {.inputs = (int)d->inputs,
                 .shape = d->shape,
                 .in = (const double *const *)d->in,
                 .out_shape = out,
                 .out = d->dtype == UR_F64 ? (double *)d->out : free_scratch,
                 .attr = d->attr};
    ur__specification(d->op, &c);
    if (d->dtype == UR_F32)
        d->kernels->from_f64(ur_shape_count(out), d->out, c.out);
}

/* ---- elementwise, with broadcasts */

enum { OPERANDS = 3 };

/* Rows of n elements, counted by up to three outer dimensions. */
typedef struct rows {
    size_t n, dims, size[UR_RANK];
    size_t stride[OPERANDS][UR_RANK]; /* of each outer dimension, in elements */
    size_t period[OPERANDS];          /* 0: the row lies in memory; otherwise it is as many elements over and over */
} rows;

/* Makes the innermost dimension the row. Where it is short, one with the dimension before it, if every operand then lies
 * in memory or is its short row over and over. */
static void split_row(rows *r, uint32_t inputs)
{
    size_t last = r->dims - 1;
    r->n = r->size[last];
    for (uint32_t k = 0; k < inputs; k++)
        r->period[k] = r->stride[k][last] ? 0 : 1;
    r->dims = last;
    bool join = last > 0 && r->n <= UR__TILE / 2;
    for (uint32_t k = 0; k < inputs && join; k++)
        join = r->period[k] == 0 && (r->stride[k][last - 1] == 0 || r->stride[k][last - 1] == r->n);
    if (!join)
        return;
    for (uint32_t k = 0; k < inputs; k++)
        r->period[k] = r->stride[k][last - 1] ? 0 : r->n;
    r->n *= r->size[last - 1];
    r->dims = last - 1;
}

/* Merges the dimensions that all operands run through alike, and splits off the row. */
static rows rows_of(const ur__dense *d)
{
    rows r = {.n = 1};
    ur_shape out = d->shape[d->inputs];
    size_t stride[OPERANDS][UR_RANK];
    for (uint32_t k = 0; k < d->inputs; k++)
        ur__strides(d->shape[k], out, stride[k]);
    for (int i = 0; i < UR_RANK; i++) {
        size_t n = i < out.rank ? (size_t)out.size[i] : 1;
        bool merge = r.dims > 0;
        for (uint32_t k = 0; k < d->inputs && merge; k++)
            merge = r.stride[k][r.dims - 1] == stride[k][i] * n;
        if (n == 1)
            continue;
        if (!merge)
            r.size[r.dims++] = 1;
        r.size[r.dims - 1] *= n;
        for (uint32_t k = 0; k < d->inputs; k++)
            r.stride[k][r.dims - 1] = stride[k][i];
    }
    if (r.dims)
        split_row(&r, d->inputs);
    return r;
}

/* n elements: `period` of them from x over and over. */
static void spread(const ur__dense *d, size_t n, size_t period, char *to, const char *x)
{
    size_t e = ur_dtype_bytes(d->dtype);
    if (period == 1)
        d->kernels->fill(n, to, x);
    for (size_t i = 0; period > 1 && i < n; i += period)
        memcpy(to + i * e, x, period * e);
}

/* One row, tile by tile: of as many elements as make whole periods. What is over and over is spread over a tile. */
static void map_row(const ur__dense *d, const rows *r, char *y, const char *const in[OPERANDS])
{
    double tiles[OPERANDS][UR__TILE];
    const void *a[OPERANDS] = {NULL};
    size_t e = ur_dtype_bytes(d->dtype), tile = UR__TILE;
    for (uint32_t k = 0; k < d->inputs; k++)
        tile = r->period[k] > 1 ? UR__TILE / r->period[k] * r->period[k] : tile;
    tile = r->n < tile ? r->n : tile;
    for (uint32_t k = 0; k < d->inputs; k++)
        if (r->period[k]) {
            spread(d, tile, r->period[k], (char *)tiles[k], in[k]);
            a[k] = tiles[k];
        }
    for (size_t i = 0; i < r->n; i += tile) {
        size_t n = r->n - i < tile ? r->n - i : tile;
        for (uint32_t k = 0; k < d->inputs; k++)
            if (!r->period[k])
                a[k] = in[k] + i * e;
        d->kernels->map[d->op->kernel](n, y + i * e, a[0], a[1], a[2], d->attr);
    }
}

static void run_map(const ur__dense *d)
{
    rows r = rows_of(d);
    const size_t e = ur_dtype_bytes(d->dtype);
    size_t at[UR_RANK] = {0};
    char *row = (char *)d->out;
    for (size_t i = r.dims; i < UR_RANK; i++)
        r.size[i] = 1;
    do {
        const char *in[OPERANDS] = {NULL};
        for (uint32_t k = 0; k < d->inputs; k++)
            in[k] = (const char *)d->in[k] + ur__offset(at, r.stride[k]) * e;
        map_row(d, &r, row, in);
        row += r.n * e;
    } while (ur__next(at, r.size));
}

/* ---- the others */

static void run_matmul(const ur__dense *d)
{
    ur_shape out = d->shape[2], a = d->shape[0];
    bool ta = d->attr[0] != 0, tb = d->attr[1] != 0;
    int64_t k = ta ? a.size[0] : a.rank > 1 ? a.size[1] : 1;
    d->kernels->matmul((size_t)out.size[0], out.rank > 1 ? (size_t)out.size[1] : 1, (size_t)k, d->in[0], ta, d->in[1],
                       tb, d->out);
}

/* Of one input it is a copy. */
static void run_sum_of(const ur__dense *d)
{
    size_t n = ur_shape_count(d->shape[d->inputs]);
    memcpy(d->out, d->in[0], n * ur_dtype_bytes(d->dtype));
    for (uint32_t k = 1; k < d->inputs; k++)
        d->kernels->add_to(n, d->out, d->in[k]);
}

/* Walks the rows of `large`; `small` is repeated along its sizes of 1. */
static void run_reduce_or_broadcast(const ur__dense *d, bool reduce)
{
    ur_shape large = d->shape[!reduce], small = d->shape[reduce];
    size_t stride[UR_RANK], size[UR_RANK], at[UR_RANK] = {0}, e = ur_dtype_bytes(d->dtype);
    ur__strides(small, large, stride);
    ur__sizes(large, size);
    int last = large.rank > 0 ? large.rank - 1 : 0;
    const size_t row = size[last], inner = stride[last];
    size[last] = 1;
    char *y = (char *)d->out;
    const char *x = (const char *)d->in[0];
    if (reduce)
        memset(y, 0, ur_shape_count(small) * e);
    do {
        const size_t s = ur__offset(at, stride) * e;
        if (reduce && inner)
            d->kernels->add_to(row, y + s, x);
        else if (reduce)
            d->kernels->sum_to(row, y + s, x);
        else if (inner)
            memcpy(y, x + s, row * e);
        else
            d->kernels->fill(row, y, x + s);
        x += reduce ? row * e : 0;
        y += reduce ? 0 : row * e;
    } while (ur__next(at, size));
}

static void run_kernel(const ur__dense *d)
{
    ur__dense_call c = {.inputs = (int)d->inputs,
                        .shape = d->shape,
                        .in = d->in,
                        .out_shape = d->shape[d->inputs],
                        .out = d->out,
                        .attr = d->attr};
    d->kernels->dense[d->op->kernel - UR__DENSE](&c);
}

void ur__run_dense(const ur__dense *d)
{
    int kernel = d->op->kernel;
    if (kernel == UR__MATMUL)
        run_matmul(d);
    else if (kernel == UR__ALIAS || kernel == UR__SUM_OF)
        run_sum_of(d);
    else if (kernel == UR__REDUCE || kernel == UR__BROADCAST)
        run_reduce_or_broadcast(d, kernel == UR__REDUCE);
    else if (kernel >= UR__DENSE)
        run_kernel(d);
    else if (kernel != UR__SPECIFICATION && d->inputs <= OPERANDS)
        run_map(d);
    else
        run_specification(d);
}
