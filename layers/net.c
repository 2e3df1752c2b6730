/* net.c - a cell unrolled over time, stacked, in one direction or both, with an output layer and a loss.
 *
 * Lengths are data: alive_t [1,B] is 1 while a column's sequence lasts. x_t and y_t are read as select(alive_t, x_t, 0),
 * a state is written as select(alive_t, new, previous), previous in the state's own direction, an output and a position's
 * loss as select(alive_t, o, 0). So a dead position is the identity on every state, forward and backward, the last state
 * is each sequence's own last, a backward state past the end is the start, and whatever stands in the padding, NaN
 * included, reaches neither a value nor a gradient. */
#include <string.h>

#include "../graph/support.h"
#include "layers.h"

const char *const ur_loss_names[] = {"none", "bce", "ce", "mse", NULL};
const char *const ur_reduction_names[] = {"sum", "sequence", "mean", NULL};

static ur_var masked(const ur_net *net, int64_t t, ur_var value)
{
    return ur_select(net->alive[t - 1], value, ur_const(net->tape, UR_SCALAR, 0));
}

/* The mask of step t for a value of this shape: the batch is the last dimension. */
static ur_var alive(const ur_net *net, int64_t t, ur_shape shape)
{
    ur_shape mask = {.rank = shape.rank, .size = {1, 1, 1, 1}};
    mask.size[shape.rank - 1] = net->batch;
    return shape.rank == 2 ? net->alive[t - 1] : ur_reshape(net->alive[t - 1], mask);
}

static ur_var *new_row(const ur_net *net)
{
    return (ur_var *)ur_tape_memory(net->tape, (size_t)net->steps * sizeof(ur_var));
}

/* ---- options */

/* Is the descriptor, which may be a user's own, complete? */
static bool is_cell(ur_tape *tape, const ur_cell *cell)
{
    if (!cell->name)
        ur_tape_fail(tape, "ur_net_new: a cell with a name was expected, it has none");
    else if (!cell->step)
        ur_tape_fail(tape, "%s: a cell with a step was expected, it has none", cell->name);
    else if (cell->states < 0 || cell->states > UR_STATES)
        ur_tape_fail(tape, "%s: a cell of 0 to %d states was expected, it has %d", cell->name, UR_STATES, cell->states);
    for (int i = 0; i < cell->states && !ur_tape_error(tape); i++)
        if (!cell->state[i].name)
            ur_tape_fail(tape, "%s: %d states with names were expected, state[%d] has none", cell->name, cell->states,
                         i);
    return !ur_tape_error(tape);
}

static bool has_cell(ur_tape *tape, const ur_net_options *o)
{
    if (!o || !o->cell) {
        ur_tape_fail(tape, "ur_net_new: a cell was expected, there is none");
        return false;
    }
    return !ur_tape_error(tape) && is_cell(tape, o->cell) && (!o->cell->back || is_cell(tape, o->cell->back));
}

static bool is_size(int64_t n)
{
    return n >= 1 && n <= INT32_MAX;
}

static bool has_sizes(ur_tape *tape, const ur_net_options *o, int64_t steps, int64_t batch)
{
    if (!is_size(o->inputs) || !is_size(o->hidden) || (o->out && !is_size(o->outputs)))
        ur_tape_fail(tape, "%s: sizes from 1 to %d were expected, not %lld inputs, %lld hidden units, %lld outputs",
                     o->cell->name, INT32_MAX, (long long)o->inputs, (long long)o->hidden, (long long)o->outputs);
    else if (o->layers && !is_size(o->layers))
        ur_tape_fail(tape, "%s: from 1 to %d layers were expected, not %lld", o->cell->name, INT32_MAX,
                     (long long)o->layers);
    else if (steps < 1 || batch < 1)
        ur_tape_fail(tape, "%s: at least one step and one sequence were expected, not %lld and %lld", o->cell->name,
                     (long long)steps, (long long)batch);
    else if (o->heads < 0 || (o->cell->heads && o->heads > 1 && o->hidden % o->heads != 0))
        ur_tape_fail(tape, "%s: %lld hidden units cannot be divided into %lld heads", o->cell->name,
                     (long long)o->hidden, (long long)o->heads);
    else if (!(o->dropout >= 0 && o->dropout < 1 && o->recurrent_dropout >= 0 && o->recurrent_dropout < 1))
        ur_tape_fail(tape, "%s: probabilities of dropout from 0 to below 1 were expected, not %g and %g", o->cell->name,
                     o->dropout, o->recurrent_dropout);
    else if (o->bptt < 0 || o->chunk < 0)
        ur_tape_fail(tape, "%s: numbers of steps from 0 were expected, not bptt %lld, chunk %lld", o->cell->name,
                     (long long)o->bptt, (long long)o->chunk);
    return !ur_tape_error(tape);
}

