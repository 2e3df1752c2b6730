/* test_train_resume.c - trainings that end, and go on: early stopping leaves the best parameters that there were, as
 * their validation by hand tells; a training in two parts, with a file between them, ends with the same bits as one
 * at once. */
#include "training.h"

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
    for (int k = 0; k < 2; k++) {
        ur_array *state = ur_arrays_find(set, k ? "optim.v.bo" : "optim.v.Wi");
        double *element = (double *)state->data + 1, right = *element;
        *element = k ? -INFINITY : NAN;
        check_no_resume(set, "momentum",
                        k ? "optim.v.bo, element 1, is -inf, a finite number was expected"
                          : "optim.v.Wi, element 1, is nan, a finite number was expected");
        *element = right;
    }
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

/* The file is named, and in it the key: the user who resumes it has given no such option. */
START_TEST(wrong_numbers_in_files_are_named)
{
    static const char *const keys[] = {"lr",      "momentum", "beta1",      "beta2",     "rho",
                                       "epsilon", "valid",    "clip_value", "clip_norm", "weight_decay"};
    static const char *const counts[] = {"epoch", "updates", "waited", "halvings"};
    sample s;
    fill_sample(&s);
    ur_net *net = new_net(3);
    ur_trainer *trainer = new_trainer(net, &s.data, &(ur_train_options){.rate = 0.1});
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        static const char *const values[] = {"-1", "inf"};
        ur_arrays *set = through_a_file(trainer);
        for (int i = 0; i < 2; i++) {
            ur_error error = {{0}};
            ur_train_options options;
            char words[80];
            snprintf(words, sizeof words, "m.safetensors: '%s' in the metadata is '%s', a ", keys[k], values[i]);
            ck_assert(ur_arrays_set_text(set, keys[k], values[i], NULL));
            ck_assert(!ur_train_options_read(set, "m.safetensors", &options, &error));
            ck_assert_msg(strstr(error.text, words), "'%s' was expected in '%s'", words, error.text);
        }
        ur_arrays_free(set);
    }
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) { /* to which no more could be added */
        ur_arrays *set = through_a_file(trainer);
        ur_error error = {{0}};
        ck_assert(ur_arrays_set_text(set, counts[k], "9223372036854775807", NULL));
        ck_assert(!ur_trainer_resume(trainer, set, "m.safetensors", &error));
        ck_assert_ptr_nonnull(strstr(error.text, counts[k]));
        ck_assert_ptr_nonnull(strstr(error.text, "a number from 0 to 9007199254740992 was expected"));
        ur_arrays_free(set);
    }
    close_training(trainer, net);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("train resume");
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
    tcase_add_test(cases, wrong_numbers_in_files_are_named);
    return run_cases(suite_create("train resume"), cases);
}
