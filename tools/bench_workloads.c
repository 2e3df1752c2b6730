/* bench_workloads.c - the workloads of `unroll bench`, and what is timed of them.
 *
 * Training: forward, backward through time and theta <- theta - rate * gradient, over all B x T positions, of the loss
 * summed over all of them. The plan's roots are the parameters' gradients and the loss, so nothing else is computed.
 * Data are a task's x and y, cut or filled with zeros to T steps, or uniform numbers; the weights are Glorot's. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static const uint64_t seed = 1;

/* The lecture's cell with a forget gate as a user writes it, for the comparison with the library's own. */
static ur_var composed_step(ur_tape *tape, const ur_net_options *net, ur_var x, ur_var *state)
{
    (void)net;
    ur_var h = state[0], u = ur_tanh(ur_affine(tape, "u", x, h));
    ur_var phi = ur_sigmoid(ur_affine(tape, "phi", x, h)), kept = ur_mul(phi, h);
    state[0] = ur_add(kept, ur_mul(ur_one_minus(phi), u));
    return state[0];
}

static const ur_cell composed = {.name = "composed", .states = 1, .state = {{.name = "h"}}, .step = composed_step};

/* ---- data */

/* Uniform in -most..most. */
static void fill(double *values, int64_t count, const char *stream, double most)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = most * (2 * ur_random(seed, stream, (uint64_t)i) - 1);
}

/* The first `steps` of each sequence's [from_steps,width] numbers; where there are fewer, zeros stay. */
static void copy_steps(double *to, int64_t steps, const double *from, int64_t from_steps, int64_t n, int64_t width)
{
    size_t bytes = (size_t)((steps < from_steps ? steps : from_steps) * width) * sizeof *to;
    for (int64_t k = 0; k < n; k++)
        memcpy(to + k * steps * width, from + k * from_steps * width, bytes);
}

static void copy_lengths(ur_data *to, const ur_data *from)
{
    for (int64_t k = 0; k < to->n; k++)
        to->lengths[k] = from->lengths[k] < to->steps ? from->lengths[k] : to->steps;
}

/* Sequences of the workload's task, no longer than its own number of steps, whatever the command line's is. */
static bool draw(const bench_task *task, ur_data *data, ur_error *error)
{
    const bench_workload *w = task->workload;
    const ur_task_options rules = {.count = data->n, .max_length = w->sizes.steps, .seed = seed};
    ur_data *drawn = ur_task_data(w->task, &rules, NULL, error);
    if (!drawn)
        return false;
    copy_steps(data->x, data->steps, drawn->x, drawn->steps, data->n, data->inputs);
    copy_steps(data->y, data->steps, drawn->y, drawn->steps, data->n, data->outputs);
    if (w->flags & BENCH_LENGTHS)
        copy_lengths(data, drawn);
    ur_data_free(drawn);
    return true;
}

static ur_data *data_of(const bench_task *task)
{
    const bench_sizes *s = &task->sizes;
    int64_t outputs = s->outputs ? s->outputs : s->hidden, positions = s->batch * s->steps;
    ur_error error = {{0}};
    ur_data *data = ur_data_new(s->batch, s->steps, s->inputs, outputs,
                                task->workload->flags & BENCH_LENGTHS ? UR_DATA_LENGTHS : 0, NULL, &error);
    if (data && !task->workload->task) {
        fill(data->x, positions * s->inputs, "x", sqrt(3)); /* of variance 1 */
        fill(data->y, positions * outputs, "y", 0.5);
    } else if (data && !draw(task, data, &error)) {
        ur_data_free(data);
        data = NULL;
    }
    if (!data)
        complain("%s: %s", task->workload->name, error.text);
    return data;
}

/* ---- networks */

typedef struct runner {
    const bench_task *task;
    ur_tape *tape;
    ur_net *net;
    ur_pool *pool;
    ur_plan *plan;
    float *x; /* of a stream, [steps,d] */
    double positions, loss;
} runner;

static void runner_free(runner *r)
{
    ur_plan_free(r->plan);
    ur_pool_free(r->pool);
    ur_tape_free(r->tape);
    free(r->x);
}

static bool report(const runner *r)
{
    const char *error = ur_tape_error(r->tape), *name = r->task->workload->name;
    return refuse("%s: %s", name, error ? error : "no memory");
}

/* Operations of the matrix products for one position. G gates of m units: 2 G m (d + m) forward and again for the
 * weights' gradient, 2 G m m for the gradient of h, none of x. mLSTM, counted step by step: its gates read x, and of the
 * memory [m,m] the update and the reading take 2 m m each, their gradients twice that. The output layer: 2 m p, three
 * times. */
