/* tiles.c - runs elementwise programs tile by tile: all instructions on one tile before the next one, so that what goes
 * from one instruction to another stays in L1. Nothing is allocated. */
#include "worker.h"

/* ---- how a program walks */

/* Rows with gaps between them are copied together where they are shorter than this; a longer one is a tile by itself. */
enum { SHORT = UR__TILE / 2 };

static ur__walk *walk_of(const ur__worker *w, const ur__launch *l)
{
    return &w->walk[l - w->plan->launch - w->launch];
}

/* Do the rows of an operand lie apart? */
static bool has_gaps(const ur__launch *l, const ur__argument *a, const ur__cursor *c, const ur__walk *k)
{
    return a->spread == UR__FULL && l->batch && k->rows > 1 && c->row != k->columns;
}

static uint8_t move_of(const ur__argument *a, const ur__walk *k, bool gathers)
{
    switch ((ur__spread)a->spread) {
    case UR__ELEMENT:
        return a->tiled ? UR__STAYS : UR__SPREADS;
    case UR__ROW:
        return k->group > 1 && !a->written ? UR__SPREADS : UR__IN_ROW;
    case UR__COLUMN:
        return UR__REPEATS;
    default:
        return gathers ? UR__GATHERS : UR__FOLLOWS;
    }
}

/* Does a launch read and write its operands where they lie, all elements in one tile? Then its cursors say everything:
 * also that of an operand that stays, whose tile is written here. */
static bool is_in_place(const ur__worker *w, const ur__launch *l, ur__cursor *c, const ur__walk *k)
{
    const ur_plan *plan = w->plan;
    bool in_place = k->columns <= UR__TILE && k->rows <= k->group;
    for (uint32_t i = 0; i < l->operands; i++) {
        if (c[i].move == UR__STAYS) {
            c[i].at = w->tiles + plan->line[plan->argument[l->operand + i].ref.line].tile;
            c[i].step = 0;
        }
        in_place = in_place && c[i].at && c[i].move <= UR__IN_ROW;
    }
    return in_place;
}

/* Where all rows follow each other without gaps, they are one long row; where they can be made to, several of them are a
 * tile. */
void ur__bind_tiles(const ur__worker *w, const ur__launch *l)
{
    const ur__argument *a = &w->plan->argument[l->operand];
    ur__cursor *c = &w->cursor[l->operand - w->bound];
    ur__walk k = {.bound = w->columns, .rows = l->rows, .columns = l->batch ? w->columns : 1};
    bool flat = true, dense = true, gathers = false;
    for (uint32_t i = 0; i < l->operands; i++) {
        bool gaps = has_gaps(l, &a[i], &c[i], &k);
        dense = dense && !(gaps && (a[i].written || k.columns >= SHORT));
        flat = flat && (a[i].spread == UR__FULL || a[i].spread == UR__ELEMENT);
        gathers = gathers || gaps;
    }
    k.group = dense && k.columns < UR__TILE ? UR__TILE / k.columns : 1;
    k.group = k.group < k.rows ? k.group : k.rows;
    for (uint32_t i = 0; i < l->operands; i++)
        c[i].move = move_of(&a[i], &k, dense && has_gaps(l, &a[i], &c[i], &k));
    if (k.rows == 1 || (flat && dense && !gathers)) {
        k.columns *= k.rows;
        k.rows = k.group = 1;
    }
    k.in_place = is_in_place(w, l, c, &k);
    *walk_of(w, l) = k;
}

/* ---- a tile */

/* The constant, or the element that is in memory, n times. */
static void spread_element(const ur__worker *w, const ur__argument *a, size_t n, char *out)
{
    const ur_plan *plan = w->plan;
    const ur__kind *kind = ur__line_kind(plan, a->ref.line);
    if (kind->op == &ur_op_const) {
        double element;
        plan->kernels->from_f64(1, &element, ur__attr(plan->tape, kind));
        plan->kernels->fill(n, out, &element);
    } else {
        plan->kernels->fill(n, out, ur__view_of(w, &a->ref, false).at);
    }
}

void ur__fill_tiles(const ur__worker *w)
{
    const ur_plan *plan = w->plan;
    for (uint32_t l = 0; l < plan->program.lines && plan->tile_bytes > 0; l++)
        if (plan->line[l].tile != UR__NOWHERE)
            spread_element(w, &(ur__argument){.ref = {.line = l}}, UR__TILE, w->tiles + plan->line[l].tile);
}

/* A program at work. */
typedef struct run {
    const ur__worker *w;
    const ur__launch *l;
    const ur__argument *argument;
    const ur__cursor *cursor;
    const ur__walk *walk;
    ur__view *view;
    bool alive; /* the form of the program that reads no masks */
} run;

/* Looks where the operands are in this iteration, and gives operands and buffers the tiles that they need; what is the
 * same in every tile is written now. */
static void begin(const run *r)
{
    size_t e = ur__element_bytes(r->w->plan), bytes = UR__TILE * e, columns = r->walk->columns, group = r->walk->group;
    char *own = r->w->scratch, **at = r->w->at;
    for (uint32_t i = 0; i < r->l->operands; i++) {
        const ur__argument *a = &r->argument[i];
        if (r->alive && a->mask)
            continue;
        if (r->cursor[i].move == UR__STAYS) {
            at[i] = r->cursor[i].at;
            continue;
        }
        if (a->spread != UR__ELEMENT)
            r->view[i] = ur__argument_view(r->w, r->l, i);
        if (r->cursor[i].move <= UR__IN_ROW)
            continue;
        at[i] = own;
        own += bytes;
        if (a->spread == UR__ELEMENT)
            spread_element(r->w, a, group * columns < UR__TILE ? group * columns : UR__TILE, at[i]);
        else if (r->cursor[i].move == UR__SPREADS)
            ur__copy_rows(group, columns * e, at[i], columns * e, r->view[i].at, 0);
    }
    for (uint32_t i = 0; i < r->l->buffers; i++, own += bytes)
        at[r->l->operands + i] = own;
}

