/* lecture_long.c - vanishing and exploding gradients over time: |delta_t| for a loss at the last step alone.
 *
 * The recurrent weights of the RNN are random and scaled to a spectral radius; the linear network's deltas are held
 * against W_h^(tau-t) delta_tau. Deltas are those of the lecture: by net^h in the RNN, by the value h in the gated
 * network; in the LSTM by the memory c. */
#include <math.h>
#include <string.h>

#include "lecture.h"

enum { STEPS = 60, WIDTH = 16, BATCH = 4, FEATURES = 3, TARGETS = 2 };
enum { SQUARE = WIDTH * WIDTH, DELTA = WIDTH * BATCH, POSITIONS = BATCH * STEPS };

typedef struct path {
    const char *name, *cell, *unit;
    bool by_net; /* delta by the unit's net value */
    ur_activation hidden;
    double radius;      /* of Wh; 0: as initialised */
    double forget;      /* bias of the forget gate */
    double norm[STEPS]; /* |delta_t| / |delta_tau| */
    double apart;       /* of W_h^(tau-t) delta_tau, where the network is linear */
} path;

/* ---- the spectral radius: lim |W^k|^(1/k), by squaring (Gelfand 1941) */

static double radius_of(const double *W)
{
    enum { SQUARINGS = 40 };
    double p[SQUARE], q[SQUARE], log_radius = 0, power = 1;
    memcpy(p, W, sizeof p);
    for (int n = 0; n <= SQUARINGS; n++) {
        double size = 0;
        for (int i = 0; i < SQUARE; i++)
            size = fmax(size, fabs(p[i]));
        log_radius += log(size) / power; /* W^power = p size exp(...), all sizes before taken out */
        for (int i = 0; i < SQUARE; i++)
            q[i] = p[i] / size;
        for (int i = 0; i < WIDTH; i++)
            for (int j = 0; j < WIDTH; j++) {
                double sum = 0;
                for (int k = 0; k < WIDTH; k++)
                    sum += q[i * WIDTH + k] * q[k * WIDTH + j];
                p[i * WIDTH + j] = sum;
            }
        power *= 2;
    }
    return exp(log_radius);
}

/* ---- one network */

static double normal(const char *stream, uint64_t i)
{
    return sqrt(-2 * log(ur_random(4, stream, 2 * i))) * cos(6.283185307179586 * ur_random(4, stream, 2 * i + 1));
}

static bool set_weights(ur_tape *tape, const path *p)
{
    if (!ur_params_init(tape, UR_GLOROT_UNIFORM, 4) || (p->forget != 0 && !ur_params_fill(tape, "bphi", p->forget)))
        return false;
    if (p->radius == 0)
        return true;
    double W[SQUARE];
    for (size_t i = 0; i < SQUARE; i++)
        W[i] = normal("Wh", i);
    double scale = p->radius / radius_of(W);
    for (size_t i = 0; i < SQUARE; i++)
        W[i] *= scale;
    return ur_write(ur_find(tape, "Wh", 0), SQUARE, W);
}

static bool bind(ur_net *net)
{
    enum { X = POSITIONS * FEATURES, Y = POSITIONS * TARGETS };
    double x[X], y[Y], weight[POSITIONS];
    for (size_t i = 0; i < X; i++)
        x[i] = 0.5 * normal("x", i);
    for (size_t i = 0; i < Y; i++)
        y[i] = normal("y", i);
    for (size_t i = 0; i < POSITIONS; i++)
        weight[i] = i % STEPS == STEPS - 1;
    ur_data data = {
        .n = BATCH, .steps = STEPS, .inputs = FEATURES, .outputs = TARGETS, .x = x, .y = y, .weight = weight};
    return ur_net_bind(net, &data, 0, BATCH);
}

static double length(const double *delta)
{
    double sum = 0;
    for (int i = 0; i < DELTA; i++)
        sum += delta[i] * delta[i];
    return sqrt(sum);
}

/* Largest difference of delta_t from W delta_{t+1} = ... = W^(tau-t) delta_tau. */
static double powers_apart(const double *W, const double *delta)
{
    double power[DELTA], next[DELTA], worst = 0;
    memcpy(power, delta + (size_t)(STEPS - 1) * DELTA, sizeof power);
    for (int t = STEPS - 2; t >= 0; t--) {
        for (int i = 0; i < WIDTH; i++)
            for (int k = 0; k < BATCH; k++) {
                double sum = 0;
                for (int j = 0; j < WIDTH; j++)
                    sum += W[i * WIDTH + j] * power[j * BATCH + k];
                next[i * BATCH + k] = sum;
            }
        memcpy(power, next, sizeof power);
        worst = fmax(worst, lecture_apart(DELTA, power, delta + (size_t)t * DELTA));
    }
    return worst;
}

static ur_plan *record(ur_tape *tape, const path *p)
{
    ur_net_options shape = {.cell = ur_cell_find(p->cell),
                            .inputs = FEATURES,
                            .hidden = WIDTH,
                            .outputs = TARGETS,
                            .hidden_activation = p->hidden,
                            .out = UR_IDENTITY,
                            .loss = UR_MSE,
                            .reduction = UR_SUM_ALL,
                            .weighted = true};
    ur_var delta[STEPS];
    ur_net *net = ur_net_new(tape, &shape, STEPS, BATCH);
    if (!net || !set_weights(tape, p) || !bind(net))
        return NULL;
    for (int t = 0; t < STEPS; t++) {
        ur_var unit = ur_find(tape, p->unit, t + 1);
        delta[t] = p->by_net ? ur_node_input(unit, 0) : unit;
    }
    if (!ur_grad(net->loss, STEPS, delta, delta))
        return NULL;
    return ur_plan_new(tape, &(ur_plan_options){.roots = STEPS, .root = delta});
}

