/* kernels.c - the fast kernels as plain loops that the compiler vectorises. Compiled once for each type and instruction
 * set, with UR_REAL float or double, UR_VECTOR the bytes of a vector and UR_TABLE the name of the resulting table. */
#include <math.h>
#include <string.h>

#include "../../graph/kernels.h"

typedef UR_REAL real;

/* The headers here are parts of this file, each for what comes after it: vectors, functions of one element; below products,
 * their blocks, contractions, and operations on whole columns. */
#include "vector.h"

#include "functions.h"

/* ---- elementwise loops */

/* y may be an operand, which hinders no vector: an element depends on none before it. */
#define MAP(name, expression)                                                                                          \
    static void map_##name(size_t n, void *y_, const void *a_, const void *b_, const void *c_, const double *attr)     \
    {                                                                                                                  \
        real *y = (real *)y_;                                                                                          \
        const real *a = (const real *)a_, *b = (const real *)b_, *c = (const real *)c_;                                \
        const real k = attr ? (real)attr[0] : 0;                                                                       \
        (void)b, (void)c, (void)k;                                                                                     \
        INDEPENDENT                                                                                                    \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[i] = (expression);                                                                                       \
    }

/* As load_part and store_part; one element, a value of a tape of scalars, without a mask. */
INLINE vec load_rest(const real *p, size_t count)
{
    vec one = {p[0]};
    return count == 1 ? one : load_part(p, count);
}

INLINE void store_rest(real *p, vec v, size_t count)
{
    if (count == 1)
        p[0] = v[0];
    else
        store_part(p, v, count);
}

/* The same where an element is dear: what is left after the last whole vector is one more vector. */
#define WHOLE_VECTORS(name)                                                                                            \
    static void map_##name(size_t n, void *y_, const void *a_, const void *b_, const void *c_, const double *attr)     \
    {                                                                                                                  \
        real *y = (real *)y_;                                                                                          \
        const real *a = (const real *)a_, *b = (const real *)b_, *c = (const real *)c_;                                \
        const real k = attr ? (real)attr[0] : 0;                                                                       \
        const size_t rest = n % LANES, whole = n - rest;                                                               \
        loop_##name(whole, y, a, b, c, k);                                                                             \
        if (rest) {                                                                                                    \
            real last_a[LANES], last_b[LANES], last_c[LANES], last_y[LANES];                                           \
            store(last_a, load_rest(a + whole, rest));                                                                 \
            store(last_b, b ? load_rest(b + whole, rest) : load(last_a));                                              \
            store(last_c, c ? load_rest(c + whole, rest) : load(last_a));                                              \
            loop_##name(LANES, last_y, last_a, last_b, last_c, k);                                                     \
            store_rest(y + whole, load(last_y), rest);                                                                 \
        }                                                                                                              \
    }

#define COSTLY(name, expression)                                                                                       \
    INLINE void loop_##name(size_t n, real *y, const real *a, const real *b, const real *c, real k)                    \
    {                                                                                                                  \
        (void)b, (void)c, (void)k;                                                                                     \
        INDEPENDENT                                                                                                    \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[i] = (expression);                                                                                       \
    }                                                                                                                  \
    WHOLE_VECTORS(name)

/* A costly function of a first part u of it, little more than a division. A core looks ahead by so many operations, and
 * those of an element are a long chain: where the first part is some elements ahead, the division goes on beside it. One
 * vector takes one loop. */
