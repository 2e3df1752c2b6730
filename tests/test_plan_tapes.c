/* test_plan_tapes.c - plans of small tapes in which one thing is out of the ordinary, against the reference execution:
 * with sequences of every length, with little memory, by several threads. */
#include "masked_tapes.h"

/* ---- the tapes */

/* A value that two statements read under different names where all columns are alive. */
static ur_tape *two_states(int which, roots *all)
{
    enum { M = 2 };
    (void)which;
    recording t = begin(BATCH);
    ur_var start = ur_input(t.tape, "a", UR_SHAPE(M, BATCH)), a = start, b = ur_const(t.tape, UR_SHAPE(M, BATCH), 0);
    ur_var loss[STEPS];
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var once = ur_softplus(a), again = ur_softplus(a), net = ur_add(b, once);
        ur_var new_a = ur_tanh(net), new_b = ur_tanh(again), output = ur_tanh(net);
        a = ur_select(t.alive[k], new_a, a);
        b = ur_select(t.alive[k], new_b, b);
        loss[k] = ur_sum(ur_select(t.alive[k], ur_square(output), t.zero));
    }
    ur_step(t.tape, 0);
    ur_var gradient;
    ck_assert(ur_grad(ur_total(STEPS, loss), 1, &start, &gradient));
    add_root(all, gradient);
    return t.tape;
}

/* Values are selected by a row that is no mask: it is read as well, or it is seen through a mask, or it is a state. Where it
 * is 0 the logarithm, which is not selected, is infinite. */
static ur_tape *selected_by(int which, roots *all)
{
    const int64_t M = which == 2 ? 1 : 3;
    recording t = begin(BATCH);
    ur_var row[ROOM], value[STEPS], h = ur_input(t.tape, which == 2 ? "weight" : "h0", UR_SHAPE(M, BATCH)), start = h;
    ur_inputs(t.tape, "weight", UR_SHAPE(1, BATCH), STEPS, row);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var by = which == 2 ? h : which == 1 ? ur_select(t.alive[k], row[k], t.zero) : row[k];
        ur_var chosen = ur_select(by, ur_detach(ur_log(ur_abs(by))), ur_const(t.tape, UR_SCALAR, 2));
        value[k] = h = ur_select(t.alive[k], ur_tanh(ur_mul(h, chosen)), h);
    }
    return end(&t, value, 1, &start, all);
}

/* What the second loop makes of e could be made where e is, but for S, straight code that reads all of the first loop. */
static ur_tape *read_after_all(int which, roots *all)
{
    enum { M = 3 };
    (void)which;
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), a = ur_input(t.tape, "a0", UR_SHAPE(M, BATCH));
    ur_var x[ROOM], e[STEPS], s[STEPS];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        a = ur_tanh(ur_add(ur_matmul(W, a), x[k]));
        e[k] = ur_exp(a);
        s[k] = ur_sum(a);
    }
    ur_step(t.tape, 0);
    ur_var S = ur_tanh(ur_scale(ur_total(STEPS, s), 0.01));
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        s[k] = ur_sum(ur_mul(e[k], S));
    }
    ur_step(t.tape, 0);
    add_root(all, ur_total(STEPS, s));
    return t.tape;
}

/* The gradient by a value that is reshaped, of a sum over the batch: a broadcast of one column under another shape. */
static ur_tape *reshaped(int which, roots *all)
{
    enum { M = 2 };
    (void)which;
    recording t = begin(BATCH);
    ur_var x = ur_input(t.tape, "x", UR_SHAPE(M, BATCH)), c = ur_param(t.tape, "c", UR_SHAPE(M)), gradient;
    ur_var z = ur_reshape(x, UR_SHAPE(1, M, BATCH)), h = ur_reshape(z, UR_SHAPE(M, BATCH));
    ck_assert(ur_grad(ur_sum(ur_mul(ur_sum_over(h, 1), c)), 1, &z, &gradient));
    add_root(all, gradient);
    return t.tape;
}

/* A number stands for a value with the batch where all columns are alive, in sums and in operations on whole arrays; in
 * several blocks, since there is a wide product. */
