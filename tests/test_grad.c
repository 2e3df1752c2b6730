/* test_grad.c - gradients of any node by any other, of any order, against derivatives by hand: loops over a chain of
 * steps, closed forms up to the fifth derivative. How the sweep is recorded: continued by a later call, a
 * parameter's gradient one sum. */
#include "small_tapes.h"

START_TEST(detach_has_the_value_and_no_gradient)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = scalar(tape, "a", 3), b = ur_detach(ur_square(a)), y = ur_mul(a, b), g[2], dead;
    ck_assert(ur_grad(y, 2, (ur_var[]){a, b}, g));
    ck_assert(ur_grad(b, 1, &a, &dead));
    double out[5];
    evaluate(tape, 5, (ur_var[]){b, y, g[0], g[1], dead}, 5, out);
    ck_assert(out[0] == 9 && out[1] == 27);
    ck_assert(out[2] == 9); /* not 27 */
    ck_assert(out[3] == 3 && out[4] == 0);
    ur_tape_free(tape);
}
END_TEST

/* y = sum(tanh(W x + b)^2) with a loop by hand. */
START_TEST(gradients_of_any_node)
{
    enum { M = 3, D = 2, B = 2 };
    static const double Wv[M][D] = {{0.3, -0.7}, {1.1, 0.2}, {-0.4, 0.5}}, bv[M] = {0.1, -0.2, 0.3};
    static const double xv[D][B] = {{0.9, -0.4}, {0.6, 0.8}};
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(M, D)), b = ur_param(tape, "b", UR_SHAPE(M));
    ur_var x = input(tape, "x", UR_SHAPE(D, B), &xv[0][0]), other = ur_input(tape, "other", UR_SHAPE(4));
    ur_write(W, (size_t)M * D, &Wv[0][0]);
    ur_write(b, M, bv);
    ur_var net = ur_add(ur_matmul(W, x), b), h = ur_tanh(net), y = ur_square(h), later = ur_neg(y);
    ur_var wrt[] = {W, b, x, net, h, y, other, later}, g[8];
    ck_assert(ur_grad(y, 8, wrt, g));
    struct {
        double W[M][D], b[M], x[D][B], net[M][B], h[M][B], y[M][B], other[4], later[M][B];
    } expected = {0};
    enum { COUNT = sizeof expected / sizeof(double) };
    double out[COUNT];
    for (int i = 0; i < M; i++)
        for (int c = 0; c < B; c++) {
            double n = bv[i];
            for (int j = 0; j < D; j++)
                n += Wv[i][j] * xv[j][c];
            double v = tanh(n), d = 2 * v * (1 - v * v);
            expected.y[i][c] = 1;
            expected.h[i][c] = 2 * v;
            expected.net[i][c] = d;
            expected.b[i] += d;
            for (int j = 0; j < D; j++) {
                expected.W[i][j] += d * xv[j][c];
                expected.x[j][c] += d * Wv[i][j];
            }
        }
    evaluate(tape, 8, g, COUNT, out);
    for (int i = 0; i < COUNT; i++)
        assert_close(out[i], ((const double *)&expected)[i], 1e-15);
    for (int i = 0; i < 8; i++) {
        ur_node node, of;
        ck_assert(ur_look(g[i], &node) && ur_look(wrt[i], &of));
        ck_assert(ur_shape_equal(node.shape, of.shape));
    }
    ck_assert(ur_grad(y, 8, wrt, wrt)); /* `out` may be `wrt` */
    evaluate(tape, 8, wrt, COUNT, out);
    for (int i = 0; i < COUNT; i++)
        assert_close(out[i], ((const double *)&expected)[i], 1e-15);
    ur_tape_free(tape);
}
END_TEST

static size_t count_ops(ur_tape *tape, const char *name)
{
    size_t n = 0;
    ur_node node;
    for (size_t v = 0; v < ur_tape_nodes(tape); v++)
        n += ur_look(ur_node_at(tape, v), &node) && strcmp(node.op->name, name) == 0;
    return n;
}

