/* work.c - what a run costs, estimated from shapes: whether its blocks are worth a thread each.
 *
 * The rates are those of one core with 512-bit vectors, in f32. On a slower one there is more to gain than is said here. */
#include "plan.h"

static const double fused_per_ns = 64; /* products that are added up */
static const double mapped_per_ns = 8; /* elements of an elementwise instruction */
static const double copied_per_ns = 1; /* operands of an operation that has no kernel */
static const double launch_ns = 20;

static double elements_of(const ur__form *form, uint32_t line)
{
    return (double)ur_shape_count(ur__line_shape(form, line));
}

/* Columns of the whole batch, or the one that a value without it has. */
static double columns_of(const ur__form *form, const ur__launch *l)
{
    return l->batch && form->batch > 0 ? (double)form->batch : 1;
}

static double product_ns(const ur__form *form, const ur__launch *l)
{
    double inner = 0;
    for (uint32_t k = 0; k < l->count; k++)
        inner += (double)form->term[l->first + k].k;
    return (double)l->rows * inner * columns_of(form, l) / fused_per_ns;
}

static double contraction_ns(const ur__form *form, const ur__launch *l)
{
    double steps = 0;
    for (uint32_t k = 0; k < l->count; k++)
        steps += form->stretch[l->first + k].n;
    return (double)(l->rows + l->sums) * l->m * l->matrices * steps * (double)form->batch / fused_per_ns;
}

static double operation_ns(const ur__form *form, const ur__launch *l)
{
    double elements = elements_of(form, l->line);
    for (uint32_t k = 1; k < l->operands; k++)
        elements += elements_of(form, form->argument[l->operand + k].ref.line);
    return elements / copied_per_ns;
}

static double launch_cost(const ur__form *form, const ur__launch *l)
{
    switch ((ur__launch_kind)l->kind) {
    case UR__POINTWISE:
        return launch_ns + (double)l->rows * l->count * columns_of(form, l) / mapped_per_ns;
    case UR__PRODUCT:
        return launch_ns + product_ns(form, l);
    case UR__CONTRACT:
        return launch_ns + contraction_ns(form, l);
    default:
        return launch_ns + operation_ns(form, l);
    }
}

static double span_ns(const ur__form *form, const ur__span *span)
{
    double ns = 0;
    for (uint32_t k = 0; k < span->count; k++)
        ns += launch_cost(form, &form->launch[span->first + k]);
    return ns;
}

double ur__work(const ur__form *form)
{
    const ur__program *p = &form->program;
    double ns = span_ns(form, &form->finish);
    for (size_t f = 0; f < p->phases; f++)
        ns += (double)(p->phase[f].end - p->phase[f].begin) * span_ns(form, &form->span[UR__WITHIN * p->phases + f]);
    return ns * (double)ur__element_bytes(form) / sizeof(float);
}
