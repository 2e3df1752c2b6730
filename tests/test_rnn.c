/* test_rnn.c - the recurrent network against loops that code the lecture's formulas by hand, one sequence at a time:
 *
 *     h_t = f^h(Wi^T x_t + Wh^T h_{t-1} + bh),     o_t = f^o(Wo^T h_t + bo),
 *     delta^o_t = df^o * dE/do_t,                  delta^h_t = df^h * (Wo delta^o_t + Wh delta^h_{t+1}),
 *     dWo = sum h_t delta^o_t^T,  dbo = sum delta^o_t,  dWi = sum x_t delta^h_t^T,  dWh = sum h_{t-1} delta^h_t^T,
 *     dbh = sum delta^h_t.
 *
 * Where the outputs are not independent, softmax, df^o * dE is the product with the Jacobian. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../layers/layers.h"
#include "random.h"
#include "support.h"

enum { T = 7, D = 3, M = 4, P = 3, BATCH = 4 }; /* P and BATCH are the most */

typedef struct setup {
    ur_activation hidden, out;
    ur_loss loss;
    int p;
    bool given_start;
} setup;

static const setup setups[] = {
    {UR_TANH, UR_SIGMOID, UR_BCE, 2, false},  {UR_TANH, UR_IDENTITY, UR_MSE, 2, true},
    {UR_TANH, UR_SOFTMAX, UR_CE, 3, false},   {UR_TANH, UR_SIGMOID, UR_MSE, 3, true},
    {UR_TANH, UR_SOFTMAX, UR_MSE, 3, false},  {UR_RELU, UR_SIGMOID, UR_BCE, 3, true},
    {UR_RELU, UR_IDENTITY, UR_MSE, 2, false}, {UR_RELU, UR_SOFTMAX, UR_CE, 2, true},
    {UR_RELU, UR_SIGMOID, UR_MSE, 2, false},  {UR_RELU, UR_SOFTMAX, UR_MSE, 2, true},
    {UR_TANH, UR_SOFTMAX, UR_BCE, 2, false},  {UR_TANH, UR_SIGMOID, UR_CE, 2, false},
};
enum { SETUPS = sizeof setups / sizeof *setups };

/* ---- numbers */

static void fill(uint64_t *state, double scale, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale * draw(state);
}

/* Every element to within a tolerance times the largest. */
static void assert_near(const char *what, int t, size_t n, const double *found, const double *expected,
                        double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(fabs(found[i] - expected[i]) <= tolerance * largest, "%s, step %d, element %zu: %.17g, not %.17g",
                      what, t, i, found[i], expected[i]);
}

/* ---- by hand */

typedef struct weights {
    double Wi[D][M], Wh[M][M], bh[M], Wo[M][P], bo[P];
} weights;

static weights random_weights(uint64_t seed)
{
    weights w;
    fill(&seed, 0.6, sizeof w / sizeof(double), (double *)&w); /* all members are doubles */
    return w;
}

/* Sequences, a row each; the padding holds NaN. */
typedef struct sequences {
    int n;
    int64_t length[BATCH];
    double x[BATCH][T][D], y[BATCH][T][P], h0[BATCH][M];
} sequences;

static sequences random_sequences(uint64_t seed, int n, const int64_t *lengths)
{
    sequences s = {.n = n};
    for (int k = 0; k < n; k++) {
        s.length[k] = lengths[k];
        fill(&seed, 0.8, M, s.h0[k]);
        for (int t = 0; t < T; t++)
            for (int i = 0; i < D + P; i++) {
                double *at = i < D ? &s.x[k][t][i] : &s.y[k][t][i - D], value = draw(&seed);
                *at = t >= lengths[k] ? NAN : i < D ? value : 0.5 + 0.4 * value;
            }
    }
    return s;
}

/* What one sequence gives; time counts from 1, as in the lecture. */
typedef struct trace {
    double net_h[T + 2][M], h[T + 2][M], net_o[T + 2][P], o[T + 2][P], delta_o[T + 2][P], delta_h[T + 2][M];
    double dx[T + 2][D], dh0[M], loss;
    weights gradient;
} trace;

