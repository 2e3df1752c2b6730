/* test_optim.c - training: optimisers against their published formulas, clipping, decay, schedules, freezing, the order
 * of the sequences, validation, windows, early stopping, resumed trainings, initial values. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../optim/optim.h"
#include "support.h"
#include "temporary.h"

enum { STEPS = 20, MOST = 64 };

static double draw(uint64_t *state) /* uniform in -1..1, Marsaglia's xorshift */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 4503599627370496.0 - 1;
}

static void assert_near(const char *what, size_t n, const double *found, const double *expected, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) <= tolerance * fmax(1, fabs(expected[i])),
                      "%s, element %zu: %.17g, %.17g was expected", what, i, found[i], expected[i]);
}

/* ---- a small network and data that does not fit it */

enum { N = 7, T = 3, D = 2, M = 3, P = 2 };

typedef struct sample {
    double x[N][T][D], y[N][T][P];
    int64_t lengths[N];
    ur_data data;
} sample;

static void fill_sample(sample *s)
{
    static const int64_t lengths[N] = {3, 1, 2, 3, 0, 2, 3};
    uint64_t seed = 99;
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < D; i++) {
                s->x[n][t][i] = draw(&seed);
                s->y[n][t][i] = draw(&seed);
            }
    memcpy(s->lengths, lengths, sizeof lengths);
    s->data = (ur_data){
        .n = N, .steps = T, .inputs = D, .outputs = P, .x = &s->x[0][0][0], .y = &s->y[0][0][0], .lengths = s->lengths};
}

static ur_net_options small_options(void)
{
    return (ur_net_options){.cell = ur_cell_find("rnn"),
                            .inputs = D,
                            .hidden = M,
                            .outputs = P,
                            .out = UR_IDENTITY,
                            .loss = UR_MSE,
                            .reduction = UR_SUM_ALL};
}

static ur_net *net_over(ur_dtype dtype, ur_net_options options, int64_t steps, int64_t batch)
{
    ur_tape *tape = new_tape(dtype);
    ur_net *net = ur_net_new(tape, &options, steps, batch);
    assert_good(tape, "network");
    ck_assert(ur_params_init(tape, UR_GLOROT_NORMAL, 11));
    return net;
}

static ur_net *net_of(ur_dtype dtype, ur_net_options options, int64_t batch)
{
    return net_over(dtype, options, T, batch);
}

static ur_net *new_net(int64_t batch)
{
    return net_of(UR_F64, small_options(), batch);
}

static ur_trainer *new_trainer(ur_net *net, const ur_data *data, const ur_train_options *options)
{
    ur_trainer *trainer = ur_trainer_new(net, data, options);
    assert_good(net->tape, "trainer");
    ck_assert_ptr_nonnull(trainer);
    return trainer;
}

static void train(ur_trainer *trainer, int epochs)
{
    ur_score score;
    for (int i = 0; i < epochs; i++)
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_TRAINED);
}

static void close_training(ur_trainer *trainer, ur_net *net)
{
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

static double *theta_of(ur_net *net, size_t *n)
{
    double *theta = (double *)ur_params(net->tape, n);
    ck_assert_uint_le(*n, MOST);
    return theta;
}

/* ---- models in files */

static ur_arrays *through_a_file(const ur_trainer *trainer)
{
    const char *path = temporary_path();
    ur_error error = {{0}};
    ck_assert_msg(ur_trainer_save(trainer, &(ur_model){.task = "reber", .seed = 5}, path, &error), "%s", error.text);
    ur_arrays *set = ur_arrays_load(path, NULL, &error);
    ck_assert_msg(set != NULL, "%s", error.text);
    ck_assert_int_eq(unlink(path), 0);
    return set;
}

/* ---- gradients: of a quadratic, and of the network by a plan of its own */

typedef struct problem {
    size_t n;
    double decay; /* L2 */
    ur_net *net;  /* NULL: a quadratic */
    ur_plan *plan;
} problem;

static void gradient_of(const problem *p, const double *theta, double *g)
{
    if (p->net) {
        size_t n;
        memcpy(ur_params(p->net->tape, &n), theta, p->n * sizeof *theta);
        ck_assert(ur_plan_run(p->plan));
        memcpy(g, ur_plan_roots(p->plan, &n), p->n * sizeof *g);
    }
    for (size_t i = 0; i < p->n && !p->net; i++)
        g[i] = (0.1 + (double)i) * (theta[i] - 0.3 * (double)(i % 3));
    for (size_t i = 0; i < p->n; i++)
        g[i] += p->decay * theta[i];
}

static problem network_problem(const ur_data *data, double decay)
{
    problem p = {.decay = decay, .net = new_net(data->n)};
    ck_assert(ur_net_differentiate(p.net));
    p.plan = ur_plan_new(p.net->tape, &(ur_plan_options){.roots = p.net->params, .root = p.net->gradient});
    ck_assert(ur_net_bind(p.net, data, 0, data->n));
    theta_of(p.net, &p.n);
    return p;
}

static void close_problem(problem *p)
{
    ur_plan_free(p->plan);
    ur_tape_free(p->net->tape);
}

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

static void step_with(const ur_data *data, ur_train_options options, double *g)
{
    ur_net *net = new_net(N);
    size_t n;
    double before[MOST], *theta = theta_of(net, &n);
    memcpy(before, theta, n * sizeof *theta);
    options.rate = 1;
    ur_trainer *trainer = new_trainer(net, data, &options);
    train(trainer, 1);
    for (size_t i = 0; i < n; i++)
        g[i] = before[i] - theta[i];
    close_training(trainer, net);
}

static double length_of(size_t n, const double *g)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += g[i] * g[i];
    return sqrt(sum);
}

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

/* ---- schedules */

START_TEST(schedules_in_closed_form)
{
    static const int64_t lengths[] = {1, 2, 3, 7, 10, 30, 101};
    for (int k = 0; k < 7; k++)
        for (int64_t epochs = lengths[k], e = 1; e <= epochs + 3; e++) {
            int64_t last = e < epochs ? e : epochs, warm = (int64_t)ceil((double)epochs / 10);
            double third = floor(3 * (double)(last - 1) / (double)epochs);
            double turn = cos(0.5 * acos(-1.0) * (double)(e - 1) / (double)epochs); /* cos^2 is (1 + cos 2a)/2 */
            ck_assert(ur_schedule_factor(UR_CONSTANT, e, epochs, 3) == 1);
            ck_assert_double_eq_tol(ur_schedule_factor(UR_STEPS, e, epochs, 3), pow(0.1, third), 1e-15);
            ck_assert_double_eq_tol(ur_schedule_factor(UR_COSINE, e, epochs, 3), e > epochs ? 0 : turn * turn, 1e-15);
            ck_assert_double_eq_tol(ur_schedule_factor(UR_WARMUP, e, epochs, 3), fmin(1, (double)e / (double)warm),
                                    1e-15);
            ck_assert(ur_schedule_factor(UR_PLATEAU, e, epochs, 3) == 0.125);
        }
    ck_assert(ur_schedule_factor(UR_CONSTANT, 1, 0, 0) == 1 && ur_schedule_factor(UR_PLATEAU, 9, 0, 0) == 1);
    for (int s = UR_CONSTANT; s <= UR_PLATEAU; s++) { /* numbers of epochs that are none */
        ck_assert(ur_schedule_factor((ur_schedule)s, 1, 0, 0) == 1);
        ck_assert(ur_schedule_factor((ur_schedule)s, INT64_MIN, INT64_MIN, INT64_MIN) == 1);
    }
    ck_assert(ur_schedule_factor((ur_schedule)99, 1, 1, 0) == 1);
    const int64_t most = INT64_MAX;
    ck_assert_double_eq_tol(ur_schedule_factor(UR_STEPS, most, most, 0), 0.01, 1e-15);
    ck_assert(ur_schedule_factor(UR_COSINE, most, most - 1, 0) == 0 && ur_schedule_factor(UR_WARMUP, 1, most, 0) > 0);
    ck_assert(ur_schedule_factor(UR_PLATEAU, 1, 1, most) == 0);
}
END_TEST

