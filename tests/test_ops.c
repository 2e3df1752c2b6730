/* test_ops.c - every operation on every sample of its descriptor.
 *
 *     values       against closed forms written here from the mathematics, in f64 and f32, by the plan and by the
 *                  reference
 *     derivatives  of w = sum(r y) by every element of every input, and of sum(s dw/dx) once more, against central
 *                  differences made here (not by ur_check)
 *
 * and then with every broadcast, as op(x, x), on large shapes, far from 0, replayed, and with shapes that do not fit.
 * A new operation is found by itself; it needs a line in `forms` below, and one in `refusals` when it has a shape rule. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/internal.h"
#include "../ops/ops.h"
#include "support.h"

enum { MOST = 256, INPUTS = 3, STRUCTURAL = 5, RESULTS = 1 + 2 * INPUTS };

/* ---- arrays of the test's own */

typedef struct array {
    int64_t size[UR_RANK]; /* 1 past the rank */
    double at[MOST];
} array;

static size_t count(const int64_t size[UR_RANK])
{
    return (size_t)(size[0] * size[1] * size[2] * size[3]);
}

static void set_size(array *a, ur_shape shape)
{
    for (int i = 0; i < UR_RANK; i++)
        a->size[i] = i < shape.rank ? shape.size[i] : 1;
    ck_assert_uint_le(count(a->size), MOST);
}

/* Row-major: the indices of element q, and back. */
static void split(size_t q, const int64_t size[UR_RANK], int64_t index[UR_RANK])
{
    for (int i = UR_RANK - 1; i >= 0; i--) {
        index[i] = (int64_t)q % size[i];
        q /= (size_t)size[i];
    }
}

static size_t join(const int64_t index[UR_RANK], const int64_t size[UR_RANK])
{
    int64_t q = 0;
    for (int i = 0; i < UR_RANK; i++)
        q = q * size[i] + index[i];
    return (size_t)q;
}

/* The place in an array of sizes `small`, repeated along its sizes of 1, that element q of `large` sees. */
static size_t under(size_t q, const int64_t large[UR_RANK], const int64_t small[UR_RANK])
{
    int64_t index[UR_RANK];
    split(q, large, index);
    for (int i = 0; i < UR_RANK; i++)
        index[i] = small[i] == 1 ? 0 : index[i];
    return join(index, small);
}

/* ---- closed forms, from the mathematics */

/* The elementwise ones, of up to three values; in long double, so that they may be written as they stand in books. */
#define ELEMENT(name, expression)                                                                                      \
    static double form_##name(const double x[INPUTS], const double *attr)                                              \
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
static void form_bmm(int inputs, const array *const *in, const double *attr, array *y)
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
static void form_outer(int inputs, const array *const *in, const double *attr, array *y)
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
static void add_up(const array *a, array *y)
{
    memset(y->at, 0, sizeof y->at);
    for (size_t q = 0; q < count(a->size); q++)
        y->at[under(q, a->size, y->size)] += a->at[q];
}

/* The sizes left of a reduction along attr[0], or of all elements. */
static void reduce_size(const array *a, const double *attr, array *y)
{
    set_size(y, UR_SCALAR);
    if (attr[0] >= 0) {
        memcpy(y->size, a->size, sizeof y->size);
        y->size[(int)attr[0]] = 1;
    }
}

static void form_sum(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    reduce_size(in[0], attr, y);
    add_up(in[0], y);
}

static void form_norm(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_max_over(int inputs, const array *const *in, const double *attr, array *y)
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
static void form_cumsum(int inputs, const array *const *in, const double *attr, array *y)
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
static void form_decay(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_concat(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_slice(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_pad(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_transpose(int inputs, const array *const *in, const double *attr, array *y)
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
static void form_gather(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    int64_t d = in[0]->size[1], columns = in[1]->size[1];
    set_size(y, UR_SHAPE(d, columns));
    for (int64_t i = 0; i < d; i++)
        for (int64_t n = 0; n < columns; n++)
            y->at[i * columns + n] = in[0]->at[(int64_t)in[1]->at[n] * d + i];
}

/* y_vi is the sum of the a_in whose index is v */
static void form_scatter(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    int64_t d = in[0]->size[0], columns = in[0]->size[1];
    *y = (array){.size = {(int64_t)attr[0], d, 1, 1}};
    for (int64_t i = 0; i < d; i++)
        for (int64_t n = 0; n < columns; n++)
            y->at[(int64_t)in[1]->at[n] * d + i] += in[0]->at[i * columns + n];
}

/* The recipe of the mask, an element of its own for each sequence and row; `masks` looks at what it is good for. */
static void form_mask(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_layer_norm(int inputs, const array *const *in, const double *attr, array *y)
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

static void form_mean(int inputs, const array *const *in, const double *attr, array *y)
{
    form_sum(inputs, in, attr, y);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] /= (double)count(in[0]->size) / (double)count(y->size);
}

/* ln sum_j e^(a_j - a_i) over the features j of the column that element q is in */
static double log_share(const array *a, size_t q)
{
    size_t columns = count(a->size) / (size_t)a->size[0];
    long double sum = 1; /* j = i */
    for (size_t j = q % columns; j < count(a->size); j += columns)
        sum += j == q ? 0 : expl((long double)a->at[j] - (long double)a->at[q]);
    return (double)logl(sum);
}

static void form_softmax(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    memcpy(y->size, in[0]->size, sizeof y->size);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = exp(-log_share(in[0], q));
}

static void form_log_softmax(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    memcpy(y->size, in[0]->size, sizeof y->size);
    for (size_t q = 0; q < count(y->size); q++)
        y->at[q] = -log_share(in[0], q);
}

static void form_softmax_ce(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs, (void)attr;
    array error = *in[0];
    for (size_t q = 0; q < count(error.size); q++)
        error.at[q] = in[1]->at[q] * log_share(in[0], q);
    memcpy(y->size, error.size, sizeof y->size);
    y->size[0] = 1;
    add_up(&error, y);
}

static void form_sum_of(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)attr;
    *y = *in[0];
    for (int k = 1; k < inputs; k++)
        for (size_t q = 0; q < count(y->size); q++)
            y->at[q] += in[k]->at[q];
}

/* The shape that reduce_to, broadcast and reshape have in their constants: rank, sizes. */
static ur_shape shape_of(const double *attr)
{
    ur_shape shape = {.rank = (int)attr[0]};
    for (int i = 0; i < shape.rank; i++)
        shape.size[i] = (int64_t)attr[1 + i];
    return shape;
}

static void form_reduce_to(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    set_size(y, shape_of(attr));
    add_up(in[0], y);
}

static void form_reshape(int inputs, const array *const *in, const double *attr, array *y)
{
    (void)inputs;
    *y = *in[0];
    set_size(y, shape_of(attr));
}

static void form_broadcast(int inputs, const array *const *in, const double *attr, array *y)
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

static const struct form *form_of(const ur_op *op)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].name, op->name) == 0)
            return &forms[i];
    ck_abort_msg("%s has no closed form in this test", op->name);
    return NULL;
}

/* ---- the operations and their samples */

/* `state` is on no path to a result, leaves compute nothing. */
static const ur_op *const structural[STRUCTURAL] = {&ur_op_sum_of, &ur_op_reduce_to, &ur_op_broadcast, &ur_op_select,
                                                    &ur_op_detach};

static const ur_op *op_at(int i)
{
    return i < STRUCTURAL ? structural[i] : ur_op_at((size_t)i - STRUCTURAL);
}

static int op_count(void)
{
    int n = 0;
    while (op_at(n))
        n++;
    return n;
}

extern const ur_op ur_op_reshape;

/* What is recorded: an operation on inputs of these shapes, all of them one value when `same`. */
typedef struct problem {
    const ur_op *op;
    int inputs;
    bool same;
    ur_shape shape[INPUTS];
    double attr[UR_ATTRS], low, high;
} problem;

/* An entry with nothing in it is not used: the sample of scalars states its interval. */
static bool is_used(const ur_sample *s)
{
    bool used = s->low != 0 || s->high != 0;
    for (int k = 0; k < INPUTS; k++)
        used = used || s->in[k].rank > 0;
    for (size_t i = 0; i < sizeof s->attr / sizeof *s->attr; i++)
        used = used || s->attr[i] != 0;
    return used;
}

