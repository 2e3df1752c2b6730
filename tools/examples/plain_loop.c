/* plain_loop.c - the shortest way from a cell to its gradient: a loop over time, ur_grad, a plan. Prints a derivative, and
 * the quotient of differences beside it. */
#include <stdio.h>
#include <unroll.h>

/* The lecture's RNN with a forget gate, as a user writes it. */
static ur_var gated(ur_tape *tape, ur_var x, ur_var h)
{
    ur_var u = ur_tanh(ur_affine(tape, "u", x, h)); /* Wu^T x + Whu^T h + bu */
    ur_var phi = ur_sigmoid(ur_affine(tape, "phi", x, h));
    return ur_add(ur_mul(phi, h), ur_mul(ur_one_minus(phi), u));
}

int main(void)
{
    enum { D = 2, M = 3, B = 4, T = 50, COUNT = D * B };
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var h = ur_const(tape, UR_SHAPE(M, B), 0);
    uint64_t drawn = 0;
    for (int t = 1; t <= T; t++) {
        double values[COUNT];
        for (int i = 0; i < COUNT; i++)
            values[i] = 2 * ur_random(1, "x", drawn++) - 1;
        ur_step(tape, t);
        ur_var x = ur_input(tape, "x", UR_SHAPE(D, B));
        ur_write(x, COUNT, values);
        h = gated(tape, x, h);
    }
    ur_step(tape, 0);
    ur_var loss = ur_keep(ur_sum(ur_square(h))), b = ur_find(tape, "bphi", 0), db;
    ur_grad(loss, 1, &b, &db); /* nodes like all others */
    ur_keep(db);
    ur_params_init(tape, UR_GLOROT_UNIFORM, 1);

    ur_plan *plan = ur_plan_new(tape, NULL);
    double gradient[M], moved[2];
    bool good = ur_plan_run(plan) && ur_read(plan, db, M, gradient);
    for (int i = 0; i < 2 && good; i++) {
        double *bphi = ur_leaf(b);
        bphi[0] = i ? -1e-4 : 1e-4;
        good = ur_plan_run(plan) && ur_read(plan, loss, 1, &moved[i]);
    }
    if (!good) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }
    printf("derivative %.8f, by differences %.8f\n", gradient[0], (moved[0] - moved[1]) / 2e-4);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return 0;
}
