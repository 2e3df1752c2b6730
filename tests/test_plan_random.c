/* test_plan_random.c - plans of random recurrent networks, with all the memory they like and with little, by one thread
 * and by several, against the reference execution.
 *
 * A seed makes a recipe: statements of one step, of five types of values, whose operands are values of this step, of up
 * to three steps before, inputs of this, the next or the mirrored step, parameters, constants. The recipe is recorded
 * for every step, now and then with a statement replaced, and differentiated once or twice by whatever there is. From
 * seed MORE_LOSSES on every step adds losses of several kinds, perhaps one of them twice.
 * UR_TEST_SEED=n runs one seed. */
#include "own_ops.h"
#include "planned.h"

typedef enum form { WIDE, ROW, COLUMN, NUMBER, MATRIX, FORMS } form; /* [M,B], [1,B], [M], [], [M,M] */

enum { MOST_STEPS = 40, MOST_STATEMENTS = 16, FIXED = 6, MORE_LOSSES = 10000, MOST_LOSSES = 3 };
#define TOLERANCE 1e-9 /* some of the recipes lose digits */

/* An operand: where it comes from, and which one of those. */
typedef struct operand {
    enum place { HERE, PAST, INPUT, NEXT, MIRRORED, SET, PLACES } place;
    size_t k;
    int64_t delay;
} operand;

typedef struct statement {
    form type;
    size_t kind, squash;
    operand in[3];
} statement;

/* A loss of a step: of which values, where the sequence has not ended or everywhere, summed up in which way. */
typedef struct error {
    size_t kind, value, target, sum;
    bool masked;
} error;

typedef struct cell {
    ur_tape *tape;
    int64_t m, b, steps;
    size_t statements, total[FORMS]; /* of one step */
    statement body[MOST_STATEMENTS];
    size_t errors;
    error error[MOST_LOSSES];
    bool mixing; /* columns may know of each other */
    bool wide;   /* a projection to many rows, for many blocks */
    ur_var fixed[FORMS][FIXED], start[FORMS][3];
    ur_var input[FORMS][MOST_STEPS], alive[MOST_STEPS];
    ur_var value[MOST_STEPS][FORMS][MOST_STATEMENTS];
    size_t count[FORMS]; /* of the step at hand */
} cell;

static ur_shape shape_of(const cell *c, form type)
{
    switch (type) {
    case WIDE:
        return UR_SHAPE(c->m, c->b);
    case ROW:
        return UR_SHAPE(1, c->b);
    case COLUMN:
        return UR_SHAPE(c->m);
    case MATRIX:
        return UR_SHAPE(c->m, c->m);
    default:
        return UR_SCALAR;
    }
}

/* ---- statements */

static ur_var find(const cell *c, int64_t t, const operand *o, form type)
{
    switch (o->place) {
    case HERE:
        if (c->count[type] > 0)
            return c->value[t][type][c->count[type] - 1 - o->k % c->count[type]];
        break;
    case PAST:
        if (c->total[type] > 0)
            return t >= o->delay ? c->value[t - o->delay][type][o->k % c->total[type]] : c->start[type][o->k % 3];
        break;
    case INPUT:
        return c->input[type][t];
    case NEXT:
        return c->input[type][t + 1 < c->steps ? t + 1 : t];
    case MIRRORED:
        return c->input[type][c->steps - 1 - t];
    default:
        break;
    }
    return c->fixed[type][o->k % FIXED];
}

static ur_var one_of(size_t kind, ur_var a)
{
    static ur_var (*const maps[])(ur_var) = {ur_tanh, ur_sigmoid,     ur_neg,      ur_one_minus, ur_square,
                                             ur_sin,  ur_cos,         ur_softplus, ur_erf,       ur_gelu,
                                             ur_silu, ur_log_sigmoid, ur_relu};
    return maps[kind % (sizeof maps / sizeof *maps)](a);
}

static ur_var two_of(size_t kind, ur_var a, ur_var b)
{
    switch (kind % 7) {
    case 0:
        return ur_add(a, b);
    case 1:
        return ur_sub(a, b);
    case 2:
        return ur_mul(a, b);
    case 3:
        return ur_div(a, ur_add(ur_square(b), ur_const(a.tape, UR_SCALAR, 1)));
    case 4:
        return ur_max(a, b);
    case 5:
        return wave(a, b, 0.7);
    default:
        return ur_mul(a, ur_one_minus(ur_square(b)));
    }
}