/* Sample i; false when it is not used. */
static bool problem_of(const ur_op *op, int i, problem *p)
{
    const ur_sample *s = &op->samples[i];
    *p = (problem){.op = op, .inputs = op->inputs, .low = s->low, .high = s->high};
    if (p->low == 0 && p->high == 0) {
        p->low = -2;
        p->high = 2;
    }
    if (op->inputs == UR_ANY_INPUTS)
        for (p->inputs = 0; p->inputs < INPUTS && s->in[p->inputs].rank > 0; p->inputs++)
            ;
    ck_assert_msg(p->inputs <= INPUTS, "%s has more inputs than a sample holds", op->name);
    memcpy(p->shape, s->in, sizeof p->shape);
    memcpy(p->attr, s->attr, sizeof s->attr);
    return is_used(s);
}

static int leaves_of(const problem *p)
{
    return p->same ? 1 : p->inputs;
}

/* "mul [3,4] [1,4], gradient 1": for messages */
enum { LABEL = 512 };
static const char *label(const problem *p, const char *what, int k, char text[LABEL])
{
    char shape[UR_SHAPE_TEXT];
    int at = snprintf(text, LABEL, "%s", p->op->name);
    for (int i = 0; i < p->inputs; i++)
        at += snprintf(text + at, LABEL - (size_t)at, " %s", ur_shape_text(p->shape[i], shape));
    snprintf(text + at, LABEL - (size_t)at, "%s, %s %d", p->same ? " of one value" : "", what, k);
    return text;
}

/* Element q of input k: the value drawn, unless the input is a switch or holds indices. */
static double as_input(const problem *p, int k, size_t q, double value)
{
    const struct form *form = form_of(p->op);
    if (form->indices >> k & 1u)
        return (double)((3 * q + 1) % 4);
    return (form->switches >> k & 1u) && q % 2 ? 0 : value;
}

/* The values of all leaves: a lattice over the interval without its points near 0, jittered and shuffled, so that any
 * two are 1e-2 apart and each from 0. All are numbers of f32. */
static void draw(const problem *p, array *x)
{
    enum { POINTS = INPUTS * MOST + 4 };
    static const double apart = 1.01e-2;
    double point[POINTS], low = p->low, high = p->high;
    size_t wanted = 0, points = 0, used = 0;
    for (int k = 0; k < leaves_of(p); k++) {
        set_size(&x[k], p->shape[k]);
        wanted += count(x[k].size);
    }
    size_t slots = wanted + (low < 0 && high > 0 ? 4 : 0);
    double gap = (high - low) / (double)slots;
    double jitter = fmin(gap / 4, (gap - apart) / 2);
    ck_assert_msg(jitter >= 0, "%s: too many values for the sample's interval", p->op->name);
    for (size_t i = 0; i < slots && points < POINTS; i++) {
        double v = low + gap * ((double)i + 0.5) + jitter * (2 * ur_random(1, "jitter", i) - 1);
        if (fabs(v) >= apart)
            point[points++] = (double)(float)v;
    }
    ck_assert_uint_ge(points, wanted);
    for (size_t i = points; i-- > 1;) {
        size_t j = (size_t)(ur_random(1, p->op->name, i) * (double)(i + 1));
        double kept = point[i];
        point[i] = point[j];
        point[j] = kept;
    }
    for (int k = 0; k < leaves_of(p); k++)
        for (size_t q = 0; q < count(x[k].size); q++)
            x[k].at[q] = as_input(p, k, q, point[used++]);
}

/* Factors r and s of the functionals: between 1/2 and 3/2 in size, of both signs. */
static double factor(const char *stream, size_t i)
{
    double u = ur_random(2, stream, i);
    return (double)(float)(u < 0.5 ? u - 1.5 : u + 0.5);
}

static void draw_factors(array *a, const char *stream)
{
    for (size_t q = 0; q < count(a->size); q++)
        a->at[q] = factor(stream, q);
}

/* ---- the tape of a problem: y, dw/dx_k for w = sum(r y), and d/dx_k sum(s dw/dx) */

typedef struct recorded {
    ur_tape *tape;
    int leaves;
    ur_var x[INPUTS], r, s[INPUTS], y, g[INPUTS], phi, h[INPUTS];
} recorded;

static const char *leaf_name(int k)
{
    return k == 0 ? "alpha" : k == 1 ? "beta" : "gamma";
}

static const char *factor_name(int k)
{
    return k == 0 ? "s0" : k == 1 ? "s1" : "s2";
}

static recorded record(const problem *p, ur_dtype dtype)
{
    char text[LABEL];
    recorded t = {.tape = new_tape(dtype), .leaves = leaves_of(p)};
    ur_var in[INPUTS] = {{0}}, slope[INPUTS];
    for (int k = 0; k < t.leaves; k++) {
        t.x[k] = ur_input(t.tape, leaf_name(k), p->shape[k]);
        t.s[k] = ur_input(t.tape, factor_name(k), p->shape[k]);
    }
    for (int k = 0; k < p->inputs; k++)
        in[k] = t.x[p->same ? 0 : k];
    t.y = ur_record(p->op, (size_t)p->inputs, in, p->op->attrs ? p->attr : NULL);
    ur_node node;
    ur_look(t.y, &node);
    assert_good(t.tape, label(p, "recorded", 0, text));
    t.r = ur_input(t.tape, "r", node.shape);
    ur_grad(ur_mul(t.r, t.y), (size_t)t.leaves, t.x, t.g);
    for (int k = 0; k < t.leaves; k++)
        slope[k] = ur_sum(ur_mul(t.s[k], t.g[k]));
    t.phi = ur_total((size_t)t.leaves, slope);
    ur_grad(t.phi, (size_t)t.leaves, t.x, t.h);
    assert_good(t.tape, label(p, "differentiated", 2, text));
    return t;
}

static ur_plan *plan_all(const recorded *t, bool reference)
{
    ur_var root[RESULTS] = {t->y};
    for (int k = 0; k < t->leaves; k++) {
        root[1 + k] = t->g[k];
        root[1 + t->leaves + k] = t->h[k];
    }
    ur_plan_options options = {.reference = reference, .roots = 1 + 2 * (size_t)t->leaves, .root = root};
    ur_plan *plan = ur_plan_new(t->tape, &options);
    assert_good(t->tape, "the plan");
    return plan;
}

static void write_leaf(ur_var leaf, const array *a)
{
    ck_assert(ur_write(leaf, count(a->size), a->at));
}

typedef struct result {
    array y, g[INPUTS], h[INPUTS];
} result;

static void read_value(ur_plan *plan, ur_var v, array *out)
{
    ur_node node;
    ur_look(v, &node);
    set_size(out, node.shape);
    ck_assert(ur_read(plan, v, count(out->size), out->at));
}

static result run(const recorded *t, ur_plan *plan)
{
    result r = {.y = {{0}, {0}}};
    ck_assert(ur_plan_run(plan));
    read_value(plan, t->y, &r.y);
    for (int k = 0; k < t->leaves; k++) {
        read_value(plan, t->g[k], &r.g[k]);
        read_value(plan, t->h[k], &r.h[k]);
    }
    return r;
}

/* What is given: the leaves' values and the factors of both functionals. */
typedef struct given {
    array x[INPUTS], r, s[INPUTS];
} given;

static void write_given(const recorded *t, const given *v)
{
    write_leaf(t->r, &v->r);
    for (int k = 0; k < t->leaves; k++) {
        write_leaf(t->x[k], &v->x[k]);
        write_leaf(t->s[k], &v->s[k]);
    }
}

/* ---- differences */

typedef struct functional {
    const problem *p;
    const given *v;
    const recorded *t; /* NULL: w, by the closed form; otherwise phi, by the plan */
    ur_plan *plan;
} functional;

static void closed_form(const problem *p, const array *x, array *y)
{
    const struct form *form = form_of(p->op);
    const array *in[INPUTS] = {NULL};
    for (int k = 0; k < p->inputs; k++)
        in[k] = &x[p->same ? 0 : k];
    if (form->whole) {
        form->whole(p->inputs, in, p->attr, y);
        return;
    }
    for (int i = 0; i < UR_RANK; i++) {
        y->size[i] = 1;
        for (int k = 0; k < p->inputs; k++)
            y->size[i] = in[k]->size[i] > 1 ? in[k]->size[i] : y->size[i];
    }
    ck_assert_uint_le(count(y->size), MOST);
    for (size_t q = 0; q < count(y->size); q++) {
        double element[INPUTS] = {0};
        for (int k = 0; k < p->inputs; k++)
            element[k] = in[k]->at[under(q, y->size, in[k]->size)];
        y->at[q] = form->element(element, p->attr);
    }
}

