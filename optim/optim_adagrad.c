/* optim_adagrad.c - Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic
 * optimization" (2011), figure 1 with a diagonal matrix, H = eps I + diag(sqrt(v)):
 *
 *     v     <- v + g^2
 *     theta <- theta - rate g / (sqrt(v) + eps) */
#include <math.h>

#include "optim.h"

static void step(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    double *v = state[0];
    for (size_t i = 0; i < n; i++) {
        v[i] += g[i] * g[i];
        theta[i] -= u->rate * g[i] / (sqrt(v[i]) + u->epsilon);
    }
}

const ur_optim ur_optim_adagrad = {
    .name = "adagrad",
    .formula = "v <- v + g^2\ntheta <- theta - rate g/(sqrt(v) + eps)",
    .states = 1,
    .state = {"v"},
    .step = step,
};
