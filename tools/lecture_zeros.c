/* lecture_zeros.c - what mathematics says without numbers: gradients that are zero, networks that coincide, and what
 * reaches what. */
#include <math.h>
#include <string.h>

#include "lecture.h"

static const double ZERO = 1e-12; /* of the largest gradient */

static double largest(ur_plan *plan, ur_var value)
{
    ur_node node;
    const double *v = (const double *)ur_value(plan, value);
    double most = v ? 0 : INFINITY;
    for (size_t i = 0; v && ur_look(value, &node) && i < ur_shape_count(node.shape); i++)
        most = fmax(most, fabs(v[i]));
    return most;
}

/* ---- a constant shift of sLSTM's input gate */

static bool add_slstm(lecture_report *r)
{
    static const char *const units[] = {"h", "o", NULL};
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find("slstm"), .out = UR_SIGMOID, .loss = UR_BCE};
    bool good = lecture_net_open(&n, net, units, "h") && ur_net_differentiate(n.net);
    ur_plan *plan =
        good ? ur_plan_new(n.tape, &(ur_plan_options){.roots = n.net->params, .root = n.net->gradient}) : NULL;
    double shift = INFINITY, most = 0;
    const char *name;
    good = plan && ur_plan_run(plan);
    for (size_t k = 0; good && ur_param_at(n.tape, k, NULL, &name, NULL); k++) {
        double size = largest(plan, n.net->gradient[k]);
        most = fmax(most, size);
        if (strcmp(name, "bkappa") == 0)
            shift = size;
    }
    if (good)
        lecture_claim(r, shift <= ZERO * most, "sLSTM: bκ has no gradient", "xLSTM architecture",
                      "sLSTM has an exponential input gate",
                      "a constant added to net κ scales c_t and n_t alike, and h = ω ⊙ c / n stays: |∂E/∂bκ| is %.1e, "
                      "the largest gradient of a parameter %.2g",
                      shift, most);
    else if (n.tape)
        lecture_good(n.tape);
    ur_plan_free(plan);
    lecture_net_close(&n);
    return good;
}

/* ---- batch normalisation */

enum { M = 3, B = 5 };

typedef struct normalised {
    ur_tape *tape;
    ur_var a, z, W, bias, gradient[2]; /* a = W x + bias, z = gamma a^ + beta; gradients by W and bias */
    ur_plan *plan;
} normalised;

static void fill(ur_var leaf, const char *name, size_t count)
{
    double values[M * B];
    for (size_t i = 0; i < count; i++)
        values[i] = 2 * ur_random(5, name, i) - 1;
    ur_write(leaf, count, values);
}

/* The print in operations; sum(z^3) stands for the rest of a network. */
static bool open_normalised(normalised *n)
{
    ur_tape *tape = n->tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var x = ur_input(tape, "x", UR_SHAPE(M, B));
    n->W = ur_param(tape, "W", UR_SHAPE(M, M));
    n->bias = ur_param(tape, "b", UR_SHAPE(M));
    ur_var gamma = ur_param(tape, "gamma", UR_SHAPE(M)), beta = ur_param(tape, "beta", UR_SHAPE(M));
    n->a = ur_add(ur_matmul(n->W, x), n->bias);
    ur_var centred = ur_sub(n->a, ur_mean_over(n->a, 1));
    ur_var variance = ur_mean_over(ur_square(centred), 1);
    ur_var hat = ur_div(centred, ur_sqrt(ur_add(variance, ur_const(tape, UR_SCALAR, 1e-5))));
    n->z = ur_add(ur_mul(gamma, hat), beta);
    ur_var rest = ur_sum(ur_mul(n->z, ur_square(n->z)));
    ur_var root[4] = {n->a, n->z, n->W, n->bias};
    if (!ur_grad(rest, 2, root + 2, n->gradient))
        return false;
    memcpy(root + 2, n->gradient, sizeof n->gradient);
    fill(x, "x", (size_t)M * B);
    fill(n->W, "W", (size_t)M * M);
    fill(n->bias, "b", M);
    fill(gamma, "gamma", M);
    fill(beta, "beta", M);
    n->plan = ur_plan_new(tape, &(ur_plan_options){.roots = 4, .root = root});
    return n->plan && ur_plan_run(n->plan);
}

