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

/* ---- tables */

/* The arrays that grow with the recording: where in the tape are the pointer, the number of elements and the room. */
typedef struct table {
    size_t array, count, room, element_bytes;
} table;

#define TABLE(array, count)                                                                                            \
    {                                                                                                                  \
        offsetof(ur_tape, array), offsetof(ur_tape, count), offsetof(ur_tape, array##_room),                           \
            sizeof *((ur_tape *)0)->array                                                                              \
    }
static const table TABLES[] = {TABLE(node, nodes),   TABLE(kind, kinds),     TABLE(site, sites),   TABLE(in, ins),
                               TABLE(attr, attrs),   TABLE(shape, shapes),   TABLE(leaf, leaves),  TABLE(scope, scopes),
                               TABLE(sweep, sweeps), TABLE(symbol, symbols), TABLE(param, params), TABLE(kept, keeps),
                               TABLE(state, states), TABLE(mark, marks)};
#undef TABLE
enum { TABLE_COUNT = sizeof TABLES / sizeof *TABLES };

static void *array_at(ur_tape *tape, const table *t)
{
    return (char *)tape + t->array;
}

static size_t *count_of(ur_tape *tape, const table *t)
{
    return (size_t *)(void *)((char *)tape + t->count);
}

static size_t *room_of(ur_tape *tape, const table *t)
{
    return (size_t *)(void *)((char *)tape + t->room);
}

/* Gives back what a table has no elements for, if that is much. */
static void trim(ur_tape *tape, const table *t)
{
    const size_t much = 16384; /* bytes */
    size_t count = *count_of(tape, t), *room = room_of(tape, t);
    void *array;
    memcpy(&array, array_at(tape, t), sizeof array);
    if ((*room - count) * t->element_bytes < much)
        return;
    void *less = ur__resize(&tape->allocator, array, *room * t->element_bytes, count * t->element_bytes);
    if (!less)
        return;
    memcpy(array_at(tape, t), &less, sizeof less);
    *room = count;
}

void ur__trim(ur_tape *tape)
{
    for (size_t i = 0; i < TABLE_COUNT; i++)
        trim(tape, &TABLES[i]);
}

static void free_table(ur_tape *tape, const table *t)
{
    void *array;
    memcpy(&array, array_at(tape, t), sizeof array);
    ur__give(tape, array, *room_of(tape, t) * t->element_bytes);
}

static size_t table_bytes(const ur_tape *tape)
{
    size_t bytes = 0;
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        size_t room;
        memcpy(&room, (const char *)tape + TABLES[i].room, sizeof room);
        bytes += room * TABLES[i].element_bytes;
    }
    return bytes;
}

/* ---- indices */

bool ur__index_double(ur_tape *tape, ur__index *index)
{
    size_t slots = index->slots ? 2 * index->slots : 64;
    uint32_t *slot = (uint32_t *)ur__take(tape, slots * sizeof *slot);
    if (!slot)
        return false;
    ur__give(tape, index->slot, index->slots * sizeof *slot);
    *index = (ur__index){.slot = slot, .slots = slots};
    ur__index_clear(index);
    return true;
}

void ur__index_clear(ur__index *index)
{
    if (index->slot)
        memset(index->slot, 0, index->slots * sizeof *index->slot);
}

void ur__index_add(ur__index *index, uint32_t hash, size_t element)
{
    size_t i = ur__index_first(index, hash);
    while (index->slot[i])
        i = ur__index_next(index, i);
    index->slot[i] = (uint32_t)element + 1;
}

/* ---- life */

ur_tape *ur_tape_new(const ur_tape_options *options)
{
    const ur_dtype dtype = options ? options->dtype : UR_F32;
    if (dtype != UR_F32 && dtype != UR_F64)
        return NULL;
    ur_allocator allocator = ur__allocator(options ? &options->allocator : NULL);
    ur_tape *tape = (ur_tape *)ur__new(&allocator, sizeof *tape);
    if (!tape)
        return NULL;
    *tape = (ur_tape){.allocator = allocator, .dtype = dtype, .generation = 1};
    return tape;
}

static void free_sweeps(ur_tape *tape)
{
    for (size_t i = 0; i < tape->sweeps; i++)
        ur__give(tape, tape->sweep[i].adjoint, ((size_t)tape->sweep[i].y + 1) * sizeof(uint32_t));
}

void ur_tape_clear(ur_tape *tape)
{
    if (!tape)
        return;
    free_sweeps(tape);
    ur__arena_free(&tape->arena, &tape->allocator);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        *count_of(tape, &TABLES[i]) = 0;
    tape->theta_count = 0;
    memset(tape->ruling, 0, sizeof tape->ruling);
    tape->now = (ur__site){0};
    tape->site_last = 0;
    tape->error.text[0] = 0;
    tape->generation++;
    ur__index_clear(&tape->by_name);
    ur__index_clear(&tape->by_node);
    ur__index_clear(&tape->by_kind);
}

