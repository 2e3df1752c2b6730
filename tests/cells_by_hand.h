/* cells_by_hand.h - the cells' derivations, as their files have them, in loops over one sequence at a time: values
 * of every unit, its delta, and the gradient of every parameter. Includes Check. */
#ifndef UR_TESTS_CELLS_BY_HAND_H
#define UR_TESTS_CELLS_BY_HAND_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../layers/layers.h"

enum { D = 3, M = 6, T = 9, BOTH = 2 * M, WIDE = M * M, STEPS = T + 2 };

/* ---- what the cells share */

enum { H, C, N, KAPPA, PHI, OMEGA, U, R, Z, Q, K, V, B, UNITS };

/* One sequence. Time counts from 1 to `length`; a forward state's start stands at 0, a backward one's behind the end.
 * The delta of a gate is by its net value, that of a state by the state. */
typedef struct hand {
    ur_tape *tape; /* the parameters' names and places */
    const double *theta;
    double *gradient;
    int m, heads, length;
    int cut, recorded; /* gradients flow through so many steps (0: all) of so many */
    double x[STEPS][D], y[STEPS][BOTH];
    double value[UNITS][STEPS][WIDE], delta[UNITS][STEPS][WIDE], dx[STEPS][D];
} hand;

static inline size_t place_of(const hand *p, const char *name)
{
    const char *other;
    size_t offset = 0;
    for (size_t k = 0; ur_param_at(p->tape, k, NULL, &other, &offset); k++)
        if (strcmp(name, other) == 0)
            return offset;
    ck_abort_msg("there is no parameter %s", name);
    return 0;
}

static inline double logistic(double a)
{
    return 1 / (1 + exp(-a));
}

/* Does an error flow from step t to t-1? */
static inline double flow(const hand *p, int t)
{
    return p->cut && t > 1 && (t - 1) % p->cut == 0 ? 0 : 1;
}

/* The names of a gate's parameters, and where its recurrent weights read. */
typedef struct gate {
    char W[16], Wh[16], b[16];
    int unit, state;
} gate;

static inline gate gate_of(const char *name, int unit)
{
    gate g = {.unit = unit, .state = H};
    snprintf(g.W, sizeof g.W, "W%s", name);
    snprintf(g.Wh, sizeof g.Wh, "Wh%s", name);
    snprintf(g.b, sizeof g.b, "b%s", name);
    return g;
}

/* Element [j,i] of recurrent weights, block-diagonal where they have heads; NULL off the blocks. */
static inline const double *recurrent_at(const hand *p, const double *Wh, int j, int i)
{
    ptrdiff_t e = p->m / p->heads;
    return j / e == i / e ? Wh + j * e + i % e : NULL;
}

static inline void plus_input(const hand *p, const char *W, int units, int t, double *net)
{
    const double *w = p->theta + place_of(p, W);
    for (int i = 0; i < units; i++)
        for (int j = 0; j < D; j++)
            net[i] += w[j * units + i] * p->x[t][j];
}

static inline void plus_recurrent(const hand *p, const char *Wh, const double *h, double *net)
{
    const double *w = p->theta + place_of(p, Wh);
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->m; j++) {
            const double *own = recurrent_at(p, w, j, i);
            net[i] += own ? *own * h[j] : 0;
        }
}

static inline void plus_bias(const hand *p, const char *b, int units, double *net)
{
    for (int i = 0; i < units; i++)
        net[i] += p->theta[place_of(p, b) + (size_t)i];
}

static inline void net_by_hand(hand *p, const gate *g, int t, int before, double net[M])
{
    memset(net, 0, M * sizeof *net);
    plus_input(p, g->W, p->m, t, net);
    plus_recurrent(p, g->Wh, p->value[g->state][before], net);
    plus_bias(p, g->b, p->m, net);
}

static inline void input_back(hand *p, const char *W, const char *b, int units, int t, const double *delta)
{
    const double *w = p->theta + place_of(p, W);
    double *dw = p->gradient + place_of(p, W), *db = p->gradient + place_of(p, b);
    for (int i = 0; i < units; i++) {
        db[i] += delta[i];
        for (int j = 0; j < D; j++) {
            dw[j * units + i] += p->x[t][j] * delta[i];
            p->dx[t][j] += w[j * units + i] * delta[i];
        }
    }
}

