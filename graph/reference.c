/* reference.c - the reference execution: every wanted node in the tape's order, by its operation's specification in f64.
 *
 * It is slow and decides nothing: the oracle of the tests, and what names the first value that is no finite number. */
#include <string.h>

#include "plan.h"

typedef struct ur__reference {
    size_t *offset; /* of each node, UR__NOWHERE: not computed */
    char *memory;
    size_t bytes, scratch_count, most_inputs;
    double *scratch;
    const void **operand;
    ur_shape *shapes;
} ur__reference;

static size_t node_bytes(const ur_tape *tape, uint32_t v)
{
    return ur__times(ur_shape_count(ur__shape(tape, v)), ur_dtype_bytes(tape->dtype));
}

void *ur__reference_value(const ur_plan *plan, uint32_t node)
{
    if (ur__is_leaf(ur__kind_of(plan->form.tape, node)))
        return ur__leaf_data(plan->form.tape, node);
    size_t offset = plan->reference->offset[node];
    return offset == UR__NOWHERE ? NULL : plan->reference->memory + offset;
}

/* ---- making */

static void want(size_t *offset, const ur_plan *plan)
{
    const ur_tape *tape = plan->form.tape;
    for (size_t v = 0; v < plan->nodes; v++)
        offset[v] = UR__NOWHERE;
    for (size_t i = 0; i < plan->form.exports; i++)
        offset[plan->form.export[i].node] = 0;
    for (uint32_t v = (uint32_t)plan->nodes; v-- > 0;)
        for (uint32_t k = 0; offset[v] == 0 && k < ur__kind_of(tape, v)->inputs; k++)
            offset[ur__in(tape, v, k)] = 0;
}

static bool place_nodes(ur__reference *r, const ur_plan *plan)
{
    ur_tape *tape = plan->form.tape;
    want(r->offset, plan);
    for (uint32_t v = 0; v < plan->nodes; v++) {
        const ur__kind *kind = ur__kind_of(tape, v);
        if (r->offset[v] == UR__NOWHERE || ur__is_leaf(kind))
            continue;
        size_t bytes = node_bytes(tape, v), doubles = ur_shape_count(ur__shape(tape, v));
        for (uint32_t k = 0; k < kind->inputs; k++)
            doubles += ur_shape_count(ur__shape(tape, ur__in(tape, v, k)));
        if (bytes > SIZE_MAX / 4 - r->bytes)
            return ur__fail(&tape->error, "ur_plan_new: the values take more memory than can be addressed");
        r->offset[v] = r->bytes;
        r->bytes += ur__round_up(bytes, UR__CACHE_LINE);
        r->scratch_count = r->scratch_count < doubles ? doubles : r->scratch_count;
        r->most_inputs = r->most_inputs < kind->inputs ? kind->inputs : r->most_inputs;
    }
    return true;
}

static void fill_constants(const ur__reference *r, const ur_plan *plan)
{
    const ur_tape *tape = plan->form.tape;
    for (uint32_t v = 0; v < plan->nodes; v++) {
        char element[sizeof(double)];
        if (r->offset[v] == UR__NOWHERE || ur__op(tape, v) != &ur_op_const)
            continue;
        plan->form.kernels->from_f64(1, element, ur__attr(tape, ur__kind_of(tape, v)));
        plan->form.kernels->fill(ur_shape_count(ur__shape(tape, v)), r->memory + r->offset[v], element);
    }
}

bool ur__reference_new(ur_plan *plan)
{
    ur_tape *tape = plan->form.tape;
    ur__reference *r = (ur__reference *)ur__take(tape, sizeof *r);
    if (!r)
        return false;
    *r = (ur__reference){.offset = (size_t *)ur__take(tape, plan->nodes * sizeof(size_t))};
    plan->reference = r;
    if (!r->offset || !place_nodes(r, plan))
        return false;
    r->memory = (char *)ur__take(tape, r->bytes);
    r->scratch = (double *)ur__take(tape, r->scratch_count * sizeof(double));
    r->operand = (const void **)ur__take(tape, r->most_inputs * sizeof *r->operand);
    r->shapes = (ur_shape *)ur__take(tape, r->most_inputs * sizeof *r->shapes);
    if (!r->memory || !r->scratch || !r->operand || !r->shapes)
        return false;
    memset(r->memory, 0, r->bytes);
    fill_constants(r, plan);
    return true;
}

