/* cell_slstm.c - sLSTM, Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", arXiv 2405.04517, equations 8 to 17:
 *
 *     i_t = exp(net kappa_t)       f_t = sigmoid(net phi_t)      omega_t = sigmoid(net omega_t)     u_t = tanh(net u_t)
 *     c_t = f_t c_{t-1} + i_t u_t        n_t = f_t n_{t-1} + i_t        h_t = omega_t * c_t / n_t
 *
 * with net g_t = Wg^T x_t + Whg^T h_{t-1} + bg; with heads, Whg is block-diagonal, [heads, m/heads, m/heads].
 *
 * i and f are scaled by the stabiliser s_t = max(ln f_t + s_{t-1}, net kappa_t) (equation 15):
 *
 *     i'_t = exp(net kappa_t - s_t),   f'_t = exp(ln f_t + s_{t-1} - s_t),
 *
 * so c' = c e^-s and n' = n e^-s stay in range and h = omega c'/n' is the same. As h does not depend on s at all, s is
 * cut from the gradient (ur_detach) and every derivative stays exact. s starts so low that the first step takes
 * s_1 = net kappa_1.
 *
 * By hand, for the plain form, with q_t = delta^h_t omega_t / n_t:
 *     delta^c_t = q_t + f_{t+1} delta^c_{t+1}         delta^n_t = -q_t c_t / n_t + f_{t+1} delta^n_{t+1}
 *     delta^kappa_t = i_t (u_t delta^c_t + delta^n_t)   delta^phi_t = f_t (1 - f_t) (c_{t-1} delta^c_t + n_{t-1} delta^n_t)
 *     delta^u_t = i_t delta^c_t (1 - u_t^2)             delta^omega_t = delta^h_t c_t/n_t omega_t (1 - omega_t)
 * A constant shift of net kappa scales c and n alike: the gradient of bkappa is 0. */
#include "layers.h"

/* Whg^T h with one block for each head. */
static ur_var recurrent(ur_tape *tape, const char *W, const ur_net_options *o, ur_var h)
{
    enum { MOST = 64 };
    int64_t heads = o->heads, size = o->hidden / heads;
    ur_var block[MOST], all;
    if (heads == 1)
        return ur_linear(tape, W, o->hidden, h);
    if (heads > MOST)
        ur_tape_fail(tape, "slstm: at most %d heads were expected, not %lld", MOST, (long long)heads);
    all = ur_param(tape, W, UR_SHAPE(heads, size, size));
    for (int64_t k = 0; k < heads && k < MOST; k++) {
        ur_var own = ur_reshape(ur_slice(all, 0, k, 1), UR_SHAPE(size, size));
        block[k] = ur_gemm(own, true, ur_slice(h, 0, k * size, size), false);
    }
    return ur_concat((size_t)(heads < MOST ? heads : MOST), block, 0);
}

static ur_var net_of(ur_tape *tape, const char *gate, const ur_net_options *o, ur_var x, ur_var h)
{
    char W[16], Wh[16], b[16];
    snprintf(W, sizeof W, "W%s", gate);
    snprintf(Wh, sizeof Wh, "Wh%s", gate);
    snprintf(b, sizeof b, "b%s", gate);
    ur_scope_open(tape, gate);
    ur_var input = ur_linear(tape, W, o->hidden, x);
    ur_var net = ur_bias(tape, b, ur_add(input, recurrent(tape, Wh, o, h)));
    ur_scope_close(tape);
    return net;
}

static ur_var step(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var *state)
{
    ur_var h = state[0], c = state[1], n = state[2], s = state[3];
    ur_var kappa = ur_name(net_of(tape, "kappa", o, x, h), "kappa");
    ur_var phi = net_of(tape, "phi", o, x, h);
    ur_var omega = ur_name(ur_sigmoid(net_of(tape, "omega", o, x, h)), "omega");
    ur_var u = ur_name(ur_tanh(net_of(tape, "u", o, x, h)), "u");
    ur_name(ur_sigmoid(phi), "phi");
    ur_var log_f = ur_add(ur_log_sigmoid(phi), s);
    state[3] = ur_detach(ur_max(log_f, kappa));
    ur_var i = ur_exp(ur_sub(kappa, state[3]));
    ur_var f = ur_exp(ur_sub(log_f, state[3]));
    ur_var kept = ur_mul(f, c);
    state[1] = ur_name(ur_add(kept, ur_mul(i, u)), "c");
    state[2] = ur_name(ur_add(ur_mul(f, n), i), "n");
    state[0] = ur_name(ur_mul(omega, ur_div(state[1], state[2])), "h");
    return state[0];
}

const ur_cell ur_cell_slstm = {
    .name = "slstm",
    .equations = "i = exp(Wkappa' x + Whkappa' h[t-1] + bkappa)\n"
                 "f = sigmoid(Wphi' x + Whphi' h[t-1] + bphi)\n"
                 "omega = sigmoid(Womega' x + Whomega' h[t-1] + bomega)\n"
                 "u = tanh(Wu' x + Whu' h[t-1] + bu)\n"
                 "c = f .* c[t-1] + i .* u\n"
                 "n = f .* n[t-1] + i\n"
                 "h = omega .* c ./ n",
    .states = 4,
    .state = {{.name = "h"}, {.name = "c"}, {.name = "n"}, {.name = "s", .start = -1e30}},
    .step = step,
};
