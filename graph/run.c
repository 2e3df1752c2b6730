/* run.c - runs a plan: launch by launch, with the fast kernels where an operation has one and with its specification
 * elsewhere. The reference execution is the same walk with specifications only. */
#include <string.h>

#include "plan.h"

static void *value_of(const ur_plan *plan, uint32_t v)
{
    const ur__node *n = &plan->tape->node[v];
    return ur__is_leaf(n) ? ur__leaf_data(plan->tape, n) : plan->memory + plan->offset[v];
}

/* ---- specifications */

static void map_all(const ur_op *op, const ur_call *c)
{
    size_t stride[UR__MAP_INPUTS][UR_RANK], at = 0;
    int64_t n[UR_RANK];
    for (int i = 0; i < UR_RANK; i++)
        n[i] = i < c->out_shape.rank ? c->out_shape.size[i] : 1;
    for (int k = 0; k < c->inputs; k++)
        ur__strides(c->shape[k], c->out_shape, stride[k]);
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++)
                for (int64_t l = 0; l < n[3]; l++) {
                    double in[UR__MAP_INPUTS];
                    for (int q = 0; q < c->inputs; q++)
                        in[q] = c->in[q][(size_t)i * stride[q][0] + (size_t)j * stride[q][1] +
                                         (size_t)k * stride[q][2] + (size_t)l * stride[q][3]];
                    c->out[at++] = op->map(in, c->attr);
                }
}

void ur__specification(const ur_op *op, const ur_call *c)
{
    if (op->kind == UR_MAP)
        map_all(op, c);
    else
        op->run(c);
}

static void run_specification(ur_plan *plan, const ur__launch *l)
{
    const ur_tape *tape = plan->tape;
    const ur__node *n = &tape->node[l->node];
    const ur__kernels *kernels = plan->kernels;
    double *free_scratch = plan->scratch;
    for (uint32_t k = 0; k < n->inputs; k++) {
        uint32_t v = ur__in(tape, n, k);
        plan->shapes[k] = ur__shape(tape, v);
        plan->operand[k] = value_of(plan, v);
        if (tape->dtype == UR_F64)
            continue;
        size_t count = ur_shape_count(plan->shapes[k]);
        kernels->to_f64(count, free_scratch, plan->operand[k]);
        plan->operand[k] = free_scratch;
        free_scratch += count;
    }
    ur_shape shape = ur__shape(tape, l->node);
    void *y = value_of(plan, l->node);
    ur_call c = {.inputs = (int)n->inputs,
                 .shape = plan->shapes,
                 .in = (const double *const *)plan->operand,
                 .out_shape = shape,
                 .out = tape->dtype == UR_F64 ? (double *)y : free_scratch,
                 .attr = ur__attr(tape, n)};
    ur__specification(n->op, &c);
    if (tape->dtype == UR_F32)
        kernels->from_f64(ur_shape_count(shape), y, c.out);
}

/* ---- kernels */

/* One row, tile by tile; an operand of one element is spread over a tile. */
static void map_row(const ur__kernels *kernels, const ur__launch *l, uint32_t inputs, size_t element_bytes, char *y,
                    const char *const in[UR__OPERANDS], const double *attr)
{
    double spread[UR__OPERANDS][UR__TILE];
    const void *a[UR__OPERANDS] = {NULL};
    size_t first = l->n < UR__TILE ? l->n : UR__TILE;
    for (uint32_t k = 0; k < inputs; k++)
        if (!l->inner[k] && l->n > 1) {
            kernels->fill(first, spread[k], in[k]);
            a[k] = spread[k];
        }
    for (size_t i = 0; i < l->n; i += UR__TILE) {
        size_t n = l->n - i < UR__TILE ? l->n - i : UR__TILE;
        for (uint32_t k = 0; k < inputs; k++)
            if (a[k] != spread[k])
                a[k] = in[k] + i * element_bytes;
        kernels->map[l->kernel](n, y + i * element_bytes, a[0], a[1], a[2], attr);
    }
}