static ur_tape *number_for_all(int which, roots *all)
{
    enum { M = 2, WIDE = 400, MANY = 200 };
    recording t = begin(MANY);
    ur_var x = ur_param(t.tape, "x", UR_SHAPE(M, MANY)), y = ur_input(t.tape, "y", UR_SHAPE(M, MANY)), value[STEPS];
    ur_var V = ur_param(t.tape, "V", UR_SHAPE(WIDE, M)), rest = ur_select(t.alive[0], t.zero, y);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        value[k] = ur_select(t.alive[k], ur_const(t.tape, UR_SCALAR, 0.4), x);
    }
    ur_step(t.tape, 0);
    add_root(all, ur_gemm(V, true, ur_tanh(ur_matmul(V, y)), false));
    add_root(all, which == 0   ? ur_concat(2, (ur_var[]){rest, y}, 0)
                  : which == 1 ? ur_softmax(rest)
                  : which == 2 ? ur_cumsum(rest, 0, false)
                               : ur_sum_over(rest, 0));
    return end(&t, value, 1, &x, all);
}

/* The same of one row, whose adjoint is a sum of numbers then. */
static ur_tape *number_for_row(int which, roots *all)
{
    (void)which;
    recording t = begin(BATCH);
    ur_var x = ur_param(t.tape, "x", UR_SHAPE(1, BATCH)), value[STEPS];
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        value[k] = ur_select(t.alive[k], ur_const(t.tape, UR_SCALAR, 0.4), x);
    }
    return end(&t, value, 1, &x, all);
}

static ur_var of_columns(int which, ur_var h)
{
    int64_t m = 3;
    switch (which) {
    case 0:
        return ur_softmax(h);
    case 1:
        return ur_layer_norm(h);
    case 2:
        return ur_cumsum(h, 0, false);
    case 3:
        return ur_concat(2, (ur_var[]){ur_slice(h, 0, 1, m - 1), ur_slice(h, 0, 0, 1)}, 0);
    default:
        return ur_reshape(ur_outer(ur_slice(h, 0, 0, 1), h), UR_SHAPE(m, BATCH));
    }
}

/* A start of its own for each sequence, some of which have no step at all. */
static ur_tape *own_starts(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var h = ur_param(t.tape, "h0", UR_SHAPE(M, BATCH)), W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var new = ur_tanh(ur_add(ur_matmul(W, of_columns(which, h)), x[k]));
        h = ur_select(t.alive[k], new, h);
        add_root(all, ur_select(t.alive[k], new, t.zero));
    }
    ur_step(t.tape, 0);
    return t.tape;
}

/* The adjoint of a row v'h, a sum of rows, where the row itself is read by every tile of the same program. */
static ur_tape *row_times_state(int which, roots *all)
{
    enum { M = 4 };
    (void)which;
    recording t = begin(BATCH);
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), v = ur_param(t.tape, "v", UR_SHAPE(M)), value[STEPS];
    ur_var wrt[] = {v, h};
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        value[k] = h = ur_select(t.alive[k], ur_tanh(ur_mul(h, ur_gemm(v, true, h, false))), h);
    }
    return end(&t, value, 2, wrt, all);
}

/* A loop that is one program and has masks, in a plain loop without steps: the form without masks is for those iterations
 * only in which no sequence has ended. */
static ur_tape *one_program(int which, roots *all)
{
    enum { M = 1 };
    (void)which;
    recording t = begin(BATCH);
    ur_var x[ROOM], h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), w = ur_param(t.tape, "w", UR_SCALAR);
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        h = ur_select(t.alive[k], ur_tanh(ur_add(ur_mul(w, h), x[k])), h);
        add_root(all, h);
    }
    return t.tape;
}

