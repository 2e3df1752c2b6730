/* cell_brnn.c - the bidirectional network of the lecture (Schuster and Paliwal 1997):
 *
 *     h_t = f(Wih^T x_t + Wh^T h_{t-1} + bh)
 *     b_t = f(Wib^T x_t + Wb^T b_{t+1} + bb),   b past a sequence's end is 0
 *     o_t = f^o(Who^T h_t + Wbo^T b_t + bo)
 *
 * By hand: delta^h_t = f' * (Who delta^o_t + Wh delta^h_{t+1}),  delta^b_t = f' * (Wbo delta^o_t + Wb delta^b_{t-1}): the
 * backward state's error runs forward in time. */
#include "layers.h"

static ur_var forward(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    ur_var input = ur_linear(tape, "Wih", options->hidden, x);
    ur_var net = ur_add(input, ur_linear(tape, "Wh", options->hidden, ur_recurrent(options, state[0])));
    state[0] = ur_name(ur_activate(options->hidden_activation, ur_bias(tape, "bh", net)), "h");
    return state[0];
}

static ur_var backward(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    ur_var input = ur_linear(tape, "Wib", options->hidden, x);
    ur_var net = ur_add(input, ur_linear(tape, "Wb", options->hidden, ur_recurrent(options, state[0])));
    state[0] = ur_name(ur_activate(options->hidden_activation, ur_bias(tape, "bb", net)), "b");
    return state[0];
}

static const ur_cell back = {
    .name = "brnn", .states = 1, .state = {{.name = "b"}}, .step = backward, .recurrent = true};

const ur_cell ur_cell_brnn = {
    .name = "brnn",
    .equations = "h = tanh(Wih' x + Wh' h[t-1] + bh)\nb = tanh(Wib' x + Wb' b[t+1] + bb)",
    .states = 1,
    .state = {{.name = "h"}},
    .step = forward,
    .recurrent = true,
    .back = &back,
    .output_weights = {"Who", "Wbo"},
};
