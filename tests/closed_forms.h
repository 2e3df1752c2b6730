/* closed_forms.h - what each operation gives, from the mathematics: loops and formulas that take nothing from the
 * library but a mask's random numbers. Includes Check. A new operation needs a line in `forms`. */
#ifndef UR_TESTS_CLOSED_FORMS_H
#define UR_TESTS_CLOSED_FORMS_H

#include <check.h>
#include <math.h>
#include <string.h>

#include "../ops/ops.h"

enum { MOST = 256, INPUTS = 3 };

/* ---- arrays of the test's own */

typedef struct array {
    int64_t size[UR_RANK]; /* 1 past the rank */
    double at[MOST];
} array;

static inline size_t count(const int64_t size[UR_RANK])
{
    return (size_t)(size[0] * size[1] * size[2] * size[3]);
}

static inline void set_size(array *a, ur_shape shape)
{
    for (int i = 0; i < UR_RANK; i++)
        a->size[i] = i < shape.rank ? shape.size[i] : 1;
    ck_assert_uint_le(count(a->size), MOST);
}

/* Row-major: the indices of element q, and back. */
static inline void split(size_t q, const int64_t size[UR_RANK], int64_t index[UR_RANK])
{
    for (int i = UR_RANK - 1; i >= 0; i--) {
        index[i] = (int64_t)q % size[i];
        q /= (size_t)size[i];
    }
}

static inline size_t join(const int64_t index[UR_RANK], const int64_t size[UR_RANK])
{
    int64_t q = 0;
    for (int i = 0; i < UR_RANK; i++)
        q = q * size[i] + index[i];
    return (size_t)q;
}

/* The place in an array of sizes `small`, repeated along its sizes of 1, that element q of `large` sees. */
static inline size_t under(size_t q, const int64_t large[UR_RANK], const int64_t small[UR_RANK])
{
    int64_t index[UR_RANK];
    split(q, large, index);
    for (int i = 0; i < UR_RANK; i++)
        index[i] = small[i] == 1 ? 0 : index[i];
    return join(index, small);
}

/* ---- closed forms */

/* The elementwise ones, of up to three values; in long double, so that they may be written as they stand in books. */
#define ELEMENT(name, expression)                                                                                      \
    static inline double form_##name(const double x[INPUTS], const double *attr)                                       \
    {                                                                                                                  \
        const long double a = (long double)x[0], b = (long double)x[1], c = (long double)x[2];                         \
        (void)attr, (void)a, (void)b, (void)c;                                                                         \
        return (double)(expression);                                                                                   \
    }

/* clang-format off: it takes a * b for a pointer */
ELEMENT(add, a + b)
ELEMENT(sub, a - b)
ELEMENT(mul, a *b)
ELEMENT(div, a / b)
ELEMENT(neg, 0 - a)
ELEMENT(scale, (long double)attr[0] * a)
ELEMENT(one_minus, 1 - a)
ELEMENT(square, powl(a, 2))
ELEMENT(exp, expl(a))
ELEMENT(log, logl(a))
ELEMENT(sigmoid, 1 / (1 + expl(-a)))
ELEMENT(tanh, tanhl(a))
ELEMENT(relu, (a + fabsl(a)) / 2)
ELEMENT(step, a > 0)
ELEMENT(bce, -(b *logl(a) + (1 - b) * logl(1 - a)))
ELEMENT(bce_net, b *logl(1 + expl(-a)) + (1 - b) * logl(1 + expl(a)))
ELEMENT(cross_entropy, b *logl(1 / a))
ELEMENT(squared_error, (a * a - 2 * a * b + b * b) / 2)
ELEMENT(select, a == 0 ? c : b)
ELEMENT(detach, a)
ELEMENT(min, (a + b - fabsl(a - b)) / 2)
ELEMENT(max, (a + b + fabsl(a - b)) / 2)
ELEMENT(power, expl(b *logl(a)))
ELEMENT(sqrt, sqrtl(a))
ELEMENT(abs, fabsl(a))
ELEMENT(sign, (a > 0) - (a < 0))
ELEMENT(sin, sin(x[0]))
ELEMENT(cos, cos(x[0]))
ELEMENT(erf, erfl(a))
ELEMENT(softplus, fmaxl(a, 0) + log1pl(expl(-fabsl(a))))
ELEMENT(log_sigmoid, fminl(a, 0) - log1pl(expl(-fabsl(a))))
ELEMENT(lrelu, fmaxl(a, 0) + (long double)attr[0] * fminl(a, 0))
ELEMENT(prelu, fmaxl(a, 0) + b * fminl(a, 0))
ELEMENT(elu, fmaxl(a, 0) + (long double)attr[0] * expm1l(fminl(a, 0)))
ELEMENT(selu, 1.0507009873554804934L * (fmaxl(a, 0) + 1.6732632423543772848L * expm1l(fminl(a, 0))))
ELEMENT(gelu, a *erfcl(-a / sqrtl(2)) / 2)
ELEMENT(silu, a / (1 + expl(-a)))
/* clang-format on */

