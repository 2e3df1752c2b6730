/* test_tape_handles.c - handles that are stale, foreign, forged or of nothing: every call refuses them with the
 * words that graph.h promises, the first error stays and names its place, and a cleared tape is as good as new. */
#include "small_tapes.h"

/* ---- every use of a bad handle */

/* What a call does with a handle `bad`; `good` and `plan` belong to the tape that shall refuse it. */
typedef void use(ur_var good, ur_var bad, ur_plan *plan);

static void use_first(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_tanh(bad));
}

static void use_name(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_name(bad, "h"));
}

static void use_keep(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_keep(bad));
}

static void use_write(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    ck_assert(!ur_write(bad, 1, (double[]){1}));
}

static void use_leaf(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    ck_assert_ptr_null(ur_leaf(bad));
}

static void use_look(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_node node;
    (void)good, (void)plan;
    ck_assert(!ur_look(bad, &node));
}

static void use_node_input(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_node_input(bad, 0));
}

static void use_node_scope(ur_var good, ur_var bad, ur_plan *plan)
{
    char text[8];
    (void)good, (void)plan;
    ck_assert(!ur_node_scope(bad, text, sizeof text));
}

static void use_formula(ur_var good, ur_var bad, ur_plan *plan)
{
    char text[8];
    (void)good, (void)plan;
    ck_assert_uint_eq(ur_formula(bad, text, sizeof text), 0);
}

static void use_detach(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_detach(bad));
}

static void use_reduce(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_reduce_to(bad, UR_SCALAR));
}

static void use_broadcast(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good, (void)plan;
    assert_poisoned(ur_broadcast(bad, UR_SHAPE(2)));
}

static void use_grad_y(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_var out = good;
    (void)plan;
    ck_assert(!ur_grad(bad, 1, &good, &out));
    assert_poisoned(out);
}

static void use_state_leaf(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    ck_assert(!ur_state(bad, good));
}

static void use_second(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    assert_poisoned(ur_add(good, bad));
}

static void use_total(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    assert_poisoned(ur_total(3, (ur_var[]){good, good, bad}));
}

static void use_grad_wrt(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_var wrt[] = {good, bad}, out[] = {good, good};
    (void)plan;
    ck_assert(!ur_grad(good, 2, wrt, out));
    assert_poisoned(out[0]);
    assert_poisoned(out[1]);
}

static void use_state_value(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    ck_assert(!ur_state(good, bad));
}

static void use_root(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_var root[] = {good, bad};
    (void)plan;
    ck_assert_ptr_null(ur_plan_new(good.tape, &(ur_plan_options){.roots = 2, .root = root}));
}

static void use_value(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)good;
    ck_assert_ptr_null(ur_value(plan, bad));
}

static void use_read(ur_var good, ur_var bad, ur_plan *plan)
{
    double out;
    (void)good;
    ck_assert(!ur_read(plan, bad, 1, &out));
}

static void use_dot(ur_var good, ur_var bad, ur_plan *plan)
{
    (void)plan;
    ck_assert(!ur_dot(good.tape, 1, &bad, NULL, stdout));
}

static void use_check(ur_var good, ur_var bad, ur_plan *plan)
{
    ur_check_result result;
    (void)plan;
    ck_assert(!ur_check(good, 1, &good, &bad, 1e-6, &result));
}

/* Those that know the tape from the bad handle alone come first. */
enum { ALONE = 14 };
static use *const uses[] = {
    use_first,      use_name,       use_keep,    use_write,  use_leaf,     use_look,
    use_node_input, use_node_scope, use_formula, use_detach, use_reduce,   use_broadcast,
    use_grad_y,     use_state_leaf, use_second,  use_total,  use_grad_wrt, use_state_value,
    use_root,       use_value,      use_read,    use_dot,    use_check,
};
enum { USES = sizeof uses / sizeof *uses };

/* Every use from `first` on of what `make_bad` gives is refused with these words, and the tape recovers by a clear. */
static void check_uses(int first, ur_var (*make_bad)(ur_tape *tape, ur_tape *other), const char *words)
{
    for (int i = first; i < USES; i++) {
        ur_tape *tape = new_tape(UR_F64), *other = new_tape(UR_F64);
        ur_var bad = make_bad(tape, other), good = ur_input(tape, "good", UR_SCALAR);
        ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &good});
        assert_good(tape, "tape");
        uses[i](good, bad, plan);
        assert_refused(tape, words);
        ck_assert_ptr_null(ur_tape_error(other));
        ur_plan_free(plan);
        ur_tape_clear(tape);
        assert_close(value_of(ur_add(scalar(tape, "a", 2), scalar(tape, "b", 3))), 5, 0);
        ur_tape_free(tape);
        ur_tape_free(other);
    }
}