/* The type of an elementwise result's second operand. */
static form narrower(form type, size_t k)
{
    static const form of_wide[] = {WIDE, WIDE, WIDE, ROW, COLUMN, NUMBER}, of_row[] = {ROW, ROW, NUMBER},
                      of_column[] = {COLUMN, COLUMN, NUMBER}, of_matrix[] = {MATRIX, COLUMN, NUMBER};
    switch (type) {
    case WIDE:
        return of_wide[k % 6];
    case ROW:
        return of_row[k % 3];
    case COLUMN:
        return of_column[k % 3];
    case MATRIX:
        return of_matrix[k % 3];
    default:
        return NUMBER;
    }
}

static ur_var wide_statement(const cell *c, int64_t t, const statement *s)
{
    const operand *in = s->in;
    ur_var a = find(c, t, &in[0], WIDE), b = find(c, t, &in[1], WIDE), d = find(c, t, &in[2], WIDE);
    ur_var W = find(c, t, &in[1], MATRIX), row = find(c, t, &in[1], ROW);
    ur_shape wide = shape_of(c, WIDE), tall = UR_SHAPE(c->m, 1, c->b), flat = UR_SHAPE(1, c->m, c->b);
    switch (s->kind % (c->mixing ? 24 : 20)) {
    case 0:
    case 1:
    case 2:
        return ur_gemm(W, s->kind & 32, a, false);
    case 3:
        return ur_add(ur_gemm(W, true, a, false), ur_gemm(find(c, t, &in[2], MATRIX), s->kind & 32, b, false));
    case 4:
        return ur_add(ur_add(ur_matmul(W, a), find(c, t, &in[2], COLUMN)), b);
    case 5:
        return ur_total(2 + s->kind / 32 % 4, (ur_var[]){a, b, a, a, d});
    case 6:
        return ur_total(3, (ur_var[]){ur_matmul(W, a), b, ur_mul(a, d)});
    case 7:
        return ur_select(c->alive[t], a, s->kind & 32 ? b : ur_const(c->tape, UR_SCALAR, 0));
    case 8:
        return ur_select(ur_step_function(s->kind & 32 ? a : row), b, d);
    case 9:
        return ur_add(ur_mul(a, b), ur_mul(ur_one_minus(a), d));
    case 10:
        return s->kind & 32 ? ur_softmax(a) : ur_layer_norm(a);
    case 11:
        return ur_concat(2, (ur_var[]){ur_slice(a, 0, 1, c->m - 1), ur_slice(b, 0, 0, 1)}, 0);
    case 12:
        return ur_broadcast(s->kind & 32 ? row : find(c, t, &in[0], COLUMN), wide);
    case 13:
        return s->kind & 32 ? ur_detach(a) : ur_reshape(ur_reshape(a, tall), wide);
    case 14:
        return ur_cumsum(a, 0, s->kind & 32);
    case 15:
        return rotate(a, 1);
    case 16: /* sum_j a_i b_j d_j */
        return ur_reshape(ur_bmm(ur_outer(a, b), false, ur_reshape(d, tall), false), wide);
    case 17:
        return ur_reshape(ur_sum_over(ur_mul(ur_outer(a, b), ur_reshape(d, flat)), 1), wide);
    case 18:
    case 19:
        return two_of(s->kind / 32, a, find(c, t, &in[1], narrower(WIDE, s->kind)));
    case 20:
        return ur_sub(a, ur_mean_over(b, 1));
    case 21:
        return ur_matmul(a, ur_softmax(ur_gemm(b, true, d, false)));
    case 22:
        return reverse(a);
    default:
        return ur_transpose(ur_tanh(ur_transpose(a, 0, 1)), 0, 1);
    }
}

static ur_var row_statement(const cell *c, int64_t t, const statement *s)
{
    ur_var a = find(c, t, &s->in[0], WIDE), r = find(c, t, &s->in[1], ROW);
    switch (s->kind % 7) {
    case 0:
        return ur_mean_over(a, 0);
    case 1:
        return ur_max_over(a, 0);
    case 2:
        return ur_gemm(find(c, t, &s->in[1], COLUMN), true, a, false);
    case 3:
        return ur_select(c->alive[t], r, find(c, t, &s->in[2], ROW));
    case 4:
        return one_of(s->kind / 7, r);
    case 5:
        return ur_sum_over(ur_mul(a, find(c, t, &s->in[2], WIDE)), 0);
    default:
        return two_of(s->kind / 7, r, find(c, t, &s->in[2], narrower(ROW, s->kind)));
    }
}

