/* run.c - walks the launches of a plan: once before the blocks, in every block, once after them. Nothing is allocated. */
#include "worker.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* ---- where operands lie */

static char *leaf_at(const ur__form *form, const ur__line *line, int32_t value)
{
    return (char *)ur__leaf_data(form->tape, form->program.leaf[line->first + (uint32_t)value]);
}

ur__view ur__view_of(const ur__worker *w, const ur__ref *r, bool own)
{
    const ur__form *form = w->form;
    const ur__line_plan *line = &form->line[r->line];
    int32_t value = r->first + r->stride * (int32_t)w->i;
    ptrdiff_t slot = line->slots > 1 ? value * line->slot_bytes : 0;
    char *at = line->home == UR__IN_LEAF    ? leaf_at(form, &form->program.line[r->line], value)
               : line->home == UR__IN_BLOCK ? w->home[UR__IN_BLOCK] + line->offset + slot
                                            : form->at[UR__AREA_MEMORY] + line->offset + slot;
    at -= w->passed * line->window_bytes;
    if (line->class == UR__BATCH && line->home == UR__IN_BLOCK) /* rows are as long as the block is wide */
        return (ur__view){at + (line->higher * w->all + w->skip) * ur__element_bytes(form), w->all};
    if (own && line->wide && line->home != UR__IN_BLOCK)
        at += w->first * ur__element_bytes(form);
    return (ur__view){at, line->row};
}

/* Where an argument lies, as address.c worked it out: the offset counts from its home. `own`: the columns of the block
 * only. */
static void point(const ur__worker *w, const ur__argument *a, bool own, ur__cursor *c)
{
    const ur__form *form = w->form;
    const size_t e = ur__element_bytes(form);
    c->at = NULL;
    c->step = a->tiled ? 0 : a->step;
    c->row = a->own_rows || a->tiled ? w->all : a->row;
    if (a->tiled)
        c->at = w->tiles + form->line[a->ref.line].tile;
    if (a->tiled || !a->known)
        return;
    c->at = a->home == UR__IN_LEAF ? a->leaf : w->home[a->home] + a->offset;
    c->at -= w->passed * form->line[a->ref.line].window_bytes;
    if (a->own_rows)
        c->at += a->higher * w->all * e;
    else if (a->cut && own)
        c->at += w->first * e;
}

void ur__bind(const ur__worker *w, const ur__launch *l)
{
    const ur__argument *a = &w->form->argument[l->operand];
    ur__cursor *c = &w->cursor[l->operand - w->bound];
    for (uint32_t k = 0; k < l->operands; k++)
        point(w, &a[k], l->batch && a[k].spread != UR__COLUMN, &c[k]);
}

/* ---- steps */

/* The columns that last in the step of iteration i, or in some step that is at most so many before it. */
static size_t columns_before(const ur__worker *w, const ur__loop *loop, uint32_t i, uint32_t steps)
{
    const ur__form *form = w->form;
    const int64_t value = ur__step_in(loop, i) + form->mask_origin - steps;
    return steps == UR_NONE || value < form->mask_first ? w->all : w->active[value];
}

/* The columns from `active` to `end` of a value are all alike: elements of a column, or one element, 0 where there is none. */
static void fill_columns(const ur__worker *w, const ur__view *to, size_t rows, size_t active, size_t end,
                         const ur__ref *from)
{
    const ur__form *form = w->form;
    const size_t e = ur__element_bytes(form);
    double element = 0;
    const char *at = (const char *)&element;
    size_t step = 0;
    if (from->line != UR_NONE) {
        const ur__kind *kind = ur__line_kind(form, from->line);
        if (kind->op == &ur_op_const) {
            form->kernels->from_f64(1, &element, ur__attr(form->tape, kind));
        } else {
            at = ur__view_of(w, from, false).at;
            step = form->line[from->line].rows > 1 ? e : 0;
        }
    }
    for (size_t row = 0; row < rows; row++)
        form->kernels->fill(end - active, to->at + (row * to->row + active) * e, at + row * step);
}

