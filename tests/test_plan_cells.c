/* test_plan_cells.c - plans of every cell against the reference execution: loss, outputs, last states, running averages
 * and the gradients by parameters and inputs, for lengths of every kind, in one block of columns and in several. */
#include "every_cell.h"
#include "planned_nets.h"

static const int64_t batches[] = {1, 3, 7, 8, 13, 16, 37, 100, 200};
enum { BATCHES = sizeof batches / sizeof *batches };

static ur_net_options options_of(const char *name)
{
    return (ur_net_options){.cell = ur_cell_find(name),
                            .inputs = 3,
                            .hidden = 4,
                            .heads = 2,
                            .outputs = 2,
                            .out = UR_SOFTMAX,
                            .loss = UR_CE,
                            .reduction = UR_MEAN_ALL};
}

/* How a plan cuts its work: the batch, and contractions that go on piece by piece while a loop runs. */
typedef struct cuts {
    size_t blocks, pieces;
} cuts;

static cuts cuts_of(const ur_plan *plan)
{
    cuts c = {.blocks = plan->form.blocks};
    for (size_t k = 0; k < plan->form.launches; k++)
        c.pieces += plan->form.launch[k].kind == UR__CONTRACT && plan->form.launch[k].piece > 0;
    return c;
}

static cuts assert_net(const ur_net_options *o, ur_dtype dtype, int64_t T, int64_t B, unsigned kinds)
{
    char what[128];
    roots all = {0};
    ur_tape *tape = new_tape(dtype);
    ur_net *net = ur_net_new(tape, o, T, B);
    ck_assert_msg(net != NULL, "%s: %s", o->cell->name, ur_tape_error(tape));
    add_net(&all, net);
    ur_plan *plan = plan_of(o->cell->name, tape, &all, false), *reference = plan_of(o->cell->name, tape, &all, true);
    for (int k = 0; k < MASKS; k++) {
        snprintf(what, sizeof what, "%s, T %d, B %d, masks %d, %s", o->cell->name, (int)T, (int)B, k,
                 dtype == UR_F64 ? "f64" : "f32");
        if (!(kinds >> k & 1))
            continue;
        fill_net(net, seed_of(k), (masks)k);
        assert_same_values(what, plan, reference, &all, tolerance_of(tape));
    }
    const cuts found = cuts_of(plan);
    ur_plan_free(plan);
    ur_plan_free(reference);
    ur_tape_free(tape);
    return found;
}

enum { EVERY = (1 << MASKS) - 1, SOME = 1 << FULL | 1 << MIXED };

/* ---- sizes */

START_TEST(steps_and_batches)
{
    static const int64_t steps[] = {1, 2, 3, 4, 5, 17};
    ur_net_options o = options_of(cell_number(_i)->name);
    for (size_t t = 0; t < sizeof steps / sizeof *steps; t++)
        for (size_t b = 0; b < BATCHES && steps[t] * batches[b] < 1000; b++)
            assert_net(&o, _i < count_cells() ? UR_F64 : UR_F32, steps[t], batches[b], EVERY);
}
END_TEST

START_TEST(long_sequences)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    assert_net(&o, _i < count_cells() ? UR_F64 : UR_F32, 100, 5, SOME);
}
END_TEST

/* Steps that write more than the cache holds. */
START_TEST(pieces_of_loops)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    const bool single = _i >= count_cells();
    o.hidden = single ? 40 : 24;
    const cuts c = assert_net(&o, single ? UR_F32 : UR_F64, 100, single ? 48 : 24, SOME);
    ck_assert_msg(c.pieces > 0 || !o.cell->recurrent || o.cell->chunks, "%s: all at the end", o.cell->name);
}
END_TEST

/* An output of many rows makes few columns a block. */
START_TEST(several_blocks)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    bool single = _i >= count_cells();
    o.outputs = single ? 256 : 128;
    ck_assert_uint_gt(assert_net(&o, single ? UR_F32 : UR_F64, 20, 37, EVERY).blocks, 1);
    ck_assert_uint_gt(assert_net(&o, single ? UR_F32 : UR_F64, 5, 200, EVERY).blocks, 1);
    o.outputs = 2; /* or many steps */
    o.hidden = 8;
    assert_net(&o, single ? UR_F32 : UR_F64, 60, 40, 1 << ONE_BLOCK_FULL);
}
END_TEST

/* Hidden units as many as columns: no parameter is taken for a value of the batch. */
START_TEST(as_many_units_as_columns)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    o.start = _i < count_cells() ? UR_START_LEARNED : UR_START_FIXED;
    o.layers = 1 + _i / count_cells();
    for (size_t b = 0; b < BATCHES && batches[b] <= 37; b++) {
        o.heads = 1;
        o.hidden = o.inputs = o.outputs = batches[b];
        if (batches[b] > 1)
            assert_net(&o, UR_F64, 3, batches[b], SOME);
    }
    o.hidden = 8;
    o.inputs = 40;
    o.outputs = 128;
    ck_assert_uint_gt(assert_net(&o, UR_F64, 12, 128, SOME).blocks, 1);
}
END_TEST

/* ---- parameters among the elements */

