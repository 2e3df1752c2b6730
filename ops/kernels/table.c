/* table.c - chooses the kernels: the best instruction set that the processor has, or the one that UNROLL_ISA names. */
#include <stdlib.h>
#include <string.h>

#include "../../graph/kernels.h"

/* The instruction sets, the best first. */
typedef struct isa {
    const char *name;
    const ur__kernels *kernels[2]; /* by ur_dtype */
} isa;

static const isa sets[] = {
#if defined(__x86_64__)
    {"avx512", {&ur__kernels_f32_avx512, &ur__kernels_f64_avx512}},
    {"avx2", {&ur__kernels_f32_avx2, &ur__kernels_f64_avx2}},
#endif
    {"portable", {&ur__kernels_f32_portable, &ur__kernels_f64_portable}},
};

enum { SETS = sizeof sets / sizeof sets[0] };

static bool processor_has(const char *name)
{
#if defined(__x86_64__)
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return strcmp(name, "portable") == 0;
}

/* A name in UNROLL_ISA that this processor does not have is passed over. */
static const isa *choose(void)
{
    const char *wanted = getenv("UNROLL_ISA");
    for (size_t i = 0; wanted && i < SETS; i++)
        if (strcmp(sets[i].name, wanted) == 0 && processor_has(wanted))
            return &sets[i];
    for (size_t i = 0; i < SETS; i++)
        if (processor_has(sets[i].name))
            return &sets[i];
    return &sets[SETS - 1];
}

const ur__kernels *ur__kernels_of(ur_dtype dtype)
{
    return choose()->kernels[dtype];
}

const char *ur_instruction_set(void)
{
    return choose()->name;
}
