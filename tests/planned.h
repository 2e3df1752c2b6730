/* planned.h - a plan held against the reference execution: what the tests of plans share. Includes Check. */
#ifndef UR_TESTS_PLANNED_H
#define UR_TESTS_PLANNED_H

#include <stdlib.h>
#include <string.h>

#include "../graph/internal.h"
#include "../graph/plan.h"
#include "../layers/layers.h"
#include "random.h"
#include "support.h"

/* ---- leaves */

typedef enum masks { FULL, MIXED, SORTED, ONE_BLOCK_FULL, DEAD, NEARLY_FULL, FEW, MASKS } masks;

/* The lengths of B sequences of at most T steps. */
static inline void choose_lengths(masks kind, uint64_t *state, size_t B, int64_t T, int64_t *length)
{
    for (size_t b = 0; b < B; b++) {
        int64_t any = (int64_t)pick(state, (size_t)T + 1);
        bool full = kind == FULL || (kind == ONE_BLOCK_FULL && b < B / 2);
        length[b] = full                  ? T
                    : kind == DEAD        ? 0
                    : kind == SORTED      ? T - (int64_t)b * T / (int64_t)B
                    : kind == NEARLY_FULL ? T - (b > B / 2)
                    : kind == FEW         ? (b < B / 3 ? T : 0)
                                          : any;
    }
}

static inline void write_element(const ur_tape *tape, void *data, size_t k, double value)
{
    if (tape->dtype == UR_F64)
        ((double *)data)[k] = value;
    else
        ((float *)data)[k] = (float)value;
}

static inline bool is_named(const ur_tape *tape, size_t leaf, const char *name)
{
    return strcmp(tape->leaf[leaf].name, name) == 0;
}

/* An element of a leaf: a parameter is within -r..r with r = 1/sqrt(first size), an input in -1..1; of those that are named
 * `weight` one in three is 0. */
static inline double draw_element(const ur_tape *tape, size_t leaf, uint64_t *state)
{
    const uint32_t v = tape->leaf[leaf].node;
    const ur_shape shape = ur__shape(tape, v);
    const bool param = ur__op(tape, v) == &ur_op_param && shape.rank > 0;
    if (is_named(tape, leaf, "weight") && pick(state, 3) == 0)
        return 0;
    return draw(state) / (param ? sqrt((double)shape.size[0]) : 1);
}

/* Random numbers for every leaf. An input named `alive` is that of step t, the number of its name's inputs before it: 1 up to
 * a column's length. */
static inline void fill_leaves(ur_tape *tape, uint64_t state, masks kind)
{
    enum { MOST = 512 };
    int64_t length[MOST], t = 0, T = 0;
    for (size_t i = 0; i < tape->leaves; i++)
        T += is_named(tape, i, "alive");
    for (size_t i = 0; i < tape->leaves; i++) {
        const uint32_t v = tape->leaf[i].node;
        const size_t elements = ur_shape_count(ur__shape(tape, v));
        const bool mask = is_named(tape, i, "alive");
        if (mask && t == 0)
            choose_lengths(kind, &state, elements < MOST ? elements : MOST, T, length);
        for (size_t k = 0; k < elements; k++)
            write_element(tape, ur__leaf_data(tape, v), k,
                          mask ? (double)(t < length[k]) : draw_element(tape, i, &state));
        t += mask;
    }
}

/* ---- both executions */

enum { MOST_ROOTS = 1000 };

typedef struct roots {
    size_t count;
    ur_var root[MOST_ROOTS];
} roots;

static inline void add_root(roots *all, ur_var v)
{
    ck_assert_uint_lt(all->count, MOST_ROOTS);
    all->root[all->count++] = v;
}

static inline void add_roots(roots *all, size_t n, const ur_var *v)
{
    for (size_t i = 0; i < n; i++)
        add_root(all, v[i]);
}

/* The gradient of y by every parameter. */
static inline void add_gradients(roots *all, ur_tape *tape, ur_var y)
{
    ur_var wrt[64];
    size_t n = 0;
    while (n < 64 && ur_param_at(tape, n, &wrt[n], NULL, NULL))
        n++;
    ck_assert_msg(ur_grad(y, n, wrt, wrt), "%s", ur_tape_error(tape));
    add_roots(all, n, wrt);
}

static inline size_t count_of(ur_var v)
{
    return ur_shape_count(ur__shape(v.tape, v.index));
}

static inline ur_plan *plan_of(const char *what, ur_tape *tape, const roots *all, bool reference)
{
    assert_good(tape, what);
    ur_plan *plan =
        ur_plan_new(tape, &(ur_plan_options){.reference = reference, .roots = all->count, .root = all->root});
    ck_assert_msg(plan != NULL, "%s: %s", what, ur_tape_error(tape));
    return plan;
}

/* What a plan has not written is NaN. */
static inline void poison(ur_plan *plan)
{
    if (plan->reference)
        return;
    memset(plan->form.at[UR__AREA_MEMORY], 0xff, plan->form.roots ? plan->form.root_bytes : 0);
    memset(plan->form.at[UR__AREA_SUMS], 0xff, plan->form.bytes[UR__AREA_SUMS]);
    memset(plan->form.at[UR__AREA_BLOCK], 0xff, plan->form.bytes[UR__AREA_BLOCK]);
    memset(plan->form.at[UR__AREA_ROOMS], 0xff, plan->form.bytes[UR__AREA_ROOMS]);
    memset(plan->form.at[UR__AREA_SCRATCH], 0xff, plan->form.bytes[UR__AREA_SCRATCH]);
}

static inline double *read_value(ur_plan *plan, ur_var v, double *room)
{
    ck_assert_msg(ur_read(plan, v, count_of(v), room), "%s", ur_tape_error(v.tape));
    return room;
}

