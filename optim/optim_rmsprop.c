/* optim_rmsprop.c - Tieleman and Hinton, "Lecture 6.5 - rmsprop: divide the gradient by a running average of its recent
 * magnitude" (2012):
 *
 *     v     <- rho v + (1 - rho) g^2
 *     theta <- theta - rate g / (sqrt(v) + eps)
 *
 * with rho = 0.9 on the slide; eps is not there, it stands against division by 0. */
#include <math.h>

#include "optim.h"

static void step(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    double *v = state[0];
    for (size_t i = 0; i < n; i++) {
        v[i] = u->rho * v[i] + (1 - u->rho) * g[i] * g[i];
        theta[i] -= u->rate * g[i] / (sqrt(v[i]) + u->epsilon);
    }
}

const ur_optim ur_optim_rmsprop = {
    .name = "rmsprop",
    .formula = "v <- rho v + (1 - rho) g^2\ntheta <- theta - rate g/(sqrt(v) + eps)",
    .states = 1,
    .state = {"v"},
    .step = step,
};
