/* group.c - statements -> launches.
 *
 * Within one iteration statements get levels: a product, or a statement that is a launch of its own, runs after what it
 * reads; elementwise statements join a program of their level as long as they have as many rows. In a level the products
 * come first. Products over the same X are stacked into one, with their biases as the start of the sums:
 *
 *     [W_1 W_2 ...]^T x + [U_1 U_2 ...]^T h + [b_1; b_2; ...]
 *
 * Sums over the batch and over time of A_t B_t^T wait for the end of the block, where they are one contraction. */
#include "group.h"

#include <string.h>

/* ---- operands */

ur__ref ur__input_of(const ur__maker *m, const ur__statement *s, uint32_t k)
{
    return ur__resolve(m->plan, m->plan->program.ref[s->ref + k]);
}

ur__ref ur__this(const ur__maker *m, uint32_t line)
{
    return (ur__ref){
        .line = line, .first = (int32_t)(m->phase->begin - m->plan->program.line[line].begin), .stride = 1, .count = 1};
}

bool ur__is_here(const ur__maker *m, ur__ref r)
{
    const ur__program *p = &m->plan->program;
    uint32_t at = m->statement[r.line];
    return at >= m->phase->statement && at < m->phase->statement + m->phase->statements &&
           p->statement[at].line == r.line && r.count == 1 &&
           (uint32_t)r.first + p->line[r.line].begin == m->phase->begin &&
           (r.stride == 1 || m->phase->end - m->phase->begin == 1) && m->plan->line[r.line].time == m->time;
}

bool ur__spread_of(const ur_plan *plan, ur__ref r, uint32_t line, uint8_t *spread)
{
    const ur__line_plan *from = &plan->line[r.line], *to = &plan->line[line];
    ur_shape in = ur__line_shape(plan, r.line), out = ur__line_shape(plan, line);
    size_t count = ur_shape_count(in);
    bool wide = to->class == UR__BATCH && in.rank > 1 && in.size[in.rank - 1] == plan->batch &&
                (from->class == UR__BATCH || in.rank == out.rank);
    ur_shape column = out;
    column.size[out.rank > 0 ? out.rank - 1 : 0] = 1;
    if (r.count > 1)
        return false;
    bool constant = ur__node_of(plan, r.line)->op == &ur_op_const;
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

uint32_t ur__operand_for(ur__maker *m, ur__launch *l, ur__ref r, uint8_t spread)
{
    ur_plan *plan = m->plan;
    if (m->stamp[r.line] == m->launch) {
        const ur__argument *known = &plan->argument[l->operand + m->operand[r.line]];
        if (known->ref.first == r.first && known->ref.stride == r.stride && known->spread == spread)
            return m->operand[r.line];
    }
    if (!ur__room(plan->tape, &plan->argument, &plan->argument_room, plan->arguments, sizeof *plan->argument))
        return 0;
    plan->argument[plan->arguments++] = (ur__argument){.ref = r, .spread = spread};
    m->stamp[r.line] = m->launch;
    m->operand[r.line] = l->operands;
    return l->operands++;
}

/* ---- the terms of a sum */

static bool add_term(ur__maker *m, ur__ref r)
{
    if (!ur__room(m->plan->tape, &m->term, &m->term_room, m->terms, sizeof *m->term))
        return false;
    m->term[m->terms++] = r;
    return true;
}

static bool add_product(ur__maker *m, ur__ref r)
{
    ur__product p = {0};
    uint32_t n = m->phase->end - m->phase->begin;
    if (!ur__room(m->plan->tape, &m->product, &m->product_room, m->products, sizeof *m->product) ||
        !ur__product_of(m->plan, r, n, &p.a, &p.x))
        return false;
    p.transposed = ur__attr(m->plan->tape, ur__node_of(m->plan, r.line))[0] != 0;
    m->product[m->products++] = p;
    return true;
}

/* Lists the terms of a sum, through the sums and products that are inlined. */
static void expand(ur__maker *m, const ur__statement *s)
{
    const ur__program *p = &m->plan->program;
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (!m->plan->line[r.line].inlined)
            add_term(m, r);
        else if (ur__adds(m->plan, r.line))
            expand(m, &p->statement[m->statement[r.line]]);
        else
            add_product(m, r);
    }
}