/* y_ij = sum_q A_iq B_qj, where A_iq is stored at [q,i] when it is transposed; the same for every index behind i, j */
static inline void form_bmm(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    const array *a = in[0], *b = in[1];
    int ta = attr[0] != 0, tb = attr[1] != 0;
    *y = (array){.size = {a->size[ta], b->size[1 - tb], a->size[2], a->size[3]}};
    for (size_t e = 0; e < count(y->size); e++) {
        int64_t index[UR_RANK];
        split(e, y->size, index);
        for (int64_t q = 0; q < a->size[1 - ta]; q++) {
            int64_t i = index[0], j = index[1];
            size_t at_a = join((int64_t[]){ta ? q : i, ta ? i : q, index[2], index[3]}, a->size);
            size_t at_b = join((int64_t[]){tb ? j : q, tb ? q : j, index[2], index[3]}, b->size);
            y->at[e] += a->at[at_a] * b->at[at_b];
        }
    }
}

/* y_ij = a_i b_j; the same for every index behind */
static inline void form_outer(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    const array *a = in[0], *b = in[1];
    *y = (array){.size = {a->size[0], b->size[0], a->size[1], a->size[2]}};
    for (size_t e = 0; e < count(y->size); e++) {
        int64_t x[UR_RANK];
        split(e, y->size, x);
        y->at[e] = a->at[join((int64_t[]){x[0], x[2], x[3], 0}, a->size)] *
                   b->at[join((int64_t[]){x[1], x[2], x[3], 0}, b->size)];
    }
}

/* Adds up into y, whose sizes are those of `a` or 1. */
static inline void add_up(const array *a, array *y)
{
    memset(y->at, 0, sizeof y->at);
    for (size_t q = 0; q < count(a->size); q++)
        y->at[under(q, a->size, y->size)] += a->at[q];
}

/* The sizes left of a reduction along attr[0], or of all elements. */
static inline void reduce_size(const array *a, const double *attr, array *y)
{
    set_size(y, UR_SCALAR);
    if (attr[0] >= 0) {
        memcpy(y->size, a->size, sizeof y->size);
        y->size[(int)attr[0]] = 1;
    }
}

static inline void form_sum(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    reduce_size(in[0], attr, y);
    add_up(in[0], y);
}

static inline void form_norm(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    array squares = *in[0];
    for (size_t q = 0; q < count(squares.size); q++)
        squares.at[q] *= squares.at[q];
    reduce_size(in[0], attr, y);
    add_up(&squares, y);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = sqrt(y->at[q]);
}

static inline void form_max_over(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    reduce_size(in[0], attr, y);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = -INFINITY;
    for (size_t q = 0; q < count(in[0]->size); q++) {
        double *most = &y->at[under(q, in[0]->size, y->size)];
        *most = fmax(*most, in[0]->at[q]);
    }
}

/* y_i is the sum of the a_j with j <= i on the axis, or j >= i */
static inline void form_cumsum(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    const array *a = in[0];
    int axis = (int)attr[0];
    *y = *a;
    for (size_t q = 0; q < count(y->size); q++) {
        int64_t index[UR_RANK];
        split(q, y->size, index);
        int64_t last = attr[1] != 0 ? a->size[axis] - 1 : index[axis];
        y->at[q] = 0;
        for (index[axis] = attr[1] != 0 ? index[axis] : 0; index[axis] <= last; index[axis]++)
            y->at[q] += a->at[join(index, a->size)];
    }
}

/* [t,j,...] of the matrix, [t,...] and [j,...] of the exponents */
static inline void form_decay(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    (void)attr;
    *y = *in[0];
    for (size_t q = 0; q < count(y->size); q++) {
        int64_t index[UR_RANK];
        split(q, y->size, index);
        size_t t = join((int64_t[]){index[0], index[2], index[3], 0}, in[1]->size);
        size_t j = join((int64_t[]){index[1], index[2], index[3], 0}, in[1]->size);
        y->at[q] *= index[1] > index[0] ? 0 : exp(in[1]->at[t] - in[1]->at[j] + in[2]->at[j]);
    }
}

static inline void form_concat(int inputs, const array *const *in, const double *attr, array *y)
{
    int axis = (int)attr[0];
    int64_t first = 0;
    *y = (array){.size = {in[0]->size[0], in[0]->size[1], in[0]->size[2], in[0]->size[3]}};
    for (int k = 1; k < inputs; k++)
        y->size[axis] += in[k]->size[axis];
    for (int k = 0; k < inputs; first += in[k++]->size[axis])
        for (size_t q = 0; q < count(in[k]->size); q++) {
            int64_t index[UR_RANK];
            split(q, in[k]->size, index);
            index[axis] += first;
            y->at[join(index, y->size)] = in[k]->at[q];
        }
}

