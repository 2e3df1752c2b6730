/* product.c - sums of products over the same X, stacked into one launch with their biases as the start of the sums:
 *
 *     [W_1 W_2 ...]^T x + [U_1 U_2 ...]^T h + [b_1; b_2; ...]
 *
 * Their matrices are packed once a run; launches with the same matrices share them. Products with few columns, whose lanes
 * go along the features, read all where it lies if the loop is too short to pay for packing, unless the parameters are
 * fixed: their matrices are packed for all runs. */
#include "group.h"

/* ---- products */

static bool reads_in_place(const ur_plan *plan, uint32_t line)
{
    enum { WORTH_PACKING = 8 }; /* iterations */
    return plan->batch < UR__NARROW && !plan->fixed &&
           plan->program.loop[plan->program.line[line].loop].iterations < WORTH_PACKING;
}

/* Are the X of the products at hand those of the launch? */
static bool same_inputs(const ur__maker *m, const ur__launch *l)
{
    const ur_plan *plan = m->plan;
    if (m->products != l->count)
        return false;
    for (size_t k = 0; k < m->products; k++) {
        const ur__product_term *t = &plan->term[l->first + k];
        const ur__argument *x = &plan->argument[l->operand + t->x];
        ur__ref r = m->product[k].x;
        if (x->ref.line != r.line || x->ref.first != r.first || x->ref.stride != r.stride)
            return false;
    }
    return true;
}

static bool pack(ur_plan *plan, ur__packing p)
{
    if (!ur__room(plan->tape, &plan->packing, &plan->packing_room, plan->packings, sizeof *plan->packing))
        return false;
    plan->packing[plan->packings++] = p;
    return true;
}

/* The first product of a launch: its terms and their X. */
static bool begin_product(ur__maker *m, ur__launch *l)
{
    ur_plan *plan = m->plan;
    l->first = (uint32_t)plan->terms;
    for (size_t k = 0; k < m->products; k++) {
        const ur__product *p = &m->product[k];
        if (!ur__room(plan->tape, &plan->term, &plan->term_room, plan->terms, sizeof *plan->term))
            return false;
        size_t rows = plan->line[p->x.line].rows;
        uint32_t x = ur__operand_for(m, l, p->x, UR__FULL);
        plan->term[plan->terms++] = (ur__product_term){.a = p->a, .x = x, .transposed = p->transposed, .k = rows};
        l->count++;
    }
    return true;
}

/* Rows first.. of the launch are the product at hand, for line `line`. */
static bool stack_product(ur__maker *m, ur__launch *l, uint32_t line, bool biased, ur__ref bias)
{
    ur_plan *plan = m->plan;
    size_t rows = plan->line[line].rows, first = l->rows;
    l->rows += (uint32_t)rows;
    if (l->in_place) {
        if (biased)
            l->bias = ur__operand_for(m, l, bias, UR__FULL);
        return true;
    }
    for (uint32_t k = 0; k < m->products; k++)
        if (!pack(plan, (ur__packing){.a = m->product[k].a,
                                      .transposed = m->product[k].transposed,
                                      .first = first,
                                      .m = rows,
                                      .k = plan->term[l->first + k].k,
                                      .term = k}))
            return false;
    if (biased && !pack(plan, (ur__packing){.a = bias, .first = first, .m = rows}))
        return false;
    l->biased |= biased;
    l->packings = (uint32_t)plan->packings - l->packing;
    return true;
}

/* May line `below` lie right below line `above`? */
static bool may_stack(const ur_plan *plan, uint32_t above, uint32_t below)
{
    const ur__line_plan *a = &plan->line[above], *b = &plan->line[below];
    return !b->carried && (b->above == above || (b->above == UR_NONE && a->below == UR_NONE && b->below == UR_NONE));
}

