/* test_cells.c - every cell against loops that code the derivation in its file by hand, one sequence at a time; stacks,
 * directions, starts, truncation, dropout and normalisation against runs put together by hand. */
#include <stdlib.h>
#include <string.h>

#include "../layers/layers.h"
#include "support.h"

enum { T = 9, D = 3, M = 6, BATCH = 4, WIDE = M * M, STEPS = T + 2 };
enum { ROOM = 1024, BOTH = 2 * M, POSITIONS = BATCH * T, COLUMNS = M * BATCH, INPUT = D * M, STATES = WIDE * BATCH };

/* Uniform in -1..1. */
static double draw(uint64_t *seed)
{
    return 2 * ur_random(7, "test", (*seed)++) - 1;
}

static void fill(uint64_t seed, double scale, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale * draw(&seed);
}

/* Every element to within a tolerance times the largest, or times 1e-2: some are 0 by mathematics. */
static void assert_near(const char *what, int64_t t, size_t n, const double *found, const double *expected,
                        double tolerance)
{
    double error = distance(n, found, expected), size = largest(n, expected);
    ck_assert_msg(error <= tolerance * fmax(size, 1e-2), "%s at %lld: %g off at values up to %g", what, (long long)t,
                  error, size);
}

/* ---- by hand: what the cells share */

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

static size_t place_of(const hand *p, const char *name)
{
    const char *other;
    size_t offset = 0;
    for (size_t k = 0; ur_param_at(p->tape, k, NULL, &other, &offset); k++)
        if (strcmp(name, other) == 0)
            return offset;
    ck_abort_msg("there is no parameter %s", name);
    return 0;
}

static double logistic(double a)
{
    return 1 / (1 + exp(-a));
}

/* Does an error flow from step t to t-1? */
static double flow(const hand *p, int t)
{
    return p->cut && t > 1 && (t - 1) % p->cut == 0 ? 0 : 1;
}

/* The names of a gate's parameters, and where its recurrent weights read. */
typedef struct gate {
    char W[16], Wh[16], b[16];
    int unit, state;
} gate;

static gate gate_of(const char *name, int unit)
{
    gate g = {.unit = unit, .state = H};
    snprintf(g.W, sizeof g.W, "W%s", name);
    snprintf(g.Wh, sizeof g.Wh, "Wh%s", name);
    snprintf(g.b, sizeof g.b, "b%s", name);
    return g;
}

/* Element [j,i] of recurrent weights, block-diagonal where they have heads; NULL off the blocks. */
static const double *recurrent_at(const hand *p, const double *Wh, int j, int i)
{
    ptrdiff_t e = p->m / p->heads;
    return j / e == i / e ? Wh + j * e + i % e : NULL;
}

static void plus_input(const hand *p, const char *W, int units, int t, double *net)
{
    const double *w = p->theta + place_of(p, W);
    for (int i = 0; i < units; i++)
        for (int j = 0; j < D; j++)
            net[i] += w[j * units + i] * p->x[t][j];
}

static void plus_recurrent(const hand *p, const char *Wh, const double *h, double *net)
{
    const double *w = p->theta + place_of(p, Wh);
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->m; j++) {
            const double *own = recurrent_at(p, w, j, i);
            net[i] += own ? *own * h[j] : 0;
        }
}

static void plus_bias(const hand *p, const char *b, int units, double *net)
{
    for (int i = 0; i < units; i++)
        net[i] += p->theta[place_of(p, b) + (size_t)i];
}

static void net_by_hand(hand *p, const gate *g, int t, int before, double net[M])
{
    memset(net, 0, M * sizeof *net);
    plus_input(p, g->W, p->m, t, net);
    plus_recurrent(p, g->Wh, p->value[g->state][before], net);
    plus_bias(p, g->b, p->m, net);
}

static void input_back(hand *p, const char *W, const char *b, int units, int t, const double *delta)
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

static void recurrent_back(hand *p, const char *Wh, const double *h, const double *delta, double flows, double *dh)
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
static void gate_back(hand *p, const gate *g, int t, int before, double flows)
{
    const double *delta = p->delta[g->unit][t];
    input_back(p, g->W, g->b, p->m, t, delta);
    recurrent_back(p, g->Wh, p->value[g->state][before], delta, flows, p->delta[g->state][before]);
}

/* ---- the cells by hand: forward, then back */

static void brnn_direction(hand *p, const gate *g, int t, int before)
{
    double net[M];
    net_by_hand(p, g, t, before, net);
    for (int i = 0; i < p->m; i++)
        p->value[g->unit][t][i] = tanh(net[i]);
}

/* In place: the derivative by the state becomes that by the net value once it is complete. */
static void brnn_back(hand *p, const gate *g, int t, int before, double flows)
{
    for (int i = 0; i < p->m; i++) {
        double h = p->value[g->unit][t][i];
        p->delta[g->unit][t][i] *= 1 - h * h;
    }
    gate_back(p, g, t, before, flows);
}

static void brnn_by_hand(hand *p)
{
    const gate h = {.W = "Wih", .Wh = "Wh", .b = "bh", .unit = H, .state = H};
    const gate b = {.W = "Wib", .Wh = "Wb", .b = "bb", .unit = B, .state = B};
    for (int t = 1; t <= p->length; t++)
        brnn_direction(p, &h, t, t - 1);
    for (int t = p->length; t > 0; t--)
        brnn_direction(p, &b, t, t + 1);
    for (int t = 1; t <= p->length; t++)
        for (int i = 0; i < p->m; i++) {
            p->delta[H][t][i] = p->value[H][t][i] - p->y[t][i];
            p->delta[B][t][i] = p->value[B][t][i] - p->y[t][p->m + i];
        }
    for (int t = p->length; t > 0; t--)
        brnn_back(p, &h, t, t - 1, flow(p, t));
    /* The other state's error runs forward; it is cut after K, 2K, ... steps of all that are recorded, dead ones too. */
    for (int t = 1; t <= p->length; t++) {
        bool past = p->cut && t == p->length && p->recorded - t >= p->cut;
        brnn_back(p, &b, t, t + 1, past ? 0 : flow(p, p->recorded + 1 - t));
    }
}

static void add_errors(hand *p)
{
    for (int t = 1; t <= p->length; t++)
        for (int i = 0; i < p->m; i++)
            p->delta[H][t][i] = p->value[H][t][i] - p->y[t][i];
}

static void gated_by_hand(hand *p)
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

static void lstm_by_hand(hand *p)
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
static void gru_forward(hand *p, const gate *r, const gate *z, int t)
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

static void gru_by_hand(hand *p)
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
static void slstm_by_hand(hand *p)
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
static void mlstm_head_forward(hand *p, int t, int head)
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
static void mlstm_head_back(hand *p, int t, int head)
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

static void mlstm_gates(hand *p, int t)
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

static void mlstm_by_hand(hand *p)
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
    {"slstm", 1, slstm_by_hand, slstm_units}, {"slstm", 2, slstm_by_hand, slstm_units},
    {"slstm", 3, slstm_by_hand, slstm_units}, {"mlstm", 1, mlstm_by_hand, mlstm_units},
    {"mlstm", 2, mlstm_by_hand, mlstm_units},
};
enum { SETUPS = sizeof setups / sizeof *setups, PLAIN = 4 /* without a stabiliser */ };

/* Four sequences; the padding holds NaN. */
typedef struct sequences {
    int64_t length[BATCH];
    double x[BATCH][T][D], y[BATCH][T][BOTH];
} sequences;

static const int64_t ragged[BATCH] = {T, 7, 0, 1};

