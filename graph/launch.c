/* launch.c - runs a launch of any kind but elementwise programs: products, contractions, single operations, sums over the
 * batch. Nothing is allocated. */
#include "worker.h"

/* ---- products */

void ur__bind_product(const ur__worker *w, const ur__launch *l)
{
    const ur__form *form = w->form;
    size_t e = ur__element_bytes(form);
    ur__term *term = w->term + ur__walk_of(w, l)->first;
    for (uint32_t k = 0; k < l->count; k++) {
        const ur__product_term *t = &form->term[l->first + k];
        ur__view a = {form->at[UR__AREA_PACKED] + t->packed * e, 0};
        if (l->in_place)
            a = ur__view_of(w, &t->a, false);
        term[k] = (ur__term){.a = a.at,
                             .k = t->k,
                             .x_stride = ur__argument_view(w, l, t->x).row,
                             .a_stride = a.row,
                             .a_packed = !l->in_place,
                             .a_transposed = l->in_place && t->transposed};
    }
}

static void run_product(const ur__worker *w, const ur__launch *l)
{
    const ur__form *form = w->form;
    ur__term *term = w->term + ur__walk_of(w, l)->first;
    ur__view y = ur__argument_view(w, l, 0);
    const char *bias = NULL;
    if (l->bias != UR_NONE)
        bias = ur__argument_view(w, l, l->bias).at;
    else if (l->biased)
        bias = form->at[UR__AREA_PACKED] + l->packed_bias * ur__element_bytes(form);
    for (uint32_t k = 0; k < l->count; k++)
        term[k].x = ur__argument_view(w, l, form->term[l->first + k].x).at;
    if (l->narrow)
        form->kernels->product_narrow(l->rows, w->columns, l->count, term, bias, y.at, y.row);
    else
        form->kernels->product(l->panel, l->rows, w->columns, l->count, term, bias, y.at, y.row);
}

void ur__run_packing(const ur__worker *w, const ur__packing *p)
{
    const ur__form *form = w->form;
    size_t e = ur__element_bytes(form);
    ur__view a = ur__view_of(w, &p->a, false);
    if (p->k && p->narrow)
        form->kernels->pack_narrow(p->panel, p->first, p->m, p->k, a.at, a.row, p->transposed,
                                   form->at[UR__AREA_PACKED] + p->packed * e);
    else if (p->k)
        form->kernels->pack(p->panel, p->first, p->m, p->k, a.at, a.row, p->transposed,
                            form->at[UR__AREA_PACKED] + p->packed * e);
    else
        memcpy(form->at[UR__AREA_PACKED] + (p->packed + p->first) * e, a.at, p->m * e);
}

/* ---- single operations */

/* Does the launch read the columns of its block only? Without the batch a value is as wide by chance, unless it stands
 * in an elementwise operation. */
static bool reads_own(const ur__form *form, const ur__launch *l, uint32_t line)
{
    const ur_op *op = ur__line_kind(form, l->line)->op;
    const ur__line_plan *p = &form->line[line];
    return l->batch && p->wide && (p->class == UR__BATCH || op->kind == UR_MAP || op == &ur_op_sum_of);
}

/* Value r as a dense array, and its shape, that of line `as` for the columns of the block: where it lies, or copied to the
 * scratch. */
static const void *dense(const ur__worker *w, const ur__launch *l, ur__ref r, uint32_t as, ur_shape *shape,
                         char **scratch)
{
    const ur__form *form = w->form;
    const bool own = reads_own(form, l, r.line), cut = own || (l->batch && form->line[as].class == UR__BATCH);
    size_t e = ur__element_bytes(form), columns, rows = ur__rows_in(form, r.line, own ? w->columns : 0, &columns);
    ur__view v = ur__view_of(w, &r, own);
    *shape = ur__line_shape(form, as);
    if (cut)
        shape->size[shape->rank - 1] = (int64_t)w->columns;
    if (rows * columns != ur_shape_count(*shape)) { /* a number that stands for a value of zeros */
        char *zeros = *scratch;
        memset(zeros, 0, ur_shape_count(*shape) * e);
        *scratch += ur__round_up(ur_shape_count(*shape) * e, UR__CACHE_LINE);
        return zeros;
    }
    if (v.row == columns || rows == 1)
        return v.at;
    char *copy = *scratch;
    ur__copy_rows(rows, columns * e, copy, columns * e, v.at, v.row * e);
    *scratch += ur__round_up(rows * columns * e, UR__CACHE_LINE);
    return copy;
}

