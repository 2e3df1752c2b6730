/* kernels.c - the fast kernels as plain loops that the compiler vectorises. Compiled once for each type and instruction
 * set, with UR_REAL float or double, UR_VECTOR the bytes of a vector and UR_TABLE the name of the resulting table.
 *
 * exp, tanh and the sigmoid in f32 are computed without branches from expm1 on |r| <= ln 2 / 2 by a polynomial of degree
 * 7 (e^r - 1 = r + r^2 p(r), near-minimax p of degree 5) and 2^n by an exponent shift. f64 calls libm. */
#include <math.h>
#include <string.h>

#include "../../graph/kernels.h"

typedef UR_REAL real;

#include "vector.h"

/* ---- functions of one element */

static inline float f32_power_of_two(int32_t n)
{
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* e^r - 1 for the r of x = n ln 2 + r. */
static inline float f32_expm1_reduced(float x, int32_t *n)
{
    float k = x * 1.44269504088896341f + 12582912.0f; /* rounds to an integer: 1.5 * 2^23 */
    k -= 12582912.0f;
    float r = (x - k * 0.693145751953125f) - k * 1.428606765330187e-06f;
    float p = 1.989107986e-04f;
    p = p * r + 1.393373124e-03f;
    p = p * r + 8.333310485e-03f;
    p = p * r + 4.166646302e-02f;
    p = p * r + 1.666666716e-01f;
    p = p * r + 0.5f;
    *n = (int32_t)k;
    return r * r * p + r;
}

/* 2^n in two factors: n reaches from -150 to 128. */
static inline float f32_exp(float x)
{
    float a = x > 89.0f ? 89.0f : x;
    a = a < -104.0f ? -104.0f : a;
    int32_t n;
    float e = f32_expm1_reduced(a, &n);
    int32_t half = n / 2;
    return (1.0f + e) * f32_power_of_two(half) * f32_power_of_two(n - half);
}

static inline float f32_sigmoid(float x)
{
    return 1.0f / (1.0f + f32_exp(-x));
}

/* tanh |x| = -m / (m + 2), m = expm1(-2 |x|): relative accuracy near 0 */
static inline float f32_tanh(float x)
{
    float a = fabsf(x);
    a = a > 10.0f ? 10.0f : a;
    int32_t n;
    float e = f32_expm1_reduced(-2.0f * a, &n), scale = f32_power_of_two(n);
    e = e * scale + (scale - 1.0f);
    return copysignf(e / (e + 2.0f), x);
}

/* ln(1 + u) for u in 0..1: 2 artanh(u/(2 + u)), whose argument is at most 1/3. */
static inline float f32_log1p(float u)
{
    float s = u / (2.0f + u), q = s * s;
    float p = 1.0f / 15;
    p = p * q + 1.0f / 13;
    p = p * q + 1.0f / 11;
    p = p * q + 1.0f / 9;
    p = p * q + 1.0f / 7;
    p = p * q + 1.0f / 5;
    p = p * q + 1.0f / 3;
    return 2.0f * (s + s * q * p);
}

static inline real real_exp(real x)
{
    return IS_F32 ? (real)f32_exp((float)x) : (real)exp((double)x);
}

static inline real real_sigmoid(real x)
{
    if (IS_F32)
        return (real)f32_sigmoid((float)x);
    return (real)(1 / (1 + exp(-(double)x)));
}

static inline real real_tanh(real x)
{
    return IS_F32 ? (real)f32_tanh((float)x) : (real)tanh((double)x);
}

/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|) */
static inline real real_softplus(real x)
{
    real tail = IS_F32 ? (real)f32_log1p(f32_exp(-fabsf((float)x))) : (real)log1p(exp(-fabs((double)x)));
    return (x > 0 ? x : 0) + tail;
}

static inline real real_log(real x)
{
    return IS_F32 ? (real)logf((float)x) : (real)log((double)x);
}

/* ---- elementwise loops */

