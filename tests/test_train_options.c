/* test_train_options.c - what a training is told: schedules of the rate against their closed forms, frozen
 * parameters against the same step without freezing, and the words for options that are wrong. */
#include "training.h"

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

int main(void)
{
    TCase *cases = tcase_create("train options");
    tcase_add_test(cases, schedules_in_closed_form);
    tcase_add_test(cases, epochs_follow_the_schedule);
    tcase_add_test(cases, plateaus_halve_the_rate);
    tcase_add_test(cases, frozen_parameters_stay);
    tcase_add_test(cases, the_others_take_the_same_step);
    tcase_add_test(cases, frozen_gradients_count_for_no_norm);
    tcase_add_test(cases, wrong_options_are_named);
    return run_cases(suite_create("train options"), cases);
}
