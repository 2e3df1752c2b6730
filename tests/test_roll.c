/* test_roll.c - programs of loops against the tapes that they are made from: every value to the bit, every operand, and
 * how few loops and phases there are. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../graph/internal.h"
#include "../graph/program.h"
#include "../layers/layers.h"
#include "heap.h"
#include "support.h"

/* ---- a program run value by value, and held against the tape */

typedef struct machine {
    ur_tape *tape;
    const ur__program *program;
    size_t *first;   /* of each line: the number of its value 0 among the values of all lines */
    size_t values;   /* of all lines */
    uint32_t *node;  /* of each value */
    double **number; /* of each value; NULL until it is computed */
    double *memory;  /* of all numbers */
    size_t used;
} machine;

static void *zeroed(size_t count, size_t bytes)
{
    void *block = calloc(count + 1, bytes);
    ck_assert_ptr_nonnull(block);
    return block;
}

static bool is_statement(const ur__kind *kind)
{
    return kind->op->kind != UR_LEAF && kind->op != &ur_op_state;
}

static size_t count_of(const machine *m, uint32_t v)
{
    return ur_shape_count(ur__shape(m->tape, v));
}

/* Memory for a value, from the machine's. */
static double *room_for(machine *m, uint32_t v)
{
    double *room = m->memory + m->used;
    m->used += count_of(m, v);
    return room;
}

/* The value of a leaf or constant. */
static double *leaf_value(machine *m, uint32_t v)
{
    const ur__kind *kind = ur__kind_of(m->tape, v);
    size_t count = count_of(m, v);
    double *value = room_for(m, v);
    if (ur__is_leaf(kind))
        memcpy(value, ur__leaf_data(m->tape, v), count * sizeof *value);
    for (size_t i = 0; i < count && !ur__is_leaf(kind); i++)
        value[i] = ur__attr(m->tape, kind)[0];
    return value;
}

/* As ck_assert_msg, which writes to a file at every call: this is called for every value. */
static void expect(bool good, const char *what)
{
    if (!good)
        ck_abort_msg("%s", what);
}

/* A line's values have the line's op, shape, constants and scope. */
static void assert_on_line(const machine *m, uint32_t v, const ur__line *line)
{
    const ur__kind *kind = ur__kind_of(m->tape, v), *own = ur__kind_of(m->tape, line->node);
    expect(kind->shape == own->shape, "a line's shape");
    expect(kind->op == own->op, "a line's operation");
    if (is_statement(kind)) {
        expect(ur__site_of(m->tape, v)->scope == ur__site_of(m->tape, line->node)->scope, "a line's scope");
        expect(line->loop != UR_NONE, "a statement has a loop");
    }
    for (int i = 0; i < kind->op->attrs; i++)
        expect(ur__attr(m->tape, kind)[i] == ur__attr(m->tape, own)[i], "a line's constants");
}

/* Each value of a line is one node, and each node has one place. */
static void place_nodes(machine *m)
{
    const ur__program *p = m->program;
    m->first = (size_t *)zeroed(p->lines, sizeof *m->first);
    size_t doubles = 0;
    for (size_t i = 0; i < p->lines; i++) {
        m->first[i] = m->values;
        m->values += p->line[i].values;
        doubles += p->line[i].values * count_of(m, p->line[i].node);
    }
    m->memory = (double *)zeroed(doubles, sizeof *m->memory);
    m->node = (uint32_t *)zeroed(m->values, sizeof *m->node);
    m->number = (double **)zeroed(m->values, sizeof *m->number);
    memset(m->node, 0xff, m->values * sizeof *m->node);
    for (uint32_t v = 0; v < p->nodes; v++) {
        const ur__kind *kind = ur__kind_of(m->tape, v);
        ur__position place = p->place[v];
        if (place.line == UR_NONE || kind->op == &ur_op_state)
            continue;
        expect(place.line < p->lines, "a place is on a line");
        expect(place.value < p->line[place.line].values, "a place is a value of its line");
        assert_on_line(m, v, &p->line[place.line]);
        size_t value = m->first[place.line] + place.value;
        expect(m->node[value] == UR_NONE, "two nodes have one place");
        m->node[value] = v;
        if (!is_statement(kind))
            m->number[value] = leaf_value(m, v);
        if (ur__is_leaf(kind))
            expect(p->leaf[p->line[place.line].first + place.value] == v, "a leaf is where its line says");
    }
    for (size_t i = 0; i < m->values; i++)
        expect(m->node[i] != UR_NONE, "a value is no node's");
}

enum { MOST_OPERANDS = 600 };

