/* pointwise.c - elementwise statements as one program, run tile by tile.
 *
 * A value that only this program reads lives in a tile buffer; if it is some rows of another value, they are read where
 * they lie. What has one reader and fits into one of the kernels of several operations is absorbed by it: g (1 - y^2) is
 * one instruction, as is a b + c. Operations of one value that all begin with e^-|a|, as its sigmoid and the cross-entropy
 * of that do, share this part. */
#include "group.h"

/* One instruction before its operands have numbers; `sum`: of all the statement's operands. */
typedef struct draft {
    bool sum;
    uint32_t kernel, count;
    ur__ref in[3];
    const ur__statement *of; /* whose operands they are, NULL: the statement's */
    uint32_t exp;            /* the buffer that has e^-|in[0]|, 0: none */
    struct draft *next;      /* the draft that reads it after this one */
} draft;

/* select(alive, a, b) where every column is alive is a: in the form without masks such statements vanish. */
static bool is_transparent(const ur__maker *m, const ur__statement *s)
{
    return m->form->assumes_alive && s->masked;
}

/* Is its result added to the block's sums? */
static bool adds_up(const ur__maker *m, const ur__statement *s)
{
    return m->sort[s - m->form->program.statement] == UR__SORT_TOTAL;
}

static uint32_t kernel_of(const ur__maker *m, const ur__statement *s)
{
    const ur_op *op = ur__line_kind(m->form, s->line)->op;
    if (adds_up(m, s))
        return UR__ADD_LANES;
    if (op == &ur_op_sum_of || op->kernel == UR__ADD)
        return UR__ADD;
    if (op->kernel == UR__ALIAS || op->kernel == UR__BROADCAST || op->kernel == UR__SLICE || is_transparent(m, s))
        return UR__COPY;
    return (uint32_t)op->kernel;
}

/* The number of the operand that a statement hands on as it is: that of a select whose columns are all alive, or the only
 * one of a sum that is no zero, in this phase. UR_NONE: it computes. */
static uint32_t handed_on(const ur__maker *m, const ur__statement *s)
{
    uint32_t only = UR_NONE;
    if (is_transparent(m, s))
        return 1;
    if (ur__line_kind(m->form, s->line)->op != &ur_op_sum_of || m->sort[s - m->form->program.statement] != UR__SORT_MAP)
        return UR_NONE;
    for (uint32_t k = 0; k < s->refs; k++) {
        ur__ref r = ur__input_of(m, s, k);
        if (ur__is_zero(m->form, r.line))
            continue;
        if (only != UR_NONE || r.count > 1 || m->form->line[r.line].inlined)
            return UR_NONE;
        only = k;
    }
    return only;
}

/* Can a statement read `from` in place of r, which was handed on from there? A sum of rows has to have them all, and so has
 * what takes some of them. */
static bool stands_for(const ur__maker *m, const ur__statement *reader, ur__ref from, ur__ref r)
{
    uint8_t spread;
    uint32_t skip;
    if (ur__sums_up(m, reader) || ur__takes_rows(m, reader, &skip))
        return ur__spread_of(m->form, from, r.line, &spread) && spread == UR__FULL;
    return ur__spread_of(m->form, from, reader->line, &spread);
}

/* What a statement reads where it asks for r. */
static ur__ref seen(const ur__maker *m, ur__ref r, const ur__statement *reader)
{
    while (m->member[r.line] == m->launch && ur__is_here(m, r) && !m->form->line[r.line].stored) {
        const ur__statement *s = &m->form->program.statement[m->statement[r.line]];
        uint32_t k = handed_on(m, s);
        if (k == UR_NONE)
            break;
        ur__ref from = ur__input_of(m, s, k);
        if (!stands_for(m, reader, from, r))
            break;
        r = from;
    }
    return r;
}

static ur__ref input(const ur__maker *m, const ur__statement *s, uint32_t k)
{
    return seen(m, ur__input_of(m, s, is_transparent(m, s) ? 1 : k), s);
}

/* The terms of a sum, without zeros as long as another one is left. */
static size_t terms_of(ur__maker *m, const ur__statement *s)
{
    size_t all = ur__terms_of(m, s), n = 0;
    for (size_t k = 0; k < all; k++) {
        ur__ref r = seen(m, m->term[k], s);
        if (!ur__is_zero(m->form, r.line) || (k + 1 == all && n == 0))
            m->term[n++] = r;
    }
    m->terms = n;
    return n;
}

