/* functions.h - exp, log, tanh and their kin of one element, without branches and tables, so that loops over them become
 * vectors. NaN goes through.
 *
 * e^x = 2^n e^r with |r| <= ln 2/2; log x = n ln 2 + log m with m in sqrt 1/2..sqrt 2. The polynomials interpolate at
 * Chebyshev nodes; in f32 they are evaluated by pairs and fours, since a loop waits for their chain, not for their number
 * of operations. Errors in units of the last place, which tests/test_kernels.c holds them to: exp and log 1.5; sigmoid,
 * tanh, softplus and log_sigmoid 3; gelu in f32 8 (found: 1.1 and 0.8; 2.2, 2.5, 2.3 and 2.2; 6.8).
 *
 * Where a result of the sigmoid, softplus, log_sigmoid or gelu is below the smallest normal number, it may be 0. */
#include <float.h>

#if IS_F32
typedef uint32_t bits;
enum { MANTISSA = 23, BIAS = 127, SIGN = 31 };
#define SMALLEST FLT_MIN
#define ROUND 0x1.8p23f /* x + ROUND has the integer next to x in its last bits */
#define SIGN_BIT ((bits)1 << SIGN)
#define WHOLE 0x1p23f
#define LN2_HIGH 0.693145752f
#define LN2_LOW 1.42860677e-06f
#else
typedef uint64_t bits;
enum { MANTISSA = 52, BIAS = 1023, SIGN = 63 };
#define SMALLEST DBL_MIN
#define ROUND 0x1.8p52
#define SIGN_BIT ((bits)1 << SIGN)
#define WHOLE 0x1p52
#define LN2_HIGH 0.69314718036912382
#define LN2_LOW 1.9082149292705877e-10
#endif
#define REAL(x) ((real)(x))
#define NOTHING REAL(-0.0) /* to add it is no operation; to add 0 changes -0 */

