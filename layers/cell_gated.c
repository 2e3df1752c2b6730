/* cell_gated.c - the lecture's recurrent network with a forget gate:
 *
 *     u_t   = tanh(Wu^T x_t + Whu^T h_{t-1} + bu)
 *     phi_t = sigmoid(Wphi^T x_t + Whphi^T h_{t-1} + bphi)
 *     h_t   = phi_t * h_{t-1} + (1 - phi_t) * u_t
 *
 * The lecture's deltas: delta^u_t = delta^h_t * (1 - phi_t) * (1 - u_t^2), delta^phi_t = delta^h_t * (h_{t-1} - u_t) *
 * phi_t * (1 - phi_t), delta^h_t = Wo delta^o_t + Whphi delta^phi_{t+1} + Whu delta^u_{t+1} + delta^h_{t+1} * phi_{t+1}.
 * Its scalar line for delta^u prints delta^u on the right where delta^h must stand. */
#include "layers.h"

static ur_var step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    ur_var h = state[0], read = ur_recurrent(options, h);
    ur_var u = ur_name(ur_tanh(ur_affine(tape, "u", x, read)), "u");
    ur_var phi = ur_name(ur_sigmoid(ur_affine(tape, "phi", x, read)), "phi");
    ur_var kept = ur_mul(phi, h);
    state[0] = ur_name(ur_add(kept, ur_mul(ur_one_minus(phi), u)), "h");
    return state[0];
}

const ur_cell ur_cell_gated = {
    .name = "gated",
    .equations = "u = tanh(Wu' x + Whu' h[t-1] + bu)\n"
                 "phi = sigmoid(Wphi' x + Whphi' h[t-1] + bphi)\n"
                 "h = phi .* h[t-1] + (1 - phi) .* u",
    .states = 1,
    .state = {{.name = "h"}},
    .step = step,
    .recurrent = true,
};
