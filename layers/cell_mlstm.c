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
 * Several steps at once, the chunkwise form (Yang et al. 2024, arXiv 2312.06635; Beck et al. 2025, arXiv 2503.14376). The
 * gates and s are those of each step. Of L steps after C_0, n_0, with phi'_t = phi_t e^(s_{t-1} - s_t) <= 1 and
 *
 *     F_t = ln phi'_1 + ... + ln phi'_t,      P_tj = (q_t . k_j) e^(F_t - F_j) kappa'_j for j <= t, else 0,
 *
 * solving the recursion gives, the memory being needed after the last step alone,
 *
 *     C'_t q_t = e^F_t C'_0 q_t + sum_j P_tj v_j,       C'_L = e^F_L C'_0 + sum_j e^(F_L - F_j) kappa'_j v_j k_j^T.
 *
 * n is one more row of C, and v_j has a 1 there: n_t . q_t is one more element of C_t q_t. The exponents stay together, as
 * e^-F_j alone may be out of range. A dead position is the identity with ln phi = 0 and no kappa. */
#include <math.h>

#include "layers.h"

static int64_t head_size(const ur_net_options *o)
{
    return o->hidden / o->heads;
}

static ur_shape memory_shape(const ur_net_options *o, int64_t batch)
{
    return UR_SHAPE(head_size(o), head_size(o), o->heads, batch);
}

static ur_shape normaliser_shape(const ur_net_options *o, int64_t batch)
{
    return UR_SHAPE(head_size(o), o->heads, batch);
}

static ur_shape stabiliser_shape(const ur_net_options *o, int64_t batch)
{
    return UR_SHAPE(o->heads, batch);
}

static ur_var net_of(ur_tape *tape, const char *W, const char *b, int64_t units, ur_var x)
{
    return ur_bias(tape, b, ur_linear(tape, W, units, x));
}

/* [m,B], head by head, as [e,heads,B], and back. */
static ur_var split(const ur_net_options *o, ur_var a, int64_t batch)
{
    if (o->heads == 1)
        return ur_reshape(a, UR_SHAPE(o->hidden, 1, batch));
    return ur_transpose(ur_reshape(a, UR_SHAPE(o->heads, head_size(o), batch)), 0, 1);
}

static ur_var merge(const ur_net_options *o, ur_var a, int64_t batch)
{
    return ur_reshape(o->heads == 1 ? a : ur_transpose(a, 0, 1), UR_SHAPE(o->hidden, batch));
}

/* Of one step: q, k, v [e,heads,B], omega [m,B], kappa's net value and ln phi [heads,B]. */
typedef struct gates {
    int64_t batch;
    ur_var q, k, v, omega, kappa_net, log_phi;
} gates;

