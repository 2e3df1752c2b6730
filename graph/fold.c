/* fold.c - lines that need no launch of their own.
 *
 * An alias is another name of a value: a sum of one, a detached or reshaped value, a broadcast that elementwise readers
 * do themselves. A product W X that only one sum reads, and such a sum that only another one reads, are inlined: the
 * reader computes sum_s W_s X_s in one go. Both are followed through loops and iterations, wherever the values they stand
 * for lie at a constant distance. */
#include "plan.h"

/* ---- aliases */

/* One element for the whole batch? */
static bool is_number(const ur__form *form, uint32_t line)
{
    return form->line[line].class == UR__ONCE && ur_shape_count(ur__line_shape(form, line)) == 1;
}

/* The number of the operand that line is another name of; UR_NONE if it is computed. */
static uint32_t named_operand(const ur__form *form, const ur__statement *s)
{
    const ur__ref *ref = &form->program.ref[s->ref];
    const ur_op *op = ur__line_kind(form, s->line)->op;
    const ur__line_plan *line = &form->line[s->line];
    if (s->refs == 1 && ref->count <= 1 && (op->kernel == UR__ALIAS || op == &ur_op_sum_of) &&
        (form->line[ref->line].class == line->class || form->line[ref->line].class == UR__REDUCED) &&
        (line->class == UR__BATCH || ur__same_shape(form, ref->line, s->line)))
        return 0;
    if (op->kernel == UR__BROADCAST && (line->class == UR__BATCH || is_number(form, ref->line)) &&
        form->line[ref->line].class != UR__REDUCED)
        return 0;
    if (!form->assumes_alive || !s->masked)
        return UR_NONE;
    uint32_t a = ref[1].line;
    bool same = form->line[a].class == UR__BATCH && form->line[a].rows == line->rows;
    return same || ur__is_zero(form, a) || is_number(form, ur__resolve(form, ref[1]).line) ? 1 : UR_NONE;
}

/* Lines in the program's order: operands are decided before. */
static void find_aliases(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t i = 0; i < p->statements; i++) {
        uint32_t l = p->statement[i].line;
        ur__line_plan *line = &form->line[l];
        ur__ref all = {.line = l, .stride = 1, .count = 1};
        if (p->line[l].statement != i || line->root)
            continue;
        uint32_t k = named_operand(form, &p->statement[i]);
        line->alias = k != UR_NONE && ur__follow(p, all, p->line[l].values, k, &line->source);
    }
    for (size_t i = 0; i < p->statements; i++) { /* in every phase */
        const ur__statement *s = &p->statement[i], *first = ur__first_statement(p, s->line);
        if (form->line[s->line].alias && s != first)
            form->line[s->line].alias = named_operand(form, s) == named_operand(form, first);
    }
}

/* Do all operands fill the result in a simple way, so that the statement can be split into terms? */
static bool is_simple(const ur__form *form, const ur__statement *s)
{
    uint8_t spread;
    for (uint32_t k = 0; k < s->refs; k++)
        if (!ur__spread_of(form, ur__resolve(form, form->program.ref[s->ref + k]), s->line, &spread))
            return false;
    return true;
}

/* Only elementwise statements repeat broadcast values themselves; a sum without the batch may be added up from values as
 * they lie. */
static bool repeats(const ur__form *form, const ur__statement *s)
{
    const ur_op *op = ur__line_kind(form, s->line)->op;
    bool map = op->kernel > UR__SPECIFICATION && op->kernel < UR__MAPS;
    return (map || (op == &ur_op_sum_of && form->line[s->line].class == UR__BATCH)) && is_simple(form, s);
}

/* Is an alias larger than what it is the name of? Not one of zeros, which its readers drop. */
static bool is_broadcast(const ur__form *form, uint32_t line)
{
    const ur__line_plan *l = &form->line[line];
    uint32_t source = ur__resolve(form, l->source).line;
    return ur__line_kind(form, line)->op->kernel == UR__BROADCAST ||
           (l->class == UR__BATCH && form->line[source].class == UR__ONCE && !ur__is_zero(form, source));
}