/* c = f c + (1 - f) tanh(net), f = sigmoid(v c), h = v c: a column of elements in every program. */
static ur_var peephole_step(ur_tape *tape, const ur_net_options *net, ur_var x, ur_var *state)
{
    ur_var v = ur_param(tape, "v", UR_SHAPE(net->hidden)), c = state[1], f = ur_sigmoid(ur_mul(v, c));
    state[1] = ur_add(ur_mul(f, c), ur_mul(ur_one_minus(f), ur_tanh(ur_affine(tape, "u", x, state[0]))));
    return state[0] = ur_mul(v, state[1]);
}

static const ur_cell peephole = {
    .name = "peephole", .states = 2, .state = {{.name = "h"}, {.name = "c"}}, .step = peephole_step};

/* Few enough columns that the parameter is spread over them, and more; blocks of several widths; columns that end. */
START_TEST(columns_of_parameters)
{
    static const int64_t columns[] = {1, 2, 13, 100, 200};
    ur_net_options o = options_of("rnn");
    o.cell = &peephole;
    for (size_t k = 0; k < sizeof columns / sizeof *columns; k++)
        assert_net(&o, _i ? UR_F64 : UR_F32, 7, columns[k], EVERY);
    o.outputs = 128;
    ck_assert_uint_gt(assert_net(&o, _i ? UR_F64 : UR_F32, 20, 37, EVERY).blocks, 1);
    o.hidden = 300;
    o.outputs = 2;
    assert_net(&o, _i ? UR_F64 : UR_F32, 4, 21, SOME);
}
END_TEST

/* ---- options */

enum { SETUPS = 13 };

static ur_net_options setup(const char *cell, int k)
{
    ur_net_options o = options_of(cell);
    bool both = o.cell->back != NULL;
    o.layers = k == 0 ? 1 : 2;
    switch (k) {
    case 1:
        o.dropout = 0.3;
        break;
    case 2:
        o.recurrent_dropout = o.cell->recurrent ? 0.3 : 0;
        break;
    case 3:
        o.batch_norm = true;
        break;
    case 4:
        o.layer_norm = true;
        break;
    case 5:
        o.start = UR_START_LEARNED;
        break;
    case 6:
        o.start = UR_START_GIVEN;
        break;
    case 7:
        o.layers = 3;
        break;
    case 8:
        o.bidirectional = !both;
        break;
    case 9:
        o.bptt = 3;
        break;
    case 10:
        o.weighted = true;
        o.reduction = UR_PER_SEQUENCE;
        break;
    case 11:
        o.out = UR_SIGMOID;
        o.loss = UR_BCE;
        o.reduction = UR_SUM_ALL;
        break;
    case 12:
        o.loss = UR_MSE;
        o.out = UR_IDENTITY;
        o.chunk = o.cell->chunks ? 4 : 0;
        break;
    default:
        break;
    }
    return o;
}

START_TEST(options)
{
    ur_net_options o = setup(cell_number(_i)->name, _i / count_cells());
    if (o.layers > 1 && o.cell->back)
        o.layers = 1;
    if (!o.cell->recurrent)
        o.recurrent_dropout = 0;
    if (o.dropout > 0 && o.layers == 1)
        o.dropout = 0;
    for (int64_t T = 1; T <= 10; T += T < 4 ? 1 : 6)
        assert_net(&o, UR_F64, T, 7, EVERY);
    assert_net(&o, UR_F32, 10, 13, SOME);
    o.outputs = 128;
    const size_t blocks = assert_net(&o, UR_F64, 10, 100, SOME).blocks;
    ck_assert_uint_gt(blocks, !o.batch_norm && !o.chunk);
}
END_TEST

/* Everything at once. */
START_TEST(together)
{
    ur_net_options o = options_of(cell_number(_i)->name);
    bool both = o.cell->back != NULL;
    o.layers = 1 + !both;
    o.bidirectional = !both;
    o.dropout = both ? 0 : 0.2;
    o.recurrent_dropout = o.cell->recurrent ? 0.2 : 0;
    o.layer_norm = true;
    o.weighted = true;
    o.start = UR_START_LEARNED;
    o.outputs = 128;
    ck_assert_uint_gt(assert_net(&o, UR_F64, 9, 100, EVERY).blocks, 1);
    o.layer_norm = false;
    o.batch_norm = true;
    ck_assert_uint_eq(assert_net(&o, UR_F64, 9, 37, EVERY).blocks, 1);
}
END_TEST

int main(void)
{
    const int cells = count_cells();
    Suite *suite = suite_create("plans of cells");
    TCase *cases = tcase_create("plans of cells");
    tcase_add_loop_test(cases, steps_and_batches, 0, 2 * cells);
    tcase_add_loop_test(cases, long_sequences, 0, 2 * cells);
    tcase_add_loop_test(cases, pieces_of_loops, 0, 2 * cells);
    tcase_add_loop_test(cases, several_blocks, 0, 2 * cells);
    tcase_add_loop_test(cases, as_many_units_as_columns, 0, 2 * cells);
    tcase_add_loop_test(cases, columns_of_parameters, 0, 2);
    tcase_add_loop_test(cases, options, 0, SETUPS * cells);
    tcase_add_loop_test(cases, together, 0, cells);
    return run_cases(suite, cases);
}