static double value_at(const functional *f, const array *x)
{
    double sum = 0;
    array y;
    if (f->t) {
        for (int k = 0; k < f->t->leaves; k++)
            write_leaf(f->t->x[k], &x[k]);
        ck_assert(ur_plan_run(f->plan) && ur_read(f->plan, f->t->phi, 1, &sum));
        return sum;
    }
    closed_form(f->p, x, &y);
    for (size_t q = 0; q < count(y.size); q++)
        sum += f->v->r.at[q] * y.at[q];
    return sum;
}

/* Values are 1e-2 from 0, so no step crosses a kink there. */
static const double first_step = 0x1p-8;

/* By element q of leaf k: central differences with three steps, extrapolated to an error of h^6. */
static double slope_at(const functional *f, array *x, int k, size_t q)
{
    double kept = x[k].at[q], d[3], h = first_step;
    for (int i = 0; i < 3; i++) {
        double up = kept + h, down = kept - h;
        x[k].at[q] = up;
        double above = value_at(f, x);
        x[k].at[q] = down;
        d[i] = (above - value_at(f, x)) / (up - down);
        h /= 2;
    }
    x[k].at[q] = kept;
    double once = (4 * d[1] - d[0]) / 3, twice = (4 * d[2] - d[1]) / 3;
    return (16 * twice - once) / 15;
}

/* The gradient by leaf k against differences: within the tolerance of its own largest element, and the rounding that
 * the differences of a sum of terms of size `terms` have. */
static void check_gradient(const functional *f, array *x, int k, const array *gradient, double tolerance, double terms,
                           const char *what)
{
    char text[LABEL];
    array numeric = *gradient;
    bool blind = form_of(f->p->op)->blind >> k & 1u;
    for (int i = 0; i < UR_RANK; i++)
        ck_assert_msg(gradient->size[i] == x[k].size[i], "%s: not the shape of its input", label(f->p, what, k, text));
    for (size_t q = 0; q < count(x[k].size); q++)
        numeric.at[q] = blind ? 0 : slope_at(f, x, k, q);
    size_t n = count(x[k].size);
    double error = distance(n, gradient->at, numeric.at), size = largest(n, gradient->at);
    double rounding = blind ? 0 : 64 * DBL_EPSILON * terms / first_step;
    ck_assert_msg(error <= tolerance * size + rounding, "%s: error %g of %g", label(f->p, what, k, text), error, size);
}

/* ---- one problem, looked at from all sides */

static void check_close(const problem *p, const array *got, const array *want, double tolerance, const char *what,
                        int k)
{
    char text[LABEL];
    size_t n = count(want->size);
    for (int i = 0; i < UR_RANK; i++)
        ck_assert_msg(got->size[i] == want->size[i], "%s: wrong size", label(p, what, k, text));
    double error = distance(n, got->at, want->at), size = largest(n, want->at);
    /* what is 0 in exact numbers is left over from terms of size 1 */
    ck_assert_msg(error <= tolerance * fmax(size, 0.1), "%s: error %g of %g", label(p, what, k, text), error, size);
}

static void check_results(const problem *p, const result *got, const result *want, double tolerance, const char *what)
{
    check_close(p, &got->y, &want->y, tolerance, what, 0);
    for (int k = 0; k < leaves_of(p); k++) {
        check_close(p, &got->g[k], &want->g[k], 4 * tolerance, what, 1);
        check_close(p, &got->h[k], &want->h[k], 16 * tolerance, what, 2);
    }
}

static given draw_given(const problem *p)
{
    given v;
    array y;
    draw(p, v.x);
    closed_form(p, v.x, &y);
    v.r = y;
    draw_factors(&v.r, "r");
    for (int k = 0; k < leaves_of(p); k++) {
        v.s[k] = v.x[k];
        draw_factors(&v.s[k], factor_name(k));
    }
    return v;
}

static const double f64_close = 1e-13, f32_close = 1e-6;

/* The plan and the reference, in both types. Returns what the f64 plan found. */
static result check_executions(const problem *p, const given *v)
{
    result first = {.y = {{0}, {0}}};
    array y;
    closed_form(p, v->x, &y);
    for (int variant = 0; variant < 4; variant++) {
        bool f32 = variant & 2, reference = variant & 1;
        double close = f32 ? f32_close : f64_close;
        const char *what = f32         ? reference ? "reference f32, order" : "plan f32, order"
                           : reference ? "reference f64, order"
                                       : "plan f64, order";
        recorded t = record(p, f32 ? UR_F32 : UR_F64);
        ur_plan *plan = plan_all(&t, reference);
        write_given(&t, v);
        result r = run(&t, plan);
        check_close(p, &r.y, &y, close, what, 0);
        if (variant == 0)
            first = r;
        check_results(p, &r, &first, close, what);
        for (int k = 0; k < t.leaves; k++) {
            array x;
            read_value(plan, t.x[k], &x);
            ck_assert_mem_eq(x.at, v->x[k].at, count(x.size) * sizeof *x.at);
        }
        ur_plan_free(plan);
        ur_tape_free(t.tape);
    }
    return first;
}

static void check_differences(const problem *p, given *v, const result *found, bool second)
{
    functional w = {.p = p, .v = v};
    int leaves = leaves_of(p);
    double terms = 0;
    for (size_t q = 0; q < count(found->y.size); q++)
        terms += fabs(v->r.at[q] * found->y.at[q]);
    for (int k = 0; k < leaves; k++)
        check_gradient(&w, v->x, k, &found->g[k], 1e-7, terms, "gradient");
    if (!second)
        return;
    recorded t = record(p, UR_F64);
    ur_plan *plan = ur_plan_new(t.tape, &(ur_plan_options){.roots = 1, .root = &t.phi});
    functional phi = {.p = p, .v = v, .t = &t, .plan = plan};
    write_given(&t, v);
    terms = 0;
    for (int k = 0; k < leaves; k++)
        terms += (double)count(v->s[k].size) * (1 + largest(count(found->g[k].size), found->g[k].at));
    for (int k = 0; k < leaves; k++)
        check_gradient(&phi, v->x, k, &found->h[k], 1e-5, terms, "second derivative");
    ur_plan_free(plan);
    ur_tape_free(t.tape);
}

static void check_problem(const problem *p, bool second)
{
    given v = draw_given(p);
    result found = check_executions(p, &v);
    check_differences(p, &v, &found, second);
}

/* ---- what every descriptor has */

START_TEST(descriptor)
{
    const ur_op *op = op_at(_i);
    form_of(op);
    ck_assert_msg(op->derive != NULL, "%s has no derivative rule", op->name);
    ck_assert_msg(op->formula && op->derivative, "%s has no formula or no derivative to print", op->name);
    ck_assert_msg(op->kind == UR_MAP ? op->map != NULL : op->shape && op->run, "%s has no specification", op->name);
    ck_assert_msg(op->attrs >= 0 && op->attrs <= UR_ATTRS, "%s has too many constants", op->name);
    ck_assert_msg(is_used(&op->samples[0]), "%s has no sample", op->name);
    for (int i = 0; i < _i; i++)
        ck_assert_str_ne(op_at(i)->name, op->name);
}
END_TEST

/* ---- values and derivatives on every sample */

START_TEST(samples)
{
    problem p;
    for (int i = 0; i < UR_SAMPLES; i++)
        if (problem_of(op_at(_i), i, &p))
            check_problem(&p, true);
}
END_TEST

/* ---- broadcasting, every way round */

static void each_combination(const ur_op *op, int shapes, const ur_shape *shape, bool second)
{
    problem p;
    int combinations = 1;
    problem_of(op, 0, &p);
    for (int k = 0; k < p.inputs; k++)
        combinations *= shapes;
    for (int c = 0; c < combinations; c++) {
        for (int k = 0, rest = c; k < p.inputs; k++, rest /= shapes)
            p.shape[k] = shape[rest % shapes];
        check_problem(&p, second);
    }
}

START_TEST(broadcasting)
{
    static const ur_shape flat[] = {UR_SIZES(3, 4), UR_SIZES(3), UR_SIZES(1, 4), UR_SIZES(3, 1), {.rank = 0}};
    static const ur_shape deep[] = {UR_SIZES(2, 3, 1, 2), UR_SIZES(2, 1, 2), UR_SIZES(1, 3, 1, 2), UR_SIZES(2, 3)};
    const ur_op *op = op_at(_i);
    if (op->kind != UR_MAP || op->inputs < 2)
        return;
    each_combination(op, 5, flat, true);
    each_combination(op, 4, deep, false);
}
END_TEST

