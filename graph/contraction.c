/* contraction.c - sums over the batch and over time of A_t B_t^T and of rows of B_t: they wait for the end of the block, or
 * for as many steps as the cache holds (budget.c). Those that share their A are one contraction, with the sums of the rows
 * of all its B: gradients of weights and of biases read the same deltas. B is that factor of a product whose rows are
 * summed up: where a cell applies W as W x, and not as W^T x, that is the first one, and the contraction makes the
 * transpose of what it is asked for. */
#include <string.h>

#include "group.h"

/* ---- contractions */

/* A and B of a line that is a contraction, in one phase; A is UR_NONE's line for sums of rows. */
static bool factors_of(const ur__form *form, uint32_t line, const ur__phase *phase, ur__ref *a, ur__ref *b)
{
    const ur__statement *s = ur__statement_of(&form->program, phase, line);
    if (!s)
        return false;
    const bool product = s->refs == 2, turned = form->line[line].turned;
    *a = product ? ur__resolve(form, form->program.ref[s->ref + turned]) : (ur__ref){.line = UR_NONE};
    *b = ur__resolve(form, form->program.ref[s->ref + (product && !turned)]);
    return true;
}

/* Do two lines of one loop have the same A in every phase, and B of one size, constants of zeros both or neither? */
static bool same_factor(const ur__form *form, uint32_t l, uint32_t k)
{
    const ur__program *p = &form->program;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    if (p->line[k].loop != p->line[l].loop || form->line[k].rows != form->line[l].rows ||
        form->line[k].turned != form->line[l].turned)
        return false;
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b, c, d;
        const ur__phase *phase = &p->phase[loop->phase + f];
        bool one = factors_of(form, l, phase, &a, &b), other = factors_of(form, k, phase, &c, &d);
        if (one != other || (one && (a.line != c.line || form->line[b.line].rows != form->line[d.line].rows ||
                                     ur__is_zero(form, b.line) != ur__is_zero(form, d.line) ||
                                     (a.line != UR_NONE && (a.first != c.first || a.stride != c.stride)))))
            return false;
    }
    return true;
}

/* Where the block's part of a contracted sum lies: a value that only one sum reads adds to that sum's. */
static ur__ref summed_in(const ur__form *form, uint32_t line)
{
    return (ur__ref){.line = form->line[line].deferred ? form->line[line].reader : line, .count = 1};
}

static ur__ref from_iteration(ur__ref r, uint32_t i)
{
    r.first += r.stride * (int32_t)i;
    return r;
}

/* Inputs that were not made together lie anywhere: the number of iterations from `from` on, of n in all, in which the
 * values of r lie at one distance. */
static uint32_t even_steps(const ur__form *form, ur__ref r, uint32_t from, uint32_t n)
{
    ptrdiff_t bytes;
    if (r.line == UR_NONE || form->program.line[r.line].loop != UR_NONE || !ur__is_leaf(ur__line_kind(form, r.line)))
        return n - from;
    return ur__evenly_spaced(form, from_iteration(r, from), n - from, &bytes);
}

/* The number of iterations from `from` on in which A and all B are so. */
static uint32_t even_stretch(const ur__form *form, const ur__phase *phase, size_t n, const uint32_t *lines,
                             uint32_t from)
{
    const uint32_t all = phase->end - phase->begin;
    uint32_t some = all - from;
    for (size_t k = 0; k < n; k++) {
        ur__ref a, b;
        factors_of(form, lines[k], phase, &a, &b);
        uint32_t even[] = {even_steps(form, a, from, all), even_steps(form, b, from, all)};
        some = even[0] < some ? even[0] : some;
        some = even[1] < some ? even[1] : some;
    }
    return some;
}

/* n iterations of a phase from `from` on. */
static bool add_stretch(ur__form *form, ur__launch *l, const ur__phase *phase, const uint32_t *lines, uint32_t from,
                        uint32_t n)
{
    if (!ur__room(form->tape, &form->stretch, &form->stretch_room, form->stretches, sizeof *form->stretch))
        return false;
    form->stretch[form->stretches++] = (ur__contraction_stretch){
        .operand = (uint32_t)form->arguments, .n = n, .loop = phase->loop, .begin = phase->begin + from};
    l->count++;
    ur__ref a, b;
    bool good =
        factors_of(form, lines[0], phase, &a, &b) && (!l->rows || ur__add_operand(form, l, from_iteration(a, from)));
    for (size_t k = 0; k < l->matrices && good; k++)
        good = factors_of(form, lines[k], phase, &a, &b) && ur__add_operand(form, l, from_iteration(b, from));
    return good;
}

/* The stretches of a contraction, one or more for each phase that has it. A constant of zeros adds nothing, and where it
 * stands for a value with the batch it is one element. */
static bool add_parts(ur__form *form, ur__launch *l, const uint32_t *lines)
{
    const ur__program *p = &form->program;
    const ur__loop *loop = &p->loop[p->line[lines[0]].loop];
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b;
        const ur__phase *phase = &p->phase[loop->phase + f];
        if (!factors_of(form, lines[0], phase, &a, &b) || ur__is_zero(form, b.line) ||
            (a.line != UR_NONE && ur__is_zero(form, a.line)))
            continue;
        l->m = (uint32_t)form->line[b.line].rows;
        l->rows = a.line == UR_NONE ? 0 : (uint32_t)form->line[a.line].rows;
        for (uint32_t i = 0, n; i < phase->end - phase->begin; i += n) {
            n = even_stretch(form, phase, l->matrices, lines, i);
            if (!add_stretch(form, l, phase, lines, i, n))
                return false;
        }
    }
    return true;
}

