/* tiles.c - runs elementwise programs tile by tile: all instructions on one tile before the next one, so that what goes
 * from one instruction to another stays in L1. Nothing is allocated. */
#include "worker.h"

/* ---- how a program walks */

/* Rows with gaps between them are copied together where they are shorter than this; a longer one is a tile by itself. */
enum { SHORT = 128 };

/* How an operand in memory fills [rows, columns]: a column that is spread over them is full. */
static ur__spread spread_of(const ur__argument *a)
{
    return a->tiled && a->spread == UR__COLUMN ? UR__FULL : (ur__spread)a->spread;
}

/* Do the rows of an operand lie apart? */
static bool has_gaps(const ur__launch *l, const ur__argument *a, const ur__cursor *c, const ur__walk *k)
{
    return spread_of(a) == UR__FULL && l->batch && k->rows > 1 && c->row != k->columns;
}

/* Is the operand one long row where all rows follow each other, or the same all along? Of one column, an element for each
 * row is a row, and a row is an element. */
static bool is_flat(const ur__argument *a, const ur__walk *k)
{
    const ur__spread spread = spread_of(a);
    return spread == UR__FULL || spread == UR__ELEMENT || spread == UR__PART ||
           (k->columns == 1 && (spread == UR__COLUMN || !a->written));
}

static uint8_t move_of(const ur__argument *a, const ur__walk *k, bool gathers)
{
    const bool one = k->columns == 1;
    switch (spread_of(a)) {
    case UR__ELEMENT:
        return a->tiled ? UR__STAYS : UR__FILLS;
    case UR__PART:
        return UR__STAYS;
    case UR__ROW:
        return k->group == 1 || a->written ? UR__IN_ROW : one ? UR__FILLS : UR__SPREADS;
    case UR__COLUMN:
        return one ? UR__FOLLOWS : UR__REPEATS;
    default:
        return gathers ? UR__GATHERS : UR__FOLLOWS;
    }
}

/* Sets how far each operand moves from tile to tile. Do all tiles read and write the operands where they lie? Then the
 * cursors say everything. */
static bool set_hops(const ur__worker *w, const ur__launch *l, ur__cursor *c, const ur__walk *k)
{
    const size_t e = ur__element_bytes(w->form);
    bool steady = k->rows == 1 || k->columns <= ur__tile(w->form);
    for (uint32_t i = 0; i < l->operands; i++) {
        if (c[i].move == UR__STAYS) {
            c[i].hop = 0;
        } else if (k->rows == 1) {
            c[i].hop = (ptrdiff_t)(k->tile * e);
        } else {
            c[i].hop = c[i].move == UR__FOLLOWS ? (ptrdiff_t)(k->group * c[i].row * e) : 0;
        }
        steady = steady && c[i].at && c[i].move <= UR__IN_ROW;
    }
    return steady;
}

/* The walk over [rows, columns] in tiles. Where all rows of what is read follow each other without gaps, they are one long
 * row; where they can be made to, several of them are a tile. */
void ur__bind_tiles(const ur__worker *w, const ur__launch *l)
{
    const ur__argument *a = &w->form->argument[l->operand];
    ur__cursor *c = &w->cursor[l->operand - w->bound];
    ur__walk k = *ur__walk_of(w, l);
    const size_t most = ur__tile(w->form);
    k.bound = w->columns;
    k.rows = l->rows;
    k.columns = l->batch ? w->columns : 1;
    k.next = UR_NONE;
    bool flat = true, dense = true, gathers = false;
    for (uint32_t i = 0; i < l->operands; i++) {
        bool gaps = has_gaps(l, &a[i], &c[i], &k);
        dense = dense && !(gaps && (a[i].written || k.columns >= SHORT));
        flat = flat && is_flat(&a[i], &k);
        gathers = gathers || gaps;
    }
    k.group = dense && k.columns < most ? most / k.columns : 1;
    k.group = k.group < k.rows ? k.group : k.rows;
    for (uint32_t i = 0; i < l->operands; i++)
        c[i].move = move_of(&a[i], &k, dense && has_gaps(l, &a[i], &c[i], &k));
    if (k.rows == 1 || (flat && dense && !gathers)) {
        k.columns *= k.rows;
        k.rows = k.group = 1;
    }
    const size_t own = k.group * k.columns, all = k.rows * k.columns;
    k.tile = own > 0 && own < most ? own : most;
    k.tiles = (all + k.tile - 1) / k.tile;
    k.last = all - (k.tiles - 1) * k.tile;
    k.steady = set_hops(w, l, c, &k);
    *ur__walk_of(w, l) = k;
}

/* ---- a tile */

