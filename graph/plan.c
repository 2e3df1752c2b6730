/* plan.c - a plan's life: what is asked of it, its memory, its runs, and what the caller reads.
 *
 * The way of the data is that of plan.h: the tape is rolled, its lines are classified and folded, statements become
 * launches, lines get their places; then ur_plan_run walks the launches. */
#include "plan.h"

#include <string.h>

/* ---- what is asked */

static void add_export(ur_plan *plan, uint32_t node)
{
    plan->export[plan->exports++] = (ur__export){.node = node, .line = UR_NONE};
}

/* Lists the roots, every kept value if none are given, and the states' next values. */
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
        uint32_t v = tape->state[i];
        plan->state[i] = (ur__carry){.leaf = ur__in(tape, v, 0), .value = (uint32_t)plan->exports};
        add_export(plan, ur__in(tape, v, 1));
    }
    return true;
}

static bool is_computed(const ur_plan *plan, uint32_t node)
{
    return plan->reference ? ur__reference_value(plan, node) != NULL : plan->program.place[node].line != UR_NONE;
}

/* Kept values can be read where they are computed on the way. */
static void export_kept(ur_plan *plan)
{
    const ur_tape *tape = plan->tape;
    for (size_t i = 0; i < tape->keeps && plan->given_roots; i++)
        if (is_computed(plan, tape->kept[i]))
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
    ur__program *p = &plan->program;
    bool good = ur__roll(tape, n, root, p) && ur__hoist(tape, p) && ur__fuse(tape, p) && ur__early(tape, p, n, root) &&
                ur__remake(tape, p, n, root);
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
                                        .over = {.line = UR_NONE},
                                        .part = UR__NOWHERE,
                                        .tile = UR__NOWHERE};
    for (size_t i = 0; i < plan->exports; i++) {
        plan->line[plan->export[i].line].root = true;
        plan->line[plan->export[i].line].stored = true;
    }
    return true;
}

/* Refs of its own, for twin.c changes them. */
static bool take_refs(ur_plan *alive)
{
    const ur__program *p = &alive->program;
    ur__ref *own = (ur__ref *)ur__take(alive->tape, p->refs * sizeof *own);
    if (own)
        memcpy(own, p->ref, p->refs * sizeof *own);
    alive->program.ref = own;
    return own != NULL;
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

/* From lines whose columns are known to the launches, and what lies where. */
static bool compile(ur_plan *plan, const ur_plan *masked)
{
    return ur__fold(plan) && ur__group(plan) && ur__lengths(plan, masked) && ur__share(plan) && ur__segments(plan);
}

/* What the plan for living columns reads of what is computed outside of the blocks, this plan stores. */
static void store_for_alive(ur_plan *plan)
{
    for (uint32_t l = 0; l < plan->program.lines; l++) {
        ur__line_plan *line = &plan->line[l];
        if (line->time == UR__WITHIN && line->class != UR__REDUCED && plan->program.line[l].loop != UR_NONE)
            continue;
        line->stored |= plan->alive->line[l].stored;
        line->carried |= plan->alive->line[l].carried;
    }
}

/* The same once more without masks, if there are any: for blocks whose columns are alive in every step, or end in order. */
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
                             .roots = plan->roots,
                             .batch = plan->batch,
                             .one_block = plan->one_block,
                             .odd_phases = plan->odd_phases};
    if (!take_refs(plan->alive) || !take_lines(plan->alive))
        return false;
    for (size_t l = 0; l < plan->program.lines; l++) {
        plan->alive->line[l].class = plan->line[l].class;
        plan->alive->line[l].time = plan->line[l].time;
        plan->alive->line[l].rows = plan->line[l].rows;
    }
    if (!compile(plan->alive, plan))
        return false;
    store_for_alive(plan);
    return true;
}

/* ---- memory */

static void fill_constants(ur_plan *plan)
{
    for (uint32_t l = 0; l < plan->program.lines; l++) {
        const ur__kind *kind = ur__line_kind(plan, l);
        char element[sizeof(double)];
        if (kind->op != &ur_op_const || plan->line[l].home != UR__IN_PLAN)
            continue;
        plan->kernels->from_f64(1, element, ur__attr(plan->tape, kind));
        plan->kernels->fill(ur_shape_count(ur__line_shape(plan, l)), plan->at[UR__AREA_MEMORY] + plan->line[l].offset,
                            element);
    }
}