/* The rate of each epoch is that of the schedule. */
START_TEST(epochs_follow_the_schedule)
{
    enum { EPOCHS = 12 };
    sample s;
    fill_sample(&s);
    problem p = network_problem(&s.data, 0);
    for (int schedule = UR_CONSTANT; schedule <= UR_WARMUP; schedule++) {
        ur_net *net = new_net(N);
        size_t n;
        double g[MOST] = {0}, expected[MOST] = {0}, *theta = theta_of(net, &n);
        ur_train_options options = {.rate = 0.05, .schedule = (ur_schedule)schedule, .epochs = EPOCHS};
        ur_trainer *trainer = new_trainer(net, &s.data, &options);
        for (int e = 1; e <= EPOCHS; e++) {
            double rate = 0.05 * ur_schedule_factor((ur_schedule)schedule, e, EPOCHS, 0);
            ck_assert(ur_trainer_rate(trainer) == rate);
            gradient_of(&p, theta, g);
            for (size_t i = 0; i < n; i++)
                expected[i] = theta[i] - rate * g[i];
            train(trainer, 1);
            assert_near(ur_schedule_names[schedule], n, theta, expected, 1e-14);
            ck_assert_int_eq(ur_trainer_epochs(trainer), e);
        }
        close_training(trainer, net);
    }
    close_problem(&p);
}
END_TEST

/* With steps too small to move anything no loss is better than the first. */
START_TEST(plateaus_halve_the_rate)
{
    sample s;
    fill_sample(&s);
    for (int part = 0; part < 2; part++) {
        ur_net *net = new_net(N);
        ur_train_options options = {.rate = 1e-300, .schedule = UR_PLATEAU, .patience = 3, .valid = part ? 0.3 : 0};
        ur_trainer *trainer = new_trainer(net, &s.data, &options);
        for (int e = 1; e <= 11; e++) {
            train(trainer, 1);
            ck_assert(ur_trainer_rate(trainer) == 1e-300 * ur_schedule_factor(UR_PLATEAU, e, 0, (e - 1) / 3));
        }
        close_training(trainer, net);
    }
}
END_TEST

/* ---- freezing */

static void check_frozen(ur_net_options shape, const char *freeze, const char *const *frozen)
{
    sample s;
    fill_sample(&s);
    ur_net *net = net_of(UR_F64, shape, 3), *before = net_of(UR_F64, shape, 3);
    ur_train_options options = {.optim = ur_optim_find("adamw"), .rate = 0.1, .weight_decay = 0.1, .freeze = freeze};
    ur_trainer *trainer = new_trainer(net, &s.data, &options);
    train(trainer, 3);
    ur_var param, old;
    const char *name;
    for (size_t k = 0; ur_param_at(net->tape, k, &param, &name, NULL); k++) {
        ur_node node;
        bool expected = false;
        for (int i = 0; frozen[i]; i++)
            expected = expected || strcmp(frozen[i], name) == 0;
        ck_assert(ur_look(param, &node) && ur_param_at(before->tape, k, &old, NULL, NULL));
        const double *now = (const double *)ur_leaf(param), *then = (const double *)ur_leaf(old);
        for (size_t i = 0; i < ur_shape_count(node.shape); i++)
            ck_assert_msg((now[i] == then[i]) == expected, "%s[%zu] with %s frozen", name, i, freeze);
    }
    close_training(trainer, net);
    ur_tape_free(before->tape);
}

START_TEST(frozen_parameters_stay)
{
    ur_net_options one = small_options(), two = one;
    two.layers = 2;
    check_frozen(one, NULL, (const char *[]){NULL});
    check_frozen(one, "Wi", (const char *[]){"Wi", NULL});
    check_frozen(one, "bh", (const char *[]){"bh", NULL});
    check_frozen(one, "bo,Wh", (const char *[]){"Wh", "bo", NULL});
    check_frozen(one, "Wi,Wh,bh,Wo", (const char *[]){"Wi", "Wh", "bh", "Wo", NULL});
    check_frozen(two, "layer0.", (const char *[]){"layer0.Wi", "layer0.Wh", "layer0.bh", NULL});
    check_frozen(two, "layer1.Wh,bo", (const char *[]){"layer1.Wh", "bo", NULL});
}
END_TEST

/* What is trained beside frozen parameters takes the same step as without them. */
START_TEST(the_others_take_the_same_step)
{
    static const char *const frozen[] = {"Wh", "bh,Wo", "Wi,bh,bo", "Wi"};
    sample s;
    fill_sample(&s);
    for (int k = 0; k < 4; k++) {
        double plain[MOST] = {0}, step[MOST] = {0};
        ur_net *net = new_net(N);
        const char *name;
        size_t n, at = 0;
        theta_of(net, &n);
        step_with(&s.data, (ur_train_options){0}, plain);
        step_with(&s.data, (ur_train_options){.freeze = frozen[k]}, step);
        for (size_t i = 0, p = 0; i < n; i++) {
            while (ur_param_at(net->tape, p, NULL, &name, &at) && at <= i)
                p++;
            ck_assert(ur_param_at(net->tape, p - 1, NULL, &name, NULL));
            ck_assert(step[i] == (strstr(frozen[k], name) ? 0 : plain[i]));
        }
        ur_tape_free(net->tape);
    }
}
END_TEST

