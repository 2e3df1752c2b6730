/* kernel_tables.h - the fast kernels of every instruction set that the processor has, and arrays of either type. */
#ifndef UR_TESTS_KERNEL_TABLES_H
#define UR_TESTS_KERNEL_TABLES_H

#include <stdlib.h>
#include <string.h>

#include "../graph/kernels.h"
#include "support.h"

typedef struct table {
    const ur__kernels *kernels;
    const char *name;
    ur_dtype dtype;
} table;

enum { TABLES = 6 };

/* Table i; its kernels are NULL where the processor lacks the instruction set. */
static inline table table_of(int i)
{
    table none = {NULL, "", UR_F32};
    if (i < 2)
        return i == 0 ? (table){&ur__kernels_f32_portable, "f32 portable", UR_F32}
                      : (table){&ur__kernels_f64_portable, "f64 portable", UR_F64};
#if defined(__x86_64__)
    if (i < 4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return i == 2 ? (table){&ur__kernels_f32_avx2, "f32 avx2", UR_F32}
                      : (table){&ur__kernels_f64_avx2, "f64 avx2", UR_F64};
    if (i >= 4 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
        return i == 4 ? (table){&ur__kernels_f32_avx512, "f32 avx512", UR_F32}
                      : (table){&ur__kernels_f64_avx512, "f64 avx512", UR_F64};
#endif
    return none;
}

/* ---- arrays of either type */

/* ck_assert_msg, but quick where the condition holds: Check writes to a file at each of its own. */
#define EXPECT(condition, ...)                                                                                         \
    do                                                                                                                 \
        if (!(condition))                                                                                              \
            ck_abort_msg(__VA_ARGS__);                                                                                 \
    while (0)

typedef struct array {
    ur_dtype dtype;
    size_t n;
    void *data;
} array;

static inline double get(array a, size_t i)
{
    EXPECT(i < a.n, "element %zu of %zu", i, a.n);
    return a.dtype == UR_F32 ? (double)((float *)a.data)[i] : ((double *)a.data)[i];
}

static inline void put(array a, size_t i, double v)
{
    EXPECT(i < a.n, "element %zu of %zu", i, a.n);
    if (a.dtype == UR_F32)
        ((float *)a.data)[i] = (float)v;
    else
        ((double *)a.data)[i] = v;
}

static inline const void *at(array a, size_t i)
{
    return (const char *)a.data + i * ur_dtype_bytes(a.dtype);
}

static inline array array_of(ur_dtype dtype, size_t n, double v)
{
    EXPECT(n < SIZE_MAX / 16, "an array of %zu elements", n);
    array a = {dtype, n, malloc((n + 1) * ur_dtype_bytes(dtype))};
    ck_assert_ptr_nonnull(a.data);
    for (size_t i = 0; i < n; i++)
        put(a, i, v);
    return a;
}

static inline double random_value(void)
{
    static uint64_t count;
    return 2 * ur_random(3, "kernels", count++) - 1;
}

/* A matrix [rows,n] of random values with rows of `stride` elements; between the rows there is NaN. */
static inline array matrix_of(ur_dtype dtype, size_t rows, size_t n, size_t stride)
{
    array a = array_of(dtype, rows * stride + 1, NAN);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < n; j++)
            put(a, i * stride + j, random_value());
    return a;
}

static inline double epsilon(ur_dtype dtype)
{
    return dtype == UR_F32 ? 0x1p-23 : 0x1p-52;
}

/* |y - sum| is at most eps (terms + 2) times the sum of sizes. */
static inline void assert_sum(table t, double y, double sum, double size, size_t terms, const char *what)
{
    double bound = epsilon(t.dtype) * (double)(terms + 2) * size;
    EXPECT(fabs(y - sum) <= bound, "%s, %s: %.9g instead of %.9g", t.name, what, y, sum);
}

/* Stands around a result, and must still stand there. */
static const double guard = 12345;

#endif
