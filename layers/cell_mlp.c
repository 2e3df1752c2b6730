/* cell_mlp.c - a perceptron with one hidden layer, each step alone: h_t = f(Wi^T x_t + bh), f = tanh or ReLU. */
#include "layers.h"

static ur_var step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    (void)state;
    ur_var net = ur_bias(tape, "bh", ur_linear(tape, "Wi", options->hidden, x));
    return ur_name(ur_activate(options->hidden_activation, net), "h");
}

const ur_cell ur_cell_mlp = {
    .name = "mlp",
    .equations = "h = tanh(Wi' x + bh)",
    .step = step,
};
