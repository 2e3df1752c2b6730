/* plan.c - a plan's life: what is asked of it, its memory, its runs, and what the caller reads.
 *
 * The way of the data is that of plan.h: the tape is rolled, its lines are classified and folded, statements become
 * launches, lines get their places; then ur_plan_run walks the launches. */
#include <string.h>

#include "plan.h"

/* ---- what is asked */

static void add_export(ur_plan *plan, uint32_t node)
{
    plan->form.export[plan->form.exports++] = (ur__export){.node = node, .line = UR_NONE};
}

/* Lists the roots, every kept value if none are given, and the states' next values. */
static bool list_exports(ur_plan *plan, const ur_plan_options *o)
{
    ur_tape *tape = plan->form.tape;
    plan->given_roots = o && o->roots;
    plan->form.roots = plan->given_roots ? o->roots : tape->keeps;
    plan->states = tape->states;
    if (!plan->form.roots && !tape->states)
        return ur__fail(&tape->error, "ur_plan_new: nothing to compute, mark values with ur_keep");
    plan->export_room = plan->form.roots + (plan->given_roots ? tape->keeps : 0) + tape->states;
    plan->form.export = (ur__export *)ur__take(tape, plan->export_room * sizeof *plan->form.export);
    plan->state = (ur__carry *)ur__take(tape, plan->states * sizeof *plan->state);
    if (!plan->form.export || !plan->state)
        return false;
    for (size_t i = 0; i < plan->form.roots; i++) {
        if (plan->given_roots && !ur__valid(tape, o->root[i], "ur_plan_new"))
            return false;
        add_export(plan, plan->given_roots ? o->root[i].index : tape->kept[i]);
    }
    for (size_t i = 0; i < plan->states; i++) {
        uint32_t v = tape->state[i];
        plan->state[i] = (ur__carry){.leaf = ur__in(tape, v, 0), .value = (uint32_t)plan->form.exports};
        add_export(plan, ur__in(tape, v, 1));
    }
    return true;
}

static bool is_computed(const ur_plan *plan, uint32_t node)
{
    return plan->reference ? ur__reference_value(plan, node) != NULL : plan->form.program.place[node].line != UR_NONE;
}

/* Kept values can be read where they are computed on the way. */
static void export_kept(ur_plan *plan)
{
    const ur_tape *tape = plan->form.tape;
    for (size_t i = 0; i < tape->keeps && plan->given_roots; i++)
        if (is_computed(plan, tape->kept[i]))
            add_export(plan, tape->kept[i]);
}

/* ---- the program */

static bool roll(ur_plan *plan)
{
    ur_tape *tape = plan->form.tape;
    size_t n = plan->form.exports, bytes = n * sizeof(uint32_t);
    uint32_t *root = (uint32_t *)ur__take(tape, bytes);
    if (!root)
        return false;
    for (size_t i = 0; i < n; i++)
        root[i] = plan->form.export[i].node;
    ur__program *p = &plan->form.program;
    bool good = ur__roll(tape, n, root, p) && ur__hoist(tape, p) && ur__fuse(tape, p) && ur__early(tape, p, n, root) &&
                ur__remake(tape, p, n, root);
    ur__give(tape, root, bytes);
    return good;
}

static void find_exports(ur_plan *plan)
{
    export_kept(plan);
    for (size_t i = 0; i < plan->form.exports; i++) {
        ur__export *x = &plan->form.export[i];
        x->line = plan->form.program.place[x->node].line;
        x->value = plan->form.program.place[x->node].value;
    }
}

/* ---- memory */

static void fill_constants(ur__form *form)
{
    for (uint32_t l = 0; l < form->program.lines; l++) {
        const ur__kind *kind = ur__line_kind(form, l);
        char element[sizeof(double)];
        if (kind->op != &ur_op_const || form->line[l].home != UR__IN_PLAN)
            continue;
        form->kernels->from_f64(1, element, ur__attr(form->tape, kind));
        form->kernels->fill(ur_shape_count(ur__line_shape(form, l)), form->at[UR__AREA_MEMORY] + form->line[l].offset,
                            element);
    }
}

/* ---- life */

