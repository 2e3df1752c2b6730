/* test_train_windows.c - stateful training: windows of sequences, each of which begins with the states that the one
 * before left, against gradient descent on one data set after the other, and against the network of whole sequences. */
#include "training.h"

/* ---- sequences with targets and weights of every kind */

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

/* ---- windows by hand */

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

/* ---- windows and the whole */

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

/* ---- what the trainer refuses */

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

int main(void)
{
    TCase *cases = tcase_create("train windows");
    tcase_add_loop_test(cases, windows_follow_one_another, 0, STORIES);
    tcase_add_test(cases, a_long_window_is_no_window);
    tcase_add_loop_test(cases, windows_show_the_whole, 0, STORIES);
    tcase_add_test(cases, windows_until_zero_errors);
    tcase_add_test(cases, ended_batches_take_no_steps);
    tcase_add_test(cases, what_has_no_windows);
    return run_cases(suite_create("train windows"), cases);
}
