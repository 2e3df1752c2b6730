/* test_plan.c - plans of tapes written by hand against the reference execution, with sequences of every length. */
#include "own_ops.h"
#include "planned.h"

enum { T = 9, MOST_T = 64 };

/* ---- tapes by hand: each returns what is summed up as the loss */

typedef struct sizes {
    ur_tape *tape;
    int64_t m, b, steps;
    bool marked;
    ur_var x[MOST_T], alive[MOST_T];
} sizes;

static ur_var param(const sizes *s, const char *name, int64_t rows, int64_t columns)
{
    return ur_param(s->tape, name, UR_SHAPE(rows, columns));
}

static ur_var vector(const sizes *s, const char *name)
{
    return ur_param(s->tape, name, UR_SHAPE(s->m));
}

static ur_var wide_input(const sizes *s, const char *name)
{
    return ur_input(s->tape, name, UR_SHAPE(s->m, s->b));
}

static void at_step(const sizes *s, int64_t t)
{
    ur_step(s->tape, s->marked ? t + 1 : 0);
}

static ur_var number(const sizes *s, double value)
{
    return ur_const(s->tape, UR_SCALAR, value);
}

static ur_var delayed(sizes *s, ur_var *h, int64_t delay)
{
    ur_var start = wide_input(s, "h0"), W = param(s, "W", s->m, s->m), V = param(s, "V", s->m, s->m),
           b = vector(s, "b");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var net = ur_add(ur_matmul(W, t ? h[t - 1] : start), ur_matmul(V, t >= delay ? h[t - delay] : start));
        h[t] = ur_tanh(ur_add(ur_add(net, b), s->x[t]));
    }
    return ur_total((size_t)s->steps, h);
}

static ur_var delay_of_two(sizes *s, ur_var *h)
{
    return delayed(s, h, 2);
}

static ur_var delay_of_three(sizes *s, ur_var *h)
{
    return delayed(s, h, 3);
}

static ur_var exchanged_states(sizes *s, ur_var *h)
{
    ur_var a = wide_input(s, "a0"), b = number(s, 0), W = param(s, "W", s->m, s->m);
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var old = a;
        a = ur_sigmoid(ur_add(ur_mul(b, s->x[t]), ur_gemm(W, true, s->x[t], false)));
        b = ur_mul(old, vector(s, "v"));
        h[t] = ur_sub(b, a);
    }
    return h[s->steps - 1];
}

/* Each step reads the input of the next one, and of the mirrored one. */
static ur_var other_inputs(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), before = number(s, 0.5);
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var next = t + 1 < s->steps ? s->x[t + 1] : number(s, 0);
        h[t] = before = ur_tanh(ur_add(ur_matmul(W, ur_add(next, s->x[s->steps - 1 - t])), ur_mul(before, s->x[t])));
    }
    return h[s->steps / 2];
}

/* An encoder's last state is read by a decoder in every step. */
static ur_var decoder(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), U = param(s, "U", s->m, s->m), V = param(s, "V", s->m, s->m);
    ur_var e = wide_input(s, "e0"), d;
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        e = ur_select(s->alive[t], ur_tanh(ur_add(ur_matmul(W, e), s->x[t])), e);
    }
    d = e;
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        d = h[t] = ur_tanh(ur_add(ur_gemm(U, true, d, false), ur_matmul(V, e)));
    }
    return ur_total((size_t)s->steps, h);
}

/* Two loops over the same t, one over the other's values. */
static ur_var two_loops(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), a[MOST_T], before = wide_input(s, "a0"), sum = number(s, 0);
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        a[t] = before = ur_sin(ur_matmul(W, ur_add(before, s->x[t])));
    }
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        sum = h[t] = ur_add(ur_scale(sum, 0.5), ur_mul(a[t], a[s->steps - 1 - t]));
    }
    return sum;
}

