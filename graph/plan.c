/* plan.c - a plan's life: what is asked of it, its memory, its runs, and what the caller reads.
 *
 * The way of the data is that of plan.h: the tape is rolled, its lines are classified and folded, statements become
 * launches, lines get their places; then ur_plan_run walks the launches. */
#include "worker.h"

#include <string.h>

/* ---- what is asked */

static bool add_export(ur_plan *plan, uint32_t node)
{
    plan->export[plan->exports++] = (ur__export){.node = node, .line = UR_NONE};
    return true;
}

/* Lists the roots, every kept value if none are given; then kept values and the states' next values. */
static bool list_exports(ur_plan *plan, const ur_plan_options *o)
{
    ur_tape *tape = plan->tape;
    plan->given_roots = o && o->roots;
    plan->roots = plan->given_roots ? o->roots : tape->keeps;
    plan->states = tape->states;
    if (!plan->roots && !tape->states)
        return ur__fail(&tape->error, "ur_plan_new: nothing to compute, mark values with ur_keep");
    plan->export_room = plan->roots + (plan->given_roots ? tape->keeps : 0) + tape->states;
    plan->export = (ur__export *)ur__take(tape, plan->export_room * sizeof *plan->export);
    plan->state = (ur__carry *)ur__take(tape, plan->states * sizeof *plan->state);
    if (!plan->export || !plan->state)
        return false;
    for (size_t i = 0; i < plan->roots; i++) {
        if (plan->given_roots && !ur__valid(tape, o->root[i], "ur_plan_new"))
            return false;
        add_export(plan, plan->given_roots ? o->root[i].index : tape->kept[i]);
    }
    for (size_t i = 0; i < plan->states; i++) {
        const ur__node *n = &tape->node[tape->state[i]];
        plan->state[i] = (ur__carry){.leaf = ur__in(tape, n, 0), .value = (uint32_t)plan->exports};
        add_export(plan, ur__in(tape, n, 1));
    }
    return true;
}

/* Kept values can be read where they are computed on the way. */
static void export_kept(ur_plan *plan)
{
    const ur_tape *tape = plan->tape;
    for (size_t i = 0; i < tape->keeps && plan->given_roots; i++)
        if (plan->program.place[tape->kept[i]].line != UR_NONE)
            add_export(plan, tape->kept[i]);
}

/* ---- the program */

static bool roll(ur_plan *plan)
{
    ur_tape *tape = plan->tape;
    size_t n = plan->exports, bytes = n * sizeof(uint32_t);
    uint32_t *root = (uint32_t *)ur__take(tape, bytes);
    if (!root)
        return false;
    for (size_t i = 0; i < n; i++)
        root[i] = plan->export[i].node;
    bool good = ur__roll(tape, n, root, &plan->program) && ur__fuse(tape, &plan->program) &&
                ur__remake(tape, &plan->program, n, root);
    ur__give(tape, root, bytes);
    return good;
}

static bool take_lines(ur_plan *plan)
{
    ur_tape *tape = plan->tape;
    const ur__program *p = &plan->program;
    plan->line = (ur__line_plan *)ur__take(tape, p->lines * sizeof *plan->line);
    plan->span = (ur__span *)ur__take(tape, UR__TIMES * p->phases * sizeof *plan->span);
    if (!plan->line || !plan->span)
        return false;
    for (size_t l = 0; l < p->lines; l++)
        plan->line[l] = (ur__line_plan){.reader = UR_NONE,
                                        .above = UR_NONE,
                                        .below = UR_NONE,
                                        .statement = UR_NONE,
                                        .over = {.line = UR_NONE},
                                        .part = UR__NOWHERE,
                                        .tile = UR__NOWHERE};
    for (size_t i = p->statements; i-- > 0;)
        plan->line[p->statement[i].line].statement = (uint32_t)i;
    for (size_t i = 0; i < plan->exports; i++) {
        plan->line[plan->export[i].line].root = true;
        plan->line[plan->export[i].line].stored = true;
    }
    return true;
}

