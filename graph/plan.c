/* plan.c - decides what is computed, in which order and where.
 *
 * The plan keeps the nodes that lead to a root, in the tape's order, and gives each a place in one block of memory
 * (layout.c). Constants are computed now, everything else in every run (run.c). */
#include "plan.h"

#include <string.h>

/* ---- what is computed */

/* Lists the roots: those asked for, or every kept value. */
static bool list_roots(ur_plan *plan, const ur_plan_options *o)
{
    ur_tape *tape = plan->tape;
    plan->roots = o && o->roots ? o->roots : tape->keeps;
    if (!plan->roots && !tape->states)
        return ur__fail(&tape->error, "ur_plan_new: nothing to compute, mark values with ur_keep");
    plan->root = (uint32_t *)ur__take(tape, plan->roots * sizeof *plan->root);
    if (!plan->root)
        return false;
    for (size_t i = 0; i < plan->roots; i++) {
        if (o && o->roots && !ur__valid(tape, o->root[i], "ur_plan_new"))
            return false;
        plan->root[i] = o && o->roots ? o->root[i].index : tape->kept[i];
    }
    return true;
}

/* Marks what leads to a root or a state's next value; returns the number of launches needed. */
static size_t prune(const ur_plan *plan, uint8_t *wanted)
{
    const ur_tape *tape = plan->tape;
    for (size_t i = 0; i < plan->roots; i++)
        wanted[plan->root[i]] = 1;
    for (size_t i = 0; i < tape->states; i++)
        wanted[ur__in(tape, &tape->node[tape->state[i]], 1)] = 1;
    size_t launches = 0;
    for (size_t v = plan->nodes; v-- > 0;) {
        const ur__node *n = &tape->node[v];
        for (uint32_t k = 0; wanted[v] && k < n->inputs; k++)
            wanted[ur__in(tape, n, k)] = 1;
        launches += wanted[v] && n->op->kind != UR_LEAF;
    }
    return launches;
}

/* ---- how it runs */

/* Nothing is broadcast: one row of all elements. */
static bool is_flat(const ur_tape *tape, const ur__node *node)
{
    for (uint32_t k = 0; k < node->inputs; k++)
        if (tape->node[ur__in(tape, node, k)].shape != node->shape)
            return false;
    return true;
}

/* Merges the dimensions that all operands run through alike, and splits off the innermost: rows of n elements. */
static void rows_of(const ur_plan *plan, ur__launch *l)
{
    const ur_tape *tape = plan->tape;
    const ur__node *node = &tape->node[l->node];
    ur_shape out = ur__shape(tape, l->node);
    size_t stride[UR__OPERANDS][UR_RANK];
    if (is_flat(tape, node)) {
        l->n = ur_shape_count(out);
        for (uint32_t k = 0; k < node->inputs; k++)
            l->inner[k] = 1;
        return;
    }
    for (uint32_t k = 0; k < node->inputs; k++)
        ur__strides(ur__shape(tape, ur__in(tape, node, k)), out, stride[k]);
    size_t size[UR_RANK], dims = 0;
    for (int i = 0; i < UR_RANK; i++) {
        size_t n = i < out.rank ? (size_t)out.size[i] : 1;
        bool merge = dims > 0;
        for (uint32_t k = 0; k < node->inputs && merge; k++)
            merge = l->stride[k][dims - 1] == stride[k][i] * n;
        if (n == 1)
            continue;
        if (!merge)
            size[dims++] = 1;
        size[dims - 1] *= n;
        for (uint32_t k = 0; k < node->inputs; k++)
            l->stride[k][dims - 1] = stride[k][i];
    }
    l->dims = dims ? dims - 1 : 0;
    l->n = dims ? size[dims - 1] : 1;
    for (size_t i = 0; i < l->dims; i++)
        l->size[i] = size[i];
    for (uint32_t k = 0; k < node->inputs; k++)
        l->inner[k] = dims ? l->stride[k][dims - 1] : 1;
}

static void describe(ur_plan *plan, ur__launch *l, uint32_t v)
{
    const ur_tape *tape = plan->tape;
    const ur__node *n = &tape->node[v];
    *l = (ur__launch){.node = v, .kernel = plan->reference ? UR__SPECIFICATION : n->op->kernel};
    if (n->op->kind == UR_MAP && n->inputs > UR__OPERANDS)
        l->kernel = UR__SPECIFICATION;
    if (l->kernel > UR__SPECIFICATION && l->kernel < UR__MAPS)
        rows_of(plan, l);
    size_t doubles = ur_shape_count(ur__shape(tape, v));
    for (uint32_t k = 0; k < n->inputs; k++)
        doubles += ur_shape_count(ur__shape(tape, ur__in(tape, n, k)));
    if (l->kernel == UR__SPECIFICATION && doubles > plan->scratch_count)
        plan->scratch_count = doubles;
    if (n->inputs > plan->most_inputs)
        plan->most_inputs = n->inputs;
}

/* Does v lie where its input does? Then there is nothing to run. */
static bool is_shared(const ur_plan *plan, uint32_t v)
{
    const ur__node *n = &plan->tape->node[v];
    return n->inputs == 1 && plan->offset[v] == plan->offset[ur__in(plan->tape, n, 0)];
}

