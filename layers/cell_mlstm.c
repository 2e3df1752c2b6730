/* cell_mlstm.c - mLSTM, the LSTM with a matrix memory, Beck et al. 2024, arXiv 2405.04517, equations 19 to 27; for each
 * head of size e = m/heads, with q, k, v the head's part of
 *
 *     q = Wq^T x + bq      k = (Wk^T x + bk)/sqrt(e)      v = Wv^T x + bv      omega = sigmoid(Womega^T x + bomega)
 *     kappa = exp(Wkappa^T x + bkappa)      phi = sigmoid(Wphi^T x + bphi)           one number for each head
 *     C_t = phi C_{t-1} + kappa v k^T       n_t = phi n_{t-1} + kappa k
 *     h_t = omega * (C_t q) / max(|n_t . q|, 1)
 *
 * Nothing of h returns into the step.
 *
 * The stabiliser. What is on the tape is C' = C e^-s, n' = n e^-s, kappa' = kappa e^-s with an exponent s_t for each
 * head, and the same h is omega * (C' q) / max(|n' . q|, e^-s). As h does not depend on s, s is cut from the gradient.
 * The paper's is max(ln phi_t + s_{t-1}, net kappa_t). Here it is
 *
 *     s_t = max(ln phi_t + s_{t-1}, net kappa_t - K, 0),   s_0 = 0:
 *
 * 0 as long as kappa is below e^K, which is far within the numbers' range (K = 25 in f32, 200 in f64). There the units
 * kappa, C, n and their deltas are those of the formulas above; beyond it they are the scaled ones, in range for any net
 * value, and s, a state too, says by how much. Small kappa need no scaling: what they add to C is small beside the 1.
 *
 * By hand, with y = C q, z = n . q, d = max(|z|, 1), g = delta^h * omega / d  (the derivative by y), a = -(g . y)/d * sign z
 * where |z| > 1, else 0  (the derivative by z):
 *     dC_t = g q^T + phi_{t+1} dC_{t+1}      dn_t = a q + phi_{t+1} dn_{t+1}      dq_t = C_t^T g + a n_t
 *     dv_t = kappa dC_t k,  dk_t = kappa (dC_t^T v + dn_t),  delta^kappa_t = kappa (v . dC_t k + dn_t . k),
 *     delta^phi_t = phi (1 - phi) (sum C_{t-1} * dC_t + n_{t-1} . dn_t),
 *     delta^omega_t = delta^h_t * y/d * omega (1 - omega).
 *
 * L steps at once, after a state C_0, n_0, s_0 (the parallel form where they are all steps, else the chunked one). Solved
 * for C_t, with F_t = ln phi_1 + ... + ln phi_t and the weight of step j at step t
 *
 *     A_tj = e^(F_t - F_j + net kappa_j - s_t) for j <= t, else 0,      b_t = e^(F_t + s_0 - s_t),
 *     C'_t = b_t C'_0 + sum_j A_tj v_j k_j^T,                           n'_t = b_t n'_0 + sum_j A_tj k_j,
 *
 * the memory is needed at the last step alone: with P = A * (Q^T K), the columns of Q, K, V being q_t, k_t, v_t,
 *
 *     C'_t q_t = b_t C'_0 q_t + (V P^T)_t,       n'_t . q_t = b_t n'_0 . q_t + sum_j P_tj,
 *     s_t = max(F_t + s_0, max_{j<=t} (F_t - F_j + net kappa_j) - K, 0),
 *
 * which is the recursion for s, solved. A dead position is the identity with ln phi = 0 and no kappa. */
#include <math.h>

#include "layers.h"

/* A state's shape may be asked for before the options are completed. */
static int64_t heads_of(const ur_net_options *o)
{
    return o->heads ? o->heads : 1;
}

