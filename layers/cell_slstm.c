/* cell_slstm.c - sLSTM, Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory", arXiv 2405.04517, equations 8 to 17:
 *
 *     kappa_t = exp(net kappa_t)    phi_t = sigmoid(net phi_t)    omega_t = sigmoid(net omega_t)    u_t = tanh(net u_t)
 *     c_t = phi_t c_{t-1} + kappa_t u_t        n_t = phi_t n_{t-1} + kappa_t        h_t = omega_t * c_t / n_t
 *
 * with net g_t = Wg^T x_t + Whg^T h_{t-1} + bg; with heads, Whg is block-diagonal, [heads, m/heads, m/heads].
 *
 * The stabiliser. What is on the tape is c' = c e^-s, n' = n e^-s and kappa' = kappa e^-s with an exponent s_t for each
 * unit, and f' = phi_t e^(s_{t-1} - s_t) in the place of phi:
 *
 *     c'_t = f' c'_{t-1} + kappa'_t u_t        n'_t = f' n'_{t-1} + kappa'_t        h_t = omega_t * c'_t / n'_t.
 *
 * h is the same for every s, so s is cut from the gradient (ur_detach) and every derivative stays exact. With
 * r_t = max(ln phi_t + ln n_{t-1}, net kappa_t), the larger term of ln n_t, the paper's stabiliser is s = r. Here it is
 * s_t = r_t - r_t cut to +-K: 0 as long as n is within e^-K to e^K, which is far within the numbers' range (K = 25 in
 * f32, 200 in f64). There the units kappa, c, n and their deltas are those of the formulas above; beyond it they are
 * the scaled ones, in range for any net value, and s, a state too, says by how much.
 *
 * By hand, with q_t = delta^h_t omega_t / n_t:
 *     delta^c_t = q_t + phi_{t+1} delta^c_{t+1}         delta^n_t = -q_t c_t / n_t + phi_{t+1} delta^n_{t+1}
 *     delta^kappa_t = kappa_t (u_t delta^c_t + delta^n_t)
 *     delta^phi_t = phi_t (1 - phi_t) (c_{t-1} delta^c_t + n_{t-1} delta^n_t)
 *     delta^u_t = kappa_t delta^c_t (1 - u_t^2)         delta^omega_t = delta^h_t c_t/n_t omega_t (1 - omega_t)
 * and delta^h_t gets Whg delta^g_{t+1} from each gate g of step t+1.
 *
 * A constant shift of net kappa at all steps scales c and n alike: from the start 0 the gradient of bkappa is 0. */
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

/* ln n + s, very low where n is 0. */
static ur_var log_of(ur_var n, ur_var s)
{
    ur_var one = ur_const(n.tape, UR_SCALAR, 1), lowest = ur_const(n.tape, UR_SCALAR, -1e30);
    return ur_select(n, ur_add(ur_log(ur_select(n, ur_abs(n), one)), s), lowest);
}

/* r - r cut to +-K. */
static ur_var stabiliser(ur_tape *tape, ur_var r)
{
    double K = ur_exponent_room(tape);
    ur_var high = ur_const(tape, UR_SCALAR, K), low = ur_const(tape, UR_SCALAR, -K);
    return ur_detach(ur_sub(r, ur_min(ur_max(r, low), high)));
}

/* s_{t-1} - s_t; where n was 0 nothing bounds it, and it is cut so that f' stays finite. */
static ur_var change_of_scale(ur_var n, ur_var before, ur_var now)
{
    ur_var change = ur_sub(before, now), most = ur_const(n.tape, UR_SCALAR, 2 * ur_exponent_room(n.tape));
    return ur_detach(ur_select(n, change, ur_min(change, most)));
}

static ur_var step(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var *state)
{
    ur_var h = ur_recurrent(o, state[0]), c = state[1], n = state[2], s = state[3];
    ur_var kappa_net = net_of(tape, "kappa", o, x, h), phi_net = net_of(tape, "phi", o, x, h);
    ur_var omega = ur_name(ur_sigmoid(net_of(tape, "omega", o, x, h)), "omega");
    ur_var u = ur_name(ur_tanh(net_of(tape, "u", o, x, h)), "u");
    ur_name(ur_sigmoid(phi_net), "phi"); /* f below is it, times the change of scale */
    ur_var log_f = ur_log_sigmoid(phi_net);
    state[3] = stabiliser(tape, ur_max(ur_add(log_f, log_of(n, s)), kappa_net));
    ur_var kappa = ur_name(ur_exp(ur_sub(kappa_net, state[3])), "kappa");
    ur_var f = ur_exp(ur_add(log_f, change_of_scale(n, s, state[3])));
    ur_var kept = ur_mul(f, c);
    state[1] = ur_name(ur_add(kept, ur_mul(kappa, u)), "c");
    state[2] = ur_name(ur_add(ur_mul(f, n), kappa), "n");
    state[0] = ur_name(ur_mul(omega, ur_div(state[1], state[2])), "h");
    return state[0];
}

const ur_cell ur_cell_slstm = {
    .name = "slstm",
    .equations = "kappa = exp(Wkappa' x + Whkappa' h[t-1] + bkappa)\n"
                 "phi = sigmoid(Wphi' x + Whphi' h[t-1] + bphi)\n"
                 "omega = sigmoid(Womega' x + Whomega' h[t-1] + bomega)\n"
                 "u = tanh(Wu' x + Whu' h[t-1] + bu)\n"
                 "c = phi .* c[t-1] + kappa .* u\n"
                 "n = phi .* n[t-1] + kappa\n"
                 "h = omega .* c ./ n",
    .states = 4,
    .state = {{.name = "h"}, {.name = "c"}, {.name = "n"}, {.name = "s", .scale = true}},
    .step = step,
    .recurrent = true,
    .heads = true,
};
