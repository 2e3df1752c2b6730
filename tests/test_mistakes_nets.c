/* test_mistakes_nets.c - wrong programs with networks, data and trainers. The lines that they end in are those of
 * tests/golden/mistakes_nets.txt. */
#include "mistakes.h"

/* ---- networks and their data */

static void net_without_cell(ur_tape *tape)
{
    ur_net_options o = small();
    o.cell = ur_cell_find("there is none");
    ur_net_new(tape, &o, 4, 5);
}

static void net_without_hidden_units(ur_tape *tape)
{
    ur_net_options o = small();
    o.hidden = 0;
    ur_net_new(tape, &o, 4, 5);
}

static void net_without_outputs(ur_tape *tape)
{
    ur_net_options o = small();
    o.outputs = -1;
    ur_net_new(tape, &o, 4, 5);
}

static void net_of_a_million_million_units(ur_tape *tape)
{
    ur_net_options o = small();
    o.hidden = INT64_C(1000000000000);
    ur_net_new(tape, &o, 4, 5);
}

static void net_of_too_many_layers(ur_tape *tape)
{
    ur_net_options o = small();
    o.layers = INT64_C(1) << 61; /* of its states' bytes no bit is left in a size_t */
    ur_net_new(tape, &o, 4, 5);
}

static void net_without_steps(ur_tape *tape)
{
    ur_net_options o = small();
    ur_net_new(tape, &o, 0, 5);
}

/* A network for 4 steps and 5 columns, and data of these sizes for it. */
static void bind(ur_tape *tape, int64_t steps, int64_t inputs, int64_t outputs, int64_t count)
{
    ur_net_options o = small();
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ur_data *data = ur_data_new(6, steps, inputs, outputs, 0, NULL, NULL);
    ck_assert(net && data);
    ur_net_bind(net, data, 2, count);
    ur_data_free(data);
}

static void no_such_initial_values(ur_tape *tape)
{
    ur_param(tape, "W", UR_SHAPE(2, 3));
    ur_params_init(tape, (ur_init)9, 1);
}

static void data_with_other_features(ur_tape *tape)
{
    bind(tape, 4, 3, 1, 4);
}

static void data_with_more_steps(ur_tape *tape)
{
    bind(tape, 9, 2, 1, 4);
}

static void data_with_other_targets(ur_tape *tape)
{
    bind(tape, 4, 2, 2, 4);
}

static void data_without_targets(ur_tape *tape)
{
    bind(tape, 4, 2, 0, 4);
}

static void batch_past_the_data(ur_tape *tape)
{
    bind(tape, 4, 2, 1, 5);
}

/* Data of 2 sequences of 4 steps for a network with this output, the second 2 steps long. */
static ur_net *fitted(ur_tape *tape, ur_activation out, unsigned parts, ur_data **data)
{
    ur_net_options o = small();
    o.outputs = 3;
    o.out = out;
    o.weighted = true;
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    *data = ur_data_new(2, 4, 2, 3, parts | UR_DATA_LENGTHS, NULL, NULL);
    ck_assert(net && *data);
    (*data)->lengths[1] = 2;
    ck_assert(ur_net_fits(net, *data));
    return net;
}

static void length_too_large(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->lengths[0] = 9;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

static void length_negative(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->lengths[1] = -1;
    ck_assert(ur_net_bind(net, data, 0, 1)); /* the other one */
    ck_assert(!ur_net_bind(net, data, 1, 1));
    ur_data_free(data);
}

static void class_too_large(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SOFTMAX, UR_DATA_Y_CLASSES, &data);
    data->y[4 + 2] = 7; /* past the end */
    ck_assert(ur_net_fits(net, data));
    data->y[4 + 1] = 3;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

static void class_between_two(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SOFTMAX, UR_DATA_Y_CLASSES | UR_DATA_Y_LAST, &data);
    data->y[1] = 0.5;
    ck_assert(!ur_net_bind(net, data, 0, 2));
    ur_data_free(data);
}

static void no_data(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_data_free(data);
    ck_assert(!ur_net_fits(net, NULL) && !ur_net_bind(net, NULL, 0, 1));
}