/* Statement s in iteration i of a phase: the node's operands are those of the tape, and are there. */
static void run_statement(machine *m, const ur__phase *phase, const ur__statement *s, uint32_t i, bool straight)
{
    const ur__program *p = m->program;
    const ur__line *line = &p->line[s->line];
    expect(i >= line->begin && i - line->begin < line->values, "a statement has a value in its iteration");
    size_t value = m->first[s->line] + i - line->begin;
    uint32_t v = m->node[value], k = 0;
    const ur__kind *kind = ur__kind_of(m->tape, v);
    const double *in[MOST_OPERANDS];
    ur_shape shape[MOST_OPERANDS];
    expect(kind->inputs <= MOST_OPERANDS, "too many operands for the test");
    for (uint32_t j = 0; j < s->refs; j++) {
        const ur__ref *ref = &p->ref[s->ref + j];
        expect(ref->count == 1 || (straight && ref->count > 1), "several operands in one outside of straight code");
        for (uint32_t c = 0; c < ref->count; c++, k++) {
            expect(k < kind->inputs, "more operands than the tape has");
            int64_t at = ref->first + (int64_t)ref->stride * (straight ? c : i - phase->begin);
            uint32_t u = ur__in(m->tape, v, k);
            expect(p->place[u].line == ref->line, "an operand's line");
            expect(p->place[u].value == at, "an operand's value");
            in[k] = m->number[m->first[ref->line] + (size_t)at];
            expect(in[k] != NULL, "an operand is not there yet");
            shape[k] = ur__shape(m->tape, u);
        }
    }
    expect(k == kind->inputs, "fewer operands than the tape has");
    expect(!m->number[value], "a value is computed twice");
    m->number[value] = room_for(m, v);
    ur__specification(kind->op, &(ur_call){.inputs = (int)k,
                                           .shape = shape,
                                           .in = in,
                                           .out_shape = ur__shape(m->tape, v),
                                           .out = m->number[value],
                                           .attr = ur__attr(m->tape, kind)});
}

/* Nothing moves in a phase of one iteration, but the operands of straight code. */
static void assert_still(const machine *m, const ur__phase *phase, const ur__statement *s, bool straight)
{
    for (uint32_t j = s->ref; j < s->ref + s->refs; j++) {
        const ur__ref *ref = &m->program->ref[j];
        bool moves = straight ? ref->count > 1 : phase->end - phase->begin > 1;
        expect(moves || ref->stride == 0, "a stride in a phase of one iteration");
    }
}

static void run_loop(machine *m, uint32_t l)
{
    const ur__program *p = m->program;
    const ur__loop *loop = &p->loop[l];
    uint32_t next = 0;
    for (uint32_t q = loop->phase; q < loop->phase + loop->phases; q++) {
        const ur__phase *phase = &p->phase[q];
        expect(phase->begin == next, "a phase begins where the one before ends");
        expect(phase->begin < phase->end, "an empty phase");
        for (uint32_t k = 0; k < phase->statements; k++)
            assert_still(m, phase, &p->statement[phase->statement + k], loop->iterations == 1);
        for (uint32_t i = phase->begin; i < phase->end; i++)
            for (uint32_t k = 0; k < phase->statements; k++) {
                const ur__statement *s = &p->statement[phase->statement + k];
                expect(p->line[s->line].loop == l, "a statement of another loop");
                run_statement(m, phase, s, i, loop->iterations == 1);
                uint32_t v = m->node[m->first[s->line] + i - p->line[s->line].begin];
                if (loop->direction)
                    expect(ur__step(m->tape, v) == loop->step + loop->direction * (int32_t)i, "a node of another step");
            }
        next = phase->end;
    }
    expect(next == loop->iterations, "the last phase ends with the loop");
}

static void give_machine(machine *m)
{
    free(m->memory);
    free(m->number);
    free(m->node);
    free(m->first);
}

/* Rolls the tape and runs the program and the reference plan: every root is equal to the bit. The caller frees the
 * program. */
static void assert_rolls(const char *what, ur_tape *tape, size_t roots, const ur_var *root, ur__program *program)
{
    uint32_t *index = (uint32_t *)zeroed(roots, sizeof *index);
    assert_good(tape, what);
    for (size_t i = 0; i < roots; i++)
        index[i] = root[i].index;
    ck_assert(ur__roll(tape, roots, index, program));
    machine m = {.tape = tape, .program = program};
    place_nodes(&m);
    for (uint32_t l = 0; l < program->loops; l++)
        run_loop(&m, l);
    for (size_t i = 0; i < m.values; i++)
        expect(m.number[i] != NULL, "a value is never computed");
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = true, .roots = roots, .root = root});
    ck_assert_msg(plan && ur_plan_run(plan), "%s: %s", what, ur_tape_error(tape));
    for (size_t i = 0; i < roots; i++) {
        ur__position place = program->place[index[i]];
        ck_assert_msg(place.line != UR_NONE, "%s: root %zu has no place", what, i);
        size_t count = count_of(&m, index[i]);
        const double *found = m.number[m.first[place.line] + place.value];
        double *expected = (double *)zeroed(count, sizeof *expected);
        ck_assert(ur_read(plan, root[i], count, expected));
        ck_assert_msg(distance(count, found, expected) == 0, "%s: root %zu is %g away", what, i,
                      distance(count, found, expected));
        free(expected);
    }
    ur_plan_free(plan);
    give_machine(&m);
    free(index);
}

