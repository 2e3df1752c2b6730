/* group.c - statements -> launches.
 *
 * Within one iteration statements get levels: a product, or a statement that is a launch of its own, runs after what it
 * reads; elementwise statements join a program of their level as long as they have as many rows. In a level the products
 * come first (product.c). Sums over the batch and over time wait for the end of the block (contraction.c). */
#include <string.h>

#include "group.h"

/* ---- sorts and levels */

/* Is it an elementwise statement whose operands fill the result in a simple way? */
static bool is_map(const ur__maker *m, const ur__statement *s)
{
    const ur_op *op = ur__line_kind(m->form, s->line)->op;
    bool adds = op == &ur_op_sum_of || op->kernel == UR__ALIAS || op->kernel == UR__BROADCAST;
    uint8_t spread;
    if (!adds && (op->kernel <= UR__SPECIFICATION || op->kernel >= UR__MAPS))
        return false;
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (m->form->line[r.line].deferred || !ur__spread_of(m->form, r, s->line, &spread))
            return false;
    }
    return m->form->line[s->line].class != UR__REDUCED;
}

/* Is it a sum or a mean that gives one element, or one for each column, of what a program computes or reads from memory?
 * Constants lie in no memory. */
static bool sums_values(const ur__maker *m, const ur__statement *s)
{
    const int kernel = ur__line_kind(m->form, s->line)->op->kernel;
    if ((kernel != UR__REDUCE && kernel != UR__MEAN) || m->form->line[s->line].rows != 1)
        return false;
    ur__ref r = ur__input_of(m, s, 0);
    return r.count == 1 && m->form->line[r.line].class == UR__BATCH &&
           ur__line_kind(m->form, r.line)->op != &ur_op_const;
}

/* Of all rows? */
static bool is_row_sum(const ur__maker *m, const ur__statement *s)
{
    return m->form->line[s->line].class == UR__BATCH && sums_values(m, s);
}

/* Of all elements? The sum of one row waits for a contraction. */
static bool is_total(const ur__maker *m, const ur__statement *s)
{
    const ur__line_plan *line = &m->form->line[s->line];
    return line->class == UR__REDUCED && !line->contracted && sums_values(m, s);
}

static ur__sort sort_of(ur__maker *m, const ur__statement *s)
{
    const ur__line_plan *line = &m->form->line[s->line];
    ur__ref bias;
    if (line->alias || line->inlined)
        return UR__SORT_NOTHING;
    if (line->class == UR__REDUCED)
        return is_total(m, s) ? UR__SORT_TOTAL : UR__SORT_REDUCTION;
    if (line->class == UR__BATCH) {
        ur__list_terms(m, s, &bias);
        if (m->products)
            return m->terms ? UR__SORT_MIXED : UR__SORT_SUM_PRODUCT;
    }
    uint32_t skip;
    return is_row_sum(m, s)                              ? UR__SORT_ROW_SUM
           : is_map(m, s) || ur__takes_rows(m, s, &skip) ? UR__SORT_MAP
                                                         : UR__SORT_ALONE;
}

static bool is_elementwise(uint8_t sort)
{
    return sort == UR__SORT_MAP || sort == UR__SORT_MIXED || sort == UR__SORT_ROW_SUM || sort == UR__SORT_TOTAL;
}

/* The value that an elementwise statement walks over: its result, or what it sums up. */
static const ur__line_plan *walked_by(const ur__maker *m, uint32_t at)
{
    const ur__statement *s = &m->form->program.statement[at];
    return &m->form->line[ur__sums_up(m, s) ? ur__input_of(m, s, 0).line : s->line];
}

/* May two statements of one level be in one elementwise program? */
static bool go_together(const ur__maker *m, uint32_t at, uint32_t other)
{
    const ur__line_plan *one = walked_by(m, at), *two = walked_by(m, other);
    return one->rows == two->rows && one->class == two->class;
}

/* What an operand is to the statement that reads it. */
typedef enum role {
    FIXED,  /* a matrix or bias of a product, there before the blocks */
    FACTOR, /* the X of a product */
    TERM,   /* an operand of an elementwise program */
    WHOLE   /* an operand of a launch of its own */
} role;