/* Is every choice one of those that there are? */
static bool has_choices(ur_tape *tape, const ur_net_options *o)
{
    const struct {
        const char *name;
        unsigned value, last;
    } choices[] = {{"hidden_activation", o->hidden_activation, UR_SOFTMAX},
                   {"out", o->out, UR_SOFTMAX},
                   {"loss", o->loss, UR_MSE},
                   {"reduction", o->reduction, UR_MEAN_ALL},
                   {"start", o->start, UR_START_LEARNED}};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (choices[i].value > choices[i].last)
            ur_tape_fail(tape, "%s: %s is %u, one of the choices 0 to %u was expected", o->cell->name, choices[i].name,
                         choices[i].value, choices[i].last);
    return !ur_tape_error(tape);
}

/* Do the options go together, and with the cell? */
static bool consistent(ur_tape *tape, const ur_net_options *o)
{
    const char *cell = o->cell->name;
    if (o->bidirectional && o->cell->back)
        ur_tape_fail(tape, "%s: runs in both directions itself and cannot be made bidirectional", cell);
    else if (o->recurrent_dropout > 0 && !o->cell->recurrent)
        ur_tape_fail(tape, "%s: recurrent dropout was asked for, but no state goes through recurrent weights", cell);
    else if (o->layer_norm && o->batch_norm)
        ur_tape_fail(tape, "%s: a layer's output is normalised over its units or over the batch, not both", cell);
    else if (o->chunk && !o->cell->chunks)
        ur_tape_fail(tape, "%s: has no form for several steps at once, chunk must be 0", cell);
    else if (o->chunk && o->bptt % o->chunk != 0)
        ur_tape_fail(tape, "%s: gradients are cut after %lld steps, within a chunk of %lld", cell, (long long)o->bptt,
                     (long long)o->chunk);
    return !ur_tape_error(tape);
}

static ur_net_options completed(const ur_net_options *options)
{
    ur_net_options o = *options;
    o.layers = o.layers ? o.layers : 1;
    o.heads = o.heads && o.cell->heads ? o.heads : 1;
    o.hidden_activation = o.hidden_activation ? o.hidden_activation : UR_TANH;
    o.keep = UR_ZERO;
    return o;
}

static bool two_directions(const ur_net_options *o)
{
    return o->bidirectional || (o->cell && o->cell->back);
}

int64_t ur_net_outputs(const ur_net_options *options)
{
    if (!options || options->out)
        return options ? options->outputs : 0;
    return two_directions(options) ? 2 * options->hidden : options->hidden;
}

/* ---- inputs */

static bool inputs(ur_net *net, const char *name, int64_t rows, ur_var **out)
{
    *out = new_row(net);
    return *out && ur_inputs(net->tape, name, UR_SHAPE(rows, net->batch), net->steps, *out);
}

static bool add_inputs(ur_net *net)
{
    const ur_net_options *o = &net->options;
    bool good = inputs(net, "x", o->inputs, &net->x) && inputs(net, "alive", 1, &net->alive);
    if (o->loss) {
        good = good && inputs(net, "y", ur_net_outputs(o), &net->y);
        if (o->weighted)
            good = good && inputs(net, "weight", 1, &net->weight);
        net->factor = ur_input(net->tape, "factor", UR_SCALAR);
    }
    bool drops = o->dropout > 0 || o->recurrent_dropout > 0;
    if (drops || o->batch_norm) {
        double evaluation = -1;
        net->training = ur_input(net->tape, "training", UR_SCALAR);
        good = good && ur_write(net->training, 1, &evaluation);
    }
    if (drops)
        net->sequences = ur_input(net->tape, "sequences", UR_SHAPE(1, net->batch));
    size_t sweeps = (size_t)o->layers * 2;
    net->o = new_row(net);
    net->state = (ur_net_state *)ur_tape_memory(net->tape, sweeps * UR_STATES * sizeof *net->state);
    net->average = (ur_net_average *)ur_tape_memory(net->tape, sweeps * 2 * sizeof *net->average);
    return good && net->o && net->state && net->average;
}

