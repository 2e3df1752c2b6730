/* test_cells.c - every cell, a network of one layer, against loops that code the derivation in its file by hand:
 * values, deltas of every unit, gradients, with truncation and with given starts; exponential gates far out, and
 * both executions. */
#include "cell_nets.h"
#include "every_cell.h"

/* ---- a network of one layer against the loops */

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
        ck_assert_uint_eq(read_column(m, m->gradient[net->params + (size_t)t - 1], n, found), D);
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

/* A new cell is to have its derivation among them. */
START_TEST(every_cell_by_hand)
{
    const char *cell = cell_number(_i)->name;
    bool found = false;
    for (int i = 0; i < SETUPS; i++)
        found = found || strcmp(setups[i].cell, cell) == 0;
    ck_assert_msg(found, "%s: the cell has no derivation by hand, cells_by_hand.h expects one", cell);
}
END_TEST

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

/* Every cell, alone and stacked: node by node and planned, in every number of steps. */
START_TEST(reference_equals_plan)
{
    static const int64_t steps[] = {1, 2, 3, 17};
    const ur_cell *cell = cell_number(_i);
    const bool stacked = _i >= count_cells();
    ur_net_options options = {.cell = cell,
                              .inputs = D,
                              .hidden = M,
                              .heads = 2,
                              .outputs = 2,
                              .out = UR_SOFTMAX,
                              .loss = UR_CE,
                              .layers = 1 + stacked,
                              .layer_norm = stacked,
                              .bidirectional = stacked && !cell->back};
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
            assert_near(cell->name, steps[k], count, found, expected, 1e-12);
        }
        ur_plan_free(other.plan);
        free_machine(&m);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("cells");
    tcase_add_loop_test(cases, every_cell_by_hand, 0, count_cells());
    tcase_add_loop_test(cases, cells_by_hand, 0, 2 * SETUPS);
    tcase_add_loop_test(cases, truncated, 0, 7 * SETUPS);
    tcase_add_loop_test(cases, stabilised_by_hand, 0, 8 * (SETUPS - PLAIN));
    tcase_add_loop_test(cases, finite_far_out, 0, 32 * (SETUPS - PLAIN));
    tcase_add_loop_test(cases, reference_equals_plan, 0, 2 * count_cells());
    return run_cases(suite_create("cells"), cases);
}