/* Is it a sum, of which products and other values have to be told apart? */
static bool has_terms(const ur__maker *m, uint32_t at)
{
    uint8_t sort = m->sort[at];
    return sort == UR__SORT_MIXED || sort == UR__SORT_SUM_PRODUCT ||
           (sort == UR__SORT_MAP && ur__adds(m->form, m->form->program.statement[at].line));
}

/* Calls for what statement `at` reads, also through the products and sums that are inlined in it; factors come first. */
static void each_operand(ur__maker *m, uint32_t at, void (*visit)(const ur__maker *m, uint32_t at, ur__ref r, role as))
{
    const ur__statement *s = &m->form->program.statement[at];
    ur__ref bias;
    if (!has_terms(m, at)) {
        for (uint32_t k = 0; k < s->refs; k++)
            visit(m, at, ur__input_of(m, s, k), is_elementwise(m->sort[at]) ? TERM : WHOLE);
        return;
    }
    bool biased = ur__list_terms(m, s, &bias);
    for (size_t k = 0; k < m->products; k++) {
        visit(m, at, m->product[k].a, FIXED);
        visit(m, at, m->product[k].x, FACTOR);
    }
    if (biased)
        visit(m, at, bias, FIXED);
    for (size_t k = 0; k < m->terms; k++)
        visit(m, at, m->term[k], TERM);
}

/* The statement that computes r in this iteration, at the same time; UR_NONE: none does. */
static uint32_t source_of(const ur__maker *m, ur__ref r)
{
    r.count = r.stride == 0 ? 1 : r.count; /* a value that a sum adds several times */
    return ur__is_here(m, r) ? m->statement[r.line] : UR_NONE;
}

/* May statement `at` read what `from` computes at the same level: in one program, or in one that follows a product? */
static bool reads_at_once(const ur__maker *m, uint32_t at, uint32_t from, role as)
{
    return as == TERM && m->sort[from] != UR__SORT_ROW_SUM &&
           (!is_elementwise(m->sort[from]) || go_together(m, from, at));
}

/* Raises the level of a statement, or of its products, to that at which it finds r. */
static void wait_for(const ur__maker *m, uint32_t at, ur__ref r, role as)
{
    uint32_t from = source_of(m, r), *level = as == FACTOR ? &m->heavy[at] : &m->level[at];
    if (from == UR_NONE)
        return;
    uint32_t earliest = m->level[from] + !reads_at_once(m, at, from, as);
    *level = *level < earliest ? earliest : *level;
}

static void find_level(ur__maker *m, uint32_t at)
{
    m->level[at] = m->heavy[at] = 0;
    each_operand(m, at, wait_for);
    if (has_terms(m, at))
        m->level[at] = m->level[at] < m->heavy[at] ? m->heavy[at] : m->level[at];
    else
        m->heavy[at] = m->level[at];
}

/* Lowers the level by which r must be there to that at which statement `at` needs it. */
static void need_by(const ur__maker *m, uint32_t at, ur__ref r, role as)
{
    uint32_t from = source_of(m, r), by = as == FACTOR ? m->heavy[at] : m->level[at];
    if (from == UR_NONE)
        return;
    uint32_t latest = reads_at_once(m, at, from, as) ? by : by > 0 ? by - 1 : 0;
    m->latest[from] = latest < m->latest[from] ? latest : m->latest[from];
}

/* Is it an elementwise statement that nothing in the phase reads? */
static bool is_free(const ur__maker *m, uint32_t at)
{
    return m->sort[at] == UR__SORT_MAP && m->latest[at] == UR_NONE;
}

/* An elementwise statement runs as late as its readers in the phase allow: in the program that reads it. Called from the
 * last statement to the first. */
static void sink(ur__maker *m, uint32_t at)
{
    if (m->sort[at] == UR__SORT_MAP && !is_free(m, at) && m->latest[at] > m->level[at])
        m->level[at] = m->heavy[at] = m->latest[at];
    each_operand(m, at, need_by);
}

/* ---- what must lie in memory */

