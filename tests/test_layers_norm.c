/* test_layers_norm.c - layer and batch normalisation against mean and variance by hand, of the same network without
 * them; the averages that evaluation takes, and batches of which little or nothing is alive. */
#include "cell_nets.h"

/* gamma * (h - mean)/sqrt(variance + 1e-5) + beta over the units of each column. */
START_TEST(layer_norm_by_hand)
{
    ur_net_options options = options_of(&setups[2]), without = options;
    options.layer_norm = true;
    machine m = new_machine(&options, UR_F64, T, NULL), plain = new_machine(&without, UR_F64, T, NULL);
    double theta[ROOM];
    random_theta(21, theta, ROOM);
    write_params(m.tape, theta);
    ur_params_copy(plain.tape, m.tape);
    sequences q = random_sequences(23, M);
    bind(&m, &q, T, M);
    bind(&plain, &q, T, M);
    plan_machine(&m, false, false);
    plan_machine(&plain, false, false);
    run_machine(&m);
    run_machine(&plain);
    const double *gamma = (const double *)ur_leaf(ur_find(m.tape, "gamma", 0));
    const double *beta = (const double *)ur_leaf(ur_find(m.tape, "beta", 0));
    for (int n = 0; n < BATCH; n++)
        for (int t = 0; t < q.length[n]; t++) {
            double h[WIDE], found[WIDE], mean = 0, variance = 0;
            read_column(&plain, plain.net->o[t], n, h);
            read_column(&m, m.net->o[t], n, found);
            for (int i = 0; i < M; i++)
                mean += h[i] / M;
            for (int i = 0; i < M; i++)
                variance += (h[i] - mean) * (h[i] - mean) / M;
            for (int i = 0; i < M; i++)
                h[i] = gamma[i] * (h[i] - mean) / sqrt(variance + 1e-5) + beta[i];
            assert_near("layer norm", t + 1, M, found, h, 1e-12);
        }
    free_machine(&m);
    free_machine(&plain);
}
END_TEST

/* The columns' values of a unit at one step, in training: normalised over those that are alive. */
typedef struct statistics {
    double count, sum[M], scatter[M];
} statistics;

static statistics statistics_of(const machine *plain, const sequences *q, int t)
{
    statistics s = {0};
    double h[BATCH][WIDE] = {{0}};
    for (int n = 0; n < BATCH; n++) {
        read_column(plain, plain->net->o[t], n, h[n]);
        s.count += t < q->length[n];
        for (int i = 0; i < M; i++)
            s.sum[i] += t < q->length[n] ? h[n][i] : 0;
    }
    for (int n = 0; n < BATCH; n++)
        for (int i = 0; i < M && t < q->length[n]; i++)
            s.scatter[i] += pow(h[n][i] - s.sum[i] / s.count, 2);
    return s;
}

/* o at every alive position, from the plain network's h and the mean and variance that count there. */
static void compare_normalised(const machine *m, const machine *plain, const sequences *q, const double *mean,
                               const double *variance)
{
    const double *gamma = (const double *)ur_leaf(ur_find(m->tape, "gamma", 0));
    const double *beta = (const double *)ur_leaf(ur_find(m->tape, "beta", 0));
    for (int t = 0; t < T; t++) {
        statistics s = statistics_of(plain, q, t);
        for (int n = 0; n < BATCH; n++) {
            double h[WIDE], found[WIDE];
            read_column(plain, plain->net->o[t], n, h);
            read_column(m, m->net->o[t], n, found);
            for (int i = 0; i < M; i++) {
                double own_mean = mean ? mean[i] : s.sum[i] / s.count;
                double own_variance = variance ? variance[i] : s.scatter[i] / s.count;
                h[i] = gamma[i] * (h[i] - own_mean) / sqrt(own_variance + 1e-5) + beta[i];
            }
            if (t < q->length[n])
                assert_near("batch norm", t + 1, M, found, h, 1e-10);
            else
                ck_assert_double_eq(largest(M, found), 0);
        }
    }
}

static void run_as(const machine *m, double training)
{
    ck_assert(ur_write(m->net->training, 1, &training));
    run_machine(m);
}