/* Losses whose derivative is made of o = sigmoid(net) or softmax(net), and dE/dnet, d2E/dnet2 as functions of o and y. */
static ur_var softmax_loss(ur_var net, ur_var y)
{
    return ur_sum(ur_softmax_ce(net, y));
}

static ur_var softplus_loss(ur_var net, ur_var y)
{
    (void)y;
    return ur_sum(ur_softplus(net));
}

static ur_var bce_loss(ur_var net, ur_var y)
{
    return ur_sum(ur_bce_net(net, y));
}

static const struct {
    const char *op;
    ur_var (*output)(ur_var net);
    ur_var (*loss)(ur_var net, ur_var y);
    bool minus_y;
} losses[] = {{"sigmoid", ur_sigmoid, bce_loss, true},
              {"sigmoid", ur_sigmoid, softplus_loss, false},
              {"softmax", ur_softmax, softmax_loss, true}};

/* Where o stands on the tape: not at all, beside the loss, as far away as is looked, farther, behind the loss, of y. */
enum { NOWHERE, BESIDE, FAR, TOO_FAR, BEHIND, OF_ANOTHER, PLACES };

static ur_var put_output(int which, int place, ur_var net, ur_var y)
{
    for (int k = 0; k < (place == FAR ? 29 : place == TOO_FAR ? 30 : 0); k++) /* y is one more */
        ur_neg(y);
    if (place == BESIDE || place == FAR || place == TOO_FAR || place == OF_ANOTHER)
        losses[which].output(place == OF_ANOTHER ? y : net);
    ur_var loss = losses[which].loss(net, y);
    if (place == BEHIND)
        losses[which].output(net);
    return loss;
}

/* o is read where it is found, else recorded; the first two derivatives are the same. The sum of o over net's two elements
 * has the derivative o (1 - o) by each where o is a sigmoid, 0 where it is a softmax. */
START_TEST(derivatives_read_what_is_there)
{
    static const double nets[] = {0.7, -0.3}, ys[] = {0.2, 0.8};
    static const size_t ops[PLACES] = {1, 1, 1, 2, 2, 2};
    const int which = _i / PLACES, place = _i % PLACES;
    ur_tape *tape = new_tape(UR_F64);
    ur_var net = input(tape, "net", UR_SHAPE(2, 1), nets), y = input(tape, "y", UR_SHAPE(2, 1), ys), g, second;
    ck_assert(ur_grad(put_output(which, place, net, y), 1, &net, &g));
    ck_assert_uint_eq(count_ops(tape, losses[which].op), ops[place]);
    ck_assert(ur_grad(ur_sum(g), 1, &net, &second));
    double out[4];
    evaluate(tape, 2, (ur_var[]){g, second}, 4, out);
    for (int k = 0; k < 2; k++) {
        const bool softmax = losses[which].output == ur_softmax;
        double o = softmax ? exp(nets[k]) / (exp(nets[0]) + exp(nets[1])) : 1 / (1 + exp(-nets[k]));
        assert_close(out[k], o - (losses[which].minus_y ? ys[k] : 0), 1e-15);
        assert_close(out[2 + k], softmax ? 0 : o * (1 - o), 1e-15);
    }
    ur_tape_free(tape);
}
END_TEST

/* The first node of a tape may be an adjoint: the 1 that y's own is. d (1 + x) x = 1 + 2 x. */
START_TEST(the_first_node_is_an_adjoint)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var one = ur_const(tape, UR_SCALAR, 1), x = input(tape, "x", UR_SCALAR, (double[]){3}), g;
    ck_assert_uint_eq(one.index, 0);
    ck_assert(ur_grad(ur_mul(ur_add(one, x), x), 1, &x, &g));
    double out;
    evaluate(tape, 1, &g, 1, &out);
    assert_close(out, 7, 0);
    ur_tape_free(tape);
}
END_TEST

/* sum over t of sum(w_t .* W[i_t]): row v of dW is the sum of the columns of all w_t with i_t = v, made as one table where
 * the columns are fewer than the rows. */
