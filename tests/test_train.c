/* test_train.c - gradient descent against loops by hand, epoch by epoch: full batches and smaller ones, training
 * until no error is left, and what is not finite, which changes nothing. */
#include "net_by_hand.h"

/* ---- gradient descent */

/* A linear problem: o = Wo^T (Wi^T x + bh) + bo with squared errors, trained by hand. */
enum { LN = 5, LT = 2, LD = 2, LM = 2, LP = 2 };

typedef struct linear {
    double Wi[LD][LM], bh[LM], Wo[LM][LP], bo[LP];
} linear;

typedef struct linear_data {
    double x[LN][LT][LD], y[LN][LT][LP];
    int64_t lengths[LN];
    ur_data data;
} linear_data;

static void fill_linear(linear_data *l, linear *theta)
{
    static const int64_t lengths[LN] = {2, 1, 2, 0, 1};
    uint64_t seed = 77;
    for (int n = 0; n < LN; n++)
        for (int t = 0; t < LT; t++)
            for (int i = 0; i < LD; i++) {
                l->x[n][t][i] = draw(&seed);
                l->y[n][t][i] = draw(&seed);
            }
    memcpy(l->lengths, lengths, sizeof lengths);
    l->data = (ur_data){.n = LN,
                        .steps = LT,
                        .inputs = LD,
                        .outputs = LP,
                        .x = &l->x[0][0][0],
                        .y = &l->y[0][0][0],
                        .lengths = l->lengths};
    for (size_t i = 0; i < sizeof *theta / sizeof(double); i++)
        ((double *)theta)[i] = draw(&seed);
}

/* One step on sequences first ... first + count - 1; returns their summed loss. */
static double descend_by_hand(const linear_data *l, int first, int count, double rate, double factor, linear *theta)
{
    linear g = {0};
    double loss = 0;
    for (int n = first; n < first + count; n++)
        for (int t = 0; t < l->lengths[n]; t++) {
            double h[LM], e[LP];
            for (int i = 0; i < LM; i++)
                h[i] = theta->bh[i] + theta->Wi[0][i] * l->x[n][t][0] + theta->Wi[1][i] * l->x[n][t][1];
            for (int i = 0; i < LP; i++) {
                e[i] = theta->bo[i] + theta->Wo[0][i] * h[0] + theta->Wo[1][i] * h[1] - l->y[n][t][i];
                loss += 0.5 * e[i] * e[i];
                g.bo[i] += e[i];
            }
            for (int i = 0; i < LM; i++) {
                double back = theta->Wo[i][0] * e[0] + theta->Wo[i][1] * e[1];
                g.bh[i] += back;
                for (int j = 0; j < 2; j++) {
                    g.Wo[i][j] += h[i] * e[j];
                    g.Wi[j][i] += l->x[n][t][j] * back;
                }
            }
        }
    for (size_t i = 0; i < sizeof g / sizeof(double); i++)
        ((double *)theta)[i] -= rate * factor * ((const double *)&g)[i];
    return loss;
}

static ur_net *linear_net(ur_dtype dtype, ur_reduction reduction, int batch, const linear *theta)
{
    ur_net_options o = {.cell = ur_cell_find("mlp"),
                        .inputs = LD,
                        .hidden = LM,
                        .outputs = LP,
                        .hidden_activation = UR_IDENTITY,
                        .out = UR_IDENTITY,
                        .loss = UR_MSE,
                        .reduction = reduction};
    ur_net *net = new_net(dtype, &o, LT, batch);
    ck_assert(ur_write(ur_find(net->tape, "Wi", 0), (size_t)LD * LM, &theta->Wi[0][0]));
    ck_assert(ur_write(ur_find(net->tape, "bh", 0), LM, theta->bh));
    ck_assert(ur_write(ur_find(net->tape, "Wo", 0), (size_t)LM * LP, &theta->Wo[0][0]));
    ck_assert(ur_write(ur_find(net->tape, "bo", 0), LP, theta->bo));
    return net;
}

/* Parameters are declared in the order of the struct. */
static void assert_theta(ur_net *net, const linear *theta, double tolerance)
{
    size_t count;
    const void *found = ur_params(net->tape, &count);
    ck_assert_uint_eq(count, sizeof *theta / sizeof(double));
    for (size_t i = 0; i < count; i++)
        assert_close("theta",
                     ur_tape_dtype(net->tape) == UR_F32 ? (double)((const float *)found)[i]
                                                        : ((const double *)found)[i],
                     ((const double *)theta)[i], tolerance);
}

static double batch_factor(const linear_data *l, ur_reduction reduction, int first, int count)
{
    double positions = 0;
    for (int n = first; n < first + count; n++)
        positions += (double)l->lengths[n];
    return reduction == UR_SUM_ALL        ? 1
           : reduction == UR_PER_SEQUENCE ? 1 / (double)count
           : positions > 0                ? 1 / (positions * LP)
                                          : 0;
}

