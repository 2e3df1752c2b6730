/* dense.c - one operation on dense arrays: with the fast kernel where it has one, with its specification elsewhere. */
#include <string.h>

#include "plan.h"

/* ---- specifications */

static void map_all(const ur_op *op, const ur_call *c)
{
    size_t stride[UR__MAP_INPUTS][UR_RANK], at = 0;
    int64_t n[UR_RANK];
    for (int i = 0; i < UR_RANK; i++)
        n[i] = i < c->out_shape.rank ? c->out_shape.size[i] : 1;
    for (int k = 0; k < c->inputs; k++)
        ur__strides(c->shape[k], c->out_shape, stride[k]);
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++)
                for (int64_t l = 0; l < n[3]; l++) {
                    double in[UR__MAP_INPUTS];
                    for (int q = 0; q < c->inputs; q++)
                        in[q] = c->in[q][(size_t)i * stride[q][0] + (size_t)j * stride[q][1] +
                                         (size_t)k * stride[q][2] + (size_t)l * stride[q][3]];
                    c->out[at++] = op->map(in, c->attr);
                }
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
    size_t e = ur_dtype_bytes(d->dtype), row = 0;
    size_t n[UR_RANK - 1] = {1, 1, 1}, at[UR_RANK - 1];
    for (size_t i = 0; i < r.dims; i++)
        n[i] = r.size[i];
    for (at[0] = 0; at[0] < n[0]; at[0]++)
        for (at[1] = 0; at[1] < n[1]; at[1]++)
            for (at[2] = 0; at[2] < n[2]; at[2]++, row++) {
                const char *in[OPERANDS] = {NULL};
                for (uint32_t k = 0; k < d->inputs; k++) {
                    size_t offset = 0;
                    for (size_t i = 0; i < r.dims; i++)
                        offset += at[i] * r.stride[k][i];
                    in[k] = (const char *)d->in[k] + offset * e;
                }
                map_row(d, &r, (char *)d->out + row * r.n * e, in);
            }
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
    size_t stride[UR_RANK], n[UR_RANK], e = ur_dtype_bytes(d->dtype), at = 0;
    ur__strides(small, large, stride);
    for (int i = 0; i < UR_RANK; i++)
        n[i] = i < large.rank ? (size_t)large.size[i] : 1;
    int last = large.rank > 0 ? large.rank - 1 : 0;
    size_t row = n[last], inner = stride[last];
    n[last] = 1;
    char *y = (char *)d->out;
    const char *x = (const char *)d->in[0];
    if (reduce)
        memset(y, 0, ur_shape_count(small) * e);
    for (size_t i = 0; i < n[0]; i++)
        for (size_t j = 0; j < n[1]; j++)
            for (size_t k = 0; k < n[2]; k++, at += row) {
                size_t s = i * stride[0] + j * stride[1] + k * stride[2];
                if (reduce && inner)
                    d->kernels->add_to(row, y + s * e, x + at * e);
                else if (reduce)
                    d->kernels->sum_to(row, y + s * e, x + at * e);
                else if (inner)
                    memcpy(y + at * e, x + s * e, row * e);
                else
                    d->kernels->fill(row, y + at * e, x + s * e);
            }
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