void ur__reference_free(ur_plan *plan)
{
    ur_tape *tape = plan->form.tape;
    ur__reference *r = plan->reference;
    if (!r)
        return;
    ur__give(tape, r->offset, plan->nodes * sizeof(size_t));
    ur__give(tape, r->memory, r->bytes);
    ur__give(tape, r->scratch, r->scratch_count * sizeof(double));
    ur__give(tape, r->operand, r->most_inputs * sizeof *r->operand);
    ur__give(tape, r->shapes, r->most_inputs * sizeof *r->shapes);
    ur__give(tape, r, sizeof *r);
}

size_t ur__reference_bytes(const ur_plan *plan)
{
    return plan->reference->bytes + plan->reference->scratch_count * sizeof(double);
}

/* ---- running */

static void run_node(const ur_plan *plan, uint32_t v)
{
    const ur_tape *tape = plan->form.tape;
    const ur__reference *r = plan->reference;
    const ur__kind *kind = ur__kind_of(tape, v);
    double *free_scratch = r->scratch;
    for (uint32_t k = 0; k < kind->inputs; k++) {
        uint32_t in = ur__in(tape, v, k);
        r->shapes[k] = ur__shape(tape, in);
        r->operand[k] = ur__reference_value(plan, in);
        if (tape->dtype == UR_F64)
            continue;
        size_t count = ur_shape_count(r->shapes[k]);
        plan->form.kernels->to_f64(count, free_scratch, r->operand[k]);
        r->operand[k] = free_scratch;
        free_scratch += count;
    }
    ur_shape shape = ur__shape(tape, v);
    void *y = r->memory + r->offset[v];
    ur_call c = {.inputs = (int)kind->inputs,
                 .shape = r->shapes,
                 .in = (const double *const *)r->operand,
                 .out_shape = shape,
                 .out = tape->dtype == UR_F64 ? (double *)y : free_scratch,
                 .attr = ur__attr(tape, kind)};
    ur__specification(kind->op, &c);
    if (tape->dtype == UR_F32)
        plan->form.kernels->from_f64(ur_shape_count(shape), y, c.out);
}

/* "exp[4,2] in lstm/kappa, step 3: the first value that is not finite is inf, at row 1 of sequence 0" */
static bool check_finite(const ur_plan *plan, uint32_t v)
{
    ur_tape *tape = plan->form.tape;
    ur_shape shape = ur__shape(tape, v);
    size_t count = ur_shape_count(shape);
    const char *y = plan->reference->memory + plan->reference->offset[v];
    size_t bad = plan->form.kernels->not_finite(count, y);
    if (bad == count)
        return true;
    double value;
    plan->form.kernels->to_f64(1, &value, y + bad * ur_dtype_bytes(tape->dtype));
    char operand[UR__OPERAND], place[UR__PLACE];
    size_t columns = shape.rank > 1 ? (size_t)shape.size[shape.rank - 1] : 1;
    return ur__fail(&tape->error, "%s%s: the first value that is not finite is %g, at row %zu of sequence %zu",
                    ur__operand(tape, v, operand), ur__place(tape, *ur__site_of(tape, v), place), value, bad / columns,
                    bad % columns);
}

bool ur__reference_run(ur_plan *plan)
{
    const ur_tape *tape = plan->form.tape;
    for (uint32_t v = 0; v < plan->nodes; v++) {
        if (plan->reference->offset[v] == UR__NOWHERE || ur__op(tape, v)->kind == UR_LEAF)
            continue;
        run_node(plan, v);
        if (plan->finite && !check_finite(plan, v))
            return false;
    }
    for (size_t i = 0; i < plan->form.exports; i++) {
        const ur__export *x = &plan->form.export[i];
        memcpy(plan->form.at[UR__AREA_MEMORY] + x->offset, ur__reference_value(plan, x->node),
               node_bytes(tape, x->node));
    }
    return true;
}