/* The norm is that of what is trained. */
START_TEST(frozen_gradients_count_for_no_norm)
{
    sample s;
    fill_sample(&s);
    double free[MOST] = {0}, clipped[MOST] = {0};
    ur_net *net = new_net(N);
    size_t n;
    theta_of(net, &n);
    step_with(&s.data, (ur_train_options){.freeze = "Wo,Wh"}, free);
    double length = length_of(n, free);
    step_with(&s.data, (ur_train_options){.freeze = "Wo,Wh", .clip_norm = length / 2}, clipped);
    for (size_t i = 0; i < n; i++)
        free[i] /= 2;
    assert_near("clipped", n, clipped, free, 1e-13);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- what the trainer refuses */

static void check_refused(ur_train_options options, const char *words)
{
    sample s;
    fill_sample(&s);
    ur_net_options shape = small_options();
    shape.layers = 2;
    ur_net *net = net_of(UR_F64, shape, 3);
    ck_assert_ptr_null(ur_trainer_new(net, &s.data, &options));
    const char *error = ur_tape_error(net->tape);
    ck_assert_msg(error && strstr(error, words), "'%s' was expected in '%s'", words, error ? error : "no error");
    ur_tape_free(net->tape);
}

START_TEST(wrong_options_are_named)
{
    check_refused((ur_train_options){.rate = NAN}, "rate is nan, expected a finite number from 0");
    check_refused((ur_train_options){.rate = -1}, "rate is -1, expected");
    check_refused((ur_train_options){.rate = INFINITY}, "rate is inf, expected");
    check_refused((ur_train_options){.clip_norm = -2}, "clip_norm is -2, expected");
    check_refused((ur_train_options){.clip_value = NAN}, "clip_value is nan, expected");
    check_refused((ur_train_options){.weight_decay = -2}, "weight_decay is -2, expected");
    check_refused((ur_train_options){.epsilon = -1}, "epsilon is -1, expected");
    check_refused((ur_train_options){.momentum = 1}, "momentum is 1, expected a number from 0 to below 1");
    check_refused((ur_train_options){.beta1 = NAN}, "beta1 is nan, expected a number from 0 to below 1");
    check_refused((ur_train_options){.beta2 = 2}, "beta2 is 2, expected");
    check_refused((ur_train_options){.rho = -1}, "rho is -1, expected");
    check_refused((ur_train_options){.valid = 1}, "valid is 1, expected");
    check_refused((ur_train_options){.valid = 0.1}, "valid is 0.1, which leaves none of 7 sequences for validation");
    check_refused((ur_train_options){.patience = -1}, "patience is -1, expected");
    check_refused((ur_train_options){.schedule = UR_PLATEAU}, "patience is 0, expected a number of epochs from 1");
    check_refused((ur_train_options){.schedule = UR_COSINE}, "epochs is 0, expected");
    check_refused((ur_train_options){.patience = 4}, "valid is 0, expected a part for validation");
    check_refused((ur_train_options){.freeze = "layer0.Wx"},
                  "freeze: no parameter has the name 'layer0.Wx', near it layer0.Wi, layer0.Wh");
    check_refused((ur_train_options){.freeze = "bo,layer"}, "no parameter has the name 'layer'");
    check_refused((ur_train_options){.freeze = "b"}, "no parameter has the name 'b', near it bo");
    check_refused((ur_train_options){.freeze = "layer0.,layer1.,Wo,bo"}, "every parameter is frozen");
}
END_TEST

/* ---- the order of the sequences */

START_TEST(shuffling_is_a_permutation)
{
    enum { LARGE = 1000 };
    static int64_t order[LARGE], again[LARGE];
    for (int64_t n = 0; n <= LARGE; n += n < 9 ? 1 : 991) {
        bool seen[LARGE] = {false};
        ur_shuffle(n, order, 3, 4);
        ur_shuffle(n, again, 3, 4);
        for (int64_t i = 0; i < n; i++) {
            ck_assert(order[i] >= 0 && order[i] < n && !seen[order[i]]);
            seen[order[i]] = true;
        }
        ck_assert(n == 0 || memcmp(order, again, (size_t)n * sizeof *order) == 0);
    }
    ur_shuffle(LARGE, again, 3, 5);
    ck_assert_mem_ne(order, again, sizeof order);
    ur_shuffle(LARGE, again, 4, 4);
    ck_assert_mem_ne(order, again, sizeof order);
}
END_TEST

/* Each of the 24 orders of four comes as often as another. */
START_TEST(shuffling_is_fair)
{
    enum { DRAWS = 24000 };
    int count[256] = {0}, kinds = 0;
    for (int e = 1; e <= DRAWS; e++) {
        int64_t order[4];
        ur_shuffle(4, order, 17, e);
        count[order[0] << 6 | order[1] << 4 | order[2] << 2 | order[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        kinds += count[i] > 0;
        ck_assert(count[i] == 0 || fabs((double)count[i] - 1000) < 5 * sqrt(1000));
    }
    ck_assert_int_eq(kinds, 24);
}
END_TEST

/* Copies sequences order[first] ... to a data set of their own. */
static void pick(const sample *from, const int64_t *order, int64_t first, int64_t count, sample *to)
{
    fill_sample(to);
    for (int64_t k = 0; k < count; k++) {
        memcpy(to->x[k], from->x[order[first + k]], sizeof *to->x);
        memcpy(to->y[k], from->y[order[first + k]], sizeof *to->y);
        to->lengths[k] = from->lengths[order[first + k]];
    }
    to->data.n = count;
}

static void descend_on(const sample *part, double rate, double *theta, size_t n)
{
    double g[MOST] = {0};
    problem p = network_problem(&part->data, 0);
    gradient_of(&p, theta, g);
    for (size_t i = 0; i < n; i++)
        theta[i] -= rate * g[i];
    close_problem(&p);
}

/* Batches of permuted sequences, the last of them smaller, against copies of these sequences; the last `held` ones are
 * for validation. */
static void check_batches(int64_t batch, double valid, int64_t held)
{
    sample s, part;
    fill_sample(&s);
    ur_net *net = new_net(batch);
    size_t n;
    double expected[MOST] = {0}, *theta = theta_of(net, &n);
    memcpy(expected, theta, n * sizeof *theta);
    ur_train_options options = {.rate = 0.05, .shuffle = true, .seed = 8, .valid = valid};
    ck_assert_int_eq(ur_train_count(&options, N), N - held);
    ur_trainer *trainer = new_trainer(net, &s.data, &options);
    ck_assert_ptr_null(ur_trainer_valid(trainer));
    for (int64_t e = 1; e <= 4; e++) {
        int64_t order[N], trained = N - held;
        ur_shuffle(trained, order, 8, e);
        train(trainer, 1);
        for (int64_t first = 0; first < trained; first += batch) {
            pick(&s, order, first, trained - first < batch ? trained - first : batch, &part);
            descend_on(&part, 0.05, expected, n);
        }
        assert_near("theta", n, theta, expected, 1e-12);
        if (!held)
            continue;
        ur_score score = {0};
        pick(&s, (const int64_t[]){0, 1, 2, 3, 4, 5, 6}, trained, held, &part);
        ck_assert(ur_net_evaluate(net, &part.data, &score));
        ck_assert_double_eq_tol(ur_trainer_valid(trainer)->loss, score.loss, 1e-12);
        ck_assert_int_eq(ur_trainer_valid(trainer)->positions, score.positions);
        ck_assert_int_eq(ur_trainer_valid(trainer)->wrong_positions, score.wrong_positions);
        ck_assert_int_eq(ur_trainer_valid(trainer)->sequences, held);
    }
    close_training(trainer, net);
}

START_TEST(batches_of_shuffled_sequences)
{
    for (int64_t batch = 1; batch <= N + 1; batch++) {
        check_batches(batch, 0, 0);
        check_batches(batch, 0.29, 2);
        check_batches(batch, 0.5, 3);
    }
}
END_TEST

/* Data that is taken in an order is as good as a copy in this order. */
START_TEST(ordered_data)
{
    static const int64_t order[N] = {4, 2, 6, 0, 1, 5, 3};
    sample s, copy;
    fill_sample(&s);
    pick(&s, order, 0, N, &copy);
    s.data.order = order;
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        ur_train_options options = {.rate = 0.1, .shuffle = shuffle, .valid = 0.3};
        ur_net *one = new_net(2), *other = new_net(2);
        ur_trainer *a = new_trainer(one, &s.data, &options), *b = new_trainer(other, &copy.data, &options);
        size_t n;
        train(a, 3);
        train(b, 3);
        ck_assert_mem_eq(theta_of(one, &n), theta_of(other, &n), n * sizeof(double));
        ck_assert(ur_trainer_valid(a)->loss == ur_trainer_valid(b)->loss);
        close_training(a, one);
        close_training(b, other);
    }
}
END_TEST

/* Dropout is there in training, other in each step, and not after it. */
START_TEST(dropout_while_training)
{
    sample s;
    fill_sample(&s);
    ur_net_options shape = small_options();
    shape.recurrent_dropout = 0.5;
    ur_net *net = net_of(UR_F64, shape, N), *without = new_net(N);
    ur_trainer *trainer = new_trainer(net, &s.data, &(ur_train_options){.rate = 0});
    ur_score first, second, evaluated = {0}, plain = {0};
    ck_assert_int_eq(ur_trainer_epoch(trainer, &first), UR_TRAINED);
    ck_assert(*(const double *)ur_leaf(net->training) == -1);
    ck_assert_int_eq(ur_trainer_epoch(trainer, &second), UR_TRAINED);
    ck_assert(ur_net_evaluate(net, &s.data, &evaluated) && ur_net_evaluate(without, &s.data, &plain));
    ck_assert(first.loss != second.loss && first.loss != evaluated.loss && second.loss != evaluated.loss);
    ck_assert_double_eq_tol(evaluated.loss, plain.loss, 1e-12);
    close_training(trainer, net);
    ur_tape_free(without->tape);
}
END_TEST

/* ---- stateful training */

enum { ROWS = 5, LONG = 7 };

/* Five sequences of up to seven steps, with targets and weights of every kind. */
typedef struct story {
    double x[ROWS][LONG][D], y[ROWS][LONG][P], last[ROWS][P], class[ROWS][LONG], last_class[ROWS], weight[ROWS][LONG];
    int64_t lengths[ROWS];
    ur_data data;
} story;

enum { PLAIN, WEIGHTED, LAST, CLASSES, LAST_CLASSES, STORIES };

static void fill_story(story *s, int kind)
{
    static const int64_t lengths[ROWS] = {7, 1, 4, 0, 6};
    uint64_t seed = 12;
    for (int n = 0; n < ROWS; n++)
        for (int t = 0; t < LONG; t++) {
            for (int i = 0; i < D; i++) {
                s->x[n][t][i] = draw(&seed);
                s->y[n][t][i] = draw(&seed) > 0;
                s->last[n][i] = draw(&seed) > 0;
            }
            s->class[n][t] = draw(&seed) > 0;
            s->last_class[n] = draw(&seed) > 0;
            s->weight[n][t] = 1 + draw(&seed);
        }
    memcpy(s->lengths, lengths, sizeof lengths);
    double *y = kind == CLASSES        ? s->class[0]
                : kind == LAST         ? s->last[0]
                : kind == LAST_CLASSES ? s->last_class
                                       : s->y[0][0];
    s->data = (ur_data){.n = ROWS,
                        .steps = LONG,
                        .inputs = D,
                        .outputs = P,
                        .x = s->x[0][0],
                        .y = y,
                        .y_last = kind == LAST || kind == LAST_CLASSES,
                        .y_classes = kind == CLASSES || kind == LAST_CLASSES,
                        .lengths = s->lengths,
                        .weight = kind == WEIGHTED || kind == LAST_CLASSES ? s->weight[0] : NULL};
}

static ur_net_options story_options(const story *s, const char *cell)
{
    ur_net_options shape = small_options();
    shape.cell = ur_cell_find(cell);
    shape.out = s->data.y_classes ? UR_SOFTMAX : UR_SIGMOID;
    shape.loss = s->data.y_classes ? UR_CE : UR_BCE;
    shape.weighted = s->data.weight || s->data.y_last;
    return shape;
}

static bool has_target(const story *s, int64_t n, int64_t t)
{
    return t < s->lengths[n] && (!s->data.y_last || t == s->lengths[n] - 1);
}

static double target_of(const story *s, int64_t n, int64_t t, int64_t i)
{
    const ur_data *d = &s->data;
    double class = d->y_last ? s->last_class[n] : s->class[n][t];
    return d->y_classes ? class == (double)i : d->y_last ? s->last[n][i] : s->y[n][t][i];
}

/* A window as a data set of its own, whatever the kind: a target and a weight for each position. */
static void cut_story(const story *s, int64_t begin, int64_t steps, story *to)
{
    fill_story(to, PLAIN);
    ur_data *d = &to->data;
    double *weight = to->weight[0];
    d->steps = steps < LONG ? steps : LONG;
    d->weight = s->data.weight || s->data.y_last ? weight : NULL;
    for (int64_t n = 0; n < ROWS; n++) {
        int64_t left = s->lengths[n] - begin;
        to->lengths[n] = left < 0 ? 0 : left < steps ? left : steps;
        for (int64_t t = 0; t < to->lengths[n]; t++) {
            int64_t at = n * d->steps + t;
            weight[at] = !has_target(s, n, begin + t) ? 0 : s->data.weight ? s->weight[n][begin + t] : 1;
            for (int64_t i = 0; i < D; i++)
                d->x[at * D + i] = s->x[n][begin + t][i];
            for (int64_t i = 0; i < P; i++)
                d->y[at * P + i] = target_of(s, n, begin + t, i);
        }
    }
}

/* Counts the errors of a window, [positions], and marks the sequences that have one. */
static void mark_errors(const story *s, const ur_net *net, ur_plan *plan, int64_t first, int64_t count, int64_t begin,
                        ur_score *score, bool *wrong)
{
    for (int64_t c = 0; c < count; c++)
        for (int64_t t = 0; t < net->steps && begin + t < LONG; t++) {
            bool misses = false;
            double o[P * ROWS];
            ck_assert(ur_read(plan, net->o[t], (size_t)(P * net->batch), o));
            double one = o[c], two = o[net->batch + c];
            for (int64_t i = 0; i < P; i++) {
                bool predicted = s->data.y_classes ? (two > one) == i : (i ? two : one) >= 0.5;
                misses |= predicted != (target_of(s, first + c, begin + t, i) >= 0.5);
            }
            if (has_target(s, first + c, begin + t)) {
                score->positions++;
                score->wrong_positions += misses;
                wrong[first + c] |= misses;
            }
        }
}

static ur_plan *plan_all(ur_net *net)
{
    ur_var root[64];
    size_t n = net->params;
    ck_assert(ur_net_differentiate(net));
    memcpy(root, net->gradient, n * sizeof *root);
    root[n++] = net->loss;
    for (int64_t t = 0; t < net->steps; t++)
        root[n++] = net->o[t];
    for (size_t i = 0; i < net->states; i++)
        root[n++] = net->state[i].final;
    ck_assert_uint_le(n, 64);
    return ur_plan_new(net->tape, &(ur_plan_options){.roots = n, .root = root});
}

/* The initial states: those that the last run left, or the cell's own. */
static void write_states(ur_net *net, ur_plan *plan, bool first)
{
    for (size_t i = 0; i < net->states; i++) {
        double values[512] = {0};
        size_t count = ur_shape_count(net->state[i].shape);
        ck_assert_uint_le(count, 512);
        for (size_t k = 0; k < count; k++)
            values[k] = net->options.cell->state[i].start;
        ck_assert(first || ur_read(plan, net->state[i].final, count, values));
        ck_assert(ur_write(net->state[i].start, count, values));
    }
}

static double share(const story *s, ur_reduction reduction, int64_t first, int64_t count, int64_t begin, int64_t steps)
{
    double alive = 0, all = 0;
    for (int64_t n = 0; n < ROWS; n++)
        for (int64_t t = 0; t < s->lengths[n]; t++) {
            all++;
            alive += n >= first && n < first + count && t >= begin && t < begin + steps;
        }
    return reduction == UR_MEAN_ALL ? alive / all : reduction == UR_PER_SEQUENCE ? (double)count / ROWS : 1;
}

/* One epoch of windows by hand: gradient descent on one data set after the other. */
static ur_score windows_by_hand(const story *s, ur_net *net, ur_plan *plan, double rate)
{
    ur_score score = {.sequences = ROWS};
    bool wrong[ROWS] = {false};
    size_t n, count;
    double loss, *theta = (double *)ur_params(net->tape, &n);
    for (int64_t first = 0; first < ROWS; first += net->batch)
        for (int64_t begin = 0; begin < LONG; begin += net->steps) {
            int64_t columns = ROWS - first < net->batch ? ROWS - first : net->batch;
            story window;
            cut_story(s, begin, net->steps, &window);
            write_states(net, plan, begin == 0);
            ck_assert(ur_net_bind(net, &window.data, first, columns) && ur_plan_run(plan));
            ck_assert(ur_read(plan, net->loss, 1, &loss));
            score.loss += loss * share(s, net->options.reduction, first, columns, begin, net->steps);
            mark_errors(s, net, plan, first, columns, begin, &score, wrong);
            const double *g = (const double *)ur_plan_roots(plan, &count);
            for (size_t i = 0; i < n; i++)
                theta[i] -= rate * g[i];
        }
    for (int k = 0; k < ROWS; k++)
        score.wrong_sequences += wrong[k];
    return score;
}

static void assert_same_score(const ur_score *found, const ur_score *expected)
{
    ck_assert_double_eq_tol(found->loss, expected->loss, 1e-12);
    ck_assert_int_eq(found->positions, expected->positions);
    ck_assert_int_eq(found->wrong_positions, expected->wrong_positions);
    ck_assert_int_eq(found->sequences, expected->sequences);
    ck_assert_int_eq(found->wrong_sequences, expected->wrong_sequences);
}

static void check_windows(const story *s, const char *cell, ur_reduction reduction, int64_t steps, int64_t batch)
{
    ur_net_options shape = story_options(s, cell);
    shape.reduction = reduction;
    shape.start = UR_START_GIVEN;
    ur_net *net = net_over(UR_F64, shape, steps, batch);
    shape.weighted |= s->data.y_last;
    ur_net *hand = net_over(UR_F64, shape, steps, batch);
    ur_plan *plan = plan_all(hand);
    assert_good(hand->tape, "plan");
    ur_trainer *trainer = new_trainer(net, &s->data, &(ur_train_options){.rate = 0.1, .stateful = true});
    for (int epoch = 0; epoch < 2; epoch++) {
        size_t n;
        ur_score found, expected = windows_by_hand(s, hand, plan, 0.1);
        ck_assert_int_eq(ur_trainer_epoch(trainer, &found), UR_TRAINED);
        assert_same_score(&found, &expected);
        const double *theta = (const double *)ur_params(hand->tape, &n);
        assert_near("theta", n, (const double *)ur_params(net->tape, &n), theta, 1e-12);
    }
    ur_plan_free(plan);
    ur_tape_free(hand->tape);
    close_training(trainer, net);
}

START_TEST(windows_follow_one_another)
{
    static const int64_t steps[] = {1, 2, 3, 5, LONG, LONG + 2};
    story s;
    fill_story(&s, _i);
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
        for (int64_t batch = 1; batch <= ROWS; batch += 2) {
            check_windows(&s, "rnn", UR_PER_SEQUENCE, steps[k], batch);
            check_windows(&s, "slstm", UR_MEAN_ALL, steps[k], batch);
            check_windows(&s, "mlstm", UR_SUM_ALL, steps[k], batch);
        }
}
END_TEST

/* One window for all is training as ever, bit by bit. */
START_TEST(a_long_window_is_no_window)
{
    story s;
    fill_story(&s, WEIGHTED);
    for (int64_t steps = LONG; steps < LONG + 3; steps += 2) {
        ur_net_options shape = story_options(&s, "lstm");
        ur_train_options options = {.optim = ur_optim_find("adam"), .rate = 0.1, .shuffle = true, .valid = 0.4};
        shape.start = UR_START_GIVEN;
        ur_net *one = net_over(UR_F64, shape, steps, 2), *other = net_over(UR_F64, shape, steps, 2);
        ur_trainer *a = new_trainer(one, &s.data, &options);
        options.stateful = true;
        ur_trainer *b = new_trainer(other, &s.data, &options);
        size_t n;
        train(a, 4);
        train(b, 4);
        const void *theta = ur_params(one->tape, &n);
        ck_assert_mem_eq(ur_params(other->tape, &n), theta, n * sizeof(double));
        ck_assert(ur_trainer_valid(a)->loss == ur_trainer_valid(b)->loss);
        close_training(a, one);
        close_training(b, other);
    }
}
END_TEST

/* Without steps, windows show loss and errors of the whole network: in training and in validation. */
static void check_whole(const story *s, const ur_cell *cell, ur_reduction reduction, int64_t steps)
{
    static const int64_t order[ROWS] = {2, 0, 4, 1, 3};
    ur_net_options shape = story_options(s, cell->name);
    shape.reduction = reduction;
    shape.layers = 2;
    ur_net *whole = net_over(UR_F64, shape, LONG, ROWS);
    shape.start = UR_START_GIVEN;
    ur_net *net = net_over(UR_F64, shape, steps, 2);
    ur_train_options options = {.rate = 0, .valid = 0.4, .stateful = true};
    ur_trainer *trainer = new_trainer(net, &s->data, &options);
    ur_score found, trained = {0}, valid = {0};
    ur_data part = s->data;
    part.n = 3;
    ck_assert(ur_net_evaluate(whole, &part, &trained));
    part.n = 2;
    part.order = (const int64_t[]){3, 4};
    part.rows = ROWS;
    ck_assert(ur_net_evaluate(whole, &part, &valid));
    for (int epoch = 0; epoch < 2; epoch++) {
        ck_assert_int_eq(ur_trainer_epoch(trainer, &found), UR_TRAINED);
        assert_same_score(&found, &trained);
        assert_same_score(ur_trainer_valid(trainer), &valid);
    }
    ur_trainer_free(trainer);
    part = s->data;
    part.order = order;
    part.rows = ROWS;
    part.n = 4;
    valid = (ur_score){0};
    ck_assert(ur_net_evaluate(whole, &part, &valid));
    trainer = new_trainer(net, &part, &(ur_train_options){.rate = 0, .shuffle = true, .stateful = true});
    for (int epoch = 0; epoch < 2; epoch++) {
        ck_assert_int_eq(ur_trainer_epoch(trainer, &found), UR_TRAINED);
        assert_same_score(&found, &valid);
    }
    close_training(trainer, net);
    ur_tape_free(whole->tape);
}

START_TEST(windows_show_the_whole)
{
    const ur_cell *cell;
    story s;
    fill_story(&s, _i);
    for (size_t k = 0; (cell = ur_cell_at(k)); k++)
        for (int r = 0; r <= UR_MEAN_ALL && !cell->back; r++)
            for (int64_t steps = 1; steps < LONG; steps += 2)
                check_whole(&s, cell, (ur_reduction)r, steps);
}
END_TEST

/* No errors: the epoch that ends training sees all windows under one set of weights. */
START_TEST(windows_until_zero_errors)
{
    story s;
    fill_story(&s, PLAIN);
    memset(s.y, 0, sizeof s.y);
    for (int wrong = 0; wrong < 2; wrong++) {
        ur_net_options shape = story_options(&s, "rnn");
        shape.start = UR_START_GIVEN;
        ur_net *net = net_over(UR_F64, shape, 2, ROWS);
        ck_assert(ur_params_init(net->tape, UR_ZEROS, 1) && ur_params_fill(net->tape, "bo", -1));
        s.y[0][LONG - 1][1] = wrong;
        ur_trainer *trainer =
            new_trainer(net, &s.data, &(ur_train_options){.rate = 0.1, .until_zero_errors = true, .stateful = true});
        ur_score score;
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), wrong ? UR_TRAINED : UR_FLAWLESS);
        ck_assert_int_eq(score.wrong_sequences, wrong);
        ck_assert_int_eq(score.positions, 18);
        close_training(trainer, net);
    }
}
END_TEST

