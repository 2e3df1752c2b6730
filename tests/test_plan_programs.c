/* test_plan_programs.c - what a plan makes of small tapes: operations that begin alike, cross-entropies that are summed up, sums
 * of rows; the instructions and launches, and the values against the reference execution. */
#include "masked_tapes.h"

/* ---- the tapes */

/* Two gates over one input: both with a bias, one without, or one with a bias that is all it has; or both, of W x in place
 * of W^T x. */
static ur_tape *biased(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), U = ur_param(t.tape, "U", UR_SHAPE(M, M));
    ur_var a = ur_param(t.tape, "a", UR_SHAPE(M)), b = ur_param(t.tape, "b", UR_SHAPE(M)), x[ROOM], value[STEPS];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var in = which == 2 ? x[k] : ur_gemm(W, which != 3, x[k], false),
               other = ur_gemm(U, which != 3, x[k], false);
        other = which == 1 ? other : ur_add(other, b);
        value[k] = ur_mul(ur_tanh(ur_add(in, a)), ur_sigmoid(other));
    }
    return end(&t, value, 4, (ur_var[]){W, U, a, b}, all);
}

/* Operations that begin with e^-|a|, of two values in turn; the second value may be the first one where all columns are
 * alive. Or one operation of each, which are values of one line. */
static ur_tape *begun_alike(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var a = ur_matmul(W, h), b = ur_add(a, x[k]);
        if (which == 1)
            b = ur_select(t.alive[k], a, x[k]);
        if (which == 2)
            a = x[k], b = x[k > 0 ? k - 1 : 1];
        ur_var once = ur_mul(ur_sigmoid(a), ur_log_sigmoid(b)), net = once;
        if (which < 2) {
            ur_var twice = ur_mul(ur_bce_net(a, x[k]), ur_softplus(b));
            net = ur_add(once, ur_sub(twice, ur_mul(ur_softplus(a), ur_bce_net(b, h))));
        }
        h = ur_select(t.alive[k], ur_tanh(net), h);
        add_root(all, h);
    }
    ur_step(t.tape, 0);
    return t.tape;
}

/* Sums of cross-entropies that share e^-|a| with a sigmoid and with each other: of one target for each element, row or
 * column, of two targets, of one twice. */
static ur_tape *cross_entropies(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], loss[STEPS], gradient;
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    const ur_shape target = which == 1 ? UR_SHAPE(M, 1) : which == 2 ? UR_SHAPE(1, BATCH) : UR_SHAPE(M, BATCH);
    ur_var y = ur_input(t.tape, "y", target), other = ur_input(t.tape, "z", target);
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var net = ur_add(ur_matmul(W, h), x[k]), o = ur_sigmoid(net);
        loss[k] = ur_sum(ur_select(t.alive[k], ur_bce_net(net, y), t.zero));
        if (which > 2)
            loss[k] = ur_add(loss[k], ur_sum(ur_select(t.alive[k], ur_bce_net(net, which == 3 ? other : y), t.zero)));
        h = ur_select(t.alive[k], ur_tanh(o), h);
        add_root(all, o);
    }
    ur_step(t.tape, 0);
    ur_var sum = ur_total(STEPS, loss);
    ck_assert(ur_grad(sum, 1, &W, &gradient));
    add_root(all, gradient);
    add_root(all, sum);
    return t.tape;
}

enum { ALIKE = 3, BIASED = 4, ENTROPIES = 5 }; /* variants of these */

static const struct {
    const char *name;
    recorder *record;
    int variants;
} tapes[] = {
    {"biased", biased, BIASED}, {"begun alike", begun_alike, ALIKE}, {"cross-entropies", cross_entropies, ENTROPIES}};

START_TEST(any_tape)
{
    assert_tapes(tapes[_i].name, tapes[_i].record, tapes[_i].variants);
}
END_TEST

/* ---- what the plans consist of */

/* How many instructions of an elementwise program have one of the kernels from..to. */
static int count_kernels(const ur__form *form, const ur__launch *l, uint32_t from, uint32_t to)
{
    int n = 0;
    for (uint32_t i = l->first; i < l->first + l->count && l->kind == UR__POINTWISE; i++)
        n += form->instruction[i].kernel >= from && form->instruction[i].kernel <= to;
    return n;
}

