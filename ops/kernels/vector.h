/* vector.h - vectors of UR_VECTOR bytes at any address, whole or in part. */

#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef real vec __attribute__((vector_size(UR_VECTOR), aligned(sizeof(real)), may_alias));

/* Lanes of a vector, for the preprocessor and as a size, and whether they are floats. */
#define BYTES_float 4
#define BYTES_double 8
#define PASTE(a, b) a##b
#define BYTES_OF(type) PASTE(BYTES_, type)
#define LANE_COUNT (UR_VECTOR / BYTES_OF(UR_REAL))
#define LANES ((size_t)LANE_COUNT)
#define IS_F32 (BYTES_OF(UR_REAL) == 4)

#define INLINE static inline __attribute__((always_inline))

/* Before a loop of constant length over an array that is to be registers; before one whose rounds do not use what other
 * rounds wrote: vectors, also where there is one only, so that an element has the same bits in a loop of any length. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety) unroll(disable)")
#pragma clang diagnostic ignored "-Wpass-failed" /* those that call libm stay as they are */
#else
#define UNROLL _Pragma("GCC unroll 16")
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

/* v is in a register here. */
#if defined(__x86_64__)
#define IN_PLACE(v) __asm__("" : "+v"(v))
#else
#define IN_PLACE(v) (void)(v)
#endif

/* p goes on by a row, to an address that the compiler cannot work out before: gcc, left alone, has those of all rows of a
 * block ready before its loop, on the stack, which takes as long as a short loop does. */
#define NEXT_ROW(p, stride)                                                                                            \
    do {                                                                                                               \
        (p) += (stride);                                                                                               \
        __asm__("" : "+r"(p));                                                                                         \
    } while (0)

INLINE vec load(const real *p)
{
    return *(const vec *)p;
}

INLINE void store(real *p, vec v)
{
    *(vec *)p = v;
}

#if IS_F32
#define MM512(name) _mm512_##name##_ps
#define MM256(name) _mm256_##name##_ps
#define VECTOR512 __m512
#define VECTOR256 __m256
#define MASK __mmask16
#else
#define MM512(name) _mm512_##name##_pd
#define MM256(name) _mm256_##name##_pd
#define VECTOR512 __m512d
#define VECTOR256 __m256d
#define MASK __mmask8
#endif

#if defined(__AVX2__) && !defined(__AVX512F__)
/* All bits set in the lanes below `count`. */
INLINE __m256i mask_of(size_t count)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i_u *)(const void *)(ones + 8 - count * (BYTES_OF(UR_REAL) / 4)));
}
#endif