/* [1,B], [m,1], [], [1,1] and constants of every shape. */
static ur_var broadcasts(sizes *s, ur_var *h)
{
    ur_var row = ur_input(s->tape, "row", UR_SHAPE(1, s->b)), one = ur_param(s->tape, "one", UR_SHAPE(1, 1));
    ur_var factor = ur_input(s->tape, "factor", UR_SCALAR), v = vector(s, "v"), before = number(s, 0);
    ur_var full = ur_const(s->tape, UR_SHAPE(s->m, s->b), 0.3), W = param(s, "W", s->m, s->m);
    ur_var across = ur_param(s->tape, "u", UR_SHAPE(1, s->b));
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var a = ur_add(ur_mul(s->x[t], row), ur_mul(v, factor));
        ur_var b = ur_sub(ur_mul(one, a), ur_mul(full, ur_sum_over(ur_mul(before, s->x[t]), 0)));
        ur_var deep = ur_mul(ur_reshape(b, UR_SHAPE(s->m, 1, s->b)), ur_reshape(row, UR_SHAPE(1, 1, s->b)));
        ur_var c = ur_add(ur_reshape(deep, UR_SHAPE(s->m, s->b)), ur_matmul(W, full));
        h[t] = before = ur_tanh(ur_add(ur_mul(c, across), ur_broadcast(v, UR_SHAPE(s->m, s->b))));
    }
    return ur_total((size_t)s->steps, h);
}

/* A number repeated, where masks choose it too: read by elementwise operations, by products, by others, by sums with the
 * batch and without it. */
static ur_var repeated_numbers(sizes *s, ur_var *h)
{
    ur_shape wide = UR_SHAPE(s->m, s->b), square = UR_SHAPE(s->m, s->m);
    ur_var n = ur_input(s->tape, "n", UR_SCALAR), k = ur_param(s->tape, "k", UR_SHAPE(1, 1)),
           W = param(s, "W", s->m, s->m);
    ur_var V = ur_total(3, (ur_var[]){ur_broadcast(n, square), W, ur_broadcast(k, square)}), before = number(s, 0);
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var own = ur_select(s->alive[t], ur_broadcast(n, wide), number(s, 0)), other = ur_broadcast(k, wide);
        ur_var chosen = ur_select(s->alive[t], ur_broadcast(ur_square(n), wide), number(s, 0));
        ur_var moved = ur_total(3, (ur_var[]){ur_matmul(V, own), ur_cumsum(other, 0, false), ur_matmul(W, s->x[t])});
        h[t] = before = ur_sin(ur_total(
            4, (ur_var[]){ur_scale(moved, 1 / (double)s->m), ur_mul(chosen, s->x[t]), own, ur_mul(before, other)}));
    }
    return ur_add(ur_total((size_t)s->steps, h), ur_scale(ur_sum(W), 0.3));
}

/* One value many times; a product used twice; sums of products that two sums read. */
static ur_var many_times(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), V = param(s, "V", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var x = s->x[t], twice = ur_matmul(W, before), sum = ur_add(twice, ur_matmul(V, x));
        ur_var many = ur_total(5, (ur_var[]){x, x, twice, x, twice});
        ur_var p = ur_add(sum, ur_matmul(W, x)), q = ur_add(sum, ur_add(x, x)), product = ur_mul(p, q);
        h[t] = before = ur_tanh(ur_total(4, (ur_var[]){many, product, product, ur_mul(p, ur_one_minus(q))}));
    }
    return ur_total((size_t)s->steps, h);
}

/* W = v/|v|, once for all steps, and one of each step. */
static ur_var computed_weights(sizes *s, ur_var *h)
{
    ur_var v = param(s, "v", s->m, s->m), W = ur_div(v, ur_norm_over(v, 0)), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var gain = ur_sigmoid(ur_scale(vector(s, "gain"), 0.5 + (double)t));
        ur_var own = ur_mul(ur_add(v, number(s, 1)), gain);
        h[t] = before = ur_tanh(ur_add(ur_matmul(W, before), ur_matmul(own, s->x[t])));
    }
    return ur_total((size_t)s->steps, h);
}

static ur_var transposed_operands(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), c = param(s, "c", s->b, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var sum = ur_add(ur_gemm(W, false, before, false), ur_gemm(W, true, s->x[t], false));
        sum = ur_add(sum, ur_gemm(W, false, c, true));
        h[t] = before = ur_sin(ur_add(sum, ur_gemm(W, true, c, true)));
    }
    return ur_total((size_t)s->steps, h);
}

/* Attention over the columns. */
static ur_var mixed_columns(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var weights = ur_softmax(ur_gemm(before, true, ur_matmul(W, s->x[t]), false));
        h[t] = before = ur_tanh(ur_add(ur_matmul(before, weights), s->x[t]));
    }
    return ur_total((size_t)s->steps, h);
}

/* The mean over the batch feeds back. */
static ur_var fed_back(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var mean = ur_mean_over(before, 1), all = ur_mean(ur_square(before));
        h[t] = before = ur_tanh(ur_add(ur_matmul(W, ur_sub(before, mean)), ur_mul(all, s->x[t])));
    }
    return ur_total((size_t)s->steps, h);
}