static inline void recurrent_back(hand *p, const char *Wh, const double *h, const double *delta, double flows,
                                  double *dh)
{
    const double *w = p->theta + place_of(p, Wh);
    double *dw = p->gradient + place_of(p, Wh);
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->m; j++) {
            const double *own = recurrent_at(p, w, j, i);
            if (!own)
                continue;
            dw[own - w] += h[j] * delta[i];
            dh[j] += flows * *own * delta[i];
        }
}

/* What the delta of a gate at step t, in its place, does to weights, input and the state that it read. */
static inline void gate_back(hand *p, const gate *g, int t, int before, double flows)
{
    const double *delta = p->delta[g->unit][t];
    input_back(p, g->W, g->b, p->m, t, delta);
    recurrent_back(p, g->Wh, p->value[g->state][before], delta, flows, p->delta[g->state][before]);
}

/* ---- the cells: forward, then back */

static inline void tanh_forward(hand *p, const gate *g, int t, int before)
{
    double net[M];
    net_by_hand(p, g, t, before, net);
    for (int i = 0; i < p->m; i++)
        p->value[g->unit][t][i] = tanh(net[i]);
}

/* In place: the derivative by the state becomes that by the net value once it is complete. */
static inline void tanh_back(hand *p, const gate *g, int t, int before, double flows)
{
    for (int i = 0; i < p->m; i++) {
        double h = p->value[g->unit][t][i];
        p->delta[g->unit][t][i] *= 1 - h * h;
    }
    gate_back(p, g, t, before, flows);
}

static inline void brnn_by_hand(hand *p)
{
    const gate h = {.W = "Wih", .Wh = "Wh", .b = "bh", .unit = H, .state = H};
    const gate b = {.W = "Wib", .Wh = "Wb", .b = "bb", .unit = B, .state = B};
    for (int t = 1; t <= p->length; t++)
        tanh_forward(p, &h, t, t - 1);
    for (int t = p->length; t > 0; t--)
        tanh_forward(p, &b, t, t + 1);
    for (int t = 1; t <= p->length; t++)
        for (int i = 0; i < p->m; i++) {
            p->delta[H][t][i] = p->value[H][t][i] - p->y[t][i];
            p->delta[B][t][i] = p->value[B][t][i] - p->y[t][p->m + i];
        }
    for (int t = p->length; t > 0; t--)
        tanh_back(p, &h, t, t - 1, flow(p, t));
    /* The other state's error runs forward; it is cut after K, 2K, ... steps of all that are recorded, dead ones too. */
    for (int t = 1; t <= p->length; t++) {
        bool past = p->cut && t == p->length && p->recorded - t >= p->cut;
        tanh_back(p, &b, t, t + 1, past ? 0 : flow(p, p->recorded + 1 - t));
    }
}

static inline void add_errors(hand *p)
{
    for (int t = 1; t <= p->length; t++)
        for (int i = 0; i < p->m; i++)
            p->delta[H][t][i] = p->value[H][t][i] - p->y[t][i];
}

static inline void rnn_by_hand(hand *p)
{
    const gate h = {.W = "Wi", .Wh = "Wh", .b = "bh", .unit = H, .state = H};
    for (int t = 1; t <= p->length; t++)
        tanh_forward(p, &h, t, t - 1);
    add_errors(p);
    for (int t = p->length; t > 0; t--)
        tanh_back(p, &h, t, t - 1, flow(p, t));
}

static inline void mlp_by_hand(hand *p)
{
    for (int t = 1; t <= p->length; t++) {
        double *h = p->value[H][t];
        plus_input(p, "Wi", p->m, t, h);
        plus_bias(p, "bh", p->m, h);
        for (int i = 0; i < p->m; i++)
            h[i] = tanh(h[i]);
    }
    add_errors(p);
    for (int t = 1; t <= p->length; t++) {
        for (int i = 0; i < p->m; i++)
            p->delta[H][t][i] *= 1 - p->value[H][t][i] * p->value[H][t][i];
        input_back(p, "Wi", "bh", p->m, t, p->delta[H][t]);
    }
}