/* ---- op(x, x): the contributions of both places are added */

START_TEST(one_value_twice)
{
    const ur_op *op = op_at(_i);
    problem p, q;
    if (op->inputs == 1)
        return;
    for (int i = 0; i < UR_SAMPLES; i++) {
        if (!problem_of(op, i, &p))
            continue;
        p.same = true;
        if (form_of(op)->blind || p.shape[0].rank != p.shape[1].rank)
            continue; /* its places differ: a value in one, the switch in the other, or a matrix and a vector */
        if (!ur_shape_equal(p.shape[0], p.shape[1]) && p.attr[0] == p.attr[1])
            p.shape[0].size[1] = p.shape[0].size[0]; /* the square of a matrix */
        for (int k = 1; k < p.inputs; k++)
            p.shape[k] = p.shape[0];
        check_problem(&p, true);

        /* the same values in leaves of their own: the gradient is the sum of theirs */
        q = p;
        q.same = false;
        given one = draw_given(&p), each = one;
        for (int k = 1; k < p.inputs; k++) {
            each.x[k] = each.x[0];
            each.s[k] = each.s[0];
        }
        result sum = check_executions(&p, &one), part = check_executions(&q, &each);
        for (int k = 1; k < p.inputs; k++)
            for (size_t e = 0; e < count(part.g[0].size); e++)
                part.g[0].at[e] += part.g[k].at[e];
        check_close(&p, &sum.g[0], &part.g[0], f64_close, "sum of contributions", 0);
    }
}
END_TEST

/* select has a switch among its inputs: x where x != 0, else x */
START_TEST(select_of_one_value)
{
    double g[2], x[2] = {0, 3};
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), da;
    ur_write(a, 2, x);
    ur_grad(ur_select(a, a, a), 1, &a, &da);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &da});
    ck_assert(ur_plan_run(plan) && ur_read(plan, da, 2, g));
    ck_assert_double_eq(g[0], 1);
    ck_assert_double_eq(g[1], 1);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* What is not selected is not read: neither its value nor its gradient can be NaN. */
START_TEST(select_hides_nan)
{
    for (int variant = 0; variant < 4; variant++) {
        double out[10], alive[2] = {1, 0};
        ur_tape *tape = new_tape(variant & 1 ? UR_F32 : UR_F64);
        ur_var c = ur_input(tape, "alive", UR_SHAPE(1, 2)), x = ur_input(tape, "x", UR_SHAPE(2, 2));
        ur_var W = ur_input(tape, "W", UR_SHAPE(2, 2)), d[2];
        ur_var y = ur_square(ur_matmul(W, ur_select(c, x, ur_const(tape, UR_SCALAR, 0))));
        ur_write(c, 2, alive);
        ur_write(W, 4, (double[]){1, 2, 3, 4});
        ur_write(x, 4, (double[]){1, NAN, 2, INFINITY});
        ur_grad(y, 2, (ur_var[]){x, W}, d);
        ur_plan_options options = {.reference = variant & 2, .roots = 3, .root = (ur_var[]){d[0], d[1], y}};
        ur_plan *plan = ur_plan_new(tape, &options);
        ck_assert(ur_plan_run(plan));
        ck_assert(ur_read(plan, d[0], 4, out) && ur_read(plan, d[1], 4, out + 4));
        for (int i = 0; i < 8; i++)
            ck_assert_msg(isfinite(out[i]), "variant %d, element %d is %g", variant, i, out[i]);
        ck_assert_double_eq(out[1], 0);
        ck_assert_double_eq(out[3], 0);
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
}
END_TEST

/* ---- at kinks and ties, as ops.h and the operations' files state it */

/* d sum(y)/dx of y = op(x, ...) at x = 0; the second input of prelu is a slope of 3, of min and max the tie 0. */
static double slope_at_zero(const char *name, double constant, double second)
{
    const ur_op *op = NULL;
    double slope = NAN;
    for (int i = 0; i < op_count(); i++)
        op = strcmp(op_at(i)->name, name) == 0 ? op_at(i) : op;
    if (!op)
        return NAN;
    ur_tape *tape = new_tape(UR_F64);
    ur_var in[2] = {ur_input(tape, "x", UR_SHAPE(1)), ur_const(tape, UR_SHAPE(1), second)}, d;
    ur_grad(ur_record(op, (size_t)op->inputs, in, &constant), 1, in, &d);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &d});
    assert_good(tape, name);
    ck_assert(ur_plan_run(plan) && ur_read(plan, d, 1, &slope));
    ur_plan_free(plan);
    ur_tape_free(tape);
    return slope;
}

START_TEST(kinks)
{
    ck_assert_double_eq(slope_at_zero("relu", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("step", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("abs", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("sign", 0, 0), 0);
    ck_assert_double_eq(slope_at_zero("norm", -1, 0), 0);
    ck_assert_double_eq(slope_at_zero("lrelu", 0.25, 0), 0.25);
    ck_assert_double_eq(slope_at_zero("elu", 1.5, 0), 1.5);
    ck_assert_double_eq(slope_at_zero("prelu", 0, 3), 3);
    ck_assert_double_eq(slope_at_zero("min", 0, 0), 0.5);
    ck_assert_double_eq(slope_at_zero("max", 0, 0), 0.5);
}
END_TEST

START_TEST(largest_elements_share)
{
    double g[4] = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(4)), d;
    ur_grad(ur_max_over(a, -1), 1, &a, &d);
    ur_write(a, 4, (double[]){2, 5, -1, 5});
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &d});
    ck_assert(ur_plan_run(plan) && ur_read(plan, d, 4, g));
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(g[i], i % 2 ? 0.5 : 0);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* ---- tables and masks */

/* A column of NaN for an index that is no row; its part of the gradient goes nowhere. */
START_TEST(indices_that_are_no_rows)
{
    double y[8] = {0}, g[4] = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_input(tape, "W", UR_SHAPE(2, 2)), i = ur_input(tape, "i", UR_SHAPE(1, 4)), d;
    ur_var columns = ur_gather(W, i), alive = ur_input(tape, "alive", UR_SHAPE(1, 4));
    ur_grad(ur_select(alive, columns, ur_const(tape, UR_SCALAR, 0)), 1, &W, &d);
    ur_write(W, 4, (double[]){1, 2, 3, 4});
    ur_write(i, 4, (double[]){1, -1, 2, 0.5});
    ur_write(alive, 4, (double[]){1, 0, 0, 0});
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 2, .root = (ur_var[]){columns, d}});
    ck_assert(ur_plan_run(plan) && ur_read(plan, columns, 8, y) && ur_read(plan, d, 4, g));
    for (int k = 0; k < 8; k++)
        ck_assert(k % 4 ? isnan(y[k]) : y[k] == (k ? 4 : 3));
    for (int k = 0; k < 4; k++)
        ck_assert_double_eq(g[k], k < 2 ? 0 : 1);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

static void run_mask(int64_t columns, const double *sequences, double step, double p, double *out)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var t = ur_input(tape, "step", UR_SCALAR), n = ur_input(tape, "n", UR_SHAPE(1, columns));
    ur_var m = ur_mask(t, n, p, 50, 3, 4);
    ur_write(t, 1, &step);
    ur_write(n, (size_t)columns, sequences);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &m});
    assert_good(tape, "mask");
    ck_assert(ur_plan_run(plan) && ur_read(plan, m, (size_t)columns * 50, out));
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* A sequence has its mask wherever it stands; other steps have others; the share of ones is p; evaluation is p. */
START_TEST(masks)
{
    enum { ROWS = 50, COLUMNS = 40 };
    double sequences[COLUMNS], all[ROWS * COLUMNS], later[ROWS * COLUMNS], two[2 * ROWS], ones = 0, changed = 0;
    for (int n = 0; n < COLUMNS; n++)
        sequences[n] = n;
    run_mask(COLUMNS, sequences, 7, 0.8, all);
    run_mask(COLUMNS, sequences, 8, 0.8, later);
    run_mask(2, (double[]){31, 5}, 7, 0.8, two);
    for (int q = 0; q < ROWS * COLUMNS; q++) {
        ck_assert(all[q] == 0 || all[q] == 1);
        ones += all[q];
        changed += all[q] != later[q];
    }
    /* five standard deviations */
    ck_assert_double_le(fabs(ones / (ROWS * COLUMNS) - 0.8), 5 * sqrt(0.16 / (ROWS * COLUMNS)));
    ck_assert_double_le(fabs(changed / (ROWS * COLUMNS) - 0.32), 5 * sqrt(0.32 * 0.68 / (ROWS * COLUMNS)));
    for (int i = 0; i < ROWS; i++) {
        const double *row = &all[(size_t)i * COLUMNS], *pair = &two[(size_t)i * 2];
        ck_assert_double_eq(pair[0], row[31]);
        ck_assert_double_eq(pair[1], row[5]);
    }
    run_mask(COLUMNS, sequences, -1, 0.75, all);
    for (int q = 0; q < ROWS * COLUMNS; q++)
        ck_assert_double_eq(all[q], 0.75);
}
END_TEST