static void output_by_hand(const setup *s, const double *net, double *o)
{
    double sum = 0;
    for (int i = 0; i < s->p; i++)
        sum += exp(net[i]);
    for (int i = 0; i < s->p; i++)
        o[i] = s->out == UR_SIGMOID ? 1 / (1 + exp(-net[i])) : s->out == UR_SOFTMAX ? exp(net[i]) / sum : net[i];
}

static void forward_by_hand(const setup *s, const weights *w, const double x[T][D], int64_t length, const double *h0,
                            trace *r)
{
    for (int i = 0; i < M; i++)
        r->h[0][i] = s->given_start ? h0[i] : 0;
    for (int t = 1; t <= length; t++) {
        for (int i = 0; i < M; i++) {
            double net = w->bh[i];
            for (int j = 0; j < D; j++)
                net += w->Wi[j][i] * x[t - 1][j];
            for (int j = 0; j < M; j++)
                net += w->Wh[j][i] * r->h[t - 1][j];
            r->net_h[t][i] = net;
            r->h[t][i] = s->hidden == UR_TANH ? tanh(net) : net > 0 ? net : 0;
        }
        for (int i = 0; i < s->p; i++) {
            r->net_o[t][i] = w->bo[i];
            for (int j = 0; j < M; j++)
                r->net_o[t][i] += w->Wo[j][i] * r->h[t][j];
        }
        output_by_hand(s, r->net_o[t], r->o[t]);
    }
}

/* E and dE/do of one output. */
static double loss_by_hand(ur_loss loss, double o, double y, double *derivative)
{
    if (loss == UR_BCE) {
        *derivative = -y / o + (1 - y) / (1 - o);
        return -y * log(o) - (1 - y) * log(1 - o);
    }
    if (loss == UR_CE) {
        *derivative = -y / o;
        return -y * log(o);
    }
    *derivative = o - y;
    return 0.5 * (o - y) * (o - y);
}

static void delta_o_by_hand(const setup *s, const double *o, const double *y, double *delta, double *loss)
{
    double e[P], product = 0;
    for (int i = 0; i < s->p; i++) {
        *loss += loss_by_hand(s->loss, o[i], y[i], &e[i]);
        product += o[i] * e[i];
    }
    for (int i = 0; i < s->p; i++)
        delta[i] = s->out == UR_SIGMOID   ? o[i] * (1 - o[i]) * e[i]
                   : s->out == UR_SOFTMAX ? o[i] * (e[i] - product)
                                          : e[i];
}

static trace run_by_hand(const setup *s, const weights *w, const sequences *q, int k)
{
    trace r = {0};
    weights *g = &r.gradient;
    forward_by_hand(s, w, q->x[k], q->length[k], q->h0[k], &r);
    for (int t = (int)q->length[k]; t > 0; t--) {
        delta_o_by_hand(s, r.o[t], q->y[k][t - 1], r.delta_o[t], &r.loss);
        for (int i = 0; i < M; i++) {
            double sum = 0;
            for (int j = 0; j < s->p; j++)
                sum += w->Wo[i][j] * r.delta_o[t][j];
            for (int j = 0; j < M; j++)
                sum += w->Wh[i][j] * r.delta_h[t + 1][j]; /* 0 past the end */
            double slope = s->hidden == UR_TANH ? 1 - r.h[t][i] * r.h[t][i] : r.net_h[t][i] > 0;
            r.delta_h[t][i] = slope * sum;
            g->bh[i] += r.delta_h[t][i];
            for (int j = 0; j < D; j++) {
                g->Wi[j][i] += q->x[k][t - 1][j] * r.delta_h[t][i];
                r.dx[t][j] += w->Wi[j][i] * r.delta_h[t][i];
            }
            for (int j = 0; j < M; j++)
                g->Wh[j][i] += r.h[t - 1][j] * r.delta_h[t][i];
        }
        for (int i = 0; i < s->p; i++) {
            g->bo[i] += r.delta_o[t][i];
            for (int j = 0; j < M; j++)
                g->Wo[j][i] += r.h[t][j] * r.delta_o[t][i];
        }
    }
    for (int j = 0; j < M && q->length[k] > 0; j++)
        for (int i = 0; i < M; i++)
            r.dh0[j] += w->Wh[j][i] * r.delta_h[1][i];
    return r;
}

