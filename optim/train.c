/* train.c - the trainer: epochs of batches, each with its loss, gradient and update; validation and early stopping. */
#include <math.h>
#include <string.h>

#include "files.h"
#include "train.h"

/* ---- options */

const ur__train_real ur__train_reals[] = {
    {"rate", "lr", offsetof(ur_train_options, rate), UR__FROM_0},
    {"momentum", "momentum", offsetof(ur_train_options, momentum), UR__BELOW_1},
    {"beta1", "beta1", offsetof(ur_train_options, beta1), UR__BELOW_1},
    {"beta2", "beta2", offsetof(ur_train_options, beta2), UR__BELOW_1},
    {"rho", "rho", offsetof(ur_train_options, rho), UR__BELOW_1},
    {"epsilon", "epsilon", offsetof(ur_train_options, epsilon), UR__FROM_0},
    {"valid", "valid", offsetof(ur_train_options, valid), UR__BELOW_1},
    {"clip_value", "clip_value", offsetof(ur_train_options, clip_value), UR__FROM_0},
    {"clip_norm", "clip_norm", offsetof(ur_train_options, clip_norm), UR__FROM_0},
    {"weight_decay", "weight_decay", offsetof(ur_train_options, weight_decay), UR__FROM_0},
    {.name = NULL},
};

double ur__train_number(const ur_train_options *options, const ur__train_real *real)
{
    double number;
    memcpy(&number, (const char *)options + real->offset, sizeof number);
    return number;
}

static bool fail_range(ur_tape *tape, const char *option, double value, const char *expected)
{
    ur_tape_fail(tape, "ur_trainer_new: %s is %g, expected %s", option, value, expected);
    return false;
}

static bool check_numbers(ur_tape *tape, const ur_train_options *o)
{
    for (const ur__train_real *real = ur__train_reals; real->name; real++) {
        double number = ur__train_number(o, real);
        const char *expected = ur__expected(real->limits, number);
        if (expected)
            return fail_range(tape, real->name, number, expected);
    }
    return true;
}

/* Is the descriptor, which may be a user's own, complete? */
static bool check_optim(ur_tape *tape, const ur_optim *optim)
{
    if (!optim->name)
        ur_tape_fail(tape, "ur_trainer_new: an optimiser with a name was expected, it has none");
    else if (!optim->step)
        ur_tape_fail(tape, "%s: an optimiser with a step was expected, it has none", optim->name);
    else if (optim->states < 0 || optim->states > UR_OPTIM_STATES)
        ur_tape_fail(tape, "%s: an optimiser of 0 to %d states was expected, it has %d", optim->name, UR_OPTIM_STATES,
                     optim->states);
    for (int s = 0; s < optim->states && !ur_tape_error(tape); s++)
        if (!optim->state[s])
            ur_tape_fail(tape, "%s: %d states with names were expected, state[%d] has none", optim->name, optim->states,
                         s);
    return !ur_tape_error(tape);
}

static bool check_options(ur_tape *tape, const ur_train_options *o, int64_t n)
{
    bool spread = o->schedule == UR_STEPS || o->schedule == UR_COSINE || o->schedule == UR_WARMUP;
    if ((o->optim && !check_optim(tape, o->optim)) || !check_numbers(tape, o))
        return false;
    if ((unsigned)o->schedule > UR_PLATEAU)
        return fail_range(tape, "schedule", (double)o->schedule, "one of ur_schedule");
    if (o->patience < 0 || (o->schedule == UR_PLATEAU && o->patience == 0))
        return fail_range(tape, "patience", (double)o->patience, "a number of epochs from 1");
    if (spread && o->epochs < 1)
        return fail_range(tape, "epochs", (double)o->epochs, "from 1 for a schedule that spreads over them");
    if (o->patience > 0 && o->schedule != UR_PLATEAU && o->valid == 0)
        return fail_range(tape, "valid", o->valid, "a part for validation, which early stopping looks at");
    if (o->valid > 0 && ur_train_count(o, n) == n) {
        ur_tape_fail(tape, "ur_trainer_new: valid is %g, which leaves none of %lld sequences for validation", o->valid,
                     (long long)n);
        return false;
    }
    return true;
}