/* ---- large shapes: tiles, lanes and their tails */

/* 21 is more than the lanes of a vector, 268 more than a tile; neither is a multiple. */
static int64_t grown(int64_t size)
{
    return size == 1 ? 1 : size < 4 ? 7 * size : 67 * size;
}

static ur_shape grown_shape(ur_shape shape)
{
    for (int i = 0; i < shape.rank; i++)
        shape.size[i] = grown(shape.size[i]);
    return shape;
}

/* Uniform numbers; those of input k of the problem as the input wants them, k < 0: factors. */
static void write_random(const problem *p, int k, ur_var leaf, const char *stream)
{
    ur_node node;
    ur_look(leaf, &node);
    size_t n = ur_shape_count(node.shape);
    double *x = (double *)malloc(n * sizeof *x), low = k < 0 ? -1 : p->low, high = k < 0 ? 1 : p->high;
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < n; i++) {
        double value = low + (high - low) * ur_random(3, stream, i);
        x[i] = k < 0 ? value : as_input(p, k, i, value);
    }
    ck_assert(ur_write(leaf, n, x));
    free(x);
}

/* Largest error of root v against that of the reference plan, against the root's largest element. */
static double root_error(ur_plan *plan, ur_plan *reference, ur_var v)
{
    ur_node node;
    ur_look(v, &node);
    size_t n = ur_shape_count(node.shape);
    double *got = (double *)malloc(n * sizeof *got), *want = (double *)malloc(n * sizeof *want);
    ck_assert(got && want && ur_read(plan, v, n, got) && ur_read(reference, v, n, want));
    double error = distance(n, got, want) / fmax(largest(n, want), 1e-2);
    free(got);
    free(want);
    return error;
}

static void check_large(const problem *p, ur_dtype dtype)
{
    char text[LABEL];
    double close = dtype == UR_F64 ? 1e-12 : 2e-5;
    recorded t = record(p, dtype);
    ur_plan *plan = plan_all(&t, false), *reference = plan_all(&t, true);
    write_random(p, -1, t.r, "r");
    for (int k = 0; k < t.leaves; k++) {
        write_random(p, k, t.x[k], leaf_name(k));
        write_random(p, -1, t.s[k], factor_name(k));
    }
    ck_assert(ur_plan_run(plan) && ur_plan_run(reference));
    double error = root_error(plan, reference, t.y);
    ck_assert_msg(error <= close, "%s: error %g", label(p, "large, value", 0, text), error);
    for (int k = 0; k < t.leaves; k++) {
        error = fmax(root_error(plan, reference, t.g[k]), root_error(plan, reference, t.h[k]));
        ck_assert_msg(error <= close, "%s: error %g", label(p, "large, gradient", k, text), error);
    }
    ur_plan_free(plan);
    ur_plan_free(reference);
    ur_tape_free(t.tape);
}

START_TEST(large_shapes)
{
    problem p;
    const ur_op *op = op_at(_i);
    for (int i = 0; i < UR_SAMPLES; i++) {
        if (!problem_of(op, i, &p))
            continue;
        for (int k = 0; k < p.inputs; k++)
            p.shape[k] = grown_shape(p.shape[k]);
        if (op == &ur_op_reduce_to || op == &ur_op_broadcast)
            for (int k = 0; k < UR_RANK; k++)
                p.attr[1 + k] = (double)grown((int64_t)p.attr[1 + k]);
        if (op == &ur_op_reshape) { /* to a row */
            p.attr[0] = 2;
            p.attr[1] = 1;
            p.attr[2] = (double)ur_shape_count(p.shape[0]);
        }
        if (strcmp(op->name, "cumsum") == 0)
            p.attr[2] = (double)p.shape[0].size[(int)p.attr[0]];
        check_large(&p, UR_F64);
        check_large(&p, UR_F32);
    }
}
END_TEST

/* An operand that is repeated along the middle or the last dimension, in rows that are no part of a tile. */
START_TEST(large_broadcasts)
{
    static const ur_shape part[] = {UR_SIZES(5, 1, 24), UR_SIZES(1, 1, 24), UR_SIZES(5, 40, 1), UR_SIZES(1, 40, 24),
                                    UR_SIZES(5, 1, 1)};
    const ur_op *op = op_at(_i);
    problem p;
    if (op->kind != UR_MAP || op->inputs < 2)
        return;
    problem_of(op, 0, &p);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        for (int repeated = 0; repeated < p.inputs; repeated++) {
            for (int k = 0; k < p.inputs; k++)
                p.shape[k] = k == repeated ? part[i] : UR_SHAPE(5, 40, 24);
            check_large(&p, UR_F64);
            check_large(&p, UR_F32);
        }
}
END_TEST

/* ---- elementwise operations of one value over the range of f32 */

static bool alike(double got, double want)
{
    /* below the smallest normal number f32 has no relative accuracy to keep */
    return isnan(want) ? isnan(got)
           : isinf(want) || fabs(want) > (double)FLT_MAX
               ? got == (want > 0 ? INFINITY : -INFINITY) || (isfinite(want) && fabs(got) >= 0.999999 * (double)FLT_MAX)
               : fabs(got - want) <= 1e-6 * fabs(want) + 2 * (double)FLT_MIN;
}

START_TEST(range)
{
    enum { LINEAR = 4001, SMALL = 120, POINTS = LINEAR + 2 * SMALL + 5 };
    problem p;
    const ur_op *op = op_at(_i);
    if (op->kind != UR_MAP || op->inputs != 1)
        return;
    ck_assert(problem_of(op, 0, &p) || op == &ur_op_detach);
    double *x = (double *)malloc(2 * sizeof *x * POINTS), *y = x + POINTS;
    size_t n = 0;
    for (int i = 0; i < LINEAR; i++)
        x[n++] = (double)(float)(-100 + 0.05 * i);
    for (int i = 0; i < SMALL; i++) {
        x[n++] = ldexp(1.1, -i);
        x[n++] = -ldexp(1.1, -i);
    }
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(float)x[i];
    x[n++] = 0;
    x[n++] = NAN;
    x[n++] = INFINITY;
    x[n++] = -INFINITY;
    x[n++] = (double)FLT_MAX;
    ck_assert_uint_eq(n, POINTS);
    for (int variant = 0; variant < 4; variant++) {
        ur_tape *tape = new_tape(variant & 1 ? UR_F64 : UR_F32);
        ur_var a = ur_input(tape, "a", UR_SHAPE(POINTS)), v = ur_record(op, 1, &a, p.attr);
        ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = variant & 2, .roots = 1, .root = &v});
        ur_write(a, POINTS, x);
        ck_assert(ur_plan_run(plan) && ur_read(plan, v, POINTS, y));
        for (size_t i = 0; i < POINTS; i++) {
            double element[INPUTS] = {x[i]};
            double want = isfinite(x[i]) ? form_of(op)->element(element, p.attr) : op->map(element, p.attr);
            want = isnan(x[i]) && strcmp(op->name, "step") != 0 ? (double)NAN : want;
            ck_assert_msg(alike(y[i], want) || (variant & 1 && y[i] == want), "%s(%.9g) is %.9g in %s%s, not %.9g",
                          op->name, x[i], y[i], variant & 1 ? "f64" : "f32", variant & 2 ? " by the reference" : "",
                          want);
        }
        ur_plan_free(plan);
        ur_tape_free(tape);
    }
    free(x);
}
END_TEST

/* ---- far from 0 */

