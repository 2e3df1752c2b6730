/* test_layers_dropout.c - dropout between layers and in the recurrence: its masks belong to training step and
 * sequence, not to columns, are gone in evaluation, and are read off networks that do nothing else. */
#include "cell_nets.h"
#include "every_cell.h"

/* What a network gives at step t [outputs,B], for a training step and numbers of the sequences. */
static void run_dropout(const machine *m, double training, const double *numbers, double o[T][COLUMNS])
{
    ck_assert(ur_write(m->net->training, 1, &training) && ur_write(m->net->sequences, BATCH, numbers));
    run_machine(m);
    for (int t = 0; t < T; t++)
        ck_assert(ur_read(m->plan, m->net->o[t], COLUMNS, o[t]));
}

/* The same sequence in every column. */
static machine dropout_machine(const ur_net_options *options, uint64_t seed)
{
    static const int64_t full[BATCH] = {T, T, T, T};
    double theta[MANY];
    machine m = new_machine(options, UR_F64, T, NULL);
    plan_machine(&m, false, false);
    random_theta(seed, theta, MANY);
    write_params(m.tape, theta);
    sequences q = random_sequences(3, M);
    for (int n = 0; n < BATCH; n++) {
        memcpy(q.x[n], q.x[0], sizeof q.x[n]);
        memcpy(&q.y[0][0][0] + (size_t)n * T * M, &q.y[0][0][0], sizeof(double[T][M]));
    }
    memcpy(q.length, full, sizeof full);
    bind(&m, &q, T, M);
    return m;
}

/* Between layers and recurrent: a function of the training step and the sequence's number, not of its column. */
START_TEST(dropout)
{
    const ur_cell *cell = cell_number(_i);
    bool recurrent = _i >= count_cells();
    if (cell->back || (recurrent && !cell->recurrent))
        return;
    ur_net_options options = {.cell = cell,
                              .inputs = D,
                              .hidden = M,
                              .heads = 2,
                              .layers = 2,
                              .loss = UR_MSE,
                              .dropout = recurrent ? 0 : 0.3,
                              .recurrent_dropout = recurrent ? 0.3 : 0};
    ur_net_options without = options;
    without.dropout = without.recurrent_dropout = 0;
    machine m = dropout_machine(&options, 17), plain = dropout_machine(&without, 17);
    double o[T][COLUMNS], again[T][COLUMNS], moved[T][COLUMNS], none[T][COLUMNS];
    run_dropout(&m, 5, in_order, o);
    run_dropout(&m, 6, in_order, moved);
    ck_assert_double_gt(distance((size_t)T * COLUMNS, &o[0][0], &moved[0][0]), 1e-3);
    run_dropout(&m, 5, in_order, again);
    ck_assert_mem_eq(o, again, sizeof o);
    run_dropout(&m, 5, permuted, moved);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < M; i++)
            for (int n = 0; n < BATCH; n++)
                ck_assert_double_eq(moved[t][i * BATCH + n], o[t][i * BATCH + (int)permuted[n]]);
    ck_assert_double_gt(fabs(o[T - 1][0] - o[T - 1][1]), 1e-6); /* two sequences, two masks */
    run_dropout(&m, -1, in_order, o);
    run_machine(&plain);
    for (int t = 0; t < T; t++)
        ck_assert(ur_read(plain.plan, plain.net->o[t], COLUMNS, none[t]));
    /* every mask is p/p = 1; the plans differ by the products with it, so sums may be rounded at another place */
    ck_assert_double_lt(distance((size_t)T * COLUMNS, &o[0][0], &none[0][0]), 1e-15);
    free_machine(&m);
    free_machine(&plain);
}
END_TEST