static double flops(const runner *r, bool backward)
{
    const ur_net_options *o = &r->net->options;
    double d = (double)o->inputs, m = (double)o->hidden, p = o->out ? (double)o->outputs : 0;
    double units = r->task->workload->gates * m, inward = 2 * units * (d + m), across = 2 * units * m, memory = 0;
    if (r->task->workload->gates == 0) {
        inward = 2 * (4 * m + 2) * d;
        memory = 4 * m * m;
    }
    return backward ? 2 * inward + across + 3 * memory + 6 * m * p : inward + memory + 2 * m * p;
}

static ur_net_options net_options(const bench_task *task)
{
    const bench_workload *w = task->workload;
    return (ur_net_options){.cell = strcmp(w->cell, composed.name) == 0 ? &composed : ur_cell_find(w->cell),
                            .inputs = task->sizes.inputs,
                            .hidden = task->sizes.hidden,
                            .outputs = task->sizes.outputs,
                            .out = w->task ? UR_SIGMOID : UR_NO_ACTIVATION,
                            .loss = w->task ? UR_BCE : UR_MSE,
                            .reduction = UR_SUM_ALL,
                            .chunk = w->flags & BENCH_CHUNKS ? BENCH_CHUNK : 0};
}

/* Records a network of so many steps with its initial weights. */
static bool record(runner *r, const ur_net_options *shape, int64_t steps)
{
    r->tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F32});
    r->net = ur_net_new(r->tape, shape, steps, r->task->sizes.batch);
    return r->net && ur_params_init(r->tape, UR_GLOROT_UNIFORM, seed);
}

static void tell_sizes(const runner *r, bench_result *result)
{
    result->plan_bytes = (double)ur_plan_bytes(r->plan);
    result->tape_bytes = (double)ur_tape_bytes(r->tape);
    result->tape_nodes = (double)ur_tape_nodes(r->tape);
}

/* ---- training */

/* The roots: every parameter's gradient, so that they are one vector as the parameters are, and the loss. */
static bool plan_training(runner *r)
{
    ur_net *net = r->net;
    if (!ur_net_differentiate(net))
        return false;
    ur_var *root = (ur_var *)ur_tape_memory(r->tape, (net->params + 1) * sizeof *root);
    if (!root)
        return false;
    memcpy(root, net->gradient, net->params * sizeof *root);
    root[net->params] = net->loss;
    r->pool = r->task->threads > 1 ? ur_pool_new((int)r->task->threads, NULL) : NULL;
    r->plan = ur_plan_new(r->tape, &(ur_plan_options){.roots = net->params + 1, .root = root, .pool = r->pool});
    return r->plan != NULL;
}

static bool bind(runner *r)
{
    ur_data *data = data_of(r->task);
    int64_t *order = data ? (int64_t *)ur_tape_memory(r->tape, (size_t)data->n * sizeof *order) : NULL;
    for (int64_t k = 0; order && k < data->n; k++)
        order[k] = k;
    if (order) {
        ur_longest_first(data, data->n, data->n, order);
        data->order = order;
    }
    bool good = order && (ur_net_bind(r->net, data, 0, data->n) || report(r));
    r->positions = (double)(r->net->batch * r->net->steps);
    if (good && data->lengths) {
        r->positions = 0;
        for (int64_t k = 0; k < data->n; k++)
            r->positions += (double)data->lengths[k];
    }
    ur_data_free(data);
    return good;
}

static bool train_step(void *context)
{
    runner *r = (runner *)context;
    if (!ur_plan_run(r->plan))
        return report(r);
    size_t count, roots;
    float *theta = (float *)ur_params(r->tape, &count), rate = (float)r->task->workload->rate;
    const float *gradient = (const float *)ur_plan_roots(r->plan, &roots);
    for (size_t i = 0; i < count; i++)
        theta[i] -= rate * gradient[i];
    r->loss = (double)gradient[count];
    return true;
}

/* The first three steps, which warm up, and the timed ones. */
static bool time_training(runner *r, double units, bench_result *result)
{
    for (int i = 0; i < 3; i++) {
        if (!train_step(r))
            return false;
        if (i == 0)
            result->loss_first = r->loss;
    }
    result->loss_third = r->loss;
    return bench_time(train_step, r, units, result);
}

/* Training, with seconds for `units` parts of a step. */
static bool measure_parts(const bench_task *task, double units, bench_result *result)
{
    runner r = {.task = task};
    ur_net_options shape = net_options(task);
    bool good = record(&r, &shape, task->sizes.steps) && plan_training(&r);
    if (!good)
        report(&r);
    good = good && bind(&r) && time_training(&r, units, result);
    if (good) {
        tell_sizes(&r, result);
        result->bytes_per_time_step = (result->plan_bytes + result->tape_bytes) / (double)task->sizes.steps;
        result->flops = r.positions / units * flops(&r, true);
    }
    runner_free(&r);
    return good;
}

static bool training(const bench_task *task, bench_result *result)
{
    return measure_parts(task, 1, result);
}