/* Sums over the batch of values of one row and of many, on one line of the program, that nothing reads but the loss. */
static ur_var sums_at_the_end(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), before = wide_input(s, "h0"), loss[MOST_T];
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        h[t] = before = ur_tanh(ur_add(ur_matmul(W, before), s->x[t]));
        loss[t] = ur_sum(t < s->steps / 2 ? ur_sum_over(ur_square(h[t]), 0) : ur_sin(h[t]));
    }
    return ur_total((size_t)s->steps, loss);
}

/* Parameters whose last dimension is the batch's. */
static ur_var wide_parameters(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->b), U = param(s, "U", s->b, s->b), before = param(s, "h0", s->m, s->b);
    ur_var start = ur_reshape(ur_param(s->tape, "start", UR_SHAPE(1, s->m)), UR_SHAPE(s->m));
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var down = ur_gemm(W, true, before, false), up = ur_matmul(W, ur_tanh(ur_matmul(U, down)));
        h[t] = before = ur_tanh(ur_add(ur_add(ur_scale(up, 0.3), ur_mul(start, s->x[t])), W));
    }
    return ur_total((size_t)s->steps, h);
}

/* A condition of the user's own beside the masks, and inputs of the masks' shape that are none. */
static ur_var conditions(sizes *s, ur_var *h)
{
    ur_var row[MOST_T], before = wide_input(s, "h0"), W = param(s, "W", s->m, s->m);
    ur_inputs(s->tape, "row", UR_SHAPE(1, s->b), s->steps, row);
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var own = ur_select(ur_step_function(ur_sub(s->x[t], row[t])), ur_matmul(W, before), s->x[t]);
        ur_var odd = ur_select(t % 3 ? s->alive[t] : ur_step_function(row[t]), ur_sin(own), before);
        h[t] = before = ur_select(s->alive[t], ur_tanh(ur_add(odd, row[t])), number(s, 0));
    }
    return ur_total((size_t)s->steps, h);
}

/* Elementwise without a kernel, and the user's own operations of three kinds. */
static ur_var own_operations(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var a = ur_gelu(ur_matmul(W, before)), b = rotate(wave(a, s->x[t], 0.6), 1);
        h[t] = before = ur_tanh(ur_add(ur_erf(b), wave(vector(s, "v"), before, 1.5)));
    }
    return ur_total((size_t)s->steps, h);
}

static ur_var own_whole(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        h[t] = before = ur_tanh(ur_add(reverse(ur_matmul(W, before)), s->x[t]));
    }
    return ur_total((size_t)s->steps, h);
}

/* Inputs made one by one lie anywhere. */
static ur_var scattered_inputs(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", s->m, s->m), U = param(s, "U", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        char name[32];
        snprintf(name, sizeof name, "in%d", (int)t);
        at_step(s, t);
        ur_var x = wide_input(s, name);
        snprintf(name, sizeof name, "between%d", (int)t);
        ur_input(s->tape, name, UR_SHAPE(1 + t % 4, 5));
        h[t] = before = ur_tanh(ur_add(ur_matmul(W, before), ur_matmul(U, ur_select(s->alive[t], x, number(s, 0)))));
    }
    return ur_total((size_t)s->steps, h);
}

/* Parts of the rows of products, of elementwise values, of earlier states and of inputs; elementwise statements, products
 * and the caller read them. */
static ur_var slices(sizes *s, ur_var *h)
{
    ur_var W = param(s, "W", 3 * s->m, s->m), V = param(s, "V", s->m, s->m), before = wide_input(s, "h0");
    for (int64_t t = 0; t < s->steps; t++) {
        at_step(s, t);
        ur_var z = ur_matmul(W, before), e = ur_exp(ur_scale(ur_add(z, z), 0.1));
        ur_var a = ur_slice(z, 0, 0, s->m), b = ur_slice(e, 0, s->m, s->m), c = ur_slice(z, 0, 2 * s->m, s->m);
        ur_var row = ur_slice(e, 0, 3 * s->m - 1, 1), all = ur_sigmoid(ur_slice(e, 0, 0, 3 * s->m));
        ur_var cube = ur_slice(ur_reshape(ur_square(z), UR_SHAPE(3, s->m, s->b)), 0, 1, 2);
        ur_var plane = ur_reshape(ur_slice(ur_tanh(cube), 0, 1, 1), UR_SHAPE(s->m, s->b));
        ur_var moved = ur_concat(2, (ur_var[]){ur_slice(before, 0, 1, s->m - 1), ur_slice(s->x[t], 0, 0, 1)}, 0);
        ur_var gates = ur_mul(ur_add(ur_tanh(a), ur_mul(b, row)), ur_add(c, ur_slice(all, 0, 1, s->m)));
        ur_var next = ur_tanh(ur_add(ur_add(gates, ur_matmul(V, a)), ur_add(moved, plane)));
        h[t] = before = ur_select(s->alive[t], next, before);
    }
    return ur_total((size_t)s->steps, h);
}