static void find_exports(ur_plan *plan)
{
    export_kept(plan);
    for (size_t i = 0; i < plan->exports; i++) {
        ur__export *x = &plan->export[i];
        x->line = plan->program.place[x->node].line;
        x->value = plan->program.place[x->node].value;
    }
}

/* From the program to the launches. */
static bool compile(ur_plan *plan)
{
    if (!take_lines(plan) || !ur__columns(plan))
        return false;
    ur__fold(plan);
    return ur__group(plan);
}

/* The same once more for blocks in which every column is alive in every step, if there are masks. */
static bool compile_alive(ur_plan *plan)
{
    bool masked = false;
    for (size_t l = 0; l < plan->program.lines; l++)
        masked |= plan->line[l].mask;
    if (!masked)
        return true;
    plan->alive = (ur_plan *)ur__take(plan->tape, sizeof *plan->alive);
    if (!plan->alive)
        return false;
    *plan->alive = (ur_plan){.tape = plan->tape,
                             .kernels = plan->kernels,
                             .assumes_alive = true,
                             .fixed = plan->fixed,
                             .program = plan->program,
                             .export = plan->export,
                             .exports = plan->exports,
                             .roots = plan->roots};
    return compile(plan->alive) && ur__share(plan->alive) && ur__segments(plan->alive);
}

/* ---- memory */

static void most(size_t *total, size_t value)
{
    *total = *total < value ? value : *total;
}

/* Elements of all operands of a launch, and their number. */
static size_t count_operands(const ur_plan *plan, const ur__launch *l, size_t *operands)
{
    size_t elements = 0;
    *operands = 0;
    for (uint32_t k = 0; k < l->operands; k++) {
        const ur__ref *r = &plan->argument[l->operand + k].ref;
        size_t times = r->count > 1 ? r->count : 1;
        elements += times * (ur_shape_count(ur__line_shape(plan, r->line)) + UR__LINE);
        *operands += times;
    }
    return elements;
}

static size_t contraction_bytes(const ur_plan *plan, const ur__launch *l)
{
    size_t e = ur_dtype_bytes(plan->tape->dtype), matrices = l->outputs, stretches = l->count;
    size_t steps = plan->ends ? plan->program.line[plan->mask].values * sizeof(uint32_t) : 0;
    ur__stretch any = {.steps = 1, .a = l->ones ? NULL : plan};
    ur__contraction c = {.rows = l->rows,
                         .m = l->m,
                         .n = plan->width,
                         .matrices = matrices,
                         .stretches = stretches > 0,
                         .stretch = &any};
    return matrices * ((size_t)l->rows * l->m * e + UR__LINE) + (matrices + 3 * matrices * stretches) * sizeof(void *) +
           stretches * sizeof(ur__stretch) + steps + plan->kernels->contraction_room(&c) + 2 * (size_t)UR__LINE;
}

/* Cursors of the launches that are bound together: those of a phase, or one where it has one iteration. */
static void measure_cursors(ur_plan *plan)
{
    const ur__program *p = &plan->program;
    plan->most_cursors = plan->most_walks = 1;
    for (size_t f = 0; f < UR__TIMES * p->phases; f++) {
        const ur__phase *phase = &p->phase[f % p->phases];
        size_t all = 0;
        for (uint32_t k = 0; k < plan->span[f].count; k++) {
            const ur__launch *l = &plan->launch[plan->span[f].first + k];
            all += l->operands;
            most(&plan->most_cursors, phase->end - phase->begin > 1 ? all : l->operands);
        }
        most(&plan->most_walks, phase->end - phase->begin > 1 ? plan->span[f].count : 1);
    }
    plan->cursor_bytes = plan->most_cursors * sizeof(ur__cursor) + plan->most_walks * sizeof(ur__walk);
    plan->cursor_bytes = (plan->cursor_bytes + UR__LINE - 1) / UR__LINE * UR__LINE;
}

