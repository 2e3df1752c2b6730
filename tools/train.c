/* train.c - `unroll train`: data, network, epochs; then the model, the log and the plot. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "setup.h"

enum { EPOCHS = 100 }; /* unless the command line or a resumed model says another number */

/* One run from its beginning to its end. */
typedef struct run {
    const options *o;
    ur_data *data;
    ur_tape *tape;
    ur_net *net;
    ur_trainer *trainer;
    ur_pool *pool;
    ur_train_options training;
    ur_model model;     /* what the saved file says */
    ur_arrays *resumed; /* the file of --resume */
    history history;
    ur_progress progress;
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

/* Refuses the value of an option, which the command line gave or the model that is resumed. */
static bool refuse_value(const options *o, const char *name, bool given, const char *problem)
{
    return given || !o->resume ? refuse("--%s: %s", name, problem)
                               : refuse("%s: '%s' in the metadata: %s", o->resume, name, problem);
}

/* Refuses --memory, which two plans share where there is evaluation besides training. */
static bool refuse_memory(const options *o, const char *problem)
{
    char allowed[40];
    snprintf(allowed, sizeof allowed, ", %lld are allowed", (long long)o->memory);
    return refuse("--memory: the plan takes%s%s", problem,
                  strstr(problem, allowed) ? "" : "; evaluation gets a third of --memory, training what is left");
}

/* Says what is wrong with the tape, if anything is. */
static bool tape_good(const run *r)
{
    static const char memory[] = "ur_plan_new: the plan takes";
    const options *o = r->o;
    const struct {
        const char *call, *option; /* how the library begins what it says of an option's value */
        bool given;
    } renamed[] = {{"ur_trainer_new: valid ", "valid", !isnan(o->valid)},
                   {"ur_trainer_new: epochs ", "epochs", o->epochs >= 0},
                   {"freeze: ", "freeze", o->freeze != NULL}};
    const char *error = ur_tape_error(r->tape);
    if (error && strncmp(error, memory, strlen(memory)) == 0)
        return refuse_memory(o, error + strlen(memory));
    for (size_t i = 0; error && i < sizeof renamed / sizeof *renamed; i++) {
        size_t length = strlen(renamed[i].call);
        if (strncmp(error, renamed[i].call, length) == 0)
            return refuse_value(o, renamed[i].option, renamed[i].given, error + length);
    }
    return !error || refuse("%s", error);
}

static bool refuse_momentum(void)
{
    char names[256] = "";
    size_t length = 0;
    const ur_optim *optim;
    for (size_t k = 0; (optim = ur_optim_at(k)) && length < sizeof names; k++)
        if (optim->momentum)
            length +=
                (size_t)snprintf(names + length, sizeof names - length, "%s%s", length ? " or " : "", optim->name);
    return refuse("--momentum: belongs to --optim %s", names);
}

/* What the command line says; what it leaves out is as in `t`. */
static bool override(const options *o, ur_train_options *t)
{
    if (o->optim >= 0)
        t->optim = ur_optim_at((size_t)o->optim);
    if (o->schedule >= 0)
        t->schedule = (ur_schedule)o->schedule;
    t->rate = o->lr > 0 ? o->lr : t->rate;
    t->momentum = o->momentum > 0 ? o->momentum : t->momentum;
    t->clip_norm = o->clip_norm > 0 ? o->clip_norm : t->clip_norm;
    t->clip_value = o->clip_value > 0 ? o->clip_value : t->clip_value;
    t->weight_decay = isnan(o->weight_decay) ? t->weight_decay : o->weight_decay;
    t->valid = isnan(o->valid) ? t->valid : o->valid;
    t->patience = o->patience ? o->patience : t->patience;
    t->freeze = o->freeze ? o->freeze : t->freeze;
    t->memory = (size_t)o->memory;
    t->shuffle |= o->shuffle;
    t->until_zero_errors |= o->until_zero_errors;
    t->stateful |= o->stateful;
    t->epochs = o->epochs >= 0 ? o->epochs : t->epochs;
    t->seed = o->seed >= 0 ? setup_seed(o) : t->seed;
    if (o->momentum > 0 && (!t->optim || !t->optim->momentum))
        return refuse_momentum();
    if (t->schedule == UR_PLATEAU && !t->patience)
        return refuse_value(o, "schedule", o->schedule >= 0,
                            "plateau halves the rate after some epochs without a better loss, expected --patience N");
    if (t->patience && t->schedule != UR_PLATEAU && !(t->valid > 0))
        return refuse_value(o, "patience", o->patience > 0,
                            "looks at the validation loss, expected --valid FRACTION, or --schedule plateau");
    return true;
}

/* The first option of the network on the command line, or NULL: a model that is trained on has them all. */
static const char *network_option(const options *o)
{
    const struct {
        const char *name;
        bool given;
    } own[] = {{"hidden", o->hidden > 0},
               {"size", o->size_count > 0},
               {"out", o->out >= 0},
               {"loss", o->loss >= 0},
               {"reduce", o->reduce >= 0},
               {"layers", o->layers > 0},
               {"heads", o->heads > 0},
               {"bidirectional", o->bidirectional},
               {"hidden-activation", o->hidden_activation >= 0},
               {"init", o->init >= 0},
               {"layer-norm", o->layer_norm},
               {"batch-norm", o->batch_norm},
               {"dropout", o->dropout > 0},
               {"recurrent-dropout", o->recurrent_dropout > 0},
               {"forget-bias", !isnan(o->forget_bias)}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].given)
            return own[i].name;
    return NULL;
}

