/* hessian_vector.c - the product H v of the loss's Hessian and a vector by two calls of ur_grad (Pearlmutter 1994):
 *
 *     g = dE/dtheta,   H v = d(g . v)/dtheta   for a fixed v,
 *
 * against the difference (g(theta + e v) - g(theta - e v))/2e of gradients. H itself is never formed. */
#include <stdio.h>
#include <unroll.h>

enum { T = 5, D = 2, M = 3, B = 4, PARAMS = 3, ROOTS = 2 * PARAMS, XS = T * D * B, N = D * M + M * M + M };

int main(void)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var x[T], loss[T], h = ur_const(tape, UR_SHAPE(M, B), 0), root[ROOTS], *g = root, *Hv = root + PARAMS;
    ur_inputs(tape, "x", UR_SHAPE(D, B), T, x);
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        h = ur_tanh(ur_affine(tape, "u", x[t], h));
        loss[t] = ur_sum(ur_square(h));
    }
    ur_step(tape, 0);
    ur_var theta[PARAMS] = {ur_find(tape, "Wu", 0), ur_find(tape, "Whu", 0), ur_find(tape, "bu", 0)};
    ur_params_init(tape, UR_GLOROT_UNIFORM, 1);
    /* v is declared as parameters, so that it lies behind theta in the flat vector. */
    ur_var v[PARAMS] = {ur_param(tape, "vW", UR_SHAPE(D, M)), ur_param(tape, "vWh", UR_SHAPE(M, M)),
                        ur_param(tape, "vb", UR_SHAPE(M))};
    ur_grad(ur_total(T, loss), PARAMS, theta, g);
    ur_var product[PARAMS]; /* g . v */
    for (size_t k = 0; k < PARAMS; k++)
        product[k] = ur_sum(ur_mul(g[k], v[k]));
    ur_grad(ur_total(PARAMS, product), PARAMS, theta, Hv);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = ROOTS, .root = root});
    if (!plan) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }

    const double e = 1e-5;
    size_t count;
    double *at = ur_params(tape, &count), *direction = at + N, *input = ur_leaf(x[0]), difference[N];
    const double *values = ur_plan_roots(plan, &count); /* g, then H v: N elements each */
    for (size_t i = 0; i < XS; i++)
        input[i] = 2 * ur_random(1, "x", i) - 1;
    for (size_t i = 0; i < N; i++) {
        direction[i] = 2 * ur_random(1, "v", i) - 1;
        at[i] += e * direction[i];
    }
    ur_plan_run(plan);
    for (size_t i = 0; i < N; i++) {
        difference[i] = values[i] / (2 * e);
        at[i] -= 2 * e * direction[i];
    }
    ur_plan_run(plan);
    for (size_t i = 0; i < N; i++) {
        difference[i] -= values[i] / (2 * e);
        at[i] += e * direction[i];
    }
    ur_plan_run(plan);
    for (size_t i = 0; i < N; i++)
        printf("%2zu  H v %12.7f  difference %12.7f\n", i, values[N + i], difference[i]);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return 0;
}