/* A batch ends with the last of its sequences: lengths of 7, 1, 4, 0 and 6 steps are 4, 1, 2, 1 and 3 windows of two. */
START_TEST(ended_batches_take_no_steps)
{
    static const char *const updates[] = {"11", "4"};
    story s;
    fill_story(&s, PLAIN);
    for (int k = 0; k < 2; k++) {
        ur_net_options shape = story_options(&s, "gru");
        shape.start = UR_START_GIVEN;
        ur_net *net = net_over(UR_F64, shape, 2, k ? ROWS : 1);
        ur_trainer *trainer = new_trainer(net, &s.data, &(ur_train_options){.rate = 0.1, .stateful = true});
        train(trainer, 1);
        ur_arrays *set = through_a_file(trainer);
        ck_assert_str_eq(ur_arrays_text(set, "updates"), updates[k]);
        ur_arrays_free(set);
        close_training(trainer, net);
    }
}
END_TEST

static void check_no_windows(ur_net_options shape, const char *words)
{
    story s;
    fill_story(&s, PLAIN);
    ur_net *net = net_over(UR_F64, shape, 2, ROWS);
    ck_assert_ptr_null(ur_trainer_new(net, &s.data, &(ur_train_options){.rate = 1, .stateful = true}));
    const char *error = ur_tape_error(net->tape);
    ck_assert_msg(error && strstr(error, words), "'%s' was expected in '%s'", words, error ? error : "no error");
    ur_tape_free(net->tape);
}