/* Products with a start state of zeros are nothing. */
static void drop_zeros(ur__maker *m)
{
    const ur_plan *plan = m->plan;
    for (size_t k = m->products; k-- > 0 && m->products > 1;) {
        const ur__node *x = ur__node_of(plan, m->product[k].x.line);
        if (x->op == &ur_op_const && ur__attr(plan->tape, x)[0] == 0)
            memmove(m->product + k, m->product + k + 1, (--m->products - k) * sizeof *m->product);
    }
}

/* A vector that every column gets added, and that is there before the blocks. */
static bool is_bias(const ur__maker *m, ur__ref r, uint32_t line)
{
    uint8_t spread;
    return ur__spread_of(m->plan, r, line, &spread) && spread == UR__COLUMN && r.stride == 0 &&
           m->plan->line[r.line].time == UR__BEFORE;
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
static bool list_terms(ur__maker *m, const ur__statement *s, ur__ref *bias)
{
    m->terms = m->products = 0;
    if (ur__adds(m->plan, s->line))
        expand(m, s);
    else if (ur__node_of(m->plan, s->line)->op->kernel == UR__MATMUL)
        add_product(m, ur__this(m, s->line));
    drop_zeros(m);
    return take_bias(m, s->line, bias);
}

/* Is it a sum with the batch, whose terms may be elsewhere? */
static bool is_sum(const ur__maker *m, const ur__statement *s)
{
    return ur__adds(m->plan, s->line) && m->plan->line[s->line].class == UR__BATCH;
}

size_t ur__terms_of(ur__maker *m, const ur__statement *s)
{
    ur__ref bias;
    uint8_t sort = m->sort[s - m->plan->program.statement];
    m->terms = 0;
    if (is_sum(m, s)) {
        list_terms(m, s, &bias);
        ur__ref own = ur__this(m, s->line);
        if (sort == UR__MIXED && add_term(m, own)) { /* first, since the sum is put together in its place */
            memmove(m->term + 1, m->term, (m->terms - 1) * sizeof *m->term);
            m->term[0] = own;
        }
        return m->terms;
    }
    for (uint32_t k = 0; k < s->refs; k++)
        add_term(m, ur__input_of(m, s, k));
    return m->terms;
}

/* ---- sorts and levels */

/* Is it an elementwise statement whose operands fill the result in a simple way? */
static bool is_map(const ur__maker *m, const ur__statement *s)
{
    const ur_op *op = ur__node_of(m->plan, s->line)->op;
    bool adds = op == &ur_op_sum_of || op->kernel == UR__ALIAS || op->kernel == UR__BROADCAST;
    uint8_t spread;
    if (!adds && (op->kernel <= UR__SPECIFICATION || op->kernel >= UR__MAPS))
        return false;
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (m->plan->line[r.line].deferred || !ur__spread_of(m->plan, r, s->line, &spread))
            return false;
    }
    return m->plan->line[s->line].class != UR__REDUCED;
}

static ur__sort sort_of(ur__maker *m, const ur__statement *s)
{
    const ur__line_plan *line = &m->plan->line[s->line];
    ur__ref bias;
    if (line->alias || line->inlined)
        return UR__NOTHING;
    if (line->class == UR__REDUCED)
        return UR__REDUCTION;
    if (line->class == UR__BATCH) {
        list_terms(m, s, &bias);
        if (m->products)
            return m->terms ? UR__MIXED : UR__SUM_PRODUCT;
    }
    return is_map(m, s) ? UR__MAP : UR__ALONE;
}

static bool is_elementwise(uint8_t sort)
{
    return sort == UR__MAP || sort == UR__MIXED;
}

/* Raises a level to that at which r is there. `map`: for an elementwise statement of that many rows. */
static void wait_for(const ur__maker *m, ur__ref r, bool map, const ur__line_plan *reader, uint32_t *level)
{
    ur__ref one = r;
    one.count = r.stride == 0 ? 1 : r.count; /* a value that a sum adds several times */
    if (!ur__is_here(m, one))
        return;
    uint32_t at = m->statement[r.line];
    const ur__line_plan *line = &m->plan->line[r.line];
    bool together =
        map && (!is_elementwise(m->sort[at]) || (line->rows == reader->rows && line->class == reader->class));
    uint32_t earliest = m->level[at] + !together;
    *level = *level < earliest ? earliest : *level;
}