/* The net values +-1e4, one-hot targets and targets that are no distribution: values and both derivatives are finite,
 * and where mathematics has a plain number it is that number. */
static void check_far(const char *name, ur_var (*record_op)(ur_var net, ur_var y), ur_dtype dtype, bool reference,
                      const double *expected)
{
    static const double net[6] = {1e4, -1e4, -1e4, 1e4, 0, 1e4}, target[6] = {1, 0, 0, 1, 0, 0};
    ur_tape *tape = new_tape(dtype);
    ur_var x = ur_input(tape, "net", UR_SHAPE(2, 3)), y = ur_input(tape, "y", UR_SHAPE(2, 3)), d[4];
    ur_var leaf[2] = {x, y};
    ur_var E = record_op(x, y);
    ur_grad(E, 2, leaf, d);
    ur_var slope = ur_add(ur_sum(ur_mul(x, d[0])), ur_sum(ur_mul(x, d[1])));
    ur_grad(slope, 2, leaf, d + 2);
    ur_var root[5] = {E, d[0], d[1], d[2], d[3]};
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = 5, .root = root});
    assert_good(tape, name);
    ur_write(x, 6, net);
    ur_write(y, 6, target);
    ck_assert(ur_plan_run(plan));
    for (int k = 0; k < 5; k++) {
        ur_node node;
        double value[6];
        ur_look(root[k], &node);
        size_t n = ur_shape_count(node.shape);
        ck_assert(ur_read(plan, root[k], n, value));
        for (size_t i = 0; i < n; i++) {
            ck_assert_msg(isfinite(value[i]), "%s: element %zu of root %d is %g", name, i, k, value[i]);
            if (k == 0)
                ck_assert_msg(alike(value[i], expected[i]), "%s: element %zu is %g, not %g", name, i, value[i],
                              expected[i]);
        }
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

static ur_var far_sigmoid(ur_var net, ur_var y)
{
    return ur_add(ur_sigmoid(net), ur_scale(y, 0));
}

static ur_var far_softmax(ur_var net, ur_var y)
{
    return ur_add(ur_softmax(net), ur_scale(y, 0));
}

static ur_var far_log_softmax(ur_var net, ur_var y)
{
    return ur_add(ur_log_softmax(net), ur_scale(y, 0));
}

/* columns (1e4, 1e4), (-1e4, 0), (-1e4, 1e4) with targets (1, 1), (0, 0), (0, 0) */
START_TEST(far_from_zero)
{
    static const double ln2 = 0.693147180559945309;
    ur_dtype dtype = _i & 1 ? UR_F64 : UR_F32;
    bool reference = _i & 2;
    check_far("sigmoid", far_sigmoid, dtype, reference, (double[]){1, 0, 0, 1, 0.5, 1});
    check_far("softmax", far_softmax, dtype, reference, (double[]){0.5, 0, 0, 0.5, 1, 1});
    check_far("log_softmax", far_log_softmax, dtype, reference, (double[]){-ln2, -1e4, -2e4, -ln2, 0, 0});
    check_far("bce_net", ur_bce_net, dtype, reference, (double[]){0, 0, 0, 0, ln2, 1e4});
    check_far("softmax_ce", ur_softmax_ce, dtype, reference, (double[]){2 * ln2, 0, 0});
}
END_TEST

/* ---- cross-entropies at the ends of their range */

enum { ENDS = 6 };

/* At (o, y): the error, its first and second derivative by o, and the derivative of the first by y, NAN: not told. */
typedef struct end {
    double o, y, error, slope, curvature, mixed;
} end;

/* A term whose factor, y or 1 - y, is 0 counts for nothing; another one is infinite where its logarithm is. */
static void check_ends(ur_var (*loss)(ur_var o, ur_var y), const end ends[ENDS], ur_dtype dtype, bool reference)
{
    enum { ROOTS = 5 };
    double found[ROOTS][ENDS], at_o[ENDS], at_y[ENDS];
    ur_tape *tape = new_tape(dtype);
    ur_var o = ur_input(tape, "o", UR_SHAPE(ENDS)), y = ur_input(tape, "y", UR_SHAPE(ENDS));
    ur_var nowhere = ur_input(tape, "nowhere", UR_SHAPE(ENDS)), root[ROOTS] = {loss(o, y)}, second[2] = {o, y};
    ur_grad(root[0], 1, &o, &root[1]);
    ur_grad(root[1], 2, second, &root[2]);
    ur_grad(ur_select(nowhere, root[0], ur_const(tape, UR_SCALAR, 0)), 1, &o, &root[4]);
    for (size_t i = 0; i < ENDS; i++) {
        at_o[i] = ends[i].o;
        at_y[i] = ends[i].y;
    }
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = ROOTS, .root = root});
    ck_assert(ur_write(o, ENDS, at_o) && ur_write(y, ENDS, at_y) && ur_plan_run(plan));
    for (int r = 0; r < ROOTS; r++)
        ck_assert(ur_read(plan, root[r], ENDS, found[r]));
    for (int i = 0; i < ENDS; i++) {
        const double expected[ROOTS] = {ends[i].error, ends[i].slope, ends[i].curvature, ends[i].mixed, 0};
        for (int r = 0; r < ROOTS; r++)
            ck_assert_msg(isnan(expected[r]) || alike(found[r][i], expected[r]),
                          "root %d at o = %g, y = %g: %g, not %g", r, ends[i].o, ends[i].y, found[r][i], expected[r]);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

START_TEST(ends_of_the_range)
{
    static const double far = INFINITY, any = NAN, a = 0.25, b = 0.75;
    const end bce[ENDS] = {{0, 0, 0, 1, 1, any},
                           {1, 1, 0, -1, 1, any},
                           {0, 0.5, far, -far, far, any},
                           {1, 0.5, far, far, far, any},
                           {a, 0, -log(b), 1 / b, 1 / (b * b), -1 / a - 1 / b},
                           {a, 1, -log(a), -1 / a, 1 / (a * a), -1 / a - 1 / b}},
              cross_entropy[ENDS] = {{0, 0, 0, 0, 0, any},          {1, 1, 0, -1, 1, -1},
                                     {0, 0.5, far, -far, far, any}, {1, 0.5, 0, -0.5, 0.5, -1},
                                     {a, 0, 0, 0, 0, -1 / a},       {a, 1, -log(a), -1 / a, 1 / (a * a), -1 / a}};
    ur_dtype dtype = _i & 1 ? UR_F64 : UR_F32;
    check_ends(ur_bce, bce, dtype, _i & 2);
    check_ends(ur_cross_entropy, cross_entropy, dtype, _i & 2);
}
END_TEST

/* ---- replay */

START_TEST(replay)
{
    problem p;
    for (int i = 0; i < UR_SAMPLES * 4; i++) {
        if (!problem_of(op_at(_i), i / 4, &p))
            continue;
        given v = draw_given(&p), other = v;
        for (int k = 0; k < leaves_of(&p); k++)
            for (size_t q = 0; q < count(v.x[k].size); q++)
                other.x[k].at[q] = v.x[k].at[count(v.x[k].size) - 1 - q];
        recorded t = record(&p, i & 1 ? UR_F32 : UR_F64);
        ur_plan *plan = plan_all(&t, i & 2);
        size_t elements, bytes;
        write_given(&t, &v);
        ck_assert(ur_plan_run(plan));
        const void *roots = ur_plan_roots(plan, &elements);
        bytes = elements * ur_dtype_bytes(ur_tape_dtype(t.tape));
        void *first = malloc(bytes);
        ck_assert_ptr_nonnull(first);
        memcpy(first, roots, bytes);
        ck_assert(ur_plan_run(plan));
        ck_assert_mem_eq(ur_plan_roots(plan, &elements), first, bytes);
        write_given(&t, &other);
        ck_assert(ur_plan_run(plan));
        write_given(&t, &v);
        ck_assert(ur_plan_run(plan));
        ck_assert_mem_eq(ur_plan_roots(plan, &elements), first, bytes);
        free(first);
        ur_plan_free(plan);
        ur_tape_free(t.tape);
    }
}
END_TEST

/* ---- shapes that do not fit */

typedef struct refusal {
    const char *name;
    int inputs;
    ur_shape in[INPUTS];
    double attr[UR_ATTRS];
} refusal;

static const refusal refusals[] = {
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(5, 6)}, {0, 0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {1, 0}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {0, 1}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(5, 4)}, {1, 1}},
    {"matmul", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5, 2)}, {0, 0}},
    {"sum", 1, {UR_SIZES(3, 4)}, {2}},
    {"mean", 1, {UR_SIZES(3, 4)}, {2}},
    {"softmax", 1, {{.rank = 0}}, {0}},
    {"log_softmax", 1, {{.rank = 0}}, {0}},
    {"softmax_ce", 2, {UR_SIZES(3, 4), UR_SIZES(3, 5)}, {0}},
    {"softmax_ce", 2, {UR_SIZES(3, 4), UR_SIZES(3)}, {0}},
    {"softmax_ce", 2, {{.rank = 0}, {.rank = 0}}, {0}},
    {"layer_norm", 1, {{.rank = 0}}, {0}},
    {"bmm", 2, {UR_SIZES(2, 3, 4), UR_SIZES(4, 2, 4)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(2, 3, 4), UR_SIZES(3, 2, 5)}, {0, 0}},
    {"bmm", 2, {UR_SIZES(3, 4), UR_SIZES(4, 5)}, {0, 0}},
    {"outer", 2, {UR_SIZES(3, 4), UR_SIZES(2, 5)}, {0}},
    {"outer", 2, {UR_SIZES(3), UR_SIZES(2)}, {0}},
    {"norm", 1, {UR_SIZES(3, 4)}, {2}},
    {"max_over", 1, {UR_SIZES(3, 4)}, {2}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {2}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {-1}},
    {"cumsum", 1, {UR_SIZES(3, 4)}, {0, 0, 4}},
    {"decay", 3, {UR_SIZES(3, 2, 4), UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}},
    {"decay", 3, {UR_SIZES(3, 3, 4), UR_SIZES(2, 4), UR_SIZES(3, 4)}, {0}},
    {"decay", 3, {UR_SIZES(3, 3, 4), UR_SIZES(3, 4), UR_SIZES(3, 5)}, {0}},
    {"decay", 3, {UR_SIZES(3, 3), UR_SIZES(3), UR_SIZES(3)}, {0}},
    {"concat", 3, {UR_SIZES(3, 2), UR_SIZES(3, 4), UR_SIZES(1, 2)}, {0}},
    {"concat", 2, {UR_SIZES(3, 2), UR_SIZES(3, 2)}, {2}},
    {"slice", 1, {UR_SIZES(4, 3)}, {0, 3, 2}},
    {"slice", 1, {UR_SIZES(4, 3)}, {1, -1, 2}},
    {"slice", 1, {UR_SIZES(4, 3)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(4, 3)}, {2, 0, 1}},
    {"pad", 1, {UR_SIZES(4, 3)}, {0, -1, 2}},
    {"pad", 1, {UR_SIZES(4, 3)}, {1, 1e17, 2}},
    {"reshape", 1, {UR_SIZES(4, 3)}, {2, 5, 2}},
    {"transpose", 1, {UR_SIZES(4, 3)}, {0, 4}},
    {"transpose", 1, {UR_SIZES(4, 3)}, {-1, 0}},
    {"gather", 2, {UR_SIZES(4, 3), UR_SIZES(2, 5)}, {0}},
    {"gather", 2, {UR_SIZES(4), UR_SIZES(1, 5)}, {0}},
    {"scatter", 2, {UR_SIZES(3, 5), UR_SIZES(1, 4)}, {4}},
    {"mask", 2, {UR_SIZES(2), UR_SIZES(1, 3)}, {0.5, 4, 1, 2}},
    {"mask", 2, {UR_SIZES(1), UR_SIZES(1, 3)}, {1.5, 4, 1, 2}},
    {"sum_of", 3, {UR_SIZES(3, 2), UR_SIZES(3, 2), UR_SIZES(2, 3)}, {0}},
    {"reduce_to", 1, {UR_SIZES(3, 4)}, {2, 5, 1, 1, 1}},
    {"reduce_to", 1, {UR_SIZES(1, 4)}, {2, 3, 4, 1, 1}},
    {"broadcast", 1, {UR_SIZES(3, 4)}, {2, 3, 5, 1, 1}},
    {"broadcast", 1, {UR_SIZES(3, 4)}, {2, 3, 1, 1, 1}},
};