/* out = op(operands 1 ...), a dense array. */
static void run_operation(const ur__worker *w, const ur__launch *l, void *out, ur_shape out_shape, char *scratch)
{
    const ur__form *form = w->form;
    const ur__kind *kind = ur__line_kind(form, l->line);
    uint32_t inputs = 0;
    ur_shape *shapes = (ur_shape *)(void *)(w->at + form->most_operands);
    const void **in = (const void **)(void *)w->at;
    for (uint32_t k = 1; k < l->operands; k++) {
        const ur__argument *a = &form->argument[l->operand + k];
        ur__ref r = a->ref;
        for (uint32_t q = 0; q < (a->ref.count > 1 ? a->ref.count : 1); q++, inputs++) {
            if (a->ref.count > 1)
                r = (ur__ref){.line = r.line, .first = a->ref.first + a->ref.stride * (int32_t)q, .count = 1};
            in[inputs] = dense(w, l, r, a->as, &shapes[inputs], &scratch);
        }
    }
    shapes[inputs] = out_shape;
    ur__run_dense(&(ur__dense){.kernels = form->kernels,
                               .dtype = form->tape->dtype,
                               .op = kind->op,
                               .attr = ur__attr(form->tape, kind),
                               .inputs = inputs,
                               .shape = shapes,
                               .in = in,
                               .out = out,
                               .scratch = (double *)(void *)scratch});
}

bool ur__adds_in_place(const ur__form *form, const ur__launch *l, size_t columns, size_t all)
{
    if (ur__line_kind(form, l->line)->op != &ur_op_sum_of)
        return false;
    size_t own, other, rows = ur__rows_in(form, l->line, l->batch ? columns : 0, &own);
    for (uint32_t k = 0; k < l->operands; k++) {
        uint32_t line = form->argument[l->operand + k].ref.line;
        const ur__line_plan *p = &form->line[line];
        size_t row = p->class == UR__BATCH && p->home == UR__IN_BLOCK ? all : p->row;
        size_t each = ur__rows_in(form, line, reads_own(form, l, line) ? columns : 0, &other);
        if (each != rows || other != own || (rows > 1 && row != own))
            return false;
    }
    return true;
}

/* y = the sum of the operands, n elements each. The steps of a loop follow each other at one distance. */
static void run_sum(const ur__worker *w, const ur__launch *l, char *y, size_t n)
{
    const ur__form *form = w->form;
    const size_t e = ur__element_bytes(form);
    bool begun = false;
    for (uint32_t k = 1; k < l->operands; k++) {
        const ur__ref *r = &form->argument[l->operand + k].ref;
        const ur__line_plan *line = &form->line[r->line];
        const bool many = r->count > 1, leaf = line->home == UR__IN_LEAF;
        ur__ref one = {.line = r->line, .first = r->first + (many ? 0 : r->stride * (int32_t)w->i)};
        uint32_t count = many ? r->count : 1, together = leaf ? 1 : count;
        ptrdiff_t step = line->slots > 1 ? r->stride * line->slot_bytes / (ptrdiff_t)e : 0;
        for (uint32_t q = 0; q < count; q += together, one.first += r->stride, begun = true)
            form->kernels->sum_rows(together, n, y, ur__view_of(w, &one, l->batch).at, step, begun);
    }
}

static void run_statement(const ur__worker *w, const ur__launch *l)
{
    const ur__form *form = w->form;
    const ur__ref *result = &form->argument[l->operand].ref;
    size_t e = ur__element_bytes(form), columns, rows = ur__rows_in(form, l->line, l->batch ? w->columns : 0, &columns);
    ur__view y = ur__view_of(w, result, l->batch);
    ur_shape shape = ur__line_shape(form, l->line);
    if (l->batch)
        shape.size[shape.rank - 1] = (int64_t)columns;
    if (ur__adds_in_place(form, l, w->columns, w->all)) {
        run_sum(w, l, y.at, rows * columns);
        return;
    }
    bool direct = y.row == columns || rows == 1;
    char *scratch = w->scratch, *out = direct ? y.at : scratch;
    if (!direct)
        scratch += ur__round_up(rows * columns * e, UR__CACHE_LINE);
    run_operation(w, l, out, shape, scratch);
    if (!direct)
        ur__copy_rows(rows, columns * e, y.at, y.row * e, out, columns * e);
}

