/* layout.c - where the values of the lines lie, and how wide a block of the batch is.
 *
 * A line that is read within its iteration only has one slot, which lines of other loops use too. A line that another
 * iteration or loop reads, forward values that the adjoint needs, has a slot for each value; slots are an odd number of
 * cache lines apart, so that the values of many steps do not compete for the same places of the cache. Roots lie one
 * after another in the plan's memory, and the lines that compute them write them there where all values of a line are
 * roots at one distance. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* Adds to a total that may not exceed what can be addressed. */
static size_t place(size_t *total, size_t bytes)
{
    size_t at = *total;
    *total = bytes > SIZE_MAX / 4 || at > SIZE_MAX / 4 ? SIZE_MAX / 2 : at + bytes;
    return at;
}

static size_t value_bytes(const ur__form *form, uint32_t line)
{
    return ur__times(ur_shape_count(ur__line_shape(form, line)), ur__element_bytes(form));
}

/* Small values lie side by side, larger ones begin on a cache line. */
static size_t aligned(size_t bytes)
{
    return bytes < UR__CACHE_LINE ? ur__round_up(bytes, sizeof(double)) : ur__round_up(bytes, UR__CACHE_LINE);
}

/* ---- blocks */

/* Columns of a unit, one cache line: blocks begin at whole units. */
static size_t unit_columns(const ur__form *form)
{
    return UR__CACHE_LINE / ur__element_bytes(form);
}

/* The units that the batch takes; the last one may be incomplete. */
static size_t units(const ur__form *form)
{
    return form->batch > 0 ? ((size_t)form->batch + unit_columns(form) - 1) / unit_columns(form) : 1;
}

size_t ur__block_begin(const ur__form *form, size_t block)
{
    size_t batch = form->batch > 0 ? (size_t)form->batch : 1;
    return block < form->blocks ? block * units(form) / form->blocks * unit_columns(form) : batch;
}

/* Do the weights take more than 2 MiB? Then they come from L3 or from memory, and every column that reads them helps. */
static bool is_heavy(const ur__form *form)
{
    return form->tape->theta_count * ur__element_bytes(form) > 2097152;
}

/* Units of a block whose saved values take at most 0.7 MiB; more where launches would be on few elements, and more than
 * one where the weights are large. Cores with vectors of 64 bytes have 1 to 2 MiB of L2, and wait for what lies behind it;
 * others have less and bear it: there 8 MiB were the faster. */
static size_t units_of_block(const ur__form *form)
{
    size_t e = ur__element_bytes(form), unit = unit_columns(form), saved = 0, rows = 1;
    const size_t budget = 716800, most = form->kernels->lanes * e < 64 ? 8388608 : 1572864, elements = 4096;
    for (size_t l = 0; l < form->program.lines; l++) {
        const ur__line_plan *line = &form->line[l];
        if (line->class != UR__BATCH || form->program.line[l].loop == UR_NONE || !line->stored ||
            line->over.line != UR_NONE)
            continue;
        saved += line->rows * (line->carried && !line->overwritten ? form->program.line[l].values : 1) * e;
        rows = rows < line->rows ? line->rows : rows;
    }
    size_t least = is_heavy(form) ? 4 : 2, fit = saved ? budget / saved / unit : units(form);
    fit = fit < least ? least : fit;
    while (fit * unit * rows < elements && (fit + 1) * unit * saved <= most)
        fit++;
    return fit;
}

static void set_blocks(ur__form *form, size_t blocks, size_t abreast)
{
    form->blocks = blocks;
    form->abreast = abreast;
    form->width = 0;
    for (size_t b = 0; b < form->blocks; b++) {
        size_t columns = ur__block_begin(form, b + 1) - ur__block_begin(form, b);
        form->width = form->width < columns ? columns : form->width;
    }
}

/* Chooses the number of blocks; each has as many units as any other or one more. Where threads can gain from it, it is
 * even, so that two of them have one half each: one more, or one less where one more would leave blocks of one unit. From
 * shapes and the instruction set alone, so that results do not depend on the machine. */
static void choose_blocks(ur__form *form)
{
    size_t half = is_heavy(form) ? 32 : 16; /* columns: on fewer, products wait for their weights */
    size_t most = units(form) * unit_columns(form) / half, fit = units_of_block(form);
    form->blocks = form->one_block ? 1 : (units(form) + fit - 1) / fit;
    if (!form->one_block && form->blocks % 2 && (size_t)form->batch >= 2 * half && form->blocks < most &&
        ur__work(form) > (double)(form->blocks + 1) * UR__WORTH_A_THREAD)
        form->blocks = form->blocks > 1 && 2 * (form->blocks + 1) > units(form) ? form->blocks - 1 : form->blocks + 1;
}

