/* train.c - `unroll train`: data, network, epochs; then the model, the log and the plot. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "setup.h"

/* One run from its beginning to its end. */
typedef struct run {
    const options *o;
    ur_data *data;
    ur_tape *tape;
    ur_net *net;
    ur_trainer *trainer;
    history history;
    int64_t updates; /* epochs with an update */
    bool flawless;
} run;

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    stopped = signal;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- before */

static bool tape_good(const run *r)
{
    const char *error = ur_tape_error(r->tape);
    if (error)
        complain("%s", error);
    return !error;
}

static bool prepare(run *r)
{
    const options *o = r->o;
    const ur_cell *cell = setup_cell(o->argument[0]);
    ur_net_options shape;
    if (!cell || !setup_outputs(o) || !(r->data = setup_data(o, o->task, false)) ||
        !setup_net_options(o, cell, o->task ? ur_task_find(o->task) : NULL, r->data, &shape))
        return false;
    int64_t batch = o->batch && o->batch < r->data->n ? o->batch : r->data->n;
    r->tape = ur_tape_new(&(ur_tape_options){.dtype = o->dtype == UR_F64 ? UR_F64 : UR_F32});
    r->net = ur_net_new(r->tape, &shape, r->data->steps, batch);
    if (r->net && ur_params_init(r->tape, o->init > 0 ? (ur_init)o->init : UR_GLOROT_UNIFORM, (uint64_t)o->seed))
        r->trainer = ur_trainer_new(r->net, r->data,
                                    &(ur_train_options){.rate = o->lr, .until_zero_errors = o->until_zero_errors});
    return tape_good(r);
}

/* What --dry-run says. */
static void print_sizes(const run *r)
{
    size_t parameters;
    ur_params(r->tape, &parameters);
    printf("sequences %lld of up to %lld steps, batch %lld\nparameters %zu\ntape nodes %zu\ntape bytes %zu\n"
           "plan bytes %zu\n",
           (long long)r->data->n, (long long)r->data->steps, (long long)r->net->batch, parameters,
           ur_tape_nodes(r->tape), ur_tape_bytes(r->tape), ur_trainer_bytes(r->trainer));
}

/* ---- epochs */

static bool loop(run *r)
{
    for (int64_t epoch = 1; epoch <= r->o->epochs && !stopped && !r->flawless; epoch++) {
        ur_score score = {0};
        ur_progress progress = ur_trainer_epoch(r->trainer, &score);
        if (progress == UR_FAILED)
            return false;
        r->flawless = progress == UR_FLAWLESS;
        r->updates += progress == UR_TRAINED;
        if (!history_add(&r->history, epoch, &score)) {
            ur_tape_fail(r->tape, "no memory for the log of %lld epochs", (long long)epoch);
            return false;
        }
        if (!r->o->quiet)
            progress_show(&r->history, r->o->epochs);
    }
    return true;
}

/* ---- after */

static bool save(const run *r)
{
    const options *o = r->o;
    char title[160];
    ur_error error = {{0}};
    ur_model model = {.task = o->task, .epoch = r->updates, .seed = (uint64_t)o->seed};
    snprintf(title, sizeof title, "%s, %lld hidden units, %s", r->net->options.cell->name,
             (long long)r->net->options.hidden, o->task ? o->task : o->data);
    bool good = !o->save || ur_model_save(r->net, &model, o->save, &error);
    good = good && (!o->log || history_log(&r->history, o->log, &error));
    good = good && (!o->plot || history_plot(&r->history, o->plot, title, &error));
    if (!good)
        complain("%s", error.text);
    return good;
}

static void report(const run *r)
{
    if (r->history.count) {
        const ur_score *s = &r->history.point[r->history.count - 1].score;
        printf("loss %.9g\nwrong positions %lld of %lld\nwrong sequences %lld of %lld\n", s->loss,
               (long long)s->wrong_positions, (long long)s->positions, (long long)s->wrong_sequences,
               (long long)s->sequences);
    }
    printf("epochs %lld\n", (long long)r->updates);
    if (r->o->until_zero_errors && !r->flawless)
        printf("zero errors not reached\n");
    if (r->o->save)
        printf("saved %s\n", r->o->save);
}

/* From the first epoch to the files. */
static int learn(run *r)
{
    catch_signals();
    bool good = loop(r);
    if (!r->o->quiet)
        progress_end();
    if (!good)
        tape_good(r);
    if (!good || !save(r))
        return BAD_INPUT;
    report(r);
    return stopped == SIGINT ? INTERRUPTED : stopped ? TERMINATED : DONE;
}

static int train(const options *o)
{
    run r = {.o = o};
    int status = BAD_INPUT;
    if (prepare(&r) && o->dry_run) {
        print_sizes(&r);
        status = DONE;
    } else if (r.trainer) {
        status = learn(&r);
    }
    history_free(&r.history);
    ur_trainer_free(r.trainer);
    ur_tape_free(r.tape);
    ur_data_free(r.data);
    return status;
}

const command command_train = {
    .name = "train",
    .bit = TRAIN,
    .arguments = "CELL",
    .least = 1,
    .most = 1,
    .summary = "trains a network on a task or on data from a file",
    .text = "Gradient descent on the data of --task or --data. Prints the loss and the errors of the last forward\n"
            "pass: a position is wrong when its predicted set, o >= 0.5 or with softmax the largest, is not the\n"
            "target's. A task brings its own --out and --loss; with --data they are to be given, for without --out\n"
            "the hidden units are the outputs, and the loss is mse, or ce where y holds classes. Ctrl-C ends after\n"
            "the epoch and saves. Progress goes to stderr, the results to stdout.",
    .example = "unroll train rnn --task reber --hidden 4 --lr 1 --reduce mean --epochs 10000 \\\n"
               "    --until-zero-errors --save reber.safetensors --log run.csv --plot loss.svg",
    .run = train,
};
