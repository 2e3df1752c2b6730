/* test_optim.c - optimisers against their published formulas, which are coded here as sums over all gradients so
 * far; and what is done to a gradient before: clipping by norm and by value against their definitions, and what is
 * no number. */
#include "training.h"

enum { STEPS = 20 };

/* ---- the published formulas, by sums over all gradients so far and not by the recurrences of the library */

typedef struct trail {
    size_t n;
    double theta[STEPS + 1][MOST], g[STEPS + 1][MOST]; /* g[t] led to theta[t] */
} trail;

/* (1 - beta) sum_s beta^(t-s) g_s^power: the moving average at t. */
static double average(const trail *r, int t, size_t i, double beta, int power)
{
    double sum = 0;
    for (int s = 1; s <= t; s++)
        sum += pow(beta, t - s) * pow(r->g[s][i], power);
    return (1 - beta) * sum;
}

static double sum_of_squares(const trail *r, int t, size_t i)
{
    double sum = 0;
    for (int s = 1; s <= t; s++)
        sum += r->g[s][i] * r->g[s][i];
    return sum;
}

static double adam_direction(const trail *r, int t, size_t i, double epsilon)
{
    double m = average(r, t, i, 0.9, 1) / (1 - pow(0.9, t)), v = average(r, t, i, 0.999, 2) / (1 - pow(0.999, t));
    return m / (sqrt(v) + epsilon);
}

/* theta[t] from what is before it. */
static double published(const char *name, const trail *r, int t, size_t i, double rate, double decoupled)
{
    double theta = r->theta[t - 1][i], g = r->g[t][i];
    if (strcmp(name, "gd") == 0)
        return theta - rate * g;
    if (strcmp(name, "momentum") == 0) /* Polyak: x - rate g + mu (x - x_before) */
        return theta - rate * g + 0.9 * (t > 1 ? theta - r->theta[t - 2][i] : 0);
    if (strcmp(name, "rmsprop") == 0)
        return theta - rate * g / (sqrt(average(r, t, i, 0.9, 2)) + 1e-8);
    if (strcmp(name, "adagrad") == 0)
        return theta - rate * g / (sqrt(sum_of_squares(r, t, i)) + 1e-8);
    ck_assert_msg(strncmp(name, "adam", 4) == 0, "%s has no published formula in this test", name);
    return theta - rate * adam_direction(r, t, i, 1e-8) - rate * decoupled * theta;
}

/* Nesterov's as published has parameters w and takes gradients at w + mu v, which is what the library's network has. */
static void follow_nesterov(const problem *p, double rate, trail *r)
{
    double w[MOST], v[MOST] = {0};
    memcpy(w, r->theta[0], sizeof w);
    for (int t = 1; t <= STEPS; t++) {
        gradient_of(p, r->theta[t - 1], r->g[t]);
        for (size_t i = 0; i < p->n; i++) {
            v[i] = 0.9 * v[i] - rate * r->g[t][i];
            w[i] += v[i];
            r->theta[t][i] = w[i] + 0.9 * v[i];
        }
    }
}

static void follow(const char *name, const problem *p, double rate, double decoupled, trail *r)
{
    r->n = p->n;
    if (strcmp(name, "nesterov") == 0) {
        follow_nesterov(p, rate, r);
        return;
    }
    for (int t = 1; t <= STEPS; t++) {
        gradient_of(p, r->theta[t - 1], r->g[t]);
        for (size_t i = 0; i < p->n; i++)
            r->theta[t][i] = published(name, r, t, i, rate, decoupled);
    }
}

START_TEST(first_steps_on_a_quadratic)
{
    const ur_optim *optim = ur_optim_at((size_t)_i);
    static trail r;
    problem p = {.n = 9};
    double theta[MOST] = {0}, g[MOST] = {0}, memory[UR_OPTIM_STATES][MOST] = {{0}}, *state[] = {memory[0], memory[1]};
    ur_update u = {.rate = 0.02, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .rho = 0.9, .epsilon = 1e-8};
    for (size_t i = 0; i < p.n; i++)
        r.theta[0][i] = theta[i] = 1 - 0.25 * (double)i;
    follow(optim->name, &p, u.rate, 0, &r);
    for (int t = 1; t <= STEPS; t++) {
        gradient_of(&p, theta, g);
        u.count = t;
        optim->step(&u, p.n, theta, g, state);
        assert_near(optim->name, p.n, theta, r.theta[t], 1e-12);
    }
    ck_assert_ptr_eq(ur_optim_find(optim->name), optim);
    ck_assert_ptr_null(strstr(optim->formula, "  "));
}
END_TEST