static void check_refusal(const ur_op *op, const refusal *r)
{
    char shape[UR_SHAPE_TEXT], kept[UR_ERROR_BYTES];
    ur_tape *tape = new_tape(UR_F64);
    ur_var in[INPUTS] = {{0}}, good = ur_input(tape, "good", UR_SHAPE(2)), d;
    for (int k = 0; k < r->inputs; k++)
        in[k] = ur_input(tape, leaf_name(k), r->in[k]);
    ur_scope_open(tape, "lstm");
    ur_scope_open(tape, "phi");
    ur_step(tape, 3);
    size_t nodes = ur_tape_nodes(tape);
    ur_var bad = ur_record(op, (size_t)r->inputs, in, r->attr);
    const char *error = ur_tape_error(tape);
    ck_assert_msg(bad.index == UR_NONE && error, "%s took wrong shapes", op->name);
    ck_assert_msg(strstr(error, op->name) == error, "%s: %s", op->name, error);
    for (int k = 0; k < r->inputs; k++) {
        ck_assert_msg(strstr(error, ur_shape_text(r->in[k], shape)), "no %s in: %s", shape, error);
        ck_assert_msg(strstr(error, leaf_name(k)), "no %s in: %s", leaf_name(k), error);
    }
    if (op == &ur_op_reduce_to || op == &ur_op_broadcast || op == &ur_op_reshape)
        ck_assert_msg(strstr(error, ur_shape_text(shape_of(r->attr), shape)), "no %s in: %s", shape, error);
    ck_assert_msg(strstr(error, "in lstm/phi, step 3: "), "no place in: %s", error);

    /* from here on everything is poison, and the first error stays */
    snprintf(kept, sizeof kept, "%s", error);
    ck_assert_uint_eq(ur_add(good, good).index, UR_NONE);
    ck_assert_uint_eq(ur_tanh(bad).index, UR_NONE);
    ck_assert_uint_eq(ur_record(op, (size_t)r->inputs, in, r->attr).index, UR_NONE);
    ck_assert_uint_eq(ur_input(tape, "late", UR_SHAPE(2)).index, UR_NONE);
    ck_assert(!ur_grad(good, 1, &good, &d) && d.index == UR_NONE);
    ck_assert_ptr_null(ur_plan_new(tape, NULL));
    ur_tape_fail(tape, "another error");
    ck_assert_str_eq(ur_tape_error(tape), kept);
    ck_assert_uint_eq(ur_tape_nodes(tape), nodes);
    ur_tape_free(tape);
}

START_TEST(wrong_shapes)
{
    const ur_op *op = op_at(_i);
    bool found = op->kind == UR_MAP;
    if (op->kind == UR_MAP && op->inputs > 1)
        for (int k = 0; k < op->inputs; k++) {
            refusal r = {.name = op->name, .inputs = op->inputs};
            for (int i = 0; i < op->inputs; i++)
                r.in[i] = UR_SHAPE(3, 4);
            r.in[k] = UR_SHAPE(5, 6);
            check_refusal(op, &r);
            r.in[k] = UR_SHAPE(4); /* a column [4,1], not a row */
            check_refusal(op, &r);
            r.in[k] = UR_SHAPE(3, 4, 2);
            r.in[(k + 1) % op->inputs] = UR_SHAPE(3, 4, 3);
            check_refusal(op, &r);
        }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (strcmp(refusals[i].name, op->name) == 0) {
            check_refusal(op, &refusals[i]);
            found = true;
        }
    ck_assert_msg(found, "%s: this test has no shapes that it refuses", op->name);
}
END_TEST

START_TEST(wrong_number_of_inputs)
{
    const ur_op *op = op_at(_i);
    double attr[UR_ATTRS] = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), in[INPUTS + 1] = {a, a, a, a};
    if (op->inputs == UR_ANY_INPUTS) {
        ck_assert_uint_eq(ur_record(op, 0, in, attr).index, UR_NONE);
    } else {
        ck_assert_uint_eq(ur_record(op, (size_t)op->inputs + 1, in, attr).index, UR_NONE);
        ck_assert_msg(strstr(ur_tape_error(tape), op->name), "%s", ur_tape_error(tape));
    }
    ur_tape_free(tape);
}
END_TEST

/* Elementwise operations, and those over columns, of one value: each rank is refused in words, or works to the second
 * derivative. */