/* e^-|a| is made once for each value in either form, and only where several operations need it. */
START_TEST(one_exp)
{
    /* with masks, without: there both softplus are one where b is a */
    static const int exps[ALIKE][2] = {{2, 2}, {2, 1}, {0, 0}}, rests[ALIKE][2] = {{6, 6}, {6, 5}, {0, 0}};
    roots all = {0};
    ur_tape *tape = begun_alike(_i, &all);
    ur_plan *plan = plan_of("begun alike", tape, &all, false);
    for (int k = 0; k < 2; k++) {
        const ur__form *form = k ? plan->alive : &plan->form;
        int programs = 0;
        for (const ur__launch *l = form->launch; l < form->launch + form->launches; l++) {
            const int own = count_kernels(form, l, UR__EXP_OF_SIZE, UR__EXP_OF_SIZE);
            const int rest = count_kernels(form, l, UR__SIGMOID_FROM, UR__BCE_NET_FROM);
            ck_assert_int_eq(rest, rest > 0 ? rests[_i][k] : 0);
            ck_assert_int_eq(own, rest > 0 ? exps[_i][k] : 0);
            programs += rest > 0;
        }
        ck_assert_int_eq(programs > 0, rests[_i][k] > 0);
    }
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* Without masks cross-entropies are summed up as they are made, with one e^-|a| for each sum, which the sigmoid shares; not
 * those that are read twice. */
START_TEST(summed_entropies)
{
    static const int expected[ENTROPIES][2] = {{1, 1}, {1, 1}, {1, 1}, {2, 2}, {0, 1}}; /* sums, e^-|a| */
    roots all = {0};
    ur_tape *tape = cross_entropies(_i, &all);
    ur_plan *plan = plan_of("cross-entropies", tape, &all, false);
    const ur__form *form = plan->alive;
    int programs = 0;
    for (const ur__launch *l = form->launch; l < form->launch + form->launches; l++) {
        if (!count_kernels(form, l, UR__SIGMOID_FROM, UR__SIGMOID_FROM))
            continue;
        programs++;
        ck_assert_int_eq(count_kernels(form, l, UR__ADD_BCE_NET, UR__ADD_BCE_NET), expected[_i][0]);
        ck_assert_int_eq(count_kernels(form, l, UR__EXP_OF_SIZE, UR__EXP_OF_SIZE), expected[_i][1]);
    }
    ck_assert_int_gt(programs, 0);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

/* The delta of an output is made where the output is, so is its share of the loss's derivative, select(alive, 1, 0): of
 * what is selected only the state lies in memory. */
START_TEST(selected_once)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), y[ROOM], loss[STEPS], gradient;
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "y", UR_SHAPE(M, BATCH), STEPS, y);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        h = ur_select(t.alive[k], ur_tanh(ur_matmul(W, h)), h);
        ur_var net = ur_matmul(W, h);
        ur_sigmoid(net);
        loss[k] = ur_sum(ur_select(t.alive[k], ur_bce_net(net, y[k]), t.zero));
    }
    ur_step(t.tape, 0);
    ck_assert(ur_grad(ur_total(STEPS, loss), 1, &W, &gradient));
    ur_plan *plan = ur_plan_new(t.tape, &(ur_plan_options){.roots = 1, .root = &gradient});
    assert_good(t.tape, "plan");
    const ur__program *p = &plan->form.program;
    int selected = 0, stored = 0;
    for (uint32_t l = 0; l < p->lines; l++) {
        if (ur__line_kind(&plan->form, l)->op != &ur_op_select ||
            p->line[l].loop != p->line[p->place[h.index].line].loop)
            continue;
        selected++;
        stored += plan->form.line[l].stored;
    }
    ck_assert_int_eq(selected, 2);
    ck_assert_int_eq(stored, 1);
    ur_plan_free(plan);
    ur_tape_free(t.tape);
}
END_TEST

/* Sums of rows go with the products that read the same deltas if all of those have some. */
START_TEST(joined_sums)
{
    static const int expected[BIASED][3] = {{1, 0, 0}, {0, 1, 1}, {1, 0, 1}, {1, 0, 0}};
    int found[3] = {0}; /* products with sums, products, sums */
    roots all = {0};
    ur_tape *tape = biased(_i, &all);
    ur_plan *plan = plan_of("biased", tape, &all, false);
    for (const ur__launch *l = plan->form.launch; l < plan->form.launch + plan->form.launches; l++)
        if (l->kind == UR__CONTRACT && l->m > 1)
            found[l->rows == 0 ? 2 : l->sums ? 0 : 1]++;
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(found[k], expected[_i][k]);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("programs");
    TCase *cases = tcase_create("programs");
    tcase_add_loop_test(cases, any_tape, 0, sizeof tapes / sizeof *tapes);
    tcase_add_loop_test(cases, one_exp, 0, ALIKE);
    tcase_add_loop_test(cases, summed_entropies, 0, ENTROPIES);
    tcase_add_test(cases, selected_once);
    tcase_add_loop_test(cases, joined_sums, 0, BIASED);
    return run_cases(suite, cases);
}
