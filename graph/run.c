/* run.c - walks the launches of a plan: once before the blocks, in every block, once after them. Nothing is allocated. */
#include <string.h>

#include "plan.h"

/* The block at hand and the iteration of the phase. */
typedef struct worker {
    const ur_plan *plan;
    size_t block, first, columns; /* the block's number, its first column and how many it has */
    size_t all;                   /* columns, also behind the end of their sequences */
    uint32_t i;
    char *memory, *full, *scratch;
    char **at;     /* addresses of a launch's operands and buffers */
    char *home[5]; /* by ur__home: what the arguments' offsets count from */
} worker;

/* Where an operand lies: rows are `row` elements apart. */
typedef struct view {
    char *at;
    size_t row;
} view;

static size_t element_bytes(const ur_plan *plan)
{
    return ur_dtype_bytes(plan->tape->dtype);
}

static char *leaf_at(const ur_plan *plan, const ur__line *line, int32_t value)
{
    uint32_t node = plan->program.leaf[line->first + (uint32_t)value];
    return (char *)ur__leaf_data(plan->tape, &plan->tape->node[node]);
}

static view view_of(const worker *w, const ur__ref *r, bool batch)
{
    const ur_plan *plan = w->plan;
    const ur__line_plan *line = &plan->line[r->line];
    int32_t value = r->first + r->stride * (int32_t)w->i;
    ptrdiff_t slot = line->slots > 1 ? value * line->slot_bytes : 0;
    char *at = line->home == UR__IN_LEAF    ? leaf_at(plan, &plan->program.line[r->line], value)
               : line->home == UR__IN_BLOCK ? w->memory + line->offset + slot
                                            : plan->memory + line->offset + slot;
    if (line->class == UR__BATCH && line->home == UR__IN_BLOCK) /* rows are as long as the block is wide */
        return (view){at + line->higher * w->all * element_bytes(plan), w->all};
    if (batch && line->wide && line->home != UR__IN_BLOCK)
        at += w->first * element_bytes(plan);
    return (view){at, line->row};
}

/* The same for an argument of a launch. */
static inline view argument_of(const worker *w, const ur__argument *a, bool batch)
{
    if (!a->known)
        return view_of(w, &a->ref, batch);
    char *at = w->home[a->home] + a->offset + (ptrdiff_t)w->i * a->step;
    if (a->own_rows)
        return (view){at + a->higher * w->all * element_bytes(w->plan), w->all};
    if (batch && a->cut)
        at += w->first * element_bytes(w->plan);
    return (view){at, a->row};
}

/* ---- elementwise programs */

/* The constant, or the element that is in memory, n times. */
static void spread_element(const worker *w, const ur__argument *a, size_t n, char *out)
{
    const ur_plan *plan = w->plan;
    const ur__node *node = ur__node_of(plan, a->ref.line);
    if (node->op == &ur_op_const) {
        double element;
        plan->kernels->from_f64(1, &element, ur__attr(plan->tape, node));
        plan->kernels->fill(n, out, &element);
    } else {
        plan->kernels->fill(n, out, view_of(w, &a->ref, false).at);
    }
}

static void run_tile(const ur_plan *plan, const ur__instruction *in, uint32_t count, size_t n, char *const *at)
{
    for (uint32_t k = 0; k < count; k++, in++)
        plan->kernels->map[in->kernel](n, at[in->y], at[in->a], at[in->b], at[in->c], plan->attr + in->attr);
}

/* By value of the mask: how many columns of the block last. */
static uint32_t *active_of(const worker *w)
{
    return (uint32_t *)(void *)(w->full + w->plan->active);
}

/* Are all columns at hand alive by this mask? */
static bool is_full(const worker *w, const ur__ref *r)
{
    int32_t value = r->first + r->stride * (int32_t)w->i;
    return w->full[w->plan->line[r->line].full + (size_t)value] != 0;
}

/* How a program walks over [rows, columns]: tiles of `group` whole rows, or of part of a row where group is 1. */
typedef struct walk {
    const worker *w;
    const ur__launch *l;
    const ur__argument *argument;
    view *v;
    bool alive; /* the form of the program that reads no masks */
    size_t rows, columns, group;
} walk;

