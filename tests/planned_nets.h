/* planned_nets.h - networks as planned.h takes them: what is read of one, and what it reads. */
#ifndef UR_TESTS_PLANNED_NETS_H
#define UR_TESTS_PLANNED_NETS_H

#include "../layers/layers.h"
#include "planned.h"

/* What there is to be read of the network, and what there is to be differentiated by. */
static inline void add_net(roots *all, ur_net *net)
{
    ck_assert(ur_net_differentiate(net));
    add_roots(all, net->params, net->gradient);
    add_root(all, net->loss);
    add_roots(all, (size_t)net->steps, net->o);
    for (size_t i = 0; i < net->states; i++)
        add_root(all, net->state[i].final);
    for (size_t i = 0; i < net->averages; i++)
        add_root(all, net->average[i].next);
    if (net->options.bptt)
        return;
    ur_var gradient[128];
    ck_assert(ur_grad(net->loss, (size_t)net->steps, net->x, gradient));
    add_roots(all, (size_t)net->steps, gradient);
}

/* Random parameters and inputs. What stands past the lengths is NaN. */
static inline void fill_net(ur_net *net, uint64_t state, masks kind)
{
    int64_t length[256], d = net->options.inputs, p = ur_net_outputs(&net->options), B = net->batch, T = net->steps;
    size_t n = (size_t)(B * T);
    fill_leaves(net->tape, state, FULL);
    choose_lengths(kind, &state, (size_t)B, T, length);
    ck_assert(n > 0);
    double *x = (double *)calloc(n * (size_t)(d + p + 1), sizeof *x), *y = x + n * (size_t)d, *w = y + n * (size_t)p;
    ck_assert_ptr_nonnull(x);
    for (size_t k = 0; k < n * (size_t)d; k++)
        x[k] = (int64_t)(k / (size_t)d) % T < length[(int64_t)k / d / T] ? draw(&state) : NAN;
    for (size_t k = 0; k < n * (size_t)p; k++)
        y[k] = (int64_t)(k / (size_t)p) % T < length[(int64_t)k / p / T] ? (double)(k % (size_t)p == 0) : NAN;
    for (size_t k = 0; k < n; k++)
        w[k] = (double)pick(&state, 3);
    for (size_t i = 0; i < net->averages; i++) /* a variance is positive */
        for (size_t k = 0; k < count_of(net->average[i].leaf); k++)
            write_element(net->tape, ur_leaf(net->average[i].leaf), k, 0.5 + 0.1 * (double)k);
    for (size_t i = 0; i < net->states; i++) /* and so is what slstm and mlstm divide by */
        for (size_t k = 0; net->options.start == UR_START_GIVEN && k < count_of(net->state[i].start); k++)
            write_element(net->tape, ur_leaf(net->state[i].start), k, 1 + 0.01 * (double)(k % 90));
    const double step = kind == MIXED ? -1 : 7; /* below 0: not in training */
    ur_data data = {.n = B, .steps = T, .inputs = d, .outputs = p, .x = x, .y = y, .lengths = length};
    data.weight = net->options.weighted ? w : NULL;
    ck_assert_msg(ur_net_bind(net, &data, 0, B), "%s", ur_tape_error(net->tape));
    if (net->options.dropout > 0 || net->options.recurrent_dropout > 0 || net->options.batch_norm)
        ck_assert(ur_write(net->training, 1, &step));
    free(x);
}

#endif
