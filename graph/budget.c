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

static size_t count_operands(const ur_plan *plan, const ur__launch *l)
{
    size_t operands = 0;
    for (uint32_t k = 0; k < l->operands; k++) {
        const ur__ref *r = &plan->argument[l->operand + k].ref;
        operands += r->count > 1 ? r->count : 1;
    }
    return operands;
}

/* Elements of the operands of a single operation, in the shapes in which it reads them. */
static size_t count_elements(const ur_plan *plan, const ur__launch *l)
{
    size_t elements = 0;
    for (uint32_t k = 0; k < l->operands; k++) {
        const ur__argument *a = &plan->argument[l->operand + k];
        elements +=
            (a->ref.count > 1 ? a->ref.count : 1) * (ur_shape_count(ur__line_shape(plan, a->as)) + UR__CACHE_LINE);
    }
    return elements;
}

/* Bytes that the contractions of a loop read in an iteration; what several of them read is there after the first one. */
static size_t bytes_read(const ur_plan *plan, uint32_t loop)
{
    const ur__launch *l = plan->launch + plan->finish.first, *end = l + plan->finish.count;
    size_t rows = 0;
    uint32_t seen = UR_NONE;
    for (; l < end; l++) {
        if (ur__contracted_loop(plan, l) != loop)
            continue;
        const ur__argument *x = &plan->argument[plan->stretch[l->first].operand];
        rows += l->rows;
        if (seen != x[l->rows > 0].ref.line)
            rows += (size_t)l->m * l->matrices;
        seen = x[l->rows > 0].ref.line;
    }
    return rows * plan->width * plan->abreast * ur__element_bytes(plan);
}

/* The iterations in which the contractions of a loop read about 1 MiB, 0: all, where that is no more, where they are on
 * few columns, or where the sums that lie in between take as much themselves. */
static uint32_t piece_of(const ur_plan *plan, uint32_t loop)
{
    const size_t most = 1048576, least_columns = 512, each = bytes_read(plan, loop);
    size_t rooms = 0, piece = each ? most / each : 0;
    for (uint32_t k = plan->finish.first; k < plan->finish.first + plan->finish.count; k++)
        if (ur__contracted_loop(plan, &plan->launch[k]) == loop)
            rooms += plan->abreast * ur__contraction_bytes(plan, &plan->launch[k]);
    const size_t last = (size_t)plan->batch - ur__block_begin(plan, plan->blocks - 1);
    const bool pays =
        piece < plan->program.loop[loop].iterations && piece * plan->width * plan->abreast >= least_columns;
    return plan->segments == 1 && last > 1 && rooms <= most / 2 && pays ? (uint32_t)piece : 0;
}

/* Contractions over loops that write more than the cache holds go on while the loop runs. Each has a room then. */
static void measure_rooms(ur_plan *plan)
{
    plan->bytes[UR__AREA_ROOMS] = 0;
    for (uint32_t k = plan->finish.first; k < plan->finish.first + plan->finish.count; k++) {
        ur__launch *l = &plan->launch[k];
        const uint32_t loop = ur__contracted_loop(plan, l);
        l->piece = loop == UR_NONE ? 0 : piece_of(plan, loop);
        l->room = plan->bytes[UR__AREA_ROOMS];
        if (l->piece)
            plan->bytes[UR__AREA_ROOMS] += plan->abreast * ur__contraction_bytes(plan, l);
    }
}

/* What the launches that are bound together need: those of a phase, or one where it has one iteration; then calls are not
 * kept. */
static void measure_cursors(ur_plan *plan)
{
    const ur__program *p = &plan->program;
    plan->most_cursors = plan->most_walks = 1;
    plan->most_calls = plan->most_terms = 0;
    for (size_t f = 0; f < UR__TIMES * p->phases; f++) {
        const ur__phase *phase = &p->phase[f % p->phases];
        const bool again = phase->end - phase->begin > 1;
        size_t operands = 0, calls = 0, terms = 0;
        for (uint32_t k = 0; k < plan->span[f].count; k++) {
            const ur__launch *l = &plan->launch[plan->span[f].first + k];
            operands = l->operands + (again ? operands : 0);
            terms = (l->kind == UR__PRODUCT ? l->count : 0) + (again ? terms : 0);
            calls += l->kind == UR__POINTWISE && again ? ur__calls_of(l) : 0;
            most(&plan->most_cursors, operands);
            most(&plan->most_terms, terms);
        }
        most(&plan->most_calls, calls);
        most(&plan->most_walks, again ? plan->span[f].count : 1);
    }
    plan->bytes[UR__AREA_CURSORS] = plan->most_cursors * sizeof(ur__cursor) + plan->most_walks * sizeof(ur__walk) +
                                    plan->most_calls * sizeof(ur__call) + plan->most_terms * sizeof(ur__term);
    plan->bytes[UR__AREA_CURSORS] = ur__round_up(plan->bytes[UR__AREA_CURSORS], UR__CACHE_LINE);
}

