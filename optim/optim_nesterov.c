/* optim_nesterov.c - Nesterov's accelerated gradient (1983) in the form of Sutskever, Martens, Dahl and Hinton, "On the
 * importance of initialization and momentum in deep learning" (2013), equations 3 and 4, which takes the gradient
 * ahead of the parameters:
 *
 *     v <- mu v - rate grad E(w + mu v)
 *     w <- w + v
 *
 * The network's parameters are the point ahead, theta = w + mu v, where its gradient g is taken. With the new v
 *
 *     theta <- w + v + mu v = theta - rate g + mu v
 *
 * for w = theta - mu v_old and v - mu v_old = -rate g. At the start v = 0, and theta = w. */
#include "optim.h"

static void step(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    double *v = state[0];
    for (size_t i = 0; i < n; i++) {
        v[i] = u->momentum * v[i] - u->rate * g[i];
        theta[i] += u->momentum * v[i] - u->rate * g[i];
    }
}

const ur_optim ur_optim_nesterov = {
    .name = "nesterov",
    .formula = "v <- mu v - rate g\ntheta <- theta + mu v - rate g",
    .states = 1,
    .state = {"v"},
    .momentum = true,
    .step = step,
};