/* Two loops forward, which take turns where steps run in segments. */
static ur_tape *two_layers(int which, roots *all)
{
    (void)which;
    recording t = begin(BATCH);
    ur_var x[ROOM], W = ur_param(t.tape, "W", UR_SHAPE(1, 1)), start = ur_input(t.tape, "h0", UR_SHAPE(1, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(1, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        x[k] = ur_gemm(W, true, ur_select(t.alive[k], x[k], t.zero), false);
    }
    for (int layer = 0; layer < 2; layer++) {
        ur_var h = start;
        for (int k = 0; k < STEPS; k++) {
            ur_step(t.tape, k + 1);
            x[k] = h = ur_select(t.alive[k], ur_tanh(ur_add(x[k], ur_scale(h, 0.5))), h);
        }
    }
    return end(&t, x, 2, (ur_var[]){W, start}, all);
}

/* Values that are computed twice: by the same step, by the next one, by one that comes first, under another order of the
 * operands ... */
static ur_var again(int which, const ur_var *x, int k, ur_var a)
{
    const int last = k > 0 ? k - 1 : 0, next = k < STEPS - 1 ? k + 1 : k;
    switch (which) {
    case 1:
        return ur_exp(x[last]);
    case 2:
        return ur_div(ur_exp(a), x[k]);
    case 3:
        return ur_exp(x[next]);
    case 5:
        return ur_max(x[k], x[k]);
    case 7:
        return ur_max(x[k], x[k > 0 ? k : 1]);
    default:
        return ur_exp(x[k]);
    }
}

/* ... and in a loop of their own, that goes the other way, or on to steps past the end of a sequence; a root has the value
 * too, but later. */
static ur_tape *twice(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), a = ur_param(t.tape, "a", UR_SHAPE(M));
    ur_var x[ROOM], once[STEPS], value[STEPS], h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), b = h;
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var last = x[k > 0 ? k - 1 : 0], net = ur_add(ur_matmul(W, h), last);
        once[k] = which == 2 ? ur_div(x[k], ur_exp(a)) : which == 5 ? ur_max(x[k], last) : ur_exp(x[k]);
        if (which == 7)
            once[k] = ur_max(x[k], x[1]);
        ur_var two = again(which, x, k, a);
        h = ur_select(t.alive[k], ur_mul(ur_tanh(net), ur_add(once[k], ur_scale(two, 0.1))), h);
        value[k] = ur_add(h, ur_tanh(net));
        add_root(all, which == 4 ? two : h);
    }
    for (int i = 0; i < STEPS; i++) {
        const int k = which == 6 ? i : STEPS - 1 - i;
        ur_step(t.tape, k + 1);
        b = ur_select(t.alive[k], ur_tanh(ur_add(ur_exp(x[k]), ur_softplus(b))), b);
        value[k] = ur_add(value[k], ur_mul(b, ur_softplus(b)));
        if (which == 6)
            add_root(all, ur_select(t.alive[k], once[k], t.zero));
        if (which == 6 && k + 1 < STEPS)
            value[k] = ur_add(value[k], ur_exp(x[k + 1]));
    }
    return end(&t, value, 2, (ur_var[]){W, a}, all);
}

/* A later loop reads the values of a root in another shape: features in two groups, or one row for all of them. */
static ur_tape *rooted(int which, roots *all)
{
    enum { M = 4 };
    const int rows = which < 2 ? M : 1;
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], o[STEPS];
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(rows, BATCH)), b = ur_input(t.tape, "b0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(rows, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        o[k] = ur_tanh(ur_add(h, x[k]));
        h = ur_select(t.alive[k], o[k], h);
        add_root(all, ur_select(t.alive[k], o[k], t.zero));
    }
    for (int k = STEPS - 1; k >= 0; k--) {
        ur_step(t.tape, k + 1);
        ur_var r = which < 2 ? ur_reshape(o[k], UR_SHAPE(2, 2, BATCH)) : ur_broadcast(o[k], UR_SHAPE(M, BATCH));
        ur_var s = which == 0 ? ur_softmax(r) : which == 1 ? ur_cumsum(r, 1, false) : r;
        s = which < 2 ? ur_reshape(s, UR_SHAPE(M, BATCH)) : which == 2 ? ur_matmul(W, s) : ur_cumsum(s, 0, false);
        b = ur_select(t.alive[k], ur_tanh(ur_add(b, s)), b);
    }
    ur_step(t.tape, 0);
    add_root(all, b);
    return t.tape;
}

/* The adjoint of the upper layer reads sigmoid(h) of a step, which is the lower layer's u of the next one; that of the
 * lower one writes over u. Where steps run in segments, it has been at the next step before. */
static ur_tape *over_next(int which, roots *all)
{
    enum { M = 3 };
    (void)which;
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), start = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), h = start;
    ur_var x[ROOM], g = ur_input(t.tape, "g0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var u = ur_detach(ur_sigmoid(h)), net = ur_gemm(W, true, x[k], false);
        x[k] = h = ur_tanh(ur_add(ur_mul(net, u), ur_scale(h, 0.5)));
    }
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        x[k] = g = ur_tanh(ur_add(ur_bce_net(x[k], start), ur_scale(g, 0.5)));
    }
    return end(&t, x, 2, (ur_var[]){W, start}, all);
}

/* What is made of the upper layer's gradient by its start reads u of the lower layer's first step, before the adjoint of
 * the lower layer writes over u. Where steps run in segments, it is made after that. */