static void find_level(ur__maker *m, uint32_t at)
{
    const ur__statement *s = &m->plan->program.statement[at];
    const ur__line_plan *line = &m->plan->line[s->line];
    ur__ref bias;
    m->level[at] = m->heavy[at] = 0;
    bool product = m->sort[at] == UR__MIXED || m->sort[at] == UR__SUM_PRODUCT;
    if (product || (is_sum(m, s) && m->sort[at] == UR__MAP)) {
        list_terms(m, s, &bias);
        for (size_t k = 0; k < m->products; k++)
            wait_for(m, m->product[k].x, false, line, &m->heavy[at]);
        m->level[at] = m->heavy[at];
        for (size_t k = 0; k < m->terms; k++)
            wait_for(m, m->term[k], true, line, &m->level[at]);
        return;
    }
    for (uint32_t k = 0; k < s->refs; k++)
        wait_for(m, ur__input_of(m, s, k), m->sort[at] == UR__MAP, line, &m->level[at]);
    m->heavy[at] = m->level[at];
}

/* ---- what must lie in memory */

/* The reader at `at` reads r: from memory, unless both are in one elementwise program. */
static void mark_read(ur__maker *m, ur__ref r, uint32_t at, bool map)
{
    ur__line_plan *line = &m->plan->line[r.line];
    const ur__line_plan *reader = &m->plan->line[m->plan->program.statement[at].line];
    if (map && ur__node_of(m->plan, r.line)->op == &ur_op_const)
        return; /* an operand of one element */
    bool here = ur__is_here(m, r);
    uint32_t from = m->statement[r.line];
    bool together = map && here && m->sort[from] == UR__MAP && m->level[from] == m->level[at] &&
                    line->rows == reader->rows && line->class == reader->class && line->class == UR__BATCH;
    line->stored |= !together;
    line->carried |= !here;
}

static void mark_reads(ur__maker *m, uint32_t at)
{
    const ur__statement *s = &m->plan->program.statement[at];
    ur__line_plan *line = &m->plan->line[s->line];
    ur__ref bias;
    if (m->sort[at] == UR__NOTHING)
        return;
    line->stored |= line->root || m->sort[at] != UR__MAP || line->class != UR__BATCH;
    line->carried |= line->root;
    if (m->sort[at] == UR__MIXED || m->sort[at] == UR__SUM_PRODUCT || (is_sum(m, s) && m->sort[at] == UR__MAP)) {
        list_terms(m, s, &bias);
        for (size_t k = 0; k < m->products; k++) {
            mark_read(m, m->product[k].a, at, false);
            mark_read(m, m->product[k].x, at, false);
        }
        for (size_t k = 0; k < m->terms; k++)
            mark_read(m, m->term[k], at, true);
        return;
    }
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = ur__input_of(m, s, k);
        mark_read(m, r, at, m->sort[at] == UR__MAP);
        m->plan->line[r.line].carried |= line->contracted; /* read when the block's loops are through */
    }
}

/* ---- launches */

static ur__launch *begin_launch(ur__maker *m, ur__launch l)
{
    ur_plan *plan = m->plan;
    if (!ur__room(plan->tape, &plan->launch, &plan->launch_room, plan->launches, sizeof *plan->launch))
        return NULL;
    m->launch++;
    l.batch = plan->line[l.line].class == UR__BATCH;
    l.rows = l.rows ? l.rows : (uint32_t)plan->line[l.line].rows;
    l.operand = (uint32_t)plan->arguments;
    l.bias = UR__NOWHERE;
    plan->launch[plan->launches] = l;
    return &plan->launch[plan->launches++];
}

/* An operand for each input, even for equal ones, with the shape of line `as`. */
static bool add_shaped(ur_plan *plan, ur__launch *l, ur__ref r, uint32_t as)
{
    if (!ur__room(plan->tape, &plan->argument, &plan->argument_room, plan->arguments, sizeof *plan->argument))
        return false;
    plan->argument[plan->arguments++] = (ur__argument){.ref = r, .as = as};
    l->operands++;
    return true;
}