/* Is it A B^T, or a sum of rows? */
static bool has_factor(const ur__form *form, uint32_t line)
{
    const ur__program *p = &form->program;
    return ur__first_statement(p, line)->refs == 2;
}

/* Is line k the sums of the rows of the B of line l, and does l's contraction read them in every phase? */
static bool sums_rows_of(const ur__form *form, uint32_t l, uint32_t k)
{
    const ur__program *p = &form->program;
    const ur__loop *loop = &p->loop[p->line[l].loop];
    if (p->line[k].loop != p->line[l].loop)
        return false;
    for (uint32_t f = 0; f < loop->phases; f++) {
        ur__ref a, b, none, d;
        const ur__phase *phase = &p->phase[loop->phase + f];
        const bool one = factors_of(form, l, phase, &a, &b), other = factors_of(form, k, phase, &none, &d);
        if (one != other || (one && (ur__is_zero(form, a.line) || none.line != UR_NONE || b.line != d.line ||
                                     b.first != d.first || b.stride != d.stride)))
            return false;
    }
    return true;
}

/* Puts the lines of the block into contractions. */
typedef struct collector {
    ur__maker *m;
    uint8_t *taken;  /* by line */
    uint32_t *lines; /* of the contraction at hand: its products, then its sums of rows */
} collector;

/* A sum of the rows of the B of line l that is in no contraction yet, UR_NONE if there is none. */
static uint32_t row_sum_of(const collector *c, uint32_t l)
{
    const ur__form *form = c->m->form;
    for (uint32_t k = 0; k < form->program.lines; k++)
        if (form->line[k].contracted && !c->taken[k] && sums_rows_of(form, l, k))
            return k;
    return UR_NONE;
}

/* Takes the sums of the rows of all n B. Where one is missing none is taken: they are a contraction by themselves. */
static bool take_row_sums(collector *c, size_t n)
{
    uint32_t *sums = c->lines + n;
    for (size_t k = 0; k < n; k++) {
        const uint32_t sum = row_sum_of(c, c->lines[k]);
        if (sum == UR_NONE) {
            while (k > 0)
                c->taken[sums[--k]] = 0;
            return false;
        }
        c->taken[sum] = 1;
        sums[k] = sum;
    }
    return true;
}

/* One contraction for all lines that share their A with line l. */
static bool launch_contraction(collector *c, uint32_t l)
{
    ur__form *form = c->m->form;
    size_t n = 0;
    for (uint32_t k = l; k < form->program.lines; k++)
        if (form->line[k].contracted && !c->taken[k] && same_factor(form, l, k)) {
            c->taken[k] = 1;
            c->lines[n++] = k;
        }
    const bool products = has_factor(form, l), sums = !products || take_row_sums(c, n);
    ur__launch *launch = ur__begin_launch(c->m, (ur__launch){.kind = UR__CONTRACT,
                                                             .line = l,
                                                             .turned = form->line[l].turned,
                                                             .matrices = (uint32_t)n,
                                                             .outputs = (uint32_t)(products && sums ? 2 * n : n),
                                                             .sums = sums});
    if (!launch)
        return false;
    launch->first = (uint32_t)form->stretches;
    for (size_t k = 0; k < launch->outputs; k++)
        if (!ur__add_operand(form, launch, summed_in(form, c->lines[k])))
            return false;
    return add_parts(form, launch, c->lines);
}

/* Are rows of the values summed up that factor number k of a contraction has in its first phase? */
static bool is_summed(const ur__form *form, uint32_t l, uint32_t k)
{
    const ur__program *p = &form->program;
    const uint32_t factor = ur__resolve(form, p->ref[ur__first_statement(p, l)->ref + k]).line;
    for (uint32_t s = 0; s < p->lines; s++)
        if (form->line[s].contracted && !has_factor(form, s) &&
            ur__resolve(form, p->ref[ur__first_statement(p, s)->ref]).line == factor)
            return true;
    return false;
}

static void find_turned(ur__form *form)
{
    for (uint32_t l = 0; l < form->program.lines; l++)
        form->line[l].turned =
            form->line[l].contracted && has_factor(form, l) && is_summed(form, l, 0) && !is_summed(form, l, 1);
}

/* Sums of rows that go with no product come last. */
bool ur__launch_contractions(ur__maker *m)
{
    ur__form *form = m->form;
    const size_t lines = form->program.lines;
    collector c = {.m = m,
                   .taken = (uint8_t *)ur__take(form->tape, lines),
                   .lines = (uint32_t *)ur__take(form->tape, lines * sizeof *c.lines)};
    bool good = c.taken && c.lines;
    form->finish.first = (uint32_t)form->launches;
    find_turned(form);
    if (good)
        memset(c.taken, 0, lines);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t l = 0; l < lines && good; l++)
            if (form->line[l].contracted && !c.taken[l] && (pass == 1 || has_factor(form, l)))
                good = launch_contraction(&c, l);
    form->finish.count = (uint32_t)form->launches - form->finish.first;
    ur__give(form->tape, c.taken, lines);
    ur__give(form->tape, c.lines, lines * sizeof *c.lines);
    return good;
}
