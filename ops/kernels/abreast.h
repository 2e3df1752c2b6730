/* abreast.h - exp, sigmoid and tanh of f32 with AVX-512: several vectors go through each operation side by side, since one
 * element's operations are a long chain, and a core looks ahead by too few of them to find others to do beside it.
 *
 * e^r - 1 = r + r^2 p(r) for |r| <= ln 2/2, p of degree 4 with the least greatest error of it relative to r, 1.4e-8. The
 * functions err by at most as much as those of functions.h (found: exp and e^-|x| 1.1, sigmoid 2.5, from e^-|x| 2.6, tanh
 * 2.5 units of the last place). */

enum { ABREAST = 4 };

/* result[k] = expression for all vectors, before what follows. */
#define EACH(result, expression)                                                                                       \
    UNROLL                                                                                                             \
    for (size_t k = 0; k < count; k++) {                                                                               \
        result[k] = (expression);                                                                                      \
        IN_PLACE(result[k]);                                                                                           \
    }

INLINE vec all_of(float element)
{
    return element - (vec){0};
}

/* x, at least or at most `bound`; NaN stays. */
INLINE vec at_least(float bound, vec x)
{
    return (vec)_mm512_max_ps((__m512)all_of(bound), (__m512)x);
}

INLINE vec at_most(float bound, vec x)
{
    return (vec)_mm512_min_ps((__m512)all_of(bound), (__m512)x);
}

/* 2^n by the lower bits of n + BIAS */
INLINE vec powers_of_two(vec b)
{
    return (vec)_mm512_slli_epi32((__m512i)b, MANTISSA);
}

/* e^x, or e^-x, as 2^n (1 + p); `biased` has n + BIAS in its lower bits. */
INLINE void exp_parts(size_t count, bool negated, const vec *x, vec *biased, vec *n, vec *p)
{
    vec r[ABREAST], r2[ABREAST], q[ABREAST];
    EACH(biased, x[k] * all_of(negated ? -1.44269504f : 1.44269504f) + all_of(ROUND + BIAS))
    EACH(n, biased[k] - all_of(ROUND + BIAS))
    EACH(r, -n[k] * all_of(LN2_HIGH) + (negated ? -x[k] : x[k]))
    EACH(r, -n[k] * all_of(LN2_LOW) + r[k])
    EACH(r2, r[k] * r[k])
    EACH(p, r[k] * all_of(0.16666545f) + all_of(0.5f))
    EACH(q, r[k] * all_of(0.00836640503f) + all_of(0.0416664034f))
    EACH(q, r2[k] * all_of(0.0013940644f) + q[k])
    EACH(p, q[k] * r2[k] + p[k])
    EACH(p, p[k] * r2[k] + r[k])
}

/* e^x */
INLINE void exp_abreast(size_t count, const vec *x, const vec *none, vec *y)
{
    vec biased[ABREAST], n[ABREAST], p[ABREAST];
    (void)none;
    EACH(y, at_most(89, at_least(-104, x[k])))
    exp_parts(count, false, y, biased, n, p);
    EACH(p, p[k] + all_of(1))
    EACH(y, (vec)_mm512_scalef_ps((__m512)p[k], (__m512)n[k]))
}

/* e^-|x|, 0 where that is no normal number */
INLINE void exp_of_size_abreast(size_t count, const vec *x, const vec *none, vec *y)
{
    vec biased[ABREAST], n[ABREAST], p[ABREAST], scale[ABREAST];
    (void)none;
    EACH(y, (vec)_mm512_or_ps((__m512)x[k], (__m512)all_of(-0.0f)))
    EACH(y, at_least(-88, y[k]))
    exp_parts(count, false, y, biased, n, p);
    EACH(scale, powers_of_two(biased[k]))
    EACH(y, p[k] * scale[k] + scale[k])
}