static void schedule(ur_plan *plan, const uint8_t *wanted)
{
    const ur_tape *tape = plan->tape;
    for (uint32_t v = 0; v < plan->nodes; v++)
        if (wanted[v] && tape->node[v].op->kind != UR_LEAF && !is_shared(plan, v))
            describe(plan, &plan->launch[plan->launches++], v);
    for (size_t i = 0; i < plan->roots; i++)
        if (ur__is_leaf(&tape->node[plan->root[i]]) || plan->offset[plan->root[i]] != plan->root_offset[i])
            plan->copies = true;
}

/* Constants are as if they had run. */
static void compute_constants(ur_plan *plan, const uint8_t *wanted)
{
    const ur_tape *tape = plan->tape;
    for (uint32_t v = 0; v < plan->nodes; v++) {
        if (!wanted[v] || tape->node[v].op != &ur_op_const)
            continue;
        char element[sizeof(double)];
        plan->kernels->from_f64(1, element, ur__attr(tape, &tape->node[v]));
        plan->kernels->fill(ur_shape_count(ur__shape(tape, v)), plan->memory + plan->offset[v], element);
    }
}

/* ---- life */

static bool take_tables(ur_plan *plan, size_t launches)
{
    ur_tape *tape = plan->tape;
    plan->launch_room = launches;
    plan->states = tape->states;
    plan->launch = (ur__launch *)ur__take(tape, launches * sizeof *plan->launch);
    plan->offset = (size_t *)ur__take(tape, plan->nodes * sizeof *plan->offset);
    plan->readable = (uint8_t *)ur__take(tape, plan->nodes);
    plan->root_offset = (size_t *)ur__take(tape, plan->roots * sizeof *plan->root_offset);
    plan->state = (ur__carry *)ur__take(tape, plan->states * sizeof *plan->state);
    if (!plan->launch || !plan->offset || !plan->readable || !plan->root_offset || !plan->state)
        return false;
    for (size_t v = 0; v < plan->nodes; v++) {
        plan->offset[v] = UR__NOWHERE;
        plan->readable[v] = tape->node[v].kept;
    }
    for (size_t i = 0; i < plan->roots; i++)
        plan->readable[plan->root[i]] = 1;
    for (size_t i = 0; i < plan->states; i++) {
        const ur__node *n = &tape->node[tape->state[i]];
        plan->state[i] = (ur__carry){.leaf = ur__in(tape, n, 0), .value = ur__in(tape, n, 1)};
    }
    return true;
}

static bool take_memory(ur_plan *plan)
{
    ur_tape *tape = plan->tape;
    plan->scratch = (double *)ur__take(tape, plan->scratch_count * sizeof(double));
    plan->operand = (const void **)ur__take(tape, plan->most_inputs * sizeof *plan->operand);
    plan->shapes = (ur_shape *)ur__take(tape, plan->most_inputs * sizeof *plan->shapes);
    plan->block = (char *)ur__take(tape, plan->bytes + UR__LINE);
    if (!plan->scratch || !plan->operand || !plan->shapes || !plan->block)
        return false;
    plan->memory = plan->block + (UR__LINE - (size_t)((uintptr_t)plan->block % UR__LINE));
    memset(plan->memory, 0, plan->bytes);
    return true;
}

static bool build(ur_plan *plan, const ur_plan_options *options, uint8_t *wanted)
{
    if (!list_roots(plan, options) || !take_tables(plan, prune(plan, wanted)))
        return false;
    if (!ur__layout(plan, wanted))
        return false;
    schedule(plan, wanted);
    if (!take_memory(plan))
        return false;
    compute_constants(plan, wanted);
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
    uint8_t *wanted = (uint8_t *)ur__take(tape, tape->nodes);
    bool good = plan && wanted;
    if (good) {
        memset(wanted, 0, tape->nodes);
        *plan = (ur_plan){.tape = tape,
                          .generation = tape->generation,
                          .kernels = ur__kernels_of(tape->dtype),
                          .nodes = tape->nodes,
                          .reference = options && options->reference,
                          .finite = options && options->finite};
        good = build(plan, options, wanted);
    } else if (plan) {
        ur__give(tape, plan, sizeof *plan);
        plan = NULL;
    }
    ur__give(tape, wanted, tape->nodes);
    if (!good) {
        ur_plan_free(plan);
        return NULL;
    }
    return plan;
}

void ur_plan_free(ur_plan *plan)
{
    if (!plan)
        return;
    ur_tape *tape = plan->tape;
    ur__give(tape, plan->root, plan->roots * sizeof *plan->root);
    ur__give(tape, plan->root_offset, plan->roots * sizeof *plan->root_offset);
    ur__give(tape, plan->launch, plan->launch_room * sizeof *plan->launch);
    ur__give(tape, plan->offset, plan->nodes * sizeof *plan->offset);
    ur__give(tape, plan->readable, plan->nodes);
    ur__give(tape, plan->state, plan->states * sizeof *plan->state);
    ur__give(tape, plan->scratch, plan->scratch_count * sizeof(double));
    ur__give(tape, plan->operand, plan->most_inputs * sizeof *plan->operand);
    ur__give(tape, plan->shapes, plan->most_inputs * sizeof *plan->shapes);
    ur__give(tape, plan->block, plan->bytes + UR__LINE);
    ur__give(tape, plan, sizeof *plan);
}

size_t ur_plan_bytes(const ur_plan *plan)
{
    return plan ? plan->bytes + plan->scratch_count * sizeof(double) : 0;
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