/* ---- by the library */

/* Values by which to differentiate, and their gradients. */
typedef struct points {
    ur_var net_o[T], net_h[T], x[T], h0;
} points;
enum { POINTS = sizeof(points) / sizeof(ur_var) };

/* A network with the gradients of everything: parameters, deltas of all steps, inputs, the start. */
typedef struct machine {
    ur_tape *tape;
    ur_net *net;
    ur_plan *plan;
    points at, delta;
} machine;

/* The net value of a unit: what its function is applied to. */
static ur_var net_value(ur_tape *tape, const char *unit, int t, bool identity)
{
    ur_var v = ur_find(tape, unit, t);
    return identity ? v : ur_node_input(v, 0);
}

/* All roots of the plan: gradients of parameters, then the rest. */
static ur_plan *plan_machine(const machine *m, ur_plan_options options)
{
    ur_var root[8 + POINTS + 2 * T + 2];
    size_t n = 0;
    for (size_t k = 0; k < m->net->params; k++)
        root[n++] = m->net->gradient[k];
    for (int t = 0; t < T; t++) {
        root[n++] = m->delta.net_o[t];
        root[n++] = m->delta.net_h[t];
        root[n++] = m->delta.x[t];
        root[n++] = m->net->o[t];
        root[n++] = m->at.net_h[t];
    }
    root[n++] = m->delta.h0;
    root[n++] = m->net->state[0].final;
    root[n++] = m->net->loss;
    options.roots = n;
    options.root = root;
    return ur_plan_new(m->tape, &options);
}

static machine new_machine(const setup *s, ur_dtype dtype, int batch, const weights *w)
{
    machine m = {.tape = ur_tape_new(&(ur_tape_options){.dtype = dtype})};
    ur_net_options options = {.cell = ur_cell_find("rnn"),
                              .inputs = D,
                              .hidden = M,
                              .outputs = s->p,
                              .hidden_activation = s->hidden,
                              .out = s->out,
                              .loss = s->loss,
                              .reduction = UR_SUM_ALL,
                              .start = s->given_start ? UR_START_GIVEN : UR_START_FIXED};
    m.net = ur_net_new(m.tape, &options, T, batch);
    ck_assert_msg(m.net && ur_net_differentiate(m.net), "%s", ur_tape_error(m.tape));
    ck_assert_uint_eq(m.net->params, 5);
    for (int t = 0; t < T; t++) {
        m.at.net_o[t] = net_value(m.tape, "o", t + 1, s->out == UR_IDENTITY);
        m.at.net_h[t] = net_value(m.tape, "h", t + 1, false);
        m.at.x[t] = m.net->x[t];
    }
    m.at.h0 = m.net->state[0].start;
    ck_assert(ur_grad(m.net->loss, POINTS, (const ur_var *)&m.at, (ur_var *)&m.delta));
    m.plan = plan_machine(&m, (ur_plan_options){0});
    ck_assert_msg(m.plan != NULL, "%s", ur_tape_error(m.tape));
    double Wo[M][P];
    for (int i = 0; i < M; i++)
        for (int j = 0; j < s->p; j++)
            (&Wo[0][0])[i * s->p + j] = w->Wo[i][j];
    ck_assert(ur_write(ur_find(m.tape, "Wi", 0), (size_t)D * M, &w->Wi[0][0]));
    ck_assert(ur_write(ur_find(m.tape, "Wh", 0), (size_t)M * M, &w->Wh[0][0]));
    ck_assert(ur_write(ur_find(m.tape, "bh", 0), M, w->bh));
    ck_assert(ur_write(ur_find(m.tape, "Wo", 0), (size_t)(M * s->p), &Wo[0][0]));
    ck_assert(ur_write(ur_find(m.tape, "bo", 0), (size_t)s->p, w->bo));
    return m;
}

static void free_machine(machine *m)
{
    ur_plan_free(m->plan);
    ur_tape_free(m->tape);
}