/* Does a launch add its operands where they lie? Then it needs no room, however many steps of a loop it adds. */
static bool adds_in_place(const ur_plan *plan, const ur__launch *l)
{
    if (l->kind != UR__STATEMENT || l->batch || ur__node_of(plan, l->line)->op != &ur_op_sum_of)
        return l->kind == UR__COLLECT;
    for (uint32_t k = 0; k < l->operands; k++) {
        uint32_t line = plan->argument[l->operand + k].ref.line;
        if (plan->line[line].class == UR__BATCH || !ur__same_shape(plan, line, l->line))
            return false;
    }
    return true;
}

/* What the launches need beside the lines: addresses and shapes of operands, tiles, dense copies. */
static void measure_scratch(ur_plan *plan)
{
    size_t e = ur_dtype_bytes(plan->tape->dtype), bytes = 0, records = 0;
    for (size_t i = 0; i < plan->launches; i++) {
        const ur__launch *l = &plan->launch[i];
        if (adds_in_place(plan, l))
            continue;
        size_t operands, elements = count_operands(plan, l, &operands);
        if (l->kind == UR__POINTWISE) {
            most(&bytes, ((size_t)l->operands + l->buffers) * UR__TILE * e);
            most(&records, operands * 2 * sizeof(void *));
        } else if (l->kind == UR__CONTRACT) {
            most(&bytes, contraction_bytes(plan, l));
        } else if (l->kind != UR__PRODUCT) {
            elements += ur_shape_count(ur__line_shape(plan, l->line));
            most(&bytes, elements * (e + sizeof(double)) + 2 * (size_t)UR__LINE);
            most(&records, (operands + 1) * sizeof(ur_shape));
        }
        most(&plan->most_operands, operands + l->buffers + 1);
    }
    measure_cursors(plan);
    plan->addresses_bytes = (plan->most_operands * sizeof(char *) + records + UR__LINE) / UR__LINE * UR__LINE;
    plan->scratch_bytes = plan->addresses_bytes + (bytes + UR__LINE - 1) / UR__LINE * UR__LINE;
}

/* As many as there are blocks and work for. */
static void choose_workers(ur_plan *plan)
{
    size_t threads = (size_t)ur_pool_threads(plan->pool);
    double worth = plan->blocks > 1 ? ur__work(plan->alive ? plan->alive : plan) / UR__WORTH_A_THREAD : 1;
    plan->workers = threads < plan->blocks ? threads : plan->blocks;
    plan->workers = worth < (double)plan->workers ? (size_t)worth : plan->workers;
    plan->workers = plan->workers ? plan->workers : 1;
}

static size_t packed_bytes(const ur_plan *plan)
{
    return (plan->packed_elements * ur_dtype_bytes(plan->tape->dtype) + UR__LINE - 1) / UR__LINE * UR__LINE;
}

/* The bytes of everything, when all its parts are known: what the workers share, then each worker's own, which lie on
 * pairs of cache lines, for they are fetched so. */
enum { PAIR = 2 * UR__LINE };
static void add_bytes(ur_plan *plan)
{
    plan->packed_bytes = packed_bytes(plan) + (plan->alive ? packed_bytes(plan->alive) : 0);
    plan->shared_bytes =
        (plan->memory_bytes + plan->blocks * plan->parts_bytes + plan->packed_bytes + PAIR - 1) / PAIR * PAIR;
    plan->worker_bytes = (plan->block_bytes + plan->full_bytes + plan->tile_bytes + plan->cursor_bytes +
                          plan->scratch_bytes + PAIR - 1) /
                         PAIR * PAIR;
    size_t all = ur__times(plan->workers, plan->worker_bytes);
    plan->allocation_bytes = all > SIZE_MAX / 4 ? SIZE_MAX : plan->shared_bytes + all + PAIR;
}

/* One allocation for all; its parts begin on cache lines. Sums and what a worker has are written in a run before they are
 * read there, and lie nearest to the thread that writes them first: they are not cleared. */