START_TEST(what_has_no_windows)
{
    ur_net_options shape = small_options();
    check_no_windows(shape, "rnn: stateful training writes the states before each window, start must be given");
    shape.start = UR_START_GIVEN;
    shape.inputs = 1;
    check_no_windows(shape, "rnn: the data has x of 2 features, the network takes 1");
    shape.inputs = D;
    shape.bidirectional = true;
    check_no_windows(shape, "rnn: runs in both directions; stateful training hands on no state");
    shape.bidirectional = false;
    shape.cell = ur_cell_find("brnn");
    check_no_windows(shape, "brnn: runs in both directions; stateful training hands on no state");
}
END_TEST

/* ---- early stopping */

/* Sequences whose targets the validation part contradicts: what training learns makes it worse there. */
static void contradict(sample *s, int64_t from)
{
    for (int n = 0; n < N; n++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < P; i++)
                s->y[n][t][i] = n < from ? 1 : 0.3;
}

static void check_stopping(double rate, bool up_and_down)
{
    enum { PATIENCE = 4 };
    sample s;
    fill_sample(&s);
    contradict(&s, 5);
    ur_net *net = new_net(2);
    size_t n;
    double best = INFINITY, kept[MOST] = {0}, *theta = theta_of(net, &n);
    ur_train_options options = {
        .optim = ur_optim_find("momentum"), .rate = rate, .valid = 0.29, .patience = PATIENCE, .shuffle = true};
    ur_trainer *trainer = new_trainer(net, &s.data, &options);
    int epoch = 0, waited = 0, best_epoch = 0, recoveries = 0;
    ur_score score;
    while (++epoch < 500) {
        ur_progress progress = ur_trainer_epoch(trainer, &score);
        double loss = ur_trainer_valid(trainer)->loss;
        recoveries += loss < best && waited > 0;
        waited = loss < best ? 0 : waited + 1;
        ck_assert_int_eq(progress, waited == PATIENCE ? UR_STOPPED : UR_TRAINED);
        if (progress == UR_STOPPED)
            break;
        if (loss < best) {
            best = loss;
            best_epoch = epoch;
            memcpy(kept, theta, n * sizeof *theta);
        }
    }
    ck_assert_int_gt(best_epoch, 2);
    ck_assert(up_and_down == (recoveries > 0));
    ck_assert_int_eq(epoch, best_epoch + PATIENCE);
    ck_assert_mem_eq(theta, kept, n * sizeof *theta);
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_STOPPED);
    ck_assert_int_eq(ur_trainer_epochs(trainer), epoch);
    ck_assert_mem_eq(theta, kept, n * sizeof *theta);
    close_training(trainer, net);
}

START_TEST(early_stopping_restores_the_best)
{
    check_stopping(0.002, false);
    check_stopping(0.02, true);
}
END_TEST

/* A network whose validation gets worse before it stops; with batch normalisation its averages go on moving then. */
static ur_net *stopping_net(bool batch_norm)
{
    ur_net_options shape = small_options();
    shape.batch_norm = batch_norm;
    return net_of(UR_F64, shape, 2);
}

static const ur_train_options stopping = {.rate = 0.002, .valid = 0.29, .patience = 4, .shuffle = true};

static double validation_loss(ur_net *net, const ur_data *data)
{
    ur_score score = {0};
    int64_t first = ur_train_count(&stopping, data->n), order[N];
    ur_data part = *data;
    part.order = order;
    part.rows = data->n;
    part.n = data->n - first;
    for (int64_t k = 0; k < part.n; k++)
        order[k] = first + k;
    ck_assert(ur_net_evaluate(net, &part, &score));
    return score.loss;
}