/* Runs both and compares every root: the error is at most `tolerance` of the array's largest element, or of 0.1 where
 * values cancel each other. */
static inline void assert_same_values(const char *what, ur_plan *plan, ur_plan *reference, const roots *all,
                                      double tolerance)
{
    poison(plan);
    ck_assert_msg(ur_plan_run(plan), "%s: %s", what, ur_tape_error(plan->form.tape));
    ck_assert_msg(ur_plan_run(reference), "%s: %s", what, ur_tape_error(plan->form.tape));
    size_t most = 1;
    for (size_t i = 0; i < all->count; i++)
        most = most < count_of(all->root[i]) ? count_of(all->root[i]) : most;
    double *found = (double *)malloc(2 * most * sizeof *found), *expected = found + most;
    ck_assert_ptr_nonnull(found);
    for (size_t i = 0; i < all->count; i++) {
        size_t count = count_of(all->root[i]);
        read_value(plan, all->root[i], found);
        read_value(reference, all->root[i], expected);
        double error = distance(count, found, expected), scale = largest(count, expected);
        if (!(error <= tolerance * fmax(scale, 0.1)) ||
            !isfinite(scale)) /* a message for each root would take its time */
            ck_abort_msg("%s: root %zu of %zu is %g away, the largest element is %g; %zu blocks of %zu, batch %lld",
                         what, i, all->count, error, scale, plan->form.blocks, plan->form.width,
                         (long long)plan->form.batch);
    }
    free(found);
}

static inline double tolerance_of(const ur_tape *tape)
{
    return tape->dtype == UR_F64 ? 1e-12 : 1e-4;
}

/* Plans the roots, runs both executions with masks of every kind that is asked for (bits), and frees the plans. Returns
 * the number of blocks. */
static inline size_t assert_planned(const char *what, ur_tape *tape, const roots *all, unsigned kinds, double tolerance)
{
    ur_plan *plan = plan_of(what, tape, all, false), *reference = plan_of(what, tape, all, true);
    for (int k = 0; k < MASKS; k++) {
        char text[256];
        if (!(kinds >> k & 1))
            continue;
        snprintf(text, sizeof text, "%s, masks %d", what, k);
        fill_leaves(tape, seed_of(k), (masks)k);
        assert_same_values(text, plan, reference, all, tolerance);
    }
    size_t blocks = plan->form.blocks;
    ur_plan_free(plan);
    ur_plan_free(reference);
    return blocks;
}

/* ---- little memory, several threads */

/* Records tape number `which`, and what is asked of it. */
typedef ur_tape *recorder(int which, roots *all);

/* The fewest bytes that a plan can do with, as its refusal tells; that spoils a tape. */
static inline size_t least_bytes(recorder *record, int which)
{
    roots all = {0};
    ur_tape *tape = record(which, &all);
    ck_assert_ptr_null(ur_plan_new(tape, &(ur_plan_options){.roots = all.count, .root = all.root, .memory = 1}));
    const char *text = strstr(ur_tape_error(tape), "at least ");
    ck_assert_msg(text != NULL, "%s", ur_tape_error(tape));
    size_t least = strtoul(text + strlen("at least "), NULL, 10);
    ur_tape_free(tape);
    return least;
}

static inline void assert_same_bits(const char *what, ur_plan *a, ur_plan *b)
{
    size_t n, m;
    const void *x = ur_plan_roots(a, &n), *y = ur_plan_roots(b, &m);
    ck_assert_uint_eq(n, m);
    ck_assert_msg(memcmp(x, y, n * ur_dtype_bytes(a->form.tape->dtype)) == 0, "%s: other bits with several threads",
                  what);
}

/* The plan within so many bytes, by one thread and by three, with masks of every kind. */
static inline void assert_within(const char *what, ur_tape *tape, const roots *all, size_t memory, ur_pool *pool,
                                 double tolerance)
{
    ur_plan_options options = {.roots = all->count, .root = all->root, .memory = memory};
    ur_plan *one = ur_plan_new(tape, &options), *reference = plan_of(what, tape, all, true);
    options.pool = pool;
    ur_plan *many = ur_plan_new(tape, &options);
    assert_good(tape, what);
    for (int kind = 0; kind < MASKS; kind++) {
        char text[256];
        snprintf(text, sizeof text, "%s, masks %d, %zu bytes, %zu segments", what, kind, memory, one->form.segments);
        fill_leaves(tape, seed_of(kind), (masks)kind);
        assert_same_values(text, one, reference, all, tolerance);
        assert_same_values(text, many, reference, all, tolerance);
        assert_same_bits(text, one, many);
    }
    ck_assert_uint_le(ur_plan_bytes(one), memory);
    ck_assert_uint_le(ur_plan_bytes(many), memory);
    ur_plan_free(one);
    ur_plan_free(many);
    ur_plan_free(reference);
}

/* Within the fewest bytes, within some more, and within what the plan takes by itself. */
static inline void assert_budgets(const char *what, recorder *record, int which, double tolerance)
{
    uint64_t state = seed_of(which);
    roots all = {0};
    ur_tape *tape = record(which, &all);
    ur_pool *pool = ur_pool_new(3, NULL);
    ur_plan *plan = plan_of(what, tape, &all, false);
    size_t least = least_bytes(record, which), own = ur_plan_bytes(plan);
    ck_assert_uint_le(least, own);
    assert_within(what, tape, &all, least, pool, tolerance);
    assert_within(what, tape, &all, least + pick(&state, own - least + 1), pool, tolerance);
    assert_within(what, tape, &all, own, pool, tolerance);
    ur_plan_free(plan);
    ur_pool_free(pool);
    ur_tape_free(tape);
}

#endif