static ur_var make_stale(ur_tape *tape, ur_tape *other)
{
    (void)other;
    ur_var v = ur_input(tape, "x", UR_SCALAR);
    ur_tape_clear(tape);
    return v;
}

static ur_var make_foreign(ur_tape *tape, ur_tape *other)
{
    (void)tape;
    return ur_input(other, "x", UR_SCALAR);
}

static ur_var make_nothing(ur_tape *tape, ur_tape *other)
{
    (void)tape, (void)other;
    return (ur_var){0};
}

static ur_var make_missing(ur_tape *tape, ur_tape *other)
{
    (void)other;
    return ur_find(tape, "there is none", 1);
}

static ur_var make_forged(ur_tape *tape, ur_tape *other)
{
    (void)other;
    ur_var v = ur_input(tape, "x", UR_SCALAR);
    v.index += 1000;
    return v;
}

START_TEST(bad_handles_are_refused_with_words)
{
    check_uses(0, make_stale, "a stale value, from before ur_tape_clear");
    check_uses(ALONE, make_foreign, "a value of another tape");
    check_uses(ALONE, make_nothing, "not a value of any tape");
    check_uses(0, make_missing, "not a value of this tape");
    check_uses(0, make_forged, "not a value of this tape");
}
END_TEST

/* A handle of no tape has nowhere to leave words; it is refused all the same. */
START_TEST(a_handle_of_no_tape)
{
    for (int i = 0; i < ALONE; i++)
        uses[i]((ur_var){0}, (ur_var){0}, NULL);
    ck_assert_ptr_null(ur_value(NULL, (ur_var){0}));
    ck_assert(!ur_read(NULL, (ur_var){0}, 0, NULL));
    assert_poisoned(ur_add((ur_var){0}, (ur_var){0}));
    assert_poisoned(ur_total(0, NULL));
    ck_assert(!ur_check((ur_var){0}, 0, NULL, NULL, 1e-6, NULL));
}
END_TEST

/* ---- no tape, and a cleared one */

START_TEST(a_plan_from_before_a_clear)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var old = ur_keep(ur_square(scalar(tape, "x", 3)));
    ur_plan *plan = ur_plan_new(tape, NULL);
    ck_assert(ur_plan_run(plan));
    ur_tape_clear(tape);
    ck_assert(!ur_plan_run(plan));
    assert_refused(tape, "stale plan");

    ur_tape_clear(tape); /* a new value at the old one's place is not in the old plan */
    ur_var now = ur_keep(ur_square(scalar(tape, "x", 5)));
    ck_assert_uint_eq(now.index, old.index);
    assert_good(tape, "tape");
    ck_assert_ptr_null(ur_value(plan, now));
    assert_refused(tape, "stale plan");
    ur_plan_free(plan);
    ur_tape_free(tape);
}
END_TEST