/* After the stop the network is what it was with the best loss, and the trainer says so, when asked again too. */
START_TEST(a_stopped_network_has_the_best_loss)
{
    sample s;
    fill_sample(&s);
    contradict(&s, 5);
    ur_net *net = stopping_net(_i);
    ur_trainer *trainer = new_trainer(net, &s.data, &stopping);
    ur_score score;
    double best = INFINITY;
    while (ur_trainer_epoch(trainer, &score) == UR_TRAINED) {
        ck_assert_double_eq(ur_trainer_valid(trainer)->loss, validation_loss(net, &s.data));
        best = fmin(best, ur_trainer_valid(trainer)->loss);
        ck_assert_int_lt(ur_trainer_epochs(trainer), 500);
    }
    ck_assert_int_gt(ur_trainer_epochs(trainer), stopping.patience);
    for (int again = 0; again < 2; again++) {
        ck_assert_double_eq(validation_loss(net, &s.data), best);
        ck_assert_double_eq(ur_trainer_valid(trainer)->loss, best);
        ck_assert_int_eq(ur_trainer_valid(trainer)->sequences, 2);
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_STOPPED);
    }
    close_training(trainer, net);
}
END_TEST

/* ---- going on after a break */

static void assert_same_files(const ur_arrays *a, const ur_arrays *b)
{
    const ur_array *x, *y;
    const char *key;
    for (size_t k = 0; (x = ur_arrays_at(a, k)); k++) {
        ck_assert((y = ur_arrays_at(b, k)) && strcmp(x->name, y->name) == 0);
        ck_assert_msg(memcmp(x->data, y->data, x->bytes) == 0, "%s differs after the break", x->name);
    }
    for (size_t k = 0; (key = ur_arrays_key(a, k)); k++)
        ck_assert_str_eq(ur_arrays_text(b, key), ur_arrays_text(a, key));
}

/* Has the trainer come to where another one's file says that it ended? */
static void assert_same_end(const ur_arrays *end, ur_trainer *trainer)
{
    ur_arrays *own = through_a_file(trainer);
    assert_same_files(end, own);
    assert_same_files(own, end);
    ur_arrays_free(own);
}

/* Seven epochs at once, and the same as three and four with a file between them. */
static void check_resume(ur_dtype dtype, ur_net_options shape, ur_train_options options)
{
    sample s;
    fill_sample(&s);
    ur_error error = {{0}};
    int64_t steps = options.stateful ? T - 1 : T;
    ur_net *through = net_over(dtype, shape, steps, 2), *first = net_over(dtype, shape, steps, 2);
    ur_net *second = net_over(dtype, shape, steps, 2);
    ur_trainer *a = new_trainer(through, &s.data, &options), *b = new_trainer(first, &s.data, &options);
    ck_assert(ur_params_init(second->tape, UR_ZEROS, 1));
    train(a, 7);
    train(b, 3);
    ur_arrays *set = through_a_file(b), *end = through_a_file(a);
    ur_train_options read;
    ck_assert_msg(ur_train_options_read(set, "m", &read, &error), "%s", error.text);
    ur_trainer *c = new_trainer(second, &s.data, &read);
    ck_assert_msg(ur_trainer_resume(c, set, "m", &error), "%s", error.text);
    ck_assert_int_eq(ur_trainer_epochs(c), 3);
    ck_assert(ur_trainer_rate(c) == ur_trainer_rate(b));
    train(c, 4);
    assert_same_end(end, c);
    ck_assert_str_eq(ur_arrays_text(end, "epoch"), "7");
    ck_assert_str_eq(ur_arrays_text(end, "batch"), "2");
    ur_arrays_free(set);
    ur_arrays_free(end);
    close_training(a, through);
    close_training(b, first);
    close_training(c, second);
}

START_TEST(resumed_trainings_have_equal_bits)
{
    const ur_optim *optim = ur_optim_at((size_t)_i);
    for (int k = 0; k < 2 * 5; k++) {
        ur_dtype dtype = k % 2 ? UR_F64 : UR_F32;
        ur_train_options options = {.optim = optim,
                                    .rate = 0.037,
                                    .momentum = 0.8,
                                    .beta2 = 0.99,
                                    .schedule = (ur_schedule)(k / 2),
                                    .epochs = 9,
                                    .shuffle = k % 3 > 0,
                                    .seed = UINT64_MAX - 3,
                                    .clip_norm = 0.9,
                                    .clip_value = 0.3,
                                    .weight_decay = 0.001,
                                    .freeze = k % 4 == 1 ? "Wi,bo" : NULL};
        if (options.schedule == UR_PLATEAU)
            options.patience = 1;
        check_resume(dtype, small_options(), options);
        options.valid = 0.3;
        options.patience = options.schedule == UR_PLATEAU ? 1 : 50;
        check_resume(dtype, small_options(), options);
    }
}
END_TEST

/* With steps too small to be better, the rate is halved before and after the break. */
START_TEST(resumed_plateau)
{
    check_resume(UR_F64, small_options(),
                 (ur_train_options){.rate = 1e-30, .schedule = UR_PLATEAU, .patience = 1, .shuffle = true});
    check_resume(UR_F64, small_options(), (ur_train_options){.rate = 1e-30, .schedule = UR_PLATEAU, .patience = 2});
}
END_TEST

/* Dropout's masks go on too. */
START_TEST(resumed_dropout)
{
    ur_net_options shape = small_options();
    shape.cell = ur_cell_find("lstm");
    shape.layers = 2;
    shape.bidirectional = true;
    shape.dropout = 0.4;
    shape.recurrent_dropout = 0.2;
    shape.layer_norm = true;
    shape.seed = 6;
    ur_train_options options = {.optim = ur_optim_find("adam"), .rate = 0.01, .shuffle = true, .seed = 2, .valid = 0.3};
    check_resume(UR_F32, shape, options);
    check_resume(UR_F64, shape, options);
}
END_TEST

START_TEST(resumed_stateful_training)
{
    ur_net_options shape = small_options();
    shape.cell = ur_cell_find("slstm");
    shape.start = UR_START_GIVEN;
    shape.recurrent_dropout = 0.2;
    shape.layers = 2;
    shape.dropout = 0.3;
    shape.batch_norm = true;
    ur_train_options options = {
        .optim = ur_optim_find("adam"), .rate = 0.01, .shuffle = true, .seed = 2, .valid = 0.3, .stateful = true};
    check_resume(UR_F32, shape, options);
    check_resume(UR_F64, shape, options);
}
END_TEST

START_TEST(stopped_trainings_stay_stopped)
{
    sample s;
    fill_sample(&s);
    contradict(&s, 5);
    ur_train_options options = {.rate = 0.01, .valid = 0.29, .patience = 2};
    ur_net *net = new_net(2), *later = new_net(2);
    ur_trainer *a = new_trainer(net, &s.data, &options), *b = new_trainer(later, &s.data, &options);
    ur_score score;
    while (ur_trainer_epoch(a, &score) == UR_TRAINED)
        ck_assert_int_lt(ur_trainer_epochs(a), 500);
    ur_arrays *set = through_a_file(a);
    size_t n;
    ck_assert(ur_trainer_resume(b, set, "m", NULL));
    ck_assert_int_eq(ur_trainer_epoch(b, &score), UR_STOPPED);
    ck_assert_mem_eq(theta_of(net, &n), theta_of(later, &n), n * sizeof(double));
    ur_arrays_free(set);
    close_training(a, net);
    close_training(b, later);
}
END_TEST

/* A break before the stop, while the best parameters and averages are of the past. */
START_TEST(resumed_early_stopping)
{
    sample s;
    fill_sample(&s);
    contradict(&s, 5);
    ur_net *through = stopping_net(_i), *first = stopping_net(_i), *second = stopping_net(_i);
    ur_trainer *a = new_trainer(through, &s.data, &stopping), *b = new_trainer(first, &s.data, &stopping);
    ur_trainer *c = new_trainer(second, &s.data, &stopping);
    ur_error error = {{0}};
    ur_score score;
    while (ur_trainer_epoch(a, &score) == UR_TRAINED)
        ck_assert_int_lt(ur_trainer_epochs(a), 500);
    train(b, (int)ur_trainer_epochs(a) - 2);
    ur_arrays *set = through_a_file(b), *end = through_a_file(a);
    ck_assert_msg(ur_trainer_resume(c, set, "m", &error), "%s", error.text);
    ck_assert_ptr_null(ur_trainer_valid(c));
    train(c, 1);
    ck_assert_int_eq(ur_trainer_epoch(c, &score), UR_STOPPED);
    ck_assert_double_eq(ur_trainer_valid(c)->loss, ur_trainer_valid(a)->loss);
    assert_same_end(end, c);
    ck_assert(!_i == !ur_arrays_find(end, "optim.best.average.mean"));
    ur_arrays_free(set);
    ur_arrays_free(end);
    close_training(a, through);
    close_training(b, first);
    close_training(c, second);
}
END_TEST

