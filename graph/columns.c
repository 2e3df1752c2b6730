/* columns.c - which lines have the batch, and when they are computed.
 *
 * The batch is the last dimension of the inputs. An operation keeps its columns apart if it is elementwise, or if its
 * shape rule carries the dimension through: asked with another number of columns, it answers with that number. A sum
 * over the batch (a sum, a product A B^T of two values with it) is made from the blocks' sums, unless something with the
 * batch depends on it, as in batch normalisation: then the batch is one block. So is it where an operation mixes columns
 * in any other way. */
#include <string.h>

#include "plan.h"

static bool ends_with(ur_shape shape, int64_t batch)
{
    return shape.rank > 1 && shape.size[shape.rank - 1] == batch;
}

/* ---- the batch */

/* The last dimension that most inputs have, 0 when there are none of two dimensions. Inputs of one shape are one line,
 * and those lines come first. */
static int64_t find_batch(const ur__form *form)
{
    const ur__program *p = &form->program;
    int64_t batch = 0;
    size_t most = 0, inputs = 0;
    while (inputs < p->lines && ur__line_kind(form, (uint32_t)inputs)->op == &ur_op_input)
        inputs++;
    for (size_t l = 0; l < inputs; l++) {
        ur_shape shape = ur__line_shape(form, (uint32_t)l);
        if (shape.rank < 2)
            continue;
        size_t votes = 0;
        for (size_t k = 0; k < inputs; k++)
            if (ends_with(ur__line_shape(form, (uint32_t)k), shape.size[shape.rank - 1]))
                votes += p->line[k].values;
        if (votes > most) {
            most = votes;
            batch = shape.size[shape.rank - 1];
        }
    }
    return batch;
}

/* ---- what an operation does with the batch */

typedef struct question {
    ur__form *form;
    const ur__statement *s;
    const ur_op *op;
    const double *attr;
    ur_shape out;
    bool any, all; /* operands that have the batch */
} question;

static bool has_batch(const ur__form *form, const ur__ref *r)
{
    return form->line[r->line].class == UR__BATCH;
}

/* Elementwise: every operand has one column or as many as the batch, after the same number of dimensions. */
static bool map_keeps(const question *q)
{
    for (uint32_t k = 0; k < q->s->refs; k++) {
        const ur__ref *r = &q->form->program.ref[q->s->ref + k];
        ur_shape in = ur__line_shape(q->form, r->line);
        bool wide = has_batch(q->form, r) || (in.rank == q->out.rank && in.size[in.rank - 1] > 1);
        if (wide && (in.rank != q->out.rank || !ends_with(in, q->form->batch)))
            return false;
    }
    return ends_with(q->out, q->form->batch);
}

/* Does the shape rule carry another number of columns through? A reference may stand for many operands. */
static bool rule_keeps(const question *q)
{
    const ur__ref *ref = &q->form->program.ref[q->s->ref];
    if (!ends_with(q->out, q->form->batch))
        return false;
    size_t operands = 0, n = 0;
    for (uint32_t k = 0; k < q->s->refs; k++)
        operands += ref[k].count ? ref[k].count : 1;
    ur_shape *shapes = (ur_shape *)ur__take(q->form->tape, operands * sizeof *shapes);
    if (!shapes)
        return false;
    for (uint32_t k = 0; k < q->s->refs; k++) {
        ur_shape in = ur__line_shape(q->form, ref[k].line);
        if (has_batch(q->form, &ref[k]))
            in.size[in.rank - 1]++;
        for (uint32_t i = 0; i < ref[k].count || i == 0; i++)
            shapes[n++] = in;
    }
    ur_shaping s = {.inputs = (int)n, .in = shapes, .attr = q->attr};
    ur_shape expected = q->out;
    expected.size[expected.rank - 1]++;
    bool same = q->op->shape(&s) && ur_shape_equal(s.out, expected);
    ur__give(q->form->tape, shapes, operands * sizeof *shapes);
    return same;
}

static bool keeps(const question *q)
{
    if (q->op->kind == UR_MAP)
        return map_keeps(q);
    if (q->op == &ur_op_sum_of || q->op->kernel == UR__ALIAS || q->op->kernel == UR__BROADCAST ||
        q->op == &ur_op_reduce_to)
        return ends_with(q->out, q->form->batch); /* their constants are sizes; [m] is a column too, of one */
    return q->op->kind == UR_COLUMNS && rule_keeps(q);
}

/* A sum over the batch, or a mean: of one value, or a product A B^T of two. */
static bool reduces(const question *q)
{
    if (q->op->kernel == UR__REDUCE || q->op->kernel == UR__MEAN) {
        int last = ur__line_shape(q->form, q->form->program.ref[q->s->ref].line).rank - 1;
        return q->out.rank <= last || q->out.size[last] == 1;
    }
    return q->op->kernel == UR__MATMUL && q->all && q->attr && q->attr[0] == 0 && q->attr[1] != 0;
}

static ur__class classify(const question *q, bool *mixes)
{
    bool made = q->op == &ur_op_broadcast && q->form->batch > 1; /* from a number */
    if (!q->any)
        return made && ends_with(q->out, q->form->batch) ? UR__BATCH : UR__ONCE;
    if (keeps(q))
        return UR__BATCH;
    if (reduces(q))
        return UR__REDUCED;
    *mixes = true;
    return UR__ONCE;
}

/* ---- lines */