static sequences random_sequences(uint64_t seed, int outputs)
{
    sequences q;
    memcpy(q.length, ragged, sizeof q.length);
    double *y = &q.y[0][0][0];
    for (int n = 0; n < BATCH; n++)
        for (int t = 0; t < T; t++) {
            for (int i = 0; i < D; i++)
                q.x[n][t][i] = t < ragged[n] ? draw(&seed) : NAN;
            for (int i = 0; i < outputs; i++) /* [BATCH,T,outputs] */
                *y++ = t < ragged[n] ? draw(&seed) : NAN;
        }
    return q;
}

/* A network with the gradients by everything, and what is read from it. */
typedef struct machine {
    ur_tape *tape;
    ur_net *net;
    ur_plan *plan;
    size_t wrts, units;
    ur_var gradient[256]; /* parameters, x_1 ... x_T, the starts, then the units, step by step */
    ur_var value[128];
} machine;

static ur_var net_value(ur_var node)
{
    return ur_node_input(node, 0);
}

static void list_units(machine *m, const unit *units)
{
    for (const unit *u = units; u && u->name; u++)
        for (int64_t t = 1; t <= m->net->steps; t++) {
            ur_var v = m->value[m->units++] = ur_find(m->tape, u->name, t);
            m->gradient[m->wrts++] = u->by_net ? net_value(v) : v;
        }
}

static machine new_machine(const ur_net_options *options, ur_dtype dtype, int64_t steps, const unit *units)
{
    machine m = {.tape = new_tape(dtype)};
    m.net = ur_net_new(m.tape, options, steps, BATCH);
    assert_good(m.tape, options->cell->name);
    for (size_t k = 0; k < m.net->params; k++)
        ur_param_at(m.tape, k, &m.gradient[m.wrts++], NULL, NULL);
    for (int64_t t = 0; t < steps; t++)
        m.gradient[m.wrts++] = m.net->x[t];
    for (size_t i = 0; i < m.net->states; i++)
        m.gradient[m.wrts++] = m.net->state[i].start;
    list_units(&m, units);
    ck_assert(m.wrts <= 256 && m.units <= 128);
    ck_assert(ur_grad(m.net->loss, m.wrts, m.gradient, m.gradient));
    return m;
}

static void plan_machine(machine *m, bool reference, bool finite)
{
    ur_var root[512];
    size_t n = 0;
    for (size_t i = 0; i < m->wrts; i++)
        root[n++] = m->gradient[i];
    for (size_t i = 0; i < m->units; i++)
        root[n++] = m->value[i];
    for (int64_t t = 0; t < m->net->steps; t++)
        root[n++] = m->net->o[t];
    for (size_t i = 0; i < m->net->states; i++)
        root[n++] = m->net->state[i].final;
    root[n++] = m->net->loss;
    m->plan =
        ur_plan_new(m->tape, &(ur_plan_options){.reference = reference, .finite = finite, .roots = n, .root = root});
    assert_good(m->tape, "plan");
}

static void run_machine(const machine *m)
{
    ck_assert_msg(ur_plan_run(m->plan), "%s", ur_tape_error(m->tape));
}

static void free_machine(machine *m)
{
    ur_plan_free(m->plan);
    ur_tape_free(m->tape);
}

static size_t count_of(ur_var v)
{
    ur_node node;
    ck_assert(ur_look(v, &node));
    return ur_shape_count(node.shape);
}

/* Writes the parameters from one vector, in the tape's type. */
static void write_params(ur_tape *tape, const double *theta)
{
    ur_var param;
    size_t offset;
    for (size_t k = 0; ur_param_at(tape, k, &param, NULL, &offset); k++)
        ck_assert(ur_write(param, count_of(param), theta + offset));
}

static void bind(const machine *m, const sequences *q, int64_t steps, int outputs)
{
    double x[BATCH * T * D], y[BATCH * T * BOTH];
    int64_t lengths[BATCH];
    memcpy(x, q->x, sizeof x);
    memcpy(y, q->y, sizeof y);
    memcpy(lengths, q->length, sizeof lengths);
    ur_data data = {.n = BATCH, .steps = steps, .inputs = D, .outputs = outputs, .x = x, .y = y, .lengths = lengths};
    ck_assert_msg(ur_net_bind(m->net, &data, 0, BATCH), "%s", ur_tape_error(m->tape));
}

/* Column n of a value [..., B]; returns the number of rows. */
static size_t read_column(const machine *m, ur_var v, int n, double *out)
{
    double all[STATES];
    size_t count = count_of(v);
    ck_assert_uint_le(count, STATES);
    ck_assert_msg(ur_read(m->plan, v, count, all), "%s", ur_tape_error(m->tape));
    for (size_t i = 0; i < count / BATCH; i++)
        out[i] = all[i * BATCH + (size_t)n];
    return count / BATCH;
}

/* ---- a network of one layer against the loops */

static ur_net_options options_of(const setup *s)
{
    return (ur_net_options){.cell = ur_cell_find(s->cell),
                            .inputs = D,
                            .hidden = M,
                            .heads = s->heads,
                            .loss = UR_MSE,
                            .reduction = UR_SUM_ALL};
}

static int outputs_of(const setup *s)
{
    return s->by_hand == brnn_by_hand ? BOTH : M;
}

/* The unit that a state is, and where its start stands. */
static int state_unit(const char *name)
{
    return strcmp(name, "h") == 0 ? H : strcmp(name, "b") == 0 ? B : strcmp(name, "n") == 0 ? N : C;
}

static int start_place(const hand *p, int state)
{
    return state == B ? p->length + 1 : 0;
}

/* A start for a state and sequence: n is positive. */
static void random_start(const ur_net_state *state, int n, double *out)
{
    bool normaliser = strcmp(state->name, "n") == 0;
    fill((uint64_t)n * 1000 + (uint64_t)state->name[0] * 7, 0.7, WIDE, out);
    for (int i = 0; i < WIDE; i++)
        out[i] = normaliser ? 1 + fabs(out[i]) : out[i];
}

static void write_starts(const machine *m)
{
    double start[BATCH][WIDE], columns[STATES];
    for (size_t i = 0; i < m->net->states; i++) {
        const ur_net_state *state = &m->net->state[i];
        size_t count = ur_shape_count(state->shape);
        if (state->scale)
            continue;
        for (int n = 0; n < BATCH; n++)
            random_start(state, n, start[n]);
        for (size_t k = 0; k < count; k++)
            columns[k] = start[k % BATCH][k / BATCH];
        ck_assert(ur_write(state->start, count, columns));
    }
}

static hand *run_by_hand(const setup *s, const machine *m, const double *theta, double *gradient, const sequences *q,
                         int n)
{
    hand *p = (hand *)calloc(1, sizeof *p);
    int outputs = outputs_of(s);
    ck_assert_ptr_nonnull(p);
    p->tape = m->tape;
    p->theta = theta;
    p->gradient = gradient;
    p->m = M;
    p->heads = s->heads;
    p->length = (int)q->length[n];
    p->cut = (int)m->net->options.bptt;
    p->recorded = (int)m->net->steps;
    for (int t = 1; t <= p->length; t++) {
        memcpy(p->x[t], q->x[n][t - 1], sizeof p->x[t]);
        memcpy(p->y[t], &q->y[0][0][0] + ((ptrdiff_t)n * T + t - 1) * outputs, (size_t)outputs * sizeof(double));
    }
    for (size_t i = 0; i < m->net->states && m->net->options.start == UR_START_GIVEN; i++) {
        int state = state_unit(m->net->state[i].name);
        if (!m->net->state[i].scale)
            random_start(&m->net->state[i], n, p->value[state][start_place(p, state)]);
    }
    s->by_hand(p);
    return p;
}