/* The sequences into the columns of the network. */
static void bind(const machine *m, const setup *s, const sequences *q)
{
    double x[BATCH * T * D], y[BATCH * T * P], h0[M * BATCH] = {0};
    int64_t batch = m->net->batch, lengths[BATCH];
    memcpy(x, q->x, sizeof x);
    memcpy(lengths, q->length, sizeof lengths);
    for (int k = 0; k < q->n; k++)
        for (int t = 0; t < T; t++)
            for (int i = 0; i < s->p; i++)
                y[(k * T + t) * s->p + i] = q->y[k][t][i];
    ur_data data = {.n = q->n, .steps = T, .inputs = D, .outputs = s->p, .x = x, .y = y, .lengths = lengths};
    ck_assert_msg(ur_net_bind(m->net, &data, 0, q->n), "%s", ur_tape_error(m->tape));
    for (int k = 0; k < q->n; k++)
        for (int i = 0; i < M; i++)
            h0[i * batch + k] = q->h0[k][i];
    if (s->given_start)
        ck_assert(ur_write(m->net->state[0].start, (size_t)(M * batch), h0));
}

/* Column k of a value of some rows. */
static void read_column(const machine *m, ur_plan *plan, ur_var v, int rows, int k, double *out)
{
    double all[M * BATCH] = {0};
    int batch = (int)m->net->batch;
    ck_assert_msg(ur_read(plan, v, (size_t)(rows * batch), all), "%s", ur_tape_error(m->tape));
    for (int i = 0; i < rows; i++)
        out[i] = all[i * batch + k];
}

static void assert_zero(const char *what, int t, int n, const double *found)
{
    for (int i = 0; i < n; i++)
        ck_assert_msg(found[i] == 0, "%s, step %d, element %d: %g, not 0", what, t, i, found[i]);
}

static void compare_steps(const machine *m, ur_plan *plan, const setup *s, const trace *r, int k, int64_t length,
                          double tolerance)
{
    for (int t = 1; t <= T; t++) {
        double o[P] = {0}, net[M], delta_o[P] = {0}, delta_h[M], dx[D];
        read_column(m, plan, m->net->o[t - 1], s->p, k, o);
        read_column(m, plan, m->at.net_h[t - 1], M, k, net);
        read_column(m, plan, m->delta.net_o[t - 1], s->p, k, delta_o);
        read_column(m, plan, m->delta.net_h[t - 1], M, k, delta_h);
        read_column(m, plan, m->delta.x[t - 1], D, k, dx);
        if (t > length) {
            assert_zero("o in the padding", t, s->p, o);
            assert_zero("delta^o in the padding", t, s->p, delta_o);
            assert_zero("delta^h in the padding", t, M, delta_h);
            assert_zero("dx in the padding", t, D, dx);
            continue;
        }
        assert_near("o", t, (size_t)s->p, o, r->o[t], tolerance);
        assert_near("net^h", t, M, net, r->net_h[t], tolerance);
        assert_near("delta^o", t, (size_t)s->p, delta_o, r->delta_o[t], tolerance);
        assert_near("delta^h", t, M, delta_h, r->delta_h[t], tolerance);
        assert_near("dx", t, D, dx, r->dx[t], tolerance);
    }
}

static void compare_gradients(const machine *m, ur_plan *plan, const setup *s, const weights *sum, double tolerance)
{
    struct {
        const char *name;
        const double *values;
        size_t rows, columns, room;
    } part[] = {{"Wi", &sum->Wi[0][0], D, M, M},
                {"Wh", &sum->Wh[0][0], M, M, M},
                {"bh", sum->bh, M, 1, 1},
                {"Wo", &sum->Wo[0][0], M, (size_t)s->p, P},
                {"bo", sum->bo, (size_t)s->p, 1, 1}};
    for (size_t k = 0; k < 5; k++) {
        double found[M * M], expected[M * M];
        const char *name;
        size_t count = part[k].rows * part[k].columns;
        for (size_t i = 0; i < count; i++)
            expected[i] = part[k].values[i / part[k].columns * part[k].room + i % part[k].columns];
        ck_assert(ur_param_at(m->tape, k, NULL, &name, NULL));
        ck_assert_str_eq(name, part[k].name);
        ck_assert(ur_read(plan, m->net->gradient[k], count, found));
        assert_near(name, 0, count, found, expected, tolerance);
    }
}

