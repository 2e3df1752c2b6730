/* random.h - random numbers of the tests' own, which ask nothing of the library. */
#ifndef UR_TESTS_RANDOM_H
#define UR_TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

static inline double draw(uint64_t *state) /* uniform in -1..1, Marsaglia's xorshift */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 4503599627370496.0 - 1;
}

static inline size_t pick(uint64_t *state, size_t n)
{
    return (size_t)((draw(state) * 0.5 + 0.5) * (double)n) % n;
}

static inline uint64_t seed_of(int i)
{
    uint64_t state = 6364136223846793005u * (uint64_t)(i + 1);
    for (int k = 0; k < 8; k++)
        draw(&state);
    return state;
}

#endif