static inline void form_slice(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    int axis = (int)attr[0];
    *y = *in[0];
    y->size[axis] = (int64_t)attr[2];
    for (size_t q = 0; q < count(y->size); q++) {
        int64_t index[UR_RANK];
        split(q, y->size, index);
        index[axis] += (int64_t)attr[1];
        y->at[q] = in[0]->at[join(index, in[0]->size)];
    }
}

static inline void form_pad(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    int axis = (int)attr[0];
    *y = (array){.size = {in[0]->size[0], in[0]->size[1], in[0]->size[2], in[0]->size[3]}};
    y->size[axis] += (int64_t)(attr[1] + attr[2]);
    for (size_t q = 0; q < count(in[0]->size); q++) {
        int64_t index[UR_RANK];
        split(q, in[0]->size, index);
        index[axis] += (int64_t)attr[1];
        y->at[join(index, y->size)] = in[0]->at[q];
    }
}

static inline void form_transpose(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    int i = (int)attr[0], j = (int)attr[1];
    *y = *in[0];
    y->size[i] = in[0]->size[j];
    y->size[j] = in[0]->size[i];
    for (size_t q = 0; q < count(y->size); q++) {
        int64_t index[UR_RANK];
        split(q, y->size, index);
        int64_t kept = index[i];
        index[i] = index[j];
        index[j] = kept;
        y->at[q] = in[0]->at[join(index, in[0]->size)];
    }
}

/* y_in = W_vi for the index v of column n */
static inline void form_gather(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    int64_t d = in[0]->size[1], columns = in[1]->size[1];
    set_size(y, UR_SHAPE(d, columns));
    for (int64_t i = 0; i < d; i++)
        for (int64_t n = 0; n < columns; n++)
            y->at[i * columns + n] = in[0]->at[(int64_t)in[1]->at[n] * d + i];
}

/* y_vi is the sum of the a_in whose index is v */
static inline void form_scatter(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    int64_t d = in[0]->size[0], columns = in[0]->size[1];
    *y = (array){.size = {(int64_t)attr[0], d, 1, 1}};
    for (int64_t i = 0; i < d; i++)
        for (int64_t n = 0; n < columns; n++)
            y->at[(int64_t)in[1]->at[n] * d + i] += in[0]->at[i * columns + n];
}

/* The recipe of the mask, an element of its own for each sequence and row; `masks` looks at what it is good for. */
static inline void form_mask(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    char stream[64];
    int64_t rows = (int64_t)attr[1], columns = in[1]->size[1];
    snprintf(stream, sizeof stream, "mask %d %d", (int)attr[3], (int)in[0]->at[0]);
    set_size(y, UR_SHAPE(rows, columns));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t n = 0; n < columns; n++) {
            uint64_t element = (uint64_t)((int64_t)in[1]->at[n] * rows + i);
            y->at[i * columns + n] = ur_random((uint64_t)attr[2], stream, element) < attr[0];
        }
}

static inline void form_layer_norm(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    const array *a = in[0];
    size_t rows = (size_t)a->size[0], columns = count(a->size) / rows;
    *y = *a;
    for (size_t j = 0; j < columns; j++) {
        long double mean = 0, squares = 0;
        for (size_t i = 0; i < rows; i++) {
            mean += (long double)a->at[i * columns + j] / (long double)rows;
            squares += (long double)a->at[i * columns + j] * (long double)a->at[i * columns + j] / (long double)rows;
        }
        for (size_t i = 0; i < rows; i++)
            y->at[i * columns + j] = (double)((a->at[i * columns + j] - mean) / sqrtl(squares - mean * mean + 1e-5L));
    }
}

static inline void form_mean(int inputs, const array *const *in, const double *attr, array *y)
{
    form_sum(inputs, in, attr, y);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] /= (double)count(in[0]->size) / (double)count(y->size);
}

/* ln sum_j e^(a_j - a_i) over the features j of the column that element q is in */
static inline double log_share(const array *a, size_t q)
{
    size_t columns = count(a->size) / (size_t)a->size[0];
    long double sum = 1; /* j = i */
    for (size_t j = q % columns; j < count(a->size); j += columns)
        sum += j == q ? 0 : expl((long double)a->at[j] - (long double)a->at[q]);
    return (double)logl(sum);
}

static inline void form_softmax(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    memcpy(y->size, in[0]->size, sizeof y->size);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = exp(-log_share(in[0], q));
}

