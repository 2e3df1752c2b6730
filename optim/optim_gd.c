/* optim_gd.c - gradient descent (Cauchy 1847):
 *
 *     theta <- theta - rate g */
#include "optim.h"

static void step(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    (void)state;
    for (size_t i = 0; i < n; i++)
        theta[i] -= u->rate * g[i];
}

const ur_optim ur_optim_gd = {
    .name = "gd",
    .formula = "theta <- theta - rate g",
    .step = step,
};
