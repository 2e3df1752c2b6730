/* bench_limits.c - what one core of this machine can do at most, with the vectors of the instruction set in use: products
 * with sums in f32 from registers, and reading from each level of memory. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Nothing that reads x comes before what makes `name`: a product and its sum stay side by side. Apart, as gcc would set
 * them, one sort of the units that compute them waits for the other. */
#if defined(__x86_64__)
#include <immintrin.h>
#define IN_ORDER(name) __asm__ volatile("" : "+x"(name), "+x"(x))
#else
#define IN_ORDER(name)
#endif

/* Fourteen accumulators, so many that none waits for its last product, and with x and y as many as SSE has registers;
 * named, for arrays may be kept in memory. Their start values differ, or the compiler would compute one of them. */
#define EACH(what)                                                                                                     \
    what(a, 1) what(b, 2) what(c, 3) what(d, 4) what(e, 5) what(f, 6) what(g, 7) what(h, 8) what(i, 9) what(j, 10)     \
        what(k, 11) what(l, 12) what(m, 13) what(o, 14)

#define DECLARE(name, start) vector name = x + (start);
#define MULTIPLY_ADD(name, start)                                                                                      \
    name = FUSED(name, x, y);                                                                                          \
    IN_ORDER(name);
#define ADD(name, start) sum += (name);
/* Elements of `block` from place n on. */
#define READ(name, start) name += block[n + (start)-1];

enum { ACCUMULATORS = 14 };

/* All lanes count, or the compiler would compute those that do. */
static float sum_lanes(const void *v, size_t bytes)
{
    float lane[16], sum = 0;
    memcpy(lane, v, bytes);
    for (size_t n = 0; n < bytes / sizeof *lane; n++)
        sum += lane[n];
    return sum;
}

/* Defines, for a vector type and a target, `rounds` times 14 products with sums, and the sum of `count` vectors. */
#define DEFINE(isa, target, bytes)                                                                                     \
    static target float peak_##isa(size_t rounds)                                                                      \
    {                                                                                                                  \
        typedef float vector __attribute__((vector_size(bytes)));                                                      \
        vector x = (vector){0} + 0.999f, y = (vector){0} + 0.001f, sum = {0};                                          \
        EACH(DECLARE)                                                                                                  \
        for (size_t r = 0; r < rounds; r++) {                                                                          \
            EACH(MULTIPLY_ADD)                                                                                         \
        }                                                                                                              \
        EACH(ADD)                                                                                                      \
        return sum_lanes(&sum, bytes);                                                                                 \
    }                                                                                                                  \
    /* an attribute takes no parentheses: NOLINTNEXTLINE(bugprone-macro-parentheses) */                                \
    static target float read_##isa(const void *memory, size_t count)                                                   \
    {                                                                                                                  \
        typedef float vector __attribute__((vector_size(bytes)));                                                      \
        const vector *block = (const vector *)memory;                                                                  \
        vector x = {0}, sum = {0};                                                                                     \
        EACH(DECLARE)                                                                                                  \
        for (size_t n = 0; n < count; n += ACCUMULATORS) {                                                             \
            EACH(READ)                                                                                                 \
        }                                                                                                              \
        EACH(ADD)                                                                                                      \
        return sum_lanes(&sum, bytes);                                                                                 \
    }

#define FUSED(a, x, y) ((a) * (x) + (y)) /* two operations, as in the portable kernels */
DEFINE(portable, , 16)
#undef FUSED
#if defined(__x86_64__)
#define FUSED _mm256_fmadd_ps
DEFINE(avx2, __attribute__((target("avx2,fma"))), 32)
#undef FUSED
#define FUSED _mm512_fmadd_ps
DEFINE(avx512, __attribute__((target("avx512f"))), 64)
#undef FUSED
#endif

typedef struct instruction_set {
    const char *name;
    size_t vector_bytes;
    float (*peak)(size_t rounds);
    float (*read)(const void *memory, size_t count);
} instruction_set;

static const instruction_set *in_use(void)
{
    static const instruction_set sets[] = {
#if defined(__x86_64__)
        {"avx512", 64, peak_avx512, read_avx512},
        {"avx2", 32, peak_avx2, read_avx2},
#endif
        {"portable", 16, peak_portable, read_portable},
    };
    const instruction_set *set = sets;
    while (set < sets + sizeof sets / sizeof sets[0] - 1 && strcmp(set->name, ur_instruction_set()) != 0)
        set++;
    return set;
}

static const double budget_seconds = 0.1;

/* Products and sums in a second, in units of 1e9. */
static double peak(const instruction_set *set)
{
    enum { ROUNDS = 20000 };
    volatile float sink;
    double least = 1e30, begin = bench_now();
    while (bench_now() - begin < budget_seconds) {
        double start = bench_now();
        sink = set->peak(ROUNDS);
        double seconds = bench_now() - start;
        least = seconds < least ? seconds : least;
    }
    (void)sink;
    size_t lanes = set->vector_bytes / sizeof(float);
    return 2.0 * ROUNDS * ACCUMULATORS * (double)lanes / least * 1e-9;
}

/* Bytes in a second, in units of 1e9; a time is that of at least 16 MiB. */
static double read_rate(const instruction_set *set, const void *memory, size_t bytes)
{
    size_t count = bytes / set->vector_bytes / ACCUMULATORS * ACCUMULATORS;
    size_t repeats = 1 + ((size_t)16 << 20) / bytes;
    volatile float sink;
    double least = 1e30, begin = bench_now();
    while (bench_now() - begin < budget_seconds) {
        double start = bench_now();
        for (size_t r = 0; r < repeats; r++)
            sink = set->read(memory, count);
        double seconds = bench_now() - start;
        least = seconds < least ? seconds : least;
    }
    (void)sink;
    return (double)(count * set->vector_bytes * repeats) / least * 1e-9;
}

bool bench_limits(bench_limit limit[BENCH_LIMITS])
{
    enum { KIB = 1024, LARGEST = 256 * 1024 };
    static const struct {
        const char *level;
        size_t kib;
    } levels[BENCH_LIMITS - 1] = {{"L1_16KiB", 16}, {"L2_256KiB", 256}, {"L3_8MiB", 8192}, {"DRAM_256MiB", LARGEST}};
    const instruction_set *set = in_use();
    float *memory = (float *)aligned_alloc(64, (size_t)LARGEST * KIB);
    if (!memory)
        return refuse("--limits: no memory for a block of %d MiB", LARGEST / KIB);
    for (size_t i = 0; i < (size_t)LARGEST * KIB / sizeof *memory; i++)
        memory[i] = 1;
    limit[0] = (bench_limit){.value = peak(set), .unit = "GFLOP/s"};
    snprintf(limit[0].name, sizeof limit[0].name, "f32_peak_%s", set->name);
    for (size_t i = 1; i < BENCH_LIMITS; i++) {
        limit[i] = (bench_limit){.value = read_rate(set, memory, levels[i - 1].kib * KIB), .unit = "GB/s"};
        snprintf(limit[i].name, sizeof limit[i].name, "read_%s", levels[i - 1].level);
    }
    free(memory);
    return true;
}