static ur_var column_statement(const cell *c, int64_t t, const statement *s)
{
    ur_var a = find(c, t, &s->in[0], COLUMN);
    switch (s->kind % (c->mixing ? 7 : 5)) {
    case 0:
        return ur_gemm(find(c, t, &s->in[1], MATRIX), s->kind & 32, a, false);
    case 1:
        return ur_mean_over(find(c, t, &s->in[1], MATRIX), 1);
    case 2:
        return one_of(s->kind / 7, a);
    case 3:
    case 4:
        return two_of(s->kind / 7, a, find(c, t, &s->in[2], narrower(COLUMN, s->kind)));
    case 5:
        return ur_mean_over(find(c, t, &s->in[1], WIDE), 1);
    default:
        return ur_reduce_to(find(c, t, &s->in[1], WIDE), UR_SHAPE(c->m, 1));
    }
}

static ur_var other_statement(const cell *c, int64_t t, const statement *s)
{
    ur_var a = find(c, t, &s->in[0], s->type), W = find(c, t, &s->in[1], MATRIX), v = find(c, t, &s->in[1], COLUMN);
    switch (s->kind % (c->mixing ? 6 : 5)) {
    case 0:
        return one_of(s->kind / 6, a);
    case 1:
        return two_of(s->kind / 6, a, find(c, t, &s->in[1], narrower(s->type, s->kind)));
    case 2:
        return s->type == NUMBER ? ur_mean(v) : ur_gemm(a, s->kind & 32, W, s->kind & 64);
    case 3: /* weight normalisation, of columns */
        return s->type == NUMBER ? ur_norm(ur_add(ur_square(v), ur_const(c->tape, UR_SCALAR, 0.1)))
                                 : ur_div(W, ur_norm_over(ur_add(ur_square(W), ur_const(c->tape, UR_SCALAR, 0.1)), 0));
    case 4:
        return s->type == NUMBER ? ur_mean(W) : ur_gemm(v, false, v, true);
    default:
        return s->type == NUMBER
                   ? ur_mean(find(c, t, &s->in[2], WIDE))
                   : ur_scale(ur_gemm(find(c, t, &s->in[2], WIDE), false, find(c, t, &s->in[1], WIDE), true),
                              1 / (double)c->b);
    }
}

static ur_var record(const cell *c, int64_t t, const statement *s)
{
    ur_var y = s->type == WIDE     ? wide_statement(c, t, s)
               : s->type == ROW    ? row_statement(c, t, s)
               : s->type == COLUMN ? column_statement(c, t, s)
                                   : other_statement(c, t, s);
    switch (s->squash) {
    case 0:
        return y;
    case 1:
        return ur_sigmoid(y);
    case 2:
        return ur_sin(y);
    case 3:
        return ur_scale(y, 0.3);
    default:
        return ur_tanh(y);
    }
}

static ur_var record_error(const cell *c, int64_t t, const error *e)
{
    ur_var a = find(c, t, &(operand){.place = HERE, .k = e->value}, WIDE), y = c->fixed[WIDE][e->target % FIXED];
    switch (e->kind) {
    case 0:
        a = ur_square(a);
        break;
    case 1:
        a = ur_squared_error(a, c->input[WIDE][t]);
        break;
    case 2:
        a = ur_softplus(a);
        break;
    case 3:
        a = ur_mul(a, y);
        break;
    case 4:
        a = ur_bce_net(a, c->fixed[COLUMN][e->target % FIXED]);
        break;
    default:
        a = ur_bce_net(a, e->target % 2 ? y : c->input[WIDE][t]);
    }
    if (e->masked)
        a = ur_select(c->alive[t], a, ur_const(c->tape, UR_SCALAR, 0));
    return e->sum == 0 ? ur_mean(a) : e->sum == 1 ? ur_sum(ur_sum_over(a, 0)) : ur_sum(a);
}

static size_t record_errors(const cell *c, int64_t t, ur_var *loss)
{
    for (size_t i = 0; i < c->errors; i++)
        loss[i] = record_error(c, t, &c->error[i]);
    return c->errors;
}

/* ---- the recipe */

static statement new_statement(uint64_t *state, form type)
{
    statement s = {.type = type, .kind = pick(state, 1 << 12), .squash = pick(state, 8)};
    for (int k = 0; k < 3; k++)
        s.in[k] = (operand){.place = pick(state, 2)   ? HERE
                                     : pick(state, 2) ? PAST
                                                      : (enum place)pick(state, PLACES),
                            .k = pick(state, 3) ? pick(state, 2) : pick(state, 97),
                            .delay = pick(state, 4) ? 1 : 1 + (int64_t)pick(state, 3)};
    return s;
}