/* The constant, or the element that is in memory, n times. */
static void spread_element(const ur__worker *w, const ur__argument *a, size_t n, char *out)
{
    const ur__form *form = w->form;
    const ur__kind *kind = ur__line_kind(form, a->ref.line);
    if (kind->op == &ur_op_const) {
        double element;
        form->kernels->from_f64(1, &element, ur__attr(form->tape, kind));
        form->kernels->fill(n, out, &element);
    } else {
        form->kernels->fill(n, out, ur__view_of(w, &a->ref, false).at);
    }
}

/* Element i of a column, all along row i. */
static void spread_column(const ur__worker *w, const ur__ref *r, size_t rows, size_t columns, char *to)
{
    const size_t e = ur__element_bytes(w->form);
    const char *from = ur__view_of(w, r, false).at;
    for (size_t i = 0; i < rows; i++)
        w->form->kernels->fill(columns, to + i * columns * e, from + i * e);
}

void ur__fill_tiles(ur__worker *w)
{
    const ur__form *form = w->form;
    for (uint32_t l = 0; l < form->program.lines && form->bytes[UR__AREA_TILES] > 0; l++) {
        const ur__argument a = {.ref = {.line = l}};
        char *tile = w->tiles + form->line[l].tile;
        if (form->line[l].tile == UR__NOWHERE)
            continue;
        if (form->line[l].rows == 1 || ur__line_kind(form, l)->op == &ur_op_const)
            spread_element(w, &a, ur__tile(form), tile);
        else
            spread_column(w, &a.ref, form->line[l].rows, w->all, tile);
    }
    w->filled = w->all;
}

/* A program at work. */
typedef struct run {
    const ur__worker *w;
    const ur__launch *l;
    const ur__argument *argument;
    const ur__cursor *cursor;
    ur__walk *walk;
    ur__view *view;
} run;

/* Looks where the operands are in this iteration, and gives operands and buffers the tiles that they need; what is the
 * same in every tile is written now. */
static void begin(const run *r)
{
    const size_t e = ur__element_bytes(r->w->form), most = ur__tile(r->w->form), bytes = most * e;
    const size_t columns = r->walk->columns, group = r->walk->group;
    const size_t tile = group * columns < most ? group * columns : most;
    char *own = r->w->scratch, **at = r->w->at;
    for (uint32_t i = 0; i < r->l->operands; i++) {
        const ur__argument *a = &r->argument[i];
        if (r->cursor[i].move == UR__STAYS) {
            at[i] = r->cursor[i].at + (ptrdiff_t)r->w->i * r->cursor[i].step;
            continue;
        }
        if (a->spread != UR__ELEMENT)
            r->view[i] = ur__argument_view(r->w, r->l, i);
        if (r->cursor[i].move <= UR__IN_ROW)
            continue;
        at[i] = own;
        own += bytes;
        if (a->spread == UR__ELEMENT)
            spread_element(r->w, a, tile, at[i]);
        else if (r->cursor[i].move == UR__FILLS)
            r->w->form->kernels->fill(tile, at[i], r->view[i].at);
        else if (r->cursor[i].move == UR__SPREADS)
            ur__copy_rows(group, columns * e, at[i], columns * e, r->view[i].at, 0);
    }
    for (uint32_t i = 0; i < r->l->buffers; i++, own += bytes)
        at[r->l->operands + i] = own;
}

/* Elements first..first+n-1 of [rows, columns], whose rows lie apart. Those of a narrow block of whole cache lines are
 * copied without a call; they are often far away, so the same ones of the next iteration, `step` bytes on, are sent for. */