static inline void gated_by_hand(hand *p)
{
    const gate u = gate_of("u", U), phi = gate_of("phi", PHI);
    for (int t = 1; t <= p->length; t++) {
        double net_u[M], net_phi[M];
        net_by_hand(p, &u, t, t - 1, net_u);
        net_by_hand(p, &phi, t, t - 1, net_phi);
        for (int i = 0; i < p->m; i++) {
            double f = p->value[PHI][t][i] = logistic(net_phi[i]), new = p->value[U][t][i] = tanh(net_u[i]);
            p->value[H][t][i] = f * p->value[H][t - 1][i] + (1 - f) * new;
        }
    }
    add_errors(p);
    for (int t = p->length; t > 0; t--) {
        for (int i = 0; i < p->m; i++) {
            double f = p->value[PHI][t][i], new = p->value[U][t][i], delta = p->delta[H][t][i];
            p->delta[U][t][i] = delta * (1 - f) * (1 - new *new);
            p->delta[PHI][t][i] = delta * (p->value[H][t - 1][i] - new) * f * (1 - f);
            p->delta[H][t - 1][i] += flow(p, t) * delta * f;
        }
        gate_back(p, &u, t, t - 1, flow(p, t));
        gate_back(p, &phi, t, t - 1, flow(p, t));
    }
}

static inline void lstm_by_hand(hand *p)
{
    const gate gates[] = {gate_of("kappa", KAPPA), gate_of("phi", PHI), gate_of("omega", OMEGA), gate_of("u", U)};
    for (int t = 1; t <= p->length; t++) {
        for (int g = 0; g < 4; g++) {
            double net[M];
            net_by_hand(p, &gates[g], t, t - 1, net);
            for (int i = 0; i < p->m; i++)
                p->value[gates[g].unit][t][i] = g == 3 ? tanh(net[i]) : logistic(net[i]);
        }
        for (int i = 0; i < p->m; i++) {
            double c = p->value[KAPPA][t][i] * p->value[U][t][i] + p->value[PHI][t][i] * p->value[C][t - 1][i];
            p->value[C][t][i] = c;
            p->value[H][t][i] = p->value[OMEGA][t][i] * tanh(c);
        }
    }
    add_errors(p);
    for (int t = p->length; t > 0; t--) {
        for (int i = 0; i < p->m; i++) {
            double kappa = p->value[KAPPA][t][i], phi = p->value[PHI][t][i], omega = p->value[OMEGA][t][i];
            double u = p->value[U][t][i], c = tanh(p->value[C][t][i]), delta = p->delta[H][t][i];
            double delta_c = p->delta[C][t][i] += delta * omega * (1 - c * c);
            p->delta[OMEGA][t][i] = delta * c * omega * (1 - omega);
            p->delta[KAPPA][t][i] = delta_c * u * kappa * (1 - kappa);
            p->delta[PHI][t][i] = delta_c * p->value[C][t - 1][i] * phi * (1 - phi);
            p->delta[U][t][i] = delta_c * kappa * (1 - u * u);
            p->delta[C][t - 1][i] += flow(p, t) * delta_c * phi;
        }
        for (int g = 0; g < 4; g++)
            gate_back(p, &gates[g], t, t - 1, flow(p, t));
    }
}

/* V holds v = Whu^T h + bhu. */
static inline void gru_forward(hand *p, const gate *r, const gate *z, int t)
{
    double net_r[M], net_z[M], net_u[M] = {0}, v[M] = {0};
    const double *h = p->value[H][t - 1];
    net_by_hand(p, r, t, t - 1, net_r);
    net_by_hand(p, z, t, t - 1, net_z);
    plus_input(p, "Wu", p->m, t, net_u);
    plus_bias(p, "bu", p->m, net_u);
    plus_recurrent(p, "Whu", h, v);
    plus_bias(p, "bhu", p->m, v);
    for (int i = 0; i < p->m; i++) {
        double reset = p->value[R][t][i] = logistic(net_r[i]), kept = p->value[Z][t][i] = logistic(net_z[i]);
        double u = p->value[U][t][i] = tanh(net_u[i] + reset * v[i]);
        p->value[V][t][i] = v[i];
        p->value[H][t][i] = (1 - kept) * u + kept * h[i];
    }
}