static void compare_units(const setup *s, const machine *m, const hand *p, int n, double tolerance)
{
    size_t first = m->net->params + (size_t)m->net->steps + m->net->states, at = 0;
    double found[WIDE];
    for (const unit *u = s->unit; u->name && m->units; u++)
        for (int t = 1; t <= m->net->steps; t++, at++) {
            size_t rows = read_column(m, m->gradient[first + at], n, found);
            if (t > p->length) {
                ck_assert_msg(largest(rows, found) == 0, "delta^%s at the dead step %d", u->name, t);
                continue;
            }
            assert_near(u->name, t, rows, found, p->delta[u->index][t], tolerance);
            read_column(m, m->value[at], n, found);
            assert_near(u->name, t, rows, found, p->value[u->index][t], tolerance);
        }
}

static void compare_steps(const machine *m, const hand *p, int n, double tolerance)
{
    const ur_net *net = m->net;
    double found[WIDE], expected[BOTH];
    for (int t = 1; t <= net->steps; t++) {
        memcpy(expected, p->value[H][t], M * sizeof *expected);
        memcpy(expected + M, p->value[B][t], M * sizeof *expected);
        size_t rows = read_column(m, net->o[t - 1], n, found);
        if (t > p->length)
            ck_assert_msg(largest(rows, found) == 0, "o at the dead step %d", t);
        else
            assert_near("o", t, rows, found, expected, tolerance);
        read_column(m, m->gradient[net->params + (size_t)t - 1], n, found);
        assert_near("dx", t, D, found, p->dx[t], tolerance);
    }
}

/* The gradients by the starts, and the states behind the end. */
static void compare_states(const machine *m, const hand *p, int n, bool finals, double tolerance)
{
    const ur_net *net = m->net;
    double found[WIDE];
    for (size_t i = 0; i < net->states; i++) {
        int state = state_unit(net->state[i].name), first = start_place(p, state);
        if (net->state[i].scale)
            continue;
        size_t rows = read_column(m, m->gradient[net->params + (size_t)net->steps + i], n, found);
        if (net->options.start == UR_START_GIVEN)
            assert_near(net->state[i].name, 0, rows, found, p->delta[state][first], tolerance);
        read_column(m, net->state[i].final, n, found);
        if (finals)
            assert_near(net->state[i].name, T, rows, found, p->value[state][state == B ? 1 : p->length], tolerance);
    }
}

/* One run of the machine against every sequence by itself. `plain`: its states are not scaled. */
static void compare(const setup *s, const machine *m, const double *theta, const sequences *q, bool plain,
                    double tolerance)
{
    size_t count, offset;
    const char *name;
    ur_params(m->tape, &count);
    double *sum = (double *)calloc(count, sizeof *sum), found[D * M * M];
    ck_assert_ptr_nonnull(sum);
    run_machine(m);
    for (int n = 0; n < BATCH; n++) {
        hand *p = run_by_hand(s, m, theta, sum, q, n);
        compare_steps(m, p, n, tolerance);
        compare_states(m, p, n, plain, tolerance);
        if (plain)
            compare_units(s, m, p, n, tolerance);
        free(p);
    }
    for (size_t k = 0; ur_param_at(m->tape, k, NULL, &name, &offset); k++) {
        size_t own = count_of(m->gradient[k]);
        ck_assert(ur_read(m->plan, m->gradient[k], own, found));
        if (strcmp(name, "bkappa") == 0 && !plain) /* nearly 0: the difference of much larger parts */
            ck_assert_double_le(distance(own, found, sum + offset), tolerance * largest(count, sum));
        else if (s->by_hand == slstm_by_hand && strcmp(name, "bkappa") == 0 &&
                 m->net->options.start == UR_START_FIXED && !m->net->options.bptt)
            ck_assert_double_le(largest(own, found), tolerance * largest(count, sum)); /* 0 by mathematics */
        else
            assert_near(name, 0, own, found, sum + offset, tolerance);
    }
    free(sum);
}

enum { MANY = 8 * ROOM };

static void random_theta(uint64_t seed, double *theta, size_t room)
{
    fill(seed, 0.6, room, theta);
}

/* Values, deltas of every unit and gradients of every parameter, by both executions. */
START_TEST(cells_by_hand)
{
    const setup *s = &setups[_i % SETUPS];
    ur_net_options options = options_of(s);
    double theta[ROOM];
    options.start = _i < SETUPS ? UR_START_FIXED : UR_START_GIVEN;
    random_theta(100 * (uint64_t)_i, theta, ROOM);
    sequences q = random_sequences(31 + (uint64_t)_i, outputs_of(s));
    for (int reference = 0; reference < 2; reference++) {
        machine m = new_machine(&options, UR_F64, T, s->unit);
        plan_machine(&m, reference, true);
        write_params(m.tape, theta);
        bind(&m, &q, T, outputs_of(s));
        if (options.start == UR_START_GIVEN)
            write_starts(&m);
        compare(s, &m, theta, &q, true, 1e-12);
        free_machine(&m);
    }
}
END_TEST

/* Truncated back-propagation: the loops stop where an error would flow past the cut. */
START_TEST(truncated)
{
    const setup *s = &setups[_i % SETUPS];
    static const int cuts[] = {1, 2, 3, 4, T - 1, T, T + 5};
    ur_net_options options = options_of(s);
    double theta[ROOM];
    options.start = UR_START_GIVEN;
    options.bptt = cuts[_i / SETUPS];
    random_theta(7 * (uint64_t)_i, theta, ROOM);
    sequences q = random_sequences(3 + (uint64_t)_i, outputs_of(s));
    machine m = new_machine(&options, UR_F64, T, s->unit);
    plan_machine(&m, false, false);
    write_params(m.tape, theta);
    bind(&m, &q, T, outputs_of(s));
    write_starts(&m);
    compare(s, &m, theta, &q, true, 1e-12);
    free_machine(&m);
}
END_TEST

/* ---- the stabilisers */

/* Every element of a parameter. */
static void set_param(ur_tape *tape, double *theta, const char *name, double value)
{
    ur_var param;
    const char *other;
    size_t offset;
    for (size_t k = 0; ur_param_at(tape, k, &param, &other, &offset); k++)
        for (size_t i = 0; strcmp(name, other) == 0 && i < count_of(param); i++)
            theta[offset + i] = value;
}

/* Far from the range where nothing is scaled, but where doubles still hold the plain form, which the loops code. */
START_TEST(stabilised_by_hand)
{
    static const double shift[] = {-280, -60, 60, 280};
    const setup *s = &setups[PLAIN + _i / 4 % (SETUPS - PLAIN)];
    bool single = _i >= 4 * (SETUPS - PLAIN);
    double kappa = shift[_i % 4], theta[ROOM];
    ur_net_options options = options_of(s);
    options.start = UR_START_FIXED;
    random_theta((uint64_t)_i, theta, ROOM);
    sequences q = random_sequences(77 + (uint64_t)_i, M);
    machine m = new_machine(&options, single ? UR_F32 : UR_F64, T, s->unit);
    plan_machine(&m, false, true);
    set_param(m.tape, theta, "bkappa", kappa);
    for (int i = 0; i < ROOM && single; i++)
        theta[i] = (double)(float)theta[i];
    write_params(m.tape, theta);
    bind(&m, &q, T, M);
    if (s->by_hand == slstm_by_hand || kappa > 0 || fabs(kappa) < 100) /* a small mLSTM underflows, see below */
        compare(s, &m, theta, &q, fabs(kappa) < (single ? 20 : 190), single ? 2e-3 : 1e-11);
    else
        run_machine(&m);
    free_machine(&m);
}
END_TEST

