/* line.c - what several of a plan's makers ask: what a statement is, how an operand fills a result, what a launch writes. */
#include "plan.h"

/* ---- statements */

bool ur__is_masked(const ur_plan *plan, const ur__statement *s)
{
    if (ur__line_kind(plan, s->line)->op != &ur_op_select || plan->line[s->line].class != UR__BATCH)
        return false;
    uint32_t mask = ur__resolve(plan, plan->program.ref[s->ref]).line;
    return ur__line_kind(plan, mask)->op == &ur_op_input && plan->line[mask].class == UR__BATCH &&
           plan->line[mask].rows == 1;
}

bool ur__adds(const ur_plan *plan, uint32_t line)
{
    const ur__kind *kind = ur__line_kind(plan, line);
    return plan->line[line].class == UR__BATCH && (kind->op->kernel == UR__ADD || kind->op == &ur_op_sum_of);
}

bool ur__product_of(const ur_plan *plan, ur__ref r, uint32_t n, ur__ref *a, ur__ref *x)
{
    const ur_op *op = ur__line_kind(plan, r.line)->op;
    const double *attr = ur__attr(plan->tape, ur__line_kind(plan, r.line));
    if (op->kernel != UR__MATMUL || plan->line[r.line].class != UR__BATCH || attr[1] != 0 || r.count > 1 ||
        !ur__follow(&plan->program, r, n, 0, a) || !ur__follow(&plan->program, r, n, 1, x))
        return false;
    *a = ur__resolve(plan, *a);
    *x = ur__resolve(plan, *x);
    return a->stride == 0 && plan->line[a->line].class == UR__ONCE && plan->line[a->line].time == UR__BEFORE &&
           plan->line[x->line].class == UR__BATCH;
}

/* ---- operands */

bool ur__spread_of(const ur_plan *plan, ur__ref r, uint32_t line, uint8_t *spread)
{
    const ur__line_plan *from = &plan->line[r.line], *to = &plan->line[line];
    const ur__kind *kind = ur__line_kind(plan, r.line);
    const ur_shape *shape = &plan->tape->shape[kind->shape];
    bool ends = to->class == UR__BATCH && shape->rank > 1 && shape->size[shape->rank - 1] == plan->batch;
    if (kind->shape == ur__line_kind(plan, line)->shape && r.count <= 1 && (ends || to->class != UR__BATCH)) {
        *spread = kind->op == &ur_op_const ? UR__ELEMENT : UR__FULL; /* mostly */
        return true;
    }
    ur_shape in = *shape, out = ur__line_shape(plan, line);
    size_t count = ur_shape_count(in);
    bool wide = ends && (from->class == UR__BATCH || in.rank == out.rank);
    ur_shape column = out;
    column.size[out.rank > 0 ? out.rank - 1 : 0] = 1;
    if (r.count > 1)
        return false;
    bool constant = kind->op == &ur_op_const;
    bool full = count == ur_shape_count(out) && (to->class != UR__BATCH || wide); /* nothing is broadcast */
    if (constant || (count == 1 && !wide && !full))
        *spread = UR__ELEMENT;
    else if (full)
        *spread = UR__FULL;
    else if (wide && count == (size_t)plan->batch)
        *spread = UR__ROW;
    else if (to->class == UR__BATCH && from->class == UR__ONCE && ur_shape_equal(in, column))
        *spread = UR__COLUMN;
    else
        return false;
    return true;
}

uint32_t ur__evenly_spaced(const ur_plan *plan, ur__ref r, uint32_t n, ptrdiff_t *bytes)
{
    const uint32_t *leaf = plan->program.leaf + plan->program.line[r.line].first;
    uintptr_t before = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < n && r.stride != 0; i++) {
        const uintptr_t at = (uintptr_t)ur__leaf_data(plan->tape, leaf[r.first + r.stride * (int32_t)i]);
        if (i == 1)
            *bytes = (ptrdiff_t)(at - before);
        if (i > 1 && (ptrdiff_t)(at - before) != *bytes)
            return i;
        before = at;
    }
    return n;
}

/* ---- launches and what they leave */

bool ur__writes(const ur_plan *plan, const ur__launch *l, uint32_t k)
{
    if (l->kind == UR__POINTWISE)
        return plan->argument[l->operand + k].written;
    return (l->kind == UR__PRODUCT || l->kind == UR__STATEMENT) && k == 0;
}

bool ur__is_saved(const ur_plan *plan, uint32_t l)
{
    const ur__line_plan *line = &plan->line[l];
    return line->stored && line->carried && !line->root && !line->alias && line->class == UR__BATCH &&
           line->time == UR__WITHIN && plan->program.line[l].loop != UR_NONE && plan->program.line[l].values > 1 &&
           line->above == UR_NONE && line->below == UR_NONE;
}

size_t ur__part_bytes(const ur_plan *plan, uint32_t line)
{
    const size_t rows = plan->line[line].rows;
    return ur__times(rows > 1 ? rows : 2 * plan->kernels->lanes, ur__element_bytes(plan));
}
