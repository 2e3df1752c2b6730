/* random.c - counter-based random numbers: Philox4x32-10, Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3" (2011). No state: a number is a function of its seed, its stream's name and its counter. */
#include "internal.h"

/* One round of ten. Every round has its own key. */
static inline void turn(uint32_t x[4], uint32_t key0, uint32_t key1)
{
    uint64_t a = (uint64_t)0xD2511F53u * x[0], b = (uint64_t)0xCD9E8D57u * x[2];
    x[0] = (uint32_t)(b >> 32) ^ x[1] ^ key0;
    x[1] = (uint32_t)b;
    x[2] = (uint32_t)(a >> 32) ^ x[3] ^ key1;
    x[3] = (uint32_t)a;
}

enum { ROUNDS = 10 };
static const uint32_t key0_step = 0x9E3779B9u, key1_step = 0xBB67AE85u;

static uint64_t philox(uint64_t seed, uint64_t name, uint64_t counter)
{
    uint32_t x[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)name, (uint32_t)(name >> 32)};
    for (uint32_t round = 0; round < ROUNDS; round++)
        turn(x, (uint32_t)seed + round * key0_step, (uint32_t)(seed >> 32) + round * key1_step);
    return (uint64_t)x[0] << 32 | x[1];
}

double ur_random(uint64_t seed, const char *stream, uint64_t counter)
{
    uint64_t bits = philox(seed, ur__hash(stream ? stream : "", UR__HASH_START), counter) >> 12;
    return ((double)bits + 0.5) / 4503599627370496.0; /* 52 bits, and a half: never 0 or 1 */
}

uint32_t ur__random_bits(uint64_t seed, uint64_t name, uint64_t counter)
{
    return (uint32_t)(philox(seed, name, counter) >> 32);
}

/* The rounds outside and the counters inside, so that the compiler computes several counters at once. The counters
 * differ in x1, which the first round only adds to x0; the last one makes no more than x0. */
void ur__random_row(uint64_t seed, uint64_t name, uint64_t counter, uint32_t bits[UR__RANDOM_ROW])
{
    uint32_t x0[UR__RANDOM_ROW], x1[UR__RANDOM_ROW], x2[UR__RANDOM_ROW], x3[UR__RANDOM_ROW];
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t first[4] = {(uint32_t)counter, 0, (uint32_t)name, (uint32_t)(name >> 32)};
    turn(first, key0, key1);
    for (uint32_t i = 0; i < UR__RANDOM_ROW; i++) {
        x0[i] = first[0] ^ ((uint32_t)(counter >> 32) + i);
        x1[i] = first[1];
        x2[i] = first[2];
        x3[i] = first[3];
    }
    for (int round = 1; round < ROUNDS - 1; round++) {
        key0 += key0_step;
        key1 += key1_step;
        for (int i = 0; i < UR__RANDOM_ROW; i++) {
            uint32_t x[4] = {x0[i], x1[i], x2[i], x3[i]};
            turn(x, key0, key1);
            x0[i] = x[0];
            x1[i] = x[1];
            x2[i] = x[2];
            x3[i] = x[3];
        }
    }
    for (int i = 0; i < UR__RANDOM_ROW; i++) {
        uint32_t x[4] = {x0[i], x1[i], x2[i], x3[i]};
        turn(x, key0 + key0_step, key1 + key1_step);
        bits[i] = x[0];
    }
}