/* Net values of +-200 in every combination of kappa, phi and the sign of the others. */
START_TEST(finite_far_out)
{
    const setup *s = &setups[PLAIN + _i / 16 % (SETUPS - PLAIN)];
    bool single = _i >= 16 * (SETUPS - PLAIN);
    ur_net_options options = options_of(s);
    double theta[ROOM], far = _i & 8 ? 200 : 60;
    random_theta((uint64_t)_i, theta, ROOM);
    sequences q = random_sequences(177 + (uint64_t)_i, M);
    machine m = new_machine(&options, single ? UR_F32 : UR_F64, T, NULL);
    plan_machine(&m, false, true); /* fails at the first value that is not finite */
    for (int i = 0; i < ROOM && _i & 4; i++)
        theta[i] *= far; /* mixed signs, from step to step */
    set_param(m.tape, theta, "bkappa", _i & 1 ? far : -far);
    set_param(m.tape, theta, "bphi", _i & 2 ? far : -far);
    set_param(m.tape, theta, "bomega", _i & 1 ? -far : far);
    write_params(m.tape, theta);
    bind(&m, &q, T, M);
    run_machine(&m);
    for (size_t i = 0; i < m.wrts; i++) {
        double all[STATES];
        size_t count = count_of(m.gradient[i]);
        ck_assert(count <= STATES && ur_read(m.plan, m.gradient[i], count, all));
        ck_assert(isfinite(largest(count, all)));
    }
    free_machine(&m);
}
END_TEST

/* ---- executions */

/* Node by node and planned, in every number of steps. */
START_TEST(reference_equals_plan)
{
    static const int64_t steps[] = {1, 2, 3, 17};
    static const char *const cells[] = {"mlp", "rnn", "brnn", "gated", "lstm", "gru", "slstm", "mlstm"};
    ur_net_options options = {.cell = ur_cell_find(cells[_i % 8]),
                              .inputs = D,
                              .hidden = M,
                              .heads = 2,
                              .outputs = 2,
                              .out = UR_SOFTMAX,
                              .loss = UR_CE,
                              .layers = 1 + _i / 8,
                              .layer_norm = _i / 8 == 1,
                              .bidirectional = _i / 8 == 1 && _i % 8 != 2};
    for (int k = 0; k < 4; k++) {
        machine m = new_machine(&options, UR_F64, steps[k], NULL), other;
        double theta[MANY], x[BATCH * 17 * D], y[BATCH * 17 * 2];
        random_theta(9 * (uint64_t)_i, theta, MANY);
        write_params(m.tape, theta);
        fill(5, 1, sizeof x / sizeof *x, x);
        for (int i = 0; i < BATCH * 17 * 2; i++)
            y[i] = i % 2;
        int64_t lengths[BATCH] = {steps[k], steps[k] - 1, 0, 1};
        ur_data data = {.n = BATCH, .steps = steps[k], .inputs = D, .outputs = 2, .x = x, .y = y, .lengths = lengths};
        ck_assert_msg(ur_net_bind(m.net, &data, 0, BATCH), "%s", ur_tape_error(m.tape));
        plan_machine(&m, false, false);
        other = m;
        plan_machine(&other, true, false);
        run_machine(&m);
        run_machine(&other);
        for (size_t i = 0; i < m.wrts; i++) {
            double found[ROOM], expected[ROOM];
            size_t count = count_of(m.gradient[i]);
            ck_assert(count <= ROOM && ur_read(m.plan, m.gradient[i], count, found));
            ck_assert(ur_read(other.plan, m.gradient[i], count, expected));
            assert_near(cells[_i % 8], steps[k], count, found, expected, 1e-12);
        }
        ur_plan_free(other.plan);
        free_machine(&m);
    }
}
END_TEST

/* ---- layers put together by hand */

/* Runs a network without loss on x [BATCH,T,rows] and returns o [BATCH,T,outputs], its parameters copied by prefix. */
static double *run_piece(const ur_net_options *options, const double *x, const int64_t *lengths, ur_tape *from,
                         const char *prefix)
{
    ur_net_options own = *options;
    ur_tape *tape = new_tape(UR_F64);
    own.loss = UR_NO_LOSS;
    ur_net *net = ur_net_new(tape, &own, T, BATCH);
    assert_good(tape, "piece");
    ur_var param, source;
    const char *name, *other;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, NULL); k++)
        for (size_t i = 0; ur_param_at(from, i, &source, &other, NULL); i++)
            if (strncmp(other, prefix, strlen(prefix)) == 0 && strcmp(other + strlen(prefix), name) == 0)
                memcpy(ur_leaf(param), ur_leaf(source), count_of(param) * sizeof(double));
    size_t rows = (size_t)ur_net_outputs(&own);
    double *o = (double *)calloc(POSITIONS * rows, sizeof *o), *copy, columns[4 * COLUMNS];
    size_t numbers = POSITIONS * (size_t)own.inputs;
    copy = (double *)malloc(numbers * sizeof *copy);
    ck_assert(o && copy);
    memcpy(copy, x, numbers * sizeof *copy);
    int64_t own_lengths[BATCH];
    memcpy(own_lengths, lengths, sizeof own_lengths);
    ur_data data = {.n = BATCH, .steps = T, .inputs = own.inputs, .x = copy, .lengths = own_lengths};
    ck_assert_msg(ur_net_bind(net, &data, 0, BATCH), "%s", ur_tape_error(tape));
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = T, .root = net->o});
    ck_assert(plan && ur_plan_run(plan));
    for (size_t t = 0; t < T; t++) {
        ck_assert(ur_read(plan, net->o[t], rows * BATCH, columns));
        for (size_t n = 0; n < BATCH; n++)
            for (size_t i = 0; i < rows; i++)
                o[(n * T + t) * rows + i] = columns[i * BATCH + n];
    }
    free(copy);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return o;
}

/* Every sequence from its own last step to its first. */
static double *reversed(const double *x, size_t rows, const int64_t *lengths)
{
    double *back = (double *)calloc(POSITIONS * rows, sizeof *back);
    ck_assert_ptr_nonnull(back);
    for (size_t n = 0; n < BATCH; n++)
        for (size_t t = 0; t < (size_t)lengths[n]; t++)
            memcpy(back + (n * T + t) * rows, x + (n * T + (size_t)lengths[n] - 1 - t) * rows, rows * sizeof *x);
    return back;
}

/* One layer in both directions from two nets in one: forward outputs above backward ones. */
static double *both_directions(const ur_net_options *one, const double *x, const int64_t *lengths, ur_tape *from,
                               const char *prefix)
{
    char back[32];
    snprintf(back, sizeof back, "%sback.", prefix);
    double *turned = reversed(x, (size_t)one->inputs, lengths),
           *o = (double *)calloc((size_t)POSITIONS * BOTH, sizeof *o);
    double *forward = run_piece(one, x, lengths, from, prefix), *behind = run_piece(one, turned, lengths, from, back);
    double *backward = reversed(behind, M, lengths);
    ck_assert_ptr_nonnull(o);
    for (size_t i = 0; i < POSITIONS; i++) {
        memcpy(o + i * BOTH, forward + i * M, M * sizeof *o);
        memcpy(o + i * BOTH + M, backward + i * M, M * sizeof *o);
    }
    free(turned);
    free(forward);
    free(behind);
    free(backward);
    return o;
}

static ur_tape *weights_of(const ur_net_options *options, uint64_t seed)
{
    double theta[MANY];
    ur_tape *tape = new_tape(UR_F64);
    ck_assert(ur_net_new(tape, options, 2, 1) != NULL);
    random_theta(seed, theta, MANY);
    write_params(tape, theta);
    return tape;
}

static const char *const stackable[] = {"rnn", "gated", "lstm", "gru", "slstm", "mlstm"};
enum { STACKABLE = 6 };