/* ---- sums over the batch */

/* The part of a block in a sum over the batch. Of what is written the first block's is the sum itself: run_collect adds the
 * others to it. */
static char *part_at(const ur__form *form, size_t block, uint32_t line, int32_t value)
{
    const ur__line_plan *p = &form->line[line];
    if (p->sum == UR__ADDED)
        return form->at[UR__AREA_SUMS] + block * form->parts_bytes + p->part +
               (size_t)value * ur__part_bytes(form, line);
    if (block > 0)
        return form->at[UR__AREA_SUMS] + form->blocks * form->parts_bytes + (block - 1) * form->written_bytes + p->part;
    return form->at[UR__AREA_MEMORY] + p->offset;
}

/* The mean of the columns at hand becomes their share of the mean of all. */
static void take_share(const ur__worker *w, size_t count)
{
    const double share = (double)w->columns / (double)w->form->batch;
    for (size_t i = 0, n; i < count; i += n) {
        char *at = w->scratch + i * ur__element_bytes(w->form);
        n = count - i < UR__TILE ? count - i : UR__TILE;
        w->form->kernels->map[UR__SCALE](n, at, at, NULL, NULL, &share);
    }
}

/* Block number k of those at hand, by itself. */
static ur__worker only(const ur__worker *w, size_t k)
{
    ur__worker one = *w;
    one.block += k;
    one.blocks = 1;
    one.first = ur__block_begin(w->form, one.block);
    one.skip = one.first - w->first;
    one.columns = ur__block_begin(w->form, one.block + 1) - one.first;
    one.columns = one.columns < w->columns - one.skip ? one.columns : w->columns - one.skip;
    return one;
}

static void add_up(const ur__worker *w, const ur__launch *l)
{
    const ur__form *form = w->form;
    const ur__ref *part = &form->argument[l->operand].ref;
    size_t count = form->line[part->line].rows;
    char *scratch = w->scratch + ur__round_up(count * ur__element_bytes(form), UR__CACHE_LINE);
    run_operation(w, l, w->scratch, ur__line_shape(form, l->line), scratch);
    if (ur__line_kind(form, l->line)->op->kernel == UR__MEAN)
        take_share(w, count);
    form->kernels->add_to(count, part_at(form, w->block, part->line, part->first + part->stride * (int32_t)w->i),
                          w->scratch);
}

static void run_add_up(const ur__worker *w, const ur__launch *l)
{
    for (size_t k = 0; k < w->blocks; k++) {
        const ur__worker one = only(w, k);
        add_up(&one, l);
    }
}

static void run_collect(const ur__worker *w, const ur__launch *l)
{
    const ur__form *form = w->form;
    const ur__ref *own = &form->argument[l->operand].ref;
    size_t count = form->line[own->line].rows, e = ur__element_bytes(form);
    ur__view y = ur__view_of(w, own, false);
    const uint8_t sum = form->line[own->line].sum;
    bool begun = sum != UR__UNSUMMED;
    for (size_t b = sum == UR__WRITTEN ? 1 : 0; b < form->blocks && begun; b++) {
        const char *part = part_at(form, b, own->line, own->first + own->stride * (int32_t)w->i);
        if (b == 0)
            memset(y.at, 0, count * e);
        if (count == 1)
            form->kernels->sum_to(2 * form->kernels->lanes, y.at, part);
        else
            form->kernels->add_to(count, y.at, part);
    }
    for (uint32_t k = 1; k < l->operands; k++) {
        ur__ref r = form->argument[l->operand + k].ref;
        for (uint32_t q = 0; q < (r.count > 1 ? r.count : 1); q++) {
            ur__ref one = {.line = r.line, .first = r.first + r.stride * (int32_t)(r.count > 1 ? q : w->i)};
            const char *x = ur__view_of(w, &one, false).at;
            if (begun)
                form->kernels->add_to(count, y.at, x);
            else
                memcpy(y.at, x, count * e);
            begun = true;
        }
    }
}

