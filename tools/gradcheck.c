/* gradcheck.c - `unroll gradcheck`: autodiff against central differences, every parameter and every input. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "setup.h"

/* The problem of the check: random data and weights, the leaves, their gradients and the results. */
typedef struct problem {
    const options *o;
    ur_data *data;
    ur_tape *tape;
    ur_net *net;
    size_t leaves;
    ur_var y, *leaf, *gradient;
    ur_check_result *result;
} problem;

enum { SEQUENCES = 3, STEPS = 5, PLACE = 192 };

/* ---- setting up */

static double uniform(const problem *p, const char *stream, size_t i, double low, double high)
{
    return low + (high - low) * ur_random(setup_seed(p->o), stream, i);
}

static bool make_data(problem *p, const ur_net_options *net)
{
    static const int64_t lengths[SEQUENCES] = {STEPS, 3, 1};
    int64_t outputs = ur_net_outputs(net);
    ur_error error = {{0}};
    p->data = ur_data_new(SEQUENCES, STEPS, net->inputs, outputs, UR_DATA_LENGTHS, NULL, &error);
    if (!p->data)
        return refuse("%s", error.text);
    memcpy(p->data->lengths, lengths, sizeof lengths);
    double low = net->loss == UR_MSE ? -1 : 0.1, high = net->loss == UR_MSE ? 1 : 0.9;
    for (size_t i = 0; i < (size_t)SEQUENCES * STEPS * (size_t)net->inputs; i++)
        p->data->x[i] = uniform(p, "gradcheck/x", i, -1, 1);
    for (size_t i = 0; i < (size_t)SEQUENCES * STEPS * (size_t)outputs; i++)
        p->data->y[i] = uniform(p, "gradcheck/y", i, low, high);
    return true;
}

/* Vectors get values too: at 0 a wrong bias gradient could hide. */
static void fill_vectors(const problem *p)
{
    ur_var param;
    const char *name;
    ur_node node;
    for (size_t k = 0; ur_param_at(p->tape, k, &param, &name, NULL) && ur_look(param, &node); k++)
        for (size_t i = 0; node.shape.rank == 1 && i < ur_shape_count(node.shape); i++)
            ((double *)ur_leaf(param))[i] = uniform(p, name, i, -0.5, 0.5);
}

/* Lists the parameters, then x_1 ... x_T. */
static bool list_leaves(problem *p)
{
    p->leaves = p->net->params + (size_t)p->net->steps;
    p->leaf = (ur_var *)calloc(p->leaves, sizeof *p->leaf);
    p->gradient = (ur_var *)calloc(p->leaves, sizeof *p->gradient);
    p->result = (ur_check_result *)calloc(p->leaves, sizeof *p->result);
    if (!p->leaf || !p->gradient || !p->result)
        return refuse("no memory for the check");
    for (size_t k = 0; k < p->net->params; k++)
        ur_param_at(p->tape, k, &p->leaf[k], NULL, NULL);
    for (int64_t t = 0; t < p->net->steps; t++)
        p->leaf[p->net->params + (size_t)t] = p->net->x[t];
    return true;
}

/* The second order: y becomes sum(r * gradient) with random r, and the gradient that of this y. */
static bool raise_order(problem *p)
{
    ur_var *term = (ur_var *)ur_tape_memory(p->tape, p->leaves * sizeof *term);
    for (size_t k = 0; term && k < p->leaves; k++) {
        char name[32];
        ur_node node;
        snprintf(name, sizeof name, "direction%zu", k);
        if (!ur_look(p->leaf[k], &node))
            return false;
        ur_var r = ur_input(p->tape, name, node.shape);
        double *values = (double *)ur_leaf(r);
        for (size_t i = 0; values && i < ur_shape_count(node.shape); i++)
            values[i] = uniform(p, name, i, -1, 1);
        term[k] = ur_sum(ur_mul(r, p->gradient[k]));
    }
    p->y = ur_total(p->leaves, term);
    return ur_grad(p->y, p->leaves, p->leaf, p->gradient);
}

static bool set_up(problem *p)
{
    const options *o = p->o;
    ur_net_options net;
    if (!setup_bare_options(o, UR_MSE, &net))
        return false;
    p->tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    if (!make_data(p, &net))
        return false;
    p->net = ur_net_new(p->tape, &net, STEPS, SEQUENCES);
    if (!p->net || !setup_initial(o, p->tape) || !ur_net_bind(p->net, p->data, 0, SEQUENCES) || !list_leaves(p))
        return false;
    fill_vectors(p);
    if (!setup_forget_bias(o, p->tape))
        return false;
    double training = 0; /* dropout and the statistics of a batch are checked as they are in training */
    if (p->net->training.tape)
        ur_write(p->net->training, 1, &training);
    p->y = p->net->loss;
    return ur_grad(p->y, p->leaves, p->leaf, p->gradient) && (o->order == 1 || raise_order(p));
}