/* Writes the module of a layer, `layer1`; "" where there is only one. */
enum { LAYER_NAME = 32 };
static void layer_name(const ur_net *net, int64_t layer, char text[LAYER_NAME])
{
    text[0] = 0;
    if (net->options.layers > 1)
        snprintf(text, LAYER_NAME, "layer%lld", (long long)layer);
}

/* A name with the modules of its layer and direction before it: `layer1.back.c`. */
static const char *full_name(const ur_net *net, int64_t layer, bool back, const char *name)
{
    enum { LONGEST = 64 };
    char *text = (char *)ur_tape_memory(net->tape, LONGEST), module[LAYER_NAME];
    layer_name(net, layer, module);
    if (text && snprintf(text, LONGEST, "%s%s%s%s", module, *module ? "." : "", back ? "back." : "", name) >= LONGEST)
        ur_tape_fail(net->tape, "%s: the name of the state %s is too long", net->options.cell->name, name);
    return text;
}

/* An input of which every element is `value` until it is written. */
static ur_var filled(ur_tape *tape, const char *name, ur_shape shape, double value)
{
    ur_var leaf = ur_input(tape, name ? name : "", shape);
    void *data = value != 0 && !ur_tape_error(tape) ? ur_leaf(leaf) : NULL;
    for (size_t i = 0; data && i < ur_shape_count(shape); i++)
        ur__put(ur_tape_dtype(tape), data, i, value);
    return leaf;
}

/* ---- dropout */

/* What a mask of a sweep is for: its numbers are drawn from a stream of its own. t is 0 for the whole sequence. */
static uint32_t stream_of(const ur_net *net, int64_t layer, bool backward, int64_t t)
{
    return (uint32_t)((t * net->options.layers + layer) * 2 + backward);
}

/* 1 with probability p = 1 - dropout, else 0, divided by p: the mean is 1; in evaluation it is p/p = 1 everywhere. */
static ur_var dropout_mask(const ur_net *net, double dropout, uint32_t stream)
{
    const ur_net_options *o = &net->options;
    ur_var mask = ur_mask(net->training, net->sequences, 1 - dropout, o->hidden, o->seed, stream);
    return ur_div(mask, ur_const(net->tape, UR_SCALAR, 1 - dropout));
}

/* ---- one direction of one layer */

/* A cell run over the steps of one layer: from 1 to T, or back. */
typedef struct sweep {
    const ur_net *net;
    const ur_cell *cell;
    int64_t layer;
    bool backward;
    bool back;              /* in the module `back` */
    ur_net_options options; /* the network's, with recurrent dropout's mask */
    ur_var state[UR_STATES];
    ur_shape shape[UR_STATES];
} sweep;

static ur_var start_of(const sweep *s, const ur_cell_state *state, ur_shape shape, const char *name)
{
    ur_tape *tape = s->net->tape;
    ur_start start = s->net->options.start;
    if (start == UR_START_GIVEN)
        return filled(tape, name, shape, state->start);
    if (start == UR_START_FIXED || state->scale)
        return ur_const(tape, shape, state->start);
    enum { LONGEST = 32 };
    char own[LONGEST];
    if (snprintf(own, sizeof own, "%s0", state->name) >= LONGEST)
        ur_tape_fail(tape, "%s: the name of the state %s is too long", s->cell->name, state->name);
    ur_shape column = shape;
    column.rank--;
    /* a vector, whatever the state's shape: initial values of matrices are not for it */
    ur_var vector = ur_param(tape, own, UR_SHAPE((int64_t)ur_shape_count(column)));
    return ur_broadcast(column.rank == 1 ? vector : ur_reshape(vector, column), shape);
}