/* Behind the end: values of the columns from `active` on, as far as something reads them, are 0, or what they were. */
static void run_rest(const ur__worker *w, const ur__loop *loop, uint32_t phase, size_t active)
{
    const ur__form *form = w->form;
    const size_t e = ur__element_bytes(form);
    const ur__phase *f = &form->program.phase[phase];
    for (uint32_t k = 0; k < form->rest[phase].count; k++) {
        const ur__remainder *r = &form->remainder[form->rest[phase].first + k];
        const size_t end = columns_before(w, loop, f->begin + w->i, r->needed), rows = form->line[r->line].rows;
        if (end == active)
            continue;
        const ur__ref own = ur__value_in(&form->program, f, r->line);
        const ur__view to = ur__view_of(w, &own, true);
        if (r->from.line == UR_NONE || form->line[r->from.line].class != UR__BATCH ||
            ur__line_kind(form, r->from.line)->op == &ur_op_const) {
            fill_columns(w, &to, rows, active, end, &r->from);
            continue;
        }
        const ur__view from = ur__view_of(w, &r->from, true);
        if (from.at != to.at)
            ur__copy_rows(rows, (end - active) * e, to.at + active * e, to.row * e, from.at + active * e, from.row * e);
    }
}

static bool is_bound(const ur__launch *l)
{
    return l->kind == UR__POINTWISE || l->kind == UR__PRODUCT;
}

/* Where a phase has several iterations all its launches are bound before and their calls are kept, else one after
 * another. */
static void bind_launches(ur__worker *w, uint32_t first, uint32_t count, bool again)
{
    const ur__launch *l = &w->form->launch[first];
    uint32_t calls = 0, terms = 0;
    w->bound = l->operand;
    w->launch = first;
    for (uint32_t k = 0; k < count; k++, l++) {
        if (!is_bound(l))
            continue;
        ur__bind(w, l);
        w->walk[k] = (ur__walk){.first = l->kind == UR__PRODUCT ? terms : again ? calls : UR_NONE};
        if (l->kind == UR__PRODUCT) {
            ur__bind_product(w, l);
            terms += l->count;
        } else {
            calls += l->count;
        }
    }
}

/* Is the phase one program, whose calls go on from iteration to iteration with nothing to decide between? */
static bool bind_to_run_on(const ur__worker *w, const ur__loop *loop, const ur__span *span)
{
    const ur__launch *l = &w->form->launch[span->first];
    if (span->count != 1 || l->kind != UR__POINTWISE || (w->ends && loop->direction))
        return false;
    ur__bind_tiles(w, l);
    return ur__walk_of(w, l)->steady;
}

static void run_one(const ur__worker *w, uint32_t number)
{
    const ur__launch *l = &w->form->launch[number];
    if (l->kind == UR__ADD_UP && w->advancing)
        return;
    if (l->kind == UR__POINTWISE && ur__walk_of(w, l)->bound != w->columns)
        ur__bind_tiles(w, l);
    ur__run_launch(w, l);
}

/* Iterations begin..end-1 of a loop, as far as they are in phase f. */
static void run_phase(ur__worker *w, const ur__loop *loop, uint32_t f, const ur__span *span, uint32_t begin,
                      uint32_t end)
{
    const ur__phase *phase = &w->form->program.phase[f];
    begin = begin < phase->begin ? 0 : begin - phase->begin;
    end = (end < phase->end ? end : phase->end) - phase->begin;
    const bool again = end - begin > 1;
    if (again)
        bind_launches(w, span->first, span->count, true);
    w->i = begin;
    if (again && bind_to_run_on(w, loop, span)) {
        ur__run_tiles(w, &w->form->launch[span->first], end - begin);
        w->i = end;
    }
    for (; w->i < end; w->i++) {
        size_t active = ur__active_columns(w, loop, phase->begin + w->i);
        if (active < w->all)
            run_rest(w, loop, f, active);
        w->columns = active;
        for (uint32_t k = span->first; k < span->first + span->count && active > 0; k++) {
            if (!again)
                bind_launches(w, k, 1, false);
            run_one(w, k);
        }
    }
    w->columns = w->all;
    w->i = 0;
}