/* All of the trainer at once: each optimiser with its defaults, with and without weight decay. */
static void check_first_steps(const ur_optim *optim, double decay)
{
    static trail r;
    sample s;
    size_t n;
    fill_sample(&s);
    problem p = network_problem(&s.data, optim->decoupled ? 0 : decay);
    ur_net *net = new_net(N);
    double rate = 0.02, *theta = theta_of(net, &n);
    memcpy(r.theta[0], theta, n * sizeof *theta);
    follow(optim->name, &p, rate, optim->decoupled ? decay : 0, &r);
    ur_trainer *trainer =
        new_trainer(net, &s.data, &(ur_train_options){.optim = optim, .rate = rate, .weight_decay = decay});
    for (int t = 1; t <= STEPS; t++) {
        train(trainer, 1);
        assert_near(optim->name, n, theta, r.theta[t], 1e-12);
    }
    close_training(trainer, net);
    close_problem(&p);
}

START_TEST(first_steps_of_a_network)
{
    check_first_steps(ur_optim_at((size_t)_i), 0);
    check_first_steps(ur_optim_at((size_t)_i), 0.3);
}
END_TEST

/* More parameters than fit into one block, in both types, against one step on all of them. */
static void check_large(ur_dtype dtype, double tolerance)
{
    enum { LARGE = 1000 };
    static double theta[LARGE], g[LARGE], memory[UR_OPTIM_STATES][LARGE];
    double *state[] = {memory[0], memory[1]};
    sample s;
    fill_sample(&s);
    ur_net_options shape = small_options();
    shape.hidden = 25;
    ur_net *net = net_of(dtype, shape, N);
    const ur_optim *optim = ur_optim_find("adam");
    ur_trainer *trainer = new_trainer(net, &s.data, &(ur_train_options){.optim = optim, .rate = 0.01});
    ur_plan *plan = ur_plan_new(net->tape, &(ur_plan_options){.roots = net->params, .root = net->gradient});
    ur_update u = {.rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    size_t n;
    const void *found = ur_params(net->tape, &n);
    ck_assert_uint_lt(n, LARGE);
    ck_assert_uint_gt(n, 512);
    memset(memory, 0, sizeof memory);
    for (u.count = 1; u.count <= 3; u.count++) {
        ck_assert(ur_net_bind(net, &s.data, 0, N) && ur_plan_run(plan));
        const void *gradient = ur_plan_roots(plan, &n);
        for (size_t i = 0; i < n; i++) {
            theta[i] = dtype == UR_F32 ? (double)((const float *)found)[i] : ((const double *)found)[i];
            g[i] = dtype == UR_F32 ? (double)((const float *)gradient)[i] : ((const double *)gradient)[i];
        }
        optim->step(&u, n, theta, g, state);
        train(trainer, 1);
        for (size_t i = 0; i < n; i++) {
            double now = dtype == UR_F32 ? (double)((const float *)found)[i] : ((const double *)found)[i];
            assert_near("theta", 1, &now, &theta[i], tolerance);
        }
    }
    ur_plan_free(plan);
    close_training(trainer, net);
}

START_TEST(many_parameters)
{
    check_large(UR_F64, 1e-14);
    check_large(UR_F32, 1e-6);
}
END_TEST

START_TEST(optimisers_are_found)
{
    static const char *const names[] = {"adagrad", "adam", "adamw", "gd", "momentum", "nesterov", "rmsprop"};
    for (size_t k = 0; k < 7; k++) {
        ck_assert_ptr_nonnull(ur_optim_at(k));
        ck_assert_str_eq(ur_optim_at(k)->name, names[k]);
    }
    ck_assert_ptr_null(ur_optim_at(7));
    ck_assert_ptr_null(ur_optim_at(8));
    ck_assert_ptr_null(ur_optim_find("sgd"));
}
END_TEST

/* ---- clipping: one step of gradient descent shows the gradient */

START_TEST(clipping_by_norm)
{
    sample s;
    fill_sample(&s);
    problem p = network_problem(&s.data, 0);
    double plain[MOST] = {0}, clipped[MOST] = {0}, expected[MOST] = {0};
    step_with(&s.data, (ur_train_options){0}, plain);
    double length = length_of(p.n, plain);
    static const double shares[] = {0.01, 0.37, 0.999, 1.001, 50};
    for (int k = 0; k < 5; k++) {
        double most = shares[k] * length;
        step_with(&s.data, (ur_train_options){.clip_norm = most}, clipped);
        for (size_t i = 0; i < p.n; i++)
            expected[i] = shares[k] < 1 ? plain[i] * most / length : plain[i];
        assert_near("clipped", p.n, clipped, expected, 1e-13);
        ck_assert_double_eq_tol(length_of(p.n, clipped), fmin(most, length), 1e-13);
        ck_assert(shares[k] < 1 || memcmp(clipped, plain, p.n * sizeof *plain) == 0);
    }
    close_problem(&p);
}
END_TEST

/* By value first, then by norm, then the decay is added. */
START_TEST(clipping_by_value)
{
    sample s;
    fill_sample(&s);
    problem p = network_problem(&s.data, 0);
    size_t n;
    double plain[MOST] = {0}, clipped[MOST] = {0}, expected[MOST] = {0}, theta[MOST], most = 0.4;
    memcpy(theta, theta_of(p.net, &n), p.n * sizeof *theta);
    step_with(&s.data, (ur_train_options){0}, plain);
    for (size_t i = 0; i < p.n; i++)
        expected[i] = plain[i] > most ? most : plain[i] < -most ? -most : plain[i];
    ck_assert_double_gt(distance(p.n, plain, expected), 0.1);
    step_with(&s.data, (ur_train_options){.clip_value = most}, clipped);
    assert_near("clipped", p.n, clipped, expected, 1e-13);

    double length = length_of(p.n, expected);
    step_with(&s.data, (ur_train_options){.clip_value = most, .clip_norm = 0.5, .weight_decay = 0.2}, clipped);
    ck_assert_double_gt(length, 0.5);
    for (size_t i = 0; i < p.n; i++)
        expected[i] = expected[i] * 0.5 / length + 0.2 * theta[i];
    assert_near("clipped and decayed", p.n, clipped, expected, 1e-13);
    close_problem(&p);
}
END_TEST

/* The squares of the gradient's elements overflow, its length does not. */
START_TEST(clipping_of_a_huge_gradient)
{
    sample s;
    double clipped[MOST] = {0};
    size_t n;
    fill_sample(&s);
    for (int i = 0; i < N * T * P; i++)
        (&s.y[0][0][0])[i] *= 1e200;
    ur_net *net = new_net(N);
    theta_of(net, &n);
    step_with(&s.data, (ur_train_options){.clip_norm = 0.25}, clipped);
    ck_assert_double_eq_tol(length_of(n, clipped), 0.25, 1e-12);
    ur_tape_free(net->tape);
}
END_TEST

/* Clipping does not hide what is not a number, and no optimiser moves for it. */
START_TEST(not_a_number)
{
    sample s;
    size_t n;
    double before[MOST];
    fill_sample(&s);
    s.x[2][1][0] = NAN;
    ur_net *net = new_net(N);
    const double *theta = theta_of(net, &n);
    memcpy(before, theta, n * sizeof *theta);
    ur_train_options options = {.optim = ur_optim_find("adam"), .rate = 1, .clip_norm = 1, .clip_value = 1};
    ur_trainer *trainer = new_trainer(net, &s.data, &options);
    ur_score score;
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    ck_assert_ptr_nonnull(strstr(ur_tape_error(net->tape), "epoch 1: the gradient of Wi, element 0, is "));
    ck_assert_mem_eq(theta, before, n * sizeof *theta);
    close_training(trainer, net);
}
END_TEST

int main(void)
{
    int optims = 0;
    while (ur_optim_at((size_t)optims))
        optims++;
    TCase *cases = tcase_create("optim");
    tcase_add_test(cases, optimisers_are_found);
    tcase_add_loop_test(cases, first_steps_on_a_quadratic, 0, optims);
    tcase_add_loop_test(cases, first_steps_of_a_network, 0, optims);
    tcase_add_test(cases, many_parameters);
    tcase_add_test(cases, clipping_by_norm);
    tcase_add_test(cases, clipping_by_value);
    tcase_add_test(cases, clipping_of_a_huge_gradient);
    tcase_add_test(cases, not_a_number);
    return run_cases(suite_create("optim"), cases);
}