static void choose(cell *c, uint64_t *state)
{
    static const int64_t batch[] = {1, 3, 5, 8, 13, 16, 37}, units[] = {2, 3, 4, 5, 8, 13};
    static const form types[] = {WIDE, WIDE, WIDE, WIDE, WIDE, WIDE, ROW, ROW, COLUMN, NUMBER, MATRIX};
    c->b = batch[pick(state, 7)];
    c->m = units[pick(state, 6)];
    c->steps = 1 + (int64_t)pick(state, pick(state, 3) ? 7 : 20);
    c->mixing = pick(state, 4) == 0;
    c->wide = pick(state, 4) == 0;
    if (c->wide) {
        c->b = 60 + (int64_t)pick(state, 50);
        c->steps = 2 + (int64_t)pick(state, 8);
    }
    c->statements = 2 + pick(state, MOST_STATEMENTS - 2);
    for (size_t i = 0; i < c->statements; i++) {
        c->body[i] = new_statement(state, i + 1 == c->statements ? WIDE : types[pick(state, 11)]);
        c->total[c->body[i].type]++;
    }
}

static void choose_errors(cell *c, uint64_t *state)
{
    c->errors = 1 + pick(state, MOST_LOSSES);
    for (size_t i = 0; i < c->errors; i++)
        c->error[i] = i > 0 && pick(state, 3) == 0 ? c->error[0]
                                                   : (error){.kind = pick(state, 8),
                                                             .value = pick(state, 2) ? 0 : pick(state, 97),
                                                             .target = pick(state, 97),
                                                             .sum = pick(state, 5),
                                                             .masked = pick(state, 3) > 0};
}

static void record_leaves(cell *c, uint64_t *state)
{
    static const char *const names[] = {"wide", "row", "column", "number", "matrix"};
    for (form type = WIDE; type < FORMS; type++) {
        ur_shape shape = shape_of(c, type);
        char name[64];
        for (int k = 0; k < FIXED; k++) {
            snprintf(name, sizeof name, "%s%d", names[type], k);
            c->fixed[type][k] = k == 5   ? ur_const(c->tape, shape, 0.4)
                                : k == 4 ? ur_input(c->tape, name, shape)
                                : k == 3 ? ur_tanh(c->fixed[type][1])
                                         : ur_param(c->tape, name, shape);
        }
        snprintf(name, sizeof name, "%s start", names[type]);
        c->start[type][0] = ur_input(c->tape, name, shape);
        c->start[type][1] = ur_const(c->tape, shape, 0);
        c->start[type][2] = pick(state, 2) ? c->fixed[type][0] : ur_sigmoid(c->fixed[type][4]);
        snprintf(name, sizeof name, "%s at", names[type]);
        ur_inputs(c->tape, name, shape, c->steps, c->input[type]);
    }
    ur_inputs(c->tape, "alive", UR_SHAPE(1, c->b), c->steps, c->alive);
}

/* Records all steps; some statements are replaced in some steps. Returns the loss. */
static ur_var record_steps(cell *c, uint64_t *state, roots *all)
{
    bool marked = pick(state, 4) > 0, odd = pick(state, 6) == 0, every = pick(state, 2), apart = pick(state, 3) == 0;
    ur_var loss[(1 + MOST_LOSSES) * MOST_STEPS], V = ur_param(c->tape, "V", UR_SHAPE(160, c->m));
    size_t losses = 0, part = pick(state, 5);
    for (int64_t t = 0; t < c->steps; t++) {
        ur_step(c->tape, marked ? t + 1 : 0);
        memset(c->count, 0, sizeof c->count);
        for (size_t i = 0; i < c->statements; i++) {
            statement s = c->body[i];
            if (odd && pick(state, 30) == 0)
                s = new_statement(state, s.type);
            ur_var v = record(c, t, &s);
            c->value[t][s.type][c->count[s.type]++] = v;
        }
        ur_var last = c->value[t][WIDE][c->count[WIDE] - 1];
        if (c->wide)
            last = ur_tanh(ur_matmul(V, last));
        if ((every || t + 1 == c->steps) && !apart)
            loss[losses++] =
                ur_sum(part == 1 ? ur_select(c->alive[t], last, ur_const(c->tape, UR_SCALAR, 0)) : ur_square(last));
        losses += record_errors(c, t, loss + losses);
        if (pick(state, 12) == 0)
            add_root(all, last);
    }
    for (int64_t t = 0; t < c->steps && apart; t++) {
        ur_step(c->tape, marked ? t + 1 : 0);
        if (every || t + 1 == c->steps)
            loss[losses++] = ur_sum(ur_sin(c->value[t][WIDE][part % c->total[WIDE]]));
    }
    ur_step(c->tape, 0);
    ur_var sum = loss[0];
    if (part != 2)
        return ur_total(losses, loss);
    for (size_t k = 1; k < losses; k++)
        sum = ur_add(sum, loss[k]);
    return sum;
}

