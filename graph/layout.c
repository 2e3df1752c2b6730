/* layout.c - where the values of the lines lie, and how wide a block of the batch is.
 *
 * A line that is read within its iteration only has one slot, which lines of other loops use too. A line that another
 * iteration or loop reads, forward values that the adjoint needs, has a slot for each value; slots are an odd number of
 * cache lines apart, so that the values of many steps do not compete for the same places of the cache. Roots lie one
 * after another in the plan's memory, and the lines that compute them write them there where all values of a line are
 * roots at one distance. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/* Adds to a total that may not exceed what can be addressed. */
static size_t place(size_t *total, size_t bytes)
{
    size_t at = *total;
    *total = bytes > SIZE_MAX / 4 || at > SIZE_MAX / 4 ? SIZE_MAX / 2 : at + bytes;
    return at;
}

static size_t value_bytes(const ur_plan *plan, uint32_t line)
{
    return ur__times(ur_shape_count(ur__line_shape(plan, line)), ur__element_bytes(plan));
}

/* Small values lie side by side, larger ones begin on a cache line. */
static size_t aligned(size_t bytes)
{
    return bytes < UR__CACHE_LINE ? ur__round_up(bytes, sizeof(double)) : ur__round_up(bytes, UR__CACHE_LINE);
}

/* ---- blocks */

/* Columns of a unit, one cache line: blocks begin at whole units. */
static size_t unit_columns(const ur_plan *plan)
{
    return UR__CACHE_LINE / ur__element_bytes(plan);
}

/* The units that the batch takes; the last one may be incomplete. */
static size_t units(const ur_plan *plan)
{
    return plan->batch > 0 ? ((size_t)plan->batch + unit_columns(plan) - 1) / unit_columns(plan) : 1;
}

size_t ur__block_begin(const ur_plan *plan, size_t block)
{
    size_t batch = plan->batch > 0 ? (size_t)plan->batch : 1;
    return block < plan->blocks ? block * units(plan) / plan->blocks * unit_columns(plan) : batch;
}

/* Do the weights take more than 2 MiB? Then they come from L3 or from memory, and every column that reads them helps. */
static bool is_heavy(const ur_plan *plan)
{
    return plan->tape->theta_count * ur__element_bytes(plan) > 2097152;
}

/* Units of a block whose saved values take at most 0.7 MiB; more where launches would be on few elements, and more than
 * one where the weights are large. Cores with vectors of 64 bytes have 1 to 2 MiB of L2, and wait for what lies behind it;
 * others have less and bear it: there 8 MiB were the faster. */
static size_t units_of_block(const ur_plan *plan)
{
    size_t e = ur__element_bytes(plan), unit = unit_columns(plan), saved = 0, rows = 1;
    const size_t budget = 716800, most = plan->kernels->lanes * e < 64 ? 8388608 : 1572864, elements = 4096;
    for (size_t l = 0; l < plan->program.lines; l++) {
        const ur__line_plan *line = &plan->line[l];
        if (line->class != UR__BATCH || plan->program.line[l].loop == UR_NONE || !line->stored ||
            line->over.line != UR_NONE)
            continue;
        saved += line->rows * (line->carried && !line->overwritten ? plan->program.line[l].values : 1) * e;
        rows = rows < line->rows ? line->rows : rows;
    }
    size_t least = is_heavy(plan) ? 4 : 2, fit = saved ? budget / saved / unit : units(plan);
    fit = fit < least ? least : fit;
    while (fit * unit * rows < elements && (fit + 1) * unit * saved <= most)
        fit++;
    return fit;
}

static void set_blocks(ur_plan *plan, size_t blocks, size_t abreast)
{
    plan->blocks = blocks;
    plan->abreast = abreast;
    plan->width = 0;
    for (size_t b = 0; b < plan->blocks; b++) {
        size_t columns = ur__block_begin(plan, b + 1) - ur__block_begin(plan, b);
        plan->width = plan->width < columns ? columns : plan->width;
    }
}

/* Chooses the number of blocks; each has as many units as any other or one more. Where threads can gain from it, it is
 * even, so that two of them have one half each: one more, or one less where one more would leave blocks of one unit. From
 * shapes and the instruction set alone, so that results do not depend on the machine. */