static void run_map(const ur_plan *plan, const ur__launch *l)
{
    const ur_tape *tape = plan->tape;
    const ur__node *node = &tape->node[l->node];
    const ur__kernels *kernels = plan->kernels;
    const double *attr = ur__attr(tape, node);
    size_t e = ur_dtype_bytes(tape->dtype), row = 0;
    char *y = (char *)value_of(plan, l->node);
    const char *base[UR__OPERANDS] = {NULL}, *in[UR__OPERANDS] = {NULL};
    for (uint32_t k = 0; k < node->inputs; k++)
        base[k] = (const char *)value_of(plan, ur__in(tape, node, k));
    size_t n[UR_RANK - 1] = {1, 1, 1}, at[UR_RANK - 1];
    for (size_t i = 0; i < l->dims; i++)
        n[i] = l->size[i];
    for (at[0] = 0; at[0] < n[0]; at[0]++)
        for (at[1] = 0; at[1] < n[1]; at[1]++)
            for (at[2] = 0; at[2] < n[2]; at[2]++, row++) {
                for (uint32_t k = 0; k < node->inputs; k++) {
                    size_t offset = 0;
                    for (size_t i = 0; i < l->dims; i++)
                        offset += at[i] * l->stride[k][i];
                    in[k] = base[k] + offset * e;
                }
                map_row(kernels, l, node->inputs, e, y + row * l->n * e, in, attr);
            }
}

static void run_matmul(const ur_plan *plan, const ur__launch *l)
{
    const ur_tape *tape = plan->tape;
    const ur__node *node = &tape->node[l->node];
    const double *attr = ur__attr(tape, node);
    ur_shape out = ur__shape(tape, l->node), a = ur__shape(tape, ur__in(tape, node, 0));
    bool ta = attr[0] != 0, tb = attr[1] != 0;
    int64_t k = ta ? a.size[0] : a.rank > 1 ? a.size[1] : 1;
    plan->kernels->matmul((size_t)out.size[0], out.rank > 1 ? (size_t)out.size[1] : 1, (size_t)k,
                          value_of(plan, ur__in(tape, node, 0)), ta, value_of(plan, ur__in(tape, node, 1)), tb,
                          value_of(plan, l->node));
}

/* Of one input it is a copy. */
static void run_sum_of(const ur_plan *plan, const ur__launch *l)
{
    const ur_tape *tape = plan->tape;
    const ur__node *node = &tape->node[l->node];
    size_t n = ur_shape_count(ur__shape(tape, l->node));
    void *y = value_of(plan, l->node);
    memcpy(y, value_of(plan, ur__in(tape, node, 0)), n * ur_dtype_bytes(tape->dtype));
    for (uint32_t k = 1; k < node->inputs; k++)
        plan->kernels->add_to(n, y, value_of(plan, ur__in(tape, node, k)));
}

/* Walks the rows of `large`; `small` is repeated along its sizes of 1. */
static void run_reduce_or_broadcast(const ur_plan *plan, const ur__launch *l, bool reduce)
{
    const ur_tape *tape = plan->tape;
    const ur__kernels *kernels = plan->kernels;
    uint32_t a = ur__in(tape, &tape->node[l->node], 0);
    ur_shape large = ur__shape(tape, reduce ? a : l->node), small = ur__shape(tape, reduce ? l->node : a);
    size_t stride[UR_RANK], n[UR_RANK], e = ur_dtype_bytes(tape->dtype), at = 0;
    ur__strides(small, large, stride);
    for (int i = 0; i < UR_RANK; i++)
        n[i] = i < large.rank ? (size_t)large.size[i] : 1;
    int last = large.rank > 0 ? large.rank - 1 : 0;
    size_t row = n[last], inner = stride[last];
    n[last] = 1;
    char *y = (char *)value_of(plan, l->node);
    const char *x = (const char *)value_of(plan, a);
    if (reduce)
        memset(y, 0, ur_shape_count(small) * e);
    for (size_t i = 0; i < n[0]; i++)
        for (size_t j = 0; j < n[1]; j++)
            for (size_t k = 0; k < n[2]; k++, at += row) {
                size_t s = i * stride[0] + j * stride[1] + k * stride[2];
                if (reduce && inner)
                    kernels->add_to(row, y + s * e, x + at * e);
                else if (reduce)
                    kernels->sum_to(row, y + s * e, x + at * e);
                else if (inner)
                    memcpy(y + at * e, x + s * e, row * e);
                else
                    kernels->fill(row, y + at * e, x + s * e);
            }
}

static void run_launch(ur_plan *plan, const ur__launch *l)
{
    switch (l->kernel) {
    case UR__SPECIFICATION:
        run_specification(plan, l);
        break;
    case UR__MATMUL:
        run_matmul(plan, l);
        break;
    case UR__ALIAS:
    case UR__SUM_OF:
        run_sum_of(plan, l);
        break;
    case UR__REDUCE:
    case UR__BROADCAST:
        run_reduce_or_broadcast(plan, l, l->kernel == UR__REDUCE);
        break;
    default:
        run_map(plan, l);
    }
}

/* ---- a run */