/* The statement behind an operand, if it is this kernel's, in this program and read here only. */
static const ur__statement *inner(const ur__maker *m, uint32_t reader, ur__ref r, uint32_t kernel)
{
    const ur__line_plan *line = &m->form->line[r.line];
    if (m->member[r.line] != m->launch || !ur__is_here(m, r) || line->stored || line->reader != reader ||
        m->reads[r.line] != 1)
        return NULL;
    const ur__statement *s = &m->form->program.statement[m->statement[r.line]];
    return m->sort[s - m->form->program.statement] == UR__SORT_MAP && kernel_of(m, s) == kernel ? s : NULL;
}

static void absorb(ur__maker *m, const ur__statement *s)
{
    m->absorbed[s - m->form->program.statement] = 1;
}

static bool same(ur__ref a, ur__ref b)
{
    return a.line == b.line && a.first == b.first && a.stride == b.stride;
}

/* a * (a form of b), where b is read here only; f stays as it is where it is not. */
static bool match_product(ur__maker *m, const ur__statement *s, ur__ref a, ur__ref b, draft *f)
{
    const ur__statement *product = inner(m, s->line, b, UR__MUL), *rest = inner(m, s->line, b, UR__ONE_MINUS),
                        *difference = inner(m, s->line, b, UR__SUB);
    if (product) {
        absorb(m, product);
        f->in[0] = a;
        f->in[1] = input(m, product, 0);
        f->in[2] = input(m, product, 1);
        const ur__statement *complement = inner(m, product->line, f->in[2], UR__ONE_MINUS);
        bool sigmoid = complement && same(input(m, complement, 0), f->in[1]);
        if (sigmoid)
            absorb(m, complement);
        f->kernel = sigmoid ? UR__DERIVE_SIGMOID : UR__MUL_MUL;
        f->count = sigmoid ? 2 : 3;
        return true;
    }
    if (difference) {
        absorb(m, difference);
        *f = (draft){.kernel = UR__MUL_SUB, .count = 3, .in = {a, input(m, difference, 0), input(m, difference, 1)}};
        return true;
    }
    if (!rest)
        return false;
    absorb(m, rest);
    f->in[0] = a;
    f->in[1] = input(m, rest, 0);
    f->kernel = UR__MUL_ONE_MINUS;
    f->count = 2;
    const ur__statement *square = inner(m, rest->line, f->in[1], UR__SQUARE);
    if (square) {
        absorb(m, square);
        f->in[1] = input(m, square, 0);
        f->kernel = UR__DERIVE_TANH;
    }
    return true;
}

static draft match(ur__maker *m, const ur__statement *s);

/* a b + (1 - a) c, the two products being read here only, their factors in any order. */
static bool match_blend(ur__maker *m, const ur__statement *first, const ur__statement *second, draft *f)
{
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t k = 0; k < 2; k++) {
            ur__ref a = input(m, first, i), b = input(m, first, 1 - i), c = input(m, second, 1 - k);
            const ur__statement *complement = inner(m, second->line, input(m, second, k), UR__ONE_MINUS);
            if (!complement || !same(input(m, complement, 0), a))
                continue;
            absorb(m, complement);
            *f = (draft){.kernel = UR__BLEND, .count = 3, .in = {a, b, c}};
            return true;
        }
    return false;
}

/* Is it a (1 - b^2)? That is one instruction, but no more than a product where a sum absorbs it. */
static bool derives_tanh(const ur__maker *m, const ur__statement *product)
{
    for (uint32_t k = 0; k < 2; k++) {
        const ur__statement *rest = inner(m, product->line, input(m, product, k), UR__ONE_MINUS);
        if (rest && inner(m, rest->line, input(m, rest, 0), UR__SQUARE))
            return true;
    }
    return false;
}

static void match_sum(ur__maker *m, const ur__statement *s, draft *f)
{
    const ur__statement *products[2] = {NULL, NULL};
    size_t n = terms_of(m, s);
    for (size_t k = 0; k < n; k++) {
        const ur__statement *product = inner(m, s->line, m->term[k], UR__MUL);
        if (product && derives_tanh(m, product))
            product = NULL;
        if (product)
            absorb(m, product);
        if (k < 2)
            products[k] = product;
    }
    f->sum = true;
    if (n == 1 && products[0])
        *f = match(m, products[0]);
    if (n == 2 && products[0] && products[1] && !match_blend(m, products[0], products[1], f))
        match_blend(m, products[1], products[0], f);
}