/* What `begin` and `aim` come to where a program is in place. */
static void aim_in_place(const run *r)
{
    const size_t bytes = UR__TILE * ur__element_bytes(r->w->plan);
    const ptrdiff_t i = r->w->i;
    char *own = r->w->scratch, **at = r->w->at;
    for (const ur__cursor *c = r->cursor, *end = c + r->l->operands; c < end; c++)
        *at++ = c->at + i * c->step;
    for (uint32_t k = 0; k < r->l->buffers; k++, own += bytes)
        *at++ = own;
}

/* Elements first..first+n-1 of [rows, columns], whose rows lie apart. Those of a block of one cache line are copied
 * without a call. */
static void gather(const ur__view *v, size_t e, size_t columns, size_t first, size_t n, char *to)
{
    size_t row = first / columns, column = first % columns;
    if (columns * e == UR__LINE && column == 0 && n % columns == 0) {
        for (const char *from = v->at + row * v->row * e; n; n -= columns, to += UR__LINE, from += v->row * e)
            memcpy(to, from, UR__LINE);
        return;
    }
    for (size_t count; n; n -= count, to += count * e, row++, column = 0) {
        count = columns - column < n ? columns - column : n;
        memcpy(to, v->at + (row * v->row + column) * e, count * e);
    }
}

/* Points the operands at n elements from column c of a row on. */
static void aim(const run *r, size_t row, size_t c, size_t n)
{
    const ur__kernels *kernels = r->w->plan->kernels;
    size_t e = ur__element_bytes(r->w->plan), columns = r->walk->columns, rows = n / columns;
    char **at = r->w->at;
    for (uint32_t i = 0; i < r->l->operands; i++) {
        const ur__view *v = &r->view[i];
        if (r->alive && r->argument[i].mask)
            continue;
        switch ((ur__move)r->cursor[i].move) {
        case UR__STAYS:
        case UR__SPREADS:
            break;
        case UR__FOLLOWS:
            at[i] = v->at + (row * v->row + c) * e;
            break;
        case UR__IN_ROW:
            at[i] = v->at + c * e;
            break;
        case UR__GATHERS:
            gather(v, e, columns, row * columns + c, n, at[i]);
            break;
        case UR__REPEATS:
            if (columns > UR__TILE)
                rows = 1;
            for (size_t q = 0; q < rows && c == 0; q++)
                kernels->fill(columns < UR__TILE ? columns : UR__TILE, at[i] + q * columns * e, v->at + (row + q) * e);
        }
    }
}

/* y = the sum of a tile's rows of so many columns, added to what y holds where it is not the first tile. */
static void sum_rows(const ur_plan *plan, size_t columns, size_t n, bool first, char *y, const char *a)
{
    if (columns > 1) {
        plan->kernels->sum_rows(n / columns, columns, y, a, !first);
        return;
    }
    if (first)
        memset(y, 0, ur__element_bytes(plan));
    plan->kernels->sum_to(n, y, a); /* a row is an element: the lanes go along them */
}

/* All instructions on n elements from row `row` on. */
static void run_tile(const run *r, size_t row, size_t n)
{
    const ur_plan *plan = r->w->plan;
    const ur__instruction *in = &plan->instruction[r->l->first + (r->alive ? r->l->count : 0)];
    const ur__instruction *end = in + (r->alive ? r->l->alive : r->l->count);
    ur__map_kernel *const *map = plan->kernels->map;
    const double *attr = plan->attr;
    char *const *at = r->w->at;
    for (; in < end; in++)
        if (in->kernel == UR__REDUCE)
            sum_rows(plan, n < r->walk->columns ? n : r->walk->columns, n, row == 0, at[in->y], at[in->a]);
        else
            map[in->kernel](n, at[in->y], at[in->a], at[in->b], at[in->c], attr + in->attr);
}

/* Are all columns at hand alive by this mask? */
static bool is_full(const ur__worker *w, const ur__ref *r)
{
    int32_t value = r->first + r->stride * (int32_t)w->i;
    return w->full[w->plan->line[r->line].full + (size_t)value] != 0;
}

static void run_tile_by_tile(run *r)
{
    r->view = (ur__view *)(void *)(r->w->at + r->w->plan->most_operands);
    begin(r);
    for (size_t row = 0; row < r->walk->rows; row += r->walk->group) {
        size_t rows = r->walk->rows - row < r->walk->group ? r->walk->rows - row : r->walk->group;
        for (size_t c = 0, n = rows * r->walk->columns, tile; c < n; c += tile) {
            tile = n - c < UR__TILE ? n - c : UR__TILE;
            aim(r, row, c, tile);
            run_tile(r, row, tile);
        }
    }
}

void ur__run_tiles(const ur__worker *w, const ur__launch *l)
{
    run r = {.w = w,
             .l = l,
             .argument = &w->plan->argument[l->operand],
             .cursor = &w->cursor[l->operand - w->bound],
             .walk = walk_of(w, l),
             .alive = l->alive > 0};
    for (uint32_t i = 0; i < l->operands && r.alive; i++)
        r.alive = !r.argument[i].mask || is_full(w, &r.argument[i].ref);
    if (!r.walk->in_place) {
        run_tile_by_tile(&r);
        return;
    }
    aim_in_place(&r);
    run_tile(&r, 0, r.walk->rows * r.walk->columns);
}
