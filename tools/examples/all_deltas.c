/* all_deltas.c - every h_t, gate and delta of every t of a cell of one's own, in one array.
 *
 * The lecture's RNN with a forget gate, one unit, so that the table is small. A delta is the derivative of the loss by a
 * net value; here they come from ur_grad, and beside them from the recursion that one derives by hand:
 *
 *     dE/dh_t = h_t - y_t + Whu delta^u_{t+1} + Whphi delta^phi_{t+1} + phi_{t+1} dE/dh_{t+1}
 *     delta^u_t = dE/dh_t (1 - phi_t) (1 - u_t^2),   delta^phi_t = dE/dh_t (h_{t-1} - u_t) phi_t (1 - phi_t) */
#include <math.h>
#include <stdio.h>
#include <unroll.h>

enum { T = 6, H = 0, PHI = T, U = 2 * T, DPHI = 3 * T, DU = 4 * T, ROOTS = 5 * T };

int main(void)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var x[T], root[ROOTS], loss[T], h = ur_const(tape, UR_SHAPE(1, 1), 0);
    ur_inputs(tape, "x", UR_SHAPE(1, 1), T, x);
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        root[DU + t] = ur_affine(tape, "u", x[t], h); /* the net values; ur_grad puts their deltas in their place */
        root[DPHI + t] = ur_affine(tape, "phi", x[t], h);
        ur_var u = root[U + t] = ur_tanh(root[DU + t]), phi = root[PHI + t] = ur_sigmoid(root[DPHI + t]);
        h = root[H + t] = ur_add(ur_mul(phi, h), ur_mul(ur_one_minus(phi), u));
        loss[t] = ur_sum(ur_squared_error(h, ur_const(tape, UR_SCALAR, 0.5)));
    }
    ur_grad(ur_total(T, loss), (size_t)2 * T, root + DPHI, root + DPHI);
    ur_params_init(tape, UR_GLOROT_UNIFORM, 3);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = ROOTS, .root = root});
    if (!plan) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }
    double *input = ur_leaf(x[0]); /* the inputs of all steps are one block */
    for (int t = 0; t < T; t++)
        input[t] = cos(t);
    ur_plan_run(plan);

    size_t count;
    const double *v = ur_plan_roots(plan, &count); /* v[H + t], v[PHI + t], ...: whole arrays over t */
    double Whu = *(double *)ur_leaf(ur_find(tape, "Whu", 0)), Whphi = *(double *)ur_leaf(ur_find(tape, "Whphi", 0));
    double apart = 0, carried = 0; /* what comes from step t + 1 */
    for (int t = T - 1; t >= 0; t--) {
        double u = v[U + t], phi = v[PHI + t], before = t > 0 ? v[H + t - 1] : 0, dh = v[H + t] - 0.5 + carried;
        double du = dh * (1 - phi) * (1 - u * u), dphi = dh * (before - u) * phi * (1 - phi);
        apart = fmax(apart, fmax(fabs(du - v[DU + t]), fabs(dphi - v[DPHI + t])));
        carried = Whu * du + Whphi * dphi + phi * dh;
    }
    printf("t        x        h      phi        u   delta_phi     delta_u\n");
    for (int t = 0; t < T; t++)
        printf("%d %8.4f %8.4f %8.4f %8.4f %11.7f %11.7f\n", t + 1, input[t], v[H + t], v[PHI + t], v[U + t],
               v[DPHI + t], v[DU + t]);
    printf("the deltas and those by hand are %g apart\n", apart);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return 0;
}