/* Full batch and smaller ones, the last of which is ragged; the epoch's loss is that of all sequences. */
static void check_descent(ur_dtype dtype, ur_reduction reduction, int batch, double tolerance)
{
    static const double rate = 0.05;
    linear_data l;
    linear theta;
    fill_linear(&l, &theta);
    ur_net *net = linear_net(dtype, reduction, batch, &theta);
    ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = rate});
    ck_assert_msg(trainer != NULL, "%s", ur_tape_error(net->tape));
    for (int epoch = 0; epoch < 20; epoch++) {
        ur_score score = {0};
        double loss = 0;
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_TRAINED);
        for (int first = 0; first < LN; first += batch) {
            int count = LN - first < batch ? LN - first : batch;
            loss += descend_by_hand(&l, first, count, rate, batch_factor(&l, reduction, first, count), &theta);
        }
        assert_close("loss", score.loss, loss * batch_factor(&l, reduction, 0, LN), tolerance);
        assert_theta(net, &theta, tolerance);
        ck_assert_int_eq(score.sequences, LN);
        ck_assert_int_eq(score.positions, 6);
    }
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

START_TEST(descent_by_hand)
{
    for (int r = UR_SUM_ALL; r <= UR_MEAN_ALL; r++)
        for (int batch = 1; batch <= LN + 2; batch++) {
            check_descent(UR_F64, (ur_reduction)r, batch, 1e-12);
            check_descent(UR_F32, (ur_reduction)r, batch, 1e-5);
        }
}
END_TEST

/* Looking at other data between two epochs does not change what is trained on. */
START_TEST(evaluation_between_epochs)
{
    for (int batch = 2; batch <= LN; batch += 3) {
        linear_data l, other;
        linear theta;
        fill_linear(&l, &theta);
        fill_linear(&other, &theta);
        for (int i = 0; i < LN * LT * LD; i++)
            (&other.x[0][0][0])[i] *= -3;
        ur_net *net = linear_net(UR_F64, UR_PER_SEQUENCE, batch, &theta);
        ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = 0.1});
        for (int epoch = 0; epoch < 3; epoch++) {
            ur_score score = {0}, seen = {0};
            ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_TRAINED);
            for (int first = 0; first < LN; first += batch) {
                int count = LN - first < batch ? LN - first : batch;
                descend_by_hand(&l, first, count, 0.1, 1 / (double)count, &theta);
            }
            assert_theta(net, &theta, 1e-12);
            ck_assert(ur_net_evaluate(net, &other.data, &seen));
        }
        ur_trainer_free(trainer);
        ur_tape_free(net->tape);
    }
}
END_TEST

/* ---- until no error is left */

/* Two inputs, two classes on either side of a line; each sequence one step. The errors by hand of o = sigmoid(net). */
enum { CN = 12 };

static int errors_of(const double *theta, double x[CN][2], const double *y)
{
    int wrong = 0;
    for (int n = 0; n < CN; n++) { /* theta: Wi [2,1], bh, Wo [1,1], bo */
        double h = tanh(theta[0] * x[n][0] + theta[1] * x[n][1] + theta[2]), net = theta[3] * h + theta[4];
        wrong += (net >= 0) != (y[n] > 0.5);
    }
    return wrong;
}

static void check_until(int batch)
{
    double x[CN][2], y[CN], before[5];
    uint64_t seed = 5;
    for (int n = 0; n < CN; n++) {
        y[n] = n % 2;
        x[n][0] = draw(&seed) + (n % 2 ? 1.2 : -1.2);
        x[n][1] = draw(&seed);
    }
    ur_data data = {.n = CN, .steps = 1, .inputs = 2, .outputs = 1, .x = &x[0][0], .y = y};
    ur_net_options o = {.cell = ur_cell_find("mlp"),
                        .inputs = 2,
                        .hidden = 1,
                        .outputs = 1,
                        .out = UR_SIGMOID,
                        .loss = UR_BCE,
                        .reduction = UR_MEAN_ALL};
    ur_net *net = new_net(UR_F64, &o, 1, batch);
    size_t count;
    double *theta = (double *)ur_params(net->tape, &count);
    ck_assert_uint_eq(count, 5);
    memcpy(theta, (const double[]){-0.3, 0.9, 0.2, 0.4, -0.3}, sizeof before);
    ur_trainer *trainer = ur_trainer_new(net, &data, &(ur_train_options){.rate = 0.3, .until_zero_errors = true});
    ck_assert_msg(trainer != NULL, "%s", ur_tape_error(net->tape));
    ur_score score = {0};
    int epoch = 0, wrong;
    for (ur_progress progress = UR_TRAINED; progress != UR_FLAWLESS; epoch++) {
        memcpy(before, theta, sizeof before);
        wrong = errors_of(before, x, y);
        progress = ur_trainer_epoch(trainer, &score);
        ck_assert_int_lt(epoch, 1000);
        if (progress == UR_FLAWLESS) { /* no update: these are the weights without errors */
            ck_assert_mem_eq(theta, before, sizeof before);
            ck_assert_int_eq(wrong, 0);
            ck_assert_int_eq(score.wrong_positions, 0);
            ck_assert_int_eq(score.positions, CN);
            double loss = 0;
            for (int n = 0; n < CN; n++) {
                double h = tanh(theta[0] * x[n][0] + theta[1] * x[n][1] + theta[2]);
                double p = 1 / (1 + exp(-theta[3] * h - theta[4]));
                loss -= log(y[n] > 0.5 ? p : 1 - p) / CN;
            }
            assert_close("loss", score.loss, loss, 1e-13);
        } else {
            ck_assert_int_eq(progress, UR_TRAINED);
            ck_assert_int_gt(wrong, 0); /* it ends at the first epoch that it can */
            ck_assert_mem_ne(theta, before, sizeof before);
            if (batch >= CN)
                ck_assert_int_eq(score.wrong_positions, wrong);
        }
    }
    ck_assert_int_gt(epoch, 2);
    memcpy(before, theta, sizeof before); /* and stays there */
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FLAWLESS);
    ck_assert_mem_eq(theta, before, sizeof before);
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