typedef struct hand {
    const char *name;
    ur_var (*record)(sizes *s, ur_var *h);
    bool one_block; /* or what makes several may be in one */
} hand;

static const hand hands[] = {{"delay of two", delay_of_two, false},
                             {"delay of three", delay_of_three, false},
                             {"exchanged states", exchanged_states, false},
                             {"other inputs", other_inputs, false},
                             {"decoder", decoder, false},
                             {"two loops", two_loops, false},
                             {"broadcasts", broadcasts, false},
                             {"repeated numbers", repeated_numbers, false},
                             {"many times", many_times, false},
                             {"computed weights", computed_weights, false},
                             {"transposed operands", transposed_operands, true},
                             {"mixed columns", mixed_columns, true},
                             {"fed back", fed_back, true},
                             {"sums at the end", sums_at_the_end, true},
                             {"wide parameters", wide_parameters, true},
                             {"conditions", conditions, false},
                             {"own operations", own_operations, false},
                             {"own whole", own_whole, true},
                             {"scattered inputs", scattered_inputs, false},
                             {"slices", slices, false}};
enum { HANDS = sizeof hands / sizeof *hands };

/* Records, differentiates once or twice, plans, compares; returns the number of blocks. */
static size_t assert_hand(const hand *tape, sizes s, ur_dtype dtype, bool second)
{
    ur_var h[MOST_T], gradient[MOST_T];
    roots all = {0};
    char what[128];
    snprintf(what, sizeof what, "%s, m %d, B %d, T %d%s%s", tape->name, (int)s.m, (int)s.b, (int)s.steps,
             s.marked ? "" : ", no steps", second ? ", twice" : "");
    s.tape = new_tape(dtype);
    ur_inputs(s.tape, "x", UR_SHAPE(s.m, s.b), s.steps, s.x);
    ur_inputs(s.tape, "alive", UR_SHAPE(1, s.b), s.steps, s.alive);
    ur_var sum = tape->record(&s, h);
    ur_step(s.tape, 0);
    ur_var loss = ur_sum(ur_square(sum));
    add_root(&all, loss);
    add_gradients(&all, s.tape, loss);
    ck_assert(ur_grad(loss, (size_t)s.steps, s.x, gradient));
    add_roots(&all, (size_t)s.steps, gradient);
    add_root(&all, h[s.steps / 3]);
    if (second)
        add_gradients(&all, s.tape,
                      ur_total(2, (ur_var[]){ur_sum(ur_square(all.root[1])), ur_sum(ur_square(gradient[0]))}));
    size_t blocks = assert_planned(what, s.tape, &all, s.steps > T ? 1 << FULL | 1 << ONE_BLOCK_FULL : (1 << MASKS) - 1,
                                   second ? 1e-10 : 10 * tolerance_of(s.tape));
    ur_tape_free(s.tape);
    return blocks;
}

START_TEST(by_hand)
{
    static const int64_t steps[] = {1, 2, 3, 4, T};
    const hand *tape = &hands[_i];
    for (size_t t = 0; t < sizeof steps / sizeof *steps; t++)
        for (int marked = 0; marked < 2; marked++) {
            assert_hand(tape, (sizes){.m = 4, .b = 7, .steps = steps[t], .marked = marked}, UR_F64, false);
            assert_hand(tape, (sizes){.m = 5, .b = 5, .steps = steps[t], .marked = marked}, UR_F64, t < 3);
            assert_hand(tape, (sizes){.m = 3, .b = 1, .steps = steps[t], .marked = marked}, UR_F64, false);
            assert_hand(tape, (sizes){.m = 2, .b = 19, .steps = steps[t], .marked = marked}, UR_F64, true);
        }
    assert_hand(tape, (sizes){.m = 6, .b = 13, .steps = T, .marked = true}, UR_F32, false);
    size_t blocks = assert_hand(tape, (sizes){.m = 64, .b = 77, .steps = 40, .marked = true}, UR_F64, false);
    ck_assert_msg((blocks == 1) == tape->one_block, "%s: %zu blocks", tape->name, blocks);
    blocks = assert_hand(tape, (sizes){.m = 64, .b = 64, .steps = 12, .marked = true}, UR_F64, false);
    ck_assert_msg(!tape->one_block || blocks == 1, "%s: %zu blocks", tape->name, blocks);
}
END_TEST