static bool build_reference(ur_plan *plan, const ur_plan_options *o)
{
    ur__form *form = &plan->form;
    if (!ur__reference_new(plan))
        return false;
    export_kept(plan);
    for (size_t i = 0; i < form->exports; i++) {
        form->export[i].offset = form->bytes[UR__AREA_MEMORY];
        form->bytes[UR__AREA_MEMORY] +=
            ur_shape_count(ur__shape(form->tape, form->export[i].node)) * ur__element_bytes(form);
        if (i < form->roots)
            form->root_bytes = form->bytes[UR__AREA_MEMORY];
    }
    form->bytes[UR__AREA_MEMORY] = ur__round_up(form->bytes[UR__AREA_MEMORY], UR__CACHE_LINE);
    ur__place_states(plan);
    ur__add_bytes(plan);
    return ur__fits(plan, plan->allocation_bytes + ur__reference_bytes(plan), o ? o->memory : 0) &&
           ur__take_memory(plan);
}

static bool build(ur_plan *plan, const ur_plan_options *o)
{
    ur__form *form = &plan->form;
    if (!list_exports(plan, o))
        return false;
    if (plan->finite || (o && o->reference))
        return build_reference(plan, o);
    if (!roll(plan))
        return false;
    find_exports(plan);
    if (!ur__make_forms(plan) || !ur__lay_out_within(plan, o ? o->memory : 0))
        return false;
    ur__drop_packings(form);
    if (plan->alive)
        ur__drop_packings(plan->alive);
    if (!ur__take_memory(plan))
        return false;
    fill_constants(form);
    ur__address(form);
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
    *plan = (ur_plan){.form = {.tape = tape, .kernels = kernels, .fixed = options && options->fixed},
                      .generation = tape->generation,
                      .nodes = tape->nodes,
                      .finite = options && options->finite,
                      .subnormals = options && options->subnormals,
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

void ur_plan_free(ur_plan *plan)
{
    if (!plan)
        return;
    ur_tape *tape = plan->form.tape;
    ur__reference_free(plan);
    ur__free_forms(plan);
    ur__give(tape, plan->form.export, plan->export_room * sizeof *plan->form.export);
    ur__give(tape, plan->state, plan->states * sizeof *plan->state);
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
    if (!plan || plan->form.tape->error.text[0])
        return false;
    return plan->generation == plan->form.tape->generation ||
           ur__fail(&plan->form.tape->error, "%s: a stale plan, from before ur_tape_clear", what);
}

/* All next values are copied before the first leaf is overwritten. */
static void carry_states(ur_plan *plan)
{
    const ur_tape *tape = plan->form.tape;
    size_t e = ur_dtype_bytes(tape->dtype);
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(plan->form.at[UR__AREA_MEMORY] + s->offset,
               plan->form.at[UR__AREA_MEMORY] + plan->form.export[s->value].offset,
               ur_shape_count(ur__shape(tape, s->leaf)) * e);
    }
    for (size_t i = 0; i < plan->states; i++) {
        const ur__carry *s = &plan->state[i];
        memcpy(ur__leaf_data(tape, s->leaf), plan->form.at[UR__AREA_MEMORY] + s->offset,
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
    const bool stale = !plan || plan->generation != plan->form.tape->generation;
    if (count)
        *count = stale ? 0 : plan->form.root_bytes / ur__element_bytes(&plan->form);
    return stale ? NULL : plan->form.at[UR__AREA_MEMORY];
}

/* What the caller may read of a node, or NULL. The search begins after the value that was read last: values are mostly read
 * in their order. */
static const ur__export *export_of(ur_plan *plan, uint32_t node)
{
    for (size_t k = 1; k <= plan->form.exports; k++) {
        size_t i = (plan->read_last + k) % plan->form.exports;
        if (plan->form.export[i].node != node)
            continue;
        plan->read_last = i;
        return &plan->form.export[i];
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
    if (!ur__plan_usable(plan, what) || !ur__valid(plan->form.tape, value, what))
        return NULL;
    ur_tape *tape = plan->form.tape;
    if (ur__is_leaf(ur__kind_of(tape, value.index)))
        return ur__leaf_data(tape, value.index);
    const ur__export *x = export_of(plan, value.index);
    if (x && plan->has_run)
        return plan->form.at[UR__AREA_MEMORY] + x->offset;
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
        return ur__fail(&plan->form.tape->error, "ur_read: room for the values was expected, there is none");
    size_t expected = ur_shape_count(ur__shape(plan->form.tape, value.index));
    if (count != expected) {
        char text[UR__OPERAND];
        return ur__fail(&plan->form.tape->error, "ur_read: %s has %zu elements, room for %zu was given",
                        ur__operand(plan->form.tape, value.index, text), expected, count);
    }
    plan->form.kernels->to_f64(count, out, data);
    return true;
}
