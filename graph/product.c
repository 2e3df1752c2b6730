/* product.c - sums of products over the same X, stacked into one launch with their biases as the start of the sums:
 *
 *     [W_1 W_2 ...]^T x + [U_1 U_2 ...]^T h + [b_1; b_2; ...]
 *
 * Their matrices are packed once a run; launches with the same matrices share them. Products with few columns, whose lanes
 * go along the features, read all where it lies if the loop is too short to pay for packing, unless the parameters are
 * fixed: their matrices are packed for all runs. */
#include "group.h"

/* ---- products */

static bool reads_in_place(const ur__form *form, uint32_t line)
{
    enum { WORTH_PACKING = 8 }; /* iterations */
    return form->batch < UR__NARROW && !form->fixed &&
           form->program.loop[form->program.line[line].loop].iterations < WORTH_PACKING;
}

/* Are the X of the products at hand those of the launch? */
static bool same_inputs(const ur__maker *m, const ur__launch *l)
{
    const ur__form *form = m->form;
    if (m->products != l->count)
        return false;
    for (size_t k = 0; k < m->products; k++) {
        const ur__product_term *t = &form->term[l->first + k];
        const ur__argument *x = &form->argument[l->operand + t->x];
        ur__ref r = m->product[k].x;
        if (x->ref.line != r.line || x->ref.first != r.first || x->ref.stride != r.stride)
            return false;
    }
    return true;
}

static bool pack(ur__form *form, ur__packing p)
{
    if (!ur__room(form->tape, &form->packing, &form->packing_room, form->packings, sizeof *form->packing))
        return false;
    form->packing[form->packings++] = p;
    return true;
}

/* The first product of a launch: its terms and their X. */
static bool begin_product(ur__maker *m, ur__launch *l)
{
    ur__form *form = m->form;
    l->first = (uint32_t)form->terms;
    for (size_t k = 0; k < m->products; k++) {
        const ur__product *p = &m->product[k];
        if (!ur__room(form->tape, &form->term, &form->term_room, form->terms, sizeof *form->term))
            return false;
        size_t rows = form->line[p->x.line].rows;
        uint32_t x = ur__operand_for(m, l, p->x, UR__FULL);
        form->term[form->terms++] = (ur__product_term){.a = p->a, .x = x, .transposed = p->transposed, .k = rows};
        l->count++;
    }
    return true;
}

/* Rows first.. of the launch are the product at hand, for line `line`. */
static bool stack_product(ur__maker *m, ur__launch *l, uint32_t line, bool biased, ur__ref bias)
{
    ur__form *form = m->form;
    size_t rows = form->line[line].rows, first = l->rows;
    l->rows += (uint32_t)rows;
    if (l->in_place) {
        if (biased)
            l->bias = ur__operand_for(m, l, bias, UR__FULL);
        return true;
    }
    for (uint32_t k = 0; k < m->products; k++)
        if (!pack(form, (ur__packing){.a = m->product[k].a,
                                      .transposed = m->product[k].transposed,
                                      .first = first,
                                      .m = rows,
                                      .k = form->term[l->first + k].k,
                                      .term = k}))
            return false;
    if (biased && !pack(form, (ur__packing){.a = bias, .first = first, .m = rows}))
        return false;
    l->biased |= biased;
    l->packings = (uint32_t)form->packings - l->packing;
    return true;
}

/* May line `below` lie right below line `above`? */
static bool may_stack(const ur__form *form, uint32_t above, uint32_t below)
{
    const ur__line_plan *a = &form->line[above], *b = &form->line[below];
    return !b->carried && (b->above == above || (b->above == UR_NONE && a->below == UR_NONE && b->below == UR_NONE));
}