static bool add_operand(ur_plan *plan, ur__launch *l, ur__ref r)
{
    return add_shaped(plan, l, r, r.line);
}

static bool add_inputs(ur__maker *m, ur__launch *l, const ur__statement *s)
{
    for (uint32_t k = 0; k < s->refs; k++)
        if (!add_shaped(m->plan, l, ur__input_of(m, s, k), m->plan->program.ref[s->ref + k].line))
            return false;
    return true;
}

static bool collect(ur__maker *m, const ur__statement *s);

static bool launch_alone(ur__maker *m, const ur__statement *s)
{
    for (uint32_t k = 0; k < s->refs; k++)
        if (m->plan->line[ur__input_of(m, s, k).line].deferred)
            return collect(m, s);
    ur__launch *l = begin_launch(m, (ur__launch){.kind = UR__STATEMENT, .line = s->line, .outputs = 1});
    return l && add_operand(m->plan, l, ur__this(m, s->line)) && add_inputs(m, l, s);
}

/* Sums over the batch that are not deferred to a contraction are added up as they come. */
static bool launch_reduction(ur__maker *m, const ur__statement *s)
{
    const ur__line_plan *line = &m->plan->line[s->line];
    if (line->contracted)
        return true;
    ur__launch *l = begin_launch(m, (ur__launch){.kind = UR__ADD_UP, .line = s->line, .outputs = 1});
    if (l)
        l->batch = true;
    ur__ref part = line->deferred ? (ur__ref){.line = line->reader, .count = 1} : ur__this(m, s->line);
    return l && add_operand(m->plan, l, part) && add_inputs(m, l, s);
}

/* ---- products */