/* Stacks all products of this level over one set of X, beginning with number i of the list. */
bool ur__launch_product(ur__maker *m, size_t i, size_t n, uint8_t *taken)
{
    ur_plan *plan = m->plan;
    const ur__statement *all = plan->program.statement, *s = &all[m->list[i]];
    ur__ref bias = {0};
    uint32_t above = s->line;
    bool biased = ur__list_terms(m, s, &bias), in_place = reads_in_place(plan, above);
    bool alone = plan->line[above].carried || in_place;
    ur__launch *l = ur__begin_launch(
        m, (ur__launch){.kind = UR__PRODUCT, .line = above, .outputs = 1, .narrow = in_place, .in_place = in_place});
    if (!l)
        return false;
    l->packing = (uint32_t)plan->packings;
    ur__operand_for(m, l, ur__this(m, above), UR__FULL);
    if (!begin_product(m, l) || !stack_product(m, l, above, biased, bias))
        return false;
    for (size_t k = i + 1; k < n && !alone; k++) {
        const ur__statement *other = &all[m->list[k]];
        uint8_t sort = m->sort[m->list[k]];
        if (taken[k] || (sort != UR__MIXED && sort != UR__SUM_PRODUCT) || !may_stack(plan, above, other->line))
            continue;
        biased = ur__list_terms(m, other, &bias);
        if (!same_inputs(m, l))
            continue;
        if (!stack_product(m, l, other->line, biased, bias))
            return false;
        taken[k] = 1;
        plan->line[other->line].above = above;
        plan->line[above].below = other->line;
        above = other->line;
    }
    return true;
}

/* ---- where packed matrices lie */

static bool same_packing(const ur__packing *a, const ur__packing *b)
{
    return a->a.line == b->a.line && a->a.first == b->a.first && a->transposed == b->transposed &&
           a->first == b->first && a->m == b->m && a->k == b->k && a->term == b->term;
}

/* A launch before this one with the same matrices, stacked alike. */
static const ur__launch *packed_before(const ur_plan *plan, const ur__launch *l)
{
    enum { NEWEST = 64 };
    for (ptrdiff_t i = l - plan->launch, oldest = i < NEWEST ? 0 : i - NEWEST + 1; i-- > oldest;) {
        const ur__launch *known = &plan->launch[i];
        bool same = known->kind == UR__PRODUCT && known->packed && known->rows == l->rows &&
                    known->packings == l->packings && known->count == l->count;
        for (uint32_t k = 0; k < l->packings && same; k++)
            same = same_packing(&plan->packing[known->packing + k], &plan->packing[l->packing + k]);
        if (same)
            return known;
    }
    return NULL;
}

static void place_packed(ur_plan *plan, ur__launch *l)
{
    size_t at = plan->packed_elements, align = UR__CACHE_LINE / ur__element_bytes(plan);
    const ur__launch *known = packed_before(plan, l);
    size_t depth = 0;
    for (uint32_t k = 0; k < l->count; k++)
        depth += plan->term[l->first + k].k;
    l->narrow = plan->kernels->narrow(l->rows, (size_t)plan->batch);
    l->panel = l->narrow ? l->rows : (uint32_t)plan->kernels->panel(l->rows, depth);
    for (uint32_t k = 0; k < l->count; k++) {
        ur__product_term *t = &plan->term[l->first + k];
        t->packed = known ? plan->term[known->first + k].packed : at;
        at += known ? 0 : ur__round_up(plan->kernels->packed_elements(l->panel, l->rows, t->k), align);
    }
    if (l->biased) {
        l->packed_bias = known ? known->packed_bias : at;
        at += known ? 0 : ur__round_up(l->rows, align);
    }
    for (uint32_t k = 0; k < l->packings && !known; k++) {
        ur__packing *p = &plan->packing[l->packing + k];
        p->panel = l->panel;
        p->narrow = l->narrow;
        p->fixed = plan->fixed && ur__line_kind(plan, p->a.line)->op == &ur_op_param;
        p->packed = p->k ? plan->term[l->first + p->term].packed : l->packed_bias;
    }
    l->packed = known == NULL;
    plan->packed_elements = at;
}

void ur__place_packed(ur_plan *plan)
{
    plan->packed_elements = 0;
    for (size_t i = 0; i < plan->launches; i++)
        plan->launch[i].packed = false;
    for (size_t i = 0; i < plan->launches; i++)
        if (plan->launch[i].kind == UR__PRODUCT && !plan->launch[i].in_place)
            place_packed(plan, &plan->launch[i]);
}

void ur__drop_packings(ur_plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->launches; i++) {
        ur__launch *l = &plan->launch[i];
        uint32_t first = l->packing;
        l->packing = (uint32_t)kept;
        for (uint32_t k = 0; k < l->packings && l->packed; k++)
            plan->packing[kept++] = plan->packing[first + k];
    }
    plan->packings = kept;
}
