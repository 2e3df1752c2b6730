/* logistic_regression.c - a tape without recurrence: o = sigmoid(W' x + b), trained by a loop of one's own.
 *
 * The targets are drawn with the probabilities that known weights give. On its own data the best W and b cannot be
 * worse than those, so training has succeeded when its loss is below theirs. */
#include <math.h>
#include <stdio.h>
#include <unroll.h>

enum { N = 200, EPOCHS = 500 };
static const double truth[] = {2, -3, 0.5}, rate = 2;

int main(void)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var x = ur_input(tape, "x", UR_SHAPE(2, N)), y = ur_input(tape, "y", UR_SHAPE(1, N));
    ur_var W = ur_param(tape, "W", UR_SHAPE(2, 1)), b = ur_param(tape, "b", UR_SHAPE(1));
    ur_var net = ur_add(ur_gemm(W, true, x, false), b), loss = ur_mean(ur_bce_net(net, y));
    ur_var root[] = {W, b, loss};
    ur_grad(loss, 2, root, root); /* root is now dE/dW, dE/db, E */
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 3, .root = root});
    if (!plan) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }

    double *at = ur_leaf(x), *target = ur_leaf(y);
    for (size_t n = 0; n < N; n++) {
        at[n] = 2 * ur_random(1, "x", 2 * n) - 1;
        at[N + n] = 2 * ur_random(1, "x", 2 * n + 1) - 1;
        double true_net = truth[0] * at[n] + truth[1] * at[N + n] + truth[2];
        target[n] = ur_random(1, "y", n) < 1 / (1 + exp(-true_net));
    }

    size_t roots, params;
    double *theta = ur_params(tape, &params); /* W and b, one behind another */
    const double *g = ur_plan_roots(plan, &roots);
    for (int epoch = 0; epoch < EPOCHS && ur_plan_run(plan); epoch++) {
        if (epoch == 0)
            printf("loss before  %.6f\n", g[params]);
        for (size_t i = 0; i < params; i++)
            theta[i] -= rate * g[i];
    }
    printf("loss after   %.6f with W = %.2f %.2f, b = %.2f\n", g[params], theta[0], theta[1], theta[2]);
    for (size_t i = 0; i < params; i++)
        theta[i] = truth[i];
    ur_plan_run(plan);
    printf("loss of truth %.6f with W = %.2f %.2f, b = %.2f\n", g[params], theta[0], theta[1], theta[2]);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return 0;
}
