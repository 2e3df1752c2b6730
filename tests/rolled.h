/* rolled.h - a tape made into a program of loops, which is run here value by value and held against the tape: every
 * value to the bit, every operand. Includes Check. */
#ifndef UR_TESTS_ROLLED_H
#define UR_TESTS_ROLLED_H

#include "../graph/program.h"
#include "planned.h"

/* ---- a program in words, with UR_TEST_PRINT */

static inline void print_ref(const ur__ref *ref, FILE *out)
{
    fprintf(out, "%u@%d", ref->line, ref->first);
    if (ref->stride)
        fprintf(out, "%+d", ref->stride);
    if (ref->count > 1)
        fprintf(out, "*%u", ref->count);
}

static inline void print_statement(const ur_tape *tape, const ur__program *program, const ur__phase *phase,
                                   const ur__statement *s, FILE *out)
{
    const ur__line *line = &program->line[s->line];
    fprintf(out, "    %u@%d = %s(", s->line, (int)(phase->begin - line->begin), ur__op(tape, line->node)->name);
    for (uint32_t k = 0; k < s->refs; k++) {
        fputs(k ? ", " : "", out);
        print_ref(&program->ref[s->ref + k], out);
    }
    fputs(")\n", out);
}

/* Writes loops, phases and statements: `7@0 = tanh(6@0+1)`, value 0 of line 7 and the next ones are made of value 0 of line 6
 * and the next ones. */
static inline void print_program(const ur_tape *tape, const ur__program *program, FILE *out)
{
    for (size_t f = 0; f < program->phases; f++) {
        const ur__phase *phase = &program->phase[f];
        const ur__loop *loop = &program->loop[phase->loop];
        if (phase->begin == 0)
            fprintf(out, "loop %u: %u iterations, step %d%+d\n", phase->loop, loop->iterations, loop->step,
                    loop->direction);
        fprintf(out, "  iterations %u to %u\n", phase->begin, phase->end - 1);
        for (size_t k = phase->statement; k < phase->statement + phase->statements; k++)
            print_statement(tape, program, phase, &program->statement[k], out);
    }
}

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
    bool shared; /* nodes that are equal in every step may be one value */
} machine;

static inline void *zeroed(size_t count, size_t bytes)
{
    void *block = calloc(count + 1, bytes);
    ck_assert_ptr_nonnull(block);
    return block;
}

static inline bool is_statement(const ur__kind *kind)
{
    return kind->op->kind != UR_LEAF && kind->op != &ur_op_state;
}

static inline size_t elements_of(const machine *m, uint32_t v)
{
    return ur_shape_count(ur__shape(m->tape, v));
}

/* Memory for a value, from the machine's. */
static inline double *room_for(machine *m, uint32_t v)
{
    double *room = m->memory + m->used;
    m->used += elements_of(m, v);
    return room;
}

/* The value of a leaf or constant. */
static inline double *leaf_value(machine *m, uint32_t v)
{
    const ur__kind *kind = ur__kind_of(m->tape, v);
    size_t count = elements_of(m, v);
    double *value = room_for(m, v);
    if (ur__is_leaf(kind))
        memcpy(value, ur__leaf_data(m->tape, v), count * sizeof *value);
    for (size_t i = 0; i < count && !ur__is_leaf(kind); i++)
        value[i] = ur__attr(m->tape, kind)[0];
    return value;
}

/* As ck_assert_msg, which writes to a file at every call: this is called for every value. */
static inline void expect(bool good, const char *what)
{
    if (!good)
        ck_abort_msg("%s", what);
}

/* A line's values have the line's op, shape, constants and scope. */
static inline void assert_on_line(const machine *m, uint32_t v, const ur__line *line)
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