/* The first broadcast that a statement reads under the name `line` and cannot repeat is computed; false: there is none. */
static bool take_back_broadcast(ur__form *form, const ur__statement *s, uint32_t line)
{
    while (form->line[line].alias && (!is_broadcast(form, line) || repeats(form, s)))
        line = form->line[line].source.line;
    const bool found = form->line[line].alias;
    form->line[line].alias = false;
    return found;
}

/* Computes broadcasts that something else reads: other names of an alias are looked through first, so that its own reader
 * is found. */
static void take_back_broadcasts(ur__form *form)
{
    const ur__program *p = &form->program;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < p->statements; i++)
            for (uint32_t k = 0; k < p->statement[i].refs && !form->line[p->statement[i].line].alias; k++)
                changed |= take_back_broadcast(form, &p->statement[i], p->ref[p->statement[i].ref + k].line);
    }
}

/* When it is decided which lines are aliases: each becomes one of a value that is computed. */
static void shorten_aliases(ur__form *form)
{
    for (size_t l = 0; l < form->program.lines; l++)
        if (form->line[l].alias)
            form->line[l].source = ur__resolve(form, form->line[l].source);
}

/* ---- who reads a line, and where */

static void read_by(ur__form *form, const ur__phase *phase, const ur__statement *s, ur__ref r)
{
    ur__line_plan *line = &form->line[r.line];
    line->carried |= !ur__is_value_in(&form->program, phase, &r);
    line->reader = line->reader == UR_NONE || line->reader == s->line ? s->line : UR__MANY;
}

static void find_readers(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t l = 0; l < p->lines; l++)
        form->line[l].reader = form->line[l].root ? UR__MANY : UR_NONE;
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = 0; i < p->phase[f].statements; i++) {
            const ur__statement *s = &p->statement[p->phase[f].statement + i];
            for (uint32_t k = 0; k < s->refs && !form->line[s->line].alias; k++)
                read_by(form, &p->phase[f], s, ur__resolve(form, p->ref[s->ref + k]));
        }
}

/* ---- sums of products */

/* May statement s compute operand r itself? */
static bool inlines(const ur__form *form, const ur__phase *phase, const ur__statement *s, ur__ref r)
{
    ur__ref a, x;
    const ur__line_plan *line = &form->line[r.line];
    if (line->reader != s->line || line->root || !ur__adds(form, s->line) || line->class != UR__BATCH ||
        line->rows != form->line[s->line].rows || form->line[s->line].time != line->time || !is_simple(form, s))
        return false;
    return ur__product_of(form, r, phase->end - phase->begin, &a, &x);
}

/* Takes back the operands of a statement that it cannot inline. */
static void take_back_inlined(ur__form *form, const ur__phase *phase, const ur__statement *s)
{
    for (uint32_t k = 0; k < s->refs && !form->line[s->line].alias; k++) {
        ur__ref r = ur__resolve(form, form->program.ref[s->ref + k]);
        form->line[r.line].inlined = form->line[r.line].inlined && inlines(form, phase, s, r);
    }
}

/* Assumes that products with one reader are inlined, then takes back those that some statement cannot inline. False if
 * there are none. */
static bool find_inlined(ur__form *form)
{
    const ur__program *p = &form->program;
    bool any = false;
    for (size_t l = 0; l < p->lines; l++) {
        ur__line_plan *line = &form->line[l];
        line->inlined = line->reader < UR__MANY && p->line[l].loop != UR_NONE && !line->alias &&
                        ur__line_kind(form, (uint32_t)l)->op->kernel == UR__MATMUL;
        any |= line->inlined;
    }
    for (size_t f = 0; f < p->phases && any; f++)
        for (uint32_t i = 0; i < p->phase[f].statements; i++)
            take_back_inlined(form, &p->phase[f], &p->statement[p->phase[f].statement + i]);
    return any;
}