START_TEST(a_table_read_at_every_step)
{
    enum { MOST = 8, D = 2, B = 3, T = 3 };
    static const double index[T][B] = {{0, 3, 0}, {2, 2, 9}, {3, 0, 1}};
    const int V = _i ? MOST : 4;
    ur_tape *tape = new_tape(UR_F64);
    ur_var W = ur_param(tape, "W", UR_SHAPE(V, D)), loss[T], g;
    double w[D * B], expected[MOST * D] = {0}, found[MOST * D];
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        for (int k = 0; k < D * B; k++) {
            const double row = index[t][k % B];
            w[k] = 0.1 * k - 0.3 * t;
            if (row < V)
                expected[(int)row * D + k / B] += w[k];
        }
        const ur_var i = input(tape, "i", UR_SHAPE(1, B), index[t]), columns = ur_gather(W, i);
        const ur_var known = ur_step_function(ur_sub(ur_const(tape, UR_SCALAR, V), i));
        const ur_var term = ur_mul(input(tape, "w", UR_SHAPE(D, B), w), columns);
        loss[t] = ur_sum(ur_select(known, term, ur_const(tape, UR_SCALAR, 0)));
    }
    ur_step(tape, 0);
    ck_assert(ur_grad(ur_total(T, loss), 1, &W, &g));
    ur_node node;
    ck_assert(ur_look(g, &node));
    ck_assert_str_eq(node.op->name, V == MOST ? "scatter" : "sum_of");
    evaluate(tape, 1, &g, (size_t)V * D, found);
    for (int k = 0; k < V * D; k++)
        assert_close(found[k], expected[k], 1e-15);
    ur_tape_free(tape);
}
END_TEST

enum { MATRIX_ROWS = 3, MATRIX_COLUMNS = 4, MATRIX_BATCH = 2, MATRIX = MATRIX_ROWS * MATRIX_COLUMNS * MATRIX_BATCH };

/* dM += w x' of n columns, for each column of the batch, by their orders in memory. */
static void add_products(int n, bool ta, bool tb, const double *w, const double *x, double *out)
{
    enum { ROWS = MATRIX_ROWS, INNER = MATRIX_COLUMNS, B = MATRIX_BATCH };
    for (int k = 0; k < MATRIX * n; k++) {
        const int b = k % B, q = k / B % n, j = k / B / n % INNER, i = k / B / n / INNER;
        out[(ta ? j * ROWS + i : i * INNER + j) * B + b] +=
            w[(i * n + q) * B + b] * x[(tb ? q * INNER + j : j * n + q) * B + b];
    }
}

/* sum over t of sum(w_t .* op(M) op(x_t)) for each of two columns: dM is the sum of the w_t x_t', as one product of all steps
 * where x_t has one column, as a sum of products where it has as many as M. */
START_TEST(a_matrix_multiplied_at_every_step)
{
    enum { ROWS = MATRIX_ROWS, INNER = MATRIX_COLUMNS, B = MATRIX_BATCH, T = 3 };
    const bool ta = _i & 1, tb = _i & 2, wide = _i & 4;
    const int n = wide ? 5 : 1;
    ur_tape *tape = new_tape(UR_F64);
    double w[ROWS * 5 * B], x[INNER * 5 * B], expected[MATRIX] = {0}, found[MATRIX];
    ur_var M = ur_input(tape, "M", ta ? UR_SHAPE(INNER, ROWS, B) : UR_SHAPE(ROWS, INNER, B)), loss[T], g;
    for (int t = 0; t < T; t++) {
        ur_step(tape, t + 1);
        for (int k = 0; k < ROWS * n * B; k++)
            w[k] = 0.3 * k - t;
        for (int k = 0; k < INNER * n * B; k++)
            x[k] = 1 - 0.2 * k * t;
        add_products(n, ta, tb, w, x, expected);
        const ur_var own = input(tape, "x", tb ? UR_SHAPE(n, INNER, B) : UR_SHAPE(INNER, n, B), x);
        loss[t] = ur_sum(ur_mul(input(tape, "w", UR_SHAPE(ROWS, n, B), w), ur_bmm(M, ta, own, tb)));
    }
    ur_step(tape, 0);
    ck_assert(ur_grad(ur_total(T, loss), 1, &M, &g));
    ur_node node;
    ck_assert(ur_look(g, &node));
    ck_assert_str_eq(node.op->name, wide ? "sum_of" : "bmm");
    evaluate(tape, 1, &g, MATRIX, found);
    for (int k = 0; k < MATRIX; k++)
        assert_close(found[k], expected[k], 1e-14);
    ur_tape_free(tape);
}
END_TEST