/* A network without a loss, scored without targets or past the data. */
static void score(ur_tape *tape, bool targets, int64_t count)
{
    ur_net_options o = small();
    ur_score found = {0};
    o.loss = UR_NO_LOSS;
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ur_data *data = ur_data_new(2, 4, 2, targets, 0, NULL, NULL);
    ck_assert(net && data && ur_net_bind(net, data, 0, 2));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 4, .root = net->o});
    ck_assert(ur_plan_run(plan) && !ur_net_score(net, NULL, data, 0, count, &found));
    ck_assert(!ur_net_score(net, plan, data, 0, count, &found));
    ck_assert_int_eq(found.sequences, 0);
    ur_plan_free(plan);
    ur_data_free(data);
}

static void score_without_targets(ur_tape *tape)
{
    score(tape, false, 2);
}

static void score_past_the_data(ur_tape *tape)
{
    score(tape, true, 3);
}

static void data_with_weights(ur_tape *tape)
{
    ur_net_options o = small();
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ur_data *data = ur_data_new(5, 4, 2, 1, UR_DATA_WEIGHT, NULL, NULL);
    ck_assert(net && data);
    ur_trainer_free(ur_trainer_new(net, data, &(ur_train_options){.rate = 1}));
    ur_data_free(data);
}

static void differentiate_without_loss(ur_tape *tape)
{
    ur_net_options o = small();
    o.loss = UR_NO_LOSS;
    ur_net *net = ur_net_new(tape, &o, 4, 5);
    ck_assert(net && !ur_net_differentiate(net));
}

static void input_too_large(ur_tape *tape)
{
    ur_net_options o = {.cell = ur_cell_find("mlp"), .inputs = 1, .hidden = 1, .loss = UR_MSE};
    o.hidden_activation = UR_RELU;
    ur_net *net = ur_net_new(tape, &o, 1, 1);
    ur_data *data = ur_data_new(1, 1, 1, 1, 0, NULL, NULL);
    ur_trainer *trainer = net && data ? ur_trainer_new(net, data, &(ur_train_options){.rate = 1}) : NULL;
    ck_assert(trainer && ur_write(ur_find(tape, "Wi", 0), 1, (double[]){1}));
    data->x[0] = 1e200; /* dE/dWi = x (Wi x - y) */
    ck_assert_int_eq(ur_trainer_epoch(trainer, &(ur_score){0}), UR_FAILED);
    ur_trainer_free(trainer);
    ur_data_free(data);
}

/* ---- no room for what is told */

static void score_without_room(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 4, .root = net->o});
    ck_assert(ur_net_bind(net, data, 0, 2) && ur_plan_run(plan));
    ck_assert(!ur_net_score(net, plan, data, 0, 2, NULL));
    ur_plan_free(plan);
    ur_data_free(data);
}

static void evaluation_without_room(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ck_assert(!ur_net_evaluate(net, data, NULL));
    ur_data_free(data);
}

static void epoch_without_room(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_trainer *trainer = ur_trainer_new(net, data, &(ur_train_options){.rate = 1});
    ck_assert_int_eq(ur_trainer_epoch(trainer, NULL), UR_FAILED);
    ur_trainer_free(trainer);
    ur_data_free(data);
}

/* ---- states whose names have no room */

static void refuse_net(ur_tape *tape, const ur_net_options *o)
{
    ck_assert_ptr_null(ur_net_new(tape, o, 4, 5));
}

/* A cell whose state has a name that would be cut. */
static void refuse_state(ur_tape *tape, const char *name, ur_net_options o)
{
    ur_cell cell = *o.cell;
    cell.name = "own";
    cell.state[0].name = name;
    o.cell = &cell;
    refuse_net(tape, &o);
}

static void long_state_of_a_layer(ur_tape *tape)
{
    ur_net_options o = small();
    o.start = UR_START_GIVEN;
    o.layers = 2;
    refuse_state(tape, "a_state_of_fifty_seven_letters_has_no_room_behind_a_layer", o);
}

static void long_state_that_is_learned(ur_tape *tape)
{
    ur_net_options o = small();
    o.start = UR_START_LEARNED;
    refuse_state(tape, "a_state_of_thirty_one_letters_0", o);
}

/* ---- descriptors of a user's own */

static ur_var no_step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    (void)tape, (void)options, (void)state;
    ck_abort_msg("a cell that is refused was recorded");
    return x;
}

static void refuse_cell(ur_tape *tape, ur_cell cell)
{
    ur_net_options o = small();
    o.cell = &cell;
    refuse_net(tape, &o);
}

static void cell_without_name(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.step = no_step});
}

static void cell_without_step(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own"});
}

static ur_var wide_step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    (void)options;
    return state[0] = ur_tanh(ur_affine(tape, "h", x, ur_concat(2, (ur_var[]){state[0], state[0]}, 0)));
}