/* An operand that no tile of this walk reads. */
static bool is_skipped(const walk *k, uint32_t i)
{
    return k->alive && k->argument[i].mask;
}

/* Looks where the operands lie. Where all rows follow each other without gaps, rows can be put together. */
static void begin_walk(walk *k)
{
    bool flat = true, dense = true;
    for (uint32_t i = 0; i < k->l->operands; i++) {
        uint8_t spread = k->argument[i].spread;
        if (is_skipped(k, i) || spread == UR__ELEMENT)
            continue;
        k->v[i] = argument_of(k->w, &k->argument[i], k->l->batch && spread != UR__COLUMN);
        dense = dense && (spread != UR__FULL || !k->l->batch || k->v[i].row == k->columns);
        flat = flat && spread == UR__FULL;
    }
    if (k->rows == 1 || (flat && dense)) {
        k->columns *= k->rows;
        k->rows = 1;
    }
    k->group = dense && k->columns < UR__TILE ? UR__TILE / k->columns : 1;
    k->group = k->group < k->rows ? k->group : k->rows;
}

/* Gives operands and buffers their tiles; what is the same in every tile is written now. */
static void place_tiles(const walk *k)
{
    size_t e = element_bytes(k->w->plan), tile = k->group * k->columns;
    char *buffer = k->w->scratch, **at = k->w->at;
    for (uint32_t i = 0; i < k->l->operands; i++) {
        uint8_t spread = k->argument[i].spread;
        if (is_skipped(k, i) || spread == UR__FULL)
            continue;
        at[i] = buffer;
        buffer += UR__TILE * e;
        if (spread == UR__ELEMENT)
            spread_element(k->w, &k->argument[i], tile < UR__TILE ? tile : UR__TILE, at[i]);
        for (size_t row = 0; row < k->group && spread == UR__ROW && k->group > 1; row++)
            memcpy(at[i] + row * k->columns * e, k->v[i].at, k->columns * e);
    }
    for (uint32_t i = 0; i < k->l->buffers; i++, buffer += UR__TILE * e)
        at[k->l->operands + i] = buffer;
}

/* Points the operands at n elements from column c of a row on. */
static void aim(const walk *k, size_t row, size_t c, size_t rows)
{
    const ur__kernels *kernels = k->w->plan->kernels;
    size_t e = element_bytes(k->w->plan), columns = k->columns < UR__TILE ? k->columns : UR__TILE;
    char **at = k->w->at;
    for (uint32_t i = 0; i < k->l->operands; i++) {
        if (is_skipped(k, i))
            continue;
        if (k->argument[i].spread == UR__FULL)
            at[i] = k->v[i].at + (row * k->v[i].row + c) * e;
        else if (k->argument[i].spread == UR__ROW && k->group == 1)
            at[i] = k->v[i].at + c * e;
        for (size_t r = 0; r < rows && k->argument[i].spread == UR__COLUMN && c == 0; r++)
            kernels->fill(columns, at[i] + r * columns * e, k->v[i].at + (row + r) * e);
    }
}

static void run_pointwise(const worker *w, const ur__launch *l)
{
    enum { FEW = 64 };
    const ur_plan *plan = w->plan;
    view few[FEW];
    walk k = {.w = w,
              .l = l,
              .argument = &plan->argument[l->operand],
              .v = l->operands <= FEW ? few : (view *)(void *)(w->at + plan->most_operands),
              .alive = l->alive > 0,
              .rows = l->rows,
              .columns = l->batch ? w->columns : 1};
    for (uint32_t i = 0; i < l->operands && k.alive; i++)
        k.alive = !k.argument[i].mask || is_full(w, &k.argument[i].ref);
    begin_walk(&k);
    place_tiles(&k);
    const ur__instruction *first = &plan->instruction[l->first + (k.alive ? l->count : 0)];
    for (size_t row = 0; row < k.rows; row += k.group) {
        size_t rows = k.rows - row < k.group ? k.rows - row : k.group, n = rows * k.columns;
        for (size_t c = 0; c < n; c += UR__TILE) {
            aim(&k, row, c, rows);
            run_tile(plan, first, k.alive ? l->alive : l->count, n - c < UR__TILE ? n - c : UR__TILE, w->at);
        }
    }
}