/* Three steps of h = tanh(W h + x); the leaves by which to differentiate. */
enum { CHAIN = 3, CHAIN_LEAVES = 2 + CHAIN };

static ur_var chain(ur_tape *tape, ur_var leaves[CHAIN_LEAVES])
{
    static const double Wv[] = {0.5, -0.3, 0.8, 0.2}, h0[] = {0.4, -0.6};
    leaves[0] = ur_param(tape, "W", UR_SHAPE(2, 2));
    ur_write(leaves[0], 4, Wv);
    ur_var h = leaves[1] = input(tape, "h", UR_SHAPE(2), h0);
    for (int t = 1; t <= CHAIN; t++) {
        ur_step(tape, t);
        leaves[1 + t] = input(tape, "x", UR_SHAPE(2), (double[]){0.1 * t, -0.2 * t});
        h = ur_tanh(ur_add(ur_matmul(leaves[0], h), leaves[1 + t]));
    }
    ur_step(tape, 0);
    return ur_sum(ur_square(h));
}

/* Its gradient by hand. */
typedef struct chain_gradient {
    double W[2][2], h[2], x[CHAIN][2];
} chain_gradient;

static chain_gradient chain_by_hand(void)
{
    static const double W[2][2] = {{0.5, -0.3}, {0.8, 0.2}};
    double h[CHAIN + 1][2] = {{0.4, -0.6}}, adjoint[2];
    for (int t = 1; t <= CHAIN; t++)
        for (int i = 0; i < 2; i++)
            h[t][i] = tanh(W[i][0] * h[t - 1][0] + W[i][1] * h[t - 1][1] + (i ? -0.2 : 0.1) * t);
    chain_gradient g = {0};
    adjoint[0] = 2 * h[CHAIN][0];
    adjoint[1] = 2 * h[CHAIN][1];
    for (int t = CHAIN; t > 0; t--) {
        double d[2];
        for (int i = 0; i < 2; i++) {
            d[i] = adjoint[i] * (1 - h[t][i] * h[t][i]);
            g.x[t - 1][i] = d[i];
            g.W[i][0] += d[i] * h[t - 1][0];
            g.W[i][1] += d[i] * h[t - 1][1];
        }
        for (int j = 0; j < 2; j++)
            adjoint[j] = W[0][j] * d[0] + W[1][j] * d[1];
    }
    g.h[0] = adjoint[0];
    g.h[1] = adjoint[1];
    return g;
}

START_TEST(a_later_call_continues_the_sweep)
{
    enum { COUNT = sizeof(chain_gradient) / sizeof(double) };
    double out[COUNT];
    const chain_gradient by_hand = chain_by_hand();
    const double *expected = (const double *)&by_hand;
    ur_var leaves[CHAIN_LEAVES], g[CHAIN_LEAVES], again[CHAIN_LEAVES];

    ur_tape *at_once = new_tape(UR_F64);
    ur_var y = chain(at_once, leaves);
    ck_assert(ur_grad(y, CHAIN_LEAVES, leaves, g));
    evaluate(at_once, CHAIN_LEAVES, g, COUNT, out);
    for (int i = 0; i < COUNT; i++)
        assert_close(out[i], expected[i], 1e-15);

    static const int orders[][CHAIN_LEAVES] = {{4, 3, 2, 1, 0}, {0, 1, 2, 3, 4}, {2, 4, 0, 3, 1}};
    for (int k = 0; k < 3; k++) {
        ur_tape *tape = new_tape(UR_F64);
        y = chain(tape, leaves);
        for (int i = 0; i < CHAIN_LEAVES; i++)
            ck_assert(ur_grad(y, 1, &leaves[orders[k][i]], &g[orders[k][i]]));
        ck_assert_uint_eq(ur_tape_nodes(tape), ur_tape_nodes(at_once));
        ck_assert(ur_grad(y, CHAIN_LEAVES, leaves, again));
        ck_assert_uint_eq(ur_tape_nodes(tape), ur_tape_nodes(at_once));
        for (int i = 0; i < CHAIN_LEAVES; i++)
            ck_assert_uint_eq(again[i].index, g[i].index);
        evaluate(tape, CHAIN_LEAVES, g, COUNT, out);
        for (int i = 0; i < COUNT; i++)
            assert_close(out[i], expected[i], 1e-15);
        ur_tape_free(tape);
    }
    ur_tape_free(at_once);
}
END_TEST