/* The masks themselves, read off an identity network: h_t = h_{t-1} * mask + x_t with Wh = 1, or layer 1 on layer 0. */
START_TEST(masks_of_dropout)
{
    enum { MANY_UNITS = 40, MANY_COLUMNS = 50, ELEMENTS = MANY_UNITS * MANY_COLUMNS };
    bool recurrent = _i;
    ur_net_options options = {.cell = ur_cell_find(recurrent ? "rnn" : "mlp"),
                              .inputs = MANY_UNITS,
                              .hidden = MANY_UNITS,
                              .layers = recurrent ? 1 : 2,
                              .hidden_activation = UR_IDENTITY,
                              .dropout = recurrent ? 0 : 0.2,
                              .recurrent_dropout = recurrent ? 0.2 : 0};
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, &options, 3, MANY_COLUMNS);
    ur_plan *plan = net ? ur_plan_new(tape, &(ur_plan_options){.roots = 3, .root = net->o}) : NULL;
    assert_good(tape, "masks");
    static double o[3][ELEMENTS];
    double numbers[MANY_COLUMNS], training = 1, mean = 0, alike = 0;
    for (int n = 0; n < MANY_COLUMNS; n++)
        numbers[n] = 100 + n;
    ck_assert(ur_write(net->sequences, MANY_COLUMNS, numbers) && ur_write(net->training, 1, &training));
    ur_var param;
    for (size_t k = 0; ur_param_at(tape, k, &param, NULL, NULL); k++)
        for (int i = 0; count_of(param) > MANY_UNITS && i < MANY_UNITS; i++)
            ((double *)ur_leaf(param))[i * MANY_UNITS + i] = 1;
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < ELEMENTS; i++) {
            ((double *)ur_leaf(net->x[t]))[i] = recurrent && t > 0 ? 0 : 1;
            ((double *)ur_leaf(net->alive[t]))[i % MANY_COLUMNS] = 1;
        }
    ck_assert(ur_plan_run(plan));
    for (int t = 0; t < 3; t++)
        ck_assert(ur_read(plan, net->o[t], ELEMENTS, o[t]));
    for (int i = 0; i < ELEMENTS; i++) {
        double mask = o[1][i];
        ck_assert(mask == 0 || fabs(mask - 1.25) < 1e-15);
        mean += mask / (ELEMENTS);
        alike += (recurrent ? fabs(o[2][i] - mask * mask) < 1e-15 : o[2][i] == mask) / (double)(ELEMENTS);
    }
    ck_assert_double_eq_tol(mean, 1, 0.05); /* four and a half standard deviations */
    if (recurrent)
        ck_assert_double_eq_tol(alike, 1, 1e-12); /* one mask for the sequence */
    else
        ck_assert_double_eq_tol(alike, 0.68, 0.05); /* 0.8^2 + 0.2^2: another one at every step */
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* The two recurrent masks of a network whose start is 1 and that returns what its weights read. */
static void masks_read(int64_t steps, double o[BOTH * BATCH])
{
    ur_net_options options = {.cell = ur_cell_find("rnn"),
                              .inputs = D,
                              .hidden = M,
                              .hidden_activation = UR_IDENTITY,
                              .bidirectional = true,
                              .start = UR_START_GIVEN,
                              .recurrent_dropout = 0.5};
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, &options, steps, BATCH);
    ur_plan *plan = net ? ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = net->o}) : NULL;
    double training = 3, ones[COLUMNS];
    assert_good(tape, "masks");
    for (int i = 0; i < COLUMNS; i++)
        ones[i] = 1;
    ck_assert(ur_write(net->sequences, BATCH, in_order) && ur_write(net->training, 1, &training));
    ck_assert(ur_write(net->alive[0], BATCH, ones));
    for (size_t k = 0; k < net->states; k++) {
        double *Wh = (double *)ur_leaf(ur_find(tape, k ? "back.Wh" : "Wh", 0));
        ck_assert(Wh && ur_write(net->state[k].start, COLUMNS, ones));
        for (int i = 0; i < M; i++)
            Wh[i * M + i] = 1;
    }
    ck_assert(ur_plan_run(plan) && ur_read(plan, net->o[0], (size_t)BOTH * BATCH, o));
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* Each direction has its own mask, which does not depend on how many steps are recorded. */
START_TEST(masks_of_directions)
{
    double one[BOTH * BATCH], more[BOTH * BATCH], difference = 0;
    masks_read(1, one);
    masks_read(5, more);
    ck_assert_mem_eq(one, more, sizeof one);
    for (int i = 0; i < COLUMNS; i++) {
        ck_assert(one[i] == 0 || one[i] == 2);
        difference += fabs(one[i] - one[i + COLUMNS]);
    }
    ck_assert_double_gt(difference, 4);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("layers dropout");
    tcase_add_loop_test(cases, dropout, 0, 2 * count_cells());
    tcase_add_loop_test(cases, masks_of_dropout, 0, 2);
    tcase_add_test(cases, masks_of_directions);
    return run_cases(suite_create("layers dropout"), cases);
}