/* One run of a plan against every sequence alone, by hand. */
static void compare(const machine *m, ur_plan *plan, const setup *s, const weights *w, const sequences *q,
                    double tolerance)
{
    weights sum = {0};
    double loss = 0, found, h[M] = {0};
    ck_assert_msg(ur_plan_run(plan), "%s", ur_tape_error(m->tape));
    for (int k = 0; k < q->n; k++) {
        trace r = run_by_hand(s, w, q, k);
        compare_steps(m, plan, s, &r, k, q->length[k], tolerance);
        read_column(m, plan, m->net->state[0].final, M, k, h);
        assert_near("the last state", (int)q->length[k], M, h, r.h[q->length[k]], tolerance);
        read_column(m, plan, m->delta.h0, M, k, h);
        assert_near("dh_0", 0, M, h, r.dh0, tolerance);
        loss += r.loss;
        for (size_t i = 0; i < sizeof sum / sizeof(double); i++)
            ((double *)&sum)[i] += ((const double *)&r.gradient)[i];
    }
    for (int k = q->n; k < m->net->batch; k++) /* columns without a sequence */
        for (int t = 1; t <= T; t++) {
            read_column(m, plan, m->net->o[t - 1], s->p, k, h);
            assert_zero("o of a dead column", t, s->p, h);
            read_column(m, plan, m->delta.x[t - 1], D, k, h);
            assert_zero("dx of a dead column", t, D, h);
        }
    ck_assert(ur_read(plan, m->net->loss, 1, &found));
    assert_near("loss", 0, 1, &found, &loss, tolerance);
    compare_gradients(m, plan, s, &sum, tolerance);
}

/* ---- tests */

static const int64_t full[] = {T, T, T}, ragged[] = {7, 0, 1, 4};

/* Values, deltas and gradients, each at every t. */
START_TEST(deltas_are_the_lectures)
{
    const setup *s = &setups[_i];
    weights w = random_weights(11 + (uint64_t)_i);
    sequences q = random_sequences(5 + (uint64_t)_i, 3, full);
    machine m = new_machine(s, UR_F64, 3, &w);
    bind(&m, s, &q);
    compare(&m, m.plan, s, &w, &q, 1e-12);
    free_machine(&m);
}
END_TEST

START_TEST(lengths_with_nan_in_the_padding)
{
    const setup *s = &setups[_i];
    weights w = random_weights(23 + (uint64_t)_i);
    sequences q = random_sequences(19 + (uint64_t)_i, 4, ragged);
    machine m = new_machine(s, UR_F64, 4, &w);
    bind(&m, s, &q);
    compare(&m, m.plan, s, &w, &q, 1e-12);
    free_machine(&m);
}
END_TEST

/* Fewer sequences than columns: the others are dead whatever they held before. */
START_TEST(dead_columns)
{
    const setup *s = &setups[_i];
    weights w = random_weights(3);
    sequences all = random_sequences(29, 4, (const int64_t[]){7, 7, 7, 3}), two = random_sequences(31, 2, ragged + 2);
    machine m = new_machine(s, UR_F64, 4, &w);
    bind(&m, s, &all);
    compare(&m, m.plan, s, &w, &all, 1e-12);
    bind(&m, s, &two);
    compare(&m, m.plan, s, &w, &two, 1e-12);
    free_machine(&m);
}
END_TEST

/* The specification, node by node, and the fast kernels; f32 to its own accuracy. */
START_TEST(executions_agree)
{
    const setup *s = &setups[_i];
    weights w = random_weights(37);
    sequences q = random_sequences(41, 4, ragged);
    for (int single = 0; single < 2; single++) {
        double tolerance = single ? 1e-5 : 1e-12;
        machine m = new_machine(s, single ? UR_F32 : UR_F64, 4, &w);
        ur_plan *slow = plan_machine(&m, (ur_plan_options){.reference = true});
        bind(&m, s, &q);
        compare(&m, m.plan, s, &w, &q, tolerance);
        compare(&m, slow, s, &w, &q, tolerance);
        ur_plan_free(slow);
        free_machine(&m);
    }
}
END_TEST