/* A parameter's gradient is one sum over t, last consumer first; adjoints stand at their node's step and scope. */
START_TEST(the_gradient_is_one_sum)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var leaves[CHAIN_LEAVES], g[CHAIN_LEAVES];
    ur_var y = chain(tape, leaves);
    ck_assert(ur_grad(y, CHAIN_LEAVES, leaves, g));
    ur_node node;
    ck_assert(ur_look(g[0], &node));
    ck_assert_str_eq(node.op->name, "sum_of");
    ck_assert_uint_eq(node.inputs, CHAIN);
    for (uint32_t k = 0; k < CHAIN; k++) {
        ck_assert(ur_look(ur_node_input(g[0], k), &node));
        ck_assert_int_eq(node.step, CHAIN - (int)k);
    }
    for (int t = 1; t <= CHAIN; t++) {
        ck_assert(ur_look(g[1 + t], &node));
        ck_assert_int_eq(node.step, t);
    }
    ur_tape_free(tape);
}
END_TEST

/* The k-th derivatives of a function of one variable at x. */
static void check_orders(ur_var (*function)(ur_var x), double x, int orders, const double *expected)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var v = scalar(tape, "x", x), y = function(v);
    for (int k = 0; k <= orders; k++) {
        assert_close(value_of(y), expected[k], 1e-13);
        ck_assert(ur_grad(y, 1, &v, &y));
    }
    ur_tape_free(tape);
}

static ur_var power5(ur_var x)
{
    return ur_mul(x, ur_square(ur_square(x)));
}

static ur_var power5_of_products(ur_var x)
{
    ur_var x2 = ur_mul(x, x);
    return ur_mul(ur_mul(x2, x), x2);
}

static ur_var exp_of_square(ur_var x)
{
    return ur_exp(ur_square(x));
}

static ur_var inverse(ur_var x)
{
    return ur_div(ur_const(x.tape, UR_SCALAR, 1), x);
}

START_TEST(orders_up_to_the_fifth)
{
    double x = 1.3, x2 = x * x, e = exp(x2), t = tanh(x), s = 1 / (1 + exp(-x)), t1 = 1 - t * t, s1 = s * (1 - s);
    const double power[] = {x2 * x2 * x, 5 * x2 * x2, 20 * x2 * x, 60 * x2, 120 * x, 120, 0};
    check_orders(power5, x, 6, power);
    check_orders(power5_of_products, x, 6, power);
    check_orders(exp_of_square, x, 3, (double[]){e, 2 * x * e, (2 + 4 * x2) * e, (12 * x + 8 * x2 * x) * e});
    check_orders(inverse, x, 4, (double[]){1 / x, -1 / x2, 2 / (x2 * x), -6 / (x2 * x2), 24 / (x2 * x2 * x)});
    check_orders(ur_log, x, 3, (double[]){log(x), 1 / x, -1 / x2, 2 / (x2 * x)});
    check_orders(ur_tanh, x, 3, (double[]){t, t1, -2 * t * t1, -2 * t1 * (1 - 3 * t * t)});
    check_orders(ur_sigmoid, x, 3, (double[]){s, s1, s1 * (1 - 2 * s), s1 * (1 - 6 * s1)});
}
END_TEST