/* The sum over the batch of cross-entropies that are read here only, or by the select that hands them on. */
static void match_bce_net(ur__maker *m, const ur__statement *s, draft *f)
{
    const uint32_t read = ur__input_of(m, s, 0).line;
    const ur__statement *bce = inner(m, read == f->in[0].line ? s->line : read, f->in[0], UR__BCE_NET);
    if (!bce || ur__line_kind(m->form, s->line)->op->kernel != UR__REDUCE)
        return;
    absorb(m, bce);
    *f = (draft){.kernel = UR__ADD_BCE_NET, .count = 2, .in = {input(m, bce, 0), input(m, bce, 1)}, .of = bce};
}

static draft match(ur__maker *m, const ur__statement *s)
{
    draft f = {.kernel = kernel_of(m, s), .count = s->refs};
    f.count = f.kernel == UR__COPY ? 1 : f.count;
    if (m->sort[s - m->form->program.statement] == UR__SORT_MIXED || f.kernel == UR__ADD) {
        match_sum(m, s, &f);
        return f;
    }
    for (uint32_t k = 0; k < s->refs && k < 3; k++)
        f.in[k] = input(m, s, k);
    if (f.kernel == UR__MUL && !match_product(m, s, f.in[0], f.in[1], &f))
        match_product(m, s, f.in[1], f.in[0], &f);
    if (f.kernel == UR__ADD_LANES)
        match_bce_net(m, s, &f);
    return f;
}

/* What is left of a kernel that begins with e^-|a| where that is known; UR__SPECIFICATION: it does not begin so. */
static uint32_t rest_of(uint32_t kernel)
{
    switch (kernel) {
    case UR__SIGMOID:
        return UR__SIGMOID_FROM;
    case UR__SOFTPLUS:
        return UR__SOFTPLUS_FROM;
    case UR__LOG_SIGMOID:
        return UR__LOG_SIGMOID_FROM;
    case UR__BCE_NET:
        return UR__BCE_NET_FROM;
    case UR__ADD_BCE_NET:
        return UR__ADD_BCE_NET;
    default:
        return UR__SPECIFICATION;
    }
}

/* Makes chains of the drafts that begin with e^-|a| of the same a, where no other value of a's line comes between: in the
 * order in which they are written, sums over the batch at last. Such a sum ends its chain, for it may overwrite e^-|a|. */
static void share_exps(ur__maker *m, size_t n, const uint32_t *statements, draft *drafts)
{
    for (size_t i = 0; i < n; i++)
        if (!m->absorbed[statements[i]] && rest_of(drafts[i].kernel))
            m->begun[drafts[i].in[0].line] = UR_NONE;
    for (size_t k = 0; k < 2 * n; k++) {
        draft *f = &drafts[k % n];
        const bool total = f->kernel == UR__ADD_BCE_NET;
        if (m->absorbed[statements[k % n]] || !rest_of(f->kernel) || total != (k >= n))
            continue;
        uint32_t *last = &m->begun[f->in[0].line];
        if (*last != UR_NONE && same(drafts[*last].in[0], f->in[0]))
            drafts[*last].next = f;
        *last = total ? UR_NONE : (uint32_t)(k % n);
    }
}

/* The product behind a term of a sum, if it is added as it is made. */
static const ur__statement *inner_product(const ur__maker *m, const ur__statement *s, ur__ref term)
{
    const ur__line_plan *line = &m->form->line[term.line];
    if (m->member[term.line] != m->launch || !ur__is_here(m, term) || line->stored || line->reader != s->line)
        return NULL;
    uint32_t at = m->statement[term.line];
    const ur__statement *product = &m->form->program.statement[at];
    return m->absorbed[at] && kernel_of(m, product) == UR__MUL ? product : NULL;
}

/* ---- instructions */

static const uint32_t BUFFER = UINT32_C(1) << 31; /* marks a buffer's number until the operands are counted */

typedef struct writer {
    ur__maker *m;
    ur__launch *l;
    uint32_t *free; /* stack of free buffers */
    size_t frees;
    uint32_t line; /* of the statement at hand */
    bool found;    /* the line was read */
    bool good;
} writer;

