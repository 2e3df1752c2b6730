/* optim_adam.c - Kingma and Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1;
 * t counts the updates from 1:
 *
 *     m     <- beta1 m + (1 - beta1) g
 *     v     <- beta2 v + (1 - beta2) g^2
 *     theta <- theta - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) */
#include <math.h>

#include "optim.h"

static void step(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    double *m = state[0], *v = state[1];
    double c1 = 1 - pow(u->beta1, (double)u->count), c2 = 1 - pow(u->beta2, (double)u->count);
    for (size_t i = 0; i < n; i++) {
        m[i] = u->beta1 * m[i] + (1 - u->beta1) * g[i];
        v[i] = u->beta2 * v[i] + (1 - u->beta2) * g[i] * g[i];
        theta[i] -= u->rate * (m[i] / c1) / (sqrt(v[i] / c2) + u->epsilon);
    }
}

const ur_optim ur_optim_adam = {
    .name = "adam",
    .formula = "m <- beta1 m + (1 - beta1) g\n"
               "v <- beta2 v + (1 - beta2) g^2\n"
               "theta <- theta - rate (m/(1 - beta1^t))/(sqrt(v/(1 - beta2^t)) + eps)",
    .states = 2,
    .state = {"m", "v"},
    .step = step,
};
