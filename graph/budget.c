/* budget.c - how the work is cut, so that a plan takes no more memory than allowed.
 *
 * By itself a layout has blocks of columns that suit the cache and all steps at once. Within little memory the blocks are
 * narrower, and if that is not enough the steps run in segments; plan.h and segment.c say how. */
#include "worker.h"

/* ---- what launches need beside the lines */

static void most(size_t *total, size_t value)
{
    *total = *total < value ? value : *total;
}

static size_t count_operands(const ur__form *form, const ur__launch *l)
{
    size_t operands = 0;
    for (uint32_t k = 0; k < l->operands; k++) {
        const ur__ref *r = &form->argument[l->operand + k].ref;
        operands += r->count > 1 ? r->count : 1;
    }
    return operands;
}

/* Elements of the operands of a single operation, in the shapes in which it reads them. */
static size_t count_elements(const ur__form *form, const ur__launch *l)
{
    size_t elements = 0;
    for (uint32_t k = 0; k < l->operands; k++) {
        const ur__argument *a = &form->argument[l->operand + k];
        elements +=
            (a->ref.count > 1 ? a->ref.count : 1) * (ur_shape_count(ur__line_shape(form, a->as)) + UR__CACHE_LINE);
    }
    return elements;
}

/* Bytes that the contractions of a loop read in an iteration; what several of them read is there after the first one. */
static size_t bytes_read(const ur__form *form, uint32_t loop)
{
    const ur__launch *l = form->launch + form->finish.first, *end = l + form->finish.count;
    size_t rows = 0;
    uint32_t seen = UR_NONE;
    for (; l < end; l++) {
        if (ur__contracted_loop(form, l) != loop)
            continue;
        const ur__argument *x = &form->argument[form->stretch[l->first].operand];
        rows += l->rows;
        if (seen != x[l->rows > 0].ref.line)
            rows += (size_t)l->m * l->matrices;
        seen = x[l->rows > 0].ref.line;
    }
    return rows * form->width * form->abreast * ur__element_bytes(form);
}

/* The iterations in which the contractions of a loop read about 1 MiB, 0: all, where that is no more, where they are on
 * few columns, or where the sums that lie in between take as much themselves. */
static uint32_t piece_of(const ur__form *form, uint32_t loop)
{
    const size_t most = 1048576, least_columns = 512, each = bytes_read(form, loop);
    size_t rooms = 0, piece = each ? most / each : 0;
    for (uint32_t k = form->finish.first; k < form->finish.first + form->finish.count; k++)
        if (ur__contracted_loop(form, &form->launch[k]) == loop)
            rooms += form->abreast * ur__contraction_bytes(form, &form->launch[k]);
    const size_t last = (size_t)form->batch - ur__block_begin(form, form->blocks - 1);
    const bool pays =
        piece < form->program.loop[loop].iterations && piece * form->width * form->abreast >= least_columns;
    return form->segments == 1 && last > 1 && rooms <= most / 2 && pays ? (uint32_t)piece : 0;
}

/* Contractions over loops that write more than the cache holds go on while the loop runs. Each has a room then. */
static void measure_rooms(ur__form *form)
{
    form->bytes[UR__AREA_ROOMS] = 0;
    for (uint32_t k = form->finish.first; k < form->finish.first + form->finish.count; k++) {
        ur__launch *l = &form->launch[k];
        const uint32_t loop = ur__contracted_loop(form, l);
        l->piece = loop == UR_NONE ? 0 : piece_of(form, loop);
        l->room = form->bytes[UR__AREA_ROOMS];
        if (l->piece)
            form->bytes[UR__AREA_ROOMS] += form->abreast * ur__contraction_bytes(form, l);
    }
}

/* What the launches that are bound together need: those of a phase, or one where it has one iteration; then calls are not
 * kept. */
