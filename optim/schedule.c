/* schedule.c - what changes with the epochs: the step size and the order of the sequences. */
#include <math.h>

#include "optim.h"

const char *const ur_schedule_names[] = {"constant", "step", "cosine", "warmup", "plateau", NULL};

static double power(double base, int64_t exponent)
{
    double p = 1;
    for (int64_t i = 0; i < exponent && p > 0; i++)
        p *= base;
    return p;
}

/* In which third of E epochs does epoch e lie? 3 (e-1)/E without its overflow. */
static int64_t third(int64_t e, int64_t E)
{
    return (e > E / 3 + (E % 3 > 0)) + (e > E - E / 3);
}

double ur_schedule_factor(ur_schedule schedule, int64_t epoch, int64_t epochs, int64_t halvings)
{
    static const double pi = 3.14159265358979324;
    int64_t e = epoch > 1 ? epoch : 1, E = epochs > 1 ? epochs : 1, warm = (E - 1) / 10 + 1;
    switch (schedule) {
    case UR_CONSTANT:
        break;
    case UR_STEPS:
        return power(0.1, third(e < E ? e : E, E));
    case UR_COSINE:
        return e > E ? 0 : (1 + cos(pi * (double)(e - 1) / (double)E)) / 2;
    case UR_WARMUP:
        return e < warm ? (double)e / (double)warm : 1;
    case UR_PLATEAU:
        return power(0.5, halvings);
    }
    return 1;
}

void ur_shuffle(int64_t n, int64_t *order, uint64_t seed, int64_t epoch)
{
    if (!order)
        return;
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t counter = (uint64_t)epoch << 32 | (uint32_t)i;
        int64_t j = (int64_t)(ur_random(seed, "order", counter) * (double)(i + 1)), held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}

/* Does row a come before row b: is it longer, or as long and the first of them? */
static bool comes_first(const ur_data *data, int64_t a, int64_t b)
{
    int64_t length_a = ur_data_length(data, a), length_b = ur_data_length(data, b);
    return length_a != length_b ? length_a > length_b : a < b;
}

/* Shell (1959), with the distances of Knuth, 1, 4, 13, ... */
static void sort_rows(const ur_data *data, int64_t n, int64_t *order)
{
    int64_t distance = 1;
    while (distance < n / 3)
        distance = 3 * distance + 1;
    for (; distance > 0; distance /= 3)
        for (int64_t i = distance; i < n; i++) {
            int64_t row = order[i], k = i;
            for (; k >= distance && comes_first(data, row, order[k - distance]); k -= distance)
                order[k] = order[k - distance];
            order[k] = row;
        }
}

void ur_longest_first(const ur_data *data, int64_t batch, int64_t n, int64_t *order)
{
    if (!data || !order)
        return;
    for (int64_t first = 0; first < n && batch > 0; first += batch)
        sort_rows(data, n - first < batch ? n - first : batch, order + first);
}
