/* test_roll.c - programs of loops against the tapes that they are made from: every value to the bit, every operand, and
 * how few loops and phases there are. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../graph/internal.h"
#include "../graph/program.h"
#include "../layers/layers.h"
#include "support.h"

/* ---- a program run value by value, and held against the tape */

typedef struct machine {
    ur_tape *tape;
    const ur__program *program;
    size_t *first;   /* of each line: the number of its value 0 among the values of all lines */
    size_t values;   /* of all lines */
    uint32_t *node;  /* of each value */
    double **number; /* of each value; NULL until it is computed */
} machine;

static void *zeroed(size_t count, size_t bytes)
{
    void *block = calloc(count + 1, bytes);
    ck_assert_ptr_nonnull(block);
    return block;
}

static bool is_statement(const ur__node *n)
{
    return n->op->kind != UR_LEAF && n->op != &ur_op_state;
}

static size_t count_of(const machine *m, uint32_t v)
{
    return ur_shape_count(ur__shape(m->tape, v));
}

/* The value of a leaf or constant. */
static double *leaf_value(const machine *m, uint32_t v)
{
    const ur__node *n = &m->tape->node[v];
    size_t count = count_of(m, v);
    double *value = (double *)zeroed(count, sizeof *value);
    if (ur__is_leaf(n))
        memcpy(value, ur__leaf_data(m->tape, n), count * sizeof *value);
    for (size_t i = 0; i < count && !ur__is_leaf(n); i++)
        value[i] = ur__attr(m->tape, n)[0];
    return value;
}

/* A line's values have the line's op, shape, constants and scope. */
static void assert_on_line(const machine *m, uint32_t v, const ur__line *line)
{
    const ur__node *n = &m->tape->node[v], *l = &m->tape->node[line->node];
    ck_assert_uint_eq(n->shape, l->shape);
    ck_assert_ptr_eq(n->op, l->op);
    if (is_statement(n)) {
        ck_assert_uint_eq(n->scope, l->scope);
        ck_assert_uint_ne(line->loop, UR_NONE);
    }
    for (int i = 0; i < n->op->attrs; i++)
        ck_assert_double_eq(ur__attr(m->tape, n)[i], ur__attr(m->tape, l)[i]);
}

/* Each value of a line is one node, and each node has one place. */
static void place_nodes(machine *m)
{
    const ur__program *p = m->program;
    m->first = (size_t *)zeroed(p->lines, sizeof *m->first);
    for (size_t i = 0; i < p->lines; i++) {
        m->first[i] = m->values;
        m->values += p->line[i].values;
    }
    m->node = (uint32_t *)zeroed(m->values, sizeof *m->node);
    m->number = (double **)zeroed(m->values, sizeof *m->number);
    memset(m->node, 0xff, m->values * sizeof *m->node);
    for (uint32_t v = 0; v < p->nodes; v++) {
        const ur__node *n = &m->tape->node[v];
        ur__position place = p->place[v];
        if (place.line == UR_NONE || n->op == &ur_op_state)
            continue;
        ck_assert_uint_lt(place.line, p->lines);
        ck_assert_uint_lt(place.value, p->line[place.line].values);
        assert_on_line(m, v, &p->line[place.line]);
        size_t value = m->first[place.line] + place.value;
        ck_assert_msg(m->node[value] == UR_NONE || n->op == &ur_op_const, "two nodes have one place");
        m->node[value] = v;
        if (!is_statement(n) && !m->number[value])
            m->number[value] = leaf_value(m, v);
        if (ur__is_leaf(n))
            ck_assert_uint_eq(p->leaf[p->line[place.line].first + place.value], v);
    }
    for (size_t i = 0; i < m->values; i++)
        ck_assert_msg(m->node[i] != UR_NONE, "a value is no node's");
}

enum { MOST_OPERANDS = 600 };