static ur_var number_step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    ur_var h = ur_tanh(ur_affine(tape, "h", x, state[0]));
    (void)options;
    state[0] = ur_sum(h);
    return h;
}

static void cell_of_too_many_units(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own", .step = wide_step, .states = 1, .state = {{.name = "h"}}});
}

static void cell_with_a_number_for_a_state(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own", .step = number_step, .states = 1, .state = {{.name = "s"}}});
}

static ur_shape nine_dimensions(const ur_net_options *options, int64_t batch)
{
    (void)options, (void)batch;
    return (ur_shape){.rank = 9, .size = {2, 2, 2, 2}};
}

static ur_shape no_dimensions(const ur_net_options *options, int64_t batch)
{
    (void)options, (void)batch;
    return UR_SCALAR;
}

static ur_shape batch_first(const ur_net_options *options, int64_t batch)
{
    return UR_SHAPE(batch, options->hidden);
}

static void refuse_shape(ur_tape *tape, ur_shape (*shape)(const ur_net_options *options, int64_t batch))
{
    refuse_cell(tape,
                (ur_cell){.name = "own", .step = wide_step, .states = 1, .state = {{.name = "h", .shape = shape}}});
}

static void state_of_nine_dimensions(ur_tape *tape)
{
    refuse_shape(tape, nine_dimensions);
}

static void state_without_dimensions(ur_tape *tape)
{
    refuse_shape(tape, no_dimensions);
}

static void state_with_the_batch_first(ur_tape *tape)
{
    refuse_shape(tape, batch_first);
}

static void cell_of_five_states(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own", .step = no_step, .states = UR_STATES + 1});
}

static void cell_of_minus_one_states(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own", .step = no_step, .states = -1});
}

static void cell_with_a_nameless_state(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own", .step = no_step, .states = 2, .state = {{.name = "h"}}});
}

static void cell_without_step_back(ur_tape *tape)
{
    refuse_cell(tape, (ur_cell){.name = "own", .step = no_step, .back = &(ur_cell){.name = "own.back"}});
}

static void no_update(const ur_update *u, size_t n, double *theta, const double *g, double *const *state)
{
    (void)u, (void)n, (void)theta, (void)g, (void)state;
    ck_abort_msg("an optimiser that is refused was used");
}

static void refuse_optim(ur_tape *tape, ur_optim optim)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ck_assert_ptr_null(ur_trainer_new(net, data, &(ur_train_options){.optim = &optim, .rate = 1}));
    ur_data_free(data);
}

static void optim_without_name(ur_tape *tape)
{
    refuse_optim(tape, (ur_optim){.step = no_update});
}

static void optim_without_step(ur_tape *tape)
{
    refuse_optim(tape, (ur_optim){.name = "own"});
}

static void optim_of_three_states(ur_tape *tape)
{
    refuse_optim(tape, (ur_optim){.name = "own", .step = no_update, .states = 3, .state = {"m", "v"}});
}

static void optim_of_minus_two_states(ur_tape *tape)
{
    refuse_optim(tape, (ur_optim){.name = "own", .step = no_update, .states = -2});
}

static void optim_with_a_nameless_state(ur_tape *tape)
{
    refuse_optim(tape, (ur_optim){.name = "own", .step = no_update, .states = 2, .state = {"m"}});
}

/* ---- no such choices */

static void hidden_activation_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.hidden_activation = (ur_activation)99;
    refuse_net(tape, &o);
}

static void out_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.out = (ur_activation)99;
    refuse_net(tape, &o);
}

static void loss_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.loss = (ur_loss)99;
    refuse_net(tape, &o);
}

static void reduction_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.reduction = (ur_reduction)-1;
    refuse_net(tape, &o);
}

static void start_of_none(ur_tape *tape)
{
    ur_net_options o = small();
    o.start = (ur_start)3;
    refuse_net(tape, &o);
}

static void schedule_of_none(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ck_assert_ptr_null(ur_trainer_new(net, data, &(ur_train_options){.rate = 1, .schedule = (ur_schedule)77}));
    ur_data_free(data);
}

/* ---- data that cannot be */

static void order_below_0(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->order = (const int64_t[]){1, -7};
    ck_assert(ur_net_bind(net, data, 0, 1));
    ck_assert(!ur_net_bind(net, data, 0, 2));
    ur_data_free(data);
}