/* Reads the model of --resume: its network, its training and what it was trained on. */
static bool read_resumed(run *r, ur_net_options *shape, ur_train_options *training)
{
    const char *path = r->o->resume;
    const options *o = r->o;
    ur_error error = {{0}};
    const char *extra = network_option(o);
    if (extra)
        return refuse("--%s: the network is that of --resume %s, no option of it was expected", extra, path);
    r->resumed = ur_arrays_load(path, NULL, &error);
    bool good = r->resumed && ur_model_read(r->resumed, path, shape, &r->model, &error) &&
                ur_train_options_read(r->resumed, path, training, &error);
    if (!good)
        complain("%s", error.text);
    else if (strcmp(shape->cell->name, r->o->argument[0]) != 0)
        return refuse("--resume: %s holds the cell %s, not %s", path, shape->cell->name, r->o->argument[0]);
    return good;
}

/* The command line with what it leaves out of the task's data as the resumed model has it. */
static options drawn_as(const options *o, const ur_model *model)
{
    options drawn = *o;
    bool own = o->data || (o->task && model->task && strcmp(o->task, model->task) != 0);
    if (o->seed < 0)
        drawn.seed = (int64_t)model->seed;
    if (own)
        return drawn;
    drawn.count = o->count ? o->count : model->drawn.count;
    drawn.min_length = o->min_length ? o->min_length : model->drawn.min_length;
    drawn.max_length = o->max_length ? o->max_length : model->drawn.max_length;
    return drawn;
}

/* Notes in the model which data were drawn. */
static void note_drawn(run *r, const options *drawn)
{
    const ur_task *task = r->model.task && !r->o->data ? ur_task_find(r->model.task) : NULL;
    r->model.drawn = (ur_task_options){0};
    if (task)
        r->model.drawn = (ur_task_options){.count = r->data->n,
                                           .min_length = drawn->min_length ? drawn->min_length : task->min_length,
                                           .max_length = drawn->max_length};
}