START_TEST(any_rank)
{
    static const ur_shape shape[] = {{.rank = 0}, UR_SIZES(3), UR_SIZES(3, 4), UR_SIZES(3, 2, 2), UR_SIZES(3, 1, 2, 2)};
    const ur_op *op = op_at(_i);
    problem p;
    if (op->inputs != 1 || (op->kind != UR_MAP && op->kind != UR_COLUMNS))
        return;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        problem_of(op, 0, &p);
        p.shape[0] = shape[i];
        ur_tape *tape = new_tape(UR_F64);
        ur_var a = ur_input(tape, "a", shape[i]);
        bool taken = ur_record(op, 1, &a, p.attr).index != UR_NONE;
        ck_assert_msg(taken || strstr(ur_tape_error(tape), op->name), "%s", ur_tape_error(tape));
        ur_tape_free(tape);
        if (taken)
            check_problem(&p, true);
    }
}
END_TEST

/* ---- several slices of one value */

enum { SIDE = 6, MOST_SLICES = 4 };

/* w = sum over the slices i of (i + 1) sum(sin(slice i)) of x [6,6]; `joined`: they lie side by side from end to end. */
static const struct cut {
    int axis, slices;
    int64_t first[MOST_SLICES], count[MOST_SLICES];
    bool joined;
} cuts[] = {
    {0, 2, {0, 4}, {4, 2}, true},
    {1, 2, {0, 4}, {4, 2}, true},
    {0, 4, {3, 0, 5, 1}, {2, 1, 1, 2}, true},
    {1, 4, {3, 0, 5, 1}, {2, 1, 1, 2}, true},
    {0, 1, {0}, {6}, false},
    {0, 2, {0, 3}, {4, 3}, false},       /* overlap */
    {0, 3, {0, 3, 0}, {3, 3, 3}, false}, /* one part twice */
    {0, 2, {0, 0}, {6, 6}, false},       /* the whole twice */
    {1, 2, {0, 4}, {3, 2}, false},       /* a hole */
    {1, 2, {1, 4}, {3, 2}, false},       /* none from the begin on */
    {1, 2, {0, 4}, {4, 1}, false},       /* none up to the end */
    {0, 4, {0, 4, 3, 5}, {4, 2, 3, 1}, false},
};

/* d w/dx, or with `r` d sum(r dw/dx)/dx. */
static double cut_slope(const struct cut *c, size_t q, double x, const double *r)
{
    double slope = 0;
    for (int i = 0; i < c->slices; i++) {
        int64_t at = (int64_t)(c->axis ? q % SIDE : q / SIDE);
        if (at >= c->first[i] && at < c->first[i] + c->count[i])
            slope += (i + 1) * (r ? -sin(x) * r[q] : cos(x));
    }
    return slope;
}

static void check_cut(const struct cut *c, bool reference)
{
    enum { ALL = SIDE * SIDE };
    double at[ALL], r_at[ALL], found[ALL];
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = ur_input(tape, "x", UR_SHAPE(SIDE, SIDE)), r = ur_input(tape, "r", UR_SHAPE(SIDE, SIDE));
    ur_var terms[MOST_SLICES], d[2];
    for (int i = 0; i < c->slices; i++)
        terms[i] = ur_scale(ur_sum(ur_sin(ur_slice(x, c->axis, c->first[i], c->count[i]))), i + 1);
    for (size_t q = 0; q < ALL; q++) {
        at[q] = ur_random(1, "x", q);
        r_at[q] = ur_random(1, "r", q);
    }
    ur_write(x, ALL, at);
    ur_write(r, ALL, r_at);
    ur_grad(ur_total((size_t)c->slices, terms), 1, &x, &d[0]);
    ur_grad(ur_sum(ur_mul(r, d[0])), 1, &x, &d[1]);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = 2, .root = d});
    ck_assert(ur_plan_run(plan));
    for (int order = 0; order < 2; order++) {
        ur_node node;
        ur_look(d[order], &node);
        ck_assert_str_eq(node.op->name, c->joined ? "concat" : "sum_of");
        ck_assert_uint_eq(node.inputs, (uint32_t)c->slices);
        ck_assert(ur_read(plan, d[order], ALL, found));
        for (size_t q = 0; q < ALL; q++)
            ck_assert_double_eq_tol(found[q], cut_slope(c, q, at[q], order ? r_at : NULL), 1e-14);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* The adjoint of a value that slices tile is one concat, of any other the sum of what is between zeros. */
START_TEST(slices)
{
    check_cut(&cuts[_i], false);
    check_cut(&cuts[_i], true);
}
END_TEST

/* ---- formulas */

START_TEST(formula)
{
    char text[256], small[8];
    problem p;
    const ur_op *op = op_at(_i);
    problem_of(op, 0, &p);
    ur_tape *tape = new_tape(UR_F64);
    ur_var in[INPUTS] = {{0}};
    for (int k = 0; k < p.inputs; k++)
        in[k] = ur_input(tape, leaf_name(k), p.shape[k]);
    ur_var y = ur_record(op, (size_t)p.inputs, in, p.attr);
    size_t length = ur_formula(y, text, sizeof text);
    assert_good(tape, op->name);
    ck_assert_uint_eq(length, strlen(text));
    for (int k = 0; k < p.inputs; k++)
        ck_assert_msg(strstr(text, leaf_name(k)), "%s: no %s in %s", op->name, leaf_name(k), text);
    ck_assert_uint_eq(ur_formula(y, small, sizeof small), length);
    ck_assert_uint_eq(strlen(small), length < sizeof small ? length : sizeof small - 1);
    ck_assert(strncmp(small, text, strlen(small)) == 0);
    ur_tape_free(tape);
}
END_TEST

static size_t formula_of_squares(int count, char *text, size_t bytes)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2));
    for (int k = 0; k < count; k++)
        a = ur_mul(a, ur_tanh(a));
    size_t length = ur_formula(a, text, bytes);
    assert_good(tape, "shared values");
    ur_tape_free(tape);
    return length;
}

/* A value that is read twice is written twice, its own operands four times: the whole text would have 2^150 letters. */
START_TEST(formulas_of_shared_values)
{
    char text[256], few[] = "a .* tanh(a) .* tanh(a .* tanh(a))";
    ck_assert_uint_eq(formula_of_squares(2, text, sizeof text), strlen(few));
    ck_assert_str_eq(text, few);
    size_t length = formula_of_squares(150, text, sizeof text);
    ck_assert(length > 1 << 16 && length < 1 << 17);
    char *whole = (char *)malloc(length + 1);
    ck_assert_ptr_nonnull(whole);
    ck_assert_uint_eq(formula_of_squares(150, whole, length + 1), length);
    ck_assert_uint_eq(strlen(whole), length);
    ck_assert_int_eq(strncmp(whole, text, sizeof text - 1), 0);
    ck_assert_ptr_nonnull(strstr(whole, "..."));
    free(whole);
}
END_TEST

int main(void)
{
    int ops = op_count();
    TCase *tests = tcase_create("ops");
    tcase_add_loop_test(tests, descriptor, 0, ops);
    tcase_add_loop_test(tests, samples, 0, ops);
    tcase_add_loop_test(tests, broadcasting, 0, ops);
    tcase_add_loop_test(tests, one_value_twice, 0, ops);
    tcase_add_test(tests, select_of_one_value);
    tcase_add_test(tests, select_hides_nan);
    tcase_add_test(tests, kinks);
    tcase_add_test(tests, largest_elements_share);
    tcase_add_test(tests, indices_that_are_no_rows);
    tcase_add_test(tests, masks);
    tcase_add_loop_test(tests, slices, 0, (int)(sizeof cuts / sizeof *cuts));
    tcase_add_loop_test(tests, large_shapes, 0, ops);
    tcase_add_loop_test(tests, large_broadcasts, 0, ops);
    tcase_add_loop_test(tests, range, 0, ops);
    tcase_add_loop_test(tests, far_from_zero, 0, 4);
    tcase_add_loop_test(tests, ends_of_the_range, 0, 4);
    tcase_add_loop_test(tests, replay, 0, ops);
    tcase_add_loop_test(tests, wrong_shapes, 0, ops);
    tcase_add_loop_test(tests, wrong_number_of_inputs, 0, ops);
    tcase_add_loop_test(tests, any_rank, 0, ops);
    tcase_add_loop_test(tests, formula, 0, ops);
    tcase_add_test(tests, formulas_of_shared_values);
    Suite *suite = suite_create("ops");
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