static double print_apart(const normalised *n)
{
    const double *a = (const double *)ur_value(n->plan, n->a), *z = (const double *)ur_value(n->plan, n->z);
    double coded[M * B];
    for (int i = 0; i < M; i++) {
        double mean = 0, variance = 0;
        double gamma = 2 * ur_random(5, "gamma", (uint64_t)i) - 1, beta = 2 * ur_random(5, "beta", (uint64_t)i) - 1;
        for (int k = 0; k < B; k++)
            mean += a[i * B + k] / B;
        for (int k = 0; k < B; k++)
            variance += (a[i * B + k] - mean) * (a[i * B + k] - mean) / B;
        for (int k = 0; k < B; k++)
            coded[i * B + k] = gamma * (a[i * B + k] - mean) / sqrt(variance + 1e-5) + beta;
    }
    return lecture_apart((size_t)M * B, coded, z);
}

static bool add_normalisation(lecture_report *r)
{
    const char *place = "remedy 3: batch normalisation";
    normalised n = {0};
    bool good = open_normalised(&n);
    if (good) {
        double by_W = largest(n.plan, n.gradient[0]), by_bias = largest(n.plan, n.gradient[1]);
        lecture_add(r, RIGHT, "batch normalisation", place,
                    "μ = mean x, σ² = mean (x − μ)², x̂ = (x − μ)/√(σ² + ε), z = γ ⊙ x̂ + β",
                    "the same, in training; in evaluation the running means of μ and σ² take their places")
            ->printed_apart = print_apart(&n);
        lecture_claim(
            r, by_bias <= ZERO * by_W, "batch normalisation: a bias before it", place,
            "the operation shifts the result by β",
            "so a bias before it does nothing: the mean takes it away, |∂E/∂b| is %.1e beside |∂E/∂W| of %.2g", by_bias,
            by_W);
    } else {
        lecture_good(n.tape);
    }
    ur_plan_free(n.plan);
    ur_tape_free(n.tape);
    return good;
}

/* ---- what reaches what */

/* Of o_t by x_s: zero for s > t alone. */
static bool add_prefix(lecture_report *r)
{
    enum { MIDDLE = 3 };
    static const char *const units[] = {"h", "o", NULL};
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find("rnn"), .out = UR_SIGMOID, .loss = UR_BCE};
    ur_var gradient[TAU];
    bool good =
        lecture_net_open(&n, net, units, "") && ur_grad(ur_sum(ur_find(n.tape, "o", MIDDLE)), TAU, n.net->x, gradient);
    ur_plan *plan = good ? ur_plan_new(n.tape, &(ur_plan_options){.roots = TAU, .root = gradient}) : NULL;
    double past = INFINITY, future = 0;
    good = plan && ur_plan_run(plan);
    for (int t = 1; good && t <= TAU; t++) {
        double size = largest(plan, gradient[t - 1]);
        past = t <= MIDDLE ? fmin(past, size) : past;
        future = t > MIDDLE ? fmax(future, size) : future;
    }
    if (good)
        lecture_claim(r, future == 0 && past > 0, "RNN: o_t depends on x_1 ... x_t alone", "forward pass",
                      "o_t depends on all previous inputs, and on no future ones",
                      "it is so: |∂o_3/∂x_s| is %g for s > 3 and at least %.2g for s ≤ 3", future, past);
    else if (n.tape)
        lecture_good(n.tape);
    ur_plan_free(plan);
    lecture_net_close(&n);
    return good;
}

/* Sets every element of a parameter. */
static void set(ur_tape *tape, const char *name, double value)
{
    ur_node node;
    ur_var param = ur_find(tape, name, 0);
    double *v = (double *)ur_leaf(param);
    for (size_t i = 0; v && ur_look(param, &node) && i < ur_shape_count(node.shape); i++)
        v[i] = value;
}