/* Gradients by parameters, inputs, values of a step; and perhaps those of one of these. */
static void differentiate(cell *c, uint64_t *state, ur_var loss, roots *all)
{
    ur_var wrt[64], first[64];
    size_t n = 0;
    for (int k = 0; k < 12; k++) {
        form type = (form)pick(state, FORMS);
        int64_t t = (int64_t)pick(state, (size_t)c->steps);
        wrt[n++] = k % 3 == 0 ? c->input[type][t] : k % 3 == 1 ? c->fixed[type][pick(state, 3)] : c->value[t][WIDE][0];
    }
    ck_assert_msg(ur_grad(loss, n, wrt, first), "%s", ur_tape_error(c->tape));
    add_roots(all, n, first);
    if (pick(state, 2))
        add_gradients(all, c->tape, loss);
    if (pick(state, 4) == 0)
        add_gradients(all, c->tape, ur_sum(ur_square(first[pick(state, n)])));
    if (pick(state, 4) == 0)
        add_root(all, loss);
}

/* Is every root of moderate size? */
static bool is_tame(ur_tape *tape, const roots *all)
{
    ur_plan *reference = plan_of("tame", tape, all, true);
    bool tame = ur_plan_run(reference);
    for (size_t i = 0; i < all->count && tame; i++) {
        size_t count = count_of(all->root[i]);
        double *value = (double *)malloc(count * sizeof *value);
        ck_assert_ptr_nonnull(value);
        tame = largest(count, read_value(reference, all->root[i], value)) < 1e6;
        free(value);
    }
    ur_plan_free(reference);
    return tame;
}

/* The tape of a seed, and what is asked of it. */
static ur_tape *record_seed(int seed, roots *all)
{
    static cell c;
    uint64_t state = seed_of(seed);
    c = (cell){.tape = new_tape(UR_F64)};
    choose(&c, &state);
    if (seed >= MORE_LOSSES) {
        uint64_t own = seed_of(seed - MORE_LOSSES);
        choose_errors(&c, &own);
    }
    record_leaves(&c, &state);
    ur_var loss = record_steps(&c, &state, all);
    differentiate(&c, &state, loss, all);
    return c.tape;
}

static bool try_seed(int seed, size_t *blocks)
{
    char what[64];
    roots all = {0};
    snprintf(what, sizeof what, "UR_TEST_SEED=%d", seed);
    ur_tape *tape = record_seed(seed, &all);
    assert_good(tape, what);
    fill_leaves(tape, seed_of(0), FULL);
    bool tame = is_tame(tape, &all);
    *blocks = tame ? assert_planned(what, tape, &all, 1 << FULL | 1 << MIXED | 1 << ONE_BLOCK_FULL, TOLERANCE) : 0;
    if (tame)
        assert_budgets(what, record_seed, seed, TOLERANCE);
    ur_tape_free(tape);
    return tame;
}

enum { SEEDS = 40 };

static int number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

START_TEST(any_cell)
{
    size_t tame = 0, several = 0, blocks;
    const char *one = getenv("UR_TEST_SEED");
    for (int k = 0; k < SEEDS && (!one || k == 0); k++) {
        tame += try_seed(one ? number(one) : _i % 2 * MORE_LOSSES + _i / 2 * SEEDS + k, &blocks);
        several += blocks > 1;
    }
    ck_assert_msg(one || (tame > SEEDS / 2), "%zu tame, %zu in several blocks", tame, several);
}
END_TEST

/* Seeds whose plans were wrong once. */
START_TEST(old_ones)
{
    static const int seeds[] = {2181, 3670, 4656, 2151, 3881, 4893, 5041, 159227};
    size_t blocks;
    ck_assert(try_seed(seeds[_i], &blocks));
}
END_TEST

int main(void)
{
    enum { OLD = 8 };
    Suite *suite = suite_create("random plans");
    TCase *cases = tcase_create("random plans");
    const char *one = getenv("UR_TEST_SEED"), *many = getenv("UR_TEST_SEEDS");
    tcase_add_loop_test(cases, any_cell, 0, one ? 1 : many ? number(many) / SEEDS : 10);
    tcase_add_loop_test(cases, old_ones, 0, OLD);
    return run_cases(suite, cases);
}