/* Each value of a line is one node, or several equal ones, and each node has one place. */
static inline void place_nodes(machine *m)
{
    const ur__program *p = m->program;
    m->first = (size_t *)zeroed(p->lines, sizeof *m->first);
    size_t doubles = 0;
    for (size_t i = 0; i < p->lines; i++) {
        m->first[i] = m->values;
        m->values += p->line[i].values;
        doubles += p->line[i].values * elements_of(m, p->line[i].node);
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
        expect(m->node[value] == UR_NONE || m->shared, "two nodes have one place");
        m->node[value] = m->node[value] == UR_NONE ? v : m->node[value];
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
static inline void run_statement(machine *m, const ur__phase *phase, const ur__statement *s, uint32_t i, bool straight)
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
static inline void assert_still(const machine *m, const ur__phase *phase, const ur__statement *s, bool straight)
{
    for (uint32_t j = s->ref; j < s->ref + s->refs; j++) {
        const ur__ref *ref = &m->program->ref[j];
        bool moves = straight ? ref->count > 1 : phase->end - phase->begin > 1;
        expect(moves || ref->stride == 0, "a stride in a phase of one iteration");
    }
}

static inline void run_loop(machine *m, uint32_t l)
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

static inline void give_machine(machine *m)
{
    free(m->memory);
    free(m->number);
    free(m->node);
    free(m->first);
}

/* The numbers of the roots' nodes; to be freed. */
static inline uint32_t *indices_of(const roots *all)
{
    uint32_t *index = (uint32_t *)zeroed(all->count, sizeof *index);
    for (size_t i = 0; i < all->count; i++)
        index[i] = all->root[i].index;
    return index;
}

/* Runs the program and the reference plan: every root is equal to the bit. */
static inline void assert_computes(const char *what, ur_tape *tape, const roots *all, const ur__program *program,
                                   bool shared)
{
    machine m = {.tape = tape, .program = program, .shared = shared};
    place_nodes(&m);
    for (uint32_t l = 0; l < program->loops; l++)
        run_loop(&m, l);
    for (size_t i = 0; i < m.values; i++)
        expect(m.number[i] != NULL, "a value is never computed");
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.reference = true, .roots = all->count, .root = all->root});
    ck_assert_msg(plan && ur_plan_run(plan), "%s: %s", what, ur_tape_error(tape));
    for (size_t i = 0; i < all->count; i++) {
        ur__position place = program->place[all->root[i].index];
        ck_assert_msg(place.line != UR_NONE, "%s: root %zu has no place", what, i);
        size_t count = elements_of(&m, all->root[i].index);
        const double *found = m.number[m.first[place.line] + place.value];
        double *expected = (double *)zeroed(count, sizeof *expected);
        ck_assert(ur_read(plan, all->root[i], count, expected));
        ck_assert_msg(distance(count, found, expected) == 0, "%s: root %zu is %g away", what, i,
                      distance(count, found, expected));
        free(expected);
    }
    ur_plan_free(plan);
    give_machine(&m);
}

/* What is the same in every step put before the loops, these put together, and values moved to where their operands are:
 * each is still computed once, in its step, after its operands. The program is the caller's to free. */
static inline void assert_moves(const char *what, ur_tape *tape, const roots *all, ur__program *program)
{
    uint32_t *index = indices_of(all);
    ck_assert(ur__roll(tape, all->count, index, program) && ur__hoist(tape, program));
    assert_computes(what, tape, all, program, true);
    ck_assert(ur__fuse(tape, program));
    assert_computes(what, tape, all, program, true);
    ck_assert(ur__early(tape, program, all->count, index));
    assert_computes(what, tape, all, program, true);
    free(index);
}

/* How many operands of other loops than its own a node's line is. */
static inline size_t reads_elsewhere(const ur__program *p, uint32_t node)
{
    const uint32_t line = p->place[node].line;
    size_t reads = 0;
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = p->phase[f].statement; i < p->phase[f].statement + p->phase[f].statements; i++)
            for (uint32_t k = p->statement[i].ref; k < p->statement[i].ref + p->statement[i].refs; k++)
                reads += p->ref[k].line == line && p->phase[f].loop != p->line[line].loop;
    return reads;
}

/* Rolls the tape; the program is the caller's to free. */
static inline void assert_rolls(const char *what, ur_tape *tape, const roots *all, ur__program *program)
{
    ur__program moved;
    uint32_t *index = indices_of(all);
    assert_good(tape, what);
    ck_assert(ur__roll(tape, all->count, index, program));
    assert_computes(what, tape, all, program, false);
    assert_moves(what, tape, all, &moved);
    ur__program_free(tape, &moved);
    free(index);
}

/* ---- tapes to roll */

/* Writes random numbers to every leaf: parameters in -0.6..0.6, inputs in 0.1..0.9, but `alive` and `weight` are 0 or 1. */
static inline void write_leaves(ur_tape *tape, uint64_t seed)
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

static inline size size_of(const ur__program *p, int64_t steps)
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

enum { D = 3, M = 4, P = 2, B = 2 };

static inline ur_net_options options_of(const char *cell)
{
    return (ur_net_options){
        .cell = ur_cell_find(cell), .inputs = D, .hidden = M, .outputs = P, .out = UR_SIGMOID, .loss = UR_BCE};
}

/* The network's gradients, loss and outputs. */
static inline ur_net *new_net(const ur_net_options *o, int64_t steps, roots *all)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_net *net = ur_net_new(tape, o, steps, B);
    ck_assert_msg(net && ur_net_differentiate(net), "%s: %s", o->cell->name, ur_tape_error(tape));
    for (size_t k = 0; k < net->params; k++)
        add_root(all, net->gradient[k]);
    add_root(all, net->loss);
    for (int64_t t = 0; t < steps; t++)
        add_root(all, net->o[t]);
    write_leaves(tape, 88172645463325252u);
    return net;
}

static const int64_t lengths[] = {1, 2, 3, 4, 5, 17, 100};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static inline void small(size s, size_t loops, size_t phases, size_t statements)
{
    ck_assert_uint_eq(s.loops, loops);
    ck_assert_uint_eq(s.others, 0);
    ck_assert_uint_le(s.phases, phases);
    ck_assert_uint_le(s.statements, statements);
}

#endif