START_TEST(batch_norm_by_hand)
{
    ur_net_options options = options_of(&setups[2]), without = options;
    options.batch_norm = true;
    machine m = new_machine(&options, UR_F64, T, NULL), plain = new_machine(&without, UR_F64, T, NULL);
    double theta[ROOM], mean[M] = {0}, variance[M] = {1, 1, 1, 1, 1, 1};
    random_theta(21, theta, ROOM);
    write_params(m.tape, theta);
    ck_assert(ur_params_copy(plain.tape, m.tape) && ur_net_track(m.net));
    ck_assert_uint_eq(m.net->averages, 2);
    ck_assert_str_eq(m.net->average[0].name, "mean");
    ck_assert_str_eq(m.net->average[1].name, "variance");
    plan_machine(&m, false, false);
    plan_machine(&plain, false, false);
    for (int round = 0; round < 3; round++) {
        statistics all = {0};
        sequences q = random_sequences(40 + (uint64_t)round, M);
        bind(&m, &q, T, M);
        bind(&plain, &q, T, M);
        run_machine(&plain);
        run_as(&m, round);
        compare_normalised(&m, &plain, &q, NULL, NULL);
        for (int t = 0; t < T; t++) {
            statistics s = statistics_of(&plain, &q, t);
            all.count += s.count;
            for (int i = 0; i < M; i++) {
                all.sum[i] += s.sum[i];
                all.scatter[i] += s.scatter[i];
            }
        }
        for (int i = 0; i < M; i++) {
            mean[i] = 0.9 * mean[i] + 0.1 * all.sum[i] / all.count;
            variance[i] = 0.9 * variance[i] + 0.1 * all.scatter[i] / all.count;
        }
        for (int again = 0; again < 2; again++) { /* evaluation moves nothing */
            run_as(&m, -1);
            assert_near("mean", round, M, (double *)ur_leaf(m.net->average[0].leaf), mean, 1e-13);
            assert_near("variance", round, M, (double *)ur_leaf(m.net->average[1].leaf), variance, 1e-13);
            compare_normalised(&m, &plain, &q, mean, variance);
        }
    }
    free_machine(&m);
    free_machine(&plain);
}
END_TEST

/* No position is alive: the averages stay, and nothing is NaN. */
START_TEST(batch_norm_of_nothing)
{
    ur_net_options options = options_of(&setups[2]);
    options.batch_norm = true;
    machine m = new_machine(&options, UR_F64, T, NULL);
    double theta[ROOM];
    random_theta(21, theta, ROOM);
    write_params(m.tape, theta);
    ck_assert(ur_net_track(m.net));
    plan_machine(&m, false, true);
    run_as(&m, 0);
    ck_assert_double_eq(largest(M, (double *)ur_leaf(m.net->average[0].leaf)), 0);
    ck_assert_double_eq(((double *)ur_leaf(m.net->average[1].leaf))[2], 1);
    free_machine(&m);
}
END_TEST

/* Of one alive column the variance is 0, and what another column shows beside it is some 300 times as much behind every
 * layer: f32 has no room for it. It counts for nothing. */
START_TEST(batch_norm_beside_dead_columns)
{
    enum { STEPS_HERE = 2, LAYERS = 24 };
    double x[2 * STEPS_HERE] = {1, 2, 3, NAN}, y[2 * STEPS_HERE] = {0};
    ur_data data = {
        .n = 2, .steps = STEPS_HERE, .inputs = 1, .outputs = 1, .x = x, .y = y, .lengths = (int64_t[]){2, 1}};
    ur_net_options options = {.cell = ur_cell_find("mlp"),
                              .inputs = 1,
                              .hidden = 1,
                              .layers = LAYERS,
                              .hidden_activation = UR_IDENTITY,
                              .batch_norm = true,
                              .loss = UR_MSE};
    machine m = new_machine(&options, UR_F32, STEPS_HERE, NULL);
    double ones[ROOM], slope, training = 0;
    for (int i = 0; i < ROOM; i++)
        ones[i] = 1;
    write_params(m.tape, ones);
    plan_machine(&m, _i, false);
    ck_assert(ur_net_bind(m.net, &data, 0, 2) && ur_write(m.net->training, 1, &training) && ur_plan_run(m.plan));
    for (size_t k = 0; k < m.net->params; k++) {
        ck_assert(ur_read(m.plan, m.gradient[k], 1, &slope));
        ck_assert_msg(isfinite(slope), "gradient %zu is %g", k, slope);
    }
    free_machine(&m);
}
END_TEST

/* A bias before batch normalisation shifts every column alike: its gradient is 0 by mathematics. */
START_TEST(bias_before_batch_norm)
{
    ur_net_options options = {.cell = ur_cell_find(_i ? "rnn" : "mlp"),
                              .inputs = D,
                              .hidden = M,
                              .hidden_activation = UR_IDENTITY,
                              .batch_norm = true,
                              .loss = UR_MSE};
    machine m = new_machine(&options, UR_F64, T, NULL);
    double theta[ROOM], bias[M], weights[M * M];
    random_theta(3, theta, ROOM);
    write_params(m.tape, theta);
    sequences q = random_sequences(3, M);
    bind(&m, &q, T, M);
    plan_machine(&m, false, false);
    run_as(&m, 0);
    ck_assert(ur_read(m.plan, gradient_of(&m, "bh"), M, bias));
    ck_assert(ur_read(m.plan, gradient_of(&m, "Wi"), INPUT, weights));
    ck_assert_double_gt(largest(INPUT, weights), 1e-2);
    ck_assert_double_le(largest(M, bias), 1e-13 * largest(INPUT, weights));
    free_machine(&m);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("layers norm");
    tcase_add_test(cases, layer_norm_by_hand);
    tcase_add_test(cases, batch_norm_by_hand);
    tcase_add_test(cases, batch_norm_of_nothing);
    tcase_add_loop_test(cases, batch_norm_beside_dead_columns, 0, 2);
    tcase_add_loop_test(cases, bias_before_batch_norm, 0, 2);
    return run_cases(suite_create("layers norm"), cases);
}