/* Statement s in iteration i of a phase: the node's operands are those of the tape, and are there. */
static void run_statement(machine *m, const ur__phase *phase, const ur__statement *s, uint32_t i, bool straight)
{
    const ur__program *p = m->program;
    const ur__line *line = &p->line[s->line];
    ck_assert(i >= line->begin && i - line->begin < line->values);
    size_t value = m->first[s->line] + i - line->begin;
    uint32_t v = m->node[value], k = 0;
    const ur__node *n = &m->tape->node[v];
    const double *in[MOST_OPERANDS];
    ur_shape shape[MOST_OPERANDS];
    ck_assert_uint_le(n->inputs, MOST_OPERANDS);
    for (uint32_t j = 0; j < s->refs; j++) {
        const ur__ref *ref = &p->ref[s->ref + j];
        ck_assert(ref->count == 1 || (straight && ref->count > 1));
        for (uint32_t c = 0; c < ref->count; c++, k++) {
            ck_assert_uint_lt(k, n->inputs);
            int64_t at = ref->first + (int64_t)ref->stride * (straight ? c : i - phase->begin);
            uint32_t u = ur__in(m->tape, n, k);
            ck_assert_uint_eq(p->place[u].line, ref->line);
            ck_assert_int_eq(p->place[u].value, at);
            in[k] = m->number[m->first[ref->line] + (size_t)at];
            ck_assert_msg(in[k] != NULL, "%s, step %d: operand %u is not there yet", n->op->name, n->step, k);
            shape[k] = ur__shape(m->tape, u);
        }
    }
    ck_assert_uint_eq(k, n->inputs);
    ck_assert_msg(!m->number[value], "a value is computed twice");
    m->number[value] = (double *)zeroed(count_of(m, v), sizeof(double));
    ur__specification(n->op, &(ur_call){.inputs = (int)k,
                                        .shape = shape,
                                        .in = in,
                                        .out_shape = ur__shape(m->tape, v),
                                        .out = m->number[value],
                                        .attr = ur__attr(m->tape, n)});
}

static void run_loop(machine *m, uint32_t l)
{
    const ur__program *p = m->program;
    const ur__loop *loop = &p->loop[l];
    uint32_t next = 0;
    for (uint32_t q = loop->phase; q < loop->phase + loop->phases; q++) {
        const ur__phase *phase = &p->phase[q];
        ck_assert_uint_eq(phase->begin, next);
        ck_assert_uint_lt(phase->begin, phase->end);
        for (uint32_t i = phase->begin; i < phase->end; i++)
            for (uint32_t k = 0; k < phase->statements; k++) {
                const ur__statement *s = &p->statement[phase->statement + k];
                ck_assert_uint_eq(p->line[s->line].loop, l);
                run_statement(m, phase, s, i, loop->iterations == 1);
                uint32_t v = m->node[m->first[s->line] + i - p->line[s->line].begin];
                if (loop->direction)
                    ck_assert_int_eq(m->tape->node[v].step, loop->step + loop->direction * (int32_t)i);
            }
        next = phase->end;
    }
    ck_assert_uint_eq(next, loop->iterations);
}

static void give_machine(machine *m)
{
    for (size_t i = 0; i < m->values; i++)
        free(m->number[i]);
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
        ck_assert_msg(m.number[i] != NULL, "%s: a value is never computed", what);
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
        const ur__node *n = &tape->node[tape->leaf[i].node];
        size_t count = ur_shape_count(ur__shape(tape, tape->leaf[i].node));
        double *data = (double *)ur__leaf_data(tape, n);
        bool mask = strcmp(tape->leaf[i].name, "alive") == 0 || strcmp(tape->leaf[i].name, "weight") == 0;
        for (size_t k = 0; k < count; k++) {
            double d = draw(&seed);
            data[k] = n->op == &ur_op_param ? 0.6 * d : mask ? d > -0.6 : 0.5 + 0.4 * d;
        }
    }
}

/* How many loops and phases there are. */
typedef struct size {
    size_t loops;      /* of more than nine tenths of the steps */
    size_t phases;     /* most of one loop */
    size_t statements; /* of straight code */
    size_t others;     /* loops that are shorter, but not straight code */
} size;

static size size_of(const ur__program *p, int64_t steps)
{
    size s = {0};
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

START_TEST(every_cell)
{
    ur_net_options o = options_of(cells[_i / LENGTHS]);
    roll_net(&o, lengths[_i % LENGTHS]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("roll");
    TCase *all = tcase_create("programs");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, every_cell, 0, CELLS * LENGTHS);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