/* The shape of a state. A cell of a user's own may tell one that is none of a state's. */
static ur_shape shape_of(const ur_net *net, const ur_cell *cell, const ur_cell_state *state)
{
    char text[UR_SHAPE_TEXT];
    const ur_shape plain = UR_SHAPE(net->options.hidden, net->batch);
    ur_shape shape = state->shape ? state->shape(&net->options, net->batch) : plain;
    if (shape.rank >= 2 && shape.rank <= UR_RANK && shape.size[shape.rank - 1] == net->batch)
        return shape;
    ur_tape_fail(net->tape,
                 "%s: the state %s was expected to have 2 to %d dimensions, the batch %lld last, it has %d: %s",
                 cell->name, state->name, UR_RANK, (long long)net->batch, shape.rank, ur_shape_text(shape, text));
    return plain;
}

static void add_start(ur_net *net, sweep *s)
{
    for (int i = 0; i < s->cell->states; i++) {
        const ur_cell_state *state = &s->cell->state[i];
        const char *name = full_name(net, s->layer, s->back, state->name);
        ur_shape shape = s->shape[i] = shape_of(net, s->cell, state);
        s->state[i] = start_of(s, state, shape, name);
        net->state[net->states + (size_t)i] =
            (ur_net_state){.name = name, .shape = shape, .start = s->state[i], .scale = state->scale};
    }
}

/* The i-th step of a sweep, from 0, is step t. */
static int64_t step_at(const sweep *s, int64_t i)
{
    return s->backward ? s->net->steps - i : i + 1;
}

/* Truncated back-propagation: before the i-th step of a sweep the states may be cut from their past. */
static void cut_before(sweep *s, int64_t i)
{
    int64_t k = s->net->options.bptt;
    for (int q = 0; k > 0 && i > 0 && i % k == 0 && q < s->cell->states; q++)
        s->state[q] = ur_detach(s->state[q]);
}

/* A wrong shape would show later, where the value is masked or read, or be broadcast. */
static void check_shape(const sweep *s, const char *what, ur_var value, ur_shape expected)
{
    char own[UR_SHAPE_TEXT], text[UR_SHAPE_TEXT];
    ur_node node;
    if (!ur_tape_error(s->net->tape) && ur_look(value, &node) && !ur_shape_equal(node.shape, expected))
        ur_tape_fail(s->net->tape, "%s: its step gave %s as %s, %s was expected", s->cell->name, what,
                     ur_shape_text(node.shape, own), ur_shape_text(expected, text));
}

static void check_shapes(const sweep *s, ur_var made)
{
    check_shape(s, "the output", made, UR_SHAPE(s->net->options.hidden, s->net->batch));
    for (int q = 0; q < s->cell->states; q++)
        check_shape(s, s->cell->state[q].name, s->state[q], s->shape[q]);
}

static void one_step(sweep *s, int64_t i, const ur_var *in, ur_var *out)
{
    const ur_net *net = s->net;
    int64_t t = step_at(s, i);
    ur_var previous[UR_STATES];
    ur_step(net->tape, t);
    cut_before(s, i);
    memcpy(previous, s->state, sizeof previous);
    ur_scope_open(net->tape, s->cell->name);
    ur_var made = s->cell->step(net->tape, &s->options, in[t - 1], s->state);
    ur_scope_close(net->tape);
    if (i == 0)
        check_shapes(s, made);
    out[t - 1] = made;
    for (int q = 0; q < s->cell->states; q++) {
        bool leaves = made.index == s->state[q].index; /* one value of both kinds: what readers see of it is masked */
        s->state[q] = ur_select(alive(net, t, s->shape[q]), s->state[q], previous[q]);
        if (leaves)
            out[t - 1] = s->state[q];
    }
}

/* All steps by the cell's form for several at once. */
static void all_chunks(sweep *s, const ur_var *in, ur_var *out)
{
    const ur_net *net = s->net;
    ur_scope_open(net->tape, s->cell->name);
    const ur_steps steps = {.count = net->steps, .backward = s->backward, .x = in, .alive = net->alive, .h = out};
    s->cell->chunks(net->tape, &s->options, &steps, s->state);
    ur_scope_close(net->tape);
}