/* "exp[4,2] in lstm/kappa, step 3: the first value that is not finite is inf, at row 1 of sequence 0" */
static bool check_finite(ur_plan *plan, const ur__launch *l)
{
    ur_tape *tape = plan->tape;
    ur_shape shape = ur__shape(tape, l->node);
    size_t count = ur_shape_count(shape);
    const void *y = value_of(plan, l->node);
    size_t bad = plan->kernels->not_finite(count, y);
    if (bad == count)
        return true;
    double value;
    plan->kernels->to_f64(1, &value, (const char *)y + bad * ur_dtype_bytes(tape->dtype));
    const ur__node *n = &tape->node[l->node];
    char operand[UR__OPERAND], place[UR__PLACE];
    size_t columns = shape.rank > 1 ? (size_t)shape.size[shape.rank - 1] : 1;
    return ur__fail(&tape->error, "%s%s: the first value that is not finite is %g, at row %zu of sequence %zu",
                    ur__operand(tape, l->node, operand), ur__place(tape, n->scope, n->step, place), value,
                    bad / columns, bad % columns);
}

/* Roots that are leaves or come twice. */
static void copy_roots(ur_plan *plan)
{
    size_t e = ur_dtype_bytes(plan->tape->dtype);
    for (size_t i = 0; plan->copies && i < plan->roots; i++) {
        void *to = plan->memory + plan->root_offset[i], *from = value_of(plan, plan->root[i]);
        if (to != from)
            memcpy(to, from, ur_shape_count(ur__shape(plan->tape, plan->root[i])) * e);
    }
}

static void carry_states(ur_plan *plan)
{
    const ur_tape *tape = plan->tape;
    size_t e = ur_dtype_bytes(tape->dtype);
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(plan->memory + s->offset, value_of(plan, s->value), ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(value_of(plan, s->leaf), plan->memory + s->offset, ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
}

static bool usable(const ur_plan *plan, const char *what)
{
    if (!plan || plan->tape->error.text[0])
        return false;
    return plan->generation == plan->tape->generation ||
           ur__fail(&plan->tape->error, "%s: a stale plan, from before ur_tape_clear", what);
}

bool ur_plan_run(ur_plan *plan)
{
    if (!usable(plan, "ur_plan_run"))
        return false;
    for (size_t i = 0; i < plan->launches; i++) {
        run_launch(plan, &plan->launch[i]);
        if (plan->finite && !check_finite(plan, &plan->launch[i]))
            return false;
    }
    copy_roots(plan);
    carry_states(plan);
    plan->has_run = true;
    return true;
}

/* ---- reading */

const void *ur_plan_roots(const ur_plan *plan, size_t *count)
{
    if (count)
        *count = plan ? plan->root_bytes / ur_dtype_bytes(plan->tape->dtype) : 0;
    return plan ? plan->memory : NULL;
}

/* Why the plan cannot show v, or NULL. */
static const char *unreadable(const ur_plan *plan, uint32_t v)
{
    if (v >= plan->nodes)
        return "was recorded after planning";
    if (plan->offset[v] == UR__NOWHERE)
        return "is not computed by this plan, add it to the roots";
    if (!plan->readable[v])
        return "is not kept, mark it with ur_keep before planning";
    return plan->has_run ? NULL : "has no value before the first ur_plan_run";
}

static const void *value_for(ur_plan *plan, ur_var value, const char *what)
{
    if (!usable(plan, what) || !ur__valid(plan->tape, value, what))
        return NULL;
    ur_tape *tape = plan->tape;
    const ur__node *n = &tape->node[value.index];
    const char *why = ur__is_leaf(n) ? NULL : unreadable(plan, value.index);
    if (!why)
        return value_of(plan, value.index);
    char operand[UR__OPERAND], place[UR__PLACE];
    ur__fail(&tape->error, "%s: %s%s %s", what, ur__operand(tape, value.index, operand),
             ur__place(tape, n->scope, n->step, place), why);
    return NULL;
}

const void *ur_value(ur_plan *plan, ur_var value)
{
    return value_for(plan, value, "ur_value");
}

bool ur_read(ur_plan *plan, ur_var value, size_t count, double *out)
{
    const void *data = value_for(plan, value, "ur_read");
    if (!data)
        return false;
    if (!out)
        return ur__fail(&plan->tape->error, "ur_read: room for the values was expected, there is none");
    size_t expected = ur_shape_count(ur__shape(plan->tape, value.index));
    if (count != expected) {
        char text[UR__OPERAND];
        return ur__fail(&plan->tape->error, "ur_read: %s has %zu elements, room for %zu was given",
                        ur__operand(plan->tape, value.index, text), expected, count);
    }
    plan->kernels->to_f64(count, out, data);
    return true;
}