static void choose_blocks(ur_plan *plan)
{
    size_t half = is_heavy(plan) ? 32 : 16; /* columns: on fewer, products wait for their weights */
    size_t most = units(plan) * unit_columns(plan) / half, fit = units_of_block(plan);
    plan->blocks = plan->one_block ? 1 : (units(plan) + fit - 1) / fit;
    if (!plan->one_block && plan->blocks % 2 && (size_t)plan->batch >= 2 * half && plan->blocks < most &&
        ur__work(plan) > (double)(plan->blocks + 1) * UR__WORTH_A_THREAD)
        plan->blocks = plan->blocks > 1 && 2 * (plan->blocks + 1) > units(plan) ? plan->blocks - 1 : plan->blocks + 1;
}

/* Blocks of one vector, which two threads would have, are computed in pairs where one has both: a product of two vectors
 * takes less time than two of one, which wait for their weights. The sums of either are its own, so that results do not
 * depend on the threads. Not where a value of two would take more than 256 KiB: several have to be in L2. */
static size_t choose_abreast(const ur_plan *plan)
{
    const size_t unit = unit_columns(plan), most = 2048;
    const bool whole = plan->batch == (int64_t)(plan->blocks * unit);
    for (size_t l = 0; l < plan->program.lines; l++)
        if (plan->line[l].class == UR__BATCH && plan->line[l].stored && plan->line[l].rows > most)
            return 1;
    return plan->blocks > 1 && whole && plan->kernels->lanes == unit ? 2 : 1;
}

/* ---- what the caller reads */

/* What is sorted: a pointer by itself looks to linters like a mistaken size. */
typedef struct sorted_export {
    ur__export *export;
} sorted_export;