static bool training_by_steps(const bench_task *task, bench_result *result)
{
    return measure_parts(task, (double)task->sizes.steps, result);
}

/* ---- streaming: a network of one step whose states the tape hands on */

static bool plan_stream(runner *r)
{
    ur_net *net = r->net;
    bool good = true;
    for (int64_t k = 0; k < net->batch; k++)
        ((float *)ur_leaf(net->alive[0]))[k] = 1;
    for (size_t i = 0; i < net->states; i++)
        good = good && ur_state(net->state[i].start, net->state[i].final);
    ur_keep(net->o[0]);
    return good && (r->plan = ur_plan_new(r->tape, &(ur_plan_options){.fixed = true}));
}

/* An input for each step, drawn beforehand. */
static bool draw_stream(runner *r)
{
    const bench_sizes *s = &r->task->sizes;
    int64_t count = s->steps * s->inputs * s->batch;
    r->x = (float *)calloc((size_t)count, sizeof *r->x);
    for (int64_t i = 0; r->x && i < count; i++)
        r->x[i] = (float)(sqrt(3) * (2 * ur_random(seed, "x", (uint64_t)i) - 1));
    return r->x != NULL;
}

/* Every step's input goes in, every step's output comes out. */
static bool stream_steps(void *context)
{
    runner *r = (runner *)context;
    const bench_sizes *s = &r->task->sizes;
    size_t each = (size_t)(s->inputs * s->batch);
    for (int64_t t = 0; t < s->steps; t++) {
        memcpy(ur_leaf(r->net->x[0]), r->x + (size_t)t * each, each * sizeof *r->x);
        if (!ur_plan_run(r->plan) || !ur_value(r->plan, r->net->o[0]))
            return report(r);
    }
    return true;
}

static bool streaming(const bench_task *task, bench_result *result)
{
    runner r = {.task = task};
    ur_net_options shape = net_options(task);
    shape.loss = UR_NO_LOSS;
    shape.start = UR_START_GIVEN;
    bool good = record(&r, &shape, 1) && plan_stream(&r) && draw_stream(&r);
    if (!good)
        report(&r);
    good = good && stream_steps(&r) && bench_time(stream_steps, &r, (double)task->sizes.steps, result);
    if (good) {
        tell_sizes(&r, result);
        result->flops = (double)task->sizes.batch * flops(&r, false);
    }
    runner_free(&r);
    return good;
}

/* ---- a tape of scalars: c <- tanh(c x + y), again and again, and its derivatives by x and y */

static bool plan_scalars(runner *r)
{
    ur_var wrt[2] = {ur_input(r->tape, "x", UR_SCALAR), ur_input(r->tape, "y", UR_SCALAR)}, root[3] = {wrt[0]};
    const double values[2] = {0.9, 0.05};
    for (int64_t i = 0; i < r->task->sizes.steps; i++)
        root[0] = ur_tanh(ur_add(ur_mul(root[0], wrt[0]), wrt[1]));
    bool good =
        ur_write(wrt[0], 1, &values[0]) && ur_write(wrt[1], 1, &values[1]) && ur_grad(root[0], 2, wrt, root + 1);
    return good && (r->plan = ur_plan_new(r->tape, &(ur_plan_options){.roots = 3, .root = root}));
}

static bool replay(void *context)
{
    const runner *r = (const runner *)context;
    return ur_plan_run(r->plan) || report(r);
}

/* The whole life of a tape, as in a program that records anew at every step. */
static bool record_and_run(void *context)
{
    runner *r = (runner *)context;
    ur_plan_free(r->plan);
    r->plan = NULL;
    ur_tape_clear(r->tape);
    return (plan_scalars(r) || report(r)) && replay(r);
}

static bool measure_scalars(const bench_task *task, bool (*step)(void *), bench_result *result)
{
    runner r = {.task = task, .tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F32})};
    bool good = record_and_run(&r) && bench_time(step, &r, 3 * (double)task->sizes.steps, result);
    if (good)
        tell_sizes(&r, result);
    runner_free(&r);
    return good;
}

static bool scalars(const bench_task *task, bench_result *result)
{
    return measure_scalars(task, record_and_run, result);
}

static bool scalars_again(const bench_task *task, bench_result *result)
{
    return measure_scalars(task, replay, result);
}

/* ---- a process: this command, with nothing to see of it */

static bool run_child(const bench_task *task, char *const *words)
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        execv("/proc/self/exe", words);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return refuse("%s: no process could be started", task->workload->name);
    return status == 0 ||
           refuse("%s: `unroll train %s` did not end with status 0", task->workload->name, task->workload->cell);
}