/* The reader at `at` reads r: from memory, unless both are in one elementwise program. */
static void mark_read(const ur__maker *m, uint32_t at, ur__ref r, role as)
{
    ur__line_plan *line = &m->form->line[r.line];
    if (as == TERM && ur__line_kind(m->form, r.line)->op == &ur_op_const)
        return; /* an operand of one element */
    bool here = ur__is_here(m, r);
    uint32_t from = m->statement[r.line];
    bool together = as == TERM && here && m->sort[from] == UR__SORT_MAP && m->level[from] == m->level[at] &&
                    go_together(m, from, at);
    line->stored |= !together;
    line->carried |= !here || m->form->line[m->form->program.statement[at].line].contracted; /* read at a block's end */
}

static void mark_reads(ur__maker *m, uint32_t at)
{
    ur__line_plan *line = &m->form->line[m->form->program.statement[at].line];
    line->stored |= line->root || m->sort[at] != UR__SORT_MAP;
    line->carried |= line->root;
    each_operand(m, at, mark_read);
}

/* ---- launches */

ur__launch *ur__begin_launch(ur__maker *m, ur__launch l)
{
    ur__form *form = m->form;
    if (!ur__room(form->tape, &form->launch, &form->launch_room, form->launches, sizeof *form->launch))
        return NULL;
    m->launch++;
    l.batch |= form->line[l.line].class == UR__BATCH;
    if (!l.rows && l.kind != UR__PRODUCT) /* whose rows are those of the lines in it */
        l.rows = (uint32_t)form->line[l.line].rows;
    l.operand = (uint32_t)form->arguments;
    l.bias = UR_NONE;
    form->launch[form->launches] = l;
    return &form->launch[form->launches++];
}

/* An operand for each input, even for equal ones, with the shape of line `as`. */
static bool add_shaped(ur__form *form, ur__launch *l, ur__ref r, uint32_t as)
{
    if (!ur__room(form->tape, &form->argument, &form->argument_room, form->arguments, sizeof *form->argument))
        return false;
    form->argument[form->arguments++] = (ur__argument){.ref = r, .as = as};
    l->operands++;
    return true;
}

bool ur__add_operand(ur__form *form, ur__launch *l, ur__ref r)
{
    return add_shaped(form, l, r, r.line);
}

static bool add_inputs(ur__maker *m, ur__launch *l, const ur__statement *s)
{
    for (uint32_t k = 0; k < s->refs; k++)
        if (!add_shaped(m->form, l, ur__input_of(m, s, k), m->form->program.ref[s->ref + k].line))
            return false;
    return true;
}

/* A sum over the batch is there when its blocks' parts are added up; the sum of a deferred one adds its other terms. */
static bool collect(ur__maker *m, const ur__statement *s)
{
    ur__form *form = m->form;
    ur__launch *l = ur__begin_launch(m, (ur__launch){.kind = UR__COLLECT, .line = s->line, .outputs = 1});
    bool good = l && ur__add_operand(form, l, ur__this(m, s->line));
    bool sum = form->line[s->line].class == UR__ONCE;
    for (uint32_t k = 0; k < s->refs && good && sum; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (!form->line[r.line].deferred)
            good = ur__add_operand(form, l, r);
    }
    return good;
}

static bool launch_alone(ur__maker *m, const ur__statement *s)
{
    for (uint32_t k = 0; k < s->refs; k++)
        if (m->form->line[ur__input_of(m, s, k).line].deferred)
            return collect(m, s);
    ur__launch *l = ur__begin_launch(m, (ur__launch){.kind = UR__STATEMENT, .line = s->line, .outputs = 1});
    return l && ur__add_operand(m->form, l, ur__this(m, s->line)) && add_inputs(m, l, s);
}

/* Sums over the batch that are not deferred to a contraction are added up as they come. */
static bool launch_reduction(ur__maker *m, const ur__statement *s)
{
    if (m->form->line[s->line].contracted)
        return true;
    ur__launch *l = ur__begin_launch(m, (ur__launch){.kind = UR__ADD_UP, .batch = true, .line = s->line, .outputs = 1});
    return l && ur__add_operand(m->form, l, ur__part_of(m, s->line)) && add_inputs(m, l, s);
}

/* ---- the launches of a phase */

