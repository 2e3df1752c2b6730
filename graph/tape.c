/* tape.c - the tape's life, its tables, and the recording of a node. */
#include <string.h>

#include "internal.h"
#include "kernels.h"

/* ---- memory */

void *ur__take(ur_tape *tape, size_t bytes)
{
    void *block = ur__new(&tape->allocator, bytes);
    if (!block)
        ur__fail(&tape->error, "no memory for %zu bytes", bytes);
    return block;
}

void ur__give(ur_tape *tape, void *block, size_t bytes)
{
    ur__free(&tape->allocator, block, bytes);
}

bool ur__more_room(ur_tape *tape, void *array_pointer, size_t *room, size_t count, size_t element_bytes)
{
    void *array;
    memcpy(&array, array_pointer, sizeof array);
    const size_t many = 16384; /* elements: from there on by a half, for what is not filled counts */
    size_t more = *room < many ? 2 * *room : *room + *room / 2;
    more = more < 64 ? 64 : more;
    more = more <= count ? count + 1 : more;
    size_t bytes = ur__times(more, element_bytes);
    void *grown = bytes > SIZE_MAX / 2 ? NULL : ur__resize(&tape->allocator, array, *room * element_bytes, bytes);
    if (!grown)
        return ur__fail(&tape->error, "no memory for %zu bytes", bytes);
    memcpy(array_pointer, &grown, sizeof grown);
    *room = more;
    return true;
}

/* Gives back what an array has no elements for, if that is much. */
static void trim(ur_tape *tape, void *array_pointer, size_t *room, size_t count, size_t element_bytes)
{
    const size_t much = 65536; /* bytes */
    void *array;
    memcpy(&array, array_pointer, sizeof array);
    if ((*room - count) * element_bytes < much)
        return;
    void *less = ur__resize(&tape->allocator, array, *room * element_bytes, count * element_bytes);
    if (!less)
        return;
    memcpy(array_pointer, &less, sizeof less);
    *room = count;
}

void ur__trim(ur_tape *tape)
{
    trim(tape, &tape->node, &tape->node_room, tape->nodes, sizeof *tape->node);
    trim(tape, &tape->in, &tape->in_room, tape->ins, sizeof *tape->in);
    trim(tape, &tape->attr, &tape->attr_room, tape->attrs, sizeof *tape->attr);
    trim(tape, &tape->leaf, &tape->leaf_room, tape->leaves, sizeof *tape->leaf);
    trim(tape, &tape->symbol, &tape->symbol_room, tape->symbols, sizeof *tape->symbol);
    trim(tape, &tape->mark, &tape->mark_room, tape->marks, sizeof *tape->mark);
}

/* ---- life */

ur_tape *ur_tape_new(const ur_tape_options *options)
{
    ur_allocator allocator = ur__allocator(options ? &options->allocator : NULL);
    ur_tape *tape = (ur_tape *)ur__new(&allocator, sizeof *tape);
    if (!tape)
        return NULL;
    *tape = (ur_tape){.allocator = allocator, .dtype = options ? options->dtype : UR_F32, .generation = 1};
    return tape;
}

static void free_sweeps(ur_tape *tape)
{
    for (size_t i = 0; i < tape->sweeps; i++)
        ur__give(tape, tape->sweep[i].adjoint, ((size_t)tape->sweep[i].y + 1) * sizeof(uint32_t));
    tape->sweeps = 0;
}

void ur_tape_clear(ur_tape *tape)
{
    if (!tape)
        return;
    free_sweeps(tape);
    ur__arena_free(&tape->arena, &tape->allocator);
    tape->nodes = tape->ins = tape->attrs = tape->shapes = tape->leaves = tape->scopes = 0;
    tape->symbols = tape->params = tape->keeps = tape->states = tape->theta_count = 0;
    tape->consts = tape->marks = 0;
    memset(tape->ruling, 0, sizeof tape->ruling);
    tape->scope_now = 0;
    tape->step_now = 0;
    tape->error.text[0] = 0;
    tape->generation++;
    if (tape->by_name.slot)
        memset(tape->by_name.slot, 0, tape->by_name.slots * sizeof(uint32_t));
    if (tape->by_node.slot)
        memset(tape->by_node.slot, 0, tape->by_node.slots * sizeof(uint32_t));
}