/* Products with few columns read everything where it lies. */
static bool is_narrow(const ur_plan *plan)
{
    return plan->batch < UR__NARROW;
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
    if (is_narrow(plan)) { /* everything is read where it lies */
        l->bias = biased ? ur__operand_for(m, l, bias, UR__FULL) : UR__NOWHERE;
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
    l->bias = biased ? 0 : l->bias;
    l->packings = (uint32_t)plan->packings - l->packing;
    return true;
}

/* May line `below` lie right behind line `above`? */
static bool may_stack(const ur_plan *plan, uint32_t above, uint32_t below)
{
    const ur__line_plan *a = &plan->line[above], *b = &plan->line[below];
    return !b->carried && (b->above == above || (b->above == UR_NONE && a->below == UR_NONE && b->below == UR_NONE));
}

/* Stacks all products of this level over one set of X, beginning with number i of the list. */
static bool launch_product(ur__maker *m, size_t i, size_t n, uint8_t *taken)
{
    ur_plan *plan = m->plan;
    const ur__statement *all = plan->program.statement, *s = &all[m->list[i]];
    ur__ref bias = {0};
    uint32_t above = s->line;
    bool biased = list_terms(m, s, &bias), alone = plan->line[above].carried || is_narrow(plan);
    ur__launch *l = begin_launch(m, (ur__launch){.kind = UR__PRODUCT, .line = above, .outputs = 1, .rows = 1});
    if (!l)
        return false;
    l->rows = 0;
    l->packing = (uint32_t)plan->packings;
    ur__operand_for(m, l, ur__this(m, above), UR__FULL);
    if (!begin_product(m, l) || !stack_product(m, l, above, biased, bias))
        return false;
    for (size_t k = i + 1; k < n && !alone; k++) {
        const ur__statement *other = &all[m->list[k]];
        uint8_t sort = m->sort[m->list[k]];
        if (taken[k] || (sort != UR__MIXED && sort != UR__SUM_PRODUCT) || !may_stack(plan, above, other->line))
            continue;
        biased = list_terms(m, other, &bias);
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
    for (const ur__launch *known = l; known-- > plan->launch && l - known < NEWEST;) {
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
    size_t at = plan->packed_elements, align = UR__LINE / ur_dtype_bytes(plan->tape->dtype);
    const ur__launch *known = packed_before(plan, l);
    l->panel = (uint32_t)plan->kernels->panel(l->rows, plan->width);
    for (uint32_t k = 0; k < l->count; k++) {
        ur__product_term *t = &plan->term[l->first + k];
        t->packed = known ? plan->term[known->first + k].packed : at;
        at += known ? 0 : (plan->kernels->packed_elements(l->panel, l->rows, t->k) + align - 1) / align * align;
    }
    if (l->bias != UR__NOWHERE) {
        l->bias = known ? known->bias : at;
        at += known ? 0 : (l->rows + align - 1) / align * align;
    }
    for (uint32_t k = 0; k < l->packings && !known; k++) {
        ur__packing *p = &plan->packing[l->packing + k];
        p->panel = l->panel;
        p->packed = p->k ? plan->term[l->first + p->term].packed : l->bias;
    }
    l->packed = known == NULL;
    plan->packed_elements = at;
}

void ur__place_packed(ur_plan *plan)
{
    plan->packed_elements = 0;
    for (size_t i = 0; i < plan->launches; i++)
        plan->launch[i].packed = false;
    for (size_t i = 0; i < plan->launches && !is_narrow(plan); i++)
        if (plan->launch[i].kind == UR__PRODUCT)
            place_packed(plan, &plan->launch[i]);
}

void ur__drop_packings(ur_plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->launches && !is_narrow(plan); i++) {
        ur__launch *l = &plan->launch[i];
        uint32_t first = l->packing;
        l->packing = (uint32_t)kept;
        for (uint32_t k = 0; k < l->packings && l->packed; k++)
            plan->packing[kept++] = plan->packing[first + k];
    }
    plan->packings = kept;
}

/* ---- the launches of a phase */

static bool launch_heavy(ur__maker *m, size_t n)
{
    bool good = true;
    uint8_t *taken = (uint8_t *)ur__take(m->plan->tape, n);
    if (!taken)
        return false;
    memset(taken, 0, n);
    for (size_t i = 0; i < n && good; i++) {
        const ur__statement *s = &m->plan->program.statement[m->list[i]];
        uint8_t sort = m->sort[m->list[i]];
        if (sort == UR__ALONE)
            good = launch_alone(m, s);
        else if (sort == UR__REDUCTION)
            good = launch_reduction(m, s);
        else if (sort != UR__MAP && !taken[i])
            good = launch_product(m, i, n, taken);
    }
    ur__give(m->plan->tape, taken, n);
    return good;
}

/* The elementwise statements of a level, those with as many rows together. */
static bool launch_maps(ur__maker *m, size_t n)
{
    ur_plan *plan = m->plan;
    const ur__statement *all = plan->program.statement;
    while (n > 0) {
        const ur__line_plan *first = &plan->line[all[m->list[0]].line];
        size_t taken = 0, left = 0;
        for (size_t i = 0; i < n; i++) {
            const ur__line_plan *line = &plan->line[all[m->list[i]].line];
            if (line->rows == first->rows && line->class == first->class)
                m->same[taken++] = m->list[i];
            else
                m->list[left++] = m->list[i];
        }
        ur__launch *l = begin_launch(m, (ur__launch){.kind = UR__POINTWISE, .line = all[m->same[0]].line});
        if (!l || !ur__pointwise(m, l, taken, m->same))
            return false;
        n = left;
    }
    return true;
}

/* Lists the phase's statements of the time at hand by level, in their order within a level: those that are launches of
 * their own, or the elementwise ones. Level k is sorted[begin[k]] .. sorted[begin[k+1]-1]. */
static void sort_levels(ur__maker *m, bool heavy, uint32_t levels, uint32_t *sorted, uint32_t *begin)
{
    const ur__phase *phase = m->phase;
    const uint32_t *level = heavy ? m->heavy : m->level;
    memset(begin, 0, (levels + 2) * sizeof *begin);
    for (int fill = 0; fill < 2; fill++)
        for (uint32_t k = 0; k < phase->statements; k++) {
            uint32_t i = phase->statement + k;
            uint8_t sort = m->sort[i];
            bool mine = sort != UR__NOTHING && (heavy ? sort != UR__MAP : is_elementwise(sort)) &&
                        m->plan->line[m->plan->program.statement[i].line].time == m->time;
            if (mine && !fill)
                begin[level[i] + 2]++;
            else if (mine)
                sorted[begin[level[i] + 1]++] = i;
            if (k + 1 == phase->statements && !fill)
                for (uint32_t l = 2; l < levels + 2; l++)
                    begin[l] += begin[l - 1];
        }
}

static uint32_t enter_phase(ur__maker *m, const ur__phase *phase)
{
    const ur__program *p = &m->plan->program;
    uint32_t levels = 0;
    m->phase = phase;
    for (uint32_t k = 0; k < phase->statements; k++)
        m->statement[p->statement[phase->statement + k].line] = phase->statement + k;
    for (uint32_t k = 0; k < phase->statements; k++)
        levels = levels > m->level[phase->statement + k] ? levels : m->level[phase->statement + k];
    return levels + 1;
}

static bool launch_phase(ur__maker *m, const ur__phase *phase)
{
    uint32_t levels = enter_phase(m, phase);
    sort_levels(m, true, levels, m->sorted[0], m->begin[0]);
    sort_levels(m, false, levels, m->sorted[1], m->begin[1]);
    for (uint32_t l = 0; l < levels; l++)
        for (int maps = 0; maps < 2; maps++) {
            size_t n = m->begin[maps][l + 1] - m->begin[maps][l];
            memcpy(m->list, m->sorted[maps] + m->begin[maps][l], n * sizeof *m->list);
            if (n && !(maps ? launch_maps(m, n) : launch_heavy(m, n)))
                return false;
        }
    return true;
}

/* Sorts, levels and reads of all statements: what must be known of a line before its launch is made. */
static void look_ahead(ur__maker *m)
{
    const ur__program *p = &m->plan->program;
    for (int reads = 0; reads < 2; reads++)
        for (size_t l = 0; l < p->loops; l++)
            for (uint32_t f = 0; f < p->loop[l].phases; f++) {
                const ur__phase *phase = &p->phase[p->loop[l].phase + f];
                enter_phase(m, phase);
                for (uint32_t k = 0; k < phase->statements; k++) {
                    uint32_t i = phase->statement + k;
                    m->time = m->plan->line[p->statement[i].line].time;
                    if (reads) {
                        mark_reads(m, i);
                        continue;
                    }
                    m->sort[i] = (uint8_t)sort_of(m, &p->statement[i]);
                    find_level(m, i);
                }
            }
}

/* ---- contractions */

/* A and B of a line that is a contraction, in one phase; A is UR_NONE's line for sums of rows. */
static bool factors_of(const ur_plan *plan, uint32_t line, const ur__phase *phase, ur__ref *a, ur__ref *b)
{
    const ur__statement *s = ur__statement_of(plan, phase, line);
    if (!s)
        return false;
    bool product = s->refs == 2;
    *a = product ? ur__resolve(plan, plan->program.ref[s->ref]) : (ur__ref){.line = UR_NONE};
    *b = ur__resolve(plan, plan->program.ref[s->ref + product]);
    return true;
}

static bool is_zero(const ur_plan *plan, ur__ref r)
{
    const ur__node *n = r.line == UR_NONE ? NULL : ur__node_of(plan, r.line);
    return n && n->op == &ur_op_const && ur__attr(plan->tape, n)[0] == 0;
}

/* Do two lines of one loop have the same A in every phase, and B of one size? */
static bool same_factor(const ur_plan *plan, uint32_t l, uint32_t k)
{
    const ur__program *p = &plan->program;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    if (p->line[k].loop != p->line[l].loop || plan->line[k].rows != plan->line[l].rows)
        return false;
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b, c, d;
        const ur__phase *phase = &p->phase[loop->phase + f];
        bool one = factors_of(plan, l, phase, &a, &b), other = factors_of(plan, k, phase, &c, &d);
        if (one != other || (one && (a.line != c.line || plan->line[b.line].rows != plan->line[d.line].rows ||
                                     (a.line != UR_NONE && (a.first != c.first || a.stride != c.stride)))))
            return false;
    }
    return true;
}

static ur__ref part_of(const ur_plan *plan, uint32_t line)
{
    return (ur__ref){.line = plan->line[line].deferred ? plan->line[line].reader : line, .count = 1};
}

/* Inputs that were not made together lie anywhere: the number of iterations from `from` on, of n in all, in which a leaf
 * is at a constant distance from the one before. */
static uint32_t even_steps(const ur_plan *plan, ur__ref r, uint32_t from, uint32_t n)
{
    if (r.line == UR_NONE || plan->program.line[r.line].loop != UR_NONE || r.stride == 0 ||
        !ur__is_leaf(ur__node_of(plan, r.line)))
        return n - from;
    const uint32_t *leaf = plan->program.leaf + plan->program.line[r.line].first;
    uintptr_t at[2] = {0, 0}, step = 0;
    for (uint32_t i = from; i < n; i++) {
        const ur__node *node = &plan->tape->node[leaf[r.first + r.stride * (int32_t)i]];
        at[0] = at[1];
        at[1] = (uintptr_t)ur__leaf_data(plan->tape, node);
        if (i > from + 1 && at[1] - at[0] != step)
            return i - from;
        step = at[1] - at[0];
    }
    return n - from;
}

static ur__ref from_iteration(ur__ref r, uint32_t i)
{
    r.first += r.stride * (int32_t)i;
    return r;
}

/* The stretches of a contraction, one or more for each phase that has it. */
static bool add_parts(ur_plan *plan, ur__launch *l, size_t n, const uint32_t *lines)
{
    const ur__program *p = &plan->program;
    const ur__loop *loop = &p->loop[p->line[lines[0]].loop];
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b;
        const ur__phase *phase = &p->phase[loop->phase + f];
        if (!factors_of(plan, lines[0], phase, &a, &b) || is_zero(plan, a))
            continue;
        l->m = (uint32_t)plan->line[b.line].rows;
        l->ones = a.line == UR_NONE;
        l->rows = l->ones ? 1 : (uint32_t)plan->line[a.line].rows;
        for (uint32_t i = 0, all = phase->end - phase->begin, some; i < all; i += some) {
            some = even_steps(plan, a, i, all);
            for (size_t k = 0; k < n; k++) {
                factors_of(plan, lines[k], phase, &a, &b);
                uint32_t even = even_steps(plan, b, i, all);
                some = even < some ? even : some;
            }
            if (!ur__room(plan->tape, &plan->part, &plan->part_room, plan->parts, sizeof *plan->part))
                return false;
            plan->part[plan->parts++] = (ur__contraction_part){.operand = (uint32_t)plan->arguments,
                                                               .n = some,
                                                               .loop = p->line[lines[0]].loop,
                                                               .begin = phase->begin + i};
            l->count++;
            bool good = l->ones || add_operand(plan, l, from_iteration(a, i));
            for (size_t k = 0; k < n && good; k++)
                good = factors_of(plan, lines[k], phase, &a, &b) && add_operand(plan, l, from_iteration(b, i));
            if (!good)
                return false;
        }
    }
    return true;
}