/* Runs the cell over all steps of `in` and writes its outputs to `out`. */
static void run_sweep(ur_net *net, const ur_cell *cell, int64_t layer, bool backward, const ur_var *in, ur_var *out)
{
    const ur_net_options *o = &net->options;
    sweep s = {.net = net, .cell = cell, .layer = layer, .backward = backward, .options = *o};
    s.back = backward && !o->cell->back;
    if (s.back)
        ur_module_open(net->tape, "back");
    add_start(net, &s);
    if (o->recurrent_dropout > 0)
        s.options.keep = dropout_mask(net, o->recurrent_dropout, stream_of(net, layer, backward, 0));
    if (o->chunk)
        all_chunks(&s, in, out);
    for (int64_t i = 0; i < net->steps && !o->chunk; i++)
        one_step(&s, i, in, out);
    ur_step(net->tape, 0);
    if (s.back)
        ur_scope_close(net->tape);
    for (int i = 0; i < cell->states; i++)
        net->state[net->states + (size_t)i].final = s.state[i];
    net->states += (size_t)cell->states;
}

/* ---- layers */

/* gamma * h + beta. */
static ur_var stretched(const ur_net *net, ur_var h)
{
    ur_shape shape = UR_SHAPE(net->options.hidden);
    ur_var scaled = ur_mul(h, ur_param(net->tape, "gamma", shape));
    return ur_add(scaled, ur_param(net->tape, "beta", shape));
}

/* Batch normalisation of one direction of one layer. The arrays have an element for each step. */
typedef struct batch_norm {
    ur_net *net;
    ur_var training;               /* 1 in training, else 0 */
    ur_var *count, *sum, *scatter; /* alive columns, the sum of h over them, that of its squared distances */
    ur_net_average *mean, *variance;
} batch_norm;

static ur_net_average *new_average(ur_net *net, const char *name, double start)
{
    ur_net_average *a = &net->average[net->averages++];
    *a = (ur_net_average){.name = name, .leaf = filled(net->tape, name, UR_SHAPE(net->options.hidden), start)};
    return a;
}

static bool new_batch_norm(ur_net *net, int64_t layer, bool backward, batch_norm *b)
{
    *b = (batch_norm){.net = net, .count = new_row(net), .sum = new_row(net), .scatter = new_row(net)};
    b->mean = new_average(net, full_name(net, layer, backward, "mean"), 0);
    b->variance = new_average(net, full_name(net, layer, backward, "variance"), 1);
    ur_var half = ur_const(net->tape, UR_SCALAR, 0.5);
    b->training = ur_step_function(ur_add(net->training, half)); /* from number 0 on */
    return b->count && b->sum && b->scatter;
}

/* a / max(count, 1): a sum over no columns is 0 and stays 0. */
static ur_var averaged(ur_var a, ur_var count)
{
    return ur_div(a, ur_max(count, ur_const(a.tape, UR_SCALAR, 1)));
}

/* A dead column gives 0: what it holds may be far outside of what the alive ones are normalised by. */
static ur_var over_batch(const batch_norm *b, int64_t t, ur_var h)
{
    ur_tape *tape = b->net->tape;
    ur_var count = b->count[t - 1] = ur_sum(b->net->alive[t - 1]);
    ur_var sum = b->sum[t - 1] = ur_sum_over(masked(b->net, t, h), 1);
    ur_var own = averaged(sum, count);
    ur_var scatter = b->scatter[t - 1] = ur_sum_over(masked(b->net, t, ur_square(ur_sub(h, own))), 1);
    ur_var mean = ur_select(b->training, own, b->mean->leaf);
    ur_var variance = ur_select(b->training, averaged(scatter, count), b->variance->leaf);
    ur_var deviation = ur_sqrt(ur_add(variance, ur_const(tape, UR_SCALAR, 1e-5)));
    return masked(b->net, t, ur_div(ur_sub(h, mean), deviation));
}

/* What the running average becomes: it moves in training, when a position was alive. */
static void move_average(const batch_norm *b, ur_net_average *average, const ur_var *sum)
{
    size_t steps = (size_t)b->net->steps;
    ur_var count = ur_total(steps, b->count), value = averaged(ur_total(steps, sum), count);
    ur_var moved = ur_add(ur_scale(average->leaf, 0.9), ur_scale(value, 0.1));
    average->next = ur_select(ur_mul(b->training, count), moved, average->leaf);
}