void ur_tape_free(ur_tape *tape)
{
    if (!tape)
        return;
    ur_tape_clear(tape);
    ur__give(tape, tape->node, tape->node_room * sizeof *tape->node);
    ur__give(tape, tape->in, tape->in_room * sizeof *tape->in);
    ur__give(tape, tape->attr, tape->attr_room * sizeof *tape->attr);
    ur__give(tape, tape->shape, tape->shape_room * sizeof *tape->shape);
    ur__give(tape, tape->leaf, tape->leaf_room * sizeof *tape->leaf);
    ur__give(tape, tape->scope, tape->scope_room * sizeof *tape->scope);
    ur__give(tape, tape->symbol, tape->symbol_room * sizeof *tape->symbol);
    ur__give(tape, tape->sweep, tape->sweep_room * sizeof *tape->sweep);
    ur__give(tape, tape->param, tape->param_room * sizeof *tape->param);
    ur__give(tape, tape->kept, tape->kept_room * sizeof *tape->kept);
    ur__give(tape, tape->state, tape->state_room * sizeof *tape->state);
    ur__give(tape, tape->constant, tape->constant_room * sizeof *tape->constant);
    ur__give(tape, tape->mark, tape->mark_room * sizeof *tape->mark);
    ur__give(tape, tape->theta, tape->theta_room * ur_dtype_bytes(tape->dtype));
    ur__give(tape, tape->by_name.slot, tape->by_name.slots * sizeof(uint32_t));
    ur__give(tape, tape->by_node.slot, tape->by_node.slots * sizeof(uint32_t));
    ur_allocator allocator = tape->allocator;
    ur__free(&allocator, tape, sizeof *tape);
}

const char *ur_tape_error(const ur_tape *tape)
{
    if (!tape)
        return "no memory for a tape";
    return tape->error.text[0] ? tape->error.text : NULL;
}

void ur_tape_fail(ur_tape *tape, const char *format, ...)
{
    if (!tape)
        return;
    va_list list;
    va_start(list, format);
    ur__fail_list(&tape->error, format ? format : "an error without words", list);
    va_end(list);
}

ur_dtype ur_tape_dtype(const ur_tape *tape)
{
    return tape ? tape->dtype : UR_F32;
}

size_t ur_tape_nodes(const ur_tape *tape)
{
    return tape ? tape->nodes : 0;
}

size_t ur_tape_bytes(const ur_tape *tape)
{
    if (!tape)
        return 0;
    size_t bytes = sizeof *tape + tape->arena.bytes + tape->theta_room * ur_dtype_bytes(tape->dtype);
    bytes += tape->node_room * sizeof *tape->node + tape->in_room * sizeof *tape->in;
    bytes += tape->attr_room * sizeof *tape->attr + tape->shape_room * sizeof *tape->shape;
    bytes += tape->leaf_room * sizeof *tape->leaf + tape->scope_room * sizeof *tape->scope;
    bytes += tape->symbol_room * sizeof *tape->symbol + tape->sweep_room * sizeof *tape->sweep;
    bytes += (tape->param_room + tape->kept_room + tape->state_room + tape->constant_room + tape->mark_room) *
             sizeof(uint32_t);
    bytes += (tape->by_name.slots + tape->by_node.slots) * sizeof(uint32_t);
    for (size_t i = 0; i < tape->sweeps; i++)
        bytes += ((size_t)tape->sweep[i].y + 1) * sizeof(uint32_t);
    return bytes;
}