static bool take_memory(ur_plan *plan)
{
    plan->allocation = (char *)ur__take(plan->tape, plan->allocation_bytes);
    if (!plan->allocation)
        return false;
    ur__large_pages(plan->allocation, plan->allocation_bytes);
    plan->memory = plan->allocation + (PAIR - (size_t)((uintptr_t)plan->allocation % PAIR)) % PAIR;
    plan->sums = plan->memory + plan->memory_bytes;
    plan->packed = plan->sums + plan->blocks * plan->parts_bytes;
    plan->block = plan->memory + plan->shared_bytes;
    plan->full = plan->block + plan->block_bytes;
    plan->tiles = plan->full + plan->full_bytes;
    plan->cursors = plan->tiles + plan->tile_bytes;
    plan->scratch = plan->cursors + plan->cursor_bytes;
    memset(plan->memory, 0, plan->memory_bytes);
    memset(plan->packed, 0, plan->packed_bytes);
    if (plan->alive) {
        plan->alive->memory = plan->memory;
        plan->alive->sums = plan->sums;
        plan->alive->parts_bytes = plan->parts_bytes;
        plan->alive->packed = plan->packed + packed_bytes(plan);
        plan->alive->block = plan->block;
        plan->alive->full = plan->full;
        plan->alive->tiles = plan->tiles;
        plan->alive->cursors = plan->cursors;
        plan->alive->scratch = plan->scratch;
        plan->alive->worker_bytes = plan->worker_bytes;
    }
    return true;
}

static void fill_constants(ur_plan *plan)
{
    for (uint32_t l = 0; l < plan->program.lines; l++) {
        const ur__node *n = ur__node_of(plan, l);
        char element[sizeof(double)];
        if (n->op != &ur_op_const || plan->line[l].home != UR__IN_PLAN)
            continue;
        plan->kernels->from_f64(1, element, ur__attr(plan->tape, n));
        plan->kernels->fill(ur_shape_count(ur__line_shape(plan, l)), plan->memory + plan->line[l].offset, element);
    }
}

/* ---- life */

static void place_states(ur_plan *plan)
{
    for (size_t i = 0; i < plan->states; i++) {
        size_t count = ur_shape_count(ur__shape(plan->tape, plan->state[i].leaf));
        plan->state[i].offset = plan->memory_bytes;
        plan->memory_bytes += (count * ur_dtype_bytes(plan->tape->dtype) + UR__LINE - 1) / UR__LINE * UR__LINE;
    }
}

/* May it take so many bytes? */
static bool fits(const ur_plan *plan, size_t bytes, size_t memory)
{
    return !memory || bytes <= memory ||
           ur__fail(&plan->tape->error, "ur_plan_new: the plan takes at least %zu bytes, %zu are allowed", bytes,
                    memory);
}

static bool build_reference(ur_plan *plan, const ur_plan_options *o)
{
    size_t e = ur_dtype_bytes(plan->tape->dtype);
    for (size_t i = 0; i < plan->exports; i++) {
        plan->export[i].offset = plan->memory_bytes;
        plan->memory_bytes += ur_shape_count(ur__shape(plan->tape, plan->export[i].node)) * e;
        if (i < plan->roots)
            plan->root_bytes = plan->memory_bytes;
    }
    plan->memory_bytes = (plan->memory_bytes + UR__LINE - 1) / UR__LINE * UR__LINE;
    place_states(plan);
    if (!ur__reference_new(plan))
        return false;
    add_bytes(plan);
    return fits(plan, plan->allocation_bytes + ur__reference_bytes(plan), o ? o->memory : 0) && take_memory(plan);
}

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
    place_states(plan);
    measure_scratch(plan);
    if (plan->alive) {
        measure_scratch(plan->alive);
        most(&plan->scratch_bytes, plan->alive->scratch_bytes);
        most(&plan->cursor_bytes, plan->alive->cursor_bytes);
    }
    plan->workers = 1;
    add_bytes(plan);
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
static bool lay_out_within(ur_plan *plan, size_t memory)
{
    search s = {.plan = plan, .memory = memory, .least = SIZE_MAX};
    cut c = {0};
    while (try(&s, &c) && (c.blocks = ur__more_blocks(plan)) > 0)
        ;
    if (s.good && !s.found)
        try_segments(&s);
    if (!s.good || (!s.found && !fits(plan, s.least, memory)))
        return false;
    choose_workers(plan);
    for (add_bytes(plan); memory && plan->allocation_bytes > memory; add_bytes(plan))
        plan->workers--;
    return true;
}

