/* lecture_sine.c - the lecture's first figure: an MLP that has learned sin x on a range, forecasts outside it, and the
 * same by an RNN.
 *
 * The MLP learns x -> sin x. The RNN learns the series sin x_1, sin x_2, ...: the next value from the values so far; past
 * the range its own forecast is its next input. */
#include <math.h>

#include "lecture.h"

static const double PI = 3.14159265358979323846;

enum { INSIDE = 80, OUTSIDE = 80, ALL = INSIDE + OUTSIDE, EPOCHS = 6000 };

/* Two periods to learn from, two to forecast. */
static double x_at(int i)
{
    return -2 * PI + 4 * PI * i / INSIDE;
}

static bool learn(ur_tape *tape, ur_net *net, const ur_data *data, int64_t epochs)
{
    ur_train_options how = {.optim = ur_optim_find("adam"), .rate = 0.01, .schedule = UR_COSINE, .epochs = epochs};
    ur_trainer *trainer = NULL;
    if (net && ur_params_init(tape, UR_GLOROT_UNIFORM, 1))
        trainer = ur_trainer_new(net, data, &how);
    bool good = trainer != NULL;
    for (int64_t epoch = 0; good && epoch < epochs; epoch++) {
        ur_score score = {0};
        good = ur_trainer_epoch(trainer, &score) != UR_FAILED;
    }
    ur_trainer_free(trainer);
    return good;
}

static ur_net_options shape_of(const char *cell, int64_t hidden)
{
    return (ur_net_options){.cell = ur_cell_find(cell),
                            .inputs = 1,
                            .hidden = hidden,
                            .outputs = 1,
                            .out = UR_IDENTITY,
                            .loss = UR_MSE,
                            .reduction = UR_MEAN_ALL};
}

/* Applies the trained weights: at every x by itself, or along the series with the forecasts fed back. */
static bool forecast(ur_tape *trained, const char *cell, bool series, double out[ALL])
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_net_options shape = shape_of(cell, 0);
    ur_node bias = {0};
    ur_look(ur_find(trained, "bh", 0), &bias);
    shape.hidden = bias.shape.size[0];
    shape.hidden_activation = UR_TANH;
    ur_var x[ALL], o[ALL], state[UR_STATES] = {ur_const(tape, UR_SHAPE(shape.hidden, 1), 0)};
    ur_inputs(tape, "x", UR_SHAPE(1, 1), ALL, x);
    for (int i = 0; i < ALL; i++) {
        ur_step(tape, i + 1);
        ur_var in = series && i > INSIDE ? o[i - 1] : x[i];
        o[i] = ur_bias(tape, "bo", ur_linear(tape, "Wo", 1, shape.cell->step(tape, &shape, in, state)));
    }
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = ALL, .root = o});
    bool good = plan && ur_params_copy(tape, trained);
    double *input = good ? (double *)ur_leaf(x[0]) : NULL;
    for (int i = 0; good && i < ALL; i++)
        input[i] = series ? sin(x_at(i - 1)) : x_at(i);
    good = good && ur_plan_run(plan);
    for (int i = 0; good && i < ALL; i++)
        good = ur_read(plan, o[i], 1, &out[i]);
    if (!good)
        lecture_good(tape);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return good;
}

/* The MLP's data are INSIDE sequences of one step, the RNN's one sequence. */
static bool run(const char *cell, bool series, double out[ALL])
{
    ur_error error = {{0}};
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_data *data = ur_data_new(series ? 1 : INSIDE, series ? INSIDE : 1, 1, 1, 0, NULL, &error);
    if (!data)
        complain("%s", error.text);
    for (int i = 0; data && i < INSIDE; i++) {
        data->x[i] = series ? sin(x_at(i - 1)) : x_at(i);
        data->y[i] = sin(x_at(i));
    }
    ur_net_options shape = shape_of(cell, series ? 16 : 32);
    bool good = data && learn(tape, ur_net_new(tape, &shape, data->steps, data->n), data, EPOCHS);
    if (data && !good)
        lecture_good(tape);
    good = good && forecast(tape, cell, series, out);
    ur_tape_free(tape);
    ur_data_free(data);
    return good;
}

/* Root of the mean squared error. */
static double error_of(const double *o, int from, int to)
{
    double sum = 0;
    for (int i = from; i < to; i++)
        sum += (o[i] - sin(x_at(i))) * (o[i] - sin(x_at(i)));
    return sqrt(sum / (to - from));
}

static bool draw(const char *folder, const double *mlp, const double *rnn)
{
    double x[ALL], y[ALL];
    for (int i = 0; i < ALL; i++) {
        x[i] = x_at(i) / PI;
        y[i] = sin(x_at(i));
    }
    curve lines[] = {{.label = "sin x", .count = ALL, .x = x, .y = y, .dashed = true},
                     {.label = "MLP", .count = ALL, .x = x, .y = mlp},
                     {.label = "RNN", .count = ALL, .x = x, .y = rnn}};
    curves_panel panel = {.label = "output", .count = 3, .curve = lines};
    return lecture_draw(folder, "sine.svg", "learned for x from -2 to 2 pi, forecast from there on", "x / pi", &panel);
}

bool lecture_sine(lecture_report *r, const char *folder)
{
    double mlp[ALL], rnn[ALL];
    if (!run("mlp", false, mlp) || !run("rnn", true, rnn))
        return false;
    const char *slide = "an MLP trained on a sine";
    double mlp_in = error_of(mlp, 0, INSIDE), mlp_out = error_of(mlp, INSIDE, ALL);
    double rnn_in = error_of(rnn, 0, INSIDE), rnn_out = error_of(rnn, INSIDE, ALL);
    lecture_claim(r, mlp_in < 0.05 && mlp_out > 0.3, "sine: MLP", slide,
                  "an MLP cannot forecast the sine outside the range of training",
                  "root mean square error %.2g inside, x from -2π to 2π, and %.2g outside, to 6π", mlp_in, mlp_out);
    lecture_claim(r, rnn_in < 0.05 && rnn_out < mlp_out / 2, "sine: RNN", slide, "(what follows: recurrent networks)",
                  "on the same range: %.2g inside, one step ahead; %.2g outside, fed by its own forecasts", rnn_in,
                  rnn_out);
    return !folder || draw(folder, mlp, rnn);
}