static bool first_epoch(void *context)
{
    enum { NUMBER = 24 };
    const bench_task *task = (const bench_task *)context;
    const bench_sizes *s = &task->sizes;
    char hidden[NUMBER], count[NUMBER], longest[NUMBER], self[] = "unroll", train[] = "train", cell[16], name[16];
    char epochs[] = "--epochs=1", quiet[] = "--quiet";
    snprintf(hidden, sizeof hidden, "--hidden=%lld", (long long)s->hidden);
    snprintf(count, sizeof count, "--count=%lld", (long long)s->batch);
    snprintf(longest, sizeof longest, "--max-length=%lld", (long long)s->steps);
    snprintf(cell, sizeof cell, "%s", task->workload->cell);
    snprintf(name, sizeof name, "--task=%s", task->workload->task);
    char *const words[] = {self, train, cell, name, hidden, count, longest, epochs, quiet, NULL};
    return run_child(task, words);
}

static bool process(const bench_task *task, bench_result *result)
{
    bench_task own = *task;
    struct rusage usage;
    if (!bench_time(first_epoch, &own, 1, result))
        return false;
    if (getrusage(RUSAGE_CHILDREN, &usage) == 0)
        result->peak_bytes = (double)usage.ru_maxrss * 1024; /* Linux counts KiB */
    return true;
}

/* ---- the table */

#define STEP "step"
#define TIME_STEP "time step"
#define NODE "node"

/* The argument that asks for it, name, unit, cell, task, gates, flags, sizes d, m, p, B, T, rate. The order is that of
 * the lines; W11 comes first, for the memory of the process that starts another one counts for that one's peak. */
static const bench_workload table[] = {
    {"W11", "W11", "process", "rnn", "reber", 1, 0, {7, 4, 7, 400, 52}, 0, process},
    {"W1", "W1", STEP, "rnn", "reber", 1, 0, {7, 4, 7, 400, 52}, 1e-4, training},
    {"W1-lengths", "W1-lengths", STEP, "rnn", "reber", 1, BENCH_LENGTHS, {7, 4, 7, 400, 52}, 1e-4, training},
    {"W2", "W2", STEP, "lstm", "ereber", 4, 0, {7, 20, 7, 400, 64}, 1e-4, training},
    {"W2-lengths", "W2-lengths", STEP, "lstm", "ereber", 4, BENCH_LENGTHS, {7, 20, 7, 400, 64}, 1e-4, training},
    {"W3", "W3", STEP, "rnn", "ereber", 1, 0, {7, 60, 7, 400, 64}, 1e-5, training},
    {"W4", "W4", STEP, "lstm", NULL, 4, 0, {128, 128, 0, 32, 100}, 1e-5, training},
    {"W5", "W5", STEP, "lstm", NULL, 4, 0, {512, 512, 0, 64, 50}, 1e-5, training},
    {"W6", "W6", TIME_STEP, "lstm", NULL, 4, 0, {64, 128, 0, 1, 1000}, 0, streaming},
    {"W7", "W7", STEP, "composed", NULL, 2, 0, {32, 64, 0, 32, 200}, 1e-5, training},
    {"W7-shipped", "W7-shipped", STEP, "gated", NULL, 2, BENCH_ONLY_NAMED, {32, 64, 0, 32, 200}, 1e-5, training},
    {"W8", "W8", STEP, "slstm", NULL, 4, 0, {32, 64, 0, 32, 200}, 1e-5, training},
    {"W8m", "W8m", STEP, "mlstm", NULL, 0, BENCH_CHUNKS, {32, 64, 0, 32, 200}, 1e-5, training},
    {"W9", "W9-100", TIME_STEP, "composed", NULL, 2, 0, {32, 64, 0, 8, 100}, 1e-7, training_by_steps},
    {"W9", "W9-1000", TIME_STEP, "composed", NULL, 2, 0, {32, 64, 0, 8, 1000}, 1e-7, training_by_steps},
    {"W9", "W9-10000", TIME_STEP, "composed", NULL, 2, 0, {32, 64, 0, 8, 10000}, 1e-7, training_by_steps},
    {"W10", "W10", NODE, NULL, NULL, 0, 0, {0, 0, 0, 0, 33333}, 0, scalars},
    {"W10", "W10-replay", NODE, NULL, NULL, 0, 0, {0, 0, 0, 0, 33333}, 0, scalars_again},
    {"W12", "W12-8", TIME_STEP, "lstm", NULL, 4, 0, {8, 8, 0, 1, 100}, 1e-5, training_by_steps},
    {"W12", "W12-32", TIME_STEP, "lstm", NULL, 4, 0, {32, 32, 0, 1, 100}, 1e-5, training_by_steps},
    {"W12", "W12-128", TIME_STEP, "lstm", NULL, 4, 0, {128, 128, 0, 1, 100}, 1e-5, training_by_steps},
};

const bench_workload *bench_workload_at(size_t k)
{
    return k < sizeof table / sizeof table[0] ? &table[k] : NULL;
}