static uint32_t operand(writer *w, const ur__statement *s, ur__ref r)
{
    ur__maker *m = w->m;
    uint8_t spread = UR__FULL;
    if (m->member[r.line] == m->launch && ur__is_here(m, r) && !m->form->line[r.line].stored)
        return m->place[r.line];
    uint32_t skip = 0;
    if (!ur__sums_up(m, s) && !ur__takes_rows(m, s, &skip) && !ur__spread_of(m->form, r, s->line, &spread))
        w->good = ur__fail(&m->form->tape->error, "a plan: %s reads what does not fit into its program",
                           ur__line_kind(m->form, s->line)->op->name);
    return ur__rows_for(m, w->l, r, spread, skip);
}

/* After a read: a buffer that is not read again is free. */
static void done(writer *w, ur__ref r)
{
    ur__maker *m = w->m;
    if (m->member[r.line] != m->launch || !ur__is_here(m, r) || m->form->line[r.line].stored)
        return;
    if (--m->reads[r.line] == 0 && m->place[r.line] & BUFFER)
        w->free[w->frees++] = m->place[r.line];
}

static uint32_t take_buffer(writer *w)
{
    return w->frees ? w->free[--w->frees] : (w->l->buffers++ | BUFFER);
}

static uint32_t result(writer *w, const ur__statement *s)
{
    ur__maker *m = w->m;
    const uint32_t line = m->copied[s->line];
    if (m->form->line[line].stored) {
        const bool total = adds_up(m, s);
        const ur__ref to = total ? ur__part_of(m, line) : ur__this(m, line);
        uint32_t k = ur__operand_for(m, w->l, to, total ? UR__PART : ur__sums_up(m, s) ? UR__ROW : UR__FULL);
        if (w->l->operands > k)
            m->form->argument[w->l->operand + k].written = true;
        return m->place[s->line] = k;
    }
    return m->place[s->line] = take_buffer(w);
}

static uint32_t constant(writer *w, double value)
{
    ur__form *form = w->m->form;
    w->good = w->good && ur__room(form->tape, &form->attr, &form->attr_room, form->attrs, sizeof *form->attr);
    if (w->good)
        form->attr[form->attrs++] = value;
    return (uint32_t)form->attrs - 1;
}

/* Those of the operation; of sums and means, what a sum is multiplied by. The first ones are of operations without any. */
static uint32_t constants(writer *w, const ur__statement *s)
{
    const ur__form *form = w->m->form;
    const ur__kind *kind = ur__line_kind(form, s->line);
    const uint32_t first = kind->op->attrs > 0 ? (uint32_t)form->attrs : 0;
    if (ur__sums_up(w->m, s)) {
        const uint32_t of = form->program.ref[s->ref].line;
        const size_t all = adds_up(w->m, s) ? ur_shape_count(ur__line_shape(form, of)) : form->line[of].rows;
        return constant(w, kind->op->kernel == UR__MEAN ? 1 / (double)all : 1);
    }
    for (int i = 0; i < kind->op->attrs; i++)
        constant(w, ur__attr(form->tape, kind)[i]);
    return first;
}

static void instruct(writer *w, ur__instruction i)
{
    ur__form *form = w->m->form;
    w->good = w->good && ur__room(form->tape, &form->instruction, &form->instruction_room, form->instructions,
                                  sizeof *form->instruction);
    if (!w->good)
        return;
    i.line = w->line;
    form->instruction[form->instructions++] = i;
    w->l->count++;
}

/* y = the sum of the terms: products that are absorbed are added as they are made. */
static void write_sum(writer *w, const ur__statement *s)
{
    ur__maker *m = w->m;
    size_t n = terms_of(m, s);
    const ur__ref *term = m->term;
    uint32_t y = result(w, s), sum = UR_NONE, waiting = UR_NONE;
    for (size_t k = 0; k < n; k++) {
        if (inner_product(m, s, term[k]))
            continue;
        uint32_t x = operand(w, s, term[k]);
        if (sum == UR_NONE) {
            sum = x;
        } else if (waiting == UR_NONE) {
            waiting = x;
        } else {
            instruct(w, (ur__instruction){UR__ADD_ADD, y, sum, waiting, x, 0, 0});
            sum = y;
            waiting = UR_NONE;
        }
    }
    if (waiting != UR_NONE) {
        instruct(w, (ur__instruction){UR__ADD, y, sum, waiting, sum, 0, 0});
        sum = y;
    }
    for (size_t k = 0; k < n; k++) {
        const ur__statement *product = inner_product(m, s, term[k]);
        if (!product)
            continue;
        uint32_t a = operand(w, product, input(m, product, 0));
        uint32_t b = operand(w, product, input(m, product, 1));
        instruct(w, sum == UR_NONE ? (ur__instruction){UR__MUL, y, a, b, a, 0, 0}
                                   : (ur__instruction){UR__MUL_ADD, y, a, b, sum, 0, 0});
        sum = y;
    }
    if (sum != y)
        instruct(w, (ur__instruction){UR__COPY, y, sum, sum, sum, 0, 0});
}