/* What a layer hands on: its outputs after normalisation and, below another layer, dropout. */
static void finish_direction(ur_net *net, int64_t layer, bool backward, ur_var *h)
{
    const ur_net_options *o = &net->options;
    bool drop = o->dropout > 0 && layer + 1 < o->layers;
    batch_norm b = {0};
    if (o->batch_norm && !new_batch_norm(net, layer, backward, &b))
        return;
    for (int64_t t = 1; t <= net->steps && (o->layer_norm || o->batch_norm || drop); t++) {
        ur_step(net->tape, t);
        if (o->layer_norm)
            h[t - 1] = stretched(net, ur_layer_norm(h[t - 1]));
        if (o->batch_norm)
            h[t - 1] = stretched(net, over_batch(&b, t, h[t - 1]));
        if (drop)
            h[t - 1] = ur_mul(h[t - 1], dropout_mask(net, o->dropout, stream_of(net, layer, backward, t)));
    }
    ur_step(net->tape, 0);
    if (o->batch_norm) {
        move_average(&b, b.mean, b.sum);
        move_average(&b, b.variance, b.scatter);
    }
}

/* Runs layer number `layer` on `in`: its outputs forward, and backward where it has both directions. */
static bool run_layer(ur_net *net, int64_t layer, const ur_var *in, ur_var *out[2])
{
    const ur_net_options *o = &net->options;
    bool both = two_directions(o);
    char name[LAYER_NAME];
    layer_name(net, layer, name);
    if (!(out[0] = new_row(net)) || (both && !(out[1] = new_row(net))))
        return false;
    if (*name)
        ur_module_open(net->tape, name);
    run_sweep(net, o->cell, layer, false, in, out[0]);
    finish_direction(net, layer, false, out[0]);
    if (both) {
        run_sweep(net, o->cell->back ? o->cell->back : o->cell, layer, true, in, out[1]);
        ur_module_open(net->tape, "back");
        finish_direction(net, layer, true, out[1]);
        ur_scope_close(net->tape);
    }
    if (*name)
        ur_scope_close(net->tape);
    return true;
}

/* The forward outputs above the backward ones. */
static ur_var joined(ur_var *const h[2], int64_t t)
{
    return h[1] ? ur_concat(2, (ur_var[]){h[0][t - 1], h[1][t - 1]}, 0) : h[0][t - 1];
}

static bool run_layers(ur_net *net, ur_var *h[2])
{
    ur_var *in = new_row(net);
    for (int64_t t = 1; t <= net->steps && in; t++) {
        ur_step(net->tape, t);
        in[t - 1] = masked(net, t, net->x[t - 1]);
    }
    for (int64_t layer = 0; layer < net->options.layers && in; layer++) {
        ur_step(net->tape, 0);
        if (!run_layer(net, layer, in, h))
            return false;
        for (int64_t t = 1; t <= net->steps && layer + 1 < net->options.layers; t++) {
            ur_step(net->tape, t);
            in[t - 1] = joined(h, t);
        }
    }
    ur_step(net->tape, 0);
    return in != NULL;
}

/* ---- output and loss */

/* The output layer's net value, with one weight matrix or one for each direction. */
static ur_var output_net(const ur_net *net, ur_var *const h[2], int64_t t)
{
    const ur_net_options *o = &net->options;
    const char *const *names = o->cell->output_weights;
    if (!names[1] || !h[1])
        return ur_bias(net->tape, "bo", ur_linear(net->tape, "Wo", o->outputs, joined(h, t)));
    ur_var forward = ur_linear(net->tape, names[0], o->outputs, h[0][t - 1]);
    return ur_bias(net->tape, "bo", ur_add(forward, ur_linear(net->tape, names[1], o->outputs, h[1][t - 1])));
}

/* The loss of each output at one step, [p,B], or of all of a column, [1,B], from the output or, for `by_net`, from the net
 * value that it is a function of. */