static ur_train_options complete(const ur_train_options *options)
{
    ur_train_options o = *options;
    o.optim = o.optim ? o.optim : ur_optim_find("gd");
    o.momentum = o.momentum > 0 ? o.momentum : 0.9;
    o.beta1 = o.beta1 > 0 ? o.beta1 : 0.9;
    o.beta2 = o.beta2 > 0 ? o.beta2 : 0.999;
    o.rho = o.rho > 0 ? o.rho : 0.9;
    o.epsilon = o.epsilon > 0 ? o.epsilon : 1e-8;
    return o;
}

/* ---- memory */

void *ur__trainer_memory(ur_trainer *t, size_t bytes)
{
    ur__table *table = (ur__table *)ur__take(t->net->tape, sizeof *table + bytes);
    if (!table)
        return NULL;
    *table = (ur__table){.next = t->table, .bytes = sizeof *table + bytes};
    t->table = table;
    return memset(table->memory, 0, bytes);
}

/* Frees all but the trainer itself. */
static void empty(ur_trainer *t)
{
    ur_plan_free(t->plan);
    ur_plan_free(t->forward);
    for (ur__table *table; (table = t->table);) {
        t->table = table->next;
        ur__give(t->net->tape, table, table->bytes);
    }
}

/* ---- the data's parts */

int64_t ur_train_count(const ur_train_options *options, int64_t n)
{
    bool validates = options && options->valid > 0 && options->valid < 1;
    return validates ? n - (int64_t)(options->valid * (double)n) : n;
}

/* What the loss of these sequences is divided by, but for a factor that all have. */
static double weigh(const ur_data *data, ur_reduction reduction, int64_t first, int64_t count)
{
    double lengths = 0;
    if (reduction != UR_MEAN_ALL)
        return reduction == UR_SUM_ALL ? 1 : (double)count;
    for (int64_t k = first; k < first + count; k++)
        lengths += (double)ur_data_length(data, ur_data_row(data, k));
    return lengths;
}

static ur__part part_of(const ur_data *data, ur_reduction reduction, const int64_t *order, int64_t n)
{
    ur__part part = {.data = *data};
    part.data.order = order;
    part.data.rows = ur_data_rows(data);
    part.data.n = n;
    part.weight = weigh(&part.data, reduction, 0, n);
    return part;
}

/* The sequences of `data` as rows of its arrays; NULL if there is no memory. */
static int64_t *rows_of(ur_trainer *t, const ur_data *data)
{
    int64_t *rows = (int64_t *)ur__trainer_memory(t, (size_t)data->n * sizeof *rows);
    for (int64_t k = 0; k < data->n && rows; k++)
        rows[k] = ur_data_row(data, k);
    return rows;
}

/* The last sequences are for validation, the others are trained on. */
static bool divide(ur_trainer *t, const ur_data *data)
{
    int64_t trained = ur_train_count(&t->options, data->n);
    ur_reduction reduction = t->net->options.reduction;
    t->rows = rows_of(t, data);
    t->order = (int64_t *)ur__trainer_memory(t, (size_t)trained * sizeof *t->order);
    if (!t->rows || !t->order)
        return false;
    memcpy(t->order, t->rows, (size_t)trained * sizeof *t->order);
    ur_longest_first(data, t->net->batch, trained, t->order);
    ur_longest_first(data, t->net->batch, data->n - trained, t->rows + trained);
    t->train = part_of(data, reduction, t->order, trained);
    t->valid = part_of(data, reduction, t->rows + trained, data->n - trained);
    if (!t->windows)
        return true;
    t->train.window = ur__windows_view(t, &t->train.data);
    t->valid.window = ur__windows_view(t, &t->valid.data);
    return t->train.window && t->valid.window;
}

/* ---- making */

ur_var *ur__new_roots(ur_trainer *t, size_t n)
{
    return (ur_var *)ur__trainer_memory(t, (n + 1 + (size_t)t->net->steps + t->net->states) * sizeof(ur_var));
}