START_TEST(stacked_in_both_directions)
{
    static const int64_t lengths[BATCH] = {T, 7, 0, 1};
    ur_net_options whole = {
        .cell = ur_cell_find(stackable[_i]), .inputs = D, .hidden = M, .heads = 2, .layers = 2, .bidirectional = true};
    ur_net_options one = whole, two;
    one.layers = 1;
    one.bidirectional = false;
    two = one;
    two.inputs = BOTH;
    ur_tape *from = weights_of(&whole, (uint64_t)_i);
    sequences q = random_sequences(5, M);
    const double *x = &q.x[0][0][0];
    double *first = both_directions(&one, x, lengths, from, "layer0."),
           *found = run_piece(&whole, x, lengths, from, "");
    double *second = both_directions(&two, first, lengths, from, "layer1.");
    assert_near(stackable[_i], 0, (size_t)POSITIONS * BOTH, found, second, 1e-13);
    free(first);
    free(second);
    free(found);
    ur_tape_free(from);
}
END_TEST

START_TEST(names_of_layers)
{
    ur_net_options options = {.cell = ur_cell_find("rnn"),
                              .inputs = D,
                              .hidden = M,
                              .layers = 2,
                              .bidirectional = true,
                              .layer_norm = true,
                              .start = UR_START_LEARNED};
    static const char *const names[] = {"h0", "Wi", "Wh", "bh", "gamma", "beta"};
    static const char *const states[] = {"layer0.h", "layer0.back.h", "layer1.h", "layer1.back.h"};
    for (int given = 0; given < 2; given++) {
        ur_tape *tape = new_tape(UR_F64);
        options.start = given ? UR_START_GIVEN : UR_START_LEARNED;
        ur_net *net = ur_net_new(tape, &options, 3, 2);
        assert_good(tape, "names");
        ck_assert_uint_eq(net->params, given ? 20 : 24);
        for (int k = given; k < 24; k += 1 + (given && k % 6 == 5)) {
            char name[32];
            snprintf(name, sizeof name, "layer%d.%s%s", k / 12, k / 6 % 2 ? "back." : "", names[k % 6]);
            ck_assert_msg(ur_find(tape, name, 0).index != UR_NONE, "there is no %s", name);
        }
        ck_assert_uint_eq(net->states, 4);
        for (size_t i = 0; i < 4; i++)
            ck_assert_str_eq(net->state[i].name, states[i]);
        ur_tape_free(tape);
    }
}
END_TEST

/* ---- starts and windows */

static ur_var gradient_of(const machine *m, const char *name)
{
    const char *other;
    for (size_t k = 0; ur_param_at(m->tape, k, NULL, &other, NULL); k++)
        if (strcmp(name, other) == 0)
            return m->gradient[k];
    return UR_ZERO;
}

/* Writes b's learned starts to every column of a's given ones. */
static void give_learned(const machine *a, const machine *b)
{
    for (size_t i = 0; i < a->net->states; i++) {
        char name[8];
        double columns[STATES];
        snprintf(name, sizeof name, "%s0", a->net->state[i].name);
        ur_var start = ur_find(b->tape, name, 0);
        ck_assert_int_eq(start.index == UR_NONE, a->net->state[i].scale);
        if (a->net->state[i].scale)
            continue;
        for (size_t k = 0; k < count_of(start) * BATCH; k++)
            columns[k] = ((double *)ur_leaf(start))[k / BATCH];
        ck_assert(ur_write(a->net->state[i].start, count_of(start) * BATCH, columns));
    }
}

/* A learned start is a given one, alike for all sequences; its gradient is the sum of theirs. */
START_TEST(learned_start)
{
    const setup *s = &setups[_i];
    ur_net_options options = options_of(s), learned = options;
    options.start = UR_START_GIVEN;
    learned.start = UR_START_LEARNED;
    machine a = new_machine(&options, UR_F64, T, NULL), b = new_machine(&learned, UR_F64, T, NULL);
    double theta[ROOM];
    random_theta(3, theta, ROOM);
    write_params(b.tape, theta);
    ck_assert(ur_params_copy(a.tape, b.tape));
    give_learned(&a, &b);
    sequences q = random_sequences(9, outputs_of(s));
    bind(&a, &q, T, outputs_of(s));
    bind(&b, &q, T, outputs_of(s));
    plan_machine(&a, false, false);
    plan_machine(&b, false, false);
    run_machine(&a);
    run_machine(&b);
    for (size_t i = 0; i < a.net->states; i++) {
        char name[8];
        double each[STATES], sum[WIDE] = {0}, found[WIDE];
        ur_var by_start = a.gradient[a.net->params + T + i];
        size_t count = count_of(by_start);
        snprintf(name, sizeof name, "%s0", a.net->state[i].name);
        if (a.net->state[i].scale)
            continue;
        ck_assert(ur_read(a.plan, by_start, count, each));
        ck_assert(ur_read(b.plan, gradient_of(&b, name), count / BATCH, found));
        for (size_t k = 0; k < count; k++)
            sum[k / BATCH] += each[k];
        assert_near(name, 0, count / BATCH, found, sum, 1e-12);
    }
    free_machine(&a);
    free_machine(&b);
}
END_TEST

/* Windows of three steps, the final states of one being the start of the next, are one long run. */
START_TEST(windows)
{
    enum { WINDOW = 3 };
    const setup *s = &setups[1 + _i]; /* all but the one that runs back in time */
    ur_net_options options = options_of(s);
    double theta[ROOM];
    options.start = UR_START_GIVEN;
    random_theta(11, theta, ROOM);
    sequences q = random_sequences(13, M), part = q;
    machine whole = new_machine(&options, UR_F64, T, NULL), window = new_machine(&options, UR_F64, WINDOW, NULL);
    plan_machine(&whole, false, false);
    for (size_t i = 0; i < window.net->states; i++)
        ck_assert(ur_state(window.net->state[i].start, window.net->state[i].final));
    plan_machine(&window, false, false);
    write_params(whole.tape, theta);
    write_params(window.tape, theta);
    bind(&whole, &q, T, M);
    run_machine(&whole);
    for (int first = 0; first < T; first += WINDOW) {
        for (int n = 0; n < BATCH; n++) {
            int64_t left = q.length[n] - first;
            part.length[n] = left < 0 ? 0 : left > WINDOW ? WINDOW : left;
            memcpy(&part.x[0][0][0] + (size_t)n * WINDOW * D, q.x[n][first], WINDOW * sizeof q.x[n][first]);
        }
        bind(&window, &part, WINDOW, M);
        run_machine(&window);
        for (int t = 0; t < WINDOW; t++)
            for (int n = 0; n < BATCH; n++) {
                double found[WIDE], expected[WIDE];
                read_column(&window, window.net->o[t], n, found);
                read_column(&whole, whole.net->o[first + t], n, expected);
                assert_near(s->cell, first + t + 1, M, found, expected, 1e-13);
            }
    }
    free_machine(&whole);
    free_machine(&window);
}
END_TEST

/* ---- dropout */

/* What a network gives at step t [outputs,B], for a training step and numbers of the sequences. */
static void run_dropout(const machine *m, double training, const double *numbers, double o[T][COLUMNS])
{
    ck_assert(ur_write(m->net->training, 1, &training) && ur_write(m->net->sequences, BATCH, numbers));
    run_machine(m);
    for (int t = 0; t < T; t++)
        ck_assert(ur_read(m->plan, m->net->o[t], COLUMNS, o[t]));
}