static void measure_cursors(ur__form *form)
{
    const ur__program *p = &form->program;
    form->most_cursors = form->most_walks = 1;
    form->most_calls = form->most_terms = 0;
    for (size_t f = 0; f < UR__TIMES * p->phases; f++) {
        const ur__phase *phase = &p->phase[f % p->phases];
        const bool again = phase->end - phase->begin > 1;
        size_t operands = 0, calls = 0, terms = 0;
        for (uint32_t k = 0; k < form->span[f].count; k++) {
            const ur__launch *l = &form->launch[form->span[f].first + k];
            operands = l->operands + (again ? operands : 0);
            terms = (l->kind == UR__PRODUCT ? l->count : 0) + (again ? terms : 0);
            calls += l->kind == UR__POINTWISE && again ? l->count : 0;
            most(&form->most_cursors, operands);
            most(&form->most_terms, terms);
        }
        most(&form->most_calls, calls);
        most(&form->most_walks, again ? form->span[f].count : 1);
    }
    form->bytes[UR__AREA_CURSORS] = form->most_cursors * sizeof(ur__cursor) + form->most_walks * sizeof(ur__walk) +
                                    form->most_calls * sizeof(ur__call) + form->most_terms * sizeof(ur__term);
    form->bytes[UR__AREA_CURSORS] = ur__round_up(form->bytes[UR__AREA_CURSORS], UR__CACHE_LINE);
}

/* Does a launch add its operands where they lie? Then it needs no room, however many steps of a loop it adds. With the
 * batch that depends on how many columns last. */
static bool adds_in_place(const ur__form *form, const ur__launch *l)
{
    const size_t all = (size_t)form->batch;
    return l->kind == UR__COLLECT || (l->kind == UR__STATEMENT && !l->batch && ur__adds_in_place(form, l, all, all));
}

/* What the launches need beside the lines: addresses and shapes of operands, tiles, dense copies. */
static void measure_scratch(ur__form *form)
{
    size_t e = ur__element_bytes(form), bytes = 0, records = 0;
    measure_rooms(form);
    for (size_t i = 0; i < form->launches; i++) {
        const ur__launch *l = &form->launch[i];
        if (adds_in_place(form, l))
            continue;
        size_t operands = count_operands(form, l);
        if (l->kind == UR__POINTWISE) {
            most(&bytes, ((size_t)l->operands + l->buffers) * ur__tile(form) * e);
            most(&records, operands * 2 * sizeof(void *));
        } else if (l->kind == UR__CONTRACT) {
            most(&bytes, ur__room_for_contraction(form, l).own + (l->piece ? 0 : ur__contraction_bytes(form, l)));
        } else if (l->kind != UR__PRODUCT) {
            size_t elements = count_elements(form, l) + ur_shape_count(ur__line_shape(form, l->line));
            most(&bytes, elements * (e + sizeof(double)) + 2 * (size_t)UR__CACHE_LINE);
            most(&records, (operands + 1) * sizeof(ur_shape));
        }
        most(&form->most_operands, operands + l->buffers + 1);
    }
    measure_cursors(form);
    form->addresses_bytes =
        (form->most_operands * sizeof(char *) + records + UR__CACHE_LINE) / UR__CACHE_LINE * UR__CACHE_LINE;
    form->bytes[UR__AREA_SCRATCH] = form->addresses_bytes + ur__round_up(bytes, UR__CACHE_LINE);
}

/* ---- workers and bytes */

/* As many as there are blocks and work for. */
static void choose_workers(ur_plan *plan)
{
    size_t threads = (size_t)ur_pool_threads(plan->pool);
    double worth = plan->form.blocks > 1 ? ur__work(plan->alive ? plan->alive : &plan->form) / UR__WORTH_A_THREAD : 1;
    plan->workers = threads < plan->form.blocks ? threads : plan->form.blocks;
    plan->workers = worth < (double)plan->workers ? (size_t)worth : plan->workers;
    plan->workers = plan->workers ? plan->workers : 1;
}