static ur_tape *over_first(int which, roots *all)
{
    enum { M = 3 };
    (void)which;
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), x[ROOM], u[STEPS];
    ur_var start = ur_input(t.tape, "g0", UR_SHAPE(M, BATCH)), g = start, loss[STEPS], gradient[2];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        u[k] = ur_add(ur_matmul(W, h), x[k]);
        x[k] = h = ur_sin(u[k]);
    }
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        g = ur_tanh(ur_add(ur_mul(x[k], g), ur_scale(g, 0.5)));
        loss[k] = ur_sum(ur_select(t.alive[k], ur_square(g), t.zero));
    }
    ur_step(t.tape, 0);
    ur_var sum = ur_total(STEPS, loss);
    ck_assert(ur_grad(sum, 1, &start, &gradient[0]));
    add_root(all, ur_mul(gradient[0], u[0]));
    ck_assert(ur_grad(sum, 1, &W, &gradient[1]));
    add_root(all, gradient[1]);
    return t.tape;
}

/* Where all columns are alive nothing comes of P: its gradient is made of zeros, which are one element of memory. */
static ur_tape *zeros_summed(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var P = ur_param(t.tape, "P", which ? UR_SHAPE(M, M) : UR_SCALAR), x[ROOM], loss[STEPS], gradient;
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var other = ur_add(x[k], which ? ur_matmul(P, h) : P);
        h = ur_tanh(ur_select(t.alive[k], ur_sin(h), other));
        loss[k] = ur_sum(h);
    }
    ur_step(t.tape, 0);
    ck_assert(ur_grad(ur_total(STEPS, loss), 1, &P, &gradient));
    add_root(all, gradient);
    return t.tape;
}

/* Two products of one value are added: both gradients are the same sums over the batch, of several blocks. */
static ur_tape *two_of_a_kind(int which, roots *all)
{
    enum { M = 5 };
    (void)which;
    recording t = begin(BATCH);
    ur_var W[] = {ur_param(t.tape, "W", UR_SHAPE(M, M)), ur_param(t.tape, "V", UR_SHAPE(M, M))}, x[ROOM], loss[STEPS];
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH)), gradient[2];
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var both = ur_add(ur_matmul(W[0], h), ur_matmul(W[1], h));
        h = ur_select(t.alive[k], ur_tanh(ur_add(both, x[k])), h);
        loss[k] = ur_sum(ur_select(t.alive[k], h, t.zero));
    }
    ur_step(t.tape, 0);
    ck_assert(ur_grad(ur_total(STEPS, loss), 2, W, gradient));
    add_roots(all, 2, gradient);
    return t.tape;
}

/* A batch of one column beside a parameter [m], whose adjoint is a sum of [m] and [m,1]. */
static ur_tape *one_column(int which, roots *all)
{
    enum { M = 4 };
    recording t = begin(1);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), V = ur_param(t.tape, "V", UR_SHAPE(M)), x[ROOM], loss[STEPS];
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, 1)), f = ur_matmul(W, V), mean = ur_mean(V), gradient;
    f = ur_reshape(which ? ur_scale(f, 0.4) : f, UR_SHAPE(M, 1));
    ur_inputs(t.tape, "x", UR_SHAPE(M, 1), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        h = ur_tanh(ur_add(ur_add(ur_mul(h, mean), x[k]), f));
        loss[k] = ur_sum(ur_select(t.alive[k], h, t.zero));
    }
    ur_step(t.tape, 0);
    ck_assert(ur_grad(ur_total(STEPS, loss), 1, &V, &gradient));
    add_root(all, gradient);
    return t.tape;
}

/* Sums of all elements: of what a program makes, of an input, of a product or of three dimensions; two in one program,
 * in one sum over time or each by itself. Means: of all elements, of a row, of the batch, and one that the next step
 * reads. */
static ur_tape *totals(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], sum[2 * STEPS], gradient;
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var net = ur_matmul(W, h), z = ur_select(t.alive[k], which == 1 ? x[k] : net, t.zero);
        h = ur_select(t.alive[k], ur_tanh(ur_add(net, x[k])), h);
        if (which == 2)
            z = ur_mul(ur_reshape(z, UR_SHAPE(1, M, BATCH)), ur_outer(h, x[k]));
        sum[k] = ur_sum(which == 0 ? ur_square(z) : z);
        if (which == 5)
            sum[k] = ur_mean(ur_square(z));
        if (which == 6)
            sum[k] = ur_mean(ur_mean_over(z, 0));
        if (which == 7)
            sum[k] = ur_sum(ur_mean_over(z, 1));
        if (which == 8)
            h = ur_add(h, ur_mean(z));
        sum[STEPS + k] = which == 3 ? ur_sum(ur_mul(h, x[k])) : which == 4 ? ur_sum(h) : t.zero;
        if (which == 4)
            add_root(all, sum[k]);
    }
    ur_step(t.tape, 0);
    ur_var loss = ur_total(which == 3 ? 2 * STEPS : STEPS, sum);
    if (which == 4)
        loss = ur_add(loss, ur_square(ur_total(STEPS, sum + STEPS)));
    ck_assert(ur_grad(loss, 1, &W, &gradient));
    add_root(all, gradient);
    add_root(all, loss);
    return t.tape;
}