static void classify_leaves(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t l = 0; l < p->lines; l++) {
        const ur_op *op = ur__line_kind(form, (uint32_t)l)->op;
        bool may = op == &ur_op_input || op == &ur_op_const;
        form->line[l].class =
            may && form->batch && ends_with(ur__line_shape(form, (uint32_t)l), form->batch) ? UR__BATCH : UR__ONCE;
    }
}

static question ask(ur__form *form, const ur__statement *s)
{
    const ur__kind *kind = ur__line_kind(form, s->line);
    question q = {.form = form, .s = s, .op = kind->op, .attr = ur__attr(form->tape, kind), .all = true};
    q.out = ur__line_shape(form, s->line);
    for (uint32_t k = 0; k < s->refs; k++) {
        bool has = has_batch(form, &form->program.ref[s->ref + k]);
        q.any |= has;
        q.all &= has;
    }
    return q;
}

/* A line is what any of its statements makes it, the batch before sums over it: a class only ever rises. */
static bool classify_statement(ur__form *form, const ur__statement *s, bool *mixes)
{
    question q = ask(form, s);
    uint8_t *class = &form->line[s->line].class, was = *class;
    ur__class is = classify(&q, mixes);
    if (was == UR__ONCE || is == UR__BATCH)
        *class = (uint8_t)is;
    return *class != was;
}

/* A statement of another phase may be of another class: then only one block serves both. */
static bool find_odd_phases(ur__form *form)
{
    const ur__program *p = &form->program;
    bool odd = false, mixes;
    for (size_t i = 0; i < p->statements; i++) {
        ur__line_plan *line = &form->line[p->statement[i].line];
        question q = ask(form, &p->statement[i]);
        if (classify(&q, &mixes) == line->class || (line->class == UR__BATCH && q.op->kind == UR_MAP && map_keeps(&q)))
            continue;
        odd = true;
        if (line->class == UR__REDUCED) {
            line->class = UR__ONCE;
            line->time = UR__WITHIN;
        }
    }
    return odd;
}

/* Marks what lines with the batch depend on; a sum over the batch among it must be known at once. */
static bool find_needed_at_once(ur__form *form, uint8_t *feeds)
{
    const ur__program *p = &form->program;
    bool found = false;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = p->statements; i-- > 0;) {
            const ur__statement *s = &p->statement[i];
            if (form->line[s->line].class != UR__BATCH && !feeds[s->line])
                continue;
            for (uint32_t k = 0; k < s->refs; k++) {
                uint32_t from = p->ref[s->ref + k].line;
                changed |= !feeds[from];
                feeds[from] = 1;
            }
        }
    }
    for (size_t l = 0; l < p->lines; l++)
        if (form->line[l].class == UR__REDUCED && feeds[l]) {
            form->line[l].class = UR__ONCE;
            form->line[l].time = UR__WITHIN;
            found = true;
        }
    return found;
}

static void find_times(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t l = 0; l < p->lines; l++)
        if (form->line[l].class != UR__ONCE && p->line[l].loop != UR_NONE)
            form->line[l].time = UR__WITHIN;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < p->statements; i++) {
            const ur__statement *s = &p->statement[i];
            uint8_t *time = &form->line[s->line].time, was = *time;
            for (uint32_t k = 0; k < s->refs; k++) {
                const ur__line_plan *from = &form->line[p->ref[s->ref + k].line];
                uint8_t earliest = from->class == UR__REDUCED ? UR__AFTER
                                   : from->class == UR__BATCH ? UR__WITHIN
                                                              : from->time;
                *time = *time < earliest ? earliest : *time;
            }
            changed |= *time != was;
        }
    }
}

/* Classes and times of lines, and the rows of those with the batch. Without one everything is there before the blocks. */
static bool classify_all(ur__form *form)
{
    const ur__program *p = &form->program;
    bool mixes = false;
    classify_leaves(form);
    for (bool changed = true; changed;) {
        changed = false;
        mixes = false;
        for (size_t i = 0; i < p->statements; i++)
            changed |= classify_statement(form, &p->statement[i], &mixes);
    }
    uint8_t *feeds = (uint8_t *)ur__take(form->tape, p->lines);
    if (!feeds)
        return false;
    memset(feeds, 0, p->lines);
    form->odd_phases = find_odd_phases(form);
    form->one_block = find_needed_at_once(form, feeds) || mixes || form->odd_phases;
    ur__give(form->tape, feeds, p->lines);
    find_times(form);
    for (size_t l = 0; l < p->lines; l++)
        if (form->line[l].class == UR__BATCH)
            form->line[l].rows /= (size_t)form->batch;
    return !form->tape->error.text[0]; /* there was memory for every shape rule */
}

bool ur__columns(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t l = 0; l < p->lines; l++)
        form->line[l].rows = ur_shape_count(ur__line_shape(form, (uint32_t)l));
    form->batch = find_batch(form);
    if (form->batch && !classify_all(form))
        return false;
    for (uint32_t l = 0; l < p->lines; l++) {
        char text[UR_SHAPE_TEXT];
        if (form->line[l].rows > UINT32_MAX)
            return ur__fail(&form->tape->error,
                            "ur_plan_new: a value is %s, %lu elements were expected at most, or as many in a column of "
                            "the batch",
                            ur_shape_text(ur__line_shape(form, l), text), (unsigned long)UINT32_MAX);
    }
    return true;
}