/* The same sequence in every column. */
static machine dropout_machine(const ur_net_options *options, uint64_t seed)
{
    static const int64_t full[BATCH] = {T, T, T, T};
    double theta[MANY];
    machine m = new_machine(options, UR_F64, T, NULL);
    plan_machine(&m, false, false);
    random_theta(seed, theta, MANY);
    write_params(m.tape, theta);
    sequences q = random_sequences(3, M);
    for (int n = 0; n < BATCH; n++) {
        memcpy(q.x[n], q.x[0], sizeof q.x[n]);
        memcpy(&q.y[0][0][0] + (size_t)n * T * M, &q.y[0][0][0], sizeof(double[T][M]));
    }
    memcpy(q.length, full, sizeof full);
    bind(&m, &q, T, M);
    return m;
}

static const double in_order[BATCH] = {0, 1, 2, 3}, permuted[BATCH] = {2, 0, 3, 1};

/* Between layers and recurrent: a function of the training step and the sequence's number, not of its column. */
START_TEST(dropout)
{
    ur_net_options options = {.cell = ur_cell_find(stackable[_i % (STACKABLE - 1)]),
                              .inputs = D,
                              .hidden = M,
                              .heads = 2,
                              .layers = 2,
                              .loss = UR_MSE,
                              .dropout = _i < STACKABLE - 1 ? 0.3 : 0,
                              .recurrent_dropout = _i < STACKABLE - 1 ? 0 : 0.3};
    ur_net_options without = options;
    without.dropout = without.recurrent_dropout = 0;
    machine m = dropout_machine(&options, 17), plain = dropout_machine(&without, 17);
    double o[T][COLUMNS], again[T][COLUMNS], moved[T][COLUMNS], none[T][COLUMNS];
    run_dropout(&m, 5, in_order, o);
    run_dropout(&m, 6, in_order, moved);
    ck_assert_double_gt(distance((size_t)T * COLUMNS, &o[0][0], &moved[0][0]), 1e-3);
    run_dropout(&m, 5, in_order, again);
    ck_assert_mem_eq(o, again, sizeof o);
    run_dropout(&m, 5, permuted, moved);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < M; i++)
            for (int n = 0; n < BATCH; n++)
                ck_assert_double_eq(moved[t][i * BATCH + n], o[t][i * BATCH + (int)permuted[n]]);
    ck_assert_double_gt(fabs(o[T - 1][0] - o[T - 1][1]), 1e-6); /* two sequences, two masks */
    run_dropout(&m, -1, in_order, o);
    run_machine(&plain);
    for (int t = 0; t < T; t++)
        ck_assert(ur_read(plain.plan, plain.net->o[t], COLUMNS, none[t]));
    /* every mask is p/p = 1; the plans differ by the products with it, so sums may be rounded at another place */
    ck_assert_double_lt(distance((size_t)T * COLUMNS, &o[0][0], &none[0][0]), 1e-15);
    free_machine(&m);
    free_machine(&plain);
}
END_TEST

/* The masks themselves, read off an identity network: h_t = h_{t-1} * mask + x_t with Wh = 1, or layer 1 on layer 0. */
START_TEST(masks_of_dropout)
{
    enum { MANY_UNITS = 40, MANY_COLUMNS = 50, ELEMENTS = MANY_UNITS * MANY_COLUMNS };
    bool recurrent = _i;
    ur_net_options options = {.cell = ur_cell_find(recurrent ? "rnn" : "mlp"),
                              .inputs = MANY_UNITS,
                              .hidden = MANY_UNITS,
                              .layers = recurrent ? 1 : 2,
                              .hidden_activation = UR_IDENTITY,
                              .dropout = recurrent ? 0 : 0.2,
                              .recurrent_dropout = recurrent ? 0.2 : 0};
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, &options, 3, MANY_COLUMNS);
    ur_plan *plan = net ? ur_plan_new(tape, &(ur_plan_options){.roots = 3, .root = net->o}) : NULL;
    assert_good(tape, "masks");
    static double o[3][ELEMENTS];
    double numbers[MANY_COLUMNS], training = 1, mean = 0, alike = 0;
    for (int n = 0; n < MANY_COLUMNS; n++)
        numbers[n] = 100 + n;
    ck_assert(ur_write(net->sequences, MANY_COLUMNS, numbers) && ur_write(net->training, 1, &training));
    ur_var param;
    for (size_t k = 0; ur_param_at(tape, k, &param, NULL, NULL); k++)
        for (int i = 0; count_of(param) > MANY_UNITS && i < MANY_UNITS; i++)
            ((double *)ur_leaf(param))[i * MANY_UNITS + i] = 1;
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < ELEMENTS; i++) {
            ((double *)ur_leaf(net->x[t]))[i] = recurrent && t > 0 ? 0 : 1;
            ((double *)ur_leaf(net->alive[t]))[i % MANY_COLUMNS] = 1;
        }
    ck_assert(ur_plan_run(plan));
    for (int t = 0; t < 3; t++)
        ck_assert(ur_read(plan, net->o[t], ELEMENTS, o[t]));
    for (int i = 0; i < ELEMENTS; i++) {
        double mask = o[1][i];
        ck_assert(mask == 0 || fabs(mask - 1.25) < 1e-15);
        mean += mask / (ELEMENTS);
        alike += (recurrent ? fabs(o[2][i] - mask * mask) < 1e-15 : o[2][i] == mask) / (double)(ELEMENTS);
    }
    ck_assert_double_eq_tol(mean, 1, 0.05); /* four and a half standard deviations */
    if (recurrent)
        ck_assert_double_eq_tol(alike, 1, 1e-12); /* one mask for the sequence */
    else
        ck_assert_double_eq_tol(alike, 0.68, 0.05); /* 0.8^2 + 0.2^2: another one at every step */
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* The two recurrent masks of a network whose start is 1 and that returns what its weights read. */
static void masks_read(int64_t steps, double o[BOTH * BATCH])
{
    ur_net_options options = {.cell = ur_cell_find("rnn"),
                              .inputs = D,
                              .hidden = M,
                              .hidden_activation = UR_IDENTITY,
                              .bidirectional = true,
                              .start = UR_START_GIVEN,
                              .recurrent_dropout = 0.5};
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, &options, steps, BATCH);
    ur_plan *plan = net ? ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = net->o}) : NULL;
    double training = 3, ones[COLUMNS];
    assert_good(tape, "masks");
    for (int i = 0; i < COLUMNS; i++)
        ones[i] = 1;
    ck_assert(ur_write(net->sequences, BATCH, in_order) && ur_write(net->training, 1, &training));
    ck_assert(ur_write(net->alive[0], BATCH, ones));
    for (size_t k = 0; k < net->states; k++) {
        double *Wh = (double *)ur_leaf(ur_find(tape, k ? "back.Wh" : "Wh", 0));
        ck_assert(Wh && ur_write(net->state[k].start, COLUMNS, ones));
        for (int i = 0; i < M; i++)
            Wh[i * M + i] = 1;
    }
    ck_assert(ur_plan_run(plan) && ur_read(plan, net->o[0], (size_t)BOTH * BATCH, o));
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* Each direction has its own mask, which does not depend on how many steps are recorded. */
START_TEST(masks_of_directions)
{
    double one[BOTH * BATCH], more[BOTH * BATCH], difference = 0;
    masks_read(1, one);
    masks_read(5, more);
    ck_assert_mem_eq(one, more, sizeof one);
    for (int i = 0; i < COLUMNS; i++) {
        ck_assert(one[i] == 0 || one[i] == 2);
        difference += fabs(one[i] - one[i + COLUMNS]);
    }
    ck_assert_double_gt(difference, 4);
}
END_TEST

/* ---- normalisation */