START_TEST(until_zero_errors)
{
    check_until(CN);
    check_until(CN + 5);
    check_until(5); /* the last batch is ragged */
    check_until(1);
}
END_TEST

/* With all parameters 0 every output is 0.5, and predicted: right at step 1, wrong at step 2, if that counts. */
START_TEST(until_zero_errors_that_count)
{
    ur_net *net = new_net(UR_F64, options_of(UR_SIGMOID, UR_BCE, UR_SUM_ALL, true), 2, 1);
    ur_data *data = ur_data_new(1, 2, D, P, UR_DATA_WEIGHT, NULL, NULL);
    ck_assert_ptr_nonnull(data);
    data->weight[0] = data->y[0] = data->y[1] = data->y[2] = 1;
    for (int counts = 0; counts < 2; counts++) {
        ur_score score;
        data->weight[1] = counts;
        ur_trainer *trainer = ur_trainer_new(net, data, &(ur_train_options){.rate = 1, .until_zero_errors = true});
        ck_assert_int_eq(ur_trainer_epoch(trainer, &score), counts ? UR_TRAINED : UR_FLAWLESS);
        ck_assert_int_eq(score.positions, 1 + counts);
        ck_assert_int_eq(score.wrong_positions, counts);
        ur_trainer_free(trainer);
    }
    ur_data_free(data);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- what is not finite */

/* Wo = 0 stops the adjoints: with bh huge only Wo's gradient overflows, h_1 times an error of 1000. */
static void check_overflow(ur_dtype dtype, int batch)
{
    linear theta = {.Wi = {{1, 2}, {3, 4}}, .bh = {0.5, dtype == UR_F32 ? 1e37 : 1e307}};
    linear_data l;
    linear scratch;
    fill_linear(&l, &scratch);
    for (int i = 0; i < LN * LT * LP; i++)
        (&l.y[0][0][0])[i] = i % 2 ? 1000 : 0.1;
    ur_net *net = linear_net(dtype, UR_SUM_ALL, batch, &theta);
    ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = 0.1});
    size_t count;
    const void *parameters = ur_params(net->tape, &count);
    size_t bytes = count * ur_dtype_bytes(dtype);
    char before[sizeof(linear)];
    memcpy(before, parameters, bytes);
    ur_score score = {0};
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    ck_assert_str_eq(ur_tape_error(net->tape),
                     "epoch 1: the gradient of Wo, element 3, is -inf; no parameter was changed");
    ck_assert_mem_eq(ur_params(net->tape, &count), before, bytes);
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}

START_TEST(an_overflow_changes_nothing)
{
    check_overflow(UR_F64, LN);
    check_overflow(UR_F32, LN);
    check_overflow(UR_F64, 2);
}
END_TEST

START_TEST(nan_in_the_data_changes_nothing)
{
    linear theta;
    linear_data l;
    fill_linear(&l, &theta);
    l.x[2][1][0] = NAN; /* a live position */
    ur_net *net = linear_net(UR_F64, UR_SUM_ALL, LN, &theta);
    ur_trainer *trainer = ur_trainer_new(net, &l.data, &(ur_train_options){.rate = 0.1});
    ur_score score = {0};
    ck_assert_int_eq(ur_trainer_epoch(trainer, &score), UR_FAILED);
    assert_refused(net->tape, "the gradient of Wi, element 0, is");
    assert_theta(net, &theta, 0);
    ur_trainer_free(trainer);
    ur_tape_free(net->tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("train");
    tcase_add_test(cases, descent_by_hand);
    tcase_add_test(cases, evaluation_between_epochs);
    tcase_add_test(cases, until_zero_errors);
    tcase_add_test(cases, until_zero_errors_that_count);
    tcase_add_test(cases, an_overflow_changes_nothing);
    tcase_add_test(cases, nan_in_the_data_changes_nothing);
    return run_cases(suite_create("train"), cases);
}