/* Of two rows the second, where nobody says that there are two. */
static void order_past_the_last_row(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->order = (const int64_t[]){1};
    data->n = 1;
    data->rows = 2;
    ck_assert(ur_net_fits(net, data));
    data->rows = 0;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

static void order_far_away(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->order = (const int64_t[]){1, 1000000000};
    ck_assert(ur_net_bind(net, data, 0, 1));
    ck_assert(!ur_net_bind(net, data, 1, 1));
    ur_data_free(data);
}

static void score_of_no_length(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    ur_score score = {0};
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = net->o});
    ck_assert(ur_net_bind(net, data, 0, 2) && ur_plan_run(plan));
    data->lengths = (int64_t[]){1, -1};
    ck_assert(!ur_net_score(net, plan, data, 0, 2, &score));
    ck_assert_int_eq(score.sequences, 0);
    ur_plan_free(plan);
    ur_data_free(data);
}

static void data_without_steps(ur_tape *tape)
{
    ur_data *data;
    ur_net *net = fitted(tape, UR_SIGMOID, 0, &data);
    data->steps = 0;
    ck_assert(!ur_net_fits(net, data));
    ur_data_free(data);
}

/* ---- all of them */

static const program programs[] = {
    {PROGRAM(net_without_cell)},
    {PROGRAM(net_without_hidden_units)},
    {PROGRAM(net_without_outputs)},
    {PROGRAM(net_of_a_million_million_units)},
    {PROGRAM(net_of_too_many_layers)},
    {PROGRAM(net_without_steps)},
    {PROGRAM(no_such_initial_values)},
    {PROGRAM(data_with_other_features)},
    {PROGRAM(data_with_more_steps)},
    {PROGRAM(data_with_other_targets)},
    {PROGRAM(data_without_targets)},
    {PROGRAM(batch_past_the_data)},
    {PROGRAM(length_too_large)},
    {PROGRAM(length_negative)},
    {PROGRAM(class_too_large)},
    {PROGRAM(class_between_two)},
    {PROGRAM(no_data)},
    {PROGRAM(score_without_targets)},
    {PROGRAM(score_past_the_data)},
    {PROGRAM(data_with_weights)},
    {PROGRAM(differentiate_without_loss)},
    {PROGRAM(input_too_large)},
    {PROGRAM(score_without_room)},
    {PROGRAM(evaluation_without_room)},
    {PROGRAM(epoch_without_room)},
    {PROGRAM(long_state_of_a_layer)},
    {PROGRAM(long_state_that_is_learned)},
    {PROGRAM(cell_without_name)},
    {PROGRAM(cell_without_step)},
    {PROGRAM(cell_of_too_many_units)},
    {PROGRAM(cell_with_a_number_for_a_state)},
    {PROGRAM(state_of_nine_dimensions)},
    {PROGRAM(state_without_dimensions)},
    {PROGRAM(state_with_the_batch_first)},
    {PROGRAM(cell_of_five_states)},
    {PROGRAM(cell_of_minus_one_states)},
    {PROGRAM(cell_with_a_nameless_state)},
    {PROGRAM(cell_without_step_back)},
    {PROGRAM(optim_without_name)},
    {PROGRAM(optim_without_step)},
    {PROGRAM(optim_of_three_states)},
    {PROGRAM(optim_of_minus_two_states)},
    {PROGRAM(optim_with_a_nameless_state)},
    {PROGRAM(hidden_activation_of_none)},
    {PROGRAM(out_of_none)},
    {PROGRAM(loss_of_none)},
    {PROGRAM(reduction_of_none)},
    {PROGRAM(start_of_none)},
    {PROGRAM(schedule_of_none)},
    {PROGRAM(order_below_0)},
    {PROGRAM(order_past_the_last_row)},
    {PROGRAM(order_far_away)},
    {PROGRAM(score_of_no_length)},
    {PROGRAM(data_without_steps)},
};
enum { PROGRAMS = sizeof programs / sizeof *programs };

static const char *run(int i, ur_tape *tape)
{
    programs[i].run(tape);
    return programs[i].name;
}

START_TEST(a_wrong_program)
{
    assert_golden("tests/golden/mistakes_nets.txt", run, _i, PROGRAMS);
}
END_TEST

START_TEST(write_golden)
{
    update_golden("tests/golden/mistakes_nets.txt", run, PROGRAMS);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("mistakes nets");
    if (getenv("UPDATE_GOLDEN"))
        tcase_add_test(cases, write_golden);
    tcase_add_loop_test(cases, a_wrong_program, 0, PROGRAMS);
    return run_cases(suite_create("mistakes nets"), cases);
}