static bool measure(path *p)
{
    size_t count;
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_plan *plan = record(tape, p);
    bool good = plan && ur_plan_run(plan);
    if (good) {
        const double *delta = (const double *)ur_plan_roots(plan, &count);
        double last = length(delta + (size_t)(STEPS - 1) * DELTA);
        for (int t = 0; t < STEPS; t++)
            p->norm[t] = length(delta + (size_t)t * DELTA) / last;
        if (p->hidden == UR_IDENTITY)
            p->apart = powers_apart((const double *)ur_leaf(ur_find(tape, "Wh", 0)), delta);
    } else {
        lecture_good(tape);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
    return good;
}

/* ---- the report */

static const char *const radius_slide = "spectral radius", *const gate_slide = "gated RNN",
                         *const lstm_slide = "output neurons of the LSTM";

/* A path's norm at t = 1 is expected within from ... to. */
typedef struct expected {
    path path;
    const char *slide, *printed, *found;
    double from, to;
} expected;

#define LINEAR .cell = "rnn", .unit = "h", .hidden = UR_IDENTITY
#define TANH .cell = "rnn", .unit = "h", .hidden = UR_TANH, .by_net = true

static const expected paths[] = {
    {{.name = "linear RNN, radius 0.9", LINEAR, .radius = 0.9},
     radius_slide,
     "|λ_1| < 1: gradients vanish",
     "they do",
     0,
     0.05},
    {{.name = "linear RNN, radius 1", LINEAR, .radius = 1},
     radius_slide,
     "|λ_1| = 1: gradients neither vanish nor explode",
     "so it is",
     0.05,
     20},
    {{.name = "linear RNN, radius 1.1", LINEAR, .radius = 1.1},
     radius_slide,
     "|λ_1| > 1: gradients explode",
     "they do",
     20,
     1e6},
    {{.name = "tanh RNN, radius 0.9", TANH, .radius = 0.9},
     radius_slide,
     "(f^h taken as linear)",
     "vanish faster",
     0,
     1e-3},
    {{.name = "tanh RNN, radius 1", TANH, .radius = 1},
     radius_slide,
     "(f^h taken as linear)",
     "vanish: slopes below 1",
     0,
     0.05},
    {{.name = "tanh RNN, radius 1.1", TANH, .radius = 1.1},
     radius_slide,
     "(f^h taken as linear)",
     "vanish, though the radius is above 1",
     0,
     1},
    {{.name = "gated RNN, b_φ = 0", .cell = "gated", .unit = "h"},
     gate_slide,
     "gates solve the problem of vanishing gradients",
     "not by themselves: φ is near 1/2",
     0,
     0.1},
    {{.name = "gated RNN, b_φ = 3", .cell = "gated", .unit = "h", .forget = 3},
     gate_slide,
     "gates solve the problem of vanishing gradients",
     "they do with gates that begin open",
     0.1,
     20},
    {{.name = "LSTM, b_φ = 0", .cell = "lstm", .unit = "c"},
     lstm_slide,
     "gradients of the memory do not vanish over long times",
     "they do, with φ near 1/2",
     0,
     1e-3},
    {{.name = "LSTM, b_φ = 3", .cell = "lstm", .unit = "c", .forget = 3},
     lstm_slide,
     "errors travel without vanishing or exploding",
     "they do not vanish; through h_{t+1} and the gates they may even grow",
     0.1,
     1e6},
};

enum { PATHS = sizeof paths / sizeof *paths };

static bool draw_paths(const char *folder, const path *p)
{
    double t[STEPS];
    curve lines[PATHS];
    for (int i = 0; i < STEPS; i++)
        t[i] = i + 1;
    for (int k = 0; k < PATHS; k++)
        lines[k] = (curve){.label = p[k].name, .count = STEPS, .x = t, .y = p[k].norm, .dashed = k < 3};
    curves_panel panel = {.label = "|delta_t| / |delta_tau|", .logarithmic = true, .count = PATHS, .curve = lines};
    return lecture_draw(folder, "gradients-over-time.svg", "a loss at the last step: how much of its gradient arrives",
                        "t", &panel);
}

static void add_path(lecture_report *r, const expected *e, const path *p)
{
    char power[80] = "";
    if (p->hidden == UR_IDENTITY)
        snprintf(power, sizeof power, "; |δ_t − W_h^(τ−t) δ_τ| is %.1g of |δ_t|", p->apart);
    bool holds = p->norm[0] >= e->from && p->norm[0] <= e->to && p->apart < 1e-12;
    lecture_claim(r, holds, e->path.name, e->slide, e->printed,
                  "%s: |δ_t|/|δ_τ| for τ − t = 10, 20, 40, 59 is %.2g, %.2g, %.2g, %.2g%s", e->found,
                  p->norm[STEPS - 11], p->norm[STEPS - 21], p->norm[STEPS - 41], p->norm[0], power);
}

bool lecture_long_range(lecture_report *r, const char *folder)
{
    path measured[PATHS];
    for (int k = 0; k < PATHS; k++) {
        measured[k] = paths[k].path;
        if (!measure(&measured[k]))
            return false;
        add_path(r, &paths[k], &measured[k]);
    }
    return !folder || draw_paths(folder, measured);
}