/* The buffer with e^-|a| for a draft that is in a chain: the first one makes it, the last one gives it free, and its result
 * may lie there. */
static uint32_t exp_for(writer *w, draft *f, uint32_t a)
{
    if (!f->exp) {
        f->exp = take_buffer(w);
        instruct(w, (ur__instruction){UR__EXP_OF_SIZE, f->exp, a, a, a, 0, 0});
    }
    if (f->next)
        f->next->exp = f->exp;
    else
        w->free[w->frees++] = f->exp;
    return f->exp;
}

/* Visits what the instructions of a draft read. */
static void for_reads(ur__maker *m, const ur__statement *s, const draft *f, void (*visit)(writer *w, ur__ref r),
                      writer *w)
{
    for (uint32_t k = 0; k < f->count && !f->sum; k++)
        visit(w, f->in[k]);
    size_t n = f->sum ? terms_of(m, s) : 0;
    for (size_t k = 0; k < n; k++) {
        const ur__statement *product = inner_product(m, s, m->term[k]);
        for (uint32_t q = 0; q < 2 && product; q++)
            visit(w, input(m, product, q));
        if (!product)
            visit(w, m->term[k]);
    }
}

/* Some rows that are read where they lie? */
static bool is_view(const ur__maker *m, const ur__statement *s)
{
    uint32_t skip;
    return ur__takes_rows(m, s, &skip) && !m->form->line[s->line].stored;
}

static void write(writer *w, const ur__statement *s, draft *f)
{
    uint32_t kernel = f->kernel;
    w->line = s->line;
    if (f->sum) {
        write_sum(w, s);
        for_reads(w->m, s, f, done, w);
        return;
    }
    uint32_t in[3] = {0};
    for (uint32_t k = 0; k < 3; k++) /* what an instruction does not read is what it reads first */
        in[k] = k < f->count ? operand(w, f->of ? f->of : s, f->in[k]) : in[0];
    if (f->exp || f->next || f->kernel == UR__ADD_BCE_NET) {
        in[f->count] = exp_for(w, f, in[0]);
        kernel = rest_of(kernel);
    }
    for_reads(w->m, s, f, done, w);
    if (is_view(w->m, s)) {
        w->m->place[s->line] = in[0];
        return;
    }
    uint32_t y = result(w, s);
    instruct(w, (ur__instruction){kernel, y, in[0], in[1], in[2], constants(w, s), 0});
}

/* ---- a program */

static void count_read(writer *w, ur__ref r)
{
    w->m->reads[r.line]++;
}

static void uncount_read(writer *w, ur__ref r)
{
    w->m->reads[r.line]--;
}

/* Buffers are numbered behind the operands. */
static void number_buffers(ur__form *form, ur__launch *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        ur__instruction *in = &form->instruction[l->first + i];
        uint32_t *number[] = {&in->y, &in->a, &in->b, &in->c};
        for (size_t k = 0; k < 4; k++)
            if (*number[k] & BUFFER)
                *number[k] = l->operands + (*number[k] & ~BUFFER);
    }
}

/* A value that is not read any more needs no instruction; nor do, then, those that it alone reads. */
static void drop_unread(writer *w, size_t n, const uint32_t *statements, const draft *drafts)
{
    ur__maker *m = w->m;
    for (size_t i = n; i-- > 0;) {
        const ur__statement *s = &m->form->program.statement[statements[i]];
        if (m->absorbed[statements[i]] || m->form->line[s->line].stored || m->reads[s->line] > 0)
            continue;
        for_reads(m, s, &drafts[i], uncount_read, w);
        absorb(m, s);
    }
}

/* Not those of a select that hands a value on to all who would read it; its readers have been counted. */
static void count_statement_reads(ur__maker *m, const ur__statement *s)
{
    if (is_transparent(m, s) && !m->form->line[s->line].stored && !m->reads[s->line])
        return;
    bool sum = m->sort[s - m->form->program.statement] == UR__SORT_MIXED || kernel_of(m, s) == UR__ADD;
    size_t terms = sum ? terms_of(m, s) : kernel_of(m, s) == UR__COPY ? 1 : s->refs;
    for (uint32_t k = 0; k < terms; k++)
        m->reads[sum ? m->term[k].line : input(m, s, k).line]++;
}