static inline void gru_by_hand(hand *p)
{
    const gate r = gate_of("r", R), z = gate_of("z", Z);
    for (int t = 1; t <= p->length; t++)
        gru_forward(p, &r, &z, t);
    add_errors(p);
    for (int t = p->length; t > 0; t--) {
        for (int i = 0; i < p->m; i++) {
            double reset = p->value[R][t][i], kept = p->value[Z][t][i], u = p->value[U][t][i];
            double delta = p->delta[H][t][i], delta_u = p->delta[U][t][i] = delta * (1 - kept) * (1 - u * u);
            p->delta[Z][t][i] = delta * (p->value[H][t - 1][i] - u) * kept * (1 - kept);
            p->delta[R][t][i] = delta_u * p->value[V][t][i] * reset * (1 - reset);
            p->delta[V][t][i] = delta_u * reset;
            p->gradient[place_of(p, "bhu") + (size_t)i] += p->delta[V][t][i];
            p->delta[H][t - 1][i] += flow(p, t) * delta * kept;
        }
        gate_back(p, &r, t, t - 1, flow(p, t));
        gate_back(p, &z, t, t - 1, flow(p, t));
        input_back(p, "Wu", "bu", p->m, t, p->delta[U][t]);
        recurrent_back(p, "Whu", p->value[H][t - 1], p->delta[V][t], flow(p, t), p->delta[H][t - 1]);
    }
}

/* The plain form, without a stabiliser. */
static inline void slstm_by_hand(hand *p)
{
    const gate gates[] = {gate_of("kappa", KAPPA), gate_of("phi", PHI), gate_of("omega", OMEGA), gate_of("u", U)};
    for (int t = 1; t <= p->length; t++) {
        for (int g = 0; g < 4; g++) {
            double net[M];
            net_by_hand(p, &gates[g], t, t - 1, net);
            for (int i = 0; i < p->m; i++)
                p->value[gates[g].unit][t][i] = g == 0 ? exp(net[i]) : g == 3 ? tanh(net[i]) : logistic(net[i]);
        }
        for (int i = 0; i < p->m; i++) {
            double f = p->value[PHI][t][i], kappa = p->value[KAPPA][t][i];
            double c = p->value[C][t][i] = f * p->value[C][t - 1][i] + kappa * p->value[U][t][i];
            double n = p->value[N][t][i] = f * p->value[N][t - 1][i] + kappa;
            p->value[H][t][i] = p->value[OMEGA][t][i] * c / n;
        }
    }
    add_errors(p);
    for (int t = p->length; t > 0; t--) {
        for (int i = 0; i < p->m; i++) {
            double kappa = p->value[KAPPA][t][i], phi = p->value[PHI][t][i], omega = p->value[OMEGA][t][i];
            double u = p->value[U][t][i], c = p->value[C][t][i], n = p->value[N][t][i], delta = p->delta[H][t][i];
            double q = delta * omega / n;
            double delta_c = p->delta[C][t][i] += q, delta_n = p->delta[N][t][i] -= q * (c / n);
            p->delta[KAPPA][t][i] = kappa * (u * delta_c + delta_n);
            p->delta[PHI][t][i] = phi * (1 - phi) * (p->value[C][t - 1][i] * delta_c + p->value[N][t - 1][i] * delta_n);
            p->delta[U][t][i] = kappa * delta_c * (1 - u * u);
            p->delta[OMEGA][t][i] = delta * (c / n) * omega * (1 - omega);
            p->delta[C][t - 1][i] += flow(p, t) * phi * delta_c;
            p->delta[N][t - 1][i] += flow(p, t) * phi * delta_n;
        }
        for (int g = 0; g < 4; g++)
            gate_back(p, &gates[g], t, t - 1, flow(p, t));
    }
}