/* With less patience than it had, a training stops before the next epoch, with the best parameters. */
START_TEST(resumed_with_less_patience)
{
    sample s;
    fill_sample(&s);
    contradict(&s, 5);
    ur_train_options less = stopping;
    less.patience = 1;
    ur_net *net = stopping_net(true), *other = stopping_net(true);
    ur_trainer *a = new_trainer(net, &s.data, &stopping), *b = new_trainer(other, &s.data, &less);
    ur_score score;
    while (ur_trainer_epoch(a, &score) == UR_TRAINED)
        ck_assert_int_lt(ur_trainer_epochs(a), 500);
    double best = ur_trainer_valid(a)->loss;
    int epochs = (int)ur_trainer_epochs(a) - 1;
    close_training(a, net);
    net = stopping_net(true);
    a = new_trainer(net, &s.data, &stopping);
    train(a, epochs);
    ur_arrays *set = through_a_file(a);
    ck_assert(ur_trainer_resume(b, set, "m", NULL));
    ck_assert_double_ne(validation_loss(other, &s.data), best);
    ck_assert_int_eq(ur_trainer_epoch(b, &score), UR_STOPPED);
    ck_assert_int_eq(ur_trainer_epochs(b), epochs);
    ck_assert_double_eq(validation_loss(other, &s.data), best);
    ck_assert_double_eq(ur_trainer_valid(b)->loss, best);
    ur_arrays_free(set);
    close_training(a, net);
    close_training(b, other);
}
END_TEST

/* eval takes the parameters and passes the rest over. */
START_TEST(training_state_is_no_parameter)
{
    sample s;
    fill_sample(&s);
    ur_net *net = new_net(3), *other = new_net(3);
    ur_train_options options = {.optim = ur_optim_find("adam"), .rate = 0.1, .valid = 0.3, .patience = 9};
    ur_trainer *trainer = new_trainer(net, &s.data, &options);
    train(trainer, 2);
    ur_arrays *set = through_a_file(trainer);
    size_t n;
    ur_net_options shape;
    ur_model model;
    ur_error error = {{0}};
    ck_assert(ur_arrays_find(set, "optim.m.Wh") && ur_arrays_find(set, "optim.v.bo") &&
              ur_arrays_find(set, "optim.best.Wo"));
    ck_assert(ur_params_init(other->tape, UR_ZEROS, 1));
    ck_assert_msg(ur_params_from_arrays(other->tape, set, "m", &error), "%s", error.text);
    ck_assert_mem_eq(theta_of(net, &n), theta_of(other, &n), n * sizeof(double));
    ck_assert_msg(ur_model_read(set, "m", &shape, &model, &error), "%s", error.text);
    ck_assert(model.epoch == 2 && model.batch == 3 && model.seed == 5 && strcmp(model.task, "reber") == 0);
    ur_arrays_free(set);
    close_training(trainer, net);
    ur_tape_free(other->tape);
}
END_TEST

/* A trainer that is refused is as it was. */
static void check_no_resume(const ur_arrays *set, const char *optim, const char *words)
{
    sample s;
    fill_sample(&s);
    ur_error error = {{0}};
    ur_net *net = new_net(3);
    ur_trainer *trainer = new_trainer(net, &s.data, &(ur_train_options){.optim = ur_optim_find(optim), .rate = 0.1});
    train(trainer, 1);
    ur_arrays *before = through_a_file(trainer);
    ck_assert(!ur_trainer_resume(trainer, set, "m.safetensors", &error));
    ck_assert_msg(strstr(error.text, "m.safetensors: ") && strstr(error.text, words), "'%s' was expected in '%s'",
                  words, error.text);
    ck_assert(!ur_trainer_resume(trainer, set, "m.safetensors", NULL));
    ur_arrays *after = through_a_file(trainer);
    assert_same_files(before, after);
    assert_same_files(after, before);
    ur_arrays_free(before);
    ur_arrays_free(after);
    close_training(trainer, net);
}

START_TEST(what_cannot_be_resumed)
{
    sample s;
    fill_sample(&s);
    ur_net *net = new_net(3);
    ur_error error = {{0}};
    ur_train_options options;
    ur_trainer *trainer =
        new_trainer(net, &s.data, &(ur_train_options){.optim = ur_optim_find("momentum"), .rate = 0.01});
    train(trainer, 7);
    ur_arrays *set = through_a_file(trainer), *plain = ur_arrays_new(NULL);
    ck_assert(ur_params_to_arrays(net->tape, plain, NULL));
    check_no_resume(plain, "gd", "holds no state of a training");
    check_no_resume(set, "adam", "was trained by momentum");
    check_no_resume(set, "rmsprop", "was trained by momentum");
    ck_assert(ur_arrays_set_text(set, "optim", "adam", NULL)); /* its states are not there */
    check_no_resume(set, "adam", "optim.m.Wi[2,3] is missing");
    ck_assert(ur_arrays_set_text(set, "waited", "-2", NULL));
    check_no_resume(set, "momentum", "'waited' in the metadata is '-2'");

    ck_assert(!ur_train_options_read(plain, "m", &options, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "have no 'optim'"));
    error.text[0] = 0;
    ck_assert(ur_arrays_set_text(set, "optim", "sophia", NULL));
    ck_assert(!ur_train_options_read(set, "m", &options, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "the optimiser 'sophia'"));
    error.text[0] = 0;
    ck_assert(ur_arrays_set_text(set, "lr", "fast", NULL));
    ck_assert(!ur_train_options_read(set, "m", &options, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "'lr' in the metadata is 'fast', a number was expected"));
    ur_arrays_free(plain);
    ur_arrays_free(set);
    close_training(trainer, net);
}
END_TEST

/* ---- initial values */

/* Variance, and bound of the uniform ones, against the papers' numbers; five standard errors. */
static void check_spread(ur_init rule, int64_t in, int64_t out, double variance, bool uniform)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(in, out)), b = ur_param(tape, "b", UR_SHAPE(out));
    ck_assert(ur_write(b, (size_t)out, (const double *)ur_leaf(W)) && ur_params_init(tape, rule, 4));
    const double *w = (const double *)ur_leaf(W);
    double n = (double)(in * out), mean = 0, square = 0, bound = sqrt(3 * variance);
    for (int64_t i = 0; i < in * out; i++) {
        mean += w[i] / n;
        square += w[i] * w[i] / n;
    }
    double most = largest((size_t)(in * out), w);
    ck_assert_double_eq_tol(mean, 0, 5 * sqrt(variance / n));
    ck_assert_double_eq_tol(square / variance, 1, 5 * sqrt((uniform ? 0.8 : 2) / n));
    ck_assert(uniform ? most < bound && most > bound * (1 - 20 / n) : most > 1.5 * bound);
    ck_assert(largest((size_t)out, (const double *)ur_leaf(b)) == 0);
    ur_tape_free(tape);
}

START_TEST(initial_variances)
{
    check_spread(UR_HE_UNIFORM, 50, 300, 2.0 / 50, true);
    check_spread(UR_HE_NORMAL, 50, 300, 2.0 / 50, false);
    check_spread(UR_LECUN_UNIFORM, 50, 300, 1.0 / 50, true);
    check_spread(UR_LECUN_NORMAL, 50, 300, 1.0 / 50, false);
    check_spread(UR_GLOROT_UNIFORM, 50, 300, 2.0 / 350, true);
    check_spread(UR_GLOROT_NORMAL, 50, 300, 2.0 / 350, false);
    check_spread(UR_GLOROT, 300, 50, 2.0 / 350, true);
}
END_TEST

