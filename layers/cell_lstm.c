/* cell_lstm.c - long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000), in
 * the lecture's letters:
 *
 *     kappa_t = sigmoid(Wkappa^T x_t + Whkappa^T h_{t-1} + bkappa)     input gate
 *     phi_t   = sigmoid(Wphi^T x_t + Whphi^T h_{t-1} + bphi)           forget gate
 *     omega_t = sigmoid(Womega^T x_t + Whomega^T h_{t-1} + bomega)     output gate
 *     u_t     = tanh(Wu^T x_t + Whu^T h_{t-1} + bu)                    update
 *     c_t     = kappa_t * u_t + phi_t * c_{t-1}
 *     h_t     = omega_t * tanh(c_t)
 *
 * By hand, and in the lecture where it is right:
 *
 *     delta^omega_t = delta^h_t * tanh(c_t) * omega_t * (1 - omega_t)
 *     delta^c_t     = delta^h_t * omega_t * (1 - tanh(c_t)^2) + delta^c_{t+1} * phi_{t+1}
 *     delta^kappa_t = delta^c_t * u_t * kappa_t * (1 - kappa_t)      delta^u_t = delta^c_t * kappa_t * (1 - u_t^2)
 *     delta^phi_t   = delta^c_t * c_{t-1} * phi_t * (1 - phi_t)
 *
 * and delta^h_t gets Whg delta^g_{t+1} from each gate g of step t+1. The lecture prints 1 - c_t c_t for 1 - tanh(c_t)^2
 * and phi_t for phi_{t+1} in delta^c_t, and leaves out delta^phi_t. */
#include "layers.h"

static ur_var step(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state)
{
    ur_var read = ur_recurrent(options, state[0]), c = state[1];
    ur_var kappa = ur_name(ur_sigmoid(ur_affine(tape, "kappa", x, read)), "kappa");
    ur_var phi = ur_name(ur_sigmoid(ur_affine(tape, "phi", x, read)), "phi");
    ur_var omega = ur_name(ur_sigmoid(ur_affine(tape, "omega", x, read)), "omega");
    ur_var u = ur_name(ur_tanh(ur_affine(tape, "u", x, read)), "u");
    ur_var written = ur_mul(kappa, u);
    state[1] = ur_name(ur_add(written, ur_mul(phi, c)), "c");
    state[0] = ur_name(ur_mul(omega, ur_tanh(state[1])), "h");
    return state[0];
}

const ur_cell ur_cell_lstm = {
    .name = "lstm",
    .equations = "kappa = sigmoid(Wkappa' x + Whkappa' h[t-1] + bkappa)\n"
                 "phi = sigmoid(Wphi' x + Whphi' h[t-1] + bphi)\n"
                 "omega = sigmoid(Womega' x + Whomega' h[t-1] + bomega)\n"
                 "u = tanh(Wu' x + Whu' h[t-1] + bu)\n"
                 "c = kappa .* u + phi .* c[t-1]\n"
                 "h = omega .* tanh(c)",
    .states = 2,
    .state = {{.name = "h"}, {.name = "c"}},
    .step = step,
    .recurrent = true,
};