static void gather(const ur__view *v, ptrdiff_t step, size_t e, size_t columns, size_t first, size_t n, char *to)
{
    size_t row = first / columns, column = first % columns;
    const size_t bytes = columns * e;
    if (bytes % UR__CACHE_LINE == 0 && bytes < SHORT * e && column == 0 && n % columns == 0) {
        for (const char *from = v->at + row * v->row * e; n; n -= columns, from += v->row * e)
            for (size_t line = 0; line < bytes; line += UR__CACHE_LINE, to += UR__CACHE_LINE) {
                __builtin_prefetch(from + line + step);
                memcpy(to, from + line, UR__CACHE_LINE);
            }
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
    const ur__kernels *kernels = r->w->form->kernels;
    size_t e = ur__element_bytes(r->w->form), columns = r->walk->columns, rows = n / columns;
    const size_t most = ur__tile(r->w->form);
    char **at = r->w->at;
    for (uint32_t i = 0; i < r->l->operands; i++) {
        const ur__view *v = &r->view[i];
        switch ((ur__move)r->cursor[i].move) {
        case UR__STAYS:
        case UR__FILLS:
        case UR__SPREADS:
            break;
        case UR__FOLLOWS:
            at[i] = v->at + (row * v->row + c) * e;
            break;
        case UR__IN_ROW:
            at[i] = v->at + c * e;
            break;
        case UR__GATHERS:
            gather(v, r->cursor[i].step, e, columns, row * columns + c, n, at[i]);
            break;
        case UR__REPEATS:
            if (columns > most)
                rows = 1;
            for (size_t q = 0; q < rows && c == 0; q++)
                kernels->fill(columns < most ? columns : most, at[i] + q * columns * e, v->at + (row + q) * e);
        }
    }
}

/* Does the instruction sum up rows, or all elements? */
static bool sums_up(const ur__instruction *i)
{
    return i->kernel == UR__REDUCE || i->kernel == UR__MEAN || i->kernel == UR__ADD_LANES ||
           i->kernel == UR__ADD_BCE_NET;
}

/* Which tiles of the same columns a tile is. */
typedef struct turn {
    bool first, last;
} turn;

/* The sums of every block += its columns of a tile. */
static void add_lanes(const run *r, size_t n, char *y, const char *a, double factor)
{
    const ur__form *form = r->w->form;
    const size_t row = r->walk->bound, width = row / r->w->blocks, e = ur__element_bytes(form);
    if (r->w->blocks == 1) {
        form->kernels->add_lanes(1, n, n, y, a, factor);
        return;
    }
    for (size_t b = 0; b < r->w->blocks; b++, y += form->parts_bytes, a += width * e)
        form->kernels->add_lanes(n / row, width, row, y, a, factor);
}

/* The block's sums += the cross-entropies of a tile. Blocks of one vector may be computed side by side, so that a tile has
 * fewer of each: there each element has a logarithm of its own, for results are not to depend on that. */
static void add_bce_net(const run *r, size_t n, char *const at[4])
{
    const ur__kernels *kernels = r->w->form->kernels;
    if (r->w->form->width > kernels->lanes) {
        kernels->add_bce_net(n, at[0], at[1], at[2], at[3]);
        return;
    }
    kernels->map[UR__BCE_NET_FROM](n, at[3], at[1], at[2], at[3], NULL);
    add_lanes(r, n, at[0], at[3], 1);
}

/* y = the sum of the rows of a in a tile, added to what y holds where it is not the first tile; at last times a factor. Or
 * y, two vectors of the block's sums, += all elements. */
static void sum_up(const run *r, uint32_t kernel, size_t n, turn t, char *const at[4], const double *factor)
{
    const ur__kernels *kernels = r->w->form->kernels;
    size_t columns = n < r->walk->columns ? n : r->walk->columns;
    char *y = at[0], *a = at[1];
    if (kernel == UR__ADD_LANES) {
        add_lanes(r, n, y, a, *factor);
        return;
    }
    if (kernel == UR__ADD_BCE_NET) {
        add_bce_net(r, n, at);
        return;
    }
    if (columns > 1) {
        kernels->sum_rows(n / columns, columns, y, a, (ptrdiff_t)columns, !t.first);
    } else {
        if (t.first)
            memset(y, 0, ur__element_bytes(r->w->form));
        kernels->sum_to(n, y, a); /* a row is an element: the lanes go along them */
    }
    if (t.last && *factor != 1)
        kernels->map[UR__SCALE](columns, y, y, NULL, NULL, factor);
}

/* The instructions, without sums over the batch in steps that run again later. */
static const ur__instruction *program_of(const run *r, uint32_t *count)
{
    *count = r->l->count - (r->w->advancing ? r->l->totals : 0);
    return &r->w->form->instruction[r->l->first];
}

/* All instructions on n elements. */
static void run_tile(const run *r, turn t, size_t n)
{
    const ur__form *form = r->w->form;
    uint32_t count;
    const ur__instruction *in = program_of(r, &count), *end = in + count;
    ur__map_kernel *const *map = form->kernels->map;
    const double *attr = form->attr;
    char *const *at = r->w->at;
    for (; in < end; in++)
        if (sums_up(in))
            sum_up(r, in->kernel, n, t, (char *[]){at[in->y], at[in->a], at[in->b], at[in->c]}, attr + in->attr);
        else
            map[in->kernel](n, at[in->y], at[in->a], at[in->b], at[in->c], attr + in->attr);
}

static void run_tile_by_tile(run *r)
{
    const size_t most = ur__tile(r->w->form);
    r->view = (ur__view *)(void *)(r->w->at + r->w->form->most_operands);
    begin(r);
    for (size_t row = 0; row < r->walk->rows; row += r->walk->group) {
        size_t rows = r->walk->rows - row < r->walk->group ? r->walk->rows - row : r->walk->group;
        for (size_t c = 0, n = rows * r->walk->columns, tile; c < n; c += tile) {
            tile = n - c < most ? n - c : most;
            aim(r, row, c, tile);
            run_tile(r, (turn){row == 0, row + rows == r->walk->rows}, tile);
        }
    }
}

/* ---- steady tiles */

/* Where operand or buffer number `number` lies in a tile of this iteration. */
static char *address_of(const run *r, uint32_t number, size_t tile)
{
    const uint32_t operands = r->l->operands;
    if (number >= operands)
        return r->w->scratch + (number - operands) * ur__tile(r->w->form) * ur__element_bytes(r->w->form);
    const ur__cursor *c = &r->cursor[number];
    return c->at + (ptrdiff_t)r->w->i * c->step + (ptrdiff_t)tile * c->hop;
}

/* Makes a call of an instruction, in the first tile of this iteration, which goes on by itself. */
static void make_call(const run *r, const ur__instruction *in, ur__call *call)
{
    const ur__form *form = r->w->form;
    const uint32_t number[] = {in->y, in->a, in->b, in->c};
    call->map = sums_up(in) ? NULL : form->kernels->map[in->kernel];
    call->kernel = in->kernel;
    call->attr = form->attr + in->attr;
    for (int k = 0; k < 4; k++) {
        const bool moves = number[k] < r->l->operands;
        const ur__cursor *c = &r->cursor[moves ? number[k] : 0];
        call->at[k] = address_of(r, number[k], 0);
        call->hop[0][k] = moves ? c->hop : 0;
        call->hop[1][k] = moves ? c->step - (ptrdiff_t)(r->walk->tiles - 1) * c->hop : 0;
    }
}

/* Of a walk over whole rows; one over a single row has other columns in every tile. */
static turn turn_of(const ur__walk *walk, size_t tile)
{
    return (turn){tile == 0 || walk->rows == 1, tile + 1 == walk->tiles || walk->rows == 1};
}

/* In a phase of one iteration. */
static void run_once(const run *r)
{
    const ur__form *form = r->w->form;
    const ur__walk *walk = r->walk;
    uint32_t count;
    const ur__instruction *in = program_of(r, &count), *end = in + count;
    for (size_t tile = 0; tile < walk->tiles; tile++) {
        const turn t = turn_of(walk, tile);
        const size_t n = tile + 1 < walk->tiles ? walk->tile : walk->last;
        for (const ur__instruction *i = in; i < end; i++) {
            char *const at[] = {address_of(r, i->y, tile), address_of(r, i->a, tile), address_of(r, i->b, tile),
                                address_of(r, i->c, tile)};
            if (sums_up(i))
                sum_up(r, i->kernel, n, t, at, form->attr + i->attr);
            else
                form->kernels->map[i->kernel](n, at[0], at[1], at[2], at[3], form->attr + i->attr);
        }
    }
}

/* All calls on all tiles of an iteration; they are aimed at the next one then. */
static void run_iteration(const run *r, ur__call *call, const ur__call *end)
{
    const ur__walk *walk = r->walk;
    for (size_t tile = 0; tile < walk->tiles; tile++) {
        const turn t = turn_of(walk, tile);
        const bool last = tile + 1 == walk->tiles;
        const size_t n = last ? walk->last : walk->tile;
        for (ur__call *c = call; c < end; c++) {
            if (c->map)
                c->map(n, c->at[0], c->at[1], c->at[2], c->at[3], c->attr);
            else
                sum_up(r, c->kernel, n, t, c->at, c->attr);
            for (int k = 0; k < 4; k++)
                c->at[k] += c->hop[last][k];
        }
    }
}

/* In a phase of several. Calls are made anew where this is not the iteration that they are aimed at. */
static void run_calls(const run *r, uint32_t iterations)
{
    ur__walk *walk = r->walk;
    ur__call *call = r->w->call + walk->first;
    uint32_t count;
    const ur__instruction *in = program_of(r, &count);
    if (walk->next != r->w->i)
        for (uint32_t k = 0; k < count; k++)
            make_call(r, &in[k], &call[k]);
    for (uint32_t i = 0; i < iterations; i++)
        run_iteration(r, call, call + count);
    walk->next = r->w->i + iterations;
}

/* ---- a launch */

void ur__run_tiles(const ur__worker *w, const ur__launch *l, uint32_t iterations)
{
    run r = {.w = w,
             .l = l,
             .argument = &w->form->argument[l->operand],
             .cursor = &w->cursor[l->operand - w->bound],
             .walk = ur__walk_of(w, l)};
    if (!r.walk->steady)
        run_tile_by_tile(&r);
    else if (r.walk->first == UR_NONE)
        run_once(&r);
    else
        run_calls(&r, iterations);
}