static void run_loop(ur__worker *w, ur__time time, uint32_t l, uint32_t begin, uint32_t end)
{
    static const ur__loop straight = {0};
    const ur__form *form = w->form;
    const ur__program *p = &form->program;
    for (uint32_t f = p->loop[l].phase; f < p->loop[l].phase + p->loop[l].phases; f++) {
        const ur__span *span = &form->span[time * p->phases + f];
        if (span->count && begin < p->phase[f].end && end > p->phase[f].begin)
            run_phase(w, time == UR__WITHIN ? &p->loop[l] : &straight, f, span, begin, end);
    }
}

/* Runs the launches of one time; only those within the blocks know of columns that have ended. */
static void run_loops(ur__worker *w, ur__time time)
{
    for (uint32_t l = 0; l < w->form->program.loops; l++)
        run_loop(w, time, l, 0, w->form->program.loop[l].iterations);
}

/* ---- steps in segments */

void ur__iterations_of(const ur__worker *w, uint32_t l, uint32_t *begin, uint32_t *end)
{
    const ur__form *form = w->form;
    const ur__loop *loop = &form->program.loop[l];
    int64_t first = 0, last = loop->iterations;
    if (form->segments > 1 && loop->iterations > 1) {
        int64_t tau = ur__tau(form, l, 0), low = (int64_t)w->passed, high = low + (int64_t)form->length;
        first = form->stage[l] == UR__FORWARD ? low - tau : tau - high + 1;
        last = form->stage[l] == UR__FORWARD ? high - tau : tau - low + 1;
    }
    *begin = (uint32_t)(first < 0 ? 0 : first);
    *end = (uint32_t)(last < 0 ? 0 : last > loop->iterations ? loop->iterations : last);
}

static void run_stage(ur__worker *w, ur__stage stage)
{
    for (uint32_t l = 0, begin, end; l < w->form->program.loops; l++) {
        ur__iterations_of(w, l, &begin, &end);
        if (w->form->stage[l] == stage && begin < end)
            run_loop(w, UR__WITHIN, l, begin, end);
    }
}

/* The contractions over what loops of several iterations made in the segment, or over what straight code made. */
static void finish(const ur__worker *w, bool rolled)
{
    const ur__form *form = w->form;
    for (uint32_t k = form->finish.first; k < form->finish.first + form->finish.count; k++) {
        const ur__launch *l = &form->launch[k];
        const uint32_t loop = ur__contracted_loop(form, l);
        const bool own = loop != UR_NONE && form->program.loop[loop].iterations > 1;
        if (!l->piece && (form->segments == 1 || own == rolled))
            ur__run_launch(w, l);
    }
}

/* Slot `slot` of a window. */
static char *window_at(const ur__worker *w, const ur__line_plan *line, size_t slot)
{
    return w->home[UR__IN_BLOCK] + line->window + slot * line->window_bytes;
}

/* The sweep forward goes on with the next segment: the last steps of this one are those before it. */
static void enter_next(ur__worker *w)
{
    const ur__form *form = w->form;
    for (uint32_t l = 0; l < form->program.lines; l++) {
        const ur__line_plan *line = &form->line[l];
        if (line->restored && line->windowed)
            memmove(window_at(w, line, 0), window_at(w, line, form->length), form->halo * line->window_bytes);
    }
    w->passed += form->length;
}

/* The sweep back goes on with the segment before: the first steps of this one are those behind it. */
static void enter_before(ur__worker *w)
{
    const ur__form *form = w->form;
    for (uint32_t l = 0; l < form->program.lines; l++) {
        const ur__line_plan *line = &form->line[l];
        if (line->windowed && form->stage[form->program.line[l].loop] == UR__BACK)
            memmove(window_at(w, line, form->halo + form->length), window_at(w, line, form->halo),
                    form->halo * line->window_bytes);
    }
    w->passed -= form->length;
}

/* The segments at whose beginnings the checkpoints are; the checkpoints follow. */
static size_t *held_by(const ur__worker *w)
{
    return (size_t *)(void *)(w->home[UR__IN_BLOCK] + w->form->checkpoint);
}