/* ---- products */

static void run_product(const worker *w, const ur__launch *l)
{
    enum { MOST = 16 };
    const ur_plan *plan = w->plan;
    size_t e = element_bytes(plan);
    bool narrow = plan->batch < UR__NARROW, add = false;
    view y = argument_of(w, &plan->argument[l->operand], true);
    const char *bias = NULL;
    if (l->bias != UR__NOWHERE)
        bias = narrow ? argument_of(w, &plan->argument[l->operand + l->bias], false).at : plan->packed + l->bias * e;
    for (uint32_t k = 0; k < l->count; k += MOST) {
        ur__term terms[MOST];
        uint32_t n = 0;
        for (; n < MOST && k + n < l->count; n++) {
            const ur__product_term *t = &plan->term[l->first + k + n];
            view x = argument_of(w, &plan->argument[l->operand + t->x], true);
            view a = {plan->packed + t->packed * e, 0};
            if (narrow)
                a = view_of(w, &t->a, false);
            terms[n] = (ur__term){
                .a = a.at, .x = x.at, .k = t->k, .x_stride = x.row, .a_stride = a.row, .a_transposed = t->transposed};
        }
        if (narrow)
            plan->kernels->product_narrow(l->rows, w->columns, n, terms, add ? NULL : bias, add, y.at, y.row);
        else
            plan->kernels->product(l->panel, l->rows, w->columns, n, terms, add ? NULL : bias, add, y.at, y.row);
        add = true;
    }
}

static void run_packing(const worker *w, const ur__packing *p)
{
    const ur_plan *plan = w->plan;
    size_t e = element_bytes(plan);
    view a = view_of(w, &p->a, false);
    if (p->k)
        plan->kernels->pack(p->panel, p->first, p->m, p->k, a.at, a.row, p->transposed, plan->packed + p->packed * e);
    else
        memcpy(plan->packed + (p->packed + p->first) * e, a.at, p->m * e);
}

/* ---- single operations */

static void copy_rows(size_t rows, size_t bytes, char *to, size_t to_row, const char *from, size_t from_row)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r * to_row, from + r * from_row, bytes);
}

/* The number of rows of a value in memory; `columns`: of them, those of the block if it reads its own ones. */
static size_t rows_in(const worker *w, uint32_t line, bool own, size_t *columns)
{
    ur_shape shape = ur__line_shape(w->plan, line);
    size_t last = shape.rank > 1 ? (size_t)shape.size[shape.rank - 1] : 1, rows = ur_shape_count(shape) / last;
    *columns = own ? w->columns : last;
    return rows;
}

/* Does the launch read the columns of its block only? Without the batch a value is as wide by chance, unless it stands
 * in an elementwise operation. */
static bool reads_own(const worker *w, const ur__launch *l, uint32_t line)
{
    const ur_op *op = ur__node_of(w->plan, l->line)->op;
    const ur__line_plan *p = &w->plan->line[line];
    return l->batch && p->wide && (p->class == UR__BATCH || op->kind == UR_MAP || op == &ur_op_sum_of);
}

/* An operand as a dense array, and its shape: where it lies, or copied to the scratch. */
static const void *dense(const worker *w, ur__ref r, uint32_t as, bool own, ur_shape *shape, char **scratch)
{
    const ur_plan *plan = w->plan;
    size_t e = element_bytes(plan), columns, rows = rows_in(w, r.line, own, &columns);
    view v = view_of(w, &r, own);
    *shape = ur__line_shape(plan, as);
    if (own)
        shape->size[shape->rank - 1] = (int64_t)columns;
    if (rows * columns != ur_shape_count(*shape)) { /* a number that stands for a value of zeros */
        char *zeros = *scratch;
        memset(zeros, 0, ur_shape_count(*shape) * e);
        *scratch += (ur_shape_count(*shape) * e + UR__LINE - 1) / UR__LINE * UR__LINE;
        return zeros;
    }
    if (v.row == columns || rows == 1)
        return v.at;
    char *copy = *scratch;
    copy_rows(rows, columns * e, copy, columns * e, v.at, v.row * e);
    *scratch += (rows * columns * e + UR__LINE - 1) / UR__LINE * UR__LINE;
    return copy;
}