#define MAP(name, expression)                                                                                          \
    static void map_##name(size_t n, void *y_, const void *a_, const void *b_, const void *c_, const double *attr)     \
    {                                                                                                                  \
        real *y = (real *)y_;                                                                                          \
        const real *a = (const real *)a_, *b = (const real *)b_, *c = (const real *)c_;                                \
        const real k = attr ? (real)attr[0] : 0;                                                                       \
        (void)b, (void)c, (void)k;                                                                                     \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[i] = (expression);                                                                                       \
    }

MAP(select, a[i] != 0 ? b[i] : c[i])
MAP(add, a[i] + b[i])
MAP(sub, a[i] - b[i])
MAP(mul, a[i] * b[i])
MAP(div, a[i] / b[i])
MAP(neg, -a[i])
MAP(scale, a[i] * k)
MAP(one_minus, 1 - a[i])
MAP(square, a[i] * a[i])
MAP(exp, real_exp(a[i]))
MAP(log, real_log(a[i]))
MAP(sigmoid, real_sigmoid(a[i]))
MAP(tanh, real_tanh(a[i]))
MAP(relu, a[i] > 0 || a[i] != a[i] ? a[i] : 0)
MAP(step, a[i] > 0 ? 1 : 0)
MAP(softplus, real_softplus(a[i]))
MAP(bce_net, real_softplus(a[i]) - a[i] * b[i])
MAP(squared_error, (real)0.5 * (a[i] - b[i]) * (a[i] - b[i]))
MAP(copy, a[i])
MAP(mul_add, a[i] * b[i] + c[i])
MAP(add_add, (a[i] + b[i]) + c[i])
MAP(mul_mul, a[i] * (b[i] * c[i]))
MAP(mul_one_minus, a[i] * (1 - b[i]))
MAP(derive_tanh, a[i] * (1 - b[i] * b[i]))
MAP(derive_sigmoid, a[i] * (b[i] * (1 - b[i])))
MAP(blend, a[i] * b[i] + (1 - a[i]) * c[i])

/* ---- matrix product */

#include "gemm.h"

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
    vec lanes = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes += load(a + i);
    real sum = sum_lanes(lanes);
    for (; i < n; i++)
        sum += a[i];
    *(real *)y_ += sum;
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

static bool has_other(size_t n, const void *a_)
{
    const real *a = (const real *)a_;
    int others = 0;
    for (size_t i = 0; i < n; i++)
        others |= a[i] != 0;
    return others != 0;
}

const ur__kernels UR_TABLE = {
    .map =
        {

            [UR__SELECT] = map_select,
            [UR__ADD] = map_add,
            [UR__SUB] = map_sub,
            [UR__MUL] = map_mul,
            [UR__DIV] = map_div,
            [UR__NEG] = map_neg,
            [UR__SCALE] = map_scale,
            [UR__ONE_MINUS] = map_one_minus,
            [UR__SQUARE] = map_square,
            [UR__EXP] = map_exp,
            [UR__LOG] = map_log,
            [UR__SIGMOID] = map_sigmoid,
            [UR__TANH] = map_tanh,
            [UR__RELU] = map_relu,
            [UR__STEP] = map_step,
            [UR__SOFTPLUS] = map_softplus,
            [UR__BCE_NET] = map_bce_net,
            [UR__SQUARED_ERROR] = map_squared_error,
            [UR__COPY] = map_copy,
            [UR__MUL_ADD] = map_mul_add,
            [UR__ADD_ADD] = map_add_add,
            [UR__MUL_MUL] = map_mul_mul,
            [UR__MUL_ONE_MINUS] = map_mul_one_minus,
            [UR__DERIVE_TANH] = map_derive_tanh,
            [UR__DERIVE_SIGMOID] = map_derive_sigmoid,
            [UR__BLEND] = map_blend,
        },
    .panel = panel_of,
    .packed_elements = packed_elements,
    .pack = pack,
    .product = packed_product,
    .product_narrow = product_narrow,
    .contraction_room = contraction_room,
    .contract = contract,
    .matmul = matmul,
    .add_to = add_to,
    .sum_to = sum_to,
    .fill = fill,
    .to_f64 = to_f64,
    .from_f64 = from_f64,
    .not_finite = not_finite,
    .has_zero = has_zero,
    .has_other = has_other,
};