/* 1/(1 + e^-x), 0 where that is no normal number */
INLINE void sigmoid_abreast(size_t count, const vec *x, const vec *none, vec *y)
{
    vec biased[ABREAST], n[ABREAST], p[ABREAST], q[ABREAST], scale[ABREAST];
    (void)none;
    EACH(y, at_most(88, x[k]))
    exp_parts(count, true, y, biased, n, p);
    EACH(scale, powers_of_two(biased[k]))
    EACH(q, scale[k] + all_of(1))
    EACH(p, p[k] * scale[k] + q[k])
    UNROLL
    for (size_t k = 0; k < count; k++) {
        const __mmask16 normal = _mm512_cmp_ps_mask((__m512)x[k], (__m512)all_of(-88), _CMP_NLT_UQ);
        y[k] = (vec)_mm512_maskz_div_ps(normal, (__m512)all_of(1), (__m512)p[k]);
    }
}

/* m/(m + 2), m = e^2x - 1 = 2^n (2 r + 2 r^2 + ...) + (2^n - 1), x = n ln 2/2 + r; 0 for -0 */
INLINE void tanh_abreast(size_t count, const vec *x, const vec *none, vec *y)
{
    vec n[ABREAST], r[ABREAST], scale[ABREAST], r2[ABREAST], p[ABREAST], q[ABREAST];
    (void)none;
    EACH(y, at_most(10, at_least(-10, x[k])))
    EACH(n, y[k] * all_of(2 * 1.44269504f) + all_of(ROUND + BIAS))
    EACH(scale, powers_of_two(n[k]))
    EACH(n, n[k] - all_of(ROUND + BIAS))
    EACH(r, -n[k] * all_of(0.346573590f) + y[k])
    EACH(r2, r[k] * r[k])
    EACH(p, r[k] * all_of(8 * 0.16666545f) + all_of(4 * 0.5f))
    EACH(q, r[k] * all_of(32 * 0.00836640503f) + all_of(16 * 0.0416664034f))
    EACH(q, r2[k] * all_of(64 * 0.0013940644f) + q[k])
    EACH(p, q[k] * r2[k] + p[k])
    EACH(r, r[k] + r[k])
    EACH(p, p[k] * r2[k] + r[k])
    EACH(q, all_of(1) - scale[k])
    EACH(p, p[k] * scale[k] - q[k])
    EACH(q, p[k] + all_of(2))
    UNROLL
    for (size_t k = 0; k < count; k++)
        y[k] = p[k] / q[k];
}

/* (x < 0 ? u : 1)/(1 + u), u = e^-|x|: without much beside it a division takes longer than a reciprocal made better. */
INLINE void sigmoid_from_abreast(size_t count, const vec *x, const vec *u, vec *y)
{
    vec d[ABREAST], part[ABREAST];
    EACH(d, u[k] + all_of(1))
    EACH(y, (vec)_mm512_rcp14_ps((__m512)d[k]))
    EACH(part, -d[k] * y[k] + all_of(1))
    EACH(y, y[k] * part[k] + y[k])
    UNROLL
    for (size_t k = 0; k < count; k++) {
        const __mmask16 below = _mm512_cmp_ps_mask((__m512)x[k], _mm512_setzero_ps(), _CMP_LT_OQ);
        y[k] = (vec)_mm512_mask_mul_ps((__m512)y[k], below, (__m512)y[k], (__m512)u[k]);
    }
}

typedef void abreast_function(size_t count, const vec *a, const vec *b, vec *y);

INLINE void some_abreast(size_t count, abreast_function *f, real *y, const real *a, const real *b)
{
    vec x[ABREAST], u[ABREAST], result[ABREAST];
    UNROLL
    for (size_t k = 0; k < count; k++) {
        x[k] = load(a + k * LANES);
        u[k] = load(b + k * LANES);
    }
    f(count, x, u, result);
    UNROLL
    for (size_t k = 0; k < count; k++)
        store(y + k * LANES, result[k]);
}

/* y[i] = f(a[i], b[i]) for n elements, whole vectors. */
INLINE void all_abreast(abreast_function *f, size_t n, real *y, const real *a, const real *b)
{
    size_t i = 0;
    for (; i + ABREAST * LANES <= n; i += ABREAST * LANES)
        some_abreast(ABREAST, f, y + i, a + i, b + i);
    if (i + 2 * LANES <= n) {
        some_abreast(2, f, y + i, a + i, b + i);
        i += 2 * LANES;
    }
    if (i < n)
        some_abreast(1, f, y + i, a + i, b + i);
}