/* One contraction for all lines that share their A with line l. `lines` has room for all lines. */
static bool launch_contraction(ur__maker *m, uint32_t l, uint8_t *taken, uint32_t *lines)
{
    ur_plan *plan = m->plan;
    size_t n = 0;
    for (uint32_t k = l; k < plan->program.lines; k++)
        if (plan->line[k].contracted && !taken[k] && same_factor(plan, l, k)) {
            taken[k] = 1;
            lines[n++] = k;
        }
    ur__launch *launch = begin_launch(m, (ur__launch){.kind = UR__CONTRACT, .line = l, .outputs = (uint32_t)n});
    if (!launch)
        return false;
    launch->first = (uint32_t)plan->parts;
    for (size_t k = 0; k < n; k++)
        if (!add_operand(plan, launch, part_of(plan, lines[k])))
            return false;
    return add_parts(plan, launch, n, lines);
}

static bool launch_contractions(ur__maker *m)
{
    ur_plan *plan = m->plan;
    size_t lines = plan->program.lines;
    uint8_t *taken = (uint8_t *)ur__take(plan->tape, lines);
    uint32_t *shared = (uint32_t *)ur__take(plan->tape, lines * sizeof *shared);
    bool good = taken && shared;
    plan->finish.first = (uint32_t)plan->launches;
    if (good)
        memset(taken, 0, lines);
    for (uint32_t l = 0; l < lines && good; l++)
        if (plan->line[l].contracted && !taken[l])
            good = launch_contraction(m, l, taken, shared);
    plan->finish.count = (uint32_t)plan->launches - plan->finish.first;
    ur__give(plan->tape, taken, lines);
    ur__give(plan->tape, shared, lines * sizeof *shared);
    return good;
}

