/* line.c - what several of a plan's makers ask: what a statement is, how an operand fills a result, what a launch writes. */
#include "plan.h"

/* ---- statements */

bool ur__adds(const ur__form *form, uint32_t line)
{
    const ur__kind *kind = ur__line_kind(form, line);
    return form->line[line].class == UR__BATCH && (kind->op->kernel == UR__ADD || kind->op == &ur_op_sum_of);
}

bool ur__product_of(const ur__form *form, ur__ref r, uint32_t n, ur__ref *a, ur__ref *x)
{
    const ur_op *op = ur__line_kind(form, r.line)->op;
    const double *attr = ur__attr(form->tape, ur__line_kind(form, r.line));
    if (op->kernel != UR__MATMUL || form->line[r.line].class != UR__BATCH || attr[1] != 0 || r.count > 1 ||
        !ur__follow(&form->program, r, n, 0, a) || !ur__follow(&form->program, r, n, 1, x))
        return false;
    *a = ur__resolve(form, *a);
    *x = ur__resolve(form, *x);
    return a->stride == 0 && form->line[a->line].class == UR__ONCE && form->line[a->line].time == UR__BEFORE &&
           form->line[x->line].class == UR__BATCH;
}

/* ---- operands */

bool ur__spread_of(const ur__form *form, ur__ref r, uint32_t line, uint8_t *spread)
{
    const ur__line_plan *from = &form->line[r.line], *to = &form->line[line];
    const ur__kind *kind = ur__line_kind(form, r.line);
    const ur_shape *shape = &form->tape->shape[kind->shape];
    bool ends = to->class == UR__BATCH && shape->rank > 1 && shape->size[shape->rank - 1] == form->batch;
    if (kind->shape == ur__line_kind(form, line)->shape && r.count <= 1 && (ends || to->class != UR__BATCH)) {
        *spread = kind->op == &ur_op_const ? UR__ELEMENT : UR__FULL; /* mostly */
        return true;
    }
    ur_shape in = *shape, out = ur__line_shape(form, line);
    size_t count = ur_shape_count(in);
    bool equal = count == ur_shape_count(out); /* nothing is broadcast */
    bool wide = ends && (from->class == UR__BATCH || in.rank == out.rank || equal);
    ur_shape column = out;
    column.size[out.rank > 0 ? out.rank - 1 : 0] = 1;
    if (r.count > 1)
        return false;
    bool constant = kind->op == &ur_op_const;
    bool full = equal && (to->class != UR__BATCH || wide);
    if (constant || (count == 1 && !wide && !full))
        *spread = UR__ELEMENT;
    else if (full)
        *spread = UR__FULL;
    else if (wide && count == (size_t)form->batch)
        *spread = UR__ROW;
    else if (to->class == UR__BATCH && from->class == UR__ONCE && ur_shape_equal(in, column))
        *spread = UR__COLUMN;
    else
        return false;
    return true;
}

uint32_t ur__evenly_spaced(const ur__form *form, ur__ref r, uint32_t n, ptrdiff_t *bytes)
{
    const uint32_t *leaf = form->program.leaf + form->program.line[r.line].first;
    uintptr_t before = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < n && r.stride != 0; i++) {
        const uintptr_t at = (uintptr_t)ur__leaf_data(form->tape, leaf[r.first + r.stride * (int32_t)i]);
        if (i == 1)
            *bytes = (ptrdiff_t)(at - before);
        if (i > 1 && (ptrdiff_t)(at - before) != *bytes)
            return i;
        before = at;
    }
    return n;
}

/* ---- launches and what they leave */

bool ur__writes(const ur__form *form, const ur__launch *l, uint32_t k)
{
    if (l->kind == UR__POINTWISE)
        return form->argument[l->operand + k].written;
    return (l->kind == UR__PRODUCT || l->kind == UR__STATEMENT) && k == 0;
}

bool ur__is_saved(const ur__form *form, uint32_t l)
{
    const ur__line_plan *line = &form->line[l];
    return line->stored && line->carried && !line->root && !line->alias && line->class == UR__BATCH &&
           line->time == UR__WITHIN && form->program.line[l].loop != UR_NONE && form->program.line[l].values > 1 &&
           line->above == UR_NONE && line->below == UR_NONE;
}

size_t ur__part_bytes(const ur__form *form, uint32_t line)
{
    const size_t rows = form->line[line].rows;
    return ur__times(rows > 1 ? rows : 2 * form->kernels->lanes, ur__element_bytes(form));
}