/* Is draft f of statement s a copy of what this program computes for itself? */
static bool is_copy(const ur__maker *m, const ur__statement *s, const draft *f)
{
    const ur__ref from = f->in[0];
    return !f->sum && f->kernel == UR__COPY && m->form->line[s->line].stored && m->member[from.line] == m->launch &&
           ur__is_here(m, from) && !m->form->line[from.line].stored && m->copied[from.line] == from.line &&
           !is_view(m, &m->form->program.statement[m->statement[from.line]]);
}

static void find_line(writer *w, ur__ref r)
{
    w->found |= r.line == w->line;
}

/* What is copied to a stored value, as c is where all columns are alive, is computed there, unless something in between
 * reads the value of the step before: the new one may overwrite it. */
static void drop_copies(writer *w, size_t n, const uint32_t *statements, const draft *drafts)
{
    ur__maker *m = w->m;
    const ur__statement *all = m->form->program.statement;
    for (size_t i = 0; i < n; i++) {
        const ur__statement *s = &all[statements[i]];
        if (m->absorbed[statements[i]] || !is_copy(m, s, &drafts[i]))
            continue;
        const uint32_t line = drafts[i].in[0].line;
        w->line = s->line;
        w->found = false;
        for (size_t k = i; k-- > 0 && statements[k] != m->statement[line];)
            if (!m->absorbed[statements[k]])
                for_reads(m, &all[statements[k]], &drafts[k], find_line, w);
        if (w->found)
            continue;
        m->copied[line] = s->line;
        absorb(m, s);
    }
}

/* The instructions that add to the block's sums, or all others; returns how many. */
static uint32_t write_all(writer *w, size_t n, const uint32_t *statements, draft *drafts, bool totals)
{
    const ur__statement *all = w->m->form->program.statement;
    const uint32_t before = w->l->count;
    for (size_t i = 0; i < n && w->good; i++)
        if (!w->m->absorbed[statements[i]] && adds_up(w->m, &all[statements[i]]) == totals)
            write(w, &all[statements[i]], &drafts[i]);
    return w->l->count - before;
}

static void write_program(writer *w, size_t n, const uint32_t *statements, draft *drafts)
{
    ur__maker *m = w->m;
    const ur__statement *all = m->form->program.statement;
    for (size_t i = 0; i < n; i++) {
        m->absorbed[statements[i]] = 0;
        m->reads[all[statements[i]].line] = 0;
        m->copied[all[statements[i]].line] = all[statements[i]].line;
    }
    for (size_t i = n; i-- > 0;) /* the readers first */
        count_statement_reads(m, &all[statements[i]]);
    for (size_t i = n; i-- > 0;) /* again: what one absorbs needs no draft */
        if (!m->absorbed[statements[i]])
            drafts[i] = match(m, &all[statements[i]]);
    for (size_t i = 0; i < n; i++)
        m->reads[all[statements[i]].line] = 0;
    for (size_t i = 0; i < n; i++) /* now by the drafts: when a buffer is free follows from that */
        if (!m->absorbed[statements[i]])
            for_reads(m, &all[statements[i]], &drafts[i], count_read, w);
    drop_unread(w, n, statements, drafts);
    share_exps(m, n, statements, drafts);
    drop_copies(w, n, statements, drafts);
    write_all(w, n, statements, drafts, false);
    w->l->totals = write_all(w, n, statements, drafts, true);
}

bool ur__pointwise(ur__maker *m, ur__launch *l, size_t n, const uint32_t *statements)
{
    ur__form *form = m->form;
    draft *drafts = (draft *)ur__take(form->tape, n * sizeof *drafts);
    const size_t room = 2 * n * sizeof(uint32_t); /* a buffer for each result, and for each that begins with e^-|a| */
    uint32_t *free = (uint32_t *)ur__take(form->tape, room);
    writer w = {.m = m, .l = l, .free = free, .good = drafts && free};
    l->first = (uint32_t)form->instructions;
    for (size_t i = 0; i < n; i++)
        m->member[form->program.statement[statements[i]].line] = m->launch;
    if (w.good) {
        write_program(&w, n, statements, drafts);
        number_buffers(form, l);
    }
    ur__give(form->tape, drafts, n * sizeof *drafts);
    ur__give(form->tape, free, room);
    return w.good && !form->tape->error.text[0];
}