static bool launch_heavy(ur__maker *m, size_t n)
{
    bool good = true;
    uint8_t *taken = (uint8_t *)ur__take(m->form->tape, n);
    if (!taken)
        return false;
    memset(taken, 0, n);
    for (size_t i = 0; i < n && good; i++) {
        const ur__statement *s = &m->form->program.statement[m->list[i]];
        uint8_t sort = m->sort[m->list[i]];
        if (sort == UR__SORT_ALONE)
            good = launch_alone(m, s);
        else if (sort == UR__SORT_REDUCTION)
            good = launch_reduction(m, s);
        else if (!taken[i])
            good = ur__launch_product(m, i, n, taken);
    }
    ur__give(m->form->tape, taken, n);
    return good;
}

/* The elementwise statements of a level, those with as many rows together. */
static bool launch_maps(ur__maker *m, size_t n)
{
    ur__form *form = m->form;
    while (n > 0) {
        const uint32_t first = m->list[0];
        const ur__line_plan *walked = walked_by(m, first);
        size_t taken = 0, left = 0;
        for (size_t i = 0; i < n; i++)
            if (go_together(m, first, m->list[i]))
                m->same[taken++] = m->list[i];
            else
                m->list[left++] = m->list[i];
        ur__launch *l = ur__begin_launch(m, (ur__launch){.kind = UR__POINTWISE,
                                                         .batch = walked->class == UR__BATCH,
                                                         .line = form->program.statement[first].line,
                                                         .rows = (uint32_t)walked->rows});
        if (!l || !ur__pointwise(m, l, taken, m->same))
            return false;
        n = left;
    }
    return true;
}

/* Is statement i launched now, as a launch of its own or in an elementwise program? */
static bool is_launched(const ur__maker *m, uint32_t i, bool heavy)
{
    uint8_t sort = m->sort[i];
    return m->when[i] == m->time && (heavy ? !is_elementwise(sort) || sort == UR__SORT_MIXED : is_elementwise(sort));
}

/* Lists the phase's statements of the time at hand by level, in their order within a level: those that are launches of
 * their own, or the elementwise ones. Level k is sorted[begin[k]] .. sorted[begin[k+1]-1]. */
static void sort_levels(ur__maker *m, bool heavy, uint32_t levels, uint32_t *sorted, uint32_t *begin)
{
    uint32_t first = m->phase->statement, end = first + m->phase->statements;
    const uint32_t *level = heavy ? m->heavy : m->level;
    memset(begin, 0, (levels + 2) * sizeof *begin);
    for (uint32_t i = first; i < end; i++)
        if (is_launched(m, i, heavy))
            begin[level[i] + 2]++;
    for (uint32_t l = 2; l < levels + 2; l++)
        begin[l] += begin[l - 1];
    for (uint32_t i = first; i < end; i++)
        if (is_launched(m, i, heavy))
            sorted[begin[level[i] + 1]++] = i;
}

static uint32_t enter_phase(ur__maker *m, const ur__phase *phase)
{
    const ur__program *p = &m->form->program;
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

/* Goes to statement i: what is here is asked at its time. */
static void enter_statement(ur__maker *m, uint32_t i)
{
    const ur__form *form = m->form;
    m->time = form->line[form->program.statement[i].line].time;
}

/* Sorts and levels of a phase's statements, and at what times it has launches. */
static void sort_statements(ur__maker *m, uint32_t begin, uint32_t end, uint8_t *times)
{
    for (uint32_t i = begin; i < end; i++) {
        enter_statement(m, i);
        m->sort[i] = (uint8_t)sort_of(m, &m->form->program.statement[i]);
        m->when[i] = m->sort[i] == UR__SORT_NOTHING ? UR__TIMES : m->time;
        if (m->sort[i] == UR__SORT_NOTHING)
            continue;
        *times |= (uint8_t)(1u << m->time);
        find_level(m, i);
        m->latest[i] = UR_NONE;
    }
}

/* In three passes: what has readers in the phase goes down to them; free statements, which held nothing up, go right below
 * their operands; then what only those read goes down to them. */
static void move_statements(ur__maker *m, uint32_t begin, uint32_t end)
{
    for (uint32_t i = end; i-- > begin;) {
        enter_statement(m, i);
        if (m->sort[i] != UR__SORT_NOTHING && !is_free(m, i))
            sink(m, i);
    }
    for (uint32_t i = begin; i < end; i++) {
        enter_statement(m, i);
        if (is_free(m, i))
            find_level(m, i);
    }
    for (uint32_t i = end; i-- > begin;) {
        enter_statement(m, i);
        if (m->sort[i] != UR__SORT_NOTHING)
            sink(m, i);
    }
}

static void mark_statements(ur__maker *m, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        enter_statement(m, i);
        if (m->sort[i] != UR__SORT_NOTHING)
            mark_reads(m, i);
    }
}