/* ---- tapes to roll */

static double draw(uint64_t *state) /* uniform in -1..1, Marsaglia's xorshift */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 4503599627370496.0 - 1;
}

/* Writes random numbers to every leaf: parameters in -0.6..0.6, inputs in 0.1..0.9, but `alive` and `weight` are 0 or 1. */
static void fill_leaves(ur_tape *tape, uint64_t seed)
{
    for (size_t i = 0; i < tape->leaves; i++) {
        uint32_t v = tape->leaf[i].node;
        size_t count = ur_shape_count(ur__shape(tape, v));
        double *data = (double *)ur__leaf_data(tape, v);
        bool mask = strcmp(tape->leaf[i].name, "alive") == 0 || strcmp(tape->leaf[i].name, "weight") == 0;
        for (size_t k = 0; k < count; k++) {
            double d = draw(&seed);
            data[k] = ur__op(tape, v) == &ur_op_param ? 0.6 * d : mask ? d > -0.6 : 0.5 + 0.4 * d;
        }
    }
}

/* How many loops and phases there are. */
typedef struct size {
    size_t loops;      /* of more than nine tenths of the steps */
    size_t phases;     /* most of one loop */
    size_t statements; /* of straight code */
    size_t all;        /* statements of all phases */
    size_t others;     /* loops that are shorter, but not straight code */
} size;

static size size_of(const ur__program *p, int64_t steps)
{
    size s = {.all = p->statements};
    for (size_t l = 0; l < p->loops; l++) {
        const ur__loop *loop = &p->loop[l];
        if (loop->iterations == 1) {
            s.statements += p->phase[loop->phase].statements;
            continue;
        }
        s.phases = loop->phases > s.phases ? loop->phases : s.phases;
        if (loop->iterations > 0.9 * (double)steps)
            s.loops++;
        else
            s.others++;
    }
    return s;
}

enum { D = 3, M = 4, P = 2, B = 2, MOST_ROOTS = 400 };

typedef struct roots {
    size_t count;
    ur_var root[MOST_ROOTS];
} roots;

static void add_root(roots *all, ur_var v)
{
    ck_assert_uint_lt(all->count, MOST_ROOTS);
    all->root[all->count++] = v;
}

static ur_net_options options_of(const char *cell)
{
    return (ur_net_options){
        .cell = ur_cell_find(cell), .inputs = D, .hidden = M, .outputs = P, .out = UR_SIGMOID, .loss = UR_BCE};
}

/* The network's gradients, loss and outputs. */
static ur_net *new_net(const ur_net_options *o, int64_t steps, roots *all)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, o, steps, B);
    ck_assert_msg(net && ur_net_differentiate(net), "%s: %s", o->cell->name, ur_tape_error(tape));
    for (size_t k = 0; k < net->params; k++)
        add_root(all, net->gradient[k]);
    add_root(all, net->loss);
    for (int64_t t = 0; t < steps; t++)
        add_root(all, net->o[t]);
    fill_leaves(tape, 88172645463325252u);
    return net;
}

static size roll_net(const ur_net_options *o, int64_t steps)
{
    roots all = {0};
    ur__program program;
    ur_net *net = new_net(o, steps, &all);
    assert_rolls(o->cell->name, net->tape, all.count, all.root, &program);
    size s = size_of(&program, steps);
    if (getenv("UR_TEST_PRINT"))
        ur__program_print(net->tape, &program, stdout);
    if (getenv("UR_TEST_SIZES"))
        printf("%s layers %d T %d chunk %d: %zu loops, %zu phases at most, %zu straight, %zu others; %s\n",
               o->cell->name, (int)o->layers, (int)steps, (int)o->chunk, s.loops, s.phases, s.statements, s.others,
               program.why.text);
    ur__program_free(net->tape, &program);
    ur_tape_free(net->tape);
    return s;
}

static const int64_t lengths[] = {1, 2, 3, 4, 5, 17, 100};
enum { LENGTHS = sizeof lengths / sizeof *lengths };
static const char *const cells[] = {"rnn", "lstm", "gru", "gated", "slstm", "mlstm", "brnn"};
enum { CELLS = sizeof cells / sizeof *cells };

static void small(size s, size_t loops, size_t phases, size_t statements)
{
    ck_assert_uint_eq(s.loops, loops);
    ck_assert_uint_eq(s.others, 0);
    ck_assert_uint_le(s.phases, phases);
    ck_assert_uint_le(s.statements, statements);
}

START_TEST(every_cell)
{
    ur_net_options o = options_of(cells[_i / LENGTHS]);
    size s = roll_net(&o, lengths[_i % LENGTHS]);
    /* x masked; the cell and its adjoint, in both directions; the output and its adjoint */
    if (lengths[_i % LENGTHS] >= 4)
        small(s, o.cell->back ? 7 : 5, 4, 20);
}
END_TEST