/* The data, the network's options and the training's, from the command line or from a model to go on with. */
static bool read_options(run *r, const ur_cell *cell, ur_net_options *shape, ur_train_options *training)
{
    const options *o = r->o;
    *training = (ur_train_options){.rate = 0.1, .seed = setup_seed(o), .epochs = EPOCHS};
    r->model = (ur_model){.task = o->task, .seed = setup_seed(o)};
    if (o->resume && !read_resumed(r, shape, training))
        return false;
    options drawn = o->resume ? drawn_as(o, &r->model) : *o;
    r->model.seed = setup_seed(&drawn);
    if (o->task)
        r->model.task = o->task;
    r->data = setup_data(&drawn, o->data ? NULL : r->model.task, false, o->resume ? ur_net_outputs(shape) : 0);
    if (!r->data || !override(o, training))
        return false;
    note_drawn(r, &drawn);
    if (o->resume && r->data->inputs != shape->inputs)
        return refuse("%s: x has %lld features, the model %s takes %lld", o->data ? o->data : r->model.task,
                      (long long)r->data->inputs, o->resume, (long long)shape->inputs);
    if (o->resume) {
        if (o->bptt)
            shape->bptt = o->bptt;
        if (o->seed >= 0)
            setup_mask_seed(o, shape);
        shape->weighted = r->data->weight || r->data->y_last;
        return setup_targets_fit(o, shape, r->data);
    }
    return setup_net_options(o, cell, o->task ? ur_task_find(o->task) : NULL, r->data, shape);
}

/* A training goes on in the type in which it began. */
static ur_dtype type_of(const run *r)
{
    const ur_array *first = r->resumed ? ur_arrays_at(r->resumed, 0) : NULL;
    if (r->o->dtype >= 0)
        return (ur_dtype)r->o->dtype;
    return first && first->type == UR_ARRAY_F64 ? UR_F64 : UR_F32;
}

/* The steps to record: all, or those of one window, whose initial states are then given. False after an error. */
static bool choose_steps(const run *r, ur_net_options *shape, int64_t *steps)
{
    *steps = r->data->steps;
    if (!r->training.stateful)
        return true;
    if (!shape->bptt)
        return refuse("--stateful: --bptt K was expected with it, the number of steps from update to update");
    *steps = shape->bptt < *steps ? shape->bptt : *steps;
    shape->start = UR_START_GIVEN;
    return true;
}

static bool prepare(run *r)
{
    const options *o = r->o;
    const ur_cell *cell = setup_cell(o->argument[0]);
    ur_net_options shape = {0};
    int64_t steps;
    ur_error error = {{0}};
    if (!cell || !setup_outputs(o) || !read_options(r, cell, &shape, &r->training) || !choose_steps(r, &shape, &steps))
        return false;
    int64_t n = ur_train_count(&r->training, r->data->n), batch = o->batch >= 0 ? o->batch : r->model.batch;
    r->model.batch = batch > 0 && batch < n ? batch : 0;
    r->tape = ur_tape_new(&(ur_tape_options){.dtype = type_of(r)});
    r->net = ur_net_new(r->tape, &shape, steps, r->model.batch ? r->model.batch : n);
    if (r->net)
        r->net->pool = r->pool = setup_pool(o);
    if (r->net && setup_initial(o, r->tape))
        r->trainer = ur_trainer_new(r->net, r->data, &r->training);
    if (!tape_good(r))
        return false;
    if (o->resume && !ur_trainer_resume(r->trainer, r->resumed, o->resume, &error))
        return refuse("%s", error.text);
    return !o->resume || !o->log || history_read(&r->history, o->log, ur_trainer_epochs(r->trainer));
}

/* What --dry-run says. */
static void print_sizes(const run *r)
{
    size_t parameters, plan = ur_trainer_plan_bytes(r->trainer), optimiser = ur_trainer_bytes(r->trainer) - plan;
    size_t tape = ur_tape_bytes(r->tape);
    ur_params(r->tape, &parameters);
    printf("sequences %lld of up to %lld steps, batch %lld\nparameters %zu\ntape nodes %zu\ntape bytes %zu\n"
           "optimiser bytes %zu\nplan bytes %zu\ntotal bytes %zu\n",
           (long long)r->data->n, (long long)r->data->steps, (long long)r->net->batch, parameters,
           ur_tape_nodes(r->tape), tape, optimiser, plan, tape + optimiser + plan);
}

/* What --explain-plan says. */
static bool explain(const run *r)
{
    return ur_trainer_explain(r->trainer, stdout) || (tape_good(r) && refuse("stdout: cannot be written"));
}

