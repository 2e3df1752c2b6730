/* eval.c - `unroll eval`: loss and errors of a saved model, and where in the sequence the errors are. */
#include <stdlib.h>
#include <unistd.h>

#include "progress.h"
#include "setup.h"

/* Records the model's network for the data and fills in its parameters. NULL after an error. */
static ur_net *load_net(const options *o, const ur_arrays *file, const ur_net_options *model, const ur_data *data,
                        ur_tape *tape)
{
    enum { BATCH = 1024 };
    ur_net_options shape = *model;
    shape.weighted = data->weight || data->y_last;
    ur_net *net = ur_net_new(tape, &shape, data->steps, data->n < BATCH ? data->n : BATCH);
    if (!net)
        complain("%s", ur_tape_error(tape));
    return net && setup_params(o, net, file) ? net : NULL;
}

static void print_places(const ur_score *s, int64_t steps)
{
    for (int64_t t = 0; t < steps; t++)
        if (s->from_start[t])
            printf("step %lld: %lld wrong\n", (long long)t + 1, (long long)s->from_start[t]);
    for (int64_t t = 0; t < steps; t++)
        if (s->from_end[t])
            printf("%lld before the last step: %lld wrong\n", (long long)t, (long long)s->from_end[t]);
}

static int evaluate(const options *o, const ur_arrays *file, const ur_net_options *model, const ur_data *data)
{
    int status = BAD_INPUT;
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_pool *pool = setup_pool(o);
    ur_net *net = load_net(o, file, model, data, tape);
    ur_score score = {.from_start = (int64_t *)calloc((size_t)data->steps, sizeof(int64_t)),
                      .from_end = (int64_t *)calloc((size_t)data->steps, sizeof(int64_t))};
    if (net)
        net->pool = pool;
    if (net && score.from_start && score.from_end) {
        if (ur_net_evaluate(net, data, &score)) {
            score_print("", &score);
            print_places(&score, data->steps);
            status = o->require >= 0 && score.wrong_sequences > o->require ? CHECK_FAILED : DONE;
        } else {
            complain("%s%s%s", o->data ? o->data : "", o->data ? ": " : "", ur_tape_error(tape));
        }
    }
    free(score.from_start);
    free(score.from_end);
    ur_tape_free(tape);
    ur_pool_free(pool);
    return status;
}

static int eval(const options *o)
{
    ur_error error = {{0}};
    ur_net_options model;
    ur_model about;
    int status = BAD_INPUT;
    if (ur_cell_find(o->argument[0]) && access(o->argument[0], F_OK) != 0)
        return complain("%s: is a cell, the file of a trained model was expected", o->argument[0]);
    ur_arrays *file = ur_arrays_load(o->argument[0], NULL, &error);
    if (file && ur_model_read(file, o->argument[0], &model, &about, &error)) {
        ur_data *data = setup_data(o, o->task ? o->task : o->data ? NULL : about.task, true, ur_net_outputs(&model));
        if (data && setup_targets_fit(o, &model, data))
            status = evaluate(o, file, &model, data);
        ur_data_free(data);
    } else {
        complain("%s", error.text);
    }
    ur_arrays_free(file);
    return status;
}

const command command_eval = {
    .name = "eval",
    .bit = EVAL,
    .arguments = "MODEL",
    .least = 1,
    .most = 1,
    .summary = "prints loss and errors of a saved model",
    .text = "Draws fresh sequences of --task (by default of the task that the model was trained on), or reads\n"
            "--data. A position is wrong when its predicted set, o >= 0.5 or with softmax the largest, is not the\n"
            "target's. After the counts come the places of the errors, counted from the first and from the last step.",
    .example = "unroll eval reber.safetensors --task reber --require 0",
    .run = eval,
};