/* Does a launch add its operands where they lie? Then it needs no room, however many steps of a loop it adds. With the
 * batch that depends on how many columns last. */
static bool adds_in_place(const ur_plan *plan, const ur__launch *l)
{
    const ur__worker any = {.plan = plan, .all = (size_t)plan->batch};
    return l->kind == UR__COLLECT || (l->kind == UR__STATEMENT && !l->batch && ur__adds_in_place(&any, l));
}

/* What the launches need beside the lines: addresses and shapes of operands, tiles, dense copies. */
static void measure_scratch(ur_plan *plan)
{
    size_t e = ur__element_bytes(plan), bytes = 0, records = 0;
    measure_rooms(plan);
    for (size_t i = 0; i < plan->launches; i++) {
        const ur__launch *l = &plan->launch[i];
        if (adds_in_place(plan, l))
            continue;
        size_t operands = count_operands(plan, l);
        if (l->kind == UR__POINTWISE) {
            most(&bytes, ((size_t)l->operands + l->buffers) * ur__tile(plan) * e);
            most(&records, operands * 2 * sizeof(void *));
        } else if (l->kind == UR__CONTRACT) {
            most(&bytes, ur__room_for_contraction(plan, l).own + (l->piece ? 0 : ur__contraction_bytes(plan, l)));
        } else if (l->kind != UR__PRODUCT) {
            size_t elements = count_elements(plan, l) + ur_shape_count(ur__line_shape(plan, l->line));
            most(&bytes, elements * (e + sizeof(double)) + 2 * (size_t)UR__CACHE_LINE);
            most(&records, (operands + 1) * sizeof(ur_shape));
        }
        most(&plan->most_operands, operands + l->buffers + 1);
    }
    measure_cursors(plan);
    plan->addresses_bytes =
        (plan->most_operands * sizeof(char *) + records + UR__CACHE_LINE) / UR__CACHE_LINE * UR__CACHE_LINE;
    plan->bytes[UR__AREA_SCRATCH] = plan->addresses_bytes + ur__round_up(bytes, UR__CACHE_LINE);
}

/* ---- workers and bytes */

/* As many as there are blocks and work for. */
static void choose_workers(ur_plan *plan)
{
    size_t threads = (size_t)ur_pool_threads(plan->pool);
    double worth = plan->blocks > 1 ? ur__work(plan->alive ? plan->alive : plan) / UR__WORTH_A_THREAD : 1;
    plan->workers = threads < plan->blocks ? threads : plan->blocks;
    plan->workers = worth < (double)plan->workers ? (size_t)worth : plan->workers;
    plan->workers = plan->workers ? plan->workers : 1;
}

/* May it take so many bytes? */
bool ur__fits(const ur_plan *plan, size_t bytes, size_t memory)
{
    return !memory || bytes <= memory ||
           ur__fail(&plan->tape->error, "ur_plan_new: the plan takes at least %zu bytes, %zu are allowed", bytes,
                    memory);
}

/* ---- cuts */

/* How the work is cut: the batch into blocks, 0: as many as suit the cache; the steps into segments of so many, 0: one
 * segment, with room for so many checkpoints. */
typedef struct cut {
    size_t blocks, length, checkpoints;
} cut;

static void cut_steps(ur_plan *plan, const cut *c)
{
    plan->segments = c->length ? (plan->sweep + c->length - 1) / c->length : 1;
    plan->length = c->length;
    plan->checkpoints = c->checkpoints;
}

/* Lays everything out and counts the bytes for one worker: the blocks, which the order of sums depends on, may not depend
 * on the threads. */
static bool lay_out(ur_plan *plan, const cut *c)
{
    cut_steps(plan, c);
    if (plan->alive)
        cut_steps(plan->alive, c);
    if (!ur__layout(plan, c->blocks))
        return false;
    ur__place_states(plan);
    measure_scratch(plan);
    if (plan->alive) {
        measure_scratch(plan->alive);
        for (ur__area a = UR__AREA_CURSORS; a < UR__AREAS; a++) /* those that are measured here */
            most(&plan->bytes[a], plan->alive->bytes[a]);
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
    const ur_plan *plan = s->plan, *alive = plan->alive ? plan->alive : plan;
    size_t halo = plan->halo > alive->halo ? plan->halo : alive->halo, most_checkpoints = SIZE_MAX;
    cut c = {.blocks = s->best.blocks};
    if (!plan->sweep || !alive->sweep)
        return;
    for (size_t part = 1; most_checkpoints > 1; part *= 4) {
        most_checkpoints = 0;
        for (c.length = (plan->sweep + 1) / 2; c.length > halo; c.length /= 2) {
            size_t segments = (plan->sweep + c.length - 1) / c.length;
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
