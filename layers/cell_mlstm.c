/* cell_mlstm.c - mLSTM, the LSTM with a matrix memory, Beck et al. 2024, arXiv 2405.04517, equations 19 to 27; for each
 * head of size e = m/heads, with q, k, v the head's part of
 *
 *     q = Wq^T x + bq      k = (Wk^T x + bk)/sqrt(e)      v = Wv^T x + bv      omega = sigmoid(Womega^T x + bomega)
 *     i = exp(Wkappa^T x + bkappa)      f = sigmoid(Wphi^T x + bphi)                 one number for each head
 *     C_t = f C_{t-1} + i v k^T         n_t = f n_{t-1} + i k
 *     h_t = omega * (C_t q) / max(|n_t . q|, 1)
 *
 * Nothing of h returns into the step. As in sLSTM, i and f are scaled by s_t = max(ln f_t + s_{t-1}, net kappa_t); with
 * C' = C e^-s, n' = n e^-s the same h is omega * (C' q) / max(|n' . q|, e^-s), and s is cut from the gradient because h
 * does not depend on it. s starts so low that the first step takes s_1 = net kappa_1.
 *
 * By hand, with y = C q, z = n . q, d = max(|z|, 1), g = delta^h * omega / d  (the derivative by y), a = -(g . y)/d * sign z
 * where |z| > 1, else 0  (the derivative by z):
 *     dC_t = g q^T + f_{t+1} dC_{t+1}      dn_t = a q + f_{t+1} dn_{t+1}      dq_t = C_t^T g + a n_t
 *     dv_t = i dC_t k,  dk_t = i (dC_t^T v + dn_t),  dkappa_t = i (v . dC_t k + dn_t . k),
 *     dphi_t = f (1 - f) (sum C_{t-1} * dC_t + n_{t-1} . dn_t). */
#include <math.h>

#include "layers.h"

static int64_t head_size(const ur_net_options *o)
{
    return o->hidden / (o->heads ? o->heads : 1);
}

static int64_t heads_of(const ur_net_options *o)
{
    return o->heads ? o->heads : 1;
}

static ur_shape memory_shape(const ur_net_options *o, int64_t batch)
{
    return UR_SHAPE(head_size(o), head_size(o), heads_of(o), batch);
}

static ur_shape normaliser_shape(const ur_net_options *o, int64_t batch)
{
    return UR_SHAPE(head_size(o), heads_of(o), batch);
}

static ur_shape stabiliser_shape(const ur_net_options *o, int64_t batch)
{
    return UR_SHAPE(heads_of(o), batch);
}

static ur_var net_of(ur_tape *tape, const char *W, const char *b, int64_t units, ur_var x)
{
    return ur_bias(tape, b, ur_linear(tape, W, units, x));
}

/* [m,B], head by head, as [e,heads,B], and back. */
static ur_var split(const ur_net_options *o, ur_var a, int64_t batch)
{
    return ur_transpose(ur_reshape(a, UR_SHAPE(o->heads, head_size(o), batch)), 0, 1);
}

static ur_var merge(const ur_net_options *o, ur_var a, int64_t batch)
{
    return ur_reshape(ur_transpose(a, 0, 1), UR_SHAPE(o->hidden, batch));
}

/* C q for every head: [e,e,heads,B] [e,heads,B] -> [e,heads,B]. */
static ur_var read_memory(const ur_net_options *o, ur_var C, ur_var q, int64_t batch)
{
    int64_t e = head_size(o);
    ur_var column = ur_reshape(q, UR_SHAPE(e, 1, o->heads, batch));
    return ur_reshape(ur_bmm(C, false, column, false), UR_SHAPE(e, o->heads, batch));
}

static ur_var step(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var *state)
{
    ur_var C = state[0], n = state[1], s = state[2];
    ur_node node;
    if (!ur_look(x, &node))
        return x;
    int64_t m = o->hidden, heads = o->heads, batch = node.shape.size[1];
    ur_shape each = UR_SHAPE(1, heads, batch), whole = UR_SHAPE(1, 1, heads, batch);
    ur_var q = ur_name(net_of(tape, "Wq", "bq", m, x), "q");
    ur_var k = ur_name(ur_scale(net_of(tape, "Wk", "bk", m, x), 1 / sqrt((double)head_size(o))), "k");
    ur_var v = ur_name(net_of(tape, "Wv", "bv", m, x), "v");
    ur_var omega = ur_name(ur_sigmoid(net_of(tape, "Womega", "bomega", m, x)), "omega");
    ur_var kappa = ur_name(net_of(tape, "Wkappa", "bkappa", heads, x), "kappa");
    ur_var phi = net_of(tape, "Wphi", "bphi", heads, x);
    ur_name(ur_sigmoid(phi), "phi");
    ur_var log_f = ur_add(ur_log_sigmoid(phi), s);
    state[2] = ur_detach(ur_max(log_f, kappa));
    ur_var i = ur_exp(ur_sub(kappa, state[2])), f = ur_exp(ur_sub(log_f, state[2]));
    ur_var qs = split(o, q, batch), ks = split(o, k, batch), vs = split(o, v, batch);
    ur_var iks = ur_mul(ur_reshape(i, each), ks);
    ur_var kept = ur_mul(ur_reshape(f, whole), C);
    state[0] = ur_name(ur_add(kept, ur_outer(vs, iks)), "C");
    state[1] = ur_name(ur_add(ur_mul(ur_reshape(f, each), n), iks), "n");
    ur_var along = ur_abs(ur_sum_over(ur_mul(state[1], qs), 0));
    ur_var least = ur_reshape(ur_exp(ur_neg(state[2])), each);
    ur_var y = ur_div(read_memory(o, state[0], qs, batch), ur_max(along, least));
    return ur_name(ur_mul(omega, merge(o, y, batch)), "h");
}

const ur_cell ur_cell_mlstm = {
    .name = "mlstm",
    .equations = "q = Wq' x + bq\nk = (Wk' x + bk) ./ sqrt(m/heads)\nv = Wv' x + bv\n"
                 "omega = sigmoid(Womega' x + bomega)\ni = exp(Wkappa' x + bkappa)\nf = sigmoid(Wphi' x + bphi)\n"
                 "C = f * C[t-1] + i * v * k'\nn = f * n[t-1] + i * k\nh = omega .* (C q) ./ max(abs(n' q), 1)",
    .states = 3,
    .state = {{.name = "C", .shape = memory_shape},
              {.name = "n", .shape = normaliser_shape},
              {.name = "s", .shape = stabiliser_shape, .start = -1e30}},
    .step = step,
};
