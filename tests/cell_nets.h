/* cell_nets.h - networks of every cell on ragged sequences, planned with the gradients by everything, and what is
 * read from them. Includes Check. */
#ifndef UR_TESTS_CELL_NETS_H
#define UR_TESTS_CELL_NETS_H

#include "cells_by_hand.h"
#include "support.h"

enum { BATCH = 4, POSITIONS = BATCH * T, COLUMNS = M * BATCH, INPUT = D * M, STATES = WIDE * BATCH };
enum { ROOM = 1024, MANY = 8 * ROOM }; /* for parameters */

/* Uniform in -1..1. */
static inline double draw(uint64_t *seed)
{
    return 2 * ur_random(7, "test", (*seed)++) - 1;
}

static inline void fill(uint64_t seed, double scale, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = scale * draw(&seed);
}

/* Every element to within a tolerance times the largest, or times 1e-2: some are 0 by mathematics. */
static inline void assert_near(const char *what, int64_t t, size_t n, const double *found, const double *expected,
                               double tolerance)
{
    double error = distance(n, found, expected), size = largest(n, expected);
    ck_assert_msg(error <= tolerance * fmax(size, 1e-2), "%s at %lld: %g off at values up to %g", what, (long long)t,
                  error, size);
}

/* ---- sequences */

/* Four sequences; the padding holds NaN. */
typedef struct sequences {
    int64_t length[BATCH];
    double x[BATCH][T][D], y[BATCH][T][BOTH];
} sequences;

static const int64_t ragged[BATCH] = {T, 7, 0, 1};

static inline sequences random_sequences(uint64_t seed, int outputs)
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

/* ---- a network */

static inline ur_net_options options_of(const setup *s)
{
    return (ur_net_options){.cell = ur_cell_find(s->cell),
                            .inputs = D,
                            .hidden = M,
                            .heads = s->heads,
                            .loss = UR_MSE,
                            .reduction = UR_SUM_ALL};
}

static inline int outputs_of(const setup *s)
{
    return s->by_hand == brnn_by_hand ? BOTH : M;
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

static inline ur_var net_value(ur_var node)
{
    return ur_node_input(node, 0);
}

static inline void list_units(machine *m, const unit *units)
{
    for (const unit *u = units; u && u->name; u++)
        for (int64_t t = 1; t <= m->net->steps; t++) {
            ur_var v = m->value[m->units++] = ur_find(m->tape, u->name, t);
            m->gradient[m->wrts++] = u->by_net ? net_value(v) : v;
        }
}

static inline machine new_machine(const ur_net_options *options, ur_dtype dtype, int64_t steps, const unit *units)
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

static inline void plan_machine(machine *m, bool reference, bool finite)
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

static inline void run_machine(const machine *m)
{
    ck_assert_msg(ur_plan_run(m->plan), "%s", ur_tape_error(m->tape));
}

static inline void free_machine(machine *m)
{
    ur_plan_free(m->plan);
    ur_tape_free(m->tape);
}

static inline size_t count_of(ur_var v)
{
    ur_node node;
    ck_assert(ur_look(v, &node));
    return ur_shape_count(node.shape);
}

/* Writes the parameters from one vector, in the tape's type. */
static inline void write_params(ur_tape *tape, const double *theta)
{
    ur_var param;
    size_t offset;
    for (size_t k = 0; ur_param_at(tape, k, &param, NULL, &offset); k++)
        ck_assert(ur_write(param, count_of(param), theta + offset));
}

static inline void bind(const machine *m, const sequences *q, int64_t steps, int outputs)
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
static inline size_t read_column(const machine *m, ur_var v, int n, double *out)
{
    double all[STATES];
    size_t count = count_of(v);
    ck_assert_uint_le(count, STATES);
    ck_assert_msg(ur_read(m->plan, v, count, all), "%s", ur_tape_error(m->tape));
    for (size_t i = 0; i < count / BATCH; i++)
        out[i] = all[i * BATCH + (size_t)n];
    return count / BATCH;
}

static inline ur_var gradient_of(const machine *m, const char *name)
{
    const char *other;
    for (size_t k = 0; ur_param_at(m->tape, k, NULL, &other, NULL); k++)
        if (strcmp(name, other) == 0)
            return m->gradient[k];
    return UR_ZERO;
}

/* ---- numbers to write */

static inline void random_theta(uint64_t seed, double *theta, size_t room)
{
    fill(seed, 0.6, room, theta);
}

static const double in_order[BATCH] = {0, 1, 2, 3}, permuted[BATCH] = {2, 0, 3, 1};

#endif