/* ---- the result */

static const char *verdict_name(ur_verdict verdict)
{
    static const char *const names[] = {"holds", "UNSTABLE", "WRONG"};
    return names[verdict];
}

/* "Wi[2,1]", "x[0,2] at step 3": the element `at` of a leaf. */
static void print_place(char *text, size_t bytes, ur_var leaf, size_t at)
{
    ur_node node = {0};
    ur_look(leaf, &node);
    size_t index[UR_RANK] = {0};
    for (int i = node.shape.rank - 1; i >= 0; i--) {
        index[i] = at % (size_t)node.shape.size[i];
        at /= (size_t)node.shape.size[i];
    }
    int n = snprintf(text, bytes, "%.60s[", node.name ? node.name : "");
    for (int i = 0; i < node.shape.rank; i++)
        n += snprintf(text + n, bytes - (size_t)n, "%s%zu", i ? "," : "", index[i]);
    if (node.step)
        snprintf(text + n, bytes - (size_t)n, "] at step %lld", (long long)node.step);
    else
        snprintf(text + n, bytes - (size_t)n, "]");
}

static void print_text(const problem *p, size_t k)
{
    const ur_check_result *r = &p->result[k];
    char place[PLACE];
    print_place(place, sizeof place, p->leaf[k], r->worst);
    printf("%-9s%-20s analytic % .12e  numeric % .12e  difference %.1e  (%zu elements", verdict_name(r->verdict), place,
           r->analytic, r->numeric, fabs(r->analytic - r->numeric), r->elements);
    if (r->wrong)
        printf(", %zu wrong", r->wrong);
    if (r->unstable)
        printf(", %zu unstable", r->unstable);
    printf(")\n");
}

/* JSON has no infinity and no NaN. */
static void print_number(const char *name, double value)
{
    if (isfinite(value))
        printf("\"%s\": %.17g, ", name, value);
    else
        printf("\"%s\": null, ", name);
}

static void print_json(const problem *p, size_t k)
{
    const ur_check_result *r = &p->result[k];
    char place[PLACE];
    print_place(place, sizeof place, p->leaf[k], r->worst);
    printf("%s\n  {\"verdict\": \"%s\", \"worst\": \"%s\", ", k ? "," : "", verdict_name(r->verdict), place);
    print_number("analytic", r->analytic);
    print_number("numeric", r->numeric);
    print_number("estimate", r->estimate);
    printf("\"elements\": %zu, \"wrong\": %zu, \"unstable\": %zu}", r->elements, r->wrong, r->unstable);
}

static int report(const problem *p)
{
    size_t wrong = 0, unstable = 0, elements = 0;
    bool json = p->o->format == FORMAT_JSON;
    printf("%s", json ? "[" : "");
    for (size_t k = 0; k < p->leaves; k++) {
        if (json)
            print_json(p, k);
        else
            print_text(p, k);
        wrong += p->result[k].wrong;
        unstable += p->result[k].unstable;
        elements += p->result[k].elements;
    }
    if (json)
        printf("\n]\n");
    else
        printf("%zu of %zu elements hold, %zu wrong, %zu unstable\n", elements - wrong - unstable, elements, wrong,
               unstable);
    return wrong || (unstable && p->o->strict) ? CHECK_FAILED : DONE;
}

static int gradcheck(const options *o)
{
    problem p = {.o = o};
    int status = BAD_INPUT;
    double tolerance = o->tolerance > 0 ? o->tolerance : o->order == 1 ? 1e-7 : 1e-5;
    if (set_up(&p) && ur_check(p.y, p.leaves, p.leaf, p.gradient, tolerance, p.result))
        status = report(&p);
    else if (p.tape && ur_tape_error(p.tape))
        complain("%s", ur_tape_error(p.tape));
    free(p.leaf);
    free(p.gradient);
    free(p.result);
    ur_tape_free(p.tape);
    ur_data_free(p.data);
    return status;
}

const command command_gradcheck = {
    .name = "gradcheck",
    .bit = GRADCHECK,
    .arguments = "CELL",
    .least = 1,
    .most = 1,
    .summary = "checks a cell's gradients against central differences",
    .text = "In f64, by every element of every parameter and input: a line for each with the worst element, its place\n"
            "and both values. Three random sequences of lengths 5, 3 and 1 with d=3, m=4, p=2; without --loss the\n"
            "loss is 1/2 the squared error against a random target. WRONG gives status 1; an element is UNSTABLE\n"
            "where differences cannot tell, by rounding or at a kink.",
    .example = "unroll gradcheck rnn --out sigmoid --loss bce --order 2",
    .run = gradcheck,
};