void *ur_tape_memory(ur_tape *tape, size_t bytes)
{
    if (!tape || tape->error.text[0])
        return NULL;
    void *memory = ur__arena_new(&tape->arena, &tape->allocator, bytes);
    if (memory)
        memset(memory, 0, bytes);
    else
        ur__fail(&tape->error, "no memory for %zu bytes", bytes);
    return memory;
}

/* ---- handles */

ur_var ur__poison(ur_tape *tape, const char *format, ...)
{
    if (tape && format) {
        va_list list;
        va_start(list, format);
        ur__fail_list(&tape->error, format, list);
        va_end(list);
    }
    return (ur_var){.tape = tape, .index = UR_NONE, .generation = tape ? tape->generation : 0};
}

bool ur__known(ur_tape *tape, ur_var v, const char *what)
{
    if (!tape)
        return false;
    if (v.tape != tape)
        return ur__fail(&tape->error, v.tape ? "%s: a value of another tape" : "%s: not a value of any tape", what);
    if (v.generation != tape->generation)
        return ur__fail(&tape->error, "%s: a stale value, from before ur_tape_clear", what);
    if (v.index >= tape->nodes)
        return ur__fail(&tape->error, "%s: not a value of this tape: ur_find found none, or an earlier call failed",
                        what);
    return true;
}

bool ur__valid(ur_tape *tape, ur_var v, const char *what)
{
    return tape && !tape->error.text[0] && ur__known(tape, v, what);
}

/* ---- recording */

static bool is_shape(const ur_shape *a, const ur_shape *b)
{
    int64_t differ = a->rank ^ b->rank;
    for (int i = 0; i < UR_RANK; i++)
        differ |= a->size[i] ^ b->size[i];
    return differ == 0;
}

