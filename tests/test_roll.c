/* test_roll.c - programs of loops from the tapes of networks: equal to the tape (rolled.h), and how few loops and
 * phases there are. */
#include "every_cell.h"
#include "rolled.h"

/* ---- networks */

static size roll_net(const ur_net_options *o, int64_t steps)
{
    roots all = {0};
    ur__program program;
    ur_net *net = new_net(o, steps, &all);
    assert_rolls(o->cell->name, net->tape, &all, &program);
    size s = size_of(&program, steps);
    if (getenv("UR_TEST_PRINT"))
        print_program(net->tape, &program, stdout);
    if (getenv("UR_TEST_SIZES"))
        printf("%s layers %d T %d chunk %d: %zu loops, %zu phases at most, %zu straight, %zu others; %s\n",
               o->cell->name, (int)o->layers, (int)steps, (int)o->chunk, s.loops, s.phases, s.statements, s.others,
               program.why.text);
    ur__program_free(net->tape, &program);
    ur_tape_free(net->tape);
    return s;
}

START_TEST(every_cell)
{
    ur_net_options o = options_of(cell_number(_i / LENGTHS)->name);
    size s = roll_net(&o, lengths[_i % LENGTHS]);
    /* x masked; the cell and its adjoint, in both directions; the output and its adjoint */
    if (lengths[_i % LENGTHS] >= 4)
        small(s, o.cell->back ? 7 : 5, 4, 20);
}
END_TEST

START_TEST(straight_code_does_not_grow)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    size s = roll_net(&o, 100);
    ck_assert_uint_eq(roll_net(&o, 50).statements, s.statements);
}
END_TEST

START_TEST(stacked_layers)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    o.layers = 2 + _i / count_cells() % 2;
    o.bidirectional = !o.cell->back && _i / count_cells() / 2;
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
    ur_net_options o = options_of(cell_number(_i)->name);
    o.bptt = _i < count_cells() ? 5 : 20;
    for (int t = 0; t < LENGTHS; t++) {
        size s = roll_net(&o, lengths[t]);
        if (lengths[t] == 100) {
            ck_assert_uint_eq(s.others, 0);
            ck_assert_uint_le(s.statements, 30);
        }
    }
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
    assert_rolls("states", net->tape, &all, &program);
    ck_assert_uint_ne(program.place[net->state[0].final.index].line, UR_NONE);
    ur__program_free(net->tape, &program);
    ur_tape_free(net->tape);
}
END_TEST

/* The loop that makes o makes the derivative of the loss by net, (o - y)/n, which alone reads o: where o = sigmoid(net)
 * of the cross-entropy, where o = net of the squared error. Unless o is saved in any case: it is a root, or read more than
 * once, by (o - y) o (1 - o). */
START_TEST(deltas_of_outputs)
{
    enum { T = 17 };
    static const struct {
        ur_activation out;
        ur_loss loss;
        bool root, saved;
    } cases[] = {{UR_SIGMOID, UR_BCE, false, false},
                 {UR_SIGMOID, UR_BCE, true, true},
                 {UR_SIGMOID, UR_MSE, false, true},
                 {UR_IDENTITY, UR_MSE, false, false},
                 {UR_SOFTMAX, UR_CE, false, false}};
    ur_net_options options = options_of(cell_number(_i / 5)->name);
    options.out = cases[_i % 5].out;
    options.loss = cases[_i % 5].loss;
    roots all = {0};
    ur__program program;
    ur_net *net = new_net(&options, T, &all);
    uint32_t o[T]; /* net->o is selected where the sequence lasts */
    for (int t = 0; t < T; t++) {
        o[t] = ur__in(net->tape, net->o[t].index, 1);
        if (cases[_i % 5].root)
            add_root(&all, ur__var(net->tape, o[t]));
    }
    assert_moves(options.cell->name, net->tape, &all, &program);
    ck_assert_uint_eq(reads_elsewhere(&program, o[T / 2]) > 0, cases[_i % 5].saved);
    ur__program_free(net->tape, &program);
    ur_tape_free(net->tape);
}
END_TEST

/* ---- time */

/* A chain of many nodes of straight code, or of names of one value, overflows no stack and takes no time. */
START_TEST(long_straight_code)
{
    enum { N = 1000000 };
    ur_tape *tape = new_tape(UR_F32);
    ur_var a = ur_input(tape, "a", UR_SCALAR), first = a;
    for (int i = 0; i < N; i++)
        if (_i == 1)
            a = i % 7 == i % 11 ? ur_detach(a) : ur_reshape(a, i % 5 ? UR_SHAPE(1) : UR_SCALAR);
        else
            a = i % 7 == i % 11 ? ur_tanh(a) : i % 5 ? ur_add(a, first) : ur_exp(a);
    ur__program program;
    ck_assert(ur__roll(tape, 1, &a.index, &program) && ur__early(tape, &program, 1, &a.index));
    ck_assert_uint_eq(program.loops, 1);
    ck_assert_uint_eq(program.statements, N);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("roll");
    tcase_add_loop_test(cases, every_cell, 0, count_cells() * LENGTHS);
    tcase_add_loop_test(cases, straight_code_does_not_grow, 0, count_cells());
    tcase_add_loop_test(cases, stacked_layers, 0, 4 * count_cells());
    tcase_add_test(cases, dropout_between_layers);
    tcase_add_loop_test(cases, normalised_layers, 0, 4);
    tcase_add_loop_test(cases, chunks, 0, 4);
    tcase_add_loop_test(cases, truncated_gradients, 0, 2 * count_cells());
    tcase_add_test(cases, states_are_roots);
    tcase_add_loop_test(cases, deltas_of_outputs, 0, 5 * count_cells());
    tcase_add_loop_test(cases, long_straight_code, 0, 2);
    return run_cases(suite_create("roll"), cases);
}