/* What must be known of a line before its launch is made; who reads it, when the sorts of all are known. */
static void look_ahead(ur__maker *m)
{
    const ur__program *p = &m->form->program;
    for (size_t f = 0; f < p->phases; f++) {
        const uint32_t begin = p->phase[f].statement, end = begin + p->phase[f].statements;
        enter_phase(m, &p->phase[f]);
        sort_statements(m, begin, end, &m->times[f]);
        move_statements(m, begin, end);
    }
    for (size_t f = 0; f < p->phases; f++) {
        enter_phase(m, &p->phase[f]);
        mark_statements(m, p->phase[f].statement, p->phase[f].statement + p->phase[f].statements);
    }
}

/* ---- all of it */

static bool launch_time(ur__maker *m, uint8_t time)
{
    ur__form *form = m->form;
    const ur__program *p = &form->program;
    bool good = true;
    m->time = time;
    for (size_t f = 0; f < p->phases && good; f++) {
        ur__span *span = &form->span[time * p->phases + f];
        span->first = (uint32_t)form->launches;
        m->phase = &p->phase[f];
        for (uint32_t k = 0; k < m->phase->statements && good && time == UR__AFTER; k++) {
            const ur__statement *s = &p->statement[m->phase->statement + k];
            if (form->line[s->line].class == UR__REDUCED && !form->line[s->line].deferred && !form->line[s->line].alias)
                good = collect(m, s);
        }
        if (m->times[f] >> time & 1)
            good = good && launch_phase(m, &p->phase[f]);
        span->count = (uint32_t)form->launches - span->first;
    }
    return good;
}

static bool take_tables(ur__maker *m, size_t statements, size_t lines, size_t phases)
{
    struct {
        uint32_t **table;
        size_t count;
    } tables[] = {{&m->level, statements},
                  {&m->heavy, statements},
                  {&m->latest, statements},
                  {&m->list, statements},
                  {&m->same, statements},
                  {&m->sorted[0], statements},
                  {&m->sorted[1], statements},
                  {&m->begin[0], statements + 3},
                  {&m->begin[1], statements + 3},
                  {&m->statement, lines},
                  {&m->stamp, lines},
                  {&m->place, lines},
                  {&m->copied, lines},
                  {&m->begun, lines},
                  {&m->member, lines},
                  {&m->reads, lines}};
    size_t total = 0, n = sizeof tables / sizeof *tables;
    for (size_t i = 0; i < n; i++)
        total += tables[i].count;
    m->tables_bytes = total * sizeof(uint32_t) + 3 * statements + phases;
    m->tables = ur__take(m->form->tape, m->tables_bytes);
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
    m->when = m->absorbed + statements;
    m->times = m->when + statements;
    memset(m->statement, 0xff, lines * sizeof *m->statement);
    return true;
}

bool ur__group(ur__form *form)
{
    ur_tape *tape = form->tape;
    const ur__program *p = &form->program;
    ur__maker m = {.form = form};
    bool good = take_tables(&m, p->statements, p->lines, p->phases) &&
                ur__room(tape, &form->attr, &form->attr_room, form->attrs, sizeof *form->attr);
    if (good) {
        form->attr[form->attrs++] = 0; /* read where an operation has no constants */
        look_ahead(&m);
    }
    for (uint8_t time = 0; time < UR__TIMES && good; time++)
        good = launch_time(&m, time);
    good = good && ur__launch_contractions(&m);
    ur__give(tape, m.tables, m.tables_bytes);
    ur__give(tape, m.term, m.term_room * sizeof *m.term);
    ur__give(tape, m.product, m.product_room * sizeof *m.product);
    return good && !tape->error.text[0];
}
