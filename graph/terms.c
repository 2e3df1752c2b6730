/* terms.c - what statements read: operands under their own names, and sums through the products and sums that are inlined
 * in them: W x + U h + b is two products and a bias, to which other values may be added. */
#include <string.h>

#include "group.h"

/* ---- operands */

bool ur__takes_rows(const ur__maker *m, const ur__statement *s, uint32_t *skip)
{
    const ur__form *form = m->form;
    const ur__line_plan *line = &form->line[s->line];
    const ur__kind *kind = ur__line_kind(form, s->line);
    if (kind->op->kernel != UR__SLICE || line->class != UR__BATCH)
        return false;
    const double *attr = ur__attr(form->tape, kind); /* axis, first, count */
    ur__ref r = ur__input_of(m, s, 0);
    const ur__line_plan *from = &form->line[r.line];
    *skip = (uint32_t)attr[1] * (uint32_t)(line->rows / (size_t)attr[2]);
    return attr[0] == 0 && r.count == 1 && from->class == UR__BATCH && line->rows < from->rows &&
           ur__line_kind(form, r.line)->op->kind != UR_LEAF;
}

/* Does the argument stand for the value of r in every iteration of the phase at hand? */
static bool is_same_value(const ur__maker *m, const ur__ref *a, const ur__ref *r)
{
    return a->line == r->line && a->first == r->first && a->count == r->count &&
           (a->stride == r->stride || m->phase->end - m->phase->begin == 1);
}

uint32_t ur__rows_for(ur__maker *m, ur__launch *l, ur__ref r, uint8_t spread, uint32_t skip)
{
    ur__form *form = m->form;
    const ur__argument *known = &form->argument[l->operand];
    for (uint32_t k = l->operands; k-- > 0 && m->stamp[r.line] == m->launch;)
        if (known[k].spread == spread && known[k].skip == skip && is_same_value(m, &known[k].ref, &r))
            return k;
    if (!ur__room(form->tape, &form->argument, &form->argument_room, form->arguments, sizeof *form->argument))
        return 0;
    form->argument[form->arguments++] = (ur__argument){.ref = r, .spread = spread, .skip = skip};
    m->stamp[r.line] = m->launch;
    return l->operands++;
}

uint32_t ur__operand_for(ur__maker *m, ur__launch *l, ur__ref r, uint8_t spread)
{
    return ur__rows_for(m, l, r, spread, 0);
}

/* ---- the terms of a sum */

static bool add_term(ur__maker *m, ur__ref r)
{
    if (!ur__room(m->form->tape, &m->term, &m->term_room, m->terms, sizeof *m->term))
        return false;
    m->term[m->terms++] = r;
    return true;
}

static bool add_product(ur__maker *m, ur__ref r)
{
    ur__product p = {0};
    uint32_t n = m->phase->end - m->phase->begin;
    if (!ur__room(m->form->tape, &m->product, &m->product_room, m->products, sizeof *m->product) ||
        !ur__product_of(m->form, r, n, &p.a, &p.x))
        return false;
    p.transposed = ur__attr(m->form->tape, ur__line_kind(m->form, r.line))[0] != 0;
    m->product[m->products++] = p;
    return true;
}

/* Lists the terms of a sum, through the sums and products that are inlined. */
static void expand(ur__maker *m, const ur__statement *s)
{
    const ur__program *p = &m->form->program;
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (!m->form->line[r.line].inlined)
            add_term(m, r);
        else if (ur__adds(m->form, r.line))
            expand(m, &p->statement[m->statement[r.line]]);
        else
            add_product(m, r);
    }
}

/* Products with a start state of zeros are nothing. */
static void drop_zeros(ur__maker *m)
{
    const ur__form *form = m->form;
    for (size_t k = m->products; k-- > 0 && m->products > 1;) {
        if (ur__is_zero(form, m->product[k].x.line))
            memmove(m->product + k, m->product + k + 1, (--m->products - k) * sizeof *m->product);
    }
}

/* A vector that every column gets added, and that is there before the blocks. */
static bool is_bias(const ur__maker *m, ur__ref r, uint32_t line)
{
    uint8_t spread;
    return ur__spread_of(m->form, r, line, &spread) && spread == UR__COLUMN && r.stride == 0 &&
           m->form->line[r.line].time == UR__BEFORE;
}

/* Takes the bias out of the terms. */
static bool take_bias(ur__maker *m, uint32_t line, ur__ref *bias)
{
    for (size_t k = 0; k < m->terms && m->products; k++)
        if (is_bias(m, m->term[k], line)) {
            *bias = m->term[k];
            memmove(m->term + k, m->term + k + 1, (--m->terms - k) * sizeof *m->term);
            return true;
        }
    return false;
}

/* The terms, products and bias of a statement. */
bool ur__list_terms(ur__maker *m, const ur__statement *s, ur__ref *bias)
{
    m->terms = m->products = 0;
    if (ur__adds(m->form, s->line))
        expand(m, s);
    else if (ur__line_kind(m->form, s->line)->op->kernel == UR__MATMUL)
        add_product(m, ur__this(m, s->line));
    drop_zeros(m);
    return take_bias(m, s->line, bias);
}

size_t ur__terms_of(ur__maker *m, const ur__statement *s)
{
    ur__ref bias;
    uint8_t sort = m->sort[s - m->form->program.statement];
    m->terms = 0;
    if (ur__adds(m->form, s->line)) {
        ur__list_terms(m, s, &bias);
        ur__ref own = ur__this(m, s->line);
        if (sort == UR__SORT_MIXED && add_term(m, own)) { /* first, since the sum is put together in its place */
            memmove(m->term + 1, m->term, (m->terms - 1) * sizeof *m->term);
            m->term[0] = own;
        }
        return m->terms;
    }
    for (uint32_t k = 0; k < s->refs; k++)
        add_term(m, ur__input_of(m, s, k));
    return m->terms;
}