/* A sum that computes products itself and is read here by one sum: that one takes its terms. */
static void join_sums(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t i = 0; i < p->statements; i++) {
        const ur__statement *s = &p->statement[i];
        ur__line_plan *line = &form->line[s->line];
        bool has_product = false;
        for (uint32_t k = 0; k < s->refs; k++)
            has_product |= form->line[ur__resolve(form, p->ref[s->ref + k]).line].inlined;
        line->inlined |= has_product && ur__adds(form, s->line) && !line->carried && line->reader < UR__MANY &&
                         ur__adds(form, line->reader) && form->line[line->reader].rows == line->rows && !line->alias &&
                         !line->root;
    }
    /* In every phase it must have terms, and its reader be able to take them. */
    for (size_t i = 0; i < p->statements; i++) {
        const ur__statement *s = &p->statement[i];
        if (ur__adds(form, s->line) && !is_simple(form, s))
            form->line[s->line].inlined = false;
        for (uint32_t k = 0; k < s->refs; k++) {
            ur__line_plan *line = &form->line[ur__resolve(form, p->ref[s->ref + k]).line];
            if (line->inlined && line->reader == s->line && !is_simple(form, s))
                line->inlined = false;
        }
    }
}

/* ---- sums over the batch */

/* Does the sum add up every value of line l? */
static bool adds_all(const ur__form *form, const ur__statement *sum, uint32_t l)
{
    const ur__program *p = &form->program;
    uint32_t values = 0;
    for (uint32_t k = 0; k < sum->refs; k++) {
        const ur__ref *r = &p->ref[sum->ref + k];
        values += ur__resolve(form, *r).line == l ? (r->count ? r->count : 1) : 0;
    }
    return values == p->line[l].values;
}

/* Is it a sum over the batch whose operand has in every phase as many rows? */
static bool sums_rows(const ur__form *form, uint32_t l)
{
    const ur__program *p = &form->program;
    if (ur__line_kind(form, l)->op->kernel != UR__REDUCE)
        return false;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    for (uint32_t f = 0; f < loop->phases; f++) {
        const ur__statement *s = ur__statement_of(p, &p->phase[loop->phase + f], l);
        if (s && form->line[ur__resolve(form, p->ref[s->ref]).line].rows != form->line[l].rows)
            return false;
    }
    return true;
}

/* A sum over time of sums over the batch is one sum over both; products and sums of rows wait for it. */
static void find_deferred(ur__form *form)
{
    const ur__program *p = &form->program;
    for (uint32_t l = 0; l < p->lines; l++) {
        ur__line_plan *line = &form->line[l];
        if (line->class != UR__REDUCED || line->alias)
            continue;
        const ur_op *reader = line->reader < UR__MANY ? ur__line_kind(form, line->reader)->op : NULL;
        line->deferred = reader == &ur_op_sum_of && form->line[line->reader].class == UR__ONCE &&
                         p->line[line->reader].values == 1 && adds_all(form, ur__first_statement(p, line->reader), l);
        line->contracted = (line->deferred || p->line[l].values == 1) &&
                           (ur__line_kind(form, l)->op->kernel == UR__MATMUL || sums_rows(form, l));
    }
}

/* Both forms take the same statements for masked: without masks the condition select(alive, w, 0) is w, an input too. */
static void find_masked(ur__form *form)
{
    ur__program *p = &form->program;
    for (size_t i = 0; i < p->statements && !form->assumes_alive; i++) {
        ur__statement *s = &p->statement[i];
        if (ur__line_kind(form, s->line)->op != &ur_op_select || form->line[s->line].class != UR__BATCH)
            continue;
        const uint32_t mask = ur__resolve(form, p->ref[s->ref]).line;
        s->masked = ur__line_kind(form, mask)->op == &ur_op_input && form->line[mask].class == UR__BATCH &&
                    form->line[mask].rows == 1;
    }
}

bool ur__fold(ur__form *form)
{
    find_aliases(form);
    if (!ur__twins(form))
        return false;
    take_back_broadcasts(form);
    shorten_aliases(form);
    find_masked(form);
    find_readers(form);
    if (find_inlined(form))
        join_sums(form);
    find_deferred(form);
    return true;
}