/* Blocks of one vector, which two threads would have, are computed in pairs where one has both: a product of two vectors
 * takes less time than two of one, which wait for their weights. The sums of either are its own, so that results do not
 * depend on the threads. Not where a value of two would take more than 256 KiB: several have to be in L2. */
static size_t choose_abreast(const ur__form *form)
{
    const size_t unit = unit_columns(form), most = 2048;
    const bool whole = form->batch == (int64_t)(form->blocks * unit);
    for (size_t l = 0; l < form->program.lines; l++)
        if (form->line[l].class == UR__BATCH && form->line[l].stored && form->line[l].rows > most)
            return 1;
    return form->blocks > 1 && whole && form->kernels->lanes == unit ? 2 : 1;
}

/* ---- what the caller reads */

/* What is sorted: a pointer by itself looks to linters like a mistaken size. */
typedef struct sorted_export {
    ur__export *export;
} sorted_export;

/* Lets the line lie where its exports are, if all its values are exported, at one distance. */
static void place_at_exports(ur__form *form, uint32_t l, const sorted_export *of, size_t n)
{
    ur__line_plan *line = &form->line[l];
    if (n != form->program.line[l].values || line->class == UR__REDUCED)
        return;
    ptrdiff_t distance = n > 1 ? (ptrdiff_t)of[1].export->offset - (ptrdiff_t)of[0].export->offset : 0;
    for (size_t v = 0; v < n; v++)
        if (of[v].export->value != v ||
            (ptrdiff_t)of[v].export->offset != (ptrdiff_t)of[0].export->offset + (ptrdiff_t)v * distance)
            return;
    line->home = UR__IN_PLAN;
    line->offset = of[0].export->offset;
    line->slot_bytes = distance;
    line->slots = (uint32_t)n;
    for (size_t v = 0; v < n; v++)
        of[v].export->direct = true;
}