/* The lanes below `count` of what lies at p, 0 in the others, which are not read; 0 < count <= LANES. */
INLINE vec load_part(const real *p, size_t count)
{
#if defined(__AVX512F__)
    return (vec)MM512(maskz_loadu)((MASK)((1u << count) - 1), p);
#elif defined(__AVX2__)
    return (vec)MM256(maskload)(p, mask_of(count));
#else
    vec v = {0};
    UNROLL
    for (size_t l = 0; l < LANES; l++)
        if (l < count)
            v[l] = p[l];
    return v;
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
/* The first `bytes` of v, a multiple of 4, by halves: AMD's processors take long over maskstore. */
INLINE void store_bytes(char *p, __m256i v, size_t bytes)
{
    __m128i rest = _mm256_castsi256_si128(v);
    if (bytes & 16) {
        memcpy(p, &rest, 16);
        p += 16;
        rest = _mm256_extracti128_si256(v, 1);
    }
    if (bytes & 8) {
        memcpy(p, &rest, 8);
        p += 8;
        rest = _mm_unpackhi_epi64(rest, rest);
    }
    if (bytes & 4)
        memcpy(p, &rest, 4);
}
#endif

/* Writes the lanes below `count` of v, and nothing else; 0 < count < LANES. */
INLINE void store_part(real *p, vec v, size_t count)
{
#if defined(__AVX512F__)
    MM512(mask_storeu)(p, (MASK)((1u << count) - 1), (VECTOR512)v);
#elif defined(__AVX2__)
    store_bytes((char *)p, (__m256i)v, count * sizeof *p);
#else
    UNROLL
    for (size_t l = 0; l < LANES; l++)
        if (l < count)
            p[l] = v[l];
#endif
}

/* x where it is positive, else 0 */
INLINE vec positive(vec x)
{
#if defined(__AVX512F__)
    return (vec)MM512(max)((VECTOR512)x, (VECTOR512)(vec){0});
#else
    const vec zero = {0};
    const __typeof__(x > zero) above = x > zero;
    return (vec)((__typeof__(above))x & above);
#endif
}

/* Two vectors lane by lane in turn: a0 b0 a1 b1 ... of their first halves, and of their second halves. */
INLINE void zip(vec a, vec b, vec *low, vec *high)
{
#define ZIP(...) __builtin_shufflevector(a, b, __VA_ARGS__)
#if LANE_COUNT == 16
    *low = ZIP(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *high = ZIP(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif LANE_COUNT == 8
    *low = ZIP(0, 8, 1, 9, 2, 10, 3, 11);
    *high = ZIP(4, 12, 5, 13, 6, 14, 7, 15);
#elif LANE_COUNT == 4
    *low = ZIP(0, 4, 1, 5);
    *high = ZIP(2, 6, 3, 7);
#else
    *low = ZIP(0, 2);
    *high = ZIP(1, 3);
#endif
#undef ZIP
}

/* v with its parts of `half` lanes exchanged in pairs; `half` is a constant, a power of two. */
INLINE vec swap(vec v, size_t half)
{
    (void)half;
#if LANE_COUNT == 16
#define SWAP(h)                                                                                                        \
    __builtin_shufflevector(v, v, 0 ^ (h), 1 ^ (h), 2 ^ (h), 3 ^ (h), 4 ^ (h), 5 ^ (h), 6 ^ (h), 7 ^ (h), 8 ^ (h),     \
                            9 ^ (h), 10 ^ (h), 11 ^ (h), 12 ^ (h), 13 ^ (h), 14 ^ (h), 15 ^ (h))
    if (half == 8)
        return SWAP(8);
#elif LANE_COUNT == 8
#define SWAP(h) __builtin_shufflevector(v, v, 0 ^ (h), 1 ^ (h), 2 ^ (h), 3 ^ (h), 4 ^ (h), 5 ^ (h), 6 ^ (h), 7 ^ (h))
#elif LANE_COUNT == 4
#define SWAP(h) __builtin_shufflevector(v, v, 0 ^ (h), 1 ^ (h), 2 ^ (h), 3 ^ (h))
#else
#define SWAP(h) __builtin_shufflevector(v, v, 0 ^ (h), 1 ^ (h))
#endif
#if LANE_COUNT >= 8
    if (half == 4)
        return SWAP(4);
#endif
#if LANE_COUNT >= 4
    if (half == 2)
        return SWAP(2);
#endif
    return SWAP(1);
#undef SWAP
}

/* The sums of the lanes of `rows` vectors, a power of two: that of row r in lane r. */
INLINE vec sums_of_lanes(size_t rows, vec *row)
{
    UNROLL
    for (size_t half = rows / 2; half; half /= 2) {
        UNROLL
        for (size_t r = 0; r < half; r++) {
            vec low, high;
            zip(row[r], row[r + half], &low, &high);
            row[r] = low + high;
        }
    }
    vec sum = row[0];
    UNROLL
    for (size_t half = LANES / 2; half >= rows; half /= 2)
        sum += swap(sum, half);
    return sum;
}

/* v[0] + v[1] + ..., by halves */
INLINE real sum_lanes(vec v)
{
    return sums_of_lanes(1, &v)[0];
}

/* Parts of `half` lanes of two vectors in turn: the even parts of both, a0 b0 a2 b2 ..., and the odd ones, a1 b1 a3 b3 ...;
 * `half` is a constant, a power of two. */
INLINE void cross(vec a, vec b, size_t half, vec *even, vec *odd)
{
#define EVEN(l, h) ((l) & (h) ? LANE_COUNT + ((l) ^ (h)) : (l))
#define ODD(l, h) ((l) & (h) ? LANE_COUNT + (l) : (l) ^ (h))
#if LANE_COUNT == 16
#define CROSS(of, h)                                                                                                   \
    __builtin_shufflevector(a, b, of(0, h), of(1, h), of(2, h), of(3, h), of(4, h), of(5, h), of(6, h), of(7, h),      \
                            of(8, h), of(9, h), of(10, h), of(11, h), of(12, h), of(13, h), of(14, h), of(15, h))
#elif LANE_COUNT == 8
#define CROSS(of, h)                                                                                                   \
    __builtin_shufflevector(a, b, of(0, h), of(1, h), of(2, h), of(3, h), of(4, h), of(5, h), of(6, h), of(7, h))
#elif LANE_COUNT == 4
#define CROSS(of, h) __builtin_shufflevector(a, b, of(0, h), of(1, h), of(2, h), of(3, h))
#else
#define CROSS(of, h) __builtin_shufflevector(a, b, of(0, h), of(1, h))
#endif
    if (half == 1)
        *even = CROSS(EVEN, 1), *odd = CROSS(ODD, 1);
#if LANE_COUNT >= 4
    if (half == 2)
        *even = CROSS(EVEN, 2), *odd = CROSS(ODD, 2);
#endif
#if LANE_COUNT >= 8
    if (half == 4)
        *even = CROSS(EVEN, 4), *odd = CROSS(ODD, 4);
#endif
#if LANE_COUNT >= 16
    if (half == 8)
        *even = CROSS(EVEN, 8), *odd = CROSS(ODD, 8);
#endif
#undef EVEN
#undef ODD
#undef CROSS
}

/* The transpose of LANES rows of LANES elements: blocks off the diagonal change places, from halves down to elements. */
INLINE void transpose(vec row[LANES])
{
    UNROLL
    for (size_t half = LANES / 2; half; half /= 2) {
        UNROLL
        for (size_t i = 0; i < LANES; i++)
            if (!(i & half))
                cross(row[i], row[i + half], half, &row[i], &row[i + half]);
    }
}

/* to[j,i] = from[i,j] of m rows and n columns, the rows `to_stride` and `stride` elements apart: by squares, the last of
 * which overlap those before them. */
static void turn(size_t m, size_t n, const real *from, size_t stride, real *to, size_t to_stride)
{
    if (m < LANES || n < LANES) {
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++)
                to[j * to_stride + i] = from[i * stride + j];
        return;
    }
    for (size_t r = 0; r < m; r += LANES)
        for (size_t s = 0; s < n; s += LANES) {
            const size_t i = m - r < LANES ? m - LANES : r, j = n - s < LANES ? n - LANES : s;
            vec square[LANES];
            UNROLL
            for (size_t l = 0; l < LANES; l++)
                square[l] = load(from + (i + l) * stride + j);
            transpose(square);
            UNROLL
            for (size_t l = 0; l < LANES; l++)
                store(to + (j + l) * to_stride + i, square[l]);
        }
}