/* out = op(operands 1 ...), a dense array. */
static void run_operation(const worker *w, const ur__launch *l, void *out, ur_shape out_shape, char *scratch)
{
    const ur_plan *plan = w->plan;
    const ur__node *n = ur__node_of(plan, l->line);
    uint32_t inputs = 0;
    ur_shape *shapes = (ur_shape *)(void *)(w->at + plan->most_operands);
    const void **in = (const void **)(void *)w->at;
    for (uint32_t k = 1; k < l->operands; k++) {
        const ur__argument *a = &plan->argument[l->operand + k];
        ur__ref r = a->ref;
        bool own = reads_own(w, l, r.line);
        for (uint32_t q = 0; q < (a->ref.count > 1 ? a->ref.count : 1); q++, inputs++) {
            if (a->ref.count > 1)
                r = (ur__ref){.line = r.line, .first = a->ref.first + a->ref.stride * (int32_t)q, .count = 1};
            in[inputs] = dense(w, r, a->as, own, &shapes[inputs], &scratch);
        }
    }
    shapes[inputs] = out_shape;
    ur__run_dense(&(ur__dense){.kernels = plan->kernels,
                               .dtype = plan->tape->dtype,
                               .op = n->op,
                               .attr = ur__attr(plan->tape, n),
                               .inputs = inputs,
                               .shape = shapes,
                               .in = in,
                               .out = out,
                               .scratch = (double *)(void *)scratch});
}

static void run_statement(const worker *w, const ur__launch *l)
{
    const ur_plan *plan = w->plan;
    const ur__ref *result = &plan->argument[l->operand].ref;
    size_t e = element_bytes(plan), columns, rows = rows_in(w, l->line, l->batch, &columns);
    view y = view_of(w, result, l->batch);
    ur_shape shape = ur__line_shape(plan, l->line);
    if (l->batch)
        shape.size[shape.rank - 1] = (int64_t)columns;
    bool direct = y.row == columns || rows == 1;
    char *scratch = w->scratch, *out = direct ? y.at : scratch;
    if (!direct)
        scratch += (rows * columns * e + UR__LINE - 1) / UR__LINE * UR__LINE;
    run_operation(w, l, out, shape, scratch);
    if (!direct)
        copy_rows(rows, columns * e, y.at, y.row * e, out, columns * e);
}

/* ---- sums over the batch */

/* The part of a block in a sum over the batch. */
static char *part_at(const ur_plan *plan, size_t block, uint32_t line, int32_t value)
{
    size_t bytes = plan->line[line].rows * element_bytes(plan);
    return plan->sums + block * plan->parts_bytes + plan->line[line].part + (size_t)value * bytes;
}

static void run_add_up(const worker *w, const ur__launch *l)
{
    const ur_plan *plan = w->plan;
    const ur__ref *part = &plan->argument[l->operand].ref;
    size_t count = plan->line[part->line].rows;
    char *scratch = w->scratch + (count * element_bytes(plan) + UR__LINE - 1) / UR__LINE * UR__LINE;
    run_operation(w, l, w->scratch, ur__line_shape(plan, l->line), scratch);
    plan->kernels->add_to(count, part_at(plan, w->block, part->line, part->first + part->stride * (int32_t)w->i),
                          w->scratch);
}

static void run_collect(const worker *w, const ur__launch *l)
{
    const ur_plan *plan = w->plan;
    const ur__ref *own = &plan->argument[l->operand].ref;
    size_t count = plan->line[own->line].rows, e = element_bytes(plan);
    view y = view_of(w, own, false);
    bool begun = plan->line[own->line].part != UR__NOWHERE;
    for (size_t b = 0; b < plan->blocks && begun; b++) {
        const char *part = part_at(plan, b, own->line, own->first + own->stride * (int32_t)w->i);
        if (b == 0)
            memcpy(y.at, part, count * e);
        else
            plan->kernels->add_to(count, y.at, part);
    }
    for (uint32_t k = 1; k < l->operands; k++) {
        ur__ref r = plan->argument[l->operand + k].ref;
        for (uint32_t q = 0; q < (r.count > 1 ? r.count : 1); q++) {
            ur__ref one = {.line = r.line, .first = r.first + r.stride * (int32_t)(r.count > 1 ? q : w->i)};
            const char *x = view_of(w, &one, false).at;
            if (begun)
                plan->kernels->add_to(count, y.at, x);
            else
                memcpy(y.at, x, count * e);
            begun = true;
        }
    }
}