/* Copies what the segment at hand begins with to a checkpoint, or from there. */
static void copy_checkpoint(const ur__worker *w, size_t number, bool save)
{
    const ur__form *form = w->form;
    char *kept = (char *)(held_by(w) + form->checkpoints) + number * form->checkpoint_bytes;
    for (uint32_t l = 0; l < form->program.lines; l++) {
        const ur__line_plan *line = &form->line[l];
        if (!line->restored)
            continue;
        char *own = w->home[UR__IN_BLOCK] + (line->windowed ? line->window : line->offset);
        size_t bytes = ur__restored_bytes(form, line);
        memcpy(save ? kept : own, save ? own : kept, bytes);
        kept += bytes;
    }
}

/* C(c + r, c): of so many segments each is run forward at most r times, with c checkpoints; n if that is less. */
static size_t reach(size_t c, size_t r, size_t n)
{
    size_t product = 1;
    for (size_t i = 1; i <= c && product < n; i++)
        product = product * (r + i) / i;
    return product < n ? product : n;
}

/* How many segments to go forward before the next checkpoint, with n still to be run back and c checkpoints free
 * (Griewank and Walther 2000, revolve). */
static size_t stride_of(size_t n, size_t c)
{
    size_t r = 1;
    if (c + 1 >= n)
        return 1;
    while (reach(c, r, n) < n)
        r++;
    size_t rest = reach(c - 1, r, n); /* what the other checkpoints can do */
    return n > rest ? n - rest : 1;
}

/* From the checkpoint nearest before it to the beginning of a segment; returns how many checkpoints are held now. */
static size_t go_to(ur__worker *w, size_t segment, size_t count)
{
    const ur__form *form = w->form;
    size_t *held = held_by(w);
    while (count && held[count - 1] > segment)
        count--;
    size_t at = count ? held[count - 1] : 0;
    w->passed = at * form->length;
    if (count)
        copy_checkpoint(w, count - 1, false);
    w->advancing = true;
    while (at < segment) {
        size_t free = form->checkpoints - count, next = free ? at + stride_of(segment + 1 - at, free) : segment;
        for (; at < next; at++) {
            run_stage(w, UR__FORWARD);
            enter_next(w);
        }
        if (free && at < segment) {
            copy_checkpoint(w, count, true);
            held[count++] = at;
        }
    }
    w->advancing = false;
    return count;
}

static void run_segments(ur__worker *w)
{
    const ur__form *form = w->form;
    size_t count = 0;
    run_stage(w, UR__FIRST);
    for (size_t s = form->segments; s-- > 0;) {
        if (s + 1 < form->segments)
            enter_before(w);
        count = go_to(w, s, count);
        run_stage(w, UR__FORWARD);
        if (s + 1 == form->segments)
            run_stage(w, UR__BETWEEN);
        run_stage(w, UR__BACK);
        finish(w, true);
    }
    run_stage(w, UR__LAST);
    finish(w, false);
}

/* ---- what the caller reads */

/* Copies exports that are computed at this time and lie elsewhere. */
static void copy_exports(const ur__worker *w, bool within)
{
    const ur__form *form = w->form;
    size_t e = ur__element_bytes(form);
    for (size_t i = 0; i < form->exports; i++) {
        const ur__export *x = &form->export[i];
        bool block = form->line[x->line].home == UR__IN_BLOCK;
        if (x->direct || block != within)
            continue;
        bool own = within && form->line[x->line].class == UR__BATCH;
        size_t columns, rows = ur__rows_in(form, x->line, own ? w->columns : 0, &columns);
        ur__view v = ur__view_of(w, &(ur__ref){.line = x->line, .first = (int32_t)x->value}, own);
        char *to = form->at[UR__AREA_MEMORY] + x->offset;
        size_t row = own ? (size_t)form->batch : columns;
        ur__copy_rows(rows, columns * e, to + (row == columns ? 0 : w->first * e), row * e, v.at, v.row * e);
    }
}

/* How the columns of a block end: one after another from the last one on, in such a way that the form without masks may
 * run; all with the last step; or in another way. */
typedef enum ending { ANYHOW, IN_ORDER, TOGETHER } ending;

/* Where there are masks whole vectors are the faster: the columns between are masked. */
static void round_active(const ur__worker *w)
{
    const ur__form *form = w->form;
    for (int64_t v = form->mask_first; v < form->mask_end; v++) {
        size_t whole = ur__round_up(w->active[v], form->kernels->lanes);
        w->active[v] = (uint32_t)(whole < w->all ? whole : w->all);
    }
}