static bool build(ur_plan *plan, const ur_plan_options *o)
{
    if (!list_exports(plan, o))
        return false;
    if (plan->finite || (o && o->reference))
        return build_reference(plan, o);
    if (!roll(plan))
        return false;
    find_exports(plan);
    if (!compile(plan) || !ur__lengths(plan) || !ur__share(plan) || !ur__segments(plan) || !compile_alive(plan) ||
        !lay_out_within(plan, o ? o->memory : 0))
        return false;
    ur__drop_packings(plan);
    if (plan->alive)
        ur__drop_packings(plan->alive);
    if (!take_memory(plan))
        return false;
    fill_constants(plan);
    ur__address(plan);
    if (plan->alive)
        ur__address(plan->alive);
    return true;
}

ur_plan *ur_plan_new(ur_tape *tape, const ur_plan_options *options)
{
    if (!tape || tape->error.text[0])
        return NULL;
    if (options && options->roots && !options->root) {
        ur__fail(&tape->error, "ur_plan_new: a list of %zu roots was expected, there is none", options->roots);
        return NULL;
    }
    ur_plan *plan = (ur_plan *)ur__take(tape, sizeof *plan);
    if (!plan)
        return NULL;
    *plan = (ur_plan){.tape = tape,
                      .generation = tape->generation,
                      .kernels = ur__kernels_of(tape->dtype),
                      .nodes = tape->nodes,
                      .finite = options && options->finite,
                      .subnormals = options && options->subnormals,
                      .fixed = options && options->fixed,
                      .pool = options ? options->pool : NULL,
                      .workers = 1};
    if (build(plan, options)) {
        ur__trim(tape);
        return plan;
    }
    ur_plan_free(plan);
    return NULL;
}

static void free_launches(ur_plan *plan)
{
    ur_tape *tape = plan->tape;
    ur__give(tape, plan->line, plan->program.lines * sizeof *plan->line);
    ur__give(tape, plan->span, UR__TIMES * plan->program.phases * sizeof *plan->span);
    ur__give(tape, plan->launch, plan->launch_room * sizeof *plan->launch);
    ur__give(tape, plan->argument, plan->argument_room * sizeof *plan->argument);
    ur__give(tape, plan->instruction, plan->instruction_room * sizeof *plan->instruction);
    ur__give(tape, plan->term, plan->term_room * sizeof *plan->term);
    ur__give(tape, plan->packing, plan->packing_room * sizeof *plan->packing);
    ur__give(tape, plan->part, plan->part_room * sizeof *plan->part);
    ur__give(tape, plan->attr, plan->attr_room * sizeof *plan->attr);
    ur__give(tape, plan->stage, plan->stage ? plan->program.loops : 0);
}

void ur_plan_free(ur_plan *plan)
{
    if (!plan)
        return;
    ur_tape *tape = plan->tape;
    ur__reference_free(plan);
    free_launches(plan);
    if (plan->alive)
        free_launches(plan->alive);
    ur__give(tape, plan->alive, sizeof *plan->alive);
    ur__give(tape, plan->remainder, plan->remainder_room * sizeof *plan->remainder);
    ur__give(tape, plan->rest, plan->program.phases * sizeof *plan->rest);
    ur__give(tape, plan->export, plan->export_room * sizeof *plan->export);
    ur__give(tape, plan->state, plan->states * sizeof *plan->state);
    ur__program_free(tape, &plan->program);
    ur__give(tape, plan->allocation, plan->allocation_bytes);
    ur__give(tape, plan, sizeof *plan);
}

size_t ur_plan_bytes(const ur_plan *plan)
{
    return plan ? plan->allocation_bytes + (plan->reference ? ur__reference_bytes(plan) : 0) : 0;
}