START_TEST(straight_code_does_not_grow)
{
    ur_net_options o = options_of(cells[_i]);
    size s = roll_net(&o, 100);
    ck_assert_uint_eq(roll_net(&o, 50).statements, s.statements);
}
END_TEST

START_TEST(stacked_layers)
{
    ur_net_options o = options_of(cells[_i % CELLS]);
    o.layers = 2 + _i / CELLS % 2;
    o.bidirectional = !o.cell->back && _i / CELLS / 2;
    o.recurrent_dropout = o.cell->recurrent ? 0.2 : 0;
    o.weighted = true;
    o.reduction = UR_MEAN_ALL;
    for (int t = 0; t < LENGTHS; t++) {
        size s = roll_net(&o, lengths[t]);
        if (lengths[t] == 100) {
            ck_assert_uint_eq(s.others, 0);
            ck_assert_uint_le(s.phases, 5);
            ck_assert_uint_le(s.loops, 40);
        }
    }
}
END_TEST

/* Each step's mask has constants of its own, which a line cannot have; what reads it rolls all the same. */
START_TEST(dropout_between_layers)
{
    ur_net_options o = options_of("rnn");
    o.layers = 2;
    for (int t = 0; t < LENGTHS; t++) {
        o.dropout = 0;
        size without = roll_net(&o, lengths[t]);
        o.dropout = 0.3;
        size with = roll_net(&o, lengths[t]);
        if (lengths[t] == 100)
            ck_assert_uint_le(with.all, without.all + 310); /* mask, division, product */
    }
}
END_TEST

START_TEST(normalised_layers)
{
    ur_net_options o = options_of("lstm");
    o.layers = 2;
    o.start = _i < 2 ? UR_START_LEARNED : UR_START_GIVEN;
    o.layer_norm = _i & 1;
    o.batch_norm = !o.layer_norm;
    o.loss = UR_MSE;
    for (int t = 0; t < LENGTHS; t++)
        roll_net(&o, lengths[t]);
}
END_TEST

START_TEST(chunks)
{
    static const int64_t chunk[] = {1, 3, 5, 100};
    ur_net_options o = options_of("mlstm");
    o.chunk = chunk[_i];
    o.heads = 2;
    for (int t = 0; t < LENGTHS; t++)
        roll_net(&o, lengths[t]);
}
END_TEST

START_TEST(truncated_gradients)
{
    ur_net_options o = options_of(cells[_i % CELLS]);
    o.bptt = _i < CELLS ? 5 : 20;
    for (int t = 0; t < LENGTHS; t++) {
        size s = roll_net(&o, lengths[t]);
        if (lengths[t] == 100) {
            ck_assert_uint_eq(s.others, 0);
            ck_assert_uint_le(s.statements, 30);
        }
    }
}
END_TEST

/* ---- tapes by hand */

/* One step of the lecture's network with a memory of two steps. */
static ur_var delayed(ur_tape *tape, ur_var x, ur_var before, ur_var long_before)
{
    ur_var net = ur_add(ur_linear(tape, "Wi", M, x), ur_linear(tape, "Wh", M, before));
    net = ur_add(net, ur_linear(tape, "Wg", M, long_before));
    return ur_tanh(ur_bias(tape, "b", net));
}

typedef struct loop_options {
    bool marked, one_by_one; /* ur_step is called; inputs are made by ur_input, each with its own name */
    bool delay;              /* the state of two steps before is read too */
    bool every;              /* a loss at each step, else at the last */
    bool inside;             /* in the same loop, else in one of its own */
} loop_options;

/* Records the loop; h gets its states. Returns the loss. */
static ur_var record_loop(ur_tape *tape, const loop_options *o, int64_t steps, ur_var *h)
{
    ur_var x[128], loss[128], h0 = ur_input(tape, "h0", UR_SHAPE(M, B)), target = ur_input(tape, "y", UR_SHAPE(P, B));
    if (!o->one_by_one)
        ur_inputs(tape, "x", UR_SHAPE(D, B), steps, x);
    for (int64_t t = 0; t < steps; t++) {
        char name[32];
        snprintf(name, sizeof name, "in%d", (int)t);
        if (o->marked)
            ur_step(tape, t + 1);
        if (o->one_by_one)
            x[t] = ur_input(tape, name, UR_SHAPE(D, B));
        ur_var before = t ? h[t - 1] : h0;
        h[t] = o->delay ? delayed(tape, x[t], before, t > 1 ? h[t - 2] : h0)
                        : ur_tanh(ur_add(ur_linear(tape, "Wi", M, x[t]), ur_linear(tape, "Wh", M, before)));
        if (o->inside && (o->every || t == steps - 1))
            loss[t] = ur_sum(ur_squared_error(ur_sigmoid(ur_linear(tape, "Wo", P, h[t])), target));
    }
    for (int64_t t = o->every ? 0 : steps - 1; t < steps && !o->inside; t++) {
        if (o->marked)
            ur_step(tape, t + 1);
        loss[t] = ur_sum(ur_squared_error(ur_sigmoid(ur_linear(tape, "Wo", P, h[t])), target));
    }
    ur_step(tape, 0);
    return o->every ? ur_total((size_t)steps, loss) : loss[steps - 1];
}

