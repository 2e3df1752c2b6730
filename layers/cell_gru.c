/* cell_gru.c - the gated recurrent unit (Cho et al. 2014), with the reset gate behind the recurrent product:
 *
 *     r_t = sigmoid(Wr^T x_t + Whr^T h_{t-1} + br)
 *     z_t = sigmoid(Wz^T x_t + Whz^T h_{t-1} + bz)
 *     u_t = tanh(Wu^T x_t + bu + r_t * (Whu^T h_{t-1} + bhu))
 *     h_t = (1 - z_t) * u_t + z_t * h_{t-1}
 *
 * By hand, with v_t = Whu^T h_{t-1} + bhu:  delta^u_t = delta^h_t * (1 - z_t) * (1 - u_t^2),  delta^z_t = delta^h_t *
 * (h_{t-1} - u_t) * z_t * (1 - z_t),  delta^r_t = delta^u_t * v_t * r_t * (1 - r_t),  and delta^h_t gets from step t+1
 * z_{t+1} * delta^h_{t+1} + Whz delta^z_{t+1} + Whr delta^r_{t+1} + Whu (r_{t+1} * delta^u_{t+1}). */
#include "layers.h"

static ur_var step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    int64_t m = options->hidden;
    ur_var h = state[0], read = ur_recurrent(options, h);
    ur_var r = ur_name(ur_sigmoid(ur_affine(tape, "r", x, read)), "r");
    ur_var z = ur_name(ur_sigmoid(ur_affine(tape, "z", x, read)), "z");
    ur_scope_open(tape, "u");
    ur_var input = ur_bias(tape, "bu", ur_linear(tape, "Wu", m, x));
    ur_var recurrent = ur_bias(tape, "bhu", ur_linear(tape, "Whu", m, read));
    ur_scope_close(tape);
    ur_var u = ur_name(ur_tanh(ur_add(input, ur_mul(r, recurrent))), "u");
    ur_var updated = ur_mul(ur_one_minus(z), u);
    state[0] = ur_name(ur_add(updated, ur_mul(z, h)), "h");
    return state[0];
}

const ur_cell ur_cell_gru = {
    .name = "gru",
    .equations = "r = sigmoid(Wr' x + Whr' h[t-1] + br)\n"
                 "z = sigmoid(Wz' x + Whz' h[t-1] + bz)\n"
                 "u = tanh(Wu' x + bu + r .* (Whu' h[t-1] + bhu))\n"
                 "h = (1 - z) .* u + z .* h[t-1]",
    .states = 1,
    .state = {{.name = "h"}},
    .step = step,
    .recurrent = true,
};
