/* own_operation.c - an operation that the library does not have, in a cell of one's own:
 *
 *     window(a, b) = b/(1 + a^2)   lets b through where a is near 0,
 *     y = b/(1 + a^2):   dy/da = -2 a y/(1 + a^2),   dy/db = 1/(1 + a^2).
 *
 * The rule is written in operations of the tape, so it has a derivative too: the check goes to the second order. The
 * diagram goes to stdout: own_operation | dot -Tsvg -o window.svg */
#include <stdio.h>
#include <unroll.h>

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[1] / (1 + in[0] * in[0]);
}

static ur_var derive(const ur_adjoint *w, int k)
{
    ur_var a = w->in[0], one = ur_const(a.tape, UR_SCALAR, 1);
    ur_var share = ur_div(w->g, ur_add(one, ur_square(a)));
    return k == 1 ? share : ur_scale(ur_mul(ur_mul(share, a), w->y), -2);
}

static const ur_op window_op = {
    .name = "window",
    .formula = "b/(1 + a^2)",
    .derivative = "da = -2 g a y/(1 + a^2), db = g/(1 + a^2)",
    .print = "{1} ./ (1 + {0}^2)",
    .binds = UR_BINDS_PRODUCT,
    .inputs = 2,
    .kind = UR_MAP, /* elementwise: shapes are broadcast or refused by the tape; others give `shape` and `run` */
    .map = map,
    .derive = derive,
};

static ur_var window(ur_var a, ur_var b)
{
    return ur_record(&window_op, 2, (ur_var[]){a, b}, NULL);
}

int main(void)
{
    enum { T = 4, D = 2, M = 3, B = 2, XS = T * D * B, PARAMS = 6 };
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var x[T], a = {0}, u = {0}, h = ur_const(tape, UR_SHAPE(M, B), 0);
    ur_inputs(tape, "x", UR_SHAPE(D, B), T, x);
    for (int t = 1; t <= T; t++) {
        ur_step(tape, t);
        a = ur_keep(ur_name(ur_affine(tape, "a", x[t - 1], h), "a"));
        u = ur_keep(ur_name(ur_tanh(ur_affine(tape, "u", x[t - 1], h)), "u"));
        h = ur_keep(ur_name(window(a, u), "h"));
    }
    ur_var loss = ur_sum(ur_square(h)), param[PARAMS], gradient[2 * PARAMS], some[PARAMS];
    for (size_t k = 0; k < PARAMS; k++)
        ur_param_at(tape, k, &param[k], NULL, NULL);
    ur_grad(loss, PARAMS, param, gradient);
    for (size_t k = 0; k < PARAMS; k++)
        some[k] = ur_sum(ur_sin(gradient[k])); /* any function of the gradient */
    ur_var second = ur_total(PARAMS, some);
    ur_grad(second, PARAMS, param, gradient + PARAMS);

    ur_params_init(tape, UR_GLOROT_UNIFORM, 1);
    ur_check_result found[2 * PARAMS];
    ur_plan *plan = ur_plan_new(tape, NULL);
    double *input = ur_leaf(x[0]); /* the inputs of all steps are one block */
    for (size_t i = 0; input && i < XS; i++)
        input[i] = 2 * ur_random(2, "x", i) - 1;
    if (!ur_plan_run(plan) || !ur_check(loss, PARAMS, param, gradient, 1e-7, found) ||
        !ur_check(second, PARAMS, param, gradient + PARAMS, 1e-7, found + PARAMS) ||
        !ur_dot(tape, 1, &h, NULL, stdout)) {
        fprintf(stderr, "%s\n", ur_tape_error(tape));
        return 1;
    }
    char formula[200];
    ur_formula(h, formula, sizeof formula);
    fprintf(stderr, "h = %s\n", formula);
    for (int k = 0; k < 2 * PARAMS; k++)
        fprintf(stderr, "order %d %s\n", 1 + k / PARAMS, found[k].verdict == UR_HOLDS ? "holds" : "does not hold");
    const double *va = ur_value(plan, a), *vu = ur_value(plan, u), *vh = ur_value(plan, h);
    for (int i = 0; i < M * B; i++)
        fprintf(stderr, "h %.12f expected %.12f\n", vh[i], vu[i] / (1 + va[i] * va[i]));
    window(x[0], h); /* [2,2] and [3,2] */
    fprintf(stderr, "refused: %s\n", ur_tape_error(tape));
    ur_plan_free(plan);
    ur_tape_free(tape);
    return 0;
}