static int64_t head_size(const ur_net_options *o)
{
    return o->hidden / heads_of(o);
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

/* max(..., net kappa - K, 0), cut from the gradient. */
static ur_var stabiliser(ur_var carried, ur_var kappa_net)
{
    ur_tape *tape = carried.tape;
    ur_var room = ur_const(tape, UR_SCALAR, carried.tape ? ur_exponent_room(tape) : 0);
    ur_var least = ur_max(ur_sub(kappa_net, room), ur_const(tape, UR_SCALAR, 0));
    return ur_detach(ur_max(carried, least));
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
    ur_var kappa_net = net_of(tape, "Wkappa", "bkappa", heads, x);
    ur_var phi_net = net_of(tape, "Wphi", "bphi", heads, x);
    ur_name(ur_sigmoid(phi_net), "phi"); /* f below is it, times the change of scale */
    ur_var carried = ur_add(ur_log_sigmoid(phi_net), s);
    state[2] = stabiliser(carried, kappa_net);
    ur_var kappa = ur_name(ur_exp(ur_sub(kappa_net, state[2])), "kappa"), f = ur_exp(ur_sub(carried, state[2]));
    ur_var qs = split(o, q, batch), ks = split(o, k, batch), vs = split(o, v, batch);
    ur_var written = ur_mul(ur_reshape(kappa, each), ks);
    ur_var kept = ur_mul(ur_reshape(f, whole), C);
    state[0] = ur_name(ur_add(kept, ur_outer(vs, written)), "C");
    state[1] = ur_name(ur_add(ur_mul(ur_reshape(f, each), n), written), "n");
    ur_var along = ur_abs(ur_sum_over(ur_mul(state[1], qs), 0));
    ur_var least = ur_reshape(ur_exp(ur_neg(state[2])), each);
    ur_var y = ur_div(read_memory(o, state[0], qs, batch), ur_max(along, least));
    return ur_name(ur_mul(omega, merge(o, y, batch)), "h");
}

/* ---- L steps at once */

/* The sizes of a chunk, and its gates: q, k, v [e,L,heads,B], omega [m,L,B], kappa's net value and ln phi
 * [L,heads,B]. */
typedef struct chunk {
    int64_t steps, heads, batch, size;
    ur_var q, k, v, omega, kappa_net, log_f;
} chunk;

/* [m,L*B] as [e,L,heads,B]. */
static ur_var split_steps(const chunk *c, ur_var a)
{
    ur_var heads_first = ur_reshape(a, UR_SHAPE(c->heads, c->size, c->steps, c->batch));
    return ur_transpose(ur_transpose(heads_first, 0, 1), 1, 2);
}

/* [e,L,heads,B] as [m,L,B]. */
static ur_var merge_steps(const chunk *c, ur_var a)
{
    return ur_reshape(ur_transpose(ur_transpose(a, 1, 2), 0, 1), UR_SHAPE(c->heads * c->size, c->steps, c->batch));
}

/* [heads,L*B] as [L,heads,B], `dead` where a position is not alive. */
static ur_var gate(const chunk *c, ur_var a, ur_var alive, double dead)
{
    ur_var steps_first = ur_transpose(ur_reshape(a, UR_SHAPE(c->heads, c->steps, c->batch)), 0, 1);
    return ur_select(ur_reshape(alive, UR_SHAPE(c->steps, 1, c->batch)), steps_first,
                     ur_const(a.tape, UR_SCALAR, dead));
}

static chunk chunk_of(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var alive, ur_shape shape)
{
    int64_t m = o->hidden, L = shape.size[1], B = shape.size[2];
    chunk c = {.steps = L, .heads = o->heads, .batch = B, .size = head_size(o)};
    c.q = split_steps(&c, net_of(tape, "Wq", "bq", m, x));
    c.k = split_steps(&c, ur_scale(net_of(tape, "Wk", "bk", m, x), 1 / sqrt((double)c.size)));
    c.v = split_steps(&c, net_of(tape, "Wv", "bv", m, x));
    c.omega = ur_reshape(ur_sigmoid(net_of(tape, "Womega", "bomega", m, x)), UR_SHAPE(m, L, B));
    c.kappa_net = gate(&c, net_of(tape, "Wkappa", "bkappa", c.heads, x), alive, -1e30);
    c.log_f = gate(&c, ur_log_sigmoid(net_of(tape, "Wphi", "bphi", c.heads, x)), alive, 0);
    return c;
}

/* F_t - F_j + net kappa_j at [t,j,heads,B], very low for j > t. */
static ur_var exponents(const chunk *c, ur_var F)
{
    ur_tape *tape = F.tape;
    ur_shape column = UR_SHAPE(c->steps, 1, c->heads, c->batch), row = UR_SHAPE(1, c->steps, c->heads, c->batch);
    ur_var place = ur_cumsum(ur_const(tape, UR_SHAPE(c->steps, 1, 1, 1), 1), 0, false);
    ur_var later = ur_step_function(ur_sub(ur_transpose(place, 0, 1), place)); /* j > t */
    ur_var since = ur_sub(ur_reshape(F, column), ur_reshape(F, row));
    ur_var value = ur_add(since, ur_reshape(c->kappa_net, row));
    return ur_select(later, ur_const(tape, UR_SCALAR, -1e30), value);
}

/* C', n' and s behind the last step: A's last row weighs the steps, b's last element the state before. */
static void leave(const chunk *c, ur_var A, ur_var b, ur_var s, ur_var *state)
{
    int64_t last = c->steps - 1;
    ur_shape each = UR_SHAPE(1, c->heads, c->batch), flat = UR_SHAPE(c->size, c->heads, c->batch);
    ur_var k = ur_mul(c->k, ur_slice(A, 0, last, 1));
    ur_var kept = ur_slice(b, 0, last, 1), memory = ur_bmm(c->v, false, k, true);
    state[0] = ur_add(ur_mul(ur_reshape(kept, UR_SHAPE(1, 1, c->heads, c->batch)), state[0]), memory);
    ur_var normaliser = ur_reshape(ur_sum_over(k, 1), flat);
    state[1] = ur_add(ur_mul(ur_reshape(kept, each), state[1]), normaliser);
    state[2] = ur_reshape(ur_slice(s, 0, last, 1), UR_SHAPE(c->heads, c->batch));
}

static ur_var steps_at_once(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var alive, ur_var *state)
{
    ur_node node;
    if (!ur_look(x, &node))
        return x;
    int64_t L = node.shape.size[1], heads = o->heads, B = node.shape.size[2], e = head_size(o);
    ur_shape row = UR_SHAPE(1, L, heads, B), column = UR_SHAPE(L, 1, heads, B), each = UR_SHAPE(L, heads, B);
    ur_var flat = ur_reshape(x, UR_SHAPE(node.shape.size[0], L * B));
    chunk c = chunk_of(tape, o, flat, alive, node.shape);
    ur_var F = ur_cumsum(c.log_f, 0, false), D = exponents(&c, F);
    ur_var carried = ur_add(F, ur_reshape(state[2], UR_SHAPE(1, heads, B)));
    ur_var s = stabiliser(carried, ur_reshape(ur_max_over(D, 1), each));
    ur_var A = ur_exp(ur_sub(D, ur_reshape(s, column))), b = ur_exp(ur_sub(carried, s)), kept = ur_reshape(b, row);
    ur_var P = ur_mul(A, ur_bmm(c.q, true, c.k, false));
    ur_var old = ur_mul(kept, ur_bmm(state[0], false, c.q, false)), y = ur_add(old, ur_bmm(c.v, false, P, true));
    ur_var n = ur_reshape(state[1], UR_SHAPE(e, 1, heads, B));
    ur_var along = ur_mul(kept, ur_sum_over(ur_mul(n, c.q), 0));
    along = ur_abs(ur_add(along, ur_reshape(ur_sum_over(P, 1), row)));
    ur_var h = ur_div(y, ur_max(along, ur_reshape(ur_exp(ur_neg(s)), row)));
    leave(&c, A, b, s, state);
    return ur_mul(c.omega, merge_steps(&c, h));
}

const ur_cell ur_cell_mlstm = {
    .name = "mlstm",
    .equations = "q = Wq' x + bq\nk = (Wk' x + bk) ./ sqrt(m/heads)\nv = Wv' x + bv\n"
                 "omega = sigmoid(Womega' x + bomega)\nkappa = exp(Wkappa' x + bkappa)\n"
                 "phi = sigmoid(Wphi' x + bphi)\nC = phi * C[t-1] + kappa * v * k'\nn = phi * n[t-1] + kappa * k\n"
                 "h = omega .* (C q) ./ max(abs(n' q), 1)",
    .states = 3,
    .state = {{.name = "C", .shape = memory_shape},
              {.name = "n", .shape = normaliser_shape},
              {.name = "s", .shape = stabiliser_shape, .scale = true}},
    .step = step,
    .chunk = steps_at_once,
};