static ur_var loss_of(const ur_net_options *options, bool by_net, ur_var o, ur_var y)
{
    switch (options->loss) {
    case UR_BCE:
        return by_net ? ur_bce_net(o, y) : ur_bce(o, y);
    case UR_CE:
        return by_net ? ur_softmax_ce(o, y) : ur_cross_entropy(o, y);
    case UR_MSE:
    case UR_NO_LOSS:
        break;
    }
    return ur_squared_error(o, y);
}

/* The same, weighed. A position of weight 0 counts for nothing, whatever is there: its loss is one of 1/2 and 0, finite with
 * all its derivatives. */
static ur_var position_loss(const ur_net *net, ur_var o, ur_var value, int64_t t)
{
    const ur_net_options *options = &net->options;
    const bool by_net = (options->loss == UR_BCE && options->out == UR_SIGMOID) ||
                        (options->loss == UR_CE && options->out == UR_SOFTMAX);
    ur_var y = masked(net, t, net->y[t - 1]);
    o = by_net ? value : o;
    if (!options->weighted)
        return masked(net, t, loss_of(options, by_net, o, y));
    ur_var weight = masked(net, t, net->weight[t - 1]);
    o = ur_select(weight, o, ur_const(net->tape, UR_SCALAR, 0.5));
    y = ur_select(weight, y, ur_const(net->tape, UR_SCALAR, 0));
    return ur_mul(weight, loss_of(options, by_net, o, y));
}

/* Records output and loss of step t; returns the sum of the loss over the columns, when there is one. */
static ur_var finish_step(ur_net *net, ur_var *const h[2], int64_t t)
{
    const ur_net_options *options = &net->options;
    ur_step(net->tape, t);
    ur_scope_open(net->tape, "output");
    ur_var value = options->out ? output_net(net, h, t) : joined(h, t), o = value, loss = value;
    if (options->out)
        o = ur_name(ur_activate(options->out, value), "o");
    net->o[t - 1] = masked(net, t, o);
    ur_scope_close(net->tape);
    if (options->loss) {
        ur_scope_open(net->tape, "loss");
        loss = ur_sum(position_loss(net, o, value, t));
        ur_scope_close(net->tape);
    }
    return loss;
}

static bool record(ur_net *net)
{
    ur_var *h[2] = {NULL, NULL}, *loss = new_row(net);
    if (!loss || !add_inputs(net) || !run_layers(net, h))
        return false;
    for (int64_t t = 1; t <= net->steps; t++)
        loss[t - 1] = finish_step(net, h, t);
    ur_step(net->tape, 0);
    if (net->options.loss)
        net->loss = ur_name(ur_mul(net->factor, ur_total((size_t)net->steps, loss)), "loss");
    return !ur_tape_error(net->tape);
}

/* ---- the network */

ur_net *ur_net_new(ur_tape *tape, const ur_net_options *options, int64_t steps, int64_t batch)
{
    if (!has_cell(tape, options) || !has_sizes(tape, options, steps, batch) || !has_choices(tape, options) ||
        !consistent(tape, options))
        return NULL;
    ur_net *net = (ur_net *)ur_tape_memory(tape, sizeof *net);
    if (!net)
        return NULL;
    *net = (ur_net){.tape = tape, .options = completed(options), .steps = steps, .batch = batch};
    if (!record(net))
        return NULL;
    while (ur_param_at(tape, net->params, NULL, NULL, NULL))
        net->params++;
    return net;
}

bool ur_net_differentiate(ur_net *net)
{
    if (!net)
        return false;
    if (net->gradient)
        return !ur_tape_error(net->tape);
    if (!net->options.loss)
        ur_tape_fail(net->tape, "%s: the network was recorded without a loss, there is nothing to differentiate",
                     net->options.cell->name);
    net->gradient = (ur_var *)ur_tape_memory(net->tape, net->params * sizeof *net->gradient);
    if (!net->gradient)
        return false;
    for (size_t k = 0; k < net->params; k++)
        ur_param_at(net->tape, k, &net->gradient[k], NULL, NULL);
    return ur_grad(net->loss, net->params, net->gradient, net->gradient);
}

bool ur_net_track(ur_net *net)
{
    if (!net)
        return false;
    for (size_t i = 0; i < net->averages && !net->tracked; i++)
        ur_state(net->average[i].leaf, net->average[i].next);
    net->tracked = true;
    return !ur_tape_error(net->tape);
}