ur_var ur_keep(ur_var value)
{
    ur_tape *tape = value.tape;
    if (!ur__valid(tape, value, "ur_keep"))
        return ur__poison(tape, NULL);
    if (tape->node[value.index].kept)
        return value;
    if (!ur__room(tape, &tape->kept, &tape->kept_room, tape->keeps, sizeof *tape->kept))
        return ur__poison(tape, NULL);
    tape->kept[tape->keeps++] = value.index;
    tape->node[value.index].kept = 1;
    return value;
}

/* ---- running */

static bool usable(const ur_plan *plan, const char *what)
{
    if (!plan || plan->tape->error.text[0])
        return false;
    return plan->generation == plan->tape->generation ||
           ur__fail(&plan->tape->error, "%s: a stale plan, from before ur_tape_clear", what);
}

/* All next values are copied before the first leaf is overwritten. */
static void carry_states(ur_plan *plan)
{
    const ur_tape *tape = plan->tape;
    size_t e = ur_dtype_bytes(tape->dtype);
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(plan->memory + s->offset, plan->memory + plan->export[s->value].offset,
               ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(ur__leaf_data(tape, &tape->node[s->leaf]), plan->memory + s->offset,
               ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
}

bool ur_plan_run(ur_plan *plan)
{
    if (!usable(plan, "ur_plan_run"))
        return false;
    if (!plan->reference)
        ur__run(plan);
    else if (!ur__reference_run(plan))
        return false;
    carry_states(plan);
    plan->has_run = true;
    return true;
}

/* ---- reading */

const void *ur_plan_roots(const ur_plan *plan, size_t *count)
{
    if (count)
        *count = plan ? plan->root_bytes / ur_dtype_bytes(plan->tape->dtype) : 0;
    return plan ? plan->memory : NULL;
}

/* What the caller may read of a node, or NULL. It is looked for behind the one that was read last: values are mostly
 * read in their order. */
static const ur__export *export_of(ur_plan *plan, uint32_t node)
{
    for (size_t k = 1; k <= plan->exports; k++) {
        size_t i = (plan->read_last + k) % plan->exports;
        if (plan->export[i].node != node)
            continue;
        plan->read_last = i;
        return &plan->export[i];
    }
    return NULL;
}

/* Why the plan cannot show the node. */
static const char *unreadable(const ur_plan *plan, uint32_t node)
{
    if (node >= plan->nodes)
        return "was recorded after planning";
    return plan->given_roots ? "is not computed by this plan, add it to the roots"
                             : "is not kept, mark it with ur_keep before planning";
}

static const void *value_for(ur_plan *plan, ur_var value, const char *what)
{
    if (!usable(plan, what) || !ur__valid(plan->tape, value, what))
        return NULL;
    ur_tape *tape = plan->tape;
    const ur__node *n = &tape->node[value.index];
    if (ur__is_leaf(n))
        return ur__leaf_data(tape, n);
    const ur__export *x = export_of(plan, value.index);
    if (x && plan->has_run)
        return plan->memory + x->offset;
    char operand[UR__OPERAND], place[UR__PLACE];
    ur__fail(&tape->error, "%s: %s%s %s", what, ur__operand(tape, value.index, operand),
             ur__place(tape, n->scope, n->step, place),
             x ? "has no value before the first ur_plan_run" : unreadable(plan, value.index));
    return NULL;
}

const void *ur_value(ur_plan *plan, ur_var value)
{
    return value_for(plan, value, "ur_value");
}

bool ur_read(ur_plan *plan, ur_var value, size_t count, double *out)
{
    const void *data = value_for(plan, value, "ur_read");
    if (!data)
        return false;
    if (!out)
        return ur__fail(&plan->tape->error, "ur_read: room for the values was expected, there is none");
    size_t expected = ur_shape_count(ur__shape(plan->tape, value.index));
    if (count != expected) {
        char text[UR__OPERAND];
        return ur__fail(&plan->tape->error, "ur_read: %s has %zu elements, room for %zu was given",
                        ur__operand(plan->tape, value.index, text), expected, count);
    }
    plan->kernels->to_f64(count, out, data);
    return true;
}
