/* cell_rnn.c - the recurrent network of the lecture (Elman 1990):
 *
 *     h_t = f(Wi^T x_t + Wh^T h_{t-1} + bh),   f = tanh or ReLU.
 *
 * The lecture's deltas, which autodiff gives without being told (tests/test_rnn.c codes them by hand):
 *
 *     delta^o_t = f^o'(net^o_t) * dE_t/do_t,   delta^h_t = f'(net^h_t) * (Wo delta^o_t + Wh delta^h_{t+1}). */
#include "layers.h"

static ur_var step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    int64_t m = options->hidden;
    ur_var input = ur_linear(tape, "Wi", m, x);
    ur_var net = ur_add(input, ur_linear(tape, "Wh", m, ur_recurrent(options, state[0])));
    state[0] = ur_name(ur_activate(options->hidden_activation, ur_bias(tape, "bh", net)), "h");
    return state[0];
}

const ur_cell ur_cell_rnn = {
    .name = "rnn",
    .equations = "h = tanh(Wi' x + Wh' h[t-1] + bh)",
    .states = 1,
    .state = {{.name = "h"}},
    .step = step,
    .recurrent = true,
};