/* Q'Q = 1 where there are not more columns than rows, QQ' = 1 where there are not fewer; every matrix of a row of them. */
static void check_orthogonal(ur_dtype dtype, int64_t blocks, int64_t rows, int64_t columns, double tolerance)
{
    enum { LARGE = 100 * 100 };
    static double q[LARGE];
    ur_tape *tape = new_tape(dtype);
    ur_var W = ur_param(tape, "W", blocks > 1 ? UR_SHAPE(blocks, rows, columns) : UR_SHAPE(rows, columns));
    ck_assert(ur_params_init(tape, UR_ORTHOGONAL, 9));
    for (int64_t i = 0; i < blocks * rows * columns; i++)
        q[i] = dtype == UR_F32 ? (double)((const float *)ur_leaf(W))[i] : ((const double *)ur_leaf(W))[i];
    for (const double *m = q; m < q + blocks * rows * columns; m += rows * columns) {
        bool tall = rows >= columns;
        int64_t vectors = tall ? columns : rows, length = tall ? rows : columns;
        for (int64_t a = 0; a < vectors; a++)
            for (int64_t b = 0; b < vectors; b++) {
                double sum = 0;
                for (int64_t i = 0; i < length; i++)
                    sum += tall ? m[i * columns + a] * m[i * columns + b] : m[a * columns + i] * m[b * columns + i];
                ck_assert_double_eq_tol(sum, a == b, tolerance);
            }
    }
    if (blocks > 1)
        ck_assert_double_gt(distance((size_t)(rows * columns), q, q + rows * columns), 0.01);
    ur_tape_free(tape);
}

START_TEST(orthogonal_matrices)
{
    check_orthogonal(UR_F64, 1, 100, 100, 3e-15);
    check_orthogonal(UR_F64, 1, 40, 7, 1e-14);
    check_orthogonal(UR_F64, 1, 7, 40, 1e-14);
    check_orthogonal(UR_F64, 2, 12, 12, 1e-14);
    check_orthogonal(UR_F64, 1, 1, 1, 1e-14);
    check_orthogonal(UR_F32, 1, 30, 30, 1e-6);
}
END_TEST

/* Signs and places are fair: over many seeds the mean of each element of a 2 x 2 matrix is 0, its variance 1/2. */
START_TEST(orthogonal_matrices_are_fair)
{
    enum { DRAWS = 4000 };
    double mean[4] = {0}, square[4] = {0};
    ur_tape *tape = new_tape(UR_F64);
    const double *w = (const double *)ur_leaf(ur_param(tape, "W", UR_SHAPE(2, 2)));
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        ck_assert(ur_params_init(tape, UR_ORTHOGONAL, seed));
        for (int i = 0; i < 4; i++) {
            mean[i] += w[i] / DRAWS;
            square[i] += w[i] * w[i] / DRAWS;
        }
    }
    for (int i = 0; i < 4; i++) {
        ck_assert_double_eq_tol(mean[i], 0, 5 * sqrt(0.5 / DRAWS));
        ck_assert_double_eq_tol(square[i], 0.5, 5 * sqrt(0.125 / DRAWS));
    }
    ur_tape_free(tape);
}
END_TEST

START_TEST(rules_have_names)
{
    static const struct {
        const char *name;
        ur_init rule;
    } rules[] = {{"glorot_uniform", UR_GLOROT_UNIFORM},
                 {"glorot_normal", UR_GLOROT_NORMAL},
                 {"he_uniform", UR_HE_UNIFORM},
                 {"he_normal", UR_HE_NORMAL},
                 {"lecun_uniform", UR_LECUN_UNIFORM},
                 {"lecun_normal", UR_LECUN_NORMAL},
                 {"orthogonal", UR_ORTHOGONAL},
                 {"zeros", UR_ZEROS},
                 {"glorot", UR_GLOROT}};
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
        ck_assert_str_eq(ur_init_names[rules[k].rule], rules[k].name);
    ck_assert_ptr_null(ur_init_names[9]);
    ck_assert_str_eq(ur_schedule_names[UR_STEPS], "step");
    ck_assert_str_eq(ur_schedule_names[UR_PLATEAU], "plateau");
    ck_assert_ptr_null(ur_schedule_names[5]);
}
END_TEST

/* The forget gates' biases of two layers, in both directions, and nothing else; a gain is 1 by itself. */
START_TEST(one_name_for_many_parameters)
{
    ur_net_options shape = small_options();
    shape.cell = ur_cell_find("lstm");
    shape.layers = 2;
    shape.bidirectional = true;
    shape.layer_norm = true;
    for (int dtype = UR_F32; dtype <= UR_F64; dtype++) {
        ur_net *net = net_of((ur_dtype)dtype, shape, 1), *before = net_of((ur_dtype)dtype, shape, 1);
        ck_assert(ur_params_fill(net->tape, "bphi", 1.5) && ur_params_fill(net->tape, "layer1.bu", -2));
        const char *name;
        ur_var param, old;
        int forget = 0, gains = 0;
        for (size_t k = 0; ur_param_at(net->tape, k, &param, &name, NULL); k++) {
            ur_node node;
            ck_assert(ur_look(param, &node) && ur_param_at(before->tape, k, &old, NULL, NULL));
            size_t count = ur_shape_count(node.shape), bytes = count * ur_dtype_bytes((ur_dtype)dtype);
            bool is_forget = strstr(name, "bphi") != NULL, is_one = strcmp(name, "layer1.bu") == 0;
            bool is_gain = strstr(name, "gamma") != NULL;
            double first =
                dtype == UR_F32 ? (double)((float *)ur_leaf(param))[count - 1] : ((double *)ur_leaf(param))[count - 1];
            forget += is_forget;
            gains += is_gain;
            if (is_forget || is_one)
                ck_assert(first == (is_one ? -2 : 1.5));
            else
                ck_assert_mem_eq(ur_leaf(param), ur_leaf(old), bytes);
            ck_assert(!is_gain || first == 1);
        }
        ck_assert_int_eq(forget, 4);
        ck_assert_int_gt(gains, 0);
        ck_assert(!ur_params_fill(net->tape, "phi", 1));
        ck_assert_str_eq(ur_tape_error(net->tape), "phi: no parameter has this name");
        ur_tape_free(net->tape);
        ur_tape_free(before->tape);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optim");
    TCase *cases = tcase_create("optim");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, optimisers_are_found);
    tcase_add_loop_test(cases, first_steps_on_a_quadratic, 0, 7);
    tcase_add_loop_test(cases, first_steps_of_a_network, 0, 7);
    tcase_add_test(cases, many_parameters);
    tcase_add_test(cases, clipping_by_norm);
    tcase_add_test(cases, clipping_by_value);
    tcase_add_test(cases, clipping_of_a_huge_gradient);
    tcase_add_test(cases, not_a_number);
    tcase_add_test(cases, schedules_in_closed_form);
    tcase_add_test(cases, epochs_follow_the_schedule);
    tcase_add_test(cases, plateaus_halve_the_rate);
    tcase_add_test(cases, frozen_parameters_stay);
    tcase_add_test(cases, the_others_take_the_same_step);
    tcase_add_test(cases, frozen_gradients_count_for_no_norm);
    tcase_add_test(cases, wrong_options_are_named);
    tcase_add_test(cases, shuffling_is_a_permutation);
    tcase_add_test(cases, shuffling_is_fair);
    tcase_add_test(cases, batches_of_shuffled_sequences);
    tcase_add_test(cases, ordered_data);
    tcase_add_test(cases, dropout_while_training);
    tcase_add_loop_test(cases, windows_follow_one_another, 0, STORIES);
    tcase_add_test(cases, a_long_window_is_no_window);
    tcase_add_loop_test(cases, windows_show_the_whole, 0, STORIES);
    tcase_add_test(cases, windows_until_zero_errors);
    tcase_add_test(cases, ended_batches_take_no_steps);
    tcase_add_test(cases, what_has_no_windows);
    tcase_add_test(cases, early_stopping_restores_the_best);
    tcase_add_loop_test(cases, a_stopped_network_has_the_best_loss, 0, 2);
    tcase_add_loop_test(cases, resumed_early_stopping, 0, 2);
    tcase_add_test(cases, resumed_with_less_patience);
    tcase_add_loop_test(cases, resumed_trainings_have_equal_bits, 0, 7);
    tcase_add_test(cases, resumed_plateau);
    tcase_add_test(cases, resumed_dropout);
    tcase_add_test(cases, resumed_stateful_training);
    tcase_add_test(cases, stopped_trainings_stay_stopped);
    tcase_add_test(cases, training_state_is_no_parameter);
    tcase_add_test(cases, what_cannot_be_resumed);
    tcase_add_test(cases, initial_variances);
    tcase_add_test(cases, orthogonal_matrices);
    tcase_add_test(cases, orthogonal_matrices_are_fair);
    tcase_add_test(cases, rules_have_names);
    tcase_add_test(cases, one_name_for_many_parameters);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