/* gamma * (h - mean)/sqrt(variance + 1e-5) + beta over the units of each column. */
START_TEST(layer_norm_by_hand)
{
    ur_net_options options = options_of(&setups[2]), without = options;
    options.layer_norm = true;
    machine m = new_machine(&options, UR_F64, T, NULL), plain = new_machine(&without, UR_F64, T, NULL);
    double theta[ROOM];
    random_theta(21, theta, ROOM);
    write_params(m.tape, theta);
    ur_params_copy(plain.tape, m.tape);
    sequences q = random_sequences(23, M);
    bind(&m, &q, T, M);
    bind(&plain, &q, T, M);
    plan_machine(&m, false, false);
    plan_machine(&plain, false, false);
    run_machine(&m);
    run_machine(&plain);
    const double *gamma = (const double *)ur_leaf(ur_find(m.tape, "gamma", 0));
    const double *beta = (const double *)ur_leaf(ur_find(m.tape, "beta", 0));
    for (int n = 0; n < BATCH; n++)
        for (int t = 0; t < q.length[n]; t++) {
            double h[WIDE], found[WIDE], mean = 0, variance = 0;
            read_column(&plain, plain.net->o[t], n, h);
            read_column(&m, m.net->o[t], n, found);
            for (int i = 0; i < M; i++)
                mean += h[i] / M;
            for (int i = 0; i < M; i++)
                variance += (h[i] - mean) * (h[i] - mean) / M;
            for (int i = 0; i < M; i++)
                h[i] = gamma[i] * (h[i] - mean) / sqrt(variance + 1e-5) + beta[i];
            assert_near("layer norm", t + 1, M, found, h, 1e-12);
        }
    free_machine(&m);
    free_machine(&plain);
}
END_TEST

/* The columns' values of a unit at one step, in training: normalised over those that are alive. */
typedef struct statistics {
    double count, sum[M], scatter[M];
} statistics;

static statistics statistics_of(const machine *plain, const sequences *q, int t)
{
    statistics s = {0};
    double h[BATCH][WIDE] = {{0}};
    for (int n = 0; n < BATCH; n++) {
        read_column(plain, plain->net->o[t], n, h[n]);
        s.count += t < q->length[n];
        for (int i = 0; i < M; i++)
            s.sum[i] += t < q->length[n] ? h[n][i] : 0;
    }
    for (int n = 0; n < BATCH; n++)
        for (int i = 0; i < M && t < q->length[n]; i++)
            s.scatter[i] += pow(h[n][i] - s.sum[i] / s.count, 2);
    return s;
}

/* o at every alive position, from the plain network's h and the mean and variance that count there. */
static void compare_normalised(const machine *m, const machine *plain, const sequences *q, const double *mean,
                               const double *variance)
{
    const double *gamma = (const double *)ur_leaf(ur_find(m->tape, "gamma", 0));
    const double *beta = (const double *)ur_leaf(ur_find(m->tape, "beta", 0));
    for (int t = 0; t < T; t++) {
        statistics s = statistics_of(plain, q, t);
        for (int n = 0; n < BATCH; n++) {
            double h[WIDE], found[WIDE];
            read_column(plain, plain->net->o[t], n, h);
            read_column(m, m->net->o[t], n, found);
            for (int i = 0; i < M; i++) {
                double own_mean = mean ? mean[i] : s.sum[i] / s.count;
                double own_variance = variance ? variance[i] : s.scatter[i] / s.count;
                h[i] = gamma[i] * (h[i] - own_mean) / sqrt(own_variance + 1e-5) + beta[i];
            }
            if (t < q->length[n])
                assert_near("batch norm", t + 1, M, found, h, 1e-10);
            else
                ck_assert_double_eq(largest(M, found), 0);
        }
    }
}

static void run_as(const machine *m, double training)
{
    ck_assert(ur_write(m->net->training, 1, &training));
    run_machine(m);
}

START_TEST(batch_norm_by_hand)
{
    ur_net_options options = options_of(&setups[2]), without = options;
    options.batch_norm = true;
    machine m = new_machine(&options, UR_F64, T, NULL), plain = new_machine(&without, UR_F64, T, NULL);
    double theta[ROOM], mean[M] = {0}, variance[M] = {1, 1, 1, 1, 1, 1};
    random_theta(21, theta, ROOM);
    write_params(m.tape, theta);
    ck_assert(ur_params_copy(plain.tape, m.tape) && ur_net_track(m.net));
    ck_assert_uint_eq(m.net->averages, 2);
    ck_assert_str_eq(m.net->average[0].name, "mean");
    ck_assert_str_eq(m.net->average[1].name, "variance");
    plan_machine(&m, false, false);
    plan_machine(&plain, false, false);
    for (int round = 0; round < 3; round++) {
        statistics all = {0};
        sequences q = random_sequences(40 + (uint64_t)round, M);
        bind(&m, &q, T, M);
        bind(&plain, &q, T, M);
        run_machine(&plain);
        run_as(&m, round);
        compare_normalised(&m, &plain, &q, NULL, NULL);
        for (int t = 0; t < T; t++) {
            statistics s = statistics_of(&plain, &q, t);
            all.count += s.count;
            for (int i = 0; i < M; i++) {
                all.sum[i] += s.sum[i];
                all.scatter[i] += s.scatter[i];
            }
        }
        for (int i = 0; i < M; i++) {
            mean[i] = 0.9 * mean[i] + 0.1 * all.sum[i] / all.count;
            variance[i] = 0.9 * variance[i] + 0.1 * all.scatter[i] / all.count;
        }
        for (int again = 0; again < 2; again++) { /* evaluation moves nothing */
            run_as(&m, -1);
            assert_near("mean", round, M, (double *)ur_leaf(m.net->average[0].leaf), mean, 1e-13);
            assert_near("variance", round, M, (double *)ur_leaf(m.net->average[1].leaf), variance, 1e-13);
            compare_normalised(&m, &plain, &q, mean, variance);
        }
    }
    free_machine(&m);
    free_machine(&plain);
}
END_TEST

/* No position is alive: the averages stay, and nothing is NaN. */
START_TEST(batch_norm_of_nothing)
{
    ur_net_options options = options_of(&setups[2]);
    options.batch_norm = true;
    machine m = new_machine(&options, UR_F64, T, NULL);
    double theta[ROOM];
    random_theta(21, theta, ROOM);
    write_params(m.tape, theta);
    ck_assert(ur_net_track(m.net));
    plan_machine(&m, false, true);
    run_as(&m, 0);
    ck_assert_double_eq(largest(M, (double *)ur_leaf(m.net->average[0].leaf)), 0);
    ck_assert_double_eq(((double *)ur_leaf(m.net->average[1].leaf))[2], 1);
    free_machine(&m);
}
END_TEST

/* Of one alive column the variance is 0, and what another column shows beside it is some 300 times as much behind every
 * layer: f32 has no room for it. It counts for nothing. */
START_TEST(batch_norm_beside_dead_columns)
{
    enum { STEPS_HERE = 2, LAYERS = 24 };
    double x[2 * STEPS_HERE] = {1, 2, 3, NAN}, y[2 * STEPS_HERE] = {0};
    ur_data data = {
        .n = 2, .steps = STEPS_HERE, .inputs = 1, .outputs = 1, .x = x, .y = y, .lengths = (int64_t[]){2, 1}};
    ur_net_options options = {.cell = ur_cell_find("mlp"),
                              .inputs = 1,
                              .hidden = 1,
                              .layers = LAYERS,
                              .hidden_activation = UR_IDENTITY,
                              .batch_norm = true,
                              .loss = UR_MSE};
    machine m = new_machine(&options, UR_F32, STEPS_HERE, NULL);
    double ones[ROOM], slope, training = 0;
    for (int i = 0; i < ROOM; i++)
        ones[i] = 1;
    write_params(m.tape, ones);
    plan_machine(&m, _i, false);
    ck_assert(ur_net_bind(m.net, &data, 0, 2) && ur_write(m.net->training, 1, &training) && ur_plan_run(m.plan));
    for (size_t k = 0; k < m.net->params; k++) {
        ck_assert(ur_read(m.plan, m.gradient[k], 1, &slope));
        ck_assert_msg(isfinite(slope), "gradient %zu is %g", k, slope);
    }
    free_machine(&m);
}
END_TEST