START_TEST(mixed_derivatives)
{
    ur_tape *tape = new_tape(UR_F64);
    ur_var a = scalar(tape, "a", 3), b = scalar(tape, "b", -2), g[2], da[2], dab[2];
    ur_var y = ur_mul(ur_square(a), ur_mul(b, ur_square(b))); /* a^2 b^3 */
    ck_assert(ur_grad(y, 2, (ur_var[]){a, b}, g));
    ck_assert(ur_grad(g[0], 2, (ur_var[]){a, b}, da));
    ck_assert(ur_grad(da[1], 2, (ur_var[]){a, b}, dab));
    double out[6];
    evaluate(tape, 6, (ur_var[]){g[0], g[1], da[0], da[1], dab[0], dab[1]}, 6, out);
    const double expected[] = {-48, 108, -16, 72, 24, -72}; /* 2ab^3 3a^2b^2 2b^3 6ab^2 6b^2 12ab */
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(out[i], expected[i]);
    ur_tape_free(tape);
}
END_TEST

START_TEST(select_blocks_nan_both_ways)
{
    enum { B = 4 };
    static const double alive[B] = {1, 0, 1, 0}, xv[2][B] = {{0.5, NAN, -1, INFINITY}, {2, NAN, 0.25, 1}};
    static const double Wv[] = {0.3, -0.8};
    ur_tape *tape = new_tape(UR_F64);
    ur_var c = input(tape, "alive", UR_SHAPE(1, B), alive), x = input(tape, "x", UR_SHAPE(2, B), &xv[0][0]);
    ur_var W = ur_param(tape, "W", UR_SHAPE(1, 2));
    ur_write(W, 2, Wv);
    ur_var safe = ur_select(c, x, ur_const(tape, UR_SCALAR, 0));
    ur_var y = ur_sum(ur_square(ur_matmul(W, safe))), g[2], second;
    ck_assert(ur_grad(y, 2, (ur_var[]){W, x}, g));
    ck_assert(ur_grad(ur_sum(g[0]), 1, &x, &second));
    double out[1 + 2 + 4 * B], expected[1 + 2 + 4 * B] = {0};
    for (int i = 0; i < B; i++) {
        if (alive[i] == 0)
            continue;
        double p = Wv[0] * xv[0][i] + Wv[1] * xv[1][i];
        expected[0] += p * p;
        for (int k = 0; k < 2; k++) {
            expected[1 + k] += 2 * p * xv[k][i];
            expected[3 + k * B + i] = 2 * p * Wv[k];
            expected[3 + 2 * B + k * B + i] = 2 * (p + Wv[k] * (xv[0][i] + xv[1][i]));
        }
    }
    evaluate(tape, 4, (ur_var[]){y, g[0], g[1], second}, 3 + 4 * B, out);
    for (int i = 0; i < 3 + 4 * B; i++)
        assert_close(out[i], expected[i], 1e-15);
    ur_tape_free(tape);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("grad");
    tcase_add_test(cases, detach_has_the_value_and_no_gradient);
    tcase_add_test(cases, gradients_of_any_node);
    tcase_add_loop_test(cases, derivatives_read_what_is_there, 0, (int)(sizeof losses / sizeof *losses) * PLACES);
    tcase_add_test(cases, the_first_node_is_an_adjoint);
    tcase_add_loop_test(cases, a_table_read_at_every_step, 0, 2);
    tcase_add_loop_test(cases, a_matrix_multiplied_at_every_step, 0, 8);
    tcase_add_test(cases, a_later_call_continues_the_sweep);
    tcase_add_test(cases, the_gradient_is_one_sum);
    tcase_add_test(cases, orders_up_to_the_fifth);
    tcase_add_test(cases, mixed_derivatives);
    tcase_add_test(cases, select_blocks_nan_both_ways);
    return run_cases(suite_create("grad"), cases);
}