/* Lets the line lie where its exports are, if all its values are exported, at one distance. */
static void place_at_exports(ur_plan *plan, uint32_t l, const sorted_export *of, size_t n)
{
    ur__line_plan *line = &plan->line[l];
    if (n != plan->program.line[l].values || line->class == UR__REDUCED)
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
static bool place_exports(ur_plan *plan)
{
    ur_tape *tape = plan->tape;
    size_t n = plan->exports, bytes = n * sizeof(sorted_export);
    sorted_export *sorted = (sorted_export *)ur__take(tape, bytes);
    if (!sorted)
        return false;
    for (size_t i = 0; i < n; i++) {
        ur__export *e = &plan->export[i];
        size_t count = ur__times(ur_shape_count(ur__shape(tape, e->node)), ur__element_bytes(plan));
        e->offset = place(&plan->bytes[UR__AREA_MEMORY], i < plan->roots ? count : aligned(count));
        sorted[i].export = e;
        if (i + 1 == plan->roots) {
            plan->root_bytes = plan->bytes[UR__AREA_MEMORY];
            plan->bytes[UR__AREA_MEMORY] = ur__round_up(plan->bytes[UR__AREA_MEMORY], UR__CACHE_LINE);
        }
    }
    qsort(sorted, n, sizeof *sorted, by_line);
    for (size_t i = 0, end; i < n; i = end) {
        uint32_t line = sorted[i].export->line;
        for (end = i + 1; end < n && sorted[end].export->line == line; end++)
            ;
        if (line != UR_NONE && plan->program.line[line].loop != UR_NONE)
            place_at_exports(plan, line, &sorted[i], end - i);
    }
    ur__give(tape, sorted, bytes);
    return true;
}

/* ---- lines */

static bool is_temporary(const ur_plan *plan, uint32_t l)
{
    const ur__line_plan *line = &plan->line[l];
    return line->stored && !line->carried && line->home == UR__HOMELESS && line->time == UR__WITHIN &&
           line->class != UR__REDUCED;
}

static size_t block_value_bytes(const ur_plan *plan, const ur__line_plan *line)
{
    size_t columns = line->class == UR__BATCH ? plan->width * plan->abreast : 1;
    return ur__times(ur__times(line->rows, columns), ur__element_bytes(plan));
}

/* A line and those stacked below it. */
static void place_stack(ur_plan *plan, uint32_t l, size_t *total)
{
    size_t bytes = 0, higher = 0, at = *total;
    for (uint32_t k = l; k != UR_NONE; k = plan->line[k].below) {
        ur__line_plan *line = &plan->line[k];
        line->home = UR__IN_BLOCK;
        line->slots = 1;
        line->offset = at;
        line->higher = higher;
        higher += line->rows;
        bytes += block_value_bytes(plan, line);
    }
    place(total, aligned(bytes));
}

/* The temporaries of each loop, over those of the others. */
static bool place_temporaries(ur_plan *plan)
{
    const ur__program *p = &plan->program;
    size_t bytes = p->loops * sizeof(size_t), most = plan->bytes[UR__AREA_BLOCK];
    size_t *total = (size_t *)ur__take(plan->tape, bytes);
    if (!total)
        return false;
    for (size_t l = 0; l < p->loops; l++)
        total[l] = plan->bytes[UR__AREA_BLOCK];
    for (uint32_t l = 0; l < p->lines; l++)
        if (is_temporary(plan, l) && plan->line[l].above == UR_NONE) {
            place_stack(plan, l, &total[p->line[l].loop]);
            most = most < total[p->line[l].loop] ? total[p->line[l].loop] : most;
        }
    plan->bytes[UR__AREA_BLOCK] = most;
    ur__give(plan->tape, total, bytes);
    return true;
}

static void place_line(ur_plan *plan, uint32_t l);

/* Where another line lay, which is placed first. */
static void place_over(ur_plan *plan, uint32_t l)
{
    ur__line_plan *line = &plan->line[l];
    const ur__line_plan *under = &plan->line[line->over.line];
    if (under->home == UR__HOMELESS)
        place_line(plan, line->over.line);
    line->home = UR__IN_BLOCK;
    line->slots = plan->program.line[l].values;
    line->slot_bytes = line->over.stride * under->slot_bytes;
    line->window = under->window;
    line->window_bytes = under->window_bytes;
    line->offset = under->offset + (size_t)(line->over.first * under->slot_bytes);
}

/* Slots for the steps of one segment, and for those of its neighbours that it reads. */
static void place_window(ur_plan *plan, uint32_t l, size_t bytes)
{
    const ur__line *own = &plan->program.line[l];
    ur__line_plan *line = &plan->line[l];
    int64_t tau = ur__tau(plan, own->loop, own->begin);
    line->window = place(&plan->bytes[UR__AREA_BLOCK], ur__times(bytes, plan->length + 2 * plan->halo));
    line->window_bytes = bytes;
    line->slot_bytes = (ptrdiff_t)(plan->program.loop[own->loop].direction * plan->direction) * (ptrdiff_t)bytes;
    line->offset = line->window + (size_t)(tau + (int64_t)plan->halo) * bytes;
}

static void place_line(ur_plan *plan, uint32_t l)
{
    ur__line_plan *line = &plan->line[l];
    const ur_op *op = ur__line_kind(plan, l)->op;
    uint32_t values = plan->program.line[l].values;
    if (op == &ur_op_input || op == &ur_op_param) {
        line->home = UR__IN_LEAF;
    } else if (op == &ur_op_const) {
        line->home = line->stored ? UR__IN_PLAN : UR__IN_CONST;
        line->slots = 1;
        line->offset = line->stored ? place(&plan->bytes[UR__AREA_MEMORY], aligned(value_bytes(plan, l))) : 0;
    } else if (line->over.line != UR_NONE) {
        place_over(plan, l);
    } else if (line->stored && !line->deferred && line->home == UR__HOMELESS) {
        bool block = line->time == UR__WITHIN && line->class != UR__REDUCED;
        size_t bytes = aligned(block ? block_value_bytes(plan, line) : value_bytes(plan, l));
        if (bytes >= UR__CACHE_LINE && values > 1 && bytes / UR__CACHE_LINE % 2 == 0)
            bytes += UR__CACHE_LINE;
        line->slots = (line->carried && !line->overwritten) || line->class == UR__REDUCED ? values : 1;
        line->slot_bytes = (ptrdiff_t)bytes;
        line->home = block ? UR__IN_BLOCK : UR__IN_PLAN;
        if (line->windowed && plan->segments > 1)
            place_window(plan, l, bytes);
        else
            line->offset = place(block ? &plan->bytes[UR__AREA_BLOCK] : &plan->bytes[UR__AREA_MEMORY],
                                 ur__times(bytes, line->slots));
    }
}

/* The distance of rows in memory. */
static void find_row(ur_plan *plan, uint32_t l)
{
    ur__line_plan *line = &plan->line[l];
    ur_shape shape = ur__line_shape(plan, l);
    line->row = shape.rank > 1 ? (size_t)shape.size[shape.rank - 1] : 1;
    line->wide = shape.rank > 1 && shape.size[shape.rank - 1] == plan->batch;
}

/* Does a launch add its operand number k to the block's sums? */
static bool is_part(const ur_plan *plan, const ur__launch *l, uint32_t k)
{
    return l->kind == UR__POINTWISE ? plan->argument[l->operand + k].spread == UR__PART
                                    : (l->kind == UR__ADD_UP || l->kind == UR__CONTRACT) && k < l->outputs;
}

/* Where the parts of sums over the batch are; `form` has launches, `plan` the memory. */
static void place_parts(ur_plan *form, ur_plan *plan)
{
    for (size_t i = 0; i < form->launches; i++) {
        const ur__launch *l = &form->launch[i];
        for (uint32_t k = 0; k < l->operands; k++) {
            uint32_t line = form->argument[l->operand + k].ref.line;
            size_t *part = &plan->line[line].part;
            if (!is_part(form, l, k))
                continue;
            if (*part == UR__NOWHERE)
                *part = place(&plan->parts_bytes,
                              aligned(ur__times(ur__part_bytes(plan, line), plan->program.line[line].values)));
            form->line[line].part = *part;
        }
    }
}

/* Does the line have one value, which is there before the blocks? */
static bool is_fixed(const ur_plan *plan, const ur__ref *r)
{
    const ur__line_plan *line = &plan->line[r->line];
    return r->stride == 0 && line->class == UR__ONCE && line->time == UR__BEFORE &&
           plan->program.line[r->line].values == 1;
}

/* A column is spread over a block's columns where it takes no more bytes then: they are to stay in the first cache. */
enum { SPREAD_BYTES = 16384 };

/* The bytes of a fixed operand as its readers see it: one element fills a tile, a column of elements all columns of a
 * block. 0: it is read where it lies. */
static size_t spread_bytes(const ur_plan *form, const ur_plan *plan, const ur__argument *a)
{
    const size_t e = ur__element_bytes(plan), columns = plan->width * plan->abreast, row = columns * e;
    const size_t rows = form->line[a->ref.line].rows;
    if (!is_fixed(form, &a->ref))
        return 0;
    if (a->spread == UR__ELEMENT)
        return ur__tile(plan) * e;
    return a->spread == UR__COLUMN && columns > 1 && rows <= SPREAD_BYTES / row ? aligned(rows * row) : 0;
}

/* Gives tiles to what the launches of `form` read again and again; they lie in the memory of `plan`. */
static void place_tiles(ur_plan *form, ur_plan *plan)
{
    const ur__program *p = &form->program;
    for (size_t f = 0; f < p->phases; f++) {
        const ur__span *span = &form->span[UR__WITHIN * p->phases + f];
        bool again = p->phase[f].end - p->phase[f].begin > 1;
        for (const ur__launch *l = form->launch + span->first; again && l < form->launch + span->first + span->count;
             l++)
            for (uint32_t k = 0; k < l->operands && l->kind == UR__POINTWISE; k++) {
                ur__argument *a = &form->argument[l->operand + k];
                size_t *tile = &form->line[a->ref.line].tile, bytes = spread_bytes(form, plan, a);
                a->tiled = bytes > 0;
                if (a->tiled && *tile == UR__NOWHERE)
                    *tile = place(&plan->bytes[UR__AREA_TILES], bytes);
            }
    }
    form->bytes[UR__AREA_TILES] = plan->bytes[UR__AREA_TILES];
}

static void place_lines(ur_plan *plan)
{
    for (uint32_t l = 0; l < plan->program.lines; l++)
        if (!is_temporary(plan, l) && plan->line[l].home == UR__HOMELESS)
            place_line(plan, l);
    plan->bytes[UR__AREA_BLOCK] = ur__round_up(plan->bytes[UR__AREA_BLOCK], UR__CACHE_LINE);
}

/* Room for what goes from one segment into the next. */
static void place_checkpoints(ur_plan *plan)
{
    plan->checkpoint_bytes = 0;
    for (uint32_t l = 0; l < plan->program.lines && plan->segments > 1; l++)
        if (plan->line[l].restored)
            plan->checkpoint_bytes += ur__restored_bytes(plan, &plan->line[l]);
    plan->checkpoint = place(&plan->bytes[UR__AREA_BLOCK], ur__times(plan->checkpoint_bytes + sizeof(size_t),
                                                                     plan->segments > 1 ? plan->checkpoints : 0));
}

/* Lines of the block lie where they like, the others where they lie for the plan itself. */
static bool layout_alive(ur_plan *alive, const ur_plan *plan)
{
    for (uint32_t l = 0; l < plan->program.lines; l++) {
        ur__line_plan *line = &alive->line[l];
        const ur__line_plan *own = &plan->line[l];
        if (own->home == UR__HOMELESS || own->home == UR__IN_BLOCK)
            continue;
        line->home = own->home;
        line->offset = own->offset;
        line->slots = own->slots;
        line->slot_bytes = own->slot_bytes;
    }
    place_lines(alive);
    if (!place_temporaries(alive))
        return false;
    place_checkpoints(alive);
    return true;
}

/* The flags and numbers are those of either form. */
static void place_masks(ur_plan *plan)
{
    ur_plan *alive = plan->alive;
    for (uint32_t l = 0; l < plan->program.lines; l++) {
        if (plan->line[l].mask)
            plan->line[l].full = place(&plan->bytes[UR__AREA_FLAGS], plan->program.line[l].values);
        if (alive)
            alive->line[l].full = plan->line[l].full;
    }
    plan->bytes[UR__AREA_FLAGS] = ur__round_up(plan->bytes[UR__AREA_FLAGS], UR__CACHE_LINE);
    plan->active = plan->bytes[UR__AREA_FLAGS];
    if (plan->ends)
        place(&plan->bytes[UR__AREA_FLAGS],
              ur__round_up(plan->program.line[plan->mask].values * sizeof(uint32_t), UR__CACHE_LINE));
    if (alive)
        alive->active = plan->active;
}

/* As it was before the first layout. */
static void reset(ur_plan *plan)
{
    for (size_t l = 0; l < plan->program.lines; l++) {
        plan->line[l].home = UR__HOMELESS;
        plan->line[l].part = plan->line[l].tile = UR__NOWHERE;
        plan->line[l].offset = 0;
        plan->line[l].slots = 0;
        plan->line[l].slot_bytes = 0;
        plan->line[l].window_bytes = 0;
    }
    for (size_t i = 0; i < plan->exports; i++)
        plan->export[i].direct = false;
    memset(plan->bytes, 0, sizeof plan->bytes);
    plan->parts_bytes = 0;
}

size_t ur__more_blocks(const ur_plan *plan)
{
    size_t all = units(plan), each = (all + plan->blocks - 1) / plan->blocks, less = each / 8 ? each / 8 : 1;
    if (plan->abreast > 1)
        return plan->blocks;
    return plan->one_block || each < 2 ? 0 : (all + each - less - 1) / (each - less);
}

bool ur__layout(ur_plan *plan, size_t blocks)
{
    ur_plan *alive = plan->alive;
    reset(plan);
    if (alive)
        reset(alive);
    choose_blocks(alive ? alive : plan);
    if (alive)
        plan->blocks = alive->blocks;
    set_blocks(plan, blocks ? blocks : plan->blocks, blocks ? 1 : choose_abreast(plan));
    if (alive)
        set_blocks(alive, plan->blocks, plan->abreast);
    ur__place_packed(plan);
    if (!place_exports(plan))
        return false;
    place_lines(plan);
    if (!place_temporaries(plan))
        return false;
    place_checkpoints(plan);
    place_parts(plan, plan);
    place_masks(plan);
    place_tiles(plan, plan);
    if (alive) {
        place_tiles(alive, plan);
        ur__place_packed(alive);
        if (!layout_alive(alive, plan))
            return false;
        place_parts(alive, plan);
        plan->bytes[UR__AREA_BLOCK] = plan->bytes[UR__AREA_BLOCK] < alive->bytes[UR__AREA_BLOCK]
                                          ? alive->bytes[UR__AREA_BLOCK]
                                          : plan->bytes[UR__AREA_BLOCK];
    }
    for (uint32_t l = 0; l < plan->program.lines; l++) {
        find_row(plan, l);
        if (alive)
            find_row(alive, l);
    }
    plan->parts_bytes = ur__round_up(plan->parts_bytes, UR__CACHE_LINE);
    plan->bytes[UR__AREA_MEMORY] = ur__round_up(plan->bytes[UR__AREA_MEMORY], UR__CACHE_LINE);
    plan->bytes[UR__AREA_BLOCK] = ur__round_up(plan->bytes[UR__AREA_BLOCK], UR__CACHE_LINE);
    return (plan->bytes[UR__AREA_MEMORY] < SIZE_MAX / 4 && plan->bytes[UR__AREA_BLOCK] < SIZE_MAX / 4) ||
           ur__fail(&plan->tape->error, "ur_plan_new: the values take more memory than can be addressed");
}