/* mLSTM's C [e,e,heads] and n [e,heads] for one head: C_ab at C[(a*e + b)*heads], n_a at n[a*heads]. */
static inline void mlstm_head_forward(hand *p, int t, int head)
{
    int e = p->m / p->heads, s = p->heads;
    const double *q = p->value[Q][t] + (ptrdiff_t)head * e, *k = p->value[K][t] + (ptrdiff_t)head * e;
    const double *v = p->value[V][t] + (ptrdiff_t)head * e;
    double kappa = p->value[KAPPA][t][head], phi = p->value[PHI][t][head], z = 0;
    for (int a = 0; a < e; a++) {
        int at = a * s + head;
        p->value[N][t][at] = phi * p->value[N][t - 1][at] + kappa * k[a];
        z += p->value[N][t][at] * q[a];
    }
    for (int a = 0; a < e; a++) {
        double y = 0;
        for (int b = 0; b < e; b++) {
            int at = (a * e + b) * s + head;
            p->value[C][t][at] = phi * p->value[C][t - 1][at] + kappa * v[a] * k[b];
            y += p->value[C][t][at] * q[b];
        }
        p->value[H][t][head * e + a] = p->value[OMEGA][t][head * e + a] * y / fmax(fabs(z), 1);
    }
}

/* delta^C and delta^n hold what came from step t+1. */
static inline void mlstm_head_back(hand *p, int t, int head)
{
    int e = p->m / p->heads, s = p->heads, first = head * e;
    const double *q = p->value[Q][t] + first, *k = p->value[K][t] + first, *v = p->value[V][t] + first;
    double kappa = p->value[KAPPA][t][head], phi = p->value[PHI][t][head], z = 0, along = 0, y[M] = {0}, g[M];
    double *dq = p->delta[Q][t] + first, *dk = p->delta[K][t] + first, *dv = p->delta[V][t] + first;
    for (int a = 0; a < e; a++) {
        z += p->value[N][t][a * s + head] * q[a];
        for (int b = 0; b < e; b++)
            y[a] += p->value[C][t][(a * e + b) * s + head] * q[b];
    }
    double d = fmax(fabs(z), 1);
    for (int a = 0; a < e; a++) {
        double omega = p->value[OMEGA][t][first + a], delta = p->delta[H][t][first + a];
        g[a] = delta * omega / d;
        along += g[a] * y[a];
        p->delta[OMEGA][t][first + a] = delta * (y[a] / d) * omega * (1 - omega);
    }
    double share = fabs(z) > 1 ? -along / d * (z > 0 ? 1 : -1) : 0;
    for (int a = 0; a < e; a++) {
        int n = a * s + head;
        double dn = p->delta[N][t][n] += share * q[a];
        dq[a] += share * p->value[N][t][n];
        dk[a] += kappa * dn;
        p->delta[KAPPA][t][head] += kappa * dn * k[a];
        p->delta[PHI][t][head] += phi * (1 - phi) * p->value[N][t - 1][n] * dn;
        p->delta[N][t - 1][n] += flow(p, t) * phi * dn;
        for (int b = 0; b < e; b++) {
            int at = (a * e + b) * s + head;
            double dC = p->delta[C][t][at] += g[a] * q[b];
            dq[b] += p->value[C][t][at] * g[a];
            dv[a] += kappa * dC * k[b];
            dk[b] += kappa * dC * v[a];
            p->delta[KAPPA][t][head] += kappa * v[a] * dC * k[b];
            p->delta[PHI][t][head] += phi * (1 - phi) * p->value[C][t - 1][at] * dC;
            p->delta[C][t - 1][at] += flow(p, t) * phi * dC;
        }
    }
}

