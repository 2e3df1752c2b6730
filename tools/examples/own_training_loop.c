/* own_training_loop.c - an optimiser of one's own, a loop over the flat vectors of parameters and gradients:
 *
 *     v <- mu v - eta dE/dtheta,   theta <- theta + v      (momentum, Polyak 1964)
 *
 * A recurrent network learns to continue sines of unknown phase. Without memory the best guess is a multiple of the
 * present value; the network must do better than that. */
#include <math.h>
#include <stdio.h>
#include <unroll.h>

enum { N = 32, T = 20, EPOCHS = 500 };
static const double eta = 0.05, mu = 0.9, omega = 0.5, two_pi = 6.283185307179586;

int main(void)
{
    static double x[N * T], y[N * T];
    double xx = 0, xy = 0, yy = 0;
    for (int i = 0; i < N * T; i++) {
        double phase = two_pi * ur_random(1, "phase", (uint64_t)(i / T)) + omega * (i % T);
        x[i] = sin(phase);
        y[i] = sin(phase + omega);
        xx += x[i] * x[i], xy += x[i] * y[i], yy += y[i] * y[i];
    }
    const ur_data data = {.n = N, .steps = T, .inputs = 1, .outputs = 1, .x = x, .y = y};
    const ur_net_options options = {.cell = ur_cell_find("rnn"),
                                    .inputs = 1,
                                    .hidden = 8,
                                    .outputs = 1,
                                    .out = UR_IDENTITY,
                                    .loss = UR_MSE,
                                    .reduction = UR_MEAN_ALL};

    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_net *net = ur_net_new(tape, &options, T, N);
    if (net && ur_net_differentiate(net) && ur_net_bind(net, &data, 0, N)) {
        for (size_t k = 0; k < net->params; k++)
            ur_keep(net->gradient[k]);
        ur_keep(net->loss);
    }
    ur_params_init(tape, UR_GLOROT_UNIFORM, 1);
    ur_plan *plan = ur_plan_new(tape, NULL);
    size_t params, roots;
    double *theta = ur_params(tape, &params), *v = ur_tape_memory(tape, params * sizeof *v);
    if (!plan || !v) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }
    const double *g = ur_plan_roots(plan, &roots); /* kept values in their order: the gradients, then the loss */
    for (int epoch = 0; epoch < EPOCHS && ur_plan_run(plan); epoch++) {
        if (epoch % 100 == 0)
            printf("epoch %d loss %.6f\n", epoch, g[params]);
        for (size_t i = 0; i < params; i++) {
            v[i] = mu * v[i] - eta * g[i];
            theta[i] += v[i];
        }
    }
    printf("loss after training %.6f\n", g[params]);
    printf("loss without memory %.6f\n", 0.5 * (yy - xy * xy / xx) / (N * T));
    ur_plan_free(plan);
    ur_tape_free(tape);
    return 0;
}