void ur_tape_free(ur_tape *tape)
{
    if (!tape)
        return;
    ur_tape_clear(tape);
    for (size_t i = 0; i < TABLE_COUNT; i++)
        free_table(tape, &TABLES[i]);
    ur__give(tape, tape->theta, tape->theta_room * ur_dtype_bytes(tape->dtype));
    ur__give(tape, tape->by_name.slot, tape->by_name.slots * sizeof(uint32_t));
    ur__give(tape, tape->by_node.slot, tape->by_node.slots * sizeof(uint32_t));
    ur__give(tape, tape->by_kind.slot, tape->by_kind.slots * sizeof(uint32_t));
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
    bytes += table_bytes(tape);
    bytes += (tape->by_name.slots + tape->by_node.slots + tape->by_kind.slots) * sizeof(uint32_t);
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

/* ---- shapes */

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
        hash = ur__mix(hash, (uint64_t)shape.size[i]);
    }
    uint32_t *slot = &tape->shape_slot[hash & (UR__SLOTS - 1)];
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

/* ---- kinds */

/* The hash of an operation with its constants. */
static uint64_t hash_op(const ur_op *op, const double *attr)
{
    uint64_t h = (uint64_t)(uintptr_t)op >> 4;
    for (int i = 0; i < op->attrs; i++) {
        uint64_t bits;
        memcpy(&bits, attr + i, sizeof bits);
        h = ur__mix(h, bits);
    }
    return h;
}

static uint32_t hash_kind(const ur__kind *k, const double *attr)
{
    return (uint32_t)ur__mix(hash_op(k->op, attr), (uint64_t)k->shape << 32 | k->inputs);
}

/* Has the kind these constants? */
static bool has_attr(const ur_tape *tape, const ur__kind *k, const double *attr)
{
    return k->op->attrs <= 0 || memcmp(tape->attr + k->attr, attr, (size_t)k->op->attrs * sizeof *attr) == 0;
}

static bool is_kind(const ur_tape *tape, const ur__kind *k, const ur__kind *other, const double *attr)
{
    return k->op == other->op && k->inputs == other->inputs && k->shape == other->shape && has_attr(tape, k, attr);
}

/* Doubles the index when it is half full. */
static bool kind_room(ur_tape *tape)
{
    if (!ur__room(tape, &tape->kind, &tape->kind_room, tape->kinds, sizeof *tape->kind))
        return false;
    if (tape->kinds * 2 < tape->by_kind.slots)
        return true;
    if (!ur__index_double(tape, &tape->by_kind))
        return false;
    for (size_t k = 0; k < tape->kinds; k++)
        ur__index_add(&tape->by_kind, hash_kind(&tape->kind[k], ur__attr(tape, &tape->kind[k])), k);
    return true;
}

static uint32_t add_kind(ur_tape *tape, ur__kind kind, const double *attr)
{
    size_t attrs = kind.op->attrs > 0 ? (size_t)kind.op->attrs : 0;
    if (!kind_room(tape) ||
        (attrs && !ur__room(tape, &tape->attr, &tape->attr_room, tape->attrs + attrs - 1, sizeof *attr)))
        return UR_NONE;
    for (size_t i = 0; i < attrs; i++)
        tape->attr[tape->attrs++] = attr[i];
    ur__index_add(&tape->by_kind, hash_kind(&kind, attr), tape->kinds);
    tape->kind[tape->kinds] = kind;
    return (uint32_t)tape->kinds++;
}

uint32_t ur__find_kind(ur_tape *tape, const ur_op *op, size_t inputs, ur_shape shape, const double *attr)
{
    ur__kind kind = {.op = op,
                     .inputs = (uint32_t)inputs,
                     .shape = shape_index(tape, shape),
                     .attr = (uint32_t)tape->attrs,
                     .node = (uint32_t)tape->nodes};
    if (kind.shape == UR_NONE)
        return UR_NONE;
    const ur__index *index = &tape->by_kind;
    for (size_t i = ur__index_first(index, hash_kind(&kind, attr)); index->slots && index->slot[i];
         i = ur__index_next(index, i))
        if (is_kind(tape, &tape->kind[index->slot[i] - 1], &kind, attr))
            return index->slot[i] - 1;
    return add_kind(tape, kind, attr);
}

/* ---- recording */

static bool same_site(ur__site a, ur__site b)
{
    return a.scope == b.scope && a.step == b.step;
}

