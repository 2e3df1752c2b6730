/* work.c - what a run costs, estimated from shapes: whether its blocks are worth a thread each.
 *
 * The rates are those of one core with 512-bit vectors, in f32. On a slower one there is more to gain than is said here. */
#include "plan.h"

static const double fused_per_ns = 64; /* products that are added up */
static const double mapped_per_ns = 8; /* elements of an elementwise instruction */
static const double copied_per_ns = 1; /* operands of an operation that has no kernel */
static const double launch_ns = 20;

static double elements_of(const ur_plan *plan, uint32_t line)
{
    return (double)ur_shape_count(ur__line_shape(plan, line));
}

/* Columns of the whole batch, or the one that a value without it has. */
static double columns_of(const ur_plan *plan, const ur__launch *l)
{
    return l->batch && plan->batch > 0 ? (double)plan->batch : 1;
}

static double product_ns(const ur_plan *plan, const ur__launch *l)
{
    double inner = 0;
    for (uint32_t k = 0; k < l->count; k++)
        inner += (double)plan->term[l->first + k].k;
    return (double)l->rows * inner * columns_of(plan, l) / fused_per_ns;
}

static double contraction_ns(const ur_plan *plan, const ur__launch *l)
{
    double steps = 0;
    for (uint32_t k = 0; k < l->count; k++)
        steps += plan->stretch[l->first + k].n;
    return (double)(l->rows + l->sums) * l->m * l->matrices * steps * (double)plan->batch / fused_per_ns;
}

static double operation_ns(const ur_plan *plan, const ur__launch *l)
{
    double elements = elements_of(plan, l->line);
    for (uint32_t k = 1; k < l->operands; k++)
        elements += elements_of(plan, plan->argument[l->operand + k].ref.line);
    return elements / copied_per_ns;
}

static double launch_cost(const ur_plan *plan, const ur__launch *l)
{
    switch ((ur__launch_kind)l->kind) {
    case UR__POINTWISE:
        return launch_ns + (double)l->rows * l->count * columns_of(plan, l) / mapped_per_ns;
    case UR__PRODUCT:
        return launch_ns + product_ns(plan, l);
    case UR__CONTRACT:
        return launch_ns + contraction_ns(plan, l);
    default:
        return launch_ns + operation_ns(plan, l);
    }
}

static double span_ns(const ur_plan *plan, const ur__span *span)
{
    double ns = 0;
    for (uint32_t k = 0; k < span->count; k++)
        ns += launch_cost(plan, &plan->launch[span->first + k]);
    return ns;
}

double ur__work(const ur_plan *plan)
{
    const ur__program *p = &plan->program;
    double ns = span_ns(plan, &plan->finish);
    for (size_t f = 0; f < p->phases; f++)
        ns += (double)(p->phase[f].end - p->phase[f].begin) * span_ns(plan, &plan->span[UR__WITHIN * p->phases + f]);
    return ns * (double)ur__element_bytes(plan) / sizeof(float);
}