static int by_line(const void *a, const void *b)
{
    const ur__export *x = ((const sorted_export *)a)->export, *y = ((const sorted_export *)b)->export;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Places the exports, and the lines that can lie there. */
static bool place_exports(ur__form *form)
{
    ur_tape *tape = form->tape;
    size_t n = form->exports, bytes = n * sizeof(sorted_export);
    sorted_export *sorted = (sorted_export *)ur__take(tape, bytes);
    if (!sorted)
        return false;
    for (size_t i = 0; i < n; i++) {
        ur__export *e = &form->export[i];
        size_t count = ur__times(ur_shape_count(ur__shape(tape, e->node)), ur__element_bytes(form));
        e->offset = place(&form->bytes[UR__AREA_MEMORY], i < form->roots ? count : aligned(count));
        sorted[i].export = e;
        if (i + 1 == form->roots) {
            form->root_bytes = form->bytes[UR__AREA_MEMORY];
            form->bytes[UR__AREA_MEMORY] = ur__round_up(form->bytes[UR__AREA_MEMORY], UR__CACHE_LINE);
        }
    }
    qsort(sorted, n, sizeof *sorted, by_line);
    for (size_t i = 0, end; i < n; i = end) {
        uint32_t line = sorted[i].export->line;
        for (end = i + 1; end < n && sorted[end].export->line == line; end++)
            ;
        if (line != UR_NONE && form->program.line[line].loop != UR_NONE)
            place_at_exports(form, line, &sorted[i], end - i);
    }
    ur__give(tape, sorted, bytes);
    return true;
}

/* ---- lines */

static bool is_temporary(const ur__form *form, uint32_t l)
{
    const ur__line_plan *line = &form->line[l];
    return line->stored && !line->carried && line->home == UR__HOMELESS && line->time == UR__WITHIN &&
           line->class != UR__REDUCED;
}

static size_t block_value_bytes(const ur__form *form, const ur__line_plan *line)
{
    size_t columns = line->class == UR__BATCH ? form->width * form->abreast : 1;
    return ur__times(ur__times(line->rows, columns), ur__element_bytes(form));
}

/* A line and those stacked below it. */
static void place_stack(ur__form *form, uint32_t l, size_t *total)
{
    size_t bytes = 0, higher = 0, at = *total;
    for (uint32_t k = l; k != UR_NONE; k = form->line[k].below) {
        ur__line_plan *line = &form->line[k];
        line->home = UR__IN_BLOCK;
        line->slots = 1;
        line->offset = at;
        line->higher = higher;
        higher += line->rows;
        bytes += block_value_bytes(form, line);
    }
    place(total, aligned(bytes));
}

/* The temporaries of each loop, over those of the others. */
static bool place_temporaries(ur__form *form)
{
    const ur__program *p = &form->program;
    size_t bytes = p->loops * sizeof(size_t), most = form->bytes[UR__AREA_BLOCK];
    size_t *total = (size_t *)ur__take(form->tape, bytes);
    if (!total)
        return false;
    for (size_t l = 0; l < p->loops; l++)
        total[l] = form->bytes[UR__AREA_BLOCK];
    for (uint32_t l = 0; l < p->lines; l++)
        if (is_temporary(form, l) && form->line[l].above == UR_NONE) {
            place_stack(form, l, &total[p->line[l].loop]);
            most = most < total[p->line[l].loop] ? total[p->line[l].loop] : most;
        }
    form->bytes[UR__AREA_BLOCK] = most;
    ur__give(form->tape, total, bytes);
    return true;
}

static void place_line(ur__form *form, uint32_t l);

/* Where another line lay, which is placed first. */
static void place_over(ur__form *form, uint32_t l)
{
    ur__line_plan *line = &form->line[l];
    const ur__line_plan *under = &form->line[line->over.line];
    if (under->home == UR__HOMELESS)
        place_line(form, line->over.line);
    line->home = UR__IN_BLOCK;
    line->slots = form->program.line[l].values;
    line->slot_bytes = line->over.stride * under->slot_bytes;
    line->window = under->window;
    line->window_bytes = under->window_bytes;
    line->offset = under->offset + (size_t)(line->over.first * under->slot_bytes);
}

/* Slots for the steps of one segment, and for those of its neighbours that it reads. */
static void place_window(ur__form *form, uint32_t l, size_t bytes)
{
    const ur__line *own = &form->program.line[l];
    ur__line_plan *line = &form->line[l];
    int64_t tau = ur__tau(form, own->loop, own->begin);
    line->window = place(&form->bytes[UR__AREA_BLOCK], ur__times(bytes, form->length + 2 * form->halo));
    line->window_bytes = bytes;
    line->slot_bytes = (ptrdiff_t)(form->program.loop[own->loop].direction * form->direction) * (ptrdiff_t)bytes;
    line->offset = line->window + (size_t)(tau + (int64_t)form->halo) * bytes;
}

static void place_line(ur__form *form, uint32_t l)
{
    ur__line_plan *line = &form->line[l];
    const ur_op *op = ur__line_kind(form, l)->op;
    uint32_t values = form->program.line[l].values;
    if (op == &ur_op_input || op == &ur_op_param) {
        line->home = UR__IN_LEAF;
    } else if (op == &ur_op_const) {
        line->home = line->stored ? UR__IN_PLAN : UR__IN_CONST;
        line->slots = 1;
        line->offset = line->stored ? place(&form->bytes[UR__AREA_MEMORY], aligned(value_bytes(form, l))) : 0;
    } else if (line->over.line != UR_NONE) {
        place_over(form, l);
    } else if (line->stored && !line->deferred && line->home == UR__HOMELESS) {
        bool block = line->time == UR__WITHIN && line->class != UR__REDUCED;
        size_t bytes = aligned(block ? block_value_bytes(form, line) : value_bytes(form, l));
        if (bytes >= UR__CACHE_LINE && values > 1 && bytes / UR__CACHE_LINE % 2 == 0)
            bytes += UR__CACHE_LINE;
        line->slots = (line->carried && !line->overwritten) || line->class == UR__REDUCED ? values : 1;
        line->slot_bytes = (ptrdiff_t)bytes;
        line->home = block ? UR__IN_BLOCK : UR__IN_PLAN;
        if (line->windowed && form->segments > 1)
            place_window(form, l, bytes);
        else
            line->offset = place(block ? &form->bytes[UR__AREA_BLOCK] : &form->bytes[UR__AREA_MEMORY],
                                 ur__times(bytes, line->slots));
    }
}

/* The distance of rows in memory. */
static void find_row(ur__form *form, uint32_t l)
{
    ur__line_plan *line = &form->line[l];
    ur_shape shape = ur__line_shape(form, l);
    line->row = shape.rank > 1 ? (size_t)shape.size[shape.rank - 1] : 1;
    line->wide = shape.rank > 1 && shape.size[shape.rank - 1] == form->batch;
}

/* Does a launch add its operand number k to the block's sums? */
static bool is_part(const ur__form *form, const ur__launch *l, uint32_t k)
{
    return l->kind == UR__POINTWISE ? form->argument[l->operand + k].spread == UR__PART
                                    : (l->kind == UR__ADD_UP || l->kind == UR__CONTRACT) && k < l->outputs;
}

/* How the form makes its sums. */
static void find_sums(ur__form *form)
{
    for (size_t i = 0; i < form->launches; i++) {
        const ur__launch *l = &form->launch[i];
        for (uint32_t k = 0; k < l->operands; k++) {
            const uint32_t number = form->argument[l->operand + k].ref.line;
            ur__line_plan *line = &form->line[number];
            if (!is_part(form, l, k))
                continue;
            bool written = line->sum == UR__UNSUMMED && l->kind == UR__CONTRACT && l->count > 0 &&
                           form->segments == 1 && line->rows > 1 && form->program.line[number].values == 1;
            line->sum = written ? UR__WRITTEN : UR__ADDED;
        }
    }
}

/* Where the parts of sums over the batch are, of both forms in one place, for either may compute a block. */
static void place_parts(ur__form *form, ur__form *alive)
{
    find_sums(form);
    if (alive)
        find_sums(alive);
    for (uint32_t l = 0; l < form->program.lines; l++) {
        ur__line_plan *line = &form->line[l], *other = alive ? &alive->line[l] : line;
        if (line->sum != other->sum)
            line->sum = other->sum = UR__ADDED;
        if (line->sum != UR__UNSUMMED)
            line->part = other->part = place(line->sum == UR__WRITTEN ? &form->written_bytes : &form->parts_bytes,
                                             aligned(ur__times(ur__part_bytes(form, l), form->program.line[l].values)));
    }
    form->parts_bytes = ur__round_up(form->parts_bytes, UR__CACHE_LINE);
    form->written_bytes = ur__round_up(form->written_bytes, UR__CACHE_LINE);
}

/* Does the line have one value, which is there before the blocks? */
static bool is_fixed(const ur__form *form, const ur__ref *r)
{
    const ur__line_plan *line = &form->line[r->line];
    return r->stride == 0 && line->class == UR__ONCE && line->time == UR__BEFORE &&
           form->program.line[r->line].values == 1;
}

/* A column is spread over a block's columns where it takes no more bytes then: they are to stay in the first cache. */
enum { SPREAD_BYTES = 16384 };

/* The bytes of a fixed operand as its readers see it: one element fills a tile, a column of elements all columns of a
 * block. 0: it is read where it lies. */
static size_t spread_bytes(const ur__form *form, const ur__argument *a)
{
    const size_t e = ur__element_bytes(form), columns = form->width * form->abreast, row = columns * e;
    const size_t rows = form->line[a->ref.line].rows;
    if (!is_fixed(form, &a->ref))
        return 0;
    if (a->spread == UR__ELEMENT)
        return ur__tile(form) * e;
    return a->spread == UR__COLUMN && columns > 1 && rows <= SPREAD_BYTES / row ? aligned(rows * row) : 0;
}

/* Gives tiles to what the launches of `form` read again and again, in the memory that `first` has. */
static void place_tiles(ur__form *form, ur__form *first)
{
    const ur__program *p = &form->program;
    for (size_t f = 0; f < p->phases; f++) {
        const ur__span *span = &form->span[UR__WITHIN * p->phases + f];
        bool again = p->phase[f].end - p->phase[f].begin > 1;
        for (const ur__launch *l = form->launch + span->first; again && l < form->launch + span->first + span->count;
             l++)
            for (uint32_t k = 0; k < l->operands && l->kind == UR__POINTWISE; k++) {
                ur__argument *a = &form->argument[l->operand + k];
                size_t *tile = &form->line[a->ref.line].tile, bytes = spread_bytes(form, a);
                a->tiled = bytes > 0;
                if (a->tiled && *tile == UR__NOWHERE)
                    *tile = place(&first->bytes[UR__AREA_TILES], bytes);
            }
    }
    form->bytes[UR__AREA_TILES] = first->bytes[UR__AREA_TILES];
}

static void place_lines(ur__form *form)
{
    for (uint32_t l = 0; l < form->program.lines; l++)
        if (!is_temporary(form, l) && form->line[l].home == UR__HOMELESS)
            place_line(form, l);
    form->bytes[UR__AREA_BLOCK] = ur__round_up(form->bytes[UR__AREA_BLOCK], UR__CACHE_LINE);
}

/* Room for what goes from one segment into the next. */
static void place_checkpoints(ur__form *form)
{
    form->checkpoint_bytes = 0;
    for (uint32_t l = 0; l < form->program.lines && form->segments > 1; l++)
        if (form->line[l].restored)
            form->checkpoint_bytes += ur__restored_bytes(form, &form->line[l]);
    form->checkpoint = place(&form->bytes[UR__AREA_BLOCK], ur__times(form->checkpoint_bytes + sizeof(size_t),
                                                                     form->segments > 1 ? form->checkpoints : 0));
}

/* What lies in a block. */
static bool place_block(ur__form *form)
{
    place_lines(form);
    if (!place_temporaries(form))
        return false;
    place_checkpoints(form);
    return true;
}

/* What tells which columns last. */
static void place_active(ur__form *form)
{
    if (form->ends)
        form->bytes[UR__AREA_ACTIVE] =
            ur__round_up(form->program.line[form->mask].values * sizeof(uint32_t), UR__CACHE_LINE);
}

static void find_rows(ur__form *form)
{
    for (uint32_t l = 0; l < form->program.lines; l++)
        find_row(form, l);
}

/* As it was before the first layout. */
static void reset(ur__form *form)
{
    for (size_t l = 0; l < form->program.lines; l++) {
        form->line[l].home = UR__HOMELESS;
        form->line[l].tile = UR__NOWHERE;
        form->line[l].sum = UR__UNSUMMED;
        form->line[l].offset = 0;
        form->line[l].slots = 0;
        form->line[l].slot_bytes = 0;
        form->line[l].window_bytes = 0;
    }
    for (size_t i = 0; i < form->exports; i++)
        form->export[i].direct = false;
    memset(form->bytes, 0, sizeof form->bytes);
    form->parts_bytes = form->written_bytes = 0;
}

/* The other form: its lines lie where they like in a block, elsewhere where those of the first form do. */
static bool lay_out_alive(ur__form *alive, ur__form *masked)
{
    set_blocks(alive, masked->blocks, masked->abreast);
    for (uint32_t l = 0; l < masked->program.lines; l++) {
        ur__line_plan *line = &alive->line[l];
        const ur__line_plan *own = &masked->line[l];
        if (own->home == UR__HOMELESS || own->home == UR__IN_BLOCK)
            continue;
        line->home = own->home;
        line->offset = own->offset;
        line->slots = own->slots;
        line->slot_bytes = own->slot_bytes;
    }
    place_tiles(alive, masked);
    if (!place_block(alive))
        return false;
    find_rows(alive);
    const size_t bytes = alive->bytes[UR__AREA_BLOCK];
    masked->bytes[UR__AREA_BLOCK] = masked->bytes[UR__AREA_BLOCK] < bytes ? bytes : masked->bytes[UR__AREA_BLOCK];
    return true;
}

size_t ur__more_blocks(const ur_plan *plan)
{
    const ur__form *form = &plan->form;
    size_t all = units(form), each = (all + form->blocks - 1) / form->blocks, less = each / 8 ? each / 8 : 1;
    if (form->abreast > 1)
        return form->blocks;
    return form->one_block || each < 2 ? 0 : (all + each - less - 1) / (each - less);
}

bool ur__layout(ur_plan *plan, size_t blocks)
{
    ur__form *form = &plan->form, *alive = plan->alive, *usual = alive ? alive : form;
    reset(form);
    reset(usual);
    choose_blocks(usual);
    form->blocks = usual->blocks;
    set_blocks(form, blocks ? blocks : form->blocks, blocks ? 1 : choose_abreast(form));
    ur__place_packed(usual, NULL);
    if (alive)
        ur__place_packed(form, alive);
    if (!place_exports(form) || !place_block(form))
        return false;
    place_active(form);
    place_tiles(form, form);
    find_rows(form);
    if (alive && !lay_out_alive(alive, form))
        return false;
    place_parts(form, alive);
    form->bytes[UR__AREA_MEMORY] = ur__round_up(form->bytes[UR__AREA_MEMORY], UR__CACHE_LINE);
    form->bytes[UR__AREA_BLOCK] = ur__round_up(form->bytes[UR__AREA_BLOCK], UR__CACHE_LINE);
    return (form->bytes[UR__AREA_MEMORY] < SIZE_MAX / 4 && form->bytes[UR__AREA_BLOCK] < SIZE_MAX / 4) ||
           ur__fail(&form->tape->error, "ur_plan_new: the values take more memory than can be addressed");
}