/* The table's index of a shape; ranks count too, since a parameter's rank goes into files. */
static uint32_t shape_index(ur_tape *tape, ur_shape shape)
{
    uint64_t hash = (uint64_t)shape.rank;
    for (int i = 0; i < UR_RANK; i++) {
        shape.size[i] = i < shape.rank ? shape.size[i] : 1;
        hash = (hash ^ (uint64_t)shape.size[i]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    uint32_t *slot = &tape->shape_slot[hash >> 32 & (UR__SLOTS - 1)];
    if (*slot < tape->shapes && is_shape(&tape->shape[*slot], &shape))
        return *slot;
    size_t i = tape->shapes;
    while (i > 0 && !is_shape(&tape->shape[i - 1], &shape))
        i--;
    if (i > 0)
        return *slot = (uint32_t)i - 1;
    if (!ur__room(tape, &tape->shape, &tape->shape_room, tape->shapes, sizeof shape))
        return UR_NONE;
    tape->shape[tape->shapes] = shape;
    return *slot = (uint32_t)tape->shapes++;
}

/* The constants of a node. Those that another node had shortly before are the same, whatever its operation. */
static bool place_attr(ur_tape *tape, const ur_op *op, const double *attr, uint32_t *first)
{
    size_t count = (size_t)op->attrs, bytes = count * sizeof *attr;
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, attr + i, sizeof bits);
        hash = (hash ^ bits) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    uint32_t *slot = &tape->attr_slot[hash & (UR__SLOTS - 1)];
    *first = *slot;
    if (*slot + count <= tape->attrs && memcmp(tape->attr + *slot, attr, bytes) == 0)
        return true;
    if (!ur__room(tape, &tape->attr, &tape->attr_room, tape->attrs + count - 1, sizeof *attr))
        return false;
    *first = *slot = (uint32_t)tape->attrs;
    memcpy(tape->attr + tape->attrs, attr, bytes);
    tape->attrs += count;
    return true;
}

static ur_var append(ur_tape *tape, const ur_op *op, size_t inputs, const ur_var *in, uint32_t shape, uint32_t attr)
{
    if (tape->nodes >= UR_NONE - 1 || inputs > UR_NONE / 2 - tape->ins)
        return ur__poison(tape, "%s: the tape is full, %zu nodes", op->name, tape->nodes);
    if (shape == UR_NONE || !ur__room(tape, &tape->node, &tape->node_room, tape->nodes, sizeof *tape->node) ||
        (inputs && !ur__room(tape, &tape->in, &tape->in_room, tape->ins + inputs - 1, sizeof *tape->in)))
        return ur__poison(tape, NULL);
    for (size_t i = 0; i < inputs; i++)
        tape->in[tape->ins + i] = in[i].index;
    tape->node[tape->nodes] = (ur__node){.op = op,
                                         .in = (uint32_t)tape->ins,
                                         .inputs = (uint32_t)inputs & 0x7fffffffu,
                                         .shape = shape,
                                         .attr = attr,
                                         .scope = tape->scope_now,
                                         .step = tape->step_now};
    tape->ins += inputs;
    return ur__var(tape, (uint32_t)tape->nodes++);
}

bool ur__possible(ur_tape *tape, const char *what, ur_shape shape)
{
    char text[UR_SHAPE_TEXT], place[UR__PLACE];
    return ur_shape_count(shape) > 0 ||
           ur__fail(&tape->error,
                    "%s%s: the shape %s is not one that a tape holds: sizes from 1, at most 2^40 elements", what,
                    ur__place(tape, tape->scope_now, tape->step_now, place), ur_shape_text(shape, text));
}

ur_var ur__append(ur_tape *tape, const ur_op *op, size_t inputs, const ur_var *in, ur_shape shape, const double *attr)
{
    uint32_t first = 0;
    if (!ur__possible(tape, op->name, shape) || (op->attrs > 0 && !place_attr(tape, op, attr, &first)))
        return ur__poison(tape, NULL);
    return append(tape, op, inputs, in, shape_index(tape, shape), first);
}

bool ur_refuse(ur_shaping *s, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    ur__fail_list(&s->why, format, list);
    va_end(list);
    return false;
}

/* "matmul(Wphi[3,4], x[5,6]) in lstm/phi, step 3: inner sizes differ, 3 and 5" */
static ur_var refused(ur_tape *tape, const ur_op *op, size_t inputs, const ur_var *in, const char *why)
{
    char text[UR_ERROR_BYTES], operand[UR__OPERAND], place[UR__PLACE];
    ur__text out = {.text = text, .bytes = sizeof text};
    ur__print(&out, "%s(", op->name);
    for (size_t k = 0; k < inputs && k < 4; k++)
        ur__print(&out, "%s%s", k ? ", " : "", ur__operand(tape, in[k].index, operand));
    ur__print(&out, "%s)%s", inputs > 4 ? ", ..." : "", ur__place(tape, tape->scope_now, tape->step_now, place));
    return ur__poison(tape, "%s: %s", text, why);
}

enum { FEW = 8 };

/* Asks the operation for the result's shape. */
static ur_var record_shaped(ur_tape *tape, const ur_op *op, size_t inputs, const ur_var *in, const double *attr)
{
    ur_shape few[FEW], *shapes = few;
    if (inputs > FEW && !(shapes = (ur_shape *)ur__take(tape, inputs * sizeof *shapes)))
        return ur__poison(tape, NULL);
    for (size_t k = 0; k < inputs; k++)
        shapes[k] = ur__shape(tape, in[k].index);
    ur_shaping s = {.inputs = (int)inputs, .in = shapes, .attr = attr};
    bool fits = op->kind != UR_MAP                                 ? op->shape && op->shape(&s)
                : ur__broadcast_shape((int)inputs, shapes, &s.out) ? true
                                                                   : ur_refuse(&s, "sizes differ and neither is 1");
    if (shapes != few)
        ur__give(tape, shapes, inputs * sizeof *shapes);
    if (!fits)
        return refused(tape, op, inputs, in, s.why.text[0] ? s.why.text : "its shape rule refuses without a reason");
    return ur__append(tape, op, inputs, in, s.out, attr);
}

/* The same, unless the operation was asked the same before. */
static ur_var record_ruled(ur_tape *tape, const ur_op *op, size_t inputs, const ur_var *in, uint32_t first)
{
    const double *attr = op->attrs > 0 ? tape->attr + first : NULL;
    if (inputs > UR__SHAPED)
        return record_shaped(tape, op, inputs, in, attr);
    ur__ruling r = {.op = op, .attr = first};
    uint64_t hash = (uint64_t)(uintptr_t)op + first;
    for (size_t k = 0; k < inputs; k++) {
        r.in[k] = tape->node[in[k].index].shape;
        hash = (hash ^ r.in[k]) * UINT64_C(0x9e3779b97f4a7c15);
    }
    ur__ruling *known = &tape->ruling[hash >> 32 & (UR__RULINGS - 1)];
    bool same = known->op == op && known->attr == first && memcmp(known->in, r.in, sizeof r.in) == 0;
    if (same)
        return append(tape, op, inputs, in, known->out, first);
    ur_var v = record_shaped(tape, op, inputs, in, attr);
    if (v.index != UR_NONE) {
        r.out = tape->node[v.index].shape;
        *known = r;
    }
    return v;
}

/* Is the descriptor complete, as a user's may not be? */
static bool defined(ur_tape *tape, const ur_op *op, const double *attr)
{
    const char *name = op->name ? op->name : "an operation without a name";
    if (op->attrs < 0 || op->attrs > UR_ATTRS)
        return ur__fail(&tape->error, "%s: %d constants, from 0 to %d were expected", name, op->attrs, UR_ATTRS);
    if (op->attrs > 0 && !attr)
        return ur__fail(&tape->error, "%s: %d constants were expected, none were given", name, op->attrs);
    if (op->kind == UR_MAP ? !op->map || op->inputs > UR__MAP_INPUTS : !op->shape || !op->run || op->kind == UR_LEAF)
        return ur__fail(&tape->error, "%s: %s", name,
                        op->kind == UR_LEAF           ? "an operation is not of the kind UR_LEAF"
                        : op->kind != UR_MAP          ? "its descriptor has no shape rule or no specification"
                        : op->inputs > UR__MAP_INPUTS ? "an elementwise operation has at most 8 inputs"
                                                      : "its descriptor has no specification");
    return (op->name && op->kernel >= 0 && op->kernel < UR__KERNELS) ||
           ur__fail(&tape->error, "%s: its descriptor has no name or no kernel of the library", name);
}

ur_var ur_record(const ur_op *op, size_t inputs, const ur_var *in, const double *attr)
{
    ur_tape *tape = inputs && in ? in[0].tape : NULL;
    if (inputs && !in)
        return ur__poison(NULL, NULL);
    if (!op)
        return ur__poison(tape, "ur_record: an operation was expected, there is none");
    if (tape && !tape->error.text[0] && !defined(tape, op, attr))
        return ur__poison(tape, NULL);
    for (size_t k = 0; k < inputs; k++)
        if (!ur__usable(tape, in[k]) && !ur__valid(tape, in[k], op->name))
            return ur__poison(tape, NULL);
    if (!inputs || (op->inputs != UR_ANY_INPUTS && (size_t)op->inputs != inputs))
        return ur__poison(tape, "%s: takes %d input%s, not %zu", op->name, op->inputs, op->inputs == 1 ? "" : "s",
                          inputs);
    uint32_t shape = tape->node[in[0].index].shape, first = 0;
    if (op->attrs > 0 && !place_attr(tape, op, attr, &first))
        return ur__poison(tape, NULL);
    if (op->kind == UR_MAP || op == &ur_op_sum_of) { /* the common case: nothing is broadcast */
        size_t k = 1;
        while (k < inputs && tape->node[in[k].index].shape == shape)
            k++;
        if (k == inputs)
            return append(tape, op, inputs, in, shape, first);
    }
    return record_ruled(tape, op, inputs, in, first);
}