static void copy(ur_tape *to, const char *to_name, ur_tape *from, const char *from_name)
{
    ur_node node;
    ur_var source = ur_find(from, from_name, 0);
    if (ur_look(source, &node))
        ur_write(ur_find(to, to_name, 0), ur_shape_count(node.shape), (const double *)ur_leaf(source));
}

/* With phi = 0 the gated network is the RNN. */
static bool add_open_gate(lecture_report *r)
{
    static const char *const gated_units[] = {"h", "o", NULL}, *const rnn_units[] = {"h", "o", NULL};
    lecture_net gated, rnn;
    ur_net_options net = {.cell = ur_cell_find("gated"), .out = UR_SIGMOID, .loss = UR_BCE};
    bool good = lecture_net_open(&gated, net, gated_units, "h");
    net.cell = ur_cell_find("rnn");
    good = lecture_net_open(&rnn, net, rnn_units, "h") && good;
    if (good) {
        static const char *const from[] = {"Wu", "Whu", "bu", "Wo", "bo"}, *const to[] = {"Wi", "Wh", "bh", "Wo", "bo"};
        set(gated.tape, "bphi", -1e4);
        for (int i = 0; i < 5; i++)
            copy(rnn.tape, to[i], gated.tape, from[i]);
        good = lecture_net_run(&gated, 0) && lecture_net_run(&rnn, 0);
    }
    if (good)
        lecture_add(r, RIGHT, "gated RNN with φ_t = 0", "forget gate", "h_t is then renewed as in the usual RNN",
                    "the same: W_u, W_hu, b_u in the places of W_i, W_h, b_h")
            ->printed_apart =
            lecture_apart(sizeof rnn.value[0] / sizeof(double), &gated.value[0][0][0][0], &rnn.value[0][0][0][0]);
    lecture_net_close(&gated);
    lecture_net_close(&rnn);
    return good;
}

/* The LSTM's memory by itself: without recurrent weights, delta^c_t = delta^c_tau phi_{t+1} ... phi_tau. */
static bool add_memory(lecture_report *r)
{
    enum { C, PHI };
    static const char *const units[] = {"c", "phi", "h", "o", NULL}, *const recurrent[] = {"Whkappa", "Whphi",
                                                                                           "Whomega", "Whu"};
    lecture_net n;
    ur_net_options net = {.cell = ur_cell_find("lstm"), .out = UR_SIGMOID, .loss = UR_BCE};
    bool good = lecture_net_open(&n, net, units, "c h");
    for (int i = 0; good && i < 4; i++)
        set(n.tape, recurrent[i], 0);
    good = good && lecture_net_run(&n, TAU);
    double product[UNITS][COLUMNS], mean = 0;
    for (int i = 0; good && i < UNITS; i++)
        for (int k = 0; k < COLUMNS; k++) {
            double factor = 1;
            for (int t = 2; t <= TAU; t++)
                factor *= n.value[PHI][t][i][k];
            product[i][k] = factor * n.delta[C][TAU][i][k];
            mean += factor / UNITS / COLUMNS;
        }
    if (good)
        lecture_claim(
            r, lecture_apart((size_t)UNITS * COLUMNS, &product[0][0], &n.delta[C][1][0][0]) <= ZERO,
            "LSTM: gradients of the memory do not vanish", "output neurons of the LSTM",
            "c_{t-1} and c_t are tied by weights fixed at 1, so errors neither vanish nor explode",
            "the weight is φ_t, not 1: without recurrent weights δ^c_1 = φ_2 ⊙ ... ⊙ φ_τ ⊙ δ^c_τ, here %.2g in "
            "the mean for τ = %d; it never explodes, and stays for φ near 1 alone: of "
            "40 steps σ(3)^40 = %.2f is left, σ(0)^40 = %.0e",
            mean, TAU, pow(1 / (1 + exp(-3)), 40), pow(0.5, 40));
    lecture_net_close(&n);
    return good;
}

bool lecture_zeros(lecture_report *r)
{
    return add_prefix(r) && add_open_gate(r) && add_memory(r) && add_normalisation(r) && add_slstm(r);
}
