/* test_roll_tapes.c - programs of loops from tapes that are recorded by hand or at random, equal to the tape
 * (rolled.h): loops of every make, and what can be none; and every allocation fails once. */
#include "heap.h"
#include "rolled.h"

/* ---- loops */

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

static size roll_tape(const char *what, ur_tape *tape, roots *all, int64_t steps)
{
    ur__program program;
    write_leaves(tape, 2463534242u);
    assert_rolls(what, tape, all, &program);
    size s = size_of(&program, steps);
    if (getenv("UR_TEST_PRINT"))
        print_program(tape, &program, stdout);
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
    write_leaves(tape, 362436069u);
    ur__program program;
    assert_rolls("no parameters", tape, &all, &program);
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
    assert_rolls("chance", tape, &all, &program);
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

/* A loop back makes a = o w of the values o of a loop forward and w = tanh(y); that loop can make them for it, and save a in
 * place of o. Not if w is read twice, if a is larger than o, if o can be made again from what is saved anyway, or if w is
 * a root. */
START_TEST(made_early)
{
    enum { T = 17, ONCE = 0, TWICE, LARGER, CHEAP, AGAIN, ROOT, DELAYED };
    const int which = _i;
    roots all = {0};
    ur_tape *tape = new_tape(UR_F64);
    ur_var x[T], y[T], h[T], o[T], q[T], w[T], state = ur_input(tape, "h0", UR_SHAPE(M, B)), g = state;
    ck_assert(ur_inputs(tape, "x", UR_SHAPE(M, B), T, x) && ur_inputs(tape, "y", UR_SHAPE(M, B), T, y));
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        h[t] = state = ur_tanh(ur_add(ur_linear(tape, "W", M, state), x[t]));
        o[t] = which == CHEAP ? ur_sub(state, y[t]) : which == LARGER ? ur_sum_over(state, 0) : ur_sigmoid(state);
        q[t] = which == AGAIN ? ur_one_minus(o[t]) : state;
    }
    for (int t = T, first = which == DELAYED ? 1 : 0; t-- > first;) {
        ur_step(tape, t + 1);
        w[t] = which == DELAYED ? h[t - 1] : ur_tanh(y[t]);
        ur_var a = ur_mul(o[t], w[t]), other = x[t];
        if (which == TWICE)
            other = w[t];
        if (which == CHEAP || which == AGAIN)
            other = q[t];
        g = ur_tanh(ur_add(a, ur_mul(other, g)));
    }
    ur_step(tape, 0);
    add_root(&all, g);
    if (which == ROOT)
        add_root(&all, w[T / 2]);
    write_leaves(tape, 521288629u);
    ur__program program;
    assert_moves("made early", tape, &all, &program);
    ck_assert_uint_eq(reads_elsewhere(&program, o[T / 2].index) == 0, which == ONCE);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
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

/* ---- what can be no loop */

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
    write_leaves(tape, 2463534242u);
    ur__program program;
    assert_rolls("each other", tape, &all, &program);
    size s = size_of(&program, T);
    ck_assert_uint_eq(s.loops + s.others, 1);
    ck_assert_msg(strstr(program.why.text, "lead to"), "%s", program.why.text);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

/* ---- random tapes */

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
    write_leaves(tape, state);
    ur__program program;
    assert_rolls("any tape", tape, &all, &program);
    ur__program_free(tape, &program);
    ur_tape_free(tape);
}
END_TEST

/* ---- memory */

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

int main(void)
{
    TCase *cases = tcase_create("roll tapes");
    tcase_add_loop_test(cases, loops_without_parameters, 0, 4);
    tcase_add_test(cases, chance_is_no_loop);
    tcase_add_loop_test(cases, made_early, 0, 7);
    tcase_add_loop_test(cases, loops_by_hand, 0, 32);
    tcase_add_loop_test(cases, parts_at_their_own_pace, 0, 2);
    tcase_add_loop_test(cases, second_order, 0, 8);
    tcase_add_loop_test(cases, any_wrt, 0, 8);
    tcase_add_loop_test(cases, cycles_are_cut, 0, 2);
    tcase_add_test(cases, steps_through_other_code);
    tcase_add_loop_test(cases, any_tape, 0, 300);
    tcase_add_test(cases, loops_that_need_each_other);
    tcase_add_loop_test(cases, every_allocation_fails_once, 0, 2);
    return run_cases(suite_create("roll tapes"), cases);
}