START_TEST(a_null_tape_is_accepted)
{
    ur_var v;
    size_t count = 7;
    ck_assert_str_eq(ur_tape_error(NULL), "no memory for a tape");
    ur_tape_fail(NULL, "%d", 1);
    ur_tape_clear(NULL);
    ur_tape_free(NULL);
    ur_tape_dtype(NULL);
    ck_assert_uint_eq(ur_tape_nodes(NULL), 0);
    ck_assert_uint_eq(ur_tape_bytes(NULL), 0);
    ck_assert_ptr_null(ur_tape_memory(NULL, 1));
    assert_poisoned(ur_input(NULL, "x", UR_SCALAR));
    ck_assert(!ur_inputs(NULL, "x", UR_SCALAR, 1, &v));
    assert_poisoned(ur_param(NULL, "W", UR_SCALAR));
    assert_poisoned(ur_const(NULL, UR_SCALAR, 1));
    ck_assert_ptr_null(ur_params(NULL, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert(!ur_param_at(NULL, 0, NULL, NULL, NULL));
    ck_assert(!ur_params_copy(NULL, NULL));
    ur_step(NULL, 1);
    ur_scope_open(NULL, "lstm");
    ur_module_open(NULL, "layer0");
    ur_scope_close(NULL);
    assert_poisoned(ur_find(NULL, "h", 1));
    assert_poisoned(ur_node_at(NULL, 0));
    ck_assert_ptr_null(ur_plan_new(NULL, NULL));
    ur_plan_free(NULL);
    ck_assert(!ur_plan_run(NULL));
    count = 7;
    ck_assert_ptr_null(ur_plan_roots(NULL, &count));
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(ur_plan_bytes(NULL), 0);
    ck_assert(!ur_dot(NULL, 0, NULL, NULL, stdout));
    ck_assert_ptr_null(
        ur_net_new(NULL, &(ur_net_options){.cell = ur_cell_find("rnn"), .inputs = 1, .hidden = 1}, 1, 1));
}
END_TEST

/* ---- the error */

START_TEST(the_first_error_stays)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2, 3)), b = ur_input(tape, "b", UR_SHAPE(4, 3));
    ur_var bad = ur_tanh(ur_add(a, b));
    char first[UR_ERROR_BYTES];
    snprintf(first, sizeof first, "%s", ur_tape_error(tape));
    ck_assert_str_eq(first, "add(a[2,3], b[4,3]): sizes differ and neither is 1");
    size_t nodes = ur_tape_nodes(tape);
    assert_poisoned(bad);
    assert_poisoned(ur_matmul(a, bad));
    assert_poisoned(ur_param(tape, "W", UR_SHAPE(0)));
    ur_step(tape, -1);
    ur_scope_close(tape);
    ur_tape_fail(tape, "another error");
    ck_assert(!ur_grad(a, 1, &a, &b));
    ck_assert_ptr_null(ur_plan_new(tape, NULL));
    ck_assert_str_eq(ur_tape_error(tape), first);
    ck_assert_uint_eq(ur_tape_nodes(tape), nodes);
    ur_tape_clear(tape);
    assert_good(tape, "tape");
    ur_tape_fail(tape, "%d\nlines", 2); /* one line, whatever the caller wrote */
    ck_assert_str_eq(ur_tape_error(tape), "2 lines");
    ur_tape_free(tape);
}
END_TEST

START_TEST(an_error_names_scope_and_step)
{
    ur_tape *tape = new_tape(UR_F32);
    ur_var x = ur_input(tape, "x", UR_SHAPE(5, 6));
    ur_step(tape, 3);
    ur_scope_open(tape, "lstm");
    ur_scope_open(tape, "phi");
    ur_gemm(ur_param(tape, "Wphi", UR_SHAPE(3, 4)), true, x, false);
    ck_assert_str_eq(
        ur_tape_error(tape),
        "matmul(Wphi[3,4], x[5,6]) in lstm/phi, step 3: inner sizes differ, 3 and 5 (the first is transposed)");

    ur_tape_clear(tape); /* ends steps and scopes too */
    ur_matmul(ur_input(tape, "a", UR_SHAPE(2, 3)), ur_tanh(ur_input(tape, "b", UR_SHAPE(2, 3))));
    ck_assert_str_eq(ur_tape_error(tape), "matmul(a[2,3], tanh[2,3]): inner sizes differ, 3 and 2");

    ur_tape_clear(tape);
    ur_var a = ur_input(tape, "a", UR_SHAPE(2)), b = ur_input(tape, "b", UR_SHAPE(3));
    ur_step(tape, 12);
    ur_total(2, (ur_var[]){a, b});
    assert_refused(tape, "(a[2], b[3]) at step 12: ");
    ur_tape_free(tape);
}
END_TEST

START_TEST(steps_and_scopes_out_of_order)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_scope_close(tape);
    assert_refused(tape, "no scope is open");
    ur_tape_clear(tape);
    ur_step(tape, -1);
    assert_refused(tape, "-1");
    ur_tape_clear(tape);
    ur_step(tape, (int64_t)1 << 40);
    assert_refused(tape, "1099511627776");
    ur_tape_clear(tape);
    ur_var v;
    ck_assert(!ur_inputs(tape, "x", UR_SCALAR, 0, &v));
    assert_refused(tape, "x");
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("tape handles");
    tcase_add_test(cases, bad_handles_are_refused_with_words);
    tcase_add_test(cases, a_handle_of_no_tape);
    tcase_add_test(cases, a_plan_from_before_a_clear);
    tcase_add_test(cases, a_null_tape_is_accepted);
    tcase_add_test(cases, the_first_error_stays);
    tcase_add_test(cases, an_error_names_scope_and_step);
    tcase_add_test(cases, steps_and_scopes_out_of_order);
    return run_cases(suite_create("tape handles"), cases);
}
