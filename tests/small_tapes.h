/* small_tapes.h - small tapes of numbers: leaves with values, what a node is worth, and a little network. Includes
 * Check. */
#ifndef UR_TESTS_SMALL_TAPES_H
#define UR_TESTS_SMALL_TAPES_H

#include "../layers/layers.h"
#include "support.h"

static inline void assert_poisoned(ur_var v)
{
    ck_assert_uint_eq(v.index, UR_NONE);
}

static inline void assert_close(double found, double expected, double tolerance)
{
    ck_assert_msg(fabs(found - expected) <= tolerance * fmax(1, fabs(expected)), "%.17g, %.17g was expected", found,
                  expected);
}

static inline ur_var input(ur_tape *tape, const char *name, ur_shape shape, const double *values)
{
    ur_var v = ur_input(tape, name, shape);
    ck_assert(ur_write(v, ur_shape_count(shape), values));
    return v;
}

static inline ur_var scalar(ur_tape *tape, const char *name, double value)
{
    return input(tape, name, UR_SCALAR, &value);
}

/* The values of n nodes of an f64 tape, one behind another. */
static inline void evaluate(ur_tape *tape, size_t n, const ur_var *v, size_t count, double *out)
{
    size_t found;
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = n, .root = v});
    assert_good(tape, "tape");
    ck_assert(ur_plan_run(plan));
    const double *values = (const double *)ur_plan_roots(plan, &found);
    ck_assert_uint_eq(found, count);
    memcpy(out, values, count * sizeof *out);
    ur_plan_free(plan);
}

static inline double value_of(ur_var v)
{
    double out;
    evaluate(v.tape, 1, &v, 1, &out);
    return out;
}

static inline ur_net_options small_rnn(void)
{
    return (ur_net_options){.cell = ur_cell_find("rnn"),
                            .inputs = 2,
                            .hidden = 3,
                            .outputs = 2,
                            .hidden_activation = UR_TANH,
                            .out = UR_SIGMOID,
                            .loss = UR_BCE,
                            .reduction = UR_SUM_ALL,
                            .weighted = true,
                            .start = UR_START_GIVEN};
}

/* Plans every gradient and behind them the loss. */
static inline ur_plan *plan_gradients(const ur_net *net, ur_plan_options options)
{
    ur_var root[9];
    if (net->params > 8)
        return NULL;
    memcpy(root, net->gradient, net->params * sizeof *root);
    root[net->params] = net->loss;
    options.roots = net->params + 1;
    options.root = root;
    return ur_plan_new(net->tape, &options);
}

#endif