/* ---- all of it */

/* A sum over the batch is there when its blocks' parts are added up; the sum of a deferred one adds its other terms. */
static bool collect(ur__maker *m, const ur__statement *s)
{
    ur_plan *plan = m->plan;
    ur__launch *l = begin_launch(m, (ur__launch){.kind = UR__COLLECT, .line = s->line, .outputs = 1});
    bool good = l && add_operand(plan, l, ur__this(m, s->line));
    bool sum = plan->line[s->line].class == UR__ONCE;
    for (uint32_t k = 0; k < s->refs && good && sum; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (!plan->line[r.line].deferred)
            good = add_operand(plan, l, r);
    }
    return good;
}

static bool launch_time(ur__maker *m, uint8_t time)
{
    ur_plan *plan = m->plan;
    const ur__program *p = &plan->program;
    bool good = true;
    m->time = time;
    for (size_t f = 0; f < p->phases && good; f++) {
        ur__span *span = &plan->span[time * p->phases + f];
        span->first = (uint32_t)plan->launches;
        m->phase = &p->phase[f];
        for (uint32_t k = 0; k < m->phase->statements && good && time == UR__AFTER; k++) {
            const ur__statement *s = &p->statement[m->phase->statement + k];
            if (plan->line[s->line].class == UR__REDUCED && !plan->line[s->line].deferred && !plan->line[s->line].alias)
                good = collect(m, s);
        }
        good = good && launch_phase(m, &p->phase[f]);
        span->count = (uint32_t)plan->launches - span->first;
    }
    return good;
}

