/* random.c - counter-based random numbers: Philox4x32-10, Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
 * easy as 1, 2, 3" (2011). No state: a number is a function of its seed, its stream's name and its counter. */
#include "internal.h"

static void philox(uint32_t x[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x[0], b = (uint64_t)0xCD9E8D57u * x[2];
        const uint32_t y[4] = {(uint32_t)(b >> 32) ^ x[1] ^ key0, (uint32_t)b, (uint32_t)(a >> 32) ^ x[3] ^ key1,
                               (uint32_t)a};
        for (int i = 0; i < 4; i++)
            x[i] = y[i];
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

double ur_random(uint64_t seed, const char *stream, uint64_t counter)
{
    uint64_t name = ur__hash(stream, UR__HASH_START);
    uint32_t x[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)name, (uint32_t)(name >> 32)};
    philox(x, (uint32_t)seed, (uint32_t)(seed >> 32));
    uint64_t bits = ((uint64_t)x[0] << 32 | x[1]) >> 12; /* 52 bits, and a half: never 0 or 1 */
    return ((double)bits + 0.5) / 4503599627370496.0;
}