/* Finds the columns that last in each step: those behind have ended for good. `unmasked`: the form without masks may run
 * where they end in order. */
static ending find_active(const ur__worker *w, bool unmasked)
{
    const ur__form *form = w->form;
    const size_t e = ur__element_bytes(form);
    size_t most = 0;
    bool in_order = unmasked, together = true;
    ur__cursor c;
    point(w, &form->mask_values, true, &c);
    for (int64_t v = form->mask_end; v-- > form->mask_first;) {
        ur__ref r = {.line = form->mask, .first = (int32_t)v};
        const char *mask = c.at ? c.at + (ptrdiff_t)(v - form->mask_first) * c.step : ur__view_of(w, &r, true).at;
        most += form->kernels->length_of(w->all - most, mask + most * e); /* more columns than in the steps behind */
        w->active[v] = (uint32_t)most;
        const bool full = !form->kernels->has_zero(most, mask);
        in_order = in_order && full;
        together = together && full && most == w->all;
    }
    if (!in_order)
        round_active(w);
    return together ? TOGETHER : in_order ? IN_ORDER : ANYHOW;
}

/* Do all masks choose every column? */
static bool are_full(const ur__worker *w)
{
    const ur__form *form = w->form;
    bool full = true;
    for (size_t k = 0; k < form->mask_count && full; k++) {
        const ur__ref r = {.line = form->masks[k].line, .first = (int32_t)form->masks[k].value};
        full = !form->kernels->has_zero(w->all, ur__view_of(w, &r, true).at);
    }
    return full;
}

static ending find_ending(const ur__worker *w, bool unmasked)
{
    if (w->form->ends)
        return find_active(w, unmasked);
    return are_full(w) ? TOGETHER : ANYHOW;
}

static ur__worker worker_of(const ur__form *form, size_t number)
{
    char *at[UR__AREAS];
    for (ur__area a = UR__FIRST_OWN_AREA; a < UR__AREAS; a++)
        at[a] = form->at[a] + number * form->worker_bytes;
    const size_t batch = form->batch > 0 ? (size_t)form->batch : 1;
    ur__worker w = {
        .form = form, .blocks = form->blocks, .columns = batch, .all = batch, .to = UINT32_MAX, .ends = form->ends};
    w.home[UR__IN_BLOCK] = at[UR__AREA_BLOCK];
    w.home[UR__IN_PLAN] = form->at[UR__AREA_MEMORY];
    w.home[UR__IN_SUMS] = form->at[UR__AREA_SUMS];
    w.active = (uint32_t *)(void *)at[UR__AREA_ACTIVE];
    w.tiles = at[UR__AREA_TILES];
    w.cursor = (ur__cursor *)(void *)at[UR__AREA_CURSORS];
    w.walk = (ur__walk *)(void *)(w.cursor + form->most_cursors);
    w.call = (ur__call *)(void *)(w.walk + form->most_walks);
    w.term = (ur__term *)(void *)(w.call + form->most_calls);
    w.rooms = at[UR__AREA_ROOMS];
    w.at = (char **)(void *)at[UR__AREA_SCRATCH];
    w.scratch = at[UR__AREA_SCRATCH] + form->addresses_bytes;
    return w;
}

/* The worker goes to so many blocks. */
static void go_to_blocks(ur__worker *w, size_t block, size_t blocks)
{
    const ur__form *form = w->form;
    w->block = block;
    w->blocks = blocks;
    w->home[UR__IN_SUMS] = form->at[UR__AREA_SUMS] + block * form->parts_bytes;
    w->first = ur__block_begin(form, block);
    w->all = w->columns = ur__block_begin(form, block + blocks) - w->first;
    w->passed = 0;
}