static void add_gradients(roots *all, ur_tape *tape, ur_var y)
{
    ur_var wrt[16], gradient[16];
    size_t n = 0;
    while (n < 16 && ur_param_at(tape, n, &wrt[n], NULL, NULL))
        n++;
    ck_assert(ur_grad(y, n, wrt, gradient));
    for (size_t k = 0; k < n; k++)
        add_root(all, gradient[k]);
}

static size roll_tape(const char *what, ur_tape *tape, roots *all, int64_t steps)
{
    ur__program program;
    fill_leaves(tape, 2463534242u);
    assert_rolls(what, tape, all->count, all->root, &program);
    size s = size_of(&program, steps);
    if (getenv("UR_TEST_PRINT"))
        ur__program_print(tape, &program, stdout);
    if (getenv("UR_TEST_SIZES"))
        printf("%s T %d: %zu loops, %zu phases at most, %zu straight, %zu others; %s\n", what, (int)steps, s.loops,
               s.phases, s.statements, s.others, program.why.text);
    ur__program_free(tape, &program);
    return s;
}

/* A plain loop that reads no parameter, c <- tanh(c x + y): numbers that all steps share, or numbers of each step's own,
 * beside code that does not repeat. */
START_TEST(loops_without_parameters)
{
    enum { T = 300 };
    bool shared = _i & 1, beside = _i & 2;
    ur_tape *tape = new_tape(UR_F64);
    ur_var x[T], y[T], c = ur_input(tape, "c", UR_SCALAR), first = c;
    ck_assert(ur_inputs(tape, "x", UR_SCALAR, T, x) && ur_inputs(tape, "y", UR_SCALAR, T, y));
    for (int i = 0; i < 20 && beside; i++)
        c = i % 7 == i % 11 ? ur_tanh(c) : i % 5 ? ur_add(c, first) : ur_exp(c);
    for (int t = 0; t < T; t++)
        c = ur_tanh(ur_add(ur_mul(c, x[shared ? 0 : t]), y[shared ? 0 : t]));
    roots all = {0};
    ur_var wrt[] = {x[0], y[0], x[1], first}, gradient[4];
    ck_assert(ur_grad(c, 4, wrt, gradient));
    add_root(&all, c);
    for (int k = 0; k < 4; k++)
        add_root(&all, gradient[k]);
    fill_leaves(tape, 362436069u);
    ur__program program;
    assert_rolls("no parameters", tape, all.count, all.root, &program);
    small(size_of(&program, T), 2, 4, beside ? 110 : 8);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

/* A short loop that reads no parameter stays straight code. */
START_TEST(chance_is_no_loop)
{
    enum { T = 15 };
    ur_tape *tape = new_tape(UR_F64);
    ur_var x = ur_input(tape, "x", UR_SCALAR), c = x;
    for (int t = 0; t < T; t++)
        c = ur_tanh(ur_add(ur_mul(c, x), x));
    roots all = {0};
    add_root(&all, c);
    ur__program program;
    assert_rolls("chance", tape, all.count, all.root, &program);
    small(size_of(&program, T), 0, 0, 3 * (size_t)T);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

START_TEST(loops_by_hand)
{
    loop_options o = {.marked = _i & 1, .one_by_one = _i & 2, .delay = _i & 4, .every = _i & 8, .inside = _i & 16};
    for (int t = 0; t < LENGTHS; t++) {
        roots all = {0};
        ur_tape *tape = new_tape(UR_F64);
        ur_var h[128], loss = record_loop(tape, &o, lengths[t], h);
        add_root(&all, loss);
        add_root(&all, h[0]);
        add_gradients(&all, tape, loss);
        char what[96];
        snprintf(what, sizeof what, "loop marked %d one_by_one %d delay %d every %d inside %d", o.marked, o.one_by_one,
                 o.delay, o.every, o.inside);
        size s = roll_tape(what, tape, &all, lengths[t]);
        if (lengths[t] == 100) { /* forward and back, and the outputs where they are loops of their own */
            ck_assert_uint_eq(s.loops, o.every && !o.inside ? 4 : 2);
            ck_assert_uint_eq(s.others, 0);
            ck_assert_uint_le(s.phases, 5);
            ck_assert_uint_le(s.statements, 40);
        }
        ur_tape_free(tape);
    }
}
END_TEST

/* A state of three parts, of which part k is updated in every step whose number 2^k divides (Koutnik and others 2014):
 * four steps are an iteration, also where their number is not a multiple of four. */
START_TEST(parts_at_their_own_pace)
{
    enum { T = 101, PARTS = 3, PERIOD = 4 };
    static const char *const input[PARTS] = {"Wi0", "Wi1", "Wi2"}, *const recurrent[PARTS] = {"Wh0", "Wh1", "Wh2"};
    ur_tape *tape = new_tape(UR_F64);
    ur_var x[T], loss[T], part[PARTS], h[T];
    ck_assert(ur_inputs(tape, "x", UR_SHAPE(D, B), T, x));
    for (int k = 0; k < PARTS; k++)
        part[k] = ur_const(tape, UR_SHAPE(M, B), 0);
    for (int t = 0; t < T; t++) {
        if (_i & 1)
            ur_step(tape, t + 1);
        for (int k = 0; k < PARTS; k++)
            if (t % (1 << k) == 0)
                part[k] =
                    ur_tanh(ur_add(ur_linear(tape, input[k], M, x[t]), ur_linear(tape, recurrent[k], M, part[k])));
        h[t] = ur_add(ur_add(part[0], part[1]), part[2]);
    }
    for (int t = 0; t < T; t++) {
        if (_i & 1)
            ur_step(tape, t + 1);
        loss[t] = ur_sum(ur_square(h[t]));
    }
    ur_step(tape, 0);
    roots all = {0};
    ur_var y = ur_total(T, loss);
    add_root(&all, y);
    add_gradients(&all, tape, y);
    size s = roll_tape("parts", tape, &all, T / PERIOD);
    ck_assert_uint_le(s.statements, 60);
    if (_i & 1) { /* without marks the losses are a loop with a period of one step */
        ck_assert_uint_eq(s.others, 0);
        ck_assert_uint_le(s.phases, 5);
    }
    ur_tape_free(tape);
}
END_TEST

START_TEST(second_order)
{
    loop_options o = {.marked = _i & 1, .delay = _i & 2, .every = _i & 4};
    for (int t = 0; t < LENGTHS; t++) {
        roots all = {0};
        ur_tape *tape = new_tape(UR_F64);
        ur_var h[128], first[16], loss = record_loop(tape, &o, lengths[t], h);
        add_gradients(&all, tape, loss);
        for (size_t k = 0; k < all.count; k++)
            first[k] = ur_sum(ur_square(all.root[k]));
        add_gradients(&all, tape, ur_total(all.count, first));
        size s = roll_tape("second order", tape, &all, lengths[t]);
        if (lengths[t] == 100) {
            ck_assert_uint_le(s.loops, 8);
            ck_assert_uint_le(s.phases, 8);
            ck_assert_uint_le(s.statements, 150);
        }
        ur_tape_free(tape);
    }
}
END_TEST

START_TEST(any_wrt)
{
    for (int t = 0; t < LENGTHS; t++) {
        roots all = {0};
        loop_options o = {.marked = _i & 1, .every = _i & 2};
        ur_tape *tape = new_tape(UR_F64);
        ur_var h[128], gradient[128], loss = record_loop(tape, &o, lengths[t], h);
        ur_var third = ur_node_input(h[lengths[t] > 2 ? 2 : 0], 0);
        ck_assert(ur_grad(loss, 1, &third, gradient)); /* a net value; then all of the steps */
        add_root(&all, gradient[0]);
        ck_assert(ur_grad(loss, (size_t)lengths[t], h, gradient));
        for (int64_t i = 0; i < lengths[t]; i++)
            add_root(&all, gradient[i]);
        roll_tape("any wrt", tape, &all, lengths[t]);
        if (_i & 4) { /* without the roots before */
            roots rest = {0};
            ur_var x = ur_node_input(ur_node_input(third, 0), 1);
            ck_assert(ur_grad(loss, 1, &x, gradient));
            add_root(&rest, gradient[0]);
            roll_tape("x alone", tape, &rest, lengths[t]);
        }
        ur_tape_free(tape);
    }
}
END_TEST

/* A loop that reads what another code makes of its steps cannot run as a loop. */
START_TEST(cycles_are_cut)
{
    enum { T = 20 };
    roots all = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var x[T], a[T], between = UR_ZERO;
    ur_inputs(tape, "x", UR_SHAPE(M, B), T, x);
    for (int64_t t = 0; t < T; t++) {
        if (t == T / 2 && _i == 0) {
            ur_step(tape, 0);
            between = ur_exp(a[t - 1]);
        }
        ur_step(tape, t + 1);
        a[t] = ur_tanh(ur_linear(tape, "W", M, ur_add(x[t], t ? t < T / 2 + _i ? a[t - 1] : between : x[t])));
        if (t == T / 2 && _i == 1)
            between = ur_scale(a[t], 2);
    }
    ur_var b[T];
    for (int64_t t = 0; t < T; t++) { /* a loop over what both made */
        ur_step(tape, t + 1);
        b[t] = ur_mul(a[t], t ? b[t - 1] : x[0]);
    }
    add_root(&all, b[T - 1]);
    size s = roll_tape("cycle", tape, &all, T);
    ck_assert_uint_le(s.statements, 20);
    ur_tape_free(tape);
}
END_TEST

/* Each step reads what code outside of the steps makes of the step before: nothing is a loop. */
START_TEST(steps_through_other_code)
{
    enum { T = 12 };
    roots all = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var x[T];
    ur_inputs(tape, "x", UR_SHAPE(M, B), T, x);
    ur_var d = x[0];
    for (int64_t t = 0; t < T; t++) {
        ur_step(tape, 2 * t + 1);
        ur_var c = ur_tanh(ur_add(ur_exp(d), x[t]));
        ur_step(tape, 0);
        d = ur_sigmoid(ur_mul(c, d));
    }
    add_root(&all, d);
    size s = roll_tape("each other", tape, &all, T);
    ck_assert_uint_eq(s.loops, 0);
    ur_tape_free(tape);
}
END_TEST

static size_t pick(uint64_t *state, size_t n)
{
    return (size_t)((draw(state) * 0.5 + 0.5) * (double)n) % n;
}

/* One statement of a random step; `mostly` is the statement that most steps have at this place. */
static ur_var random_statement(ur_tape *tape, uint64_t *state, size_t mostly, size_t n, const ur_var *a)
{
    size_t kind = pick(state, 12) ? mostly : pick(state, 7);
    size_t back = pick(state, 12) ? 1 + mostly % 5 : 1 + pick(state, 9);
    ur_var x = a[back < n ? n - back : 0], y = a[pick(state, 12) ? n - 1 : pick(state, n)];
    switch (kind) {
    case 0:
        return ur_tanh(x);
    case 1:
        return ur_tanh(ur_mul(x, y));
    case 2:
        return ur_tanh(ur_linear(tape, "W", M, x));
    case 3:
        return ur_scale(ur_add(x, y), 0.5);
    case 4:
        return ur_scale(ur_total(3, (ur_var[]){x, y, x}), 0.3);
    case 5:
        return ur_sigmoid(ur_linear(tape, "V", M, y));
    default:
        return ur_detach(x);
    }
}

/* Steps that are alike in most places, some outside of time, read now and then whatever there is; any root. */
START_TEST(any_tape)
{
    enum { MOST = 400 };
    uint64_t state = 1442695040888963407u * (uint64_t)(_i + 1);
    ur_tape *tape = new_tape(UR_F64);
    ur_var a[MOST + 16];
    size_t n = 2, length = 1 + pick(&state, 6), statement[6], noise = pick(&state, 4);
    ur_inputs(tape, "x", UR_SHAPE(M, B), 2, a);
    for (size_t k = 0; k < 6; k++)
        statement[k] = pick(&state, 6);
    for (int64_t t = 1; n < 40 + 60 * (size_t)(_i % 6); t++) {
        if (_i & 1)
            ur_step(tape, noise && pick(&state, 9) == 0 ? 0 : noise > 2 && pick(&state, 5) == 0 ? t / 2 : t);
        for (size_t k = 0; k < length; k++) {
            bool outside = noise > 1 && (_i & 2) && k + 1 == length;
            if (outside)
                ur_step(tape, 0);
            a[n] = random_statement(tape, &state, statement[k], n, a);
            n++;
        }
    }
    ur_step(tape, 0);
    roots all = {0};
    ur_var loss = ur_sum(ur_square(a[n - 1])), wrt[] = {a[0], a[n / 2], a[n / 3]}, gradient[3];
    ck_assert(ur_grad(loss, 3, wrt, gradient));
    for (int k = 0; k < 3; k++)
        add_root(&all, gradient[k]);
    if (_i % 3 == 0)
        add_gradients(&all, tape, ur_sum(gradient[0]));
    if (_i % 3 == 1)
        add_root(&all, a[pick(&state, n)]);
    fill_leaves(tape, state);
    ur__program program;
    assert_rolls("any tape", tape, all.count, all.root, &program);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

/* Between steps 4 and 5 of a loop lies another one, whose first iteration step 5 reads and whose later ones read step 4.
 * No node leads to itself, but the loops need each other. */
START_TEST(loops_that_need_each_other)
{
    enum { T = 10, INNER = 8 };
    roots all = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var x[T], a[T], b[INNER], start = ur_input(tape, "b0", UR_SHAPE(M, B));
    ur_inputs(tape, "x", UR_SHAPE(M, B), T, x);
    for (int64_t t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        a[t] = ur_tanh(ur_add(ur_linear(tape, "W", M, t ? a[t - 1] : start), t == 4 ? b[0] : x[t]));
        ur_step(tape, 0);
        for (int i = 0; i < INNER && t == 3; i++) {
            ur_var later = ur_tanh(i ? a[t] : start); /* first, whatever order a compiler gives to arguments */
            b[i] = ur_sigmoid(ur_add(ur_linear(tape, "V", M, x[i]), later));
        }
    }
    add_root(&all, a[T - 1]);
    add_root(&all, ur_total(INNER, b));
    fill_leaves(tape, 2463534242u);
    ur__program program;
    assert_rolls("each other", tape, all.count, all.root, &program);
    size s = size_of(&program, T);
    ck_assert_uint_eq(s.loops + s.others, 1);
    ck_assert_msg(strstr(program.why.text, "lead to"), "%s", program.why.text);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

START_TEST(states_are_roots)
{
    roots all = {0};
    ur_net_options o = options_of("lstm");
    o.start = UR_START_GIVEN;
    ur_net *net = new_net(&o, 17, &all);
    all.count = 0;
    add_root(&all, net->loss);
    ck_assert(ur_state(net->state[0].start, net->state[0].final));
    ur__program program;
    assert_rolls("states", net->tape, all.count, all.root, &program);
    ck_assert_uint_ne(program.place[net->state[0].final.index].line, UR_NONE);
    ur__program_free(net->tape, &program);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- memory and time */

START_TEST(every_allocation_fails_once)
{
    heap h = {0};
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.allocator = {.resize = heap_resize, .user = &h}});
    loop_options o = {.marked = _i == 0, .every = true, .delay = true};
    roots all = {0};
    ur_var states[128], loss = record_loop(tape, &o, 17, states);
    add_gradients(&all, tape, loss);
    assert_good(tape, "memory");
    uint32_t root = all.root[0].index;
    long long before = h.bytes;
    bool done = false;
    long long n = 1;
    for (; !done; n++) {
        ur__program program;
        h.calls = 0;
        h.fails = n;
        bool good = ur__roll(tape, 1, &root, &program);
        done = h.calls < n;
        ck_assert(good == done);
        ck_assert(done || strstr(ur_tape_error(tape), "no memory"));
        tape->error.text[0] = 0;
        ur__program_free(tape, &program);
        ck_assert_int_eq(h.bytes, before);
    }
    ck_assert_int_gt(n, 12);
    ur_tape_free(tape);
    ck_assert_int_eq(h.bytes, 0);
}
END_TEST

/* A chain of many nodes of straight code overflows no stack and takes no time. */
START_TEST(long_straight_code)
{
    enum { N = 1000000 };
    ur_tape *tape = new_tape(UR_F32);
    ur_var a = ur_input(tape, "a", UR_SCALAR), first = a;
    for (int i = 0; i < N; i++)
        a = i % 7 == i % 11 ? ur_tanh(a) : i % 5 ? ur_add(a, first) : ur_exp(a);
    ur__program program;
    ck_assert(ur__roll(tape, 1, &a.index, &program));
    ck_assert_uint_eq(program.loops, 1);
    ck_assert_uint_eq(program.statements, N);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

START_TEST(nodes_take_nanoseconds)
{
    roots all = {0};
    ur_net_options o = options_of(cells[_i]);
    ur_net *net = new_net(&o, 100, &all);
    uint32_t root[MOST_ROOTS];
    for (size_t i = 0; i < all.count; i++)
        root[i] = all.root[i].index;
    double best = INFINITY;
    for (int run = 0; run < 10; run++) {
        struct timespec begin, end;
        ur__program program;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        ck_assert(ur__roll(net->tape, all.count, root, &program));
        clock_gettime(CLOCK_MONOTONIC, &end);
        ur__program_free(net->tape, &program);
        best = fmin(best, (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec));
    }
    if (getenv("UR_TEST_SIZES"))
        printf("%s: %zu nodes, %.1f ns each\n", cells[_i], ur_tape_nodes(net->tape),
               best / (double)ur_tape_nodes(net->tape));
    ck_assert_double_lt(best / (double)ur_tape_nodes(net->tape), 20000); /* not quadratic, whatever the machine */
    ur_tape_free(net->tape);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("roll");
    TCase *all = tcase_create("programs");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, every_cell, 0, CELLS * LENGTHS);
    tcase_add_loop_test(all, straight_code_does_not_grow, 0, CELLS);
    tcase_add_loop_test(all, stacked_layers, 0, 4 * CELLS);
    tcase_add_test(all, dropout_between_layers);
    tcase_add_loop_test(all, normalised_layers, 0, 4);
    tcase_add_loop_test(all, chunks, 0, 4);
    tcase_add_loop_test(all, truncated_gradients, 0, 2 * CELLS);
    tcase_add_loop_test(all, loops_without_parameters, 0, 4);
    tcase_add_test(all, chance_is_no_loop);
    tcase_add_loop_test(all, loops_by_hand, 0, 32);
    tcase_add_loop_test(all, parts_at_their_own_pace, 0, 2);
    tcase_add_loop_test(all, second_order, 0, 8);
    tcase_add_loop_test(all, any_wrt, 0, 8);
    tcase_add_loop_test(all, cycles_are_cut, 0, 2);
    tcase_add_test(all, steps_through_other_code);
    tcase_add_loop_test(all, any_tape, 0, 300);
    tcase_add_test(all, loops_that_need_each_other);
    tcase_add_test(all, states_are_roots);
    tcase_add_loop_test(all, every_allocation_fails_once, 0, 2);
    tcase_add_test(all, long_straight_code);
    tcase_add_loop_test(all, nodes_take_nanoseconds, 0, CELLS);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