/* Elements between the values of an operand in two iterations. */
static ptrdiff_t step_of(const worker *w, const ur__ref *r)
{
    worker next = *w;
    next.i = w->i + 1;
    if (w->plan->line[r->line].slots <= 1 && w->plan->line[r->line].home != UR__IN_LEAF)
        return 0;
    return (view_of(&next, r, true).at - view_of(w, r, true).at) / (ptrdiff_t)element_bytes(w->plan);
}

static size_t active_columns(const worker *w, const ur__loop *loop, uint32_t iteration);

/* The columns that count in each step of a part: none behind the end. */
static void count_columns(const worker *w, const ur__contraction_part *part, uint32_t *columns)
{
    const ur__program *p = &w->plan->program;
    const ur__loop *loop = &p->loop[part->loop];
    for (uint32_t i = 0; i < part->n; i++)
        columns[i] = (uint32_t)active_columns(w, loop, part->begin + i);
}

static void run_contraction(const worker *w, const ur__launch *l)
{
    const ur_plan *plan = w->plan;
    size_t e = element_bytes(plan), count = (size_t)l->rows * l->m,
           lined = (count * e + UR__LINE - 1) / UR__LINE * UR__LINE;
    char *scratch = w->scratch, *results = scratch;
    scratch += l->outputs * lined;
    void **out = (void **)(void *)scratch;
    const void **b = (const void **)(void *)(out + l->outputs);
    ptrdiff_t *steps = (ptrdiff_t *)(void *)(b + (size_t)l->outputs * l->count);
    size_t *rows = (size_t *)(void *)(steps + (size_t)l->outputs * l->count);
    ur__stretch *stretch = (ur__stretch *)(void *)(rows + (size_t)l->outputs * l->count);
    ur__contraction c = {.rows = l->rows,
                         .m = l->m,
                         .n = w->columns,
                         .matrices = l->outputs,
                         .stretches = l->count,
                         .stretch = stretch,
                         .out = out};
    for (uint32_t k = 0; k < l->outputs; k++)
        out[k] = results + k * lined;
    uint32_t *columns = (uint32_t *)(void *)(stretch + l->count);
    for (uint32_t q = 0; q < l->count; q++) {
        const ur__contraction_part *part = &plan->part[l->first + q];
        const ur__argument *x = &plan->argument[part->operand];
        stretch[q] = (ur__stretch){.steps = part->n, .b = b, .b_step = steps, .b_stride = rows};
        if (plan->ends) {
            stretch[q].columns = columns;
            count_columns(w, part, columns);
            columns += part->n;
        }
        if (!l->ones) {
            view a = view_of(w, &x->ref, true);
            stretch[q].a = a.at;
            stretch[q].a_step = part->n > 1 ? step_of(w, &x->ref) : 0;
            stretch[q].a_stride = a.row;
            x++;
        }
        for (uint32_t k = 0; k < l->outputs; k++, x++, b++, steps++, rows++) {
            view v = view_of(w, &x->ref, true);
            *b = v.at;
            *steps = part->n > 1 ? step_of(w, &x->ref) : 0;
            *rows = v.row;
        }
    }
    uintptr_t room = (uintptr_t)columns;
    plan->kernels->contract(&c, (char *)columns + (UR__LINE - room % UR__LINE) % UR__LINE);
    for (uint32_t k = 0; k < l->outputs; k++) {
        const ur__ref *r = &plan->argument[l->operand + k].ref;
        plan->kernels->add_to(count, part_at(plan, w->block, r->line, 0), out[k]);
    }
}

/* ---- a run */