/* A loop, and after each piece of it its contractions: what they read has just been written. */
static void run_in_pieces(ur__worker *w, uint32_t loop)
{
    const ur__form *form = w->form;
    const ur__launch *first = form->launch + form->finish.first, *end = first + form->finish.count, *l = first;
    const uint32_t all = form->program.loop[loop].iterations;
    while (l < end && !(l->piece && ur__contracted_loop(form, l) == loop))
        l++;
    const uint32_t piece = l < end ? l->piece : all;
    for (w->from = 0; w->from < all; w->from = w->to) {
        w->to = all - w->from < piece ? all : w->from + piece;
        run_loop(w, UR__WITHIN, loop, w->from, w->to);
        for (l = first; l < end; l++)
            if (l->piece && ur__contracted_loop(form, l) == loop)
                ur__run_launch(w, l);
    }
    w->from = 0;
    w->to = UINT32_MAX;
}

static void run_within(ur__worker *w)
{
    if (w->filled != w->all)
        ur__fill_tiles(w);
    if (w->form->segments > 1) {
        run_segments(w);
    } else {
        for (uint32_t l = 0; l < w->form->program.loops; l++)
            run_in_pieces(w, l);
        finish(w, true);
    }
    copy_exports(w, true);
}

/* The blocks at hand, side by side. `alive`: the worker by the form without masks, NULL if there is none. */
static void run_blocks(ur_plan *plan, ur__worker *w, ur__worker *alive)
{
    const size_t block = w->block, blocks = w->blocks;
    const ending how = find_ending(w, alive && alive->form->ends);
    const bool unmasked = alive && how != ANYHOW;
    if (how != TOGETHER && blocks > 1) { /* each may have another form */
        for (size_t b = block; b < block + blocks; b++) {
            go_to_blocks(w, b, 1);
            run_blocks(plan, w, alive);
        }
        return;
    }
    memset(w->home[UR__IN_SUMS], 0, blocks * plan->form.parts_bytes);
    if (plan->form.blocks == 1)
        plan->ran_alive = unmasked;
    if (unmasked) {
        go_to_blocks(alive, block, blocks);
        alive->ends = how == IN_ORDER;
        run_within(alive);
    } else {
        run_within(w);
    }
}

/* A worker's share of the blocks, as many as any other's or one more. Workers write to their own memory, to their blocks'
 * sums and to their blocks' columns of what the caller reads. */
static void run_share(void *arg, int number)
{
    ur_plan *plan = (ur_plan *)arg;
    const size_t k = (size_t)number, end = (k + 1) * plan->form.blocks / plan->workers;
    ur__worker w = worker_of(&plan->form, k), alive = plan->alive ? worker_of(plan->alive, k) : w;
    for (size_t b = k * plan->form.blocks / plan->workers, n; b < end; b += n) {
        n = plan->form.abreast < end - b ? plan->form.abreast : end - b;
        go_to_blocks(&w, b, n);
        run_blocks(plan, &w, plan->alive ? &alive : NULL);
    }
}

static void pack(const ur__worker *w, bool has_run)
{
    for (size_t i = 0; i < w->form->packings; i++)
        if (!has_run || !w->form->packing[i].fixed)
            ur__run_packing(w, &w->form->packing[i]);
}

/* Numbers below the smallest normal one are 0 during a run, unless the plan keeps them: gradients that vanish would make
 * some processors a hundred times slower. The pool's threads take over what is set here. */
#if defined(__SSE2__)
static unsigned set_flush(const ur_plan *plan)
{
    unsigned was = _mm_getcsr(), flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
    if (!plan->subnormals)
        _mm_setcsr(was | flush_to_zero | denormals_are_zero);
    return was;
}

static void restore_flush(unsigned was)
{
    _mm_setcsr(was);
}
#else
static unsigned set_flush(const ur_plan *plan)
{
    (void)plan;
    return 0;
}

static void restore_flush(unsigned was)
{
    (void)was;
}
#endif

void ur__run(ur_plan *plan)
{
    unsigned was = set_flush(plan);
    ur__worker w = worker_of(&plan->form, 0);
    run_loops(&w, UR__BEFORE);
    pack(&w, plan->has_run);
    if (plan->alive) {
        const ur__worker alive = worker_of(plan->alive, 0);
        pack(&alive, plan->has_run);
    }
    ur__pool_work(plan->pool, (int)plan->workers, run_share, plan);
    if (plan->ran_alive) /* what was computed once within the block is where the form that ran has it */
        w = worker_of(plan->alive, 0);
    run_loops(&w, UR__AFTER);
    copy_exports(&w, false);
    restore_flush(was);
}