#define DIVISION_AFTER(name, first_part, expression)                                                                   \
    INLINE void loop_##name(size_t n, real *y, const real *a, const real *b, const real *c, real k)                    \
    {                                                                                                                  \
        real parts[UR__TILE];                                                                                          \
        const size_t distance = AHEAD, begun = distance < UR__TILE && distance < n ? distance : n;                     \
        (void)b, (void)c, (void)k;                                                                                     \
        if (n <= LANES) {                                                                                              \
            INDEPENDENT                                                                                                \
            for (size_t i = 0; i < n; i++) {                                                                           \
                const real u = first_part(a[i]);                                                                       \
                y[i] = (expression);                                                                                   \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        INDEPENDENT                                                                                                    \
        for (size_t i = 0; i < begun; i++)                                                                             \
            parts[i] = first_part(a[i]);                                                                               \
        INDEPENDENT                                                                                                    \
        for (size_t i = 0; distance < UR__TILE && i < n - begun; i++) {                                                \
            parts[i + distance] = first_part(a[i + distance]);                                                         \
            const real u = parts[i];                                                                                   \
            y[i] = (expression);                                                                                       \
        }                                                                                                              \
        INDEPENDENT                                                                                                    \
        for (size_t i = n - begun; i < n; i++) {                                                                       \
            const real u = parts[i];                                                                                   \
            y[i] = (expression);                                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    WHOLE_VECTORS(name)

/* SSE's registers are too few for two chains beside each other: there the first parts of a whole tile come first. */
enum { AHEAD = UR_VECTOR == 16 ? (int)UR__TILE : 256 / BYTES_OF(UR_REAL) };

/* A costly function of u = e^-|a|: shorter chains, one after the other. */
#define AFTER_EXP(name, expression)                                                                                    \
    INLINE void loop_##name(size_t n, real *y, const real *a, const real *b, const real *c, real k)                    \
    {                                                                                                                  \
        real exps[UR__TILE];                                                                                           \
        (void)b;                                                                                                       \
        loop_exp_of_size(n, exps, a, a, c, k);                                                                         \
        INDEPENDENT                                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                                               \
            const real u = exps[i];                                                                                    \
            y[i] = (expression);                                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    WHOLE_VECTORS(name)

/* A periodic function: elements beyond MOST_TURNED are libm's. */
#define PERIODIC(name, of_large_x)                                                                                     \
    INLINE void loop_##name(size_t n, real *y, const real *a, const real *b, const real *c, real k)                    \
    {                                                                                                                  \
        real arguments[UR__TILE];                                                                                      \
        int large = 0;                                                                                                 \
        (void)b, (void)c, (void)k;                                                                                     \
        for (size_t i = 0; i < n; i++) {                                                                               \
            arguments[i] = a[i];                                                                                       \
            large |= real_abs(a[i]) > MOST_TURNED;                                                                     \
        }                                                                                                              \
        INDEPENDENT                                                                                                    \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[i] = real_##name(arguments[i]);                                                                          \
        for (size_t i = 0; large && i < n; i++) {                                                                      \
            const real x = arguments[i];                                                                               \
            if (real_abs(x) > MOST_TURNED)                                                                             \
                y[i] = of_large_x;                                                                                     \
        }                                                                                                              \
    }                                                                                                                  \
    WHOLE_VECTORS(name)

#if IS_F32 && UR_VECTOR == 64
#include "abreast.h"

/* A function of abreast.h. */
#define ABREAST_MAP(name)                                                                                              \
    INLINE void loop_##name(size_t n, real *y, const real *a, const real *b, const real *c, real k)                    \
    {                                                                                                                  \
        (void)c, (void)k;                                                                                              \
        all_abreast(name##_abreast, n, y, a, b ? b : a);                                                               \
    }                                                                                                                  \
    WHOLE_VECTORS(name)

ABREAST_MAP(exp)
ABREAST_MAP(sigmoid)
ABREAST_MAP(tanh)
ABREAST_MAP(exp_of_size)
ABREAST_MAP(sigmoid_from)
#else
COSTLY(exp, real_exp(a[i]))
DIVISION_AFTER(sigmoid, exp_of_size, sigmoid_from(a[i], u))
DIVISION_AFTER(tanh, part_of_tanh, tanh_from(a[i], u))
COSTLY(exp_of_size, exp_of_size(a[i]))
COSTLY(sigmoid_from, sigmoid_from(a[i], b[i]))
#endif

MAP(select, real_select(a[i], b[i], c[i]))
MAP(add, a[i] + b[i])
MAP(sub, a[i] - b[i])
MAP(mul, a[i] * b[i])
MAP(div, a[i] / b[i])
MAP(neg, -a[i])
MAP(scale, a[i] * k)
MAP(one_minus, 1 - a[i])
MAP(square, a[i] * a[i])
COSTLY(log, real_log(a[i]))
MAP(relu, a[i] <= 0 ? 0 : a[i])
MAP(step, a[i] > 0 ? 1 : 0)
AFTER_EXP(softplus, softplus_from(a[i], u))
AFTER_EXP(bce_net, bce_net_from(a[i], b[i], u))
MAP(squared_error, (real)0.5 * (a[i] - b[i]) * (a[i] - b[i]))
MAP(min, real_min(a[i], b[i]))
MAP(max, real_max(a[i], b[i]))
MAP(abs, real_abs(a[i]))
MAP(sqrt, IS_F32 ? (real)sqrtf((float)a[i]) : (real)sqrt((double)a[i]))
MAP(sign, a[i] > 0 ? 1 : a[i] < 0 ? -1 : a[i] == 0 ? 0 : a[i])
MAP(lrelu, a[i] > 0 ? a[i] : k * a[i])
MAP(prelu, real_prelu(a[i], b[i]))
COSTLY(elu, a[i] > 0 ? a[i] : k * expm1_of_negative(a[i]))
COSTLY(selu, a[i] > 0 ? REAL(1.0507009873554805) * a[i]
                      : REAL(1.0507009873554805 * 1.6732632423543772) * expm1_of_negative(a[i]))
COSTLY(silu, real_silu(a[i]))
COSTLY(gelu, real_gelu(a[i]))
AFTER_EXP(log_sigmoid, log_sigmoid_from(a[i], u))
COSTLY(bce, (b[i] == 0 ? 0 : -b[i] * real_log(a[i])) + (b[i] == 1 ? 0 : (b[i] - 1) * real_log1p(-a[i])))
COSTLY(cross_entropy, b[i] == 0 ? 0 : -b[i] * real_log(a[i]))
MAP(power, IS_F32 ? (real)powf((float)a[i], (float)b[i]) : (real)pow((double)a[i], (double)b[i]))
PERIODIC(sin, IS_F32 ? (real)sinf((float)x) : (real)sin((double)x))
PERIODIC(cos, IS_F32 ? (real)cosf((float)x) : (real)cos((double)x))
MAP(erf, IS_F32 ? (real)erff((float)a[i]) : (real)erf((double)a[i]))
MAP(copy, a[i])
MAP(mul_add, a[i] * b[i] + c[i])
MAP(add_add, (a[i] + b[i]) + c[i])
MAP(mul_mul, a[i] * (b[i] * c[i]))
MAP(mul_sub, a[i] * (b[i] - c[i]))
MAP(mul_one_minus, a[i] * (1 - b[i]))
MAP(derive_tanh, a[i] * (1 - b[i] * b[i]))
MAP(derive_sigmoid, a[i] * (b[i] * (1 - b[i])))
MAP(blend, a[i] * b[i] + (1 - a[i]) * c[i])
COSTLY(softplus_from, softplus_from(a[i], b[i]))
COSTLY(log_sigmoid_from, log_sigmoid_from(a[i], b[i]))
COSTLY(bce_net_from, bce_net_from(a[i], b[i], c[i]))

/* ---- matrix product */

#include "gemm.h"

#include "blocks.h"

#include "contract.h"
#include "narrow.h"
#include "product.h"

/* ---- sums and conversions */

static void add_to(size_t n, void *y_, const void *a_)
{
    real *y = (real *)y_;
    const real *a = (const real *)a_;
    for (size_t i = 0; i < n; i++)
        y[i] += a[i];
}

static void sum_to(size_t n, void *y_, const void *a_)
{
    const real *a = (const real *)a_;
    vec lanes = {0}, others = {0};
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        lanes += load(a + i);
        others += load(a + i + LANES);
    }
    for (; i + LANES <= n; i += LANES)
        lanes += load(a + i);
    real sum = sum_lanes(lanes + others);
    for (; i < n; i++)
        sum += a[i];
    *(real *)y_ += sum;
}

static void sum_rows(size_t rows, size_t n, void *y_, const void *a_, ptrdiff_t row, bool add)
{
    real *y = (real *)y_;
    const real *a = (const real *)a_;
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        vec sum = add ? load(y + j) : (vec){0};
        for (size_t i = 0; i < rows; i++)
            sum += load(a + (ptrdiff_t)i * row + j);
        store(y + j, sum);
    }
    if (j < n) {
        vec sum = add ? load_part(y + j, n - j) : (vec){0};
        for (size_t i = 0; i < rows; i++)
            sum += load_part(a + (ptrdiff_t)i * row + j, n - j);
        store_part(y + j, sum, n - j);
    }
}

static void add_lanes(size_t rows, size_t n, size_t row, void *y_, const void *a_, double factor)
{
    const bool odd = (n + LANES - 1) / LANES % 2 == 1;
    const real k = (real)factor, *a = (const real *)a_;
    real *y = (real *)y_;
    vec sum = load(y), other = load(y + LANES);
    for (; rows; rows--, a += row) {
        size_t i = 0;
        for (; i + 2 * LANES <= n; i += 2 * LANES) {
            sum += k * load(a + i);
            other += k * load(a + i + LANES);
        }
        if (i + LANES <= n) {
            sum += k * load(a + i);
            i += LANES;
            if (i < n)
                other += k * load_part(a + i, n - i);
        } else if (i < n) {
            sum += k * load_part(a + i, n - i);
        }
        if (odd) {
            const vec last = sum;
            sum = other;
            other = last;
        }
    }
    store(y, sum);
    store(y + LANES, other);
}

/* A product 1 + e with one more factor, 1 + other, less 1: small ones keep their digits. */
INLINE vec times(vec e, vec other)
{
    return e * (1 + other) + other;
}

INLINE vec log1p_of_lanes(vec e)
{
    real element[LANES];
    store(element, e);
    INDEPENDENT
    for (size_t l = 0; l < LANES; l++)
        element[l] = real_log1p(element[l]);
    return load(element);
}

/* The logarithms that bce_net(x, target) = max(x, 0) - x target + log(1 + u) begins with are one for many elements:
 * log(1 + u1) + log(1 + u2) + ... = log((1 + u1) (1 + u2) ...), some vectors of factors, none above 2. */
static void add_bce_net(size_t n, void *y_, const void *x_, const void *target_, const void *u_)
{
    enum { CHAINS = 4, FACTORS = 16 };
    const real *x = (const real *)x_, *target = (const real *)target_, *u = (const real *)u_;
    real *y = (real *)y_;
    vec sum = load(y), other = load(y + LANES);
    for (size_t i = 0, end; i < n;) {
        vec e[CHAINS] = {{0}};
        end = n - i < FACTORS * LANES ? n : i + FACTORS * LANES;
        for (; i + CHAINS * LANES <= end; i += CHAINS * LANES) {
            UNROLL
            for (size_t k = 0; k < CHAINS; k++) {
                vec a = load(x + i + k * LANES), b = load(u + i + k * LANES);
                IN_PLACE(a);
                IN_PLACE(b);
                sum += positive(a) - a * load(target + i + k * LANES);
                e[k] = times(e[k], b);
            }
        }
        for (size_t count; i < end; i += count) {
            count = end - i < LANES ? end - i : LANES;
            const vec a = load_part(x + i, count);
            sum += positive(a) - a * load_part(target + i, count);
            e[0] = times(e[0], load_part(u + i, count));
        }
        other += log1p_of_lanes(times(times(e[0], e[1]), times(e[2], e[3])));
    }
    store(y, sum);
    store(y + LANES, other);
}

static void fill(size_t n, void *y_, const void *element)
{
    real value = *(const real *)element, *y = (real *)y_;
    for (size_t i = 0; i < n; i++)
        y[i] = value;
}

static void to_f64(size_t n, double *y, const void *a_)
{
    const real *a = (const real *)a_;
    for (size_t i = 0; i < n; i++)
        y[i] = (double)a[i];
}

static void from_f64(size_t n, void *y_, const double *a)
{
    real *y = (real *)y_;
    for (size_t i = 0; i < n; i++)
        y[i] = (real)a[i];
}

static size_t not_finite(size_t n, const void *a_)
{
    const real *a = (const real *)a_;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(a[i]))
            return i;
    return n;
}

static bool has_zero(size_t n, const void *a_)
{
    const real *a = (const real *)a_;
    int zeros = 0;
    for (size_t i = 0; i < n; i++)
        zeros |= a[i] == 0;
    return zeros != 0;
}

static size_t length_of(size_t n, const void *a_)
{
    const real *a = (const real *)a_;
    unsigned length = 0;
    for (unsigned i = 0; i < n; i++)
        length = a[i] != 0 ? i + 1 : length;
    return length;
}

#include "columns.h"

#define MAP_ENTRY(NUMBER, name) [UR__##NUMBER] = map_##name,
#define DENSE_ENTRY(NUMBER, name) [UR__##NUMBER - UR__DENSE] = dense_##name,

const ur__kernels UR_TABLE = {
    .lanes = LANES,
    .map = {UR__EACH_MAP(MAP_ENTRY)},
    .dense = {UR__EACH_DENSE(DENSE_ENTRY)},
    .panel = panel_of,
    .packed_elements = packed_elements,
    .pack = pack,
    .product = packed_product,
    .narrow = is_narrow,
    .pack_narrow = pack_narrow,
    .product_narrow = product_narrow,
    .contraction_room = contraction_room,
    .contract = contract,
    .matmul = matmul,
    .add_to = add_to,
    .sum_to = sum_to,
    .sum_rows = sum_rows,
    .add_lanes = add_lanes,
    .add_bce_net = add_bce_net,
    .fill = fill,
    .to_f64 = to_f64,
    .from_f64 = from_f64,
    .not_finite = not_finite,
    .has_zero = has_zero,
    .length_of = length_of,
};