/* A bias before batch normalisation shifts every column alike: its gradient is 0 by mathematics. */
START_TEST(bias_before_batch_norm)
{
    ur_net_options options = {.cell = ur_cell_find(_i ? "rnn" : "mlp"),
                              .inputs = D,
                              .hidden = M,
                              .hidden_activation = UR_IDENTITY,
                              .batch_norm = true,
                              .loss = UR_MSE};
    machine m = new_machine(&options, UR_F64, T, NULL);
    double theta[ROOM], bias[M], weights[M * M];
    random_theta(3, theta, ROOM);
    write_params(m.tape, theta);
    sequences q = random_sequences(3, M);
    bind(&m, &q, T, M);
    plan_machine(&m, false, false);
    run_as(&m, 0);
    ck_assert(ur_read(m.plan, gradient_of(&m, "bh"), M, bias));
    ck_assert(ur_read(m.plan, gradient_of(&m, "Wi"), INPUT, weights));
    ck_assert_double_gt(largest(INPUT, weights), 1e-2);
    ck_assert_double_le(largest(M, bias), 1e-13 * largest(INPUT, weights));
    free_machine(&m);
}
END_TEST

/* Central differences by every parameter and input, with the statistics and the masks in them. */
START_TEST(gradients_of_layers)
{
    enum { FEW = 4, FEW_BOTH = 2 * FEW, MOST = 64 };
    static const ur_net_options kinds[] = {{.batch_norm = true},
                                           {.layer_norm = true},
                                           {.dropout = 0.3},
                                           {.recurrent_dropout = 0.3},
                                           {.start = UR_START_LEARNED}};
    ur_net_options options = kinds[_i % 5];
    options.cell = ur_cell_find(stackable[_i / 5]);
    options.inputs = D;
    options.hidden = FEW;
    options.heads = options.layers = 2;
    options.bidirectional = true;
    options.loss = UR_MSE;
    if (options.recurrent_dropout > 0 && !options.cell->recurrent)
        return;
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, &options, 3, BATCH);
    ck_assert_msg(net && ur_net_differentiate(net), "%s", ur_tape_error(tape));
    double theta[MANY], x[BATCH * 3 * D], y[BATCH * 3 * FEW_BOTH], training = 2;
    int64_t lengths[BATCH] = {3, 2, 3, 1};
    random_theta(5, theta, MANY);
    write_params(tape, theta);
    fill(7, 1, sizeof x / sizeof *x, x);
    fill(8, 1, sizeof y / sizeof *y, y);
    ur_data data = {.n = BATCH, .steps = 3, .inputs = D, .outputs = FEW_BOTH, .x = x, .y = y, .lengths = lengths};
    ck_assert_msg(ur_net_bind(net, &data, 0, BATCH), "%s", ur_tape_error(tape));
    ck_assert(!net->training.tape || ur_write(net->training, 1, &training));
    ck_assert(!net->sequences.tape || ur_write(net->sequences, BATCH, in_order));
    ur_var param[MOST];
    ur_check_result result[MOST];
    ck_assert_uint_le(net->params, MOST);
    for (size_t k = 0; k < net->params; k++)
        ur_param_at(tape, k, &param[k], NULL, NULL);
    ck_assert(ur_check(net->loss, net->params, param, net->gradient, 1e-7, result));
    for (size_t k = 0; k < net->params; k++) {
        const char *name;
        ur_param_at(tape, k, NULL, &name, NULL);
        bool zero = options.cell == ur_cell_find("slstm") && strstr(name, "bkappa") && fabs(result[k].analytic) < 1e-14;
        ck_assert_msg(zero || result[k].verdict == UR_HOLDS, "%s, %s: %.17g, by differences %.17g +- %g",
                      stackable[_i / 5], name, result[k].analytic, result[k].numeric, result[k].estimate);
    }
    ur_tape_free(tape);
}
END_TEST

/* ---- what does not go together */

START_TEST(contradictions_are_named)
{
    static const struct {
        const char *cell, *words;
        ur_net_options options;
    } cases[] = {
        {"brnn", "brnn: runs in both directions itself", {.bidirectional = true}},
        {"mlp", "mlp: recurrent dropout was asked for", {.recurrent_dropout = 0.5}},
        {"mlstm", "mlstm: recurrent dropout was asked for", {.recurrent_dropout = 0.5}},
        {"rnn", "not both", {.layer_norm = true, .batch_norm = true}},
        {"lstm", "lstm: has no form for several steps at once", {.chunk = 4}},
        {"mlstm", "gradients are cut after 6 steps, within a chunk of 4", {.chunk = 4, .bptt = 6}},
        {"mlstm", "numbers of steps from 0 were expected, not bptt 0, chunk -1", {.chunk = -1}},
        {"gru", "numbers of steps from 0 were expected, not bptt -3, chunk 0", {.bptt = -3}},
        {"slstm", "6 hidden units cannot be divided into 4 heads", {.heads = 4}},
        {"lstm", "6 hidden units cannot be divided into -1 heads", {.heads = -1}},
        {"rnn", "probabilities of dropout from 0 to below 1", {.dropout = 1}},
    };
    ur_net_options options = cases[_i].options;
    options.cell = ur_cell_find(cases[_i].cell);
    options.inputs = D;
    options.hidden = M;
    ur_tape *tape = new_tape(UR_F64);
    ck_assert_ptr_null(ur_net_new(tape, &options, T, BATCH));
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error && strstr(error, cases[_i].words), "'%s' was expected in '%s'", cases[_i].words, error);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cells");
    TCase *cases = tcase_create("cells");
    tcase_set_timeout(cases, 300);
    tcase_add_loop_test(cases, cells_by_hand, 0, 2 * SETUPS);
    tcase_add_loop_test(cases, truncated, 0, 7 * SETUPS);
    tcase_add_loop_test(cases, stabilised_by_hand, 0, 8 * (SETUPS - PLAIN));
    tcase_add_loop_test(cases, finite_far_out, 0, 32 * (SETUPS - PLAIN));
    tcase_add_loop_test(cases, reference_equals_plan, 0, 16);
    tcase_add_loop_test(cases, stacked_in_both_directions, 0, STACKABLE);
    tcase_add_test(cases, names_of_layers);
    tcase_add_loop_test(cases, learned_start, 0, SETUPS);
    tcase_add_loop_test(cases, windows, 0, SETUPS - 1);
    tcase_add_loop_test(cases, dropout, 0, 2 * (STACKABLE - 1));
    tcase_add_loop_test(cases, masks_of_dropout, 0, 2);
    tcase_add_test(cases, masks_of_directions);
    tcase_add_test(cases, layer_norm_by_hand);
    tcase_add_test(cases, batch_norm_by_hand);
    tcase_add_test(cases, batch_norm_of_nothing);
    tcase_add_loop_test(cases, batch_norm_beside_dead_columns, 0, 2);
    tcase_add_loop_test(cases, bias_before_batch_norm, 0, 2);
    tcase_add_loop_test(cases, gradients_of_layers, 0, 5 * STACKABLE);
    tcase_add_loop_test(cases, contradictions_are_named, 0, 11);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