/* May it take so many bytes? */
bool ur__fits(const ur_plan *plan, size_t bytes, size_t memory)
{
    return !memory || bytes <= memory ||
           ur__fail(&plan->form.tape->error, "ur_plan_new: the plan takes at least %zu bytes, %zu are allowed", bytes,
                    memory);
}

/* ---- cuts */

/* How the work is cut: the batch into blocks, 0: as many as suit the cache; the steps into segments of so many, 0: one
 * segment, with room for so many checkpoints. */
typedef struct cut {
    size_t blocks, length, checkpoints;
} cut;

static void cut_steps(ur__form *form, const cut *c)
{
    form->segments = c->length ? (form->sweep + c->length - 1) / c->length : 1;
    form->length = c->length;
    form->checkpoints = c->checkpoints;
}

/* Lays everything out and counts the bytes for one worker: the blocks, which the order of sums depends on, may not depend
 * on the threads. */
static bool lay_out(ur_plan *plan, const cut *c)
{
    cut_steps(&plan->form, c);
    if (plan->alive)
        cut_steps(plan->alive, c);
    if (!ur__layout(plan, c->blocks))
        return false;
    ur__place_states(plan);
    measure_scratch(&plan->form);
    if (plan->alive) {
        measure_scratch(plan->alive);
        for (ur__area a = UR__AREA_CURSORS; a < UR__AREAS; a++) /* those that are measured here */
            most(&plan->form.bytes[a], plan->alive->bytes[a]);
    }
    plan->workers = 1;
    ur__add_bytes(plan);
    return true;
}

/* The search for a layout that takes no more memory than allowed. */
typedef struct search {
    ur_plan *plan;
    size_t memory; /* 0: any */
    size_t least;  /* bytes of what was tried */
    cut best;      /* that takes them */
    bool found, good;
} search;

/* False when the search is over. */
static bool try(search *s, const cut *c)
{
    s->good = lay_out(s->plan, c);
    if (!s->good)
        return false;
    s->found = !s->memory || s->plan->allocation_bytes <= s->memory;
    if (s->plan->allocation_bytes < s->least) {
        s->least = s->plan->allocation_bytes;
        s->best = *c;
    }
    return !s->found;
}

/* Segments of half the steps, a quarter, ..., with a checkpoint for each: every step runs forward twice. Then with fewer
 * checkpoints, from which several segments are run again and again. */
static void try_segments(search *s)
{
    const ur__form *form = &s->plan->form, *alive = s->plan->alive ? s->plan->alive : form;
    size_t halo = form->halo > alive->halo ? form->halo : alive->halo, most_checkpoints = SIZE_MAX;
    cut c = {.blocks = s->best.blocks};
    if (!form->sweep || !alive->sweep)
        return;
    for (size_t part = 1; most_checkpoints > 1; part *= 4) {
        most_checkpoints = 0;
        for (c.length = (form->sweep + 1) / 2; c.length > halo; c.length /= 2) {
            size_t segments = (form->sweep + c.length - 1) / c.length;
            c.checkpoints = segments > 2 * part ? (segments - 2) / part : 1;
            most_checkpoints = c.checkpoints;
            if (!try(s, &c))
                return;
        }
    }
}

/* The layout that costs the least time in so much memory, 0: any: first with narrower blocks, then with steps in segments.
 * Every block has sums of its own, so that the least memory is not always that of the narrowest blocks. Then as many
 * workers as there is memory for. */
bool ur__lay_out_within(ur_plan *plan, size_t memory)
{
    search s = {.plan = plan, .memory = memory, .least = SIZE_MAX};
    cut c = {0};
    while (try(&s, &c) && (c.blocks = ur__more_blocks(plan)) > 0)
        ;
    if (s.good && !s.found)
        try_segments(&s);
    if (!s.good || (!s.found && !ur__fits(plan, s.least, memory)))
        return false;
    choose_workers(plan);
    for (ur__add_bytes(plan); memory && plan->allocation_bytes > memory; ur__add_bytes(plan))
        plan->workers--;
    return true;
}