/* Elements between the values of an operand in two iterations. */
static ptrdiff_t step_of(const ur__worker *w, const ur__ref *r)
{
    ur__worker next = *w;
    next.i = w->i + 1;
    if (w->form->line[r->line].slots <= 1 && w->form->line[r->line].home != UR__IN_LEAF)
        return 0;
    return (ur__view_of(&next, r, true).at - ur__view_of(w, r, true).at) / (ptrdiff_t)ur__element_bytes(w->form);
}

/* The columns that count in each step of a stretch: none past the end. */
static void count_columns(const ur__worker *w, const ur__contraction_stretch *stretch, uint32_t begin, uint32_t end,
                          uint32_t *columns)
{
    const ur__program *p = &w->form->program;
    const ur__loop *loop = &p->loop[stretch->loop];
    for (uint32_t i = begin; i < end; i++)
        columns[i - begin] = (uint32_t)ur__active_columns(w, loop, stretch->begin + i);
}

/* The iterations of a stretch, counted from its first, that are in the segment or in the piece at hand; false if none
 * are. */
static bool stretch_at_hand(const ur__worker *w, const ur__contraction_stretch *stretch, uint32_t *begin, uint32_t *end)
{
    ur__iterations_of(w, stretch->loop, begin, end);
    *begin = *begin > w->from ? *begin : w->from;
    *end = *end < w->to ? *end : w->to;
    *begin = *begin > stretch->begin ? *begin - stretch->begin : 0;
    *end = *end > stretch->begin ? *end - stretch->begin : 0;
    *end = *end < stretch->n ? *end : stretch->n;
    return *begin < *end;
}

/* Elements of output k: first those of the products, then the sums of rows. */
static size_t output_elements(const ur__launch *l, uint32_t k)
{
    return (l->rows && k < l->matrices ? l->rows : 1) * (size_t)l->m;
}

/* Is output k written where it belongs? */
static bool is_written(const ur__form *form, const ur__launch *l, uint32_t k)
{
    return form->line[form->argument[l->operand + k].ref.line].sum == UR__WRITTEN;
}

static size_t output_bytes(const ur__form *form, const ur__launch *l, uint32_t k)
{
    return is_written(form, l, k) ? 0 : ur__round_up(output_elements(l, k) * ur__element_bytes(form), UR__CACHE_LINE);
}

ur__contraction_room ur__room_for_contraction(const ur__form *form, const ur__launch *l)
{
    const size_t factors = (size_t)l->matrices * l->count;
    ur__contraction_room r = {0};
    for (uint32_t k = 0; k < l->outputs; k++)
        r.out += output_bytes(form, l, k);
    r.b = r.out + l->outputs * sizeof(void *);
    r.b_step = r.b + factors * sizeof(void *);
    r.b_stride = r.b_step + factors * sizeof(ptrdiff_t);
    r.stretch = r.b_stride + factors * sizeof(size_t);
    r.columns = r.stretch + l->count * sizeof(ur__stretch);
    r.own = r.columns + (form->ends ? form->program.line[form->mask].values * sizeof(uint32_t) : 0);
    r.own = ur__round_up(r.own, UR__CACHE_LINE);
    return r;
}

size_t ur__contraction_bytes(const ur__form *form, const ur__launch *l)
{
    void *sums = NULL; /* its address says only that they are wanted */
    ur__contraction c = {
        .rows = l->rows, .m = l->m, .n = form->width, .matrices = l->matrices, .sums = l->sums ? &sums : NULL};
    return ur__round_up(form->kernels->contraction_room(&c), UR__CACHE_LINE);
}

/* What the stretches to come take. */
typedef struct factors {
    const void **b;
    ptrdiff_t *b_step;
    size_t *b_stride;
    uint32_t *columns;
} factors;