static void run_launch(const worker *w, const ur__launch *l)
{
    switch ((ur__launch_kind)l->kind) {
    case UR__POINTWISE:
        run_pointwise(w, l);
        break;
    case UR__PRODUCT:
        run_product(w, l);
        break;
    case UR__STATEMENT:
        run_statement(w, l);
        break;
    case UR__ADD_UP:
        run_add_up(w, l);
        break;
    case UR__CONTRACT:
        run_contraction(w, l);
        break;
    case UR__COLLECT:
        run_collect(w, l);
    }
}

/* The number of columns whose sequences may last in an iteration; the others lie behind them. */
static size_t active_columns(const worker *w, const ur__loop *loop, uint32_t iteration)
{
    const ur_plan *plan = w->plan;
    if (!plan->ends || loop->direction == 0)
        return w->all;
    return active_of(w)[loop->step + (int64_t)loop->direction * iteration + plan->mask_origin];
}

/* Behind the end: values of the columns from `active` on are 0, or what they were. */
static void run_rest(const worker *w, uint32_t phase, size_t active)
{
    const ur_plan *plan = w->plan;
    size_t e = element_bytes(plan), bytes = (w->all - active) * e;
    for (uint32_t k = 0; k < plan->rest[phase].count; k++) {
        const ur__remainder *r = &plan->remainder[plan->rest[phase].first + k];
        ur__ref own = {.line = r->line, .stride = 1};
        own.first = (int32_t)(plan->program.phase[phase].begin - plan->program.line[r->line].begin);
        view to = view_of(w, &own, true);
        size_t rows = plan->line[r->line].rows;
        if (r->from.line != UR_NONE) {
            view from = view_of(w, &r->from, true);
            copy_rows(rows, bytes, to.at + active * e, to.row * e, from.at + active * e, from.row * e);
            continue;
        }
        for (size_t row = 0; row < rows; row++)
            memset(to.at + (row * to.row + active) * e, 0, bytes);
    }
}

static void run_phase(worker *w, const ur__loop *loop, uint32_t f, const ur__span *span)
{
    const ur_plan *plan = w->plan;
    const ur__phase *phase = &plan->program.phase[f];
    for (w->i = 0; w->i < phase->end - phase->begin; w->i++) {
        size_t active = active_columns(w, loop, phase->begin + w->i);
        if (active < w->all)
            run_rest(w, f, active);
        w->columns = active;
        for (uint32_t k = 0; k < span->count && active > 0; k++)
            run_launch(w, &plan->launch[span->first + k]);
    }
    w->columns = w->all;
}

/* Runs the launches of one time; only those within the blocks know of columns that have ended. */
static void run_loops(worker *w, ur__time time)
{
    static const ur__loop straight = {0};
    const ur_plan *plan = w->plan;
    const ur__program *p = &plan->program;
    for (size_t l = 0; l < p->loops; l++)
        for (uint32_t f = p->loop[l].phase; f < p->loop[l].phase + p->loop[l].phases; f++) {
            const ur__span *span = &plan->span[time * p->phases + f];
            if (span->count)
                run_phase(w, time == UR__WITHIN ? &p->loop[l] : &straight, f, span);
        }
    w->i = 0;
}

/* Copies exports that are computed at this time and lie elsewhere. */
static void copy_exports(const worker *w, bool within)
{
    const ur_plan *plan = w->plan;
    size_t e = element_bytes(plan);
    for (size_t i = 0; i < plan->exports; i++) {
        const ur__export *x = &plan->export[i];
        bool block = plan->line[x->line].home == UR__IN_BLOCK;
        if (x->direct || block != within)
            continue;
        bool own = within && plan->line[x->line].class == UR__BATCH;
        size_t columns, rows = rows_in(w, x->line, own, &columns);
        view v = view_of(w, &(ur__ref){.line = x->line, .first = (int32_t)x->value}, own);
        char *to = plan->memory + x->offset;
        size_t row = own ? (size_t)plan->batch : columns;
        copy_rows(rows, columns * e, to + (row == columns ? 0 : w->first * e), row * e, v.at, v.row * e);
    }
}