/* Plans these gradients, and after them the loss, every output and, where they are handed on, the final states. */
static ur_plan *plan_of(const ur_trainer *t, size_t n, ur_var *root, size_t memory)
{
    const ur_net *net = t->net;
    root[n++] = net->loss;
    memcpy(root + n, net->o, (size_t)net->steps * sizeof *root);
    n += (size_t)net->steps;
    for (size_t i = 0; i < net->states && t->windows; i++)
        root[n++] = net->state[i].final;
    return ur_plan_new(net->tape, &(ur_plan_options){.roots = n, .root = root, .pool = net->pool, .memory = memory});
}

static ur_plan *plan_forward(ur_trainer *t, size_t memory)
{
    ur_var *root = ur__new_roots(t, 0);
    return root ? plan_of(t, 0, root, memory) : NULL;
}

/* The plans. That of evaluation, which needs less, may take a third of the memory, the other one what is left. */
static bool make_plans(ur_trainer *t)
{
    size_t memory = t->options.memory;
    if (t->valid.data.n > 0 || t->looks_first) {
        t->forward = plan_forward(t, memory ? (memory + 2) / 3 : 0);
        memory -= memory ? ur_plan_bytes(t->forward) : 0;
    }
    t->plan = plan_of(t, t->roots, t->root, memory);
    return !ur_tape_error(t->net->tape);
}

static bool prepare(ur_trainer *t, const ur_data *data)
{
    if (t->options.stateful && !(t->windows = ur__windows_new(t, data)))
        return false;
    bool several = t->net->batch < ur_train_count(&t->options, data->n) || (t->windows && t->windows->count > 1);
    t->looks_first = t->options.until_zero_errors && (several || t->net->training.tape);
    return divide(t, data) && ur__update_prepare(t) && make_plans(t);
}

ur_trainer *ur_trainer_new(ur_net *net, const ur_data *data, const ur_train_options *options)
{
    if (!net)
        return NULL;
    if (!options) {
        ur_tape_fail(net->tape, "ur_trainer_new: options with a rate were expected, there are none");
        return NULL;
    }
    bool fits = options->stateful ? ur__windows_fit(net, data) : ur_net_fits(net, data);
    if (!fits || !check_options(net->tape, options, data->n) || !ur_net_differentiate(net))
        return NULL;
    ur_trainer *t = (ur_trainer *)ur__take(net->tape, sizeof *t);
    if (!t)
        return NULL;
    *t = (ur_trainer){.net = net, .options = complete(options), .best_loss = INFINITY};
    if (ur_net_track(net) && prepare(t, data))
        return t;
    ur_trainer_free(t);
    return NULL;
}

void ur_trainer_free(ur_trainer *trainer)
{
    if (!trainer)
        return;
    empty(trainer);
    ur__give(trainer->net->tape, trainer, sizeof *trainer);
}

/* ---- a batch */

/* The number of the training step that dropout's masks belong to; -1 for evaluation, without dropout. */
static bool set_step(ur_trainer *t, int64_t number)
{
    double value = (double)number;
    return !t->net->training.tape || ur_write(t->net->training, 1, &value);
}

static int64_t batch_count(const ur_trainer *t, const ur__part *part, int64_t first)
{
    int64_t left = part->data.n - first;
    return left < t->net->batch ? left : t->net->batch;
}

/* The number of runs that the batch from sequence `first` on takes: one for each window, or one. */
static int64_t runs_of(const ur_trainer *t, const ur__part *part, int64_t first)
{
    return t->windows ? ur__windows_lasting(t->windows, part->window, first, batch_count(t, part, first)) : 1;
}

/* Writes the batch that begins with sequence `first` to the inputs, unless they hold it. */
static bool bind(ur_trainer *t, const ur_data *data, int64_t first, int64_t count)
{
    if (t->bound == data && t->first == first && t->binds == t->net->binds)
        return true;
    bool good = ur_net_bind(t->net, data, first, count);
    t->bound = data;
    t->first = first;
    t->binds = t->net->binds;
    return good;
}

/* Counts the errors of a batch after the last of its runs. */
static bool count_errors(ur_trainer *t, ur_plan *plan, const ur__part *part, int64_t first, ur_score *score)
{
    const ur_net *net = t->windows ? &t->windows->whole : t->net;
    return ur_net_score(net, plan, &part->data, first, batch_count(t, part, first), score);
}