/* Finds where nodes belong now in the table of sites. */
static bool find_site(ur_tape *tape)
{
    uint32_t *slot = &tape->site_slot[ur__mix(tape->now.scope, (uint64_t)tape->now.step) & (UR__SLOTS - 1)];
    if (*slot >= tape->sites || !same_site(tape->site[*slot], tape->now)) {
        if (!ur__room(tape, &tape->site, &tape->site_room, tape->sites, sizeof *tape->site))
            return false;
        tape->site[tape->sites] = tape->now;
        *slot = (uint32_t)tape->sites++;
    }
    tape->site_last = *slot;
    return true;
}

/* Is there room for a node with so many inputs, at the newest node's site? */
static bool has_room(const ur_tape *tape, size_t inputs)
{
    return tape->nodes < tape->node_room && inputs <= tape->in_room - tape->ins && tape->site_last < tape->sites &&
           same_site(tape->site[tape->site_last], tape->now);
}

static bool make_room(ur_tape *tape, size_t inputs)
{
    return find_site(tape) && ur__room(tape, &tape->node, &tape->node_room, tape->nodes, sizeof *tape->node) &&
           (!inputs || ur__room(tape, &tape->in, &tape->in_room, tape->ins + inputs - 1, sizeof *tape->in));
}

static inline ur_var append(ur_tape *tape, uint32_t kind, const ur_var *in)
{
    const size_t inputs = tape->kind[kind].inputs;
    if (tape->nodes >= UR_NONE / 2 || inputs > UR_NONE - tape->ins)
        return ur__poison(tape, "%s: the tape is full, %zu nodes", tape->kind[kind].op->name, tape->nodes);
    if (!has_room(tape, inputs) && !make_room(tape, inputs))
        return ur__poison(tape, NULL);
    for (size_t i = 0; i < inputs; i++)
        tape->in[tape->ins + i] = in[i].index;
    tape->node[tape->nodes] =
        (ur__node){.kind = kind, .in = (uint32_t)tape->ins, .site = tape->site_last & 0x7fffffffu};
    tape->ins += inputs;
    return ur__var(tape, (uint32_t)tape->nodes++);
}

ur_var ur__append(ur_tape *tape, uint32_t kind, const ur_var *in)
{
    return kind == UR_NONE ? ur__poison(tape, NULL) : append(tape, kind, in);
}

bool ur__possible(ur_tape *tape, const char *what, ur_shape shape)
{
    char text[UR_SHAPE_TEXT], place[UR__PLACE];
    return ur_shape_count(shape) > 0 ||
           ur__fail(&tape->error,
                    "%s%s: the shape %s is not one that a tape holds: sizes from 1, at most 2^40 elements", what,
                    ur__place(tape, tape->now, place), ur_shape_text(shape, text));
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
    ur__print(&out, "%s)%s", inputs > 4 ? ", ..." : "", ur__place(tape, tape->now, place));
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
    bool fits;
    if (op->kind != UR_MAP)
        fits = op->shape && op->shape(&s);
    else
        fits = ur__broadcast_shape((int)inputs, shapes, &s.out) || ur_refuse(&s, "sizes differ and neither is 1");
    if (shapes != few)
        ur__give(tape, shapes, inputs * sizeof *shapes);
    if (!fits)
        return refused(tape, op, inputs, in, s.why.text[0] ? s.why.text : "its shape rule refuses without a reason");
    if (!ur__possible(tape, op->name, s.out))
        return ur__poison(tape, NULL);
    return ur__append(tape, ur__find_kind(tape, op, inputs, s.out, attr), in);
}

/* The question to the operation's shape rule, *r: which result have these inputs? Returns where the answer to it is kept;
 * NULL where something about the inputs is wrong. */
static inline ur__ruling *question(const ur_op *op, size_t inputs, const ur_var *in, const double *attr, ur__ruling *r)
{
    if (inputs == 0 || inputs > UR__SHAPED || !in[0].tape || in[0].tape->error.text[0] || (op->attrs > 0 && !attr))
        return NULL;
    ur_tape *tape = in[0].tape;
    uint64_t hash = hash_op(op, attr);
    *r = (ur__ruling){.op = op, .inputs = (uint32_t)inputs};
    for (size_t k = 0; k < inputs; k++) {
        if (in[k].tape != tape || in[k].generation != tape->generation || in[k].index >= tape->nodes)
            return NULL;
        r->in[k] = ur__kind_of(tape, in[k].index)->shape;
        hash = hash * 31 + r->in[k];
    }
    return &tape->ruling[ur__mix(hash, 0) & (UR__RULINGS - 1)];
}