/* The caller reads all of the values of which rows are read: they lie in the plan's memory, as wide as the batch. */
START_TEST(rows_of_roots)
{
    static const int64_t batches[] = {1, 5, 19, 77};
    enum { M = 16, ROWS = 2 * M };
    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        ur_tape *tape = new_tape(UR_F64);
        roots all = {0};
        ur_var h = ur_input(tape, "h0", UR_SHAPE(M, batches[k])), W = ur_param(tape, "W", UR_SHAPE(ROWS, M));
        for (int64_t t = 0; t < T; t++) {
            ur_step(tape, t + 1);
            ur_var z = ur_matmul(W, h);
            add_root(&all, z);
            h = ur_mul(ur_tanh(ur_slice(z, 0, M, M)), ur_sigmoid(ur_slice(z, 0, 3, M)));
        }
        ur_step(tape, 0);
        add_gradients(&all, tape, ur_sum(ur_square(h)));
        assert_planned("rows of roots", tape, &all, 1 << FULL, 1e-12);
        ur_tape_free(tape);
    }
}
END_TEST

/* A parameter as the matrix of a product, an input, and one computed from both, over one x or several. */
static ur_var mixed_matrices(sizes *s)
{
    ur_var W = param(s, "W", s->m, s->m), U = param(s, "U", s->m, s->m), b = vector(s, "b"), h = wide_input(s, "h0");
    ur_var M = ur_input(s->tape, "M", UR_SHAPE(s->m, s->m)), V = ur_mul(W, M);
    for (int64_t t = 1; t <= s->steps; t++) {
        ur_step(s->tape, t);
        ur_var x = wide_input(s, "x"), alive = ur_input(s->tape, "alive", UR_SHAPE(1, s->b));
        ur_var net = ur_add(ur_add(ur_matmul(W, h), ur_matmul(M, x)), b);
        ur_var gate = ur_sigmoid(ur_add(ur_matmul(U, h), ur_gemm(V, true, x, false)));
        h = ur_select(alive, ur_mul(gate, ur_tanh(net)), h);
    }
    ur_step(s->tape, 0);
    return h;
}

/* A plan of fixed parameters gives what the reference gives, whatever the inputs are, matrices among them. */
static void assert_fixed(sizes s)
{
    s.tape = new_tape(UR_F64);
    roots all = {0};
    add_root(&all, mixed_matrices(&s));
    double before[1024];
    size_t count;
    fill_leaves(s.tape, seed_of(1), MIXED);
    double *theta = (double *)ur_params(s.tape, &count);
    ck_assert(count <= sizeof before / sizeof *before);
    ur_plan *reference = plan_of("reference", s.tape, &all, true);
    for (int k = 0; k < 2; k++) {
        ur_plan *plan = ur_plan_new(s.tape, &(ur_plan_options){.fixed = true, .roots = all.count, .root = all.root});
        ck_assert_ptr_nonnull(plan);
        memcpy(before, theta, count * sizeof *theta);
        static const masks order[] = {MIXED, FULL, FULL, MIXED};
        for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
            fill_leaves(s.tape, seed_of(2 + (int)i), order[i]);
            memcpy(theta, before, count * sizeof *theta);
            assert_same_values("fixed", plan, reference, &all, 1e-12);
        }
        ur_plan_free(plan);
        fill_leaves(s.tape, seed_of(9), FULL); /* a new plan sees other values */
    }
    ur_plan_free(reference);
    ur_tape_free(s.tape);
}

START_TEST(fixed_parameters)
{
    static const int64_t batches[] = {1, 3, 40};
    for (int64_t steps = 1; steps <= 12; steps += 11)
        assert_fixed((sizes){.m = 13, .b = batches[_i], .steps = steps});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *cases = tcase_create("plan");
    tcase_add_loop_test(cases, by_hand, 0, HANDS);
    tcase_add_test(cases, rows_of_roots);
    tcase_add_loop_test(cases, fixed_parameters, 0, 3);
    return run_cases(suite, cases);
}