static inline bits bits_of(real x)
{
    bits b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static inline real real_of(bits b)
{
    real x;
    memcpy(&x, &b, sizeof x);
    return x;
}

static inline real real_abs(real x)
{
    return IS_F32 ? (real)fabsf((float)x) : (real)fabs((double)x);
}

/* All operands are read, whichever it is: a load that hangs on a comparison takes longer. */
static inline real real_select(real a, real b, real c)
{
    return a != 0 ? b : c;
}

static inline real real_prelu(real a, real slope)
{
    return a > 0 ? a : slope * a;
}

/* The smaller or larger one, which is one instruction; NaN if either is. */
static inline real real_min(real a, real b)
{
    const real least = a < b ? a : b;
    return a != a ? a : least;
}

static inline real real_max(real a, real b)
{
    const real most = a > b ? a : b;
    return a != a ? a : most;
}

/* 2^(b - BIAS) for b from 1 on, by the lower bits of b; 0 for b = 0. */
static inline real power_of_two(bits b)
{
    return real_of(b << MANTISSA);
}

/* The integer n next to x/ln 2; n + BIAS is in the lower bits of *b. */
static inline real whole_of(real x, bits *b)
{
    real t = x * REAL(1.4426950408889634) + (ROUND + BIAS);
    *b = bits_of(t);
    return t - (ROUND + BIAS);
}

/* e^r - 1 for |r| <= ln 2/2 */
static inline real expm1_of_part(real r)
{
    const real r2 = r * r;
#if IS_F32
    real p = (0.000198910304f * r + 0.00139336858f) * r2 + (0.00833331048f * r + 0.041666463f);
    p = p * r2 + (0.166666672f * r + 0.5f);
#else
    real p = 2.5100424157005067e-08;
    p = p * r + 2.7620138719733994e-07;
    p = p * r + 2.7557268378684192e-06;
    p = p * r + 2.4801521190217729e-05;
    p = p * r + 0.00019841269863105968;
    p = p * r + 0.0013888888917281794;
    p = p * r + 0.0083333333333300511;
    p = p * r + 0.04166666666662399;
    p = p * r + 0.16666666666666669;
    p = p * r + 0.50000000000000011;
#endif
    return r2 * p + r;
}

/* 2^n in two factors: the result may be subnormal, and n one more than the exponent of any number. */
static inline real real_exp(real x)
{
    const real most = IS_F32 ? REAL(89) : REAL(710), least = IS_F32 ? REAL(-104) : REAL(-746);
    real a = x > most ? most : x;
    a = a < least ? least : a;
    bits b;
    real n = whole_of(a, &b), e = expm1_of_part((a - n * LN2_HIGH) - n * LN2_LOW);
    bits half = bits_of(n * REAL(0.5) + ROUND);
    return (1 + e) * power_of_two(half + BIAS) * power_of_two(b - half);
}

/* e^(x + rest) for x <= 0; 0 where that is no normal number. */
static inline real exp_of_negative(real x, real rest)
{
    const real least = IS_F32 ? REAL(-88) : REAL(-708.75);
    real a = x < least ? least : x;
    bits b;
    real n = whole_of(a, &b), e = expm1_of_part(((a - n * LN2_HIGH) - n * LN2_LOW) + rest), scale = power_of_two(b);
    return e * scale + scale;
}

/* e^x - 1 for x <= 0. In f32 one factor ln 2 is exact enough: where n is not 0 the result is not small. */
static inline real expm1_of_negative(real x)
{
    real a = x < -40 ? REAL(-40) : x;
    bits b;
    real n = whole_of(a, &b), r = IS_F32 ? a - n * REAL(0.6931471805599453) : (a - n * LN2_HIGH) - n * LN2_LOW;
    real e = expm1_of_part(r), scale = power_of_two(b);
    return e * scale + (scale - 1);
}

/* e^-|x|, from which the sigmoid, softplus, log_sigmoid and bce_net of x are made */
static inline real exp_of_size(real x)
{
    return exp_of_negative(-real_abs(x), NOTHING);
}

/* 1/(1 + e^-x) = u/(1 + u) with u = e^x for x < 0; u = e^-|x| */
static inline real sigmoid_from(real x, real u)
{
    return (x < 0 ? u : 1) / (1 + u);
}

/* x sigmoid(x), u = e^-|x| in two factors: x u may be a normal number where u is not. */
static inline real real_silu(real x)
{
    real root = exp_of_negative(REAL(-0.5) * real_abs(x), NOTHING), u = root * root;
    return (x < 0 ? x * root * root : x) / (1 + u);
}

/* tanh |x| = m/(2 - m), m = 1 - e^(-2 |x|): relative accuracy near 0 */
static inline real part_of_tanh(real x)
{
    return -expm1_of_negative(-2 * real_abs(x));
}

static inline real tanh_from(real x, real m)
{
    return real_of(bits_of(m / (2 - m)) | (bits_of(x) & SIGN_BIT));
}

/* log(1 + u) for u in 0..1 */
static inline real log1p_of_part(real u)
{
    const real u2 = u * u;
#if IS_F32
    const real u4 = u2 * u2;
    real p = (0.0493099727f * u + -0.0913941413f) * u2 + (0.130333647f * u + -0.163651526f);
    p = (0.00280164205f * u + -0.0171842668f) * u4 + p;
    p = p * u4 + ((0.19956708f * u + -0.249967605f) * u2 + (0.33333236f * u + -0.5f));
#else
    real p = -2.2938856818471438e-05;
    p = p * u + 0.00026529597054253103;
    p = p * u + -0.0014569248473329174;
    p = p * u + 0.0050810904785489937;
    p = p * u + -0.012732150528247672;
    p = p * u + 0.024682950191684934;
    p = p * u + -0.039125051152339441;
    p = p * u + 0.053223522460321214;
    p = p * u + -0.065040103660368553;
    p = p * u + 0.074448170199422264;
    p = p * u + -0.0825618541627825;
    p = p * u + 0.09071835292534261;
    p = p * u + -0.099963243475501368;
    p = p * u + 0.11110571142855806;
    p = p * u + -0.12499941281507687;
    p = p * u + 0.14285709745445543;
    p = p * u + -0.16666666430978341;
    p = p * u + 0.19999999992471629;
    p = p * u + -0.2499999999987205;
    p = p * u + 0.33333333333332466;
    p = p * u + -0.5;
#endif
    return u2 * p + u;
}

/* log(1 + e^x) = max(x, 0) + log1p(u), u = e^-|x| */
static inline real softplus_from(real x, real u)
{
    return (x > 0 ? x : 0) + log1p_of_part(u);
}

/* log sigmoid(x) = min(x, 0) - log1p(u), u = e^-|x| */
static inline real log_sigmoid_from(real x, real u)
{
    return (x < 0 ? x : 0) - log1p_of_part(u);
}

/* Cross-entropy of sigmoid(x) and y: log(1 + e^x) - x y, u = e^-|x| */
static inline real bce_net_from(real x, real y, real u)
{
    return softplus_from(x, u) - x * y;
}

/* log m = f - f^2/2 + f^3 p(f), f = m - 1. The exponent is a number by putting its bits below those of 2^MANTISSA. */
static inline real real_log(real x)
{
    const bits root = IS_F32 ? (bits)0x3f3504f3 : (bits)0x3fe6a09e667f3bcd, one = (bits)BIAS << MANTISSA;
    const bits fraction = ((bits)1 << MANTISSA) - 1;
    real scaled = x < SMALLEST ? x * WHOLE : x, shift = x < SMALLEST ? REAL(BIAS + MANTISSA) : REAL(BIAS);
    bits b = bits_of(scaled) - root + one;
    real n = (real_of(b >> MANTISSA | bits_of(WHOLE)) - WHOLE) - shift;
    real f = real_of((b & fraction) + root) - 1, f2 = f * f;
#if IS_F32
    const real f4 = f2 * f2;
    real p = 0.0697161183f * f4 + ((-0.114797339f * f + 0.116854198f) * f2 + (-0.124256872f * f + 0.142490581f));
    p = p * f4 + ((-0.166678026f * f + 0.200007156f) * f2 + (-0.24999997f * f + 0.333333313f));
#else
    real p = -0.025061228095282464;
    p = p * f + 0.0566642324205218;
    p = p * f + -0.061295619807279059;
    p = p * f + 0.0537187789066478;
    p = p * f + -0.053682803880505482;
    p = p * f + 0.058370183514649988;
    p = p * f + -0.062650318695180632;
    p = p * f + 0.066719855552712912;
    p = p * f + -0.071422320491584701;
    p = p * f + 0.076919881201337498;
    p = p * f + -0.083333450564132036;
    p = p * f + 0.090909198759982018;
    p = p * f + -0.0999999999631727;
    p = p * f + 0.11111110909841072;
    p = p * f + -0.12499999997109267;
    p = p * f + 0.14285714287591739;
    p = p * f + -0.16666666666697305;
    p = p * f + 0.19999999999993223;
    p = p * f + -0.24999999999999931;
    p = p * f + 0.33333333333333337;
#endif
    real half = f2 * REAL(0.5);
    real y = n * LN2_HIGH + (f + ((f2 * f * p + n * LN2_LOW) - half));
    y = x < REAL(INFINITY) ? y : x;
    return x > 0 ? y : x == 0 ? -REAL(INFINITY) : REAL(NAN);
}

/* x = n pi/2 + r with |r| <= pi/4, for 0 <= x <= MOST_TURNED; the last bits of *b are those of n. The products of n and
 * the leading parts of pi/2, which have few digits, are exact, so that r has its digits where x is next to a multiple too
 * (Cody and Waite 1980). */
#define MOST_TURNED (IS_F32 ? REAL(12000) : REAL(1.6e6))
static inline real quarter_turns(real x, bits *b)
{
    real t = x * REAL(0.6366197723675814) + ROUND;
    *b = bits_of(t);
    const real n = t - ROUND;
#if IS_F32
    return (((x - n * 1.5703125f) - n * 0x1.fbp-12f) - n * 0x1.51p-22f) - n * 0x1.0b4612p-34f;
#else
    return ((x - n * 0x1.921fb544p+0) - n * 0x1.0b4611a6p-34) - n * 0x1.3198a2e037073p-69;
#endif
}

/* sin(r + n pi/2) for |r| <= pi/4, n in the last bits of b */
static inline real sin_after_turns(real r, bits b)
{
    const real r2 = r * r;
#if IS_F32
    real s = (-0.00019587639f * r2 + 0.008332747f) * r2 + -0.16666664f;
    real c = (0.00002454769f * r2 + -0.0013888301f) * r2 + 0.041666664f;
#else
    real s = 1.5917988944318716e-10;
    s = s * r2 + -2.5051129895962807e-08;
    s = s * r2 + 2.7557316093196066e-06;
    s = s * r2 + -0.00019841269836740527;
    s = s * r2 + 0.008333333333330936;
    s = s * r2 + -0.16666666666666666;
    real c = -1.1382544623404291e-11;
    c = c * r2 + 2.087614504910828e-09;
    c = c * r2 + -2.7557317265876615e-07;
    c = c * r2 + 2.48015872987544e-05;
    c = c * r2 + -0.0013888888888887389;
    c = c * r2 + 0.041666666666666664;
#endif
    const real y = b & 1 ? (c * r2 - REAL(0.5)) * r2 + 1 : s * r2 * r + r;
    return real_of(bits_of(y) ^ (b << (SIGN - 1) & SIGN_BIT));
}

static inline real real_sin(real x)
{
    bits b;
    real r = quarter_turns(real_abs(x), &b);
    return real_of(bits_of(sin_after_turns(r, b)) ^ (bits_of(x) & SIGN_BIT));
}

static inline real real_cos(real x)
{
    bits b;
    real r = quarter_turns(real_abs(x), &b);
    return sin_after_turns(r, b + 1);
}

/* log(1 + x): log of the rounded sum, and what the rounding lost */
static inline real real_log1p(real x)
{
    real sum = 1 + x, lost = x - (sum - 1), rest = lost / sum;
    return real_log(sum) + (lost == 0 ? 0 : real_abs(lost) < 1 ? rest : 0);
}

#if IS_F32
/* x (1 + erf(x/sqrt 2))/2 = x (1 - Q(|x|)) for x > 0, x Q(|x|) else. Q(a) = e^(-a^2/2) s p(s), s = 1/(1 + 0.3 a); a^2
 * is the square of the upper half of a's digits and a rest. */
static inline float f32_gelu(float x)
{
    float a = fabsf(x), s = 1.0f / (1.0f + 0.3f * a);
    a = a > 20.0f ? 20.0f : a;
    uint32_t b;
    memcpy(&b, &a, sizeof b);
    b &= 0xfffff000u;
    float upper;
    memcpy(&upper, &b, sizeof upper);
    float p = -0.0209846701f;
    p = p * s + 0.114402115f;
    p = p * s + -0.232835487f;
    p = p * s + 0.197921649f;
    p = p * s + -0.084481284f;
    p = p * s + 0.0988308415f;
    p = p * s + 0.07748577f;
    p = p * s + 0.1104232f;
    p = p * s + 0.119550116f;
    p = p * s + 0.119687751f;
    float e = exp_of_negative(-0.5f * (upper * upper), -0.5f * ((a - upper) * (a + upper))), part = s * p;
    return x > 0 ? x * (1.0f - e * part) : x * e * part; /* x e is a normal number where e part may be none */
}

static inline real real_gelu(real x)
{
    return f32_gelu(x);
}
#else
static inline real real_gelu(real x)
{
    return 0.5 * x * erfc(-x * 0.7071067811865476);
}
#endif