/* Does run number r of a batch and adds its loss to the score, after the last run the batch's errors too. */
static bool run_batch(ur_trainer *t, ur_plan *plan, const ur__part *part, int64_t first, int64_t r, ur_score *score)
{
    const ur_data *data = t->windows ? &part->window[r] : &part->data;
    int64_t count = batch_count(t, part, first);
    bool last = r + 1 == runs_of(t, part, first);
    double loss, mine = weigh(data, t->net->options.reduction, first, count);
    if (t->windows && r == 0)
        ur__windows_begin(t->windows);
    if (!bind(t, data, first, count) || !ur_plan_run(plan) || !ur_read(plan, t->net->loss, 1, &loss) ||
        (t->windows && !ur__windows_hand_on(t->windows, t->net, plan, r)))
        return false;
    score->loss += part->weight > 0 ? loss * (mine / part->weight) : 0;
    if (t->windows && last)
        ur__windows_end(t->windows);
    return !last || count_errors(t, plan, part, first, score);
}

/* The score of a part under the present parameters. */
static bool look(ur_trainer *t, const ur__part *part, ur_score *score)
{
    if (!set_step(t, -1))
        return false;
    for (int64_t first = 0; first < part->data.n; first += t->net->batch)
        for (int64_t r = 0; r < runs_of(t, part, first); r++)
            if (!run_batch(t, t->forward, part, first, r, score))
                return false;
    return true;
}

/* ---- an epoch */

static void reorder(ur_trainer *t)
{
    int64_t n = t->train.data.n;
    ur_shuffle(n, t->order, t->options.seed, t->epoch + 1);
    for (int64_t k = 0; k < n; k++)
        t->order[k] = t->rows[t->order[k]];
    ur_longest_first(&t->train.data, t->net->batch, n, t->order);
    t->bound = NULL;
}

/* The updates of one batch; where one run is all, it ends before the update if nothing is wrong. */
static ur_progress learn_batch(ur_trainer *t, int64_t first, ur_score *score)
{
    bool watches = t->options.until_zero_errors && !t->looks_first;
    for (int64_t r = 0; r < runs_of(t, &t->train, first); r++) {
        if (!set_step(t, t->updates + 1) || !run_batch(t, t->plan, &t->train, first, r, score))
            return UR_FAILED;
        if (watches && score->wrong_positions == 0)
            return UR_FLAWLESS;
        if (!ur__update(t))
            return UR_FAILED;
    }
    return UR_TRAINED;
}

/* One pass over the batches, with updates. */
static ur_progress pass(ur_trainer *t, ur_score *score)
{
    ur_progress progress = UR_TRAINED;
    *score = (ur_score){0};
    for (int64_t first = 0; first < t->train.data.n && progress == UR_TRAINED; first += t->net->batch)
        progress = learn_batch(t, first, score);
    return progress;
}

static bool out_of_patience(const ur_trainer *t)
{
    return t->best && t->waited >= t->options.patience;
}

/* Keeps the parameters and running averages as they are now. */
static void keep_best(ur_trainer *t)
{
    const ur_net *net = t->net;
    size_t count, bytes = ur__average_bytes(net);
    const void *theta = ur_params(net->tape, &count);
    memcpy(t->best, theta, count * ur_dtype_bytes(ur_tape_dtype(net->tape)));
    for (size_t i = 0; i < net->averages; i++)
        memcpy((char *)t->best_average + i * bytes, ur_leaf(net->average[i].leaf), bytes);
}

static void take_best_back(const ur_trainer *t)
{
    const ur_net *net = t->net;
    size_t count, bytes = ur__average_bytes(net);
    void *theta = ur_params(net->tape, &count);
    memcpy(theta, t->best, count * ur_dtype_bytes(ur_tape_dtype(net->tape)));
    for (size_t i = 0; i < net->averages; i++)
        memcpy(ur_leaf(net->average[i].leaf), (const char *)t->best_average + i * bytes, bytes);
}