/* A stretch's steps at hand, for the kernel; false if there are none. */
static bool make_stretch(const ur__worker *w, const ur__launch *l, const ur__contraction_stretch *stretch, factors *f,
                         ur__stretch *s)
{
    const ur__form *form = w->form;
    const ur__argument *x = &form->argument[stretch->operand];
    ur__worker at = *w; /* at the first of them */
    uint32_t end;
    if (!stretch_at_hand(w, stretch, &at.i, &end))
        return false;
    *s = (ur__stretch){.steps = end - at.i, .b = f->b, .b_step = f->b_step, .b_stride = f->b_stride};
    if (w->ends) {
        s->columns = f->columns;
        count_columns(w, stretch, at.i, end, f->columns);
        f->columns += s->steps;
    }
    if (l->rows) {
        ur__view a = ur__view_of(&at, &x->ref, true);
        s->a = a.at;
        s->a_step = s->steps > 1 ? step_of(&at, &x->ref) : 0;
        s->a_stride = a.row;
        x++;
    }
    for (uint32_t k = 0; k < l->matrices; k++, x++) {
        ur__view v = ur__view_of(&at, &x->ref, true);
        *f->b++ = v.at;
        *f->b_step++ = s->steps > 1 ? step_of(&at, &x->ref) : 0;
        *f->b_stride++ = v.row;
    }
    return true;
}

/* Where the outputs go: to the block's parts, or to the scratch. */
static void place_outputs(const ur__worker *w, const ur__launch *l, void **out)
{
    const ur__form *form = w->form;
    char *free = w->scratch;
    for (uint32_t k = 0; k < l->outputs; k++) {
        const uint32_t line = form->argument[l->operand + k].ref.line;
        out[k] = is_written(form, l, k) ? part_at(form, w->block, line, 0) : free;
        free += output_bytes(form, l, k);
    }
}

/* Adds those that are not there yet to the block's parts. */
static void add_outputs(const ur__worker *w, const ur__launch *l, void *const *out)
{
    const ur__form *form = w->form;
    for (uint32_t k = 0; k < l->outputs; k++) {
        const uint32_t line = form->argument[l->operand + k].ref.line;
        if (!is_written(form, l, k))
            form->kernels->add_to(output_elements(l, k), part_at(form, w->block, line, 0), out[k]);
    }
}

/* `own`: the room of one that goes on piece by piece. */
static void contract(const ur__worker *w, const ur__launch *l, char *own)
{
    const ur__form *form = w->form;
    const ur__contraction_room room = ur__room_for_contraction(form, l);
    char *scratch = w->scratch;
    factors f = {.b = (const void **)(void *)(scratch + room.b),
                 .b_step = (ptrdiff_t *)(void *)(scratch + room.b_step),
                 .b_stride = (size_t *)(void *)(scratch + room.b_stride),
                 .columns = (uint32_t *)(void *)(scratch + room.columns)};
    void **out = (void **)(void *)(scratch + room.out);
    ur__stretch *stretch = (ur__stretch *)(void *)(scratch + room.stretch);
    ur__contraction c = {.rows = l->rows,
                         .m = l->m,
                         .n = w->columns,
                         .matrices = l->matrices,
                         .stretch = stretch,
                         .turned = l->turned,
                         .out = out,
                         .sums = l->sums ? out + (l->rows ? l->matrices : 0) : NULL,
                         .begun = w->from > 0,
                         .goes_on = l->piece && w->to < form->program.loop[ur__contracted_loop(form, l)].iterations};
    place_outputs(w, l, out);
    for (uint32_t q = 0; q < l->count; q++)
        c.stretches += make_stretch(w, l, &form->stretch[l->first + q], &f, &stretch[c.stretches]);
    form->kernels->contract(&c, l->piece ? own : scratch + room.own);
    if (!c.goes_on)
        add_outputs(w, l, out);
}

static void run_contraction(const ur__worker *w, const ur__launch *l)
{
    for (size_t k = 0; k < w->blocks && l->count > 0; k++) {
        const ur__worker one = only(w, k);
        contract(&one, l, w->rooms + l->room + (l->piece ? k * ur__contraction_bytes(w->form, l) : 0));
    }
}

/* ---- all kinds */

static void run_program(const ur__worker *w, const ur__launch *l)
{
    ur__run_tiles(w, l, 1);
}

void ur__run_launch(const ur__worker *w, const ur__launch *l)
{
    static void (*const run[])(const ur__worker *, const ur__launch *) = {
        [UR__POINTWISE] = run_program, [UR__PRODUCT] = run_product,      [UR__STATEMENT] = run_statement,
        [UR__ADD_UP] = run_add_up,     [UR__CONTRACT] = run_contraction, [UR__COLLECT] = run_collect,
    };
    run[l->kind](w, l);
}