static inline void form_log_softmax(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    memcpy(y->size, in[0]->size, sizeof y->size);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = -log_share(in[0], q);
}

static inline void form_softmax_ce(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    array error = *in[0];
    for (size_t q = 0; q < count(error.size); q++)
        error.at[q] = in[1]->at[q] * log_share(in[0], q);
    memcpy(y->size, error.size, sizeof y->size);
    y->size[0] = 1;
    add_up(&error, y);
}

static inline void form_sum_of(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)attr;
    *y = *in[0];
    for (int k = 1; k < inputs; k++)
        for (size_t q = 0; q < count(y->size); q++)
            y->at[q] += in[k]->at[q];
}

/* The shape that reduce_to, broadcast and reshape have in their constants: rank, sizes. */
static inline ur_shape shape_of(const double *attr)
{
    ur_shape shape = {.rank = (int)attr[0]};
    for (int i = 0; i < shape.rank; i++)
        shape.size[i] = (int64_t)attr[1 + i];
    return shape;
}

static inline void form_reduce_to(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    set_size(y, shape_of(attr));
    add_up(in[0], y);
}

static inline void form_reshape(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    *y = *in[0];
    set_size(y, shape_of(attr));
}

static inline void form_broadcast(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    set_size(y, shape_of(attr));
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = in[0]->at[under(q, y->size, in[0]->size)];
}

/* One of `element` and `whole`. In `blind` bit k stands for an input whose derivative is 0 by definition, whatever
 * differences say; in `switches` for one that is compared with 0: every second element is 0; in `indices` for one of
 * whole numbers: 1, 0, 3, 2, 1, ... */
static const struct form {
    const char *name;
    double (*element)(const double x[INPUTS], const double *attr);
    void (*whole)(int inputs, const array *const *in, const double *attr, array *y);
    unsigned blind, switches, indices;
} forms[] = {
    {"add", .element = form_add},
    {"sub", .element = form_sub},
    {"mul", .element = form_mul},
    {"div", .element = form_div},
    {"neg", .element = form_neg},
    {"scale", .element = form_scale},
    {"one_minus", .element = form_one_minus},
    {"square", .element = form_square},
    {"exp", .element = form_exp},
    {"log", .element = form_log},
    {"sigmoid", .element = form_sigmoid},
    {"tanh", .element = form_tanh},
    {"relu", .element = form_relu},
    {"step", .element = form_step},
    {"bce", .element = form_bce},
    {"bce_net", .element = form_bce_net},
    {"cross_entropy", .element = form_cross_entropy},
    {"squared_error", .element = form_squared_error},
    {"select", .element = form_select, .blind = 1, .switches = 1},
    {"detach", .element = form_detach, .blind = 1},
    {"matmul", .whole = form_bmm},
    {"sum", .whole = form_sum},
    {"mean", .whole = form_mean},
    {"softmax", .whole = form_softmax},
    {"log_softmax", .whole = form_log_softmax},
    {"softmax_ce", .whole = form_softmax_ce},
    {"sum_of", .whole = form_sum_of},
    {"reduce_to", .whole = form_reduce_to},
    {"broadcast", .whole = form_broadcast},
    {"min", .element = form_min},
    {"max", .element = form_max},
    {"power", .element = form_power},
    {"sqrt", .element = form_sqrt},
    {"abs", .element = form_abs},
    {"sign", .element = form_sign},
    {"sin", .element = form_sin},
    {"cos", .element = form_cos},
    {"erf", .element = form_erf},
    {"softplus", .element = form_softplus},
    {"log_sigmoid", .element = form_log_sigmoid},
    {"lrelu", .element = form_lrelu},
    {"prelu", .element = form_prelu},
    {"elu", .element = form_elu},
    {"selu", .element = form_selu},
    {"gelu", .element = form_gelu},
    {"silu", .element = form_silu},
    {"bmm", .whole = form_bmm},
    {"outer", .whole = form_outer},
    {"norm", .whole = form_norm},
    {"max_over", .whole = form_max_over},
    {"cumsum", .whole = form_cumsum},
    {"decay", .whole = form_decay},
    {"concat", .whole = form_concat},
    {"slice", .whole = form_slice},
    {"pad", .whole = form_pad},
    {"reshape", .whole = form_reshape},
    {"transpose", .whole = form_transpose},
    {"layer_norm", .whole = form_layer_norm},
    {"gather", .whole = form_gather, .blind = 2, .indices = 2},
    {"scatter", .whole = form_scatter, .blind = 2, .indices = 2},
    {"mask", .whole = form_mask, .blind = 3, .indices = 3},
};

static inline const struct form *form_of(const ur_op *op)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, op->name) == 0)
            return &forms[i];
    ck_abort_msg("%s has no closed form in this test", op->name);
    return NULL;
}

#endif