/* Constants where values of a program are summed up, cut, multiplied or masked: they are nowhere in memory. */
static ur_tape *constants(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), c = ur_const(t.tape, UR_SHAPE(M, BATCH), 0.5);
    ur_var x[ROOM], value[STEPS], row = ur_const(t.tape, UR_SHAPE(1, BATCH), -0.25);
    ur_var h = ur_const(t.tape, UR_SHAPE(M, BATCH), 0.75);
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        ur_var net = ur_add(which ? ur_matmul(W, h) : ur_mul(h, h), x[k]), z = ur_sum_over(h, 0);
        if (which == 1)
            z = ur_sum_over(c, 0);
        if (which == 2)
            z = ur_add(ur_add(ur_sum(c), ur_sum(row)), ur_mean(c));
        if (which == 3)
            z = ur_mul(ur_slice(c, 0, 1, 1), ur_slice(h, 0, 1, 1));
        if (which == 4)
            z = ur_sum_over(ur_select(t.alive[k], c, x[k]), 0);
        if (which == 5)
            z = ur_sum(ur_select(t.alive[k], c, t.zero));
        if (which == 6)
            z = ur_matmul(W, ur_mul(c, row));
        h = ur_select(t.alive[k], ur_tanh(ur_add(net, z)), h);
        value[k] = h;
        add_root(all, h);
    }
    return end(&t, value, which > 0, &W, all);
}

/* Behind a loop: a sum of products within a sum that adds a value of the loop twice, within another sum. */
static ur_tape *sums_in_sums(int which, roots *all)
{
    enum { M = 3 };
    recording t = begin(BATCH);
    ur_var W = ur_param(t.tape, "W", UR_SHAPE(M, M)), x[ROOM], value[STEPS];
    ur_var h = ur_input(t.tape, "h0", UR_SHAPE(M, BATCH));
    (void)which;
    ur_inputs(t.tape, "x", UR_SHAPE(M, BATCH), STEPS, x);
    for (int k = 0; k < STEPS; k++) {
        ur_step(t.tape, k + 1);
        value[k] = h = ur_select(t.alive[k], ur_tanh(ur_mul(h, x[k])), h);
    }
    ur_step(t.tape, 0);
    ur_var inner = ur_total(2, (ur_var[]){ur_matmul(W, ur_sigmoid(h)), x[1]});
    ur_var middle = ur_total(3, (ur_var[]){h, h, inner});
    value[0] = ur_tanh(ur_total(2, (ur_var[]){middle, x[2]}));
    return end(&t, value, 1, &W, all);
}

enum { TOTALS = 9 }; /* variants of one of these */

static const struct {
    const char *name;
    recorder *record;
    int variants;
} tapes[] = {{"two states", two_states, 1},
             {"reshaped", reshaped, 1},
             {"a number for all", number_for_all, 4},
             {"a number for a row", number_for_row, 1},
             {"own starts", own_starts, 5},
             {"row times state", row_times_state, 1},
             {"one program", one_program, 1},
             {"two layers", two_layers, 1},
             {"twice", twice, 8},
             {"rooted", rooted, 4},
             {"over the next", over_next, 1},
             {"over the first", over_first, 1},
             {"zeros summed", zeros_summed, 2},
             {"two of a kind", two_of_a_kind, 1},
             {"one column", one_column, 2},
             {"totals", totals, TOTALS},
             {"constants", constants, 7},
             {"sums in sums", sums_in_sums, 1},
             {"selected by", selected_by, 3},
             {"read after all", read_after_all, 1}};

START_TEST(any_tape)
{
    assert_tapes(tapes[_i].name, tapes[_i].record, tapes[_i].variants);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tapes");
    TCase *cases = tcase_create("tapes");
    tcase_add_loop_test(cases, any_tape, 0, sizeof tapes / sizeof *tapes);
    return run_cases(suite, cases);
}