static bool record_gates(ur_tape *tape, const ur_net_options *o, ur_var x, gates *g)
{
    ur_node node;
    if (!ur_look(x, &node))
        return false;
    int64_t m = o->hidden, B = g->batch = node.shape.size[1];
    g->q = split(o, ur_name(net_of(tape, "Wq", "bq", m, x), "q"), B);
    g->k = split(o, ur_name(ur_scale(net_of(tape, "Wk", "bk", m, x), 1 / sqrt((double)head_size(o))), "k"), B);
    g->v = split(o, ur_name(net_of(tape, "Wv", "bv", m, x), "v"), B);
    g->omega = ur_name(ur_sigmoid(net_of(tape, "Womega", "bomega", m, x)), "omega");
    g->kappa_net = net_of(tape, "Wkappa", "bkappa", o->heads, x);
    ur_var phi_net = net_of(tape, "Wphi", "bphi", o->heads, x);
    ur_name(ur_sigmoid(phi_net), "phi"); /* what is kept is phi times the change of scale */
    g->log_phi = ur_log_sigmoid(phi_net);
    return true;
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

/* omega * y/max(|z|, e^-s), y being C' q [e,heads,B] and z being n' . q [1,heads,B]. */
static ur_var output(const ur_net_options *o, const gates *g, ur_var s, ur_var y, ur_var z)
{
    ur_var least = ur_reshape(ur_exp(ur_neg(s)), UR_SHAPE(1, o->heads, g->batch));
    ur_var h = ur_div(y, ur_max(ur_abs(z), least));
    return ur_name(ur_mul(g->omega, merge(o, h, g->batch)), "h");
}

static ur_var step(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var *state)
{
    ur_var C = state[0], n = state[1], s = state[2];
    gates g;
    if (!record_gates(tape, o, x, &g))
        return x;
    ur_shape each = UR_SHAPE(1, o->heads, g.batch), whole = UR_SHAPE(1, 1, o->heads, g.batch);
    ur_var carried = ur_add(g.log_phi, s);
    state[2] = stabiliser(carried, g.kappa_net);
    ur_var kappa = ur_name(ur_exp(ur_sub(g.kappa_net, state[2])), "kappa"), f = ur_exp(ur_sub(carried, state[2]));
    ur_var written = ur_mul(ur_reshape(kappa, each), g.k);
    ur_var kept = ur_mul(ur_reshape(f, whole), C);
    state[0] = ur_name(ur_add(kept, ur_outer(g.v, written)), "C");
    state[1] = ur_name(ur_add(ur_mul(ur_reshape(f, each), n), written), "n");
    ur_var z = ur_sum_over(ur_mul(state[1], g.q), 0);
    return output(o, &g, state[2], read_memory(o, state[0], g.q, g.batch), z);
}

/* ---- several steps at once */

/* A step beside its gates: ln phi' and ln kappa' [heads,B], s [heads,B]; at last C' q [e,heads,B], n' . q [1,heads,B]. */
typedef struct position {
    gates gate;
    ur_var log_phi, log_kappa, s, y, z;
} position;

static void record_position(ur_tape *tape, const ur_net_options *o, ur_var x, ur_var alive, ur_var *s, position *p)
{
    if (!record_gates(tape, o, x, &p->gate))
        return;
    const gates *g = &p->gate;
    ur_var kappa_net = ur_select(alive, g->kappa_net, ur_const(tape, UR_SCALAR, -1e30));
    ur_var carried = ur_add(ur_select(alive, g->log_phi, ur_const(tape, UR_SCALAR, 0)), *s);
    p->s = *s = stabiliser(carried, kappa_net);
    p->log_phi = ur_sub(carried, p->s);
    p->log_kappa = ur_sub(kappa_net, p->s);
}

static ur_var q_of(const position *p)
{
    return p->gate.q;
}

static ur_var k_of(const position *p)
{
    return p->gate.k;
}

static ur_var log_phi_of(const position *p)
{
    return p->log_phi;
}

static ur_var log_kappa_of(const position *p)
{
    return p->log_kappa;
}

/* A value of `count` positions, one after another along the first axis; `room` is for as many. */
static ur_var join(const position *p, int64_t count, ur_var (*of)(const position *p), ur_var *room)
{
    for (int64_t i = 0; i < count; i++)
        room[i] = of(&p[i]);
    return ur_concat((size_t)count, room, 0);
}

/* The same of v, each with a 1 below. */
static ur_var join_with_one(const ur_net_options *o, const position *p, int64_t count, ur_var *room)
{
    ur_var one = ur_const(p->gate.v.tape, UR_SHAPE(1, o->heads, p->gate.batch), 1);
    for (int64_t i = 0; i < count; i++) {
        room[2 * i] = p[i].gate.v;
        room[2 * i + 1] = one;
    }
    return ur_concat((size_t)(2 * count), room, 0);
}

/* L steps after the memory [e+1,e,heads,B], C' with n' below; returns what it is after them. `room` is for 2 L values. */
static ur_var chunk(const ur_net_options *o, position *p, int64_t L, ur_var memory, ur_var *room)
{
    int64_t e = head_size(o), heads = o->heads, B = p->gate.batch;
    ur_shape rows = UR_SHAPE(L, e, heads, B), each = UR_SHAPE(L, 1, heads, B), gate = UR_SHAPE(L, heads, B);
    ur_var q = ur_reshape(join(p, L, q_of, room), rows);
    ur_var k = ur_reshape(join(p, L, k_of, room), rows);
    ur_var v = ur_reshape(join_with_one(o, p, L, room), UR_SHAPE(L, e + 1, heads, B));
    ur_var F = ur_cumsum(ur_reshape(join(p, L, log_phi_of, room), gate), 0, false);
    ur_var log_kappa = ur_reshape(join(p, L, log_kappa_of, room), gate);
    ur_var P = ur_decay(ur_bmm(q, false, k, true), F, log_kappa);
    ur_var old = ur_mul(ur_reshape(ur_exp(F), each), ur_bmm(q, false, memory, true));
    ur_var y = ur_add(old, ur_bmm(P, false, v, false));
    ur_var all = ur_reshape(y, UR_SHAPE(L * (e + 1), heads, B));
    for (int64_t i = 0; i < L; i++) {
        p[i].y = ur_slice(all, 0, i * (e + 1), e);
        p[i].z = ur_slice(all, 0, i * (e + 1) + e, 1);
    }
    ur_var last = ur_slice(F, 0, L - 1, 1), weight = ur_exp(ur_add(ur_sub(last, F), log_kappa));
    ur_var written = ur_bmm(v, true, ur_mul(ur_reshape(weight, each), k), false);
    return ur_add(ur_mul(ur_reshape(ur_exp(last), UR_SHAPE(1, 1, heads, B)), memory), written);
}

/* First all gates, then all chunks, then all outputs, so that each are a loop: the chunks have numbers for steps. */
static void chunks(ur_tape *tape, const ur_net_options *o, const ur_steps *w, ur_var *state)
{
    int64_t T = w->count, e = head_size(o), heads = o->heads;
    position *p = (position *)ur_tape_memory(tape, (size_t)T * sizeof *p);
    ur_var *room = (ur_var *)ur_tape_memory(tape, (size_t)(T < o->chunk ? T : o->chunk) * 2 * sizeof *room);
    for (int64_t i = 0; i < T && p; i++) {
        int64_t t = w->backward ? T - i : i + 1;
        ur_step(tape, t);
        record_position(tape, o, w->x[t - 1], w->alive[t - 1], &state[2], &p[i]);
    }
    if (!p || !room || ur_tape_error(tape))
        return;
    int64_t B = p->gate.batch;
    ur_step(tape, 0);
    ur_var memory = ur_concat(2, (ur_var[]){state[0], ur_reshape(state[1], UR_SHAPE(1, e, heads, B))}, 0);
    for (int64_t i = 0, L; i < T; i += L) {
        L = T - i < o->chunk ? T - i : o->chunk;
        ur_step(tape, i / o->chunk + 1);
        if (o->bptt && i && i % o->bptt == 0)
            memory = ur_detach(memory);
        memory = chunk(o, &p[i], L, memory, room);
    }
    for (int64_t i = 0; i < T; i++) {
        int64_t t = w->backward ? T - i : i + 1;
        ur_step(tape, t);
        w->h[t - 1] = output(o, &p[i].gate, p[i].s, p[i].y, p[i].z);
    }
    ur_step(tape, 0);
    state[0] = ur_slice(memory, 0, 0, e);
    state[1] = ur_reshape(ur_slice(memory, 0, e, 1), UR_SHAPE(e, heads, B));
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
    .chunks = chunks,
    .heads = true,
};