/* Finds the columns that last in each step, in whole vectors: those behind have ended for good. */
static void find_active(const worker *w)
{
    const ur_plan *plan = w->plan;
    uint32_t *active = active_of(w), most = 0;
    size_t e = element_bytes(plan), unit = UR__LINE / e;
    for (uint32_t v = plan->ends ? plan->program.line[plan->mask].values : 0; v-- > 0;) {
        ur__ref r = {.line = plan->mask, .first = (int32_t)v};
        const char *mask = view_of(w, &r, true).at;
        while (most < w->all) { /* more columns than in the steps behind */
            size_t n = w->all - most < unit ? w->all - most : unit;
            if (!plan->kernels->has_other(w->all - most, mask + most * e))
                break;
            most += (uint32_t)n;
        }
        active[v] = most;
    }
}

/* Flags the values of the masks that are 1 in all columns that last; are all of them in all columns? */
static bool find_full(const worker *w)
{
    const ur_plan *plan = w->plan;
    bool all = true;
    find_active(w);
    for (uint32_t l = 0; l < plan->program.lines && plan->full_bytes > 0; l++)
        for (uint32_t v = 0; plan->line[l].mask && v < plan->program.line[l].values; v++) {
            ur__ref r = {.line = l, .first = (int32_t)v};
            size_t columns = plan->ends && plan->mask == l ? active_of(w)[v] : w->all;
            bool full = !plan->kernels->has_zero(columns, view_of(w, &r, true).at);
            w->full[plan->line[l].full + v] = (char)full;
            all = all && full && columns == w->all;
        }
    return all;
}

static worker worker_of(const ur_plan *plan, size_t number)
{
    size_t at = number * plan->worker_bytes, batch = plan->batch > 0 ? (size_t)plan->batch : 1;
    return (worker){.plan = plan,
                    .columns = batch,
                    .all = batch,
                    .memory = plan->block + at,
                    .full = plan->full + at,
                    .at = (char **)(void *)(plan->scratch + at),
                    .scratch = plan->scratch + at + plan->addresses_bytes,
                    .home = {[UR__IN_BLOCK] = plan->block + at, [UR__IN_PLAN] = plan->memory}};
}

static worker block_of(const ur_plan *plan, size_t number, size_t block)
{
    worker w = worker_of(plan, number);
    w.block = block;
    w.first = ur__block_begin(plan, block);
    w.all = w.columns = ur__block_begin(plan, block + 1) - w.first;
    return w;
}

static void run_block(const ur_plan *plan, size_t number, size_t block)
{
    worker w = block_of(plan, number, block);
    memset(plan->sums + block * plan->parts_bytes, 0, plan->parts_bytes);
    if (find_full(&w) && plan->alive)
        w = block_of(plan->alive, number, block);
    run_loops(&w, UR__WITHIN);
    for (uint32_t k = 0; k < w.plan->finish.count; k++)
        run_launch(&w, &w.plan->launch[w.plan->finish.first + k]);
    copy_exports(&w, true);
}

/* A worker's share of the blocks, as many as any other's or one more. Workers write to their own memory, to their blocks'
 * sums and to their blocks' columns of what the caller reads. */
static void run_share(void *arg, int number)
{
    const ur_plan *plan = (const ur_plan *)arg;
    size_t k = (size_t)number;
    for (size_t b = k * plan->blocks / plan->workers; b < (k + 1) * plan->blocks / plan->workers; b++)
        run_block(plan, k, b);
}

static void pack(const ur_plan *plan)
{
    worker w = worker_of(plan, 0);
    for (size_t i = 0; i < plan->packings; i++)
        run_packing(&w, &plan->packing[i]);
}

void ur__run(ur_plan *plan)
{
    worker w = worker_of(plan, 0);
    run_loops(&w, UR__BEFORE);
    pack(plan);
    if (plan->alive)
        pack(plan->alive);
    ur__pool_work(plan->pool, (int)plan->workers, run_share, plan);
    if (plan->blocks == 1 &&
        plan->alive) { /* what was computed once within the block is where the plan that ran has it */
        worker only = block_of(plan, 0, 0);
        w = worker_of(find_full(&only) ? plan->alive : plan, 0);
    }
    run_loops(&w, UR__AFTER);
    copy_exports(&w, false);
}