static inline void mlstm_gates(hand *p, int t)
{
    static const struct {
        const char *W, *b;
        int unit;
    } gates[] = {{"Wq", "bq", Q},
                 {"Wk", "bk", K},
                 {"Wv", "bv", V},
                 {"Womega", "bomega", OMEGA},
                 {"Wkappa", "bkappa", KAPPA},
                 {"Wphi", "bphi", PHI}};
    for (int g = 0; g < 6; g++) {
        int units = g < 4 ? p->m : p->heads;
        double *value = p->value[gates[g].unit][t];
        plus_input(p, gates[g].W, units, t, value);
        plus_bias(p, gates[g].b, units, value);
        for (int i = 0; i < units; i++)
            value[i] = gates[g].unit == K               ? value[i] / sqrt((double)p->m / p->heads)
                       : gates[g].unit == KAPPA         ? exp(value[i])
                       : gates[g].unit == PHI || g == 3 ? logistic(value[i])
                                                        : value[i];
    }
}

static inline void mlstm_by_hand(hand *p)
{
    for (int t = 1; t <= p->length; t++) {
        mlstm_gates(p, t);
        for (int head = 0; head < p->heads; head++)
            mlstm_head_forward(p, t, head);
    }
    add_errors(p);
    for (int t = p->length; t > 0; t--) {
        double net_k[M];
        for (int head = 0; head < p->heads; head++)
            mlstm_head_back(p, t, head);
        for (int i = 0; i < p->m; i++)
            net_k[i] = p->delta[K][t][i] / sqrt((double)p->m / p->heads);
        input_back(p, "Wq", "bq", p->m, t, p->delta[Q][t]);
        input_back(p, "Wk", "bk", p->m, t, net_k);
        input_back(p, "Wv", "bv", p->m, t, p->delta[V][t]);
        input_back(p, "Womega", "bomega", p->m, t, p->delta[OMEGA][t]);
        input_back(p, "Wkappa", "bkappa", p->heads, t, p->delta[KAPPA][t]);
        input_back(p, "Wphi", "bphi", p->heads, t, p->delta[PHI][t]);
    }
}

/* ---- a case: a cell, and how its units are compared */

typedef struct unit {
    const char *name;
    int index;
    bool by_net; /* its delta is by the argument of its function */
} unit;

typedef struct setup {
    const char *cell;
    int heads;
    void (*by_hand)(hand *p);
    const unit *unit; /* up to one without a name */
} setup;

static const unit tanh_units[] = {{"h", H, true}, {0}};
static const unit brnn_units[] = {{"h", H, true}, {"b", B, true}, {0}};
static const unit gated_units[] = {{"u", U, true}, {"phi", PHI, true}, {"h", H, false}, {0}};
static const unit lstm_units[] = {{"kappa", KAPPA, true},
                                  {"phi", PHI, true},
                                  {"omega", OMEGA, true},
                                  {"u", U, true},
                                  {"c", C, false},
                                  {"h", H, false},
                                  {0}};
static const unit gru_units[] = {{"r", R, true}, {"z", Z, true}, {"u", U, true}, {"h", H, false}, {0}};
static const unit slstm_units[] = {{"kappa", KAPPA, true}, {"phi", PHI, true}, {"omega", OMEGA, true}, {"u", U, true},
                                   {"c", C, false},        {"n", N, false},    {"h", H, false},        {0}};
static const unit mlstm_units[] = {
    {"q", Q, false},        {"k", K, false}, {"v", V, false}, {"kappa", KAPPA, true}, {"phi", PHI, true},
    {"omega", OMEGA, true}, {"C", C, false}, {"n", N, false}, {"h", H, false},        {0}};

static const setup setups[] = {
    {"brnn", 1, brnn_by_hand, brnn_units},    {"gated", 1, gated_by_hand, gated_units},
    {"lstm", 1, lstm_by_hand, lstm_units},    {"gru", 1, gru_by_hand, gru_units},
    {"rnn", 1, rnn_by_hand, tanh_units},      {"mlp", 1, mlp_by_hand, tanh_units},
    {"slstm", 1, slstm_by_hand, slstm_units}, {"slstm", 2, slstm_by_hand, slstm_units},
    {"slstm", 3, slstm_by_hand, slstm_units}, {"mlstm", 1, mlstm_by_hand, mlstm_units},
    {"mlstm", 2, mlstm_by_hand, mlstm_units},
};
enum { SETUPS = sizeof setups / sizeof *setups, PLAIN = 6 /* without a stabiliser */ };

#endif