/* Stacks all products of this level over one set of X, beginning with number i of the list. */
bool ur__launch_product(ur__maker *m, size_t i, size_t n, uint8_t *taken)
{
    ur__form *form = m->form;
    const ur__statement *all = form->program.statement, *s = &all[m->list[i]];
    ur__ref bias = {0};
    uint32_t above = s->line;
    bool biased = ur__list_terms(m, s, &bias), in_place = reads_in_place(form, above);
    bool alone = form->line[above].carried || in_place;
    ur__launch *l = ur__begin_launch(
        m, (ur__launch){.kind = UR__PRODUCT, .line = above, .outputs = 1, .narrow = in_place, .in_place = in_place});
    if (!l)
        return false;
    l->packing = (uint32_t)form->packings;
    ur__operand_for(m, l, ur__this(m, above), UR__FULL);
    if (!begin_product(m, l) || !stack_product(m, l, above, biased, bias))
        return false;
    for (size_t k = i + 1; k < n && !alone; k++) {
        const ur__statement *other = &all[m->list[k]];
        uint8_t sort = m->sort[m->list[k]];
        if (taken[k] || (sort != UR__SORT_MIXED && sort != UR__SORT_SUM_PRODUCT) ||
            !may_stack(form, above, other->line))
            continue;
        biased = ur__list_terms(m, other, &bias);
        if (!same_inputs(m, l))
            continue;
        if (!stack_product(m, l, other->line, biased, bias))
            return false;
        taken[k] = 1;
        form->line[other->line].above = above;
        form->line[above].below = other->line;
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

/* Among the last launches before number `end` of form `in`, one that packs the matrices of launch l, stacked alike. */
static const ur__launch *find_packed(const ur__form *in, size_t end, const ur__form *form, const ur__launch *l)
{
    enum { NEWEST = 64 };
    end = end < in->launches ? end : in->launches;
    for (size_t i = end, oldest = end < NEWEST ? 0 : end - NEWEST; i-- > oldest;) {
        const ur__launch *known = &in->launch[i];
        bool same = known->kind == UR__PRODUCT && known->packed && known->rows == l->rows &&
                    known->packings == l->packings && known->count == l->count;
        for (uint32_t k = 0; k < l->packings && same; k++)
            same = same_packing(&in->packing[known->packing + k], &form->packing[l->packing + k]);
        if (same)
            return known;
    }
    return NULL;
}

static void place_packed(ur__form *form, ur__launch *l, const ur__form *other)
{
    size_t at = form->packed_elements, align = UR__CACHE_LINE / ur__element_bytes(form);
    const size_t number = (size_t)(l - form->launch);
    const ur__form *in = form;
    const ur__launch *known = find_packed(form, number, form, l);
    if (!known && other)
        known = find_packed(in = other, number + 1, form, l);
    size_t depth = 0;
    for (uint32_t k = 0; k < l->count; k++)
        depth += form->term[l->first + k].k;
    l->narrow = form->kernels->narrow(l->rows, (size_t)form->batch);
    l->panel = l->narrow ? l->rows : (uint32_t)form->kernels->panel(l->rows, depth);
    for (uint32_t k = 0; k < l->count; k++) {
        ur__product_term *t = &form->term[l->first + k];
        t->packed = known ? in->term[known->first + k].packed : at;
        at += known ? 0 : ur__round_up(form->kernels->packed_elements(l->panel, l->rows, t->k), align);
    }
    if (l->biased) {
        l->packed_bias = known ? known->packed_bias : at;
        at += known ? 0 : ur__round_up(l->rows, align);
    }
    for (uint32_t k = 0; k < l->packings && !known; k++) {
        ur__packing *p = &form->packing[l->packing + k];
        p->panel = l->panel;
        p->narrow = l->narrow;
        p->fixed = form->fixed && ur__line_kind(form, p->a.line)->op == &ur_op_param;
        p->packed = p->k ? form->term[l->first + p->term].packed : l->packed_bias;
    }
    l->packed = known == NULL;
    form->packed_elements = at;
}

void ur__place_packed(ur__form *form, const ur__form *other)
{
    form->packed_elements = other ? other->packed_elements : 0;
    for (size_t i = 0; i < form->launches; i++)
        form->launch[i].packed = false;
    for (size_t i = 0; i < form->launches; i++)
        if (form->launch[i].kind == UR__PRODUCT && !form->launch[i].in_place)
            place_packed(form, &form->launch[i], other);
}

void ur__drop_packings(ur__form *form)
{
    size_t kept = 0;
    for (size_t i = 0; i < form->launches; i++) {
        ur__launch *l = &form->launch[i];
        uint32_t first = l->packing;
        l->packing = (uint32_t)kept;
        for (uint32_t k = 0; k < l->packings && l->packed; k++)
            form->packing[kept++] = form->packing[first + k];
    }
    form->packings = kept;
}