/* Takes notice of the epoch's loss: is it the best, and for how long has there been no better one? */
static void observe(ur_trainer *t, double loss)
{
    if (loss < t->best_loss) {
        t->best_loss = loss;
        t->waited = 0;
        if (t->best)
            keep_best(t);
        return;
    }
    t->waited++;
    if (t->options.schedule == UR_PLATEAU && t->waited >= t->options.patience) {
        t->halvings++;
        t->waited = 0;
    }
}

static bool validate(ur_trainer *t)
{
    t->score = (ur_score){0};
    return look(t, &t->valid, &t->score);
}

/* Patience has run out: the network is again what it was with the best loss, and so is the score. */
static ur_progress stop(ur_trainer *t)
{
    if (t->best_loss < INFINITY)
        take_best_back(t);
    return validate(t) ? UR_STOPPED : UR_FAILED;
}

/* What follows the updates of an epoch. */
static ur_progress finish(ur_trainer *t, const ur_score *score)
{
    bool validates = t->valid.data.n > 0;
    t->epoch++;
    if (validates && !validate(t))
        return UR_FAILED;
    observe(t, validates ? t->score.loss : score->loss);
    return out_of_patience(t) ? stop(t) : UR_TRAINED;
}

ur_progress ur_trainer_epoch(ur_trainer *t, ur_score *score)
{
    if (score)
        *score = (ur_score){0};
    if (t && !score)
        ur_tape_fail(t->net->tape, "ur_trainer_epoch: a ur_score was expected, there is none");
    if (!t || !score || ur_tape_error(t->net->tape))
        return UR_FAILED;
    if (out_of_patience(t))
        return stop(t);
    if (t->options.shuffle)
        reorder(t);
    if (t->looks_first) {
        if (!look(t, &t->train, score))
            return UR_FAILED;
        if (score->wrong_positions == 0)
            return UR_FLAWLESS;
    }
    ur_progress progress = pass(t, score);
    set_step(t, -1);
    return progress == UR_TRAINED ? finish(t, score) : progress;
}

/* ---- looking at it */

const ur_score *ur_trainer_valid(const ur_trainer *trainer)
{
    return trainer && trainer->score.sequences ? &trainer->score : NULL;
}

int64_t ur_trainer_epochs(const ur_trainer *trainer)
{
    return trainer ? trainer->epoch : 0;
}

double ur_trainer_rate(const ur_trainer *trainer)
{
    if (!trainer)
        return 0;
    const ur_train_options *o = &trainer->options;
    return o->rate * ur_schedule_factor(o->schedule, trainer->epoch + 1, o->epochs, trainer->halvings);
}

size_t ur_trainer_bytes(const ur_trainer *trainer)
{
    size_t bytes = ur_trainer_plan_bytes(trainer);
    for (const ur__table *table = trainer ? trainer->table : NULL; table; table = table->next)
        bytes += table->bytes;
    return bytes;
}

size_t ur_trainer_plan_bytes(const ur_trainer *trainer)
{
    return trainer ? ur_plan_bytes(trainer->plan) + ur_plan_bytes(trainer->forward) : 0;
}

bool ur_trainer_explain(const ur_trainer *trainer, FILE *out)
{
    if (!trainer || !out)
        return false;
    fprintf(out, "plan of training\n");
    bool good = ur_plan_explain(trainer->plan, out);
    if (!trainer->forward)
        return good;
    fprintf(out, "\nplan of evaluation\n");
    return ur_plan_explain(trainer->forward, out) && good;
}

bool ur_net_evaluate(ur_net *net, const ur_data *data, ur_score *score)
{
    if (net && !score)
        ur_tape_fail(net->tape, "ur_net_evaluate: a ur_score to add to was expected, there is none");
    if (net && !net->options.loss)
        ur_tape_fail(net->tape, "%s: the network was recorded without a loss, there is nothing to evaluate",
                     net->options.cell->name);
    if (!net || !score || ur_tape_error(net->tape) || !ur_net_fits(net, data))
        return false;
    ur_trainer t = {.net = net};
    int64_t *order = rows_of(&t, data);
    if (order)
        ur_longest_first(data, net->batch, data->n, order);
    t.forward = order ? plan_forward(&t, 0) : NULL;
    ur__part part = part_of(data, net->options.reduction, order, data->n);
    bool good = t.forward && look(&t, &part, score);
    empty(&t);
    return good;
}