static bool take_tables(ur__maker *m, size_t statements, size_t lines)
{
    struct {
        uint32_t **table;
        size_t count;
    } tables[] = {{&m->level, statements},
                  {&m->heavy, statements},
                  {&m->list, statements},
                  {&m->same, statements},
                  {&m->sorted[0], statements},
                  {&m->sorted[1], statements},
                  {&m->begin[0], statements + 3},
                  {&m->begin[1], statements + 3},
                  {&m->statement, lines},
                  {&m->stamp, lines},
                  {&m->operand, lines},
                  {&m->member, lines},
                  {&m->reads, lines}};
    size_t total = 0, n = sizeof tables / sizeof *tables;
    for (size_t i = 0; i < n; i++)
        total += tables[i].count;
    m->tables_bytes = total * sizeof(uint32_t) + 2 * statements;
    m->tables = ur__take(m->plan->tape, m->tables_bytes);
    if (!m->tables)
        return false;
    memset(m->tables, 0, m->tables_bytes);
    uint32_t *at = (uint32_t *)m->tables;
    for (size_t i = 0; i < n; i++) {
        *tables[i].table = at;
        at += tables[i].count;
    }
    m->sort = (uint8_t *)at;
    m->absorbed = m->sort + statements;
    memset(m->statement, 0xff, lines * sizeof *m->statement);
    return true;
}

bool ur__group(ur_plan *plan)
{
    ur_tape *tape = plan->tape;
    const ur__program *p = &plan->program;
    ur__maker m = {.plan = plan};
    bool good = take_tables(&m, p->statements, p->lines) &&
                ur__room(tape, &plan->attr, &plan->attr_room, plan->attrs, sizeof *plan->attr);
    if (good) {
        plan->attr[plan->attrs++] = 0; /* read where an operation has no constants */
        look_ahead(&m);
    }
    for (uint8_t time = 0; time < UR__TIMES && good; time++)
        good = launch_time(&m, time);
    good = good && launch_contractions(&m);
    ur__give(tape, m.tables, m.tables_bytes);
    ur__give(tape, m.term, m.term_room * sizeof *m.term);
    ur__give(tape, m.product, m.product_room * sizeof *m.product);
    return good && !tape->error.text[0];
}
