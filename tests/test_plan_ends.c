/* test_plan_ends.c - what is read past the ends of sequences, by the form of a plan with masks and by the one without,
 * against the reference execution: with sequences of every length, with little memory, by several threads. */
#include "masked_tapes.h"

/* From the last step to the first: where a sequence has ended, what the step before it reads is sin 0, or 1 - 0. */
static ur_tape *from_behind(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], h[ROOM];
    ur_var q = ur_input(t.tape, "q", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = STEPS; k-- > 0;) {
        ur_step(t.tape, k + 1);
        h[k] = ur_select(t.alive[k], ur_tanh(ur_add(ur_matmul(W, q), x[k])), t.zero);
        q = which ? ur_one_minus(h[k]) : ur_sin(h[k]);
    }
    return end(&t, h, 1, &W, all);
}

/* What is read of the last state is where each sequence ended, and so is its gradient. */
static ur_tape *last_states(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], gradient;
    ur_var h = which == 2 ? ur_param(t.tape, "h0", UR_SHAPE(M, 1)) : ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var new = ur_tanh(ur_add(ur_matmul(W, h), x[k]));
        h = ur_select(t.alive[k], new, h);
    }
    ur_step(t.tape, 0);
    ur_var sum = ur_sum(ur_square(h));
    add_root(all, sum);
    if (which == 1) {
        ck_assert(ur_grad(sum, 1, &W, &gradient));
        add_root(all, gradient);
    }
    return t.tape;
}

/* A state goes on two steps later: its gradient goes through the selects of two steps at once. */
static ur_tape *two_behind(int which, roots *all)
{
    enum { M = 2 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], p[STEPS + 2], gradient;
    ur_var a = ur_input(t.tape, "a0", UR_SHAPE(M, BATCH)), start = a;
    p[0] = p[1] = ur_input(t.tape, "p0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        a = ur_tanh(ur_add(ur_matmul(W, a), x[k]));
        p[k + 2] = ur_select(t.alive[k], a, p[k]);
    }
    ur_step(t.tape, 0);
    ur_var sum = ur_sum(ur_sin(p[STEPS + 1 - which]));
    ck_assert(ur_grad(sum, 1, which ? &W : &start, &gradient));
    add_root(all, gradient);
    return t.tape;
}

/* Where a sequence has ended h is c, which is what it was: c's value is made after that of h. */
static ur_tape *one_in_another(int which, roots *all)
{
    enum { M = 2 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM];
    ur_var c = ur_input(t.tape, "c0", UR_SHAPE(M, BATCH)), h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var a = ur_tanh(ur_add(ur_matmul(W, h), x[k])), u = ur_tanh(ur_add(ur_matmul(W, c), x[k]));
        c = ur_select(t.alive[k], u, c);
        h = ur_select(t.alive[k], a, which ? ur_sin(c) : c);
    }
    ur_step(t.tape, 0);
    add_root(all, ur_sin(h));
    return t.tape;
}

/* A step sums up what the one before has made for all columns, also those that have ended since. */
static ur_tape *sum_of_before(int which, roots *all)
{
    enum { M = 2 };
    recording t = begin(BATCH);
    ur_var v = ur_input(t.tape, "v0", UR_SHAPE(M, BATCH)), x[ROOM], loss[STEPS];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var y = ur_mul(ur_tanh(ur_sum_over(v, 1)), ur_select(t.alive[k], x[k], t.zero));
        v = ur_select(t.alive[k], which ? ur_tanh(ur_mul(v, x[k])) : ur_tanh(x[k]), t.zero);
        loss[k] = ur_sum(ur_square(y));
    }
    ur_step(t.tape, 0);
    add_root(all, ur_total(STEPS, loss));
    return t.tape;
}

/* From the last step to the first: what goes into a step was masked in the next one, and so is its gradient, which is 0
 * past the end of its own step before that. */
static ur_tape *masked_next(int which, roots *all)
{
    enum { M = 2 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], h[STEPS];
    ur_var b = ur_input(t.tape, "b", UR_SHAPE(M, BATCH)), z = b, s = t.zero;
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = STEPS; k-- > 0;) {
        ur_step(t.tape, k + 1);
        s = ur_select(t.alive[k], ur_tanh(ur_add(ur_add(ur_matmul(W, x[k]), z), ur_scale(s, 0.5))), t.zero);
        h[k] = which ? ur_sin(s) : s;
        z = ur_select(t.alive[k], ur_add(b, x[k]), t.zero);
    }
    return end(&t, h, 1, &b, all);
}

/* A step that has ended copies the value of three steps before, which without masks nothing reads: there only the newest one
 * would be kept, or the one before it would be overwritten. */
static ur_tape *from_three_before(int which, roots *all)
{
    enum { M = 3, BACK = 3 };
    recording t = begin(BATCH);
    ur_var start = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), h = start, o = start, x[ROOM], p[STEPS];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var new = which ? ur_tanh(ur_mul(h, x[k])) : ur_softmax(h);
        p[k] = ur_select(t.alive[k], new, k < BACK ? start : p[k - BACK]);
        h = which ? p[k] : ur_select(t.alive[k], p[k], p[k]);
        o = which ? ur_select(t.alive[k], ur_sin(h), h) : h;
    }
    ur_step(t.tape, 0);
    add_root(all, o);
    return t.tape;
}

static const struct {
    const char *name;
    recorder *record;
    int variants;
} tapes[] = {{"from behind", from_behind, 2},
             {"last states", last_states, 3},
             {"two behind", two_behind, 2},
             {"one in another", one_in_another, 2},
             {"sum of before", sum_of_before, 2},
             {"masked next", masked_next, 2},
             {"from three before", from_three_before, 2}};

START_TEST(any_tape)
{
    assert_tapes(tapes[_i].name, tapes[_i].record, tapes[_i].variants);
}
END_TEST

/* Which tapes run without masks where columns end in order: those whose values past the end are 0 or copies, by either form
 * the same. */
START_TEST(in_order)
{
    static const struct {
        recorder *record;
        int which;
        bool ends, unmasked;
    } cases[] = {{from_behind, 0, true, true},
                 {from_behind, 1, false, false},
                 {last_states, 0, true, true},
                 {last_states, 1, true, false},
                 {last_states, 2, true, true}};
    roots all = {0};
    ur_tape *tape = cases[_i].record(cases[_i].which, &all);
    ur_plan *plan = plan_of("in order", tape, &all, false);
    ck_assert_int_eq(plan->form.ends, cases[_i].ends);
    ck_assert_int_eq(plan->alive->ends, cases[_i].unmasked);
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ends");
    TCase *cases = tcase_create("ends");
    tcase_add_loop_test(cases, any_tape, 0, sizeof tapes / sizeof *tapes);
    tcase_add_loop_test(cases, in_order, 0, 5);
    return run_cases(suite, cases);
}