/* The kind of the result where the operation was asked the same before; else UR_NONE. */
static inline uint32_t known_kind(const ur_op *op, size_t inputs, const ur_var *in, const double *attr)
{
    ur__ruling r;
    const ur__ruling *known = question(op, inputs, in, attr, &r);
    if (!known || known->op != op || known->inputs != inputs || memcmp(known->in, r.in, sizeof r.in) != 0)
        return UR_NONE;
    return has_attr(in[0].tape, &in[0].tape->kind[known->kind], attr) ? known->kind : UR_NONE;
}

/* Asks, and keeps the answer. The constants may be those of a node, in the tape's table: they are copied before it moves. */
static ur_var record(ur_tape *tape, const ur_op *op, size_t inputs, const ur_var *in, const double *attr)
{
    double own[UR_ATTRS];
    if (op->attrs > 0)
        attr = (const double *)memcpy(own, attr, (size_t)op->attrs * sizeof *own);
    ur_var v = record_shaped(tape, op, inputs, in, attr);
    ur__ruling r, *kept = question(op, inputs, in, attr, &r);
    if (v.index != UR_NONE && kept) {
        r.kind = tape->node[v.index].kind;
        *kept = r;
    }
    return v;
}

/* Are the holes of a formula those of inputs that there are, or {c} where there are constants? */
static bool has_good_holes(const ur_op *op, size_t inputs)
{
    for (const char *c = op->print; c && (c = strchr(c, '{')); c++) {
        const bool input = c[1] >= '0' && c[1] <= '9' && (size_t)(c[1] - '0') < inputs;
        const bool marked = input && c[2] && (strchr("+*^", c[2]) || (c[2] == '\'' && c[1] - '0' < op->attrs));
        if ((!input && (c[1] != 'c' || op->attrs == 0)) || c[marked ? 3 : 2] != '}')
            return false;
    }
    return true;
}

/* Is the descriptor complete, as a user's may not be? */
static bool defined(ur_tape *tape, const ur_op *op, size_t inputs, const double *attr)
{
    const char *name = op->name ? op->name : "an operation without a name";
    if (op->attrs < 0 || op->attrs > UR_ATTRS)
        return ur__fail(&tape->error, "%s: %d constants, from 0 to %d were expected", name, op->attrs, UR_ATTRS);
    if (op->attrs > 0 && !attr)
        return ur__fail(&tape->error, "%s: %d constants were expected, none were given", name, op->attrs);
    if (!has_good_holes(op, inputs))
        return ur__fail(&tape->error, "%s: of the holes {0} to {%zu}%s one was expected at each { of its formula %s",
                        name, inputs ? inputs - 1 : 0, op->attrs > 0 ? " and {c}" : "", op->print);
    if (op->kind == UR_MAP ? !op->map || inputs > UR__MAP_INPUTS : !op->shape || !op->run || op->kind == UR_LEAF)
        return ur__fail(&tape->error, "%s: %s", name,
                        op->kind == UR_LEAF       ? "an operation is not of the kind UR_LEAF"
                        : op->kind != UR_MAP      ? "its descriptor has no shape rule or no specification"
                        : inputs > UR__MAP_INPUTS ? "an elementwise operation has at most 8 inputs"
                                                  : "its descriptor has no specification");
    return (op->name && op->kernel >= 0 && op->kernel < UR__KERNELS) ||
           ur__fail(&tape->error, "%s: its descriptor has no name or no kernel of the library", name);
}

/* Says what is wrong, or asks the operation. */
static ur_var record_new(const ur_op *op, size_t inputs, const ur_var *in, const double *attr)
{
    ur_tape *tape = NULL;
    if (inputs && !in)
        return ur__poison(NULL, NULL);
    for (size_t k = 0; k < inputs && !tape; k++)
        tape = in[k].tape;
    if (!op)
        return ur__poison(tape, "ur_record: an operation was expected, there is none");
    if (tape && !tape->error.text[0] && !defined(tape, op, inputs, attr))
        return ur__poison(tape, NULL);
    for (size_t k = 0; k < inputs; k++)
        if (!ur__usable(tape, in[k]) && !ur__valid(tape, in[k], op->name))
            return ur__poison(tape, NULL);
    if (!inputs || (op->inputs != UR_ANY_INPUTS && (size_t)op->inputs != inputs))
        return ur__poison(tape, "%s: takes %d input%s, not %zu", op->name, op->inputs, op->inputs == 1 ? "" : "s",
                          inputs);
    return record(tape, op, inputs, in, attr);
}

ur_var ur_record(const ur_op *op, size_t inputs, const ur_var *in, const double *attr)
{
    uint32_t known = op && in ? known_kind(op, inputs, in, attr) : UR_NONE;
    return known != UR_NONE ? append(in[0].tape, known, in) : record_new(op, inputs, in, attr);
}