/* ---- life */

static bool build_reference(ur_plan *plan, const ur_plan_options *o)
{
    size_t e = ur__element_bytes(plan);
    if (!ur__reference_new(plan))
        return false;
    export_kept(plan);
    for (size_t i = 0; i < plan->exports; i++) {
        plan->export[i].offset = plan->bytes[UR__AREA_MEMORY];
        plan->bytes[UR__AREA_MEMORY] += ur_shape_count(ur__shape(plan->tape, plan->export[i].node)) * e;
        if (i < plan->roots)
            plan->root_bytes = plan->bytes[UR__AREA_MEMORY];
    }
    plan->bytes[UR__AREA_MEMORY] = ur__round_up(plan->bytes[UR__AREA_MEMORY], UR__CACHE_LINE);
    ur__place_states(plan);
    ur__add_bytes(plan);
    return ur__fits(plan, plan->allocation_bytes + ur__reference_bytes(plan), o ? o->memory : 0) &&
           ur__take_memory(plan);
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
    if (!take_lines(plan) || !ur__columns(plan) || !compile(plan, plan) || !compile_alive(plan) ||
        !ur__lay_out_within(plan, o ? o->memory : 0))
        return false;
    ur__drop_packings(plan);
    if (plan->alive)
        ur__drop_packings(plan->alive);
    if (!ur__take_memory(plan))
        return false;
    fill_constants(plan);
    ur__address(plan);
    if (plan->alive)
        ur__address(plan->alive);
    return true;
}

ur_plan *ur__plan_with(ur_tape *tape, const ur_plan_options *options, const ur__kernels *kernels)
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
                      .kernels = kernels,
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

ur_plan *ur_plan_new(ur_tape *tape, const ur_plan_options *options)
{
    return ur__plan_with(tape, options, tape ? ur__kernels_of(tape->dtype) : NULL);
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
    ur__give(tape, plan->stretch, plan->stretch_room * sizeof *plan->stretch);
    ur__give(tape, plan->attr, plan->attr_room * sizeof *plan->attr);
    ur__give(tape, plan->stage, plan->stage ? plan->program.loops : 0);
    ur__give(tape, plan->remainder, plan->remainder_room * sizeof *plan->remainder);
    ur__give(tape, plan->rest, plan->program.phases * sizeof *plan->rest);
}

void ur_plan_free(ur_plan *plan)
{
    if (!plan)
        return;
    ur_tape *tape = plan->tape;
    ur__reference_free(plan);
    free_launches(plan);
    if (plan->alive) {
        free_launches(plan->alive);
        ur__give(tape, plan->alive->program.ref, plan->program.refs * sizeof *plan->alive->program.ref);
    }
    ur__give(tape, plan->alive, sizeof *plan->alive);
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

bool ur__plan_usable(const ur_plan *plan, const char *what)
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
        memcpy(plan->at[UR__AREA_MEMORY] + s->offset, plan->at[UR__AREA_MEMORY] + plan->export[s->value].offset,
               ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(ur__leaf_data(tape, s->leaf), plan->at[UR__AREA_MEMORY] + s->offset,
               ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
}

bool ur_plan_run(ur_plan *plan)
{
    if (!ur__plan_usable(plan, "ur_plan_run"))
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
    const bool stale = !plan || plan->generation != plan->tape->generation;
    if (count)
        *count = stale ? 0 : plan->root_bytes / ur__element_bytes(plan);
    return stale ? NULL : plan->at[UR__AREA_MEMORY];
}

/* What the caller may read of a node, or NULL. The search begins after the value that was read last: values are mostly read
 * in their order. */
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
    if (!ur__plan_usable(plan, what) || !ur__valid(plan->tape, value, what))
        return NULL;
    ur_tape *tape = plan->tape;
    if (ur__is_leaf(ur__kind_of(tape, value.index)))
        return ur__leaf_data(tape, value.index);
    const ur__export *x = export_of(plan, value.index);
    if (x && plan->has_run)
        return plan->at[UR__AREA_MEMORY] + x->offset;
    char operand[UR__OPERAND], place[UR__PLACE];
    ur__fail(&tape->error, "%s: %s%s %s", what, ur__operand(tape, value.index, operand),
             ur__place(tape, *ur__site_of(tape, value.index), place),
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