static void *copy_of_roots(const machine *m, size_t *bytes)
{
    size_t count;
    const void *roots = ur_plan_roots(m->plan, &count);
    *bytes = count * ur_dtype_bytes(ur_tape_dtype(m->tape));
    void *copy = malloc(*bytes);
    ck_assert_ptr_nonnull(copy);
    return memcpy(copy, roots, *bytes);
}

/* Recorded once; new inputs, lengths and weights need no recording, and the old ones give the old bits. */
START_TEST(replay)
{
    const setup *s = &setups[_i];
    weights w = random_weights(43);
    sequences first = random_sequences(47, 4, ragged);
    machine m = new_machine(s, UR_F64, 4, &w);
    size_t nodes = ur_tape_nodes(m.tape), bytes, again;
    bind(&m, s, &first);
    compare(&m, m.plan, s, &w, &first, 1e-12);
    void *before = copy_of_roots(&m, &bytes);
    static const int64_t lengths[][BATCH] = {{1, 2, 3, 4}, {0, 0, 0, 0}, {7, 7, 7, 7}, {0, 7, 0, 6}};
    for (int k = 0; k < 4; k++) {
        sequences other = random_sequences(53 + (uint64_t)k, 4, lengths[k]);
        bind(&m, s, &other);
        compare(&m, m.plan, s, &w, &other, 1e-12);
    }
    bind(&m, s, &first);
    ck_assert(ur_plan_run(m.plan));
    void *after = copy_of_roots(&m, &again);
    ck_assert_uint_eq(again, bytes);
    ck_assert_mem_eq(after, before, bytes);
    ck_assert_uint_eq(ur_tape_nodes(m.tape), nodes);
    free(before);
    free(after);
    free_machine(&m);
}
END_TEST

/* d(loss)/dWh Hessian times a vector, by ur_grad of ur_grad, against differences of the loops by hand. */
START_TEST(second_order)
{
    const setup *s = &setups[_i];
    weights w = random_weights(59), v = random_weights(61), expected = {0};
    sequences q = random_sequences(67, 4, ragged);
    machine m = new_machine(s, UR_F64, 4, &w);
    bind(&m, s, &q);
    ur_var Wh = ur_find(m.tape, "Wh", 0), direction = ur_input(m.tape, "direction", UR_SHAPE(M, M)), product;
    ck_assert(ur_write(direction, (size_t)M * M, &v.Wh[0][0]));
    ur_var slope = ur_sum(ur_mul(m.net->gradient[1], direction));
    ck_assert(ur_grad(slope, 1, &Wh, &product));
    ur_plan *plan = ur_plan_new(m.tape, &(ur_plan_options){.roots = 1, .root = &product});
    ck_assert_msg(plan && ur_plan_run(plan), "%s", ur_tape_error(m.tape));
    static const double h = 1e-3, step[] = {-2, -1, 1, 2}, share[] = {1.0 / 12, -8.0 / 12, 8.0 / 12, -1.0 / 12};
    for (int k = 0; k < 4; k++) { /* fourth-order differences of the gradient */
        weights moved = w;
        for (int i = 0; i < M * M; i++)
            (&moved.Wh[0][0])[i] += step[k] * h * (&v.Wh[0][0])[i];
        for (int n = 0; n < q.n; n++) {
            trace r = run_by_hand(s, &moved, &q, n);
            for (int i = 0; i < M * M; i++)
                (&expected.Wh[0][0])[i] += share[k] / h * (&r.gradient.Wh[0][0])[i];
        }
    }
    double found[M * M];
    ck_assert(ur_read(plan, product, (size_t)M * M, found));
    assert_near("Hessian times vector", 0, (size_t)M * M, found, &expected.Wh[0][0], 1e-8);
    ur_plan_free(plan);
    free_machine(&m);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rnn");
    TCase *cases = tcase_create("rnn");
    tcase_add_loop_test(cases, deltas_are_the_lectures, 0, SETUPS);
    tcase_add_loop_test(cases, lengths_with_nan_in_the_padding, 0, SETUPS);
    tcase_add_loop_test(cases, dead_columns, 0, SETUPS);
    tcase_add_loop_test(cases, executions_agree, 0, SETUPS);
    tcase_add_loop_test(cases, replay, 0, SETUPS);
    tcase_add_loop_test(cases, second_order, 0, SETUPS);
    return run_cases(suite, cases);
}