/* ---- epochs */

static bool loop(run *r)
{
    int64_t epochs = r->training.epochs;
    if (ur_trainer_epochs(r->trainer) >= epochs && !r->o->quiet)
        fprintf(stderr, "%lld of %lld epochs are done, a larger --epochs goes on\n",
                (long long)ur_trainer_epochs(r->trainer), (long long)epochs);
    while (r->progress == UR_TRAINED && !stopped && ur_trainer_epochs(r->trainer) < epochs) {
        ur_score score = {0};
        int64_t epoch = ur_trainer_epochs(r->trainer) + 1;
        r->progress = ur_trainer_epoch(r->trainer, &score);
        if (r->progress == UR_FAILED)
            return false;
        if (r->progress == UR_STOPPED && ur_trainer_epochs(r->trainer) < epoch) /* it was resumed when it had stopped */
            break;
        if (!history_add(&r->history, epoch, &score)) {
            ur_tape_fail(r->tape, "no memory for the log of %lld epochs", (long long)epoch);
            return false;
        }
        if (!r->o->quiet)
            progress_show(&r->history, epochs);
    }
    return true;
}

/* ---- after */

static bool written(bool good, const ur_error *error)
{
    if (!good)
        complain("%s", error->text);
    return good;
}

/* Writes each file, also where another one could not be written. */
static bool save(const run *r)
{
    const options *o = r->o;
    char title[160];
    ur_error model = {{0}}, log = {{0}}, plot = {{0}};
    snprintf(title, sizeof title, "%s, %lld hidden units, %s", r->net->options.cell->name,
             (long long)r->net->options.hidden, r->model.task ? r->model.task : o->data);
    bool saved = written(!o->save || ur_trainer_save(r->trainer, &r->model, o->save, &model), &model);
    bool logged = written(!o->log || history_log(&r->history, o->log, &log), &log);
    return written(!o->plot || history_plot(&r->history, o->plot, title, &plot), &plot) && saved && logged;
}

static void report(const run *r)
{
    const ur_score *valid = ur_trainer_valid(r->trainer);
    if (r->history.count)
        score_print("", &r->history.point[r->history.count - 1].score);
    if (valid && r->history.count)
        score_print("validation ", valid);
    printf("epochs %lld\n", (long long)ur_trainer_epochs(r->trainer));
    if (r->progress == UR_STOPPED)
        printf("stopped early, the parameters are those with the best validation loss\n");
    if (r->training.until_zero_errors && r->progress != UR_FLAWLESS)
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
    if (!good) { /* what was learned before is kept */
        tape_good(r);
        if (r->history.count && save(r) && r->o->save)
            fprintf(stderr, "saved %s: the parameters are those before it\n", r->o->save);
        return BAD_INPUT;
    }
    if (!save(r))
        return BAD_INPUT;
    report(r);
    return stopped == SIGINT ? INTERRUPTED : stopped ? TERMINATED : DONE;
}

static int train(const options *o)
{
    run r = {.o = o};
    int status = BAD_INPUT;
    bool ready = prepare(&r) && (!o->explain_plan || explain(&r));
    if (ready && o->dry_run) {
        print_sizes(&r);
        status = DONE;
    } else if (ready) {
        status = learn(&r);
    }
    history_free(&r.history);
    ur_trainer_free(r.trainer);
    ur_pool_free(r.pool);
    ur_tape_free(r.tape);
    ur_data_free(r.data);
    ur_arrays_free(r.resumed);
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
            "the epoch and saves. Progress goes to stderr, the results to stdout. --dry-run tells the bytes that a\n"
            "training takes, --memory bounds those of its plans, the larger part of them: narrower blocks of the\n"
            "batch are computed one after another; if that is not enough, steps run in segments, forward once\n"
            "more before they run back, from checkpoints. Sums may be rounded in another way.",
    .example = "unroll train rnn --task reber --hidden 4 --lr 1 --reduce mean --epochs 10000 \\\n"
               "    --until-zero-errors --save reber.safetensors --log run.csv --plot loss.svg",
    .run = train,
};
