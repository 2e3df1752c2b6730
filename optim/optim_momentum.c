/* optim_momentum.c - the heavy ball of Polyak, "Some methods of speeding up the convergence of iteration methods"
 * (1964), as Sutskever, Martens, Dahl and Hinton (2013) write it, equations 1 and 2:
 *
 *     v     <- mu v - rate g
 *     theta <- theta + v
 *
 * The rate stands inside v: a step that was taken with an old rate keeps its length. */
#include "optim.h"

static void step(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    double *v = state[0];
    for (size_t i = 0; i < n; i++) {
        v[i] = u->momentum * v[i] - u->rate * g[i];
        theta[i] += v[i];
    }
}

const ur_optim ur_optim_momentum = {
    .name = "momentum",
    .formula = "v <- mu v - rate g\ntheta <- theta + v",
    .states = 1,
    .state = {"v"},
    .momentum = true,
    .step = step,
};
