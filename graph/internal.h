/* internal.h - what the files of graph share: the tape's tables. Nothing outside graph includes this.
 *
 *     graph.h       what users of the library see
 *     tape.c        a tape's life, its tables, the recording of a node; shape.c, leaves.c, names.c
 *     structural.c  the operations that the graph itself needs
 *     grad.c        gradients, recorded on the tape; equal.c: what is the same in every step has one adjoint
 *     check.c       gradients against differences
 *     look.c        nodes and formulas; dot.c: diagrams
 *     plan.h        plans: its own map
 *     reference.c   what a plan is tested against: node by node, in f64; dense.c: one operation
 *     explain.h     plans in words
 *     kernels.h     which fast kernels ops/kernels has
 *     support.c     errors, memory, text; pages.c, random.c, pool.c: large pages, random numbers, threads */
#ifndef UR_GRAPH_INTERNAL_H
#define UR_GRAPH_INTERNAL_H

#include <stdarg.h>

#include "graph.h"
#include "support.h"

/* What nodes of one kind have in common. A tape that is unrolled over time has many nodes of few kinds; each kind is in
 * the table once. */
typedef struct ur__kind {
    const ur_op *op;
    uint32_t inputs;
    uint32_t shape;
    uint32_t attr; /* first constant */
    uint32_t node; /* the first of the kind */
} ur__kind;

/* Where nodes belong. */
typedef struct ur__site {
    uint32_t scope;
    int32_t step;
} ur__site;

/* A node: 12 bytes, for most of a long tape are nodes. Its inputs are in[in], in[in + 1], ... of the tape's list; a leaf
 * has none, and its number there. */
typedef struct ur__node {
    uint32_t kind;
    uint32_t in;
    uint32_t site : 31;
    uint32_t kept : 1; /* marked by ur_keep */
} ur__node;

typedef struct ur__leaf {
    const char *name;
    union {
        void *data;    /* inputs: the leaf's own memory */
        size_t offset; /* parameters: first element in the vector */
    };
    uint32_t node;
} ur__leaf;

typedef struct ur__scope {
    uint32_t parent;
    bool module;
    const char *name;
} ur__scope;

/* A name: of a parameter, or of a node at its step. */
typedef struct ur__symbol {
    const char *name;
    uint32_t hash;
    uint32_t node;
} ur__symbol;

/* Open addressing over a table: slot 0 is empty, s stands for element s-1. */
typedef struct ur__index {
    uint32_t *slot;
    size_t slots;
} ur__index;

/* What ur_grad found for one y: the adjoint of each node up to y, UR_NONE where there is none yet.
 * The first of equal nodes has that of all, unless each was asked for by itself. */
typedef struct ur__sweep {
    uint32_t y;
    bool apart;
    uint32_t *adjoint;
} ur__sweep;

/* What the shape rule of an operation said to some operands: their shapes, and the kind of the result. */
enum { UR__SHAPED = 3 };
typedef struct ur__ruling {
    const ur_op *op;
    uint32_t inputs, in[UR__SHAPED], kind;
} ur__ruling;

enum { UR__SLOTS = 64, UR__RULINGS = 256 };

struct ur_tape {
    ur_allocator allocator;
    ur_dtype dtype;
    uint32_t generation;
    ur_error error;
    ur__arena arena; /* names and the memory of inputs */

    ur__node *node;
    ur__kind *kind;
    ur__site *site;
    uint32_t *in;
    double *attr;
    ur_shape *shape;
    ur__leaf *leaf;
    ur__scope *scope;
    ur__symbol *symbol;
    ur__sweep *sweep;
    uint32_t *param; /* leaves that are parameters, in order */
    uint32_t *kept;
    uint32_t *state; /* state nodes */
    uint32_t *mark;  /* number of nodes where a piece of a loop's body may begin */
    size_t nodes, kinds, sites, ins, attrs, shapes, leaves, scopes, symbols, sweeps, params, keeps, states, marks;
    size_t node_room, kind_room, site_room, in_room, attr_room, shape_room, leaf_room, scope_room, symbol_room,
        sweep_room, param_room, kept_room, state_room, mark_room;

    void *theta; /* the parameters' vector */
    size_t theta_count, theta_room;
    ur__index by_name, by_node, by_kind;
    /* What was looked for last, by its hash: a shape, a site, a symbol with a name. */
    uint32_t shape_slot[UR__SLOTS], site_slot[UR__SLOTS], name_slot[UR__SLOTS];
    ur__ruling ruling[UR__RULINGS]; /* the same of shape rules */
    ur__site now;                   /* of nodes to come */
    uint32_t site_last;             /* of the newest node */
};

/* The structural operations. */
extern const ur_op ur_op_input, ur_op_param, ur_op_const, ur_op_state, ur_op_sum_of, ur_op_reduce_to, ur_op_broadcast,
    ur_op_select, ur_op_detach;

/* Poison, with the error set by printf's format unless there is one. */
ur_var ur__poison(ur_tape *tape, const char *format, ...) UR_PRINTF(2, 3);
/* Can the handle be used on this tape? */
static inline bool ur__usable(const ur_tape *tape, ur_var v)
{
    return tape && v.tape == tape && v.generation == tape->generation && v.index < tape->nodes && !tape->error.text[0];
}
/* The same; otherwise the tape's error names `what`. ur__known is for looking only, which an earlier error does not
 * prevent: what was recorded before it is there. */
bool ur__known(ur_tape *tape, ur_var v, const char *what);
bool ur__valid(ur_tape *tape, ur_var v, const char *what);
static inline ur_var ur__var(ur_tape *tape, uint32_t index)
{
    return (ur_var){.tape = tape, .index = index, .generation = tape->generation};
}

/* False, with the tape's error set, for a shape that no tape holds. */
bool ur__possible(ur_tape *tape, const char *what, ur_shape shape);
/* The number of a kind, whose shape is right; UR_NONE, with the tape's error set, when there is no memory. */
uint32_t ur__find_kind(ur_tape *tape, const ur_op *op, size_t inputs, ur_shape shape, const double *attr);
/* Appends a node of the kind. */
ur_var ur__append(ur_tape *tape, uint32_t kind, const ur_var *in);
/* What the node has. */
static inline const ur__kind *ur__kind_of(const ur_tape *tape, uint32_t node)
{
    return &tape->kind[tape->node[node].kind];
}
static inline const ur_op *ur__op(const ur_tape *tape, uint32_t node)
{
    return ur__kind_of(tape, node)->op;
}
static inline ur_shape ur__shape(const ur_tape *tape, uint32_t node)
{
    return tape->shape[ur__kind_of(tape, node)->shape];
}
static inline const ur__site *ur__site_of(const ur_tape *tape, uint32_t node)
{
    return &tape->site[tape->node[node].site];
}
static inline int32_t ur__step(const ur_tape *tape, uint32_t node)
{
    return ur__site_of(tape, node)->step;
}
static inline uint32_t ur__in(const ur_tape *tape, uint32_t node, uint32_t k)
{
    return tape->in[tape->node[node].in + k];
}
static inline const double *ur__attr(const ur_tape *tape, const ur__kind *kind)
{
    return kind->op->attrs > 0 ? tape->attr + kind->attr : NULL;
}
static inline bool ur__is_leaf(const ur__kind *kind)
{
    return kind->op == &ur_op_input || kind->op == &ur_op_param;
}
const char *ur__name_of(const ur_tape *tape, uint32_t node);
/* The node that a chain of masks, select(alive, value, other), shows where columns are alive: in formulas and diagrams
 * the lengths of sequences do not appear. Other nodes show themselves. */
uint32_t ur__unmasked(const ur_tape *tape, uint32_t node);
/* The memory of an input or parameter. */
void *ur__leaf_data(const ur_tape *tape, uint32_t node);
/* The same for a handle; NULL with the tape's error set, in the name of the call `what`, for what is no leaf. */
void *ur__leaf_for(ur_var leaf, const char *what);
/* A formula with holes, ur_op.print: {0} is operand 0, {c} the constant attr[0]. An operand binds as the whole does if
 * the text begins with it, else tighter; {0+}, {0*} and {0^} bind as in a sum, in a product and under a power; {k'} is
 * transposed where attr[k] is not 0. `operand` prints number k, in parentheses where it binds less tightly than `binds` or
 * begins with a minus without being the first. */
typedef struct ur__pattern {
    const char *text;
    int binds;
    const double *attr;
    void (*operand)(void *user, uint32_t k, int binds, bool first, ur__text *out);
    void *user;
} ur__pattern;
void ur__print_pattern(const ur__pattern *p, ur__text *out);
/* "Wphi[3,4]", "tanh[4,2]": for error texts. Returns `text`. */
enum { UR__OPERAND = 160 };
const char *ur__operand(const ur_tape *tape, uint32_t node, char text[UR__OPERAND]);
/* " in lstm/phi, step 3": where nodes of the site are, or nothing. Returns `text`. */
enum { UR__PLACE = 256 };
const char *ur__place(const ur_tape *tape, ur__site site, char text[UR__PLACE]);
/* Parameters' names have no time. A leaf's name may be taken only once; returns the full name, with its modules. */
enum { UR__PARAM_STEP = -1, UR__PATH = 200 };
uint32_t ur__find_param(const ur_tape *tape, const char *name);
const char *ur__name_leaf(ur_tape *tape, const char *name, int64_t step, uint32_t node);
/* The scope path. */
void ur__path(const ur_tape *tape, uint32_t scope, char *text, size_t bytes);

/* Remembers that a piece of a loop's body may begin here: at every ur_step, and where ur_grad comes to the adjoints of
 * another piece. False, with the tape's error set, when there is no memory. */
bool ur__mark(ur_tape *tape);

/* Finds the values that are the same in every step: first[v] is the first node that is equal to v, mostly v itself. False
 * when no two are equal, or without memory, which sets the tape's error. */
enum { UR__TIMELESS = 1, UR__SHARED = 2 }; /* of state[v]; shared: other nodes are equal to it */
bool ur__find_equal(ur_tape *tape, uint32_t nodes, uint32_t *first, uint8_t *state);

/* Makes room for one more element; false, with the tape's error set, when there is no memory. */
bool ur__more_room(ur_tape *tape, void *array_pointer, size_t *room, size_t count, size_t element_bytes);
static inline bool ur__room(ur_tape *tape, void *array_pointer, size_t *room, size_t count, size_t element_bytes)
{
    return count < *room || ur__more_room(tape, array_pointer, room, count, element_bytes);
}
/* Twice as many slots, all of them empty; false, with the tape's error set, when there is no memory. */
bool ur__index_double(ur_tape *tape, ur__index *index);
void ur__index_clear(ur__index *index);
void ur__index_add(ur__index *index, uint32_t hash, size_t element);
/* The slots in which an element of this hash may be, up to the first empty one. */
static inline size_t ur__index_first(const ur__index *index, uint32_t hash)
{
    return hash & (index->slots - 1);
}
static inline size_t ur__index_next(const ur__index *index, size_t slot)
{
    return (slot + 1) & (index->slots - 1);
}
/* When much has been recorded and nothing more may come: gives back the room that the tables do not fill. */
void ur__trim(ur_tape *tape);

/* An elementwise operation has no more inputs. */
enum { UR__MAP_INPUTS = 8 };
/* Runs one node's specification on doubles: elementwise operations with their broadcast, others by their `run`. */
void ur__specification(const ur_op *op, const ur_call *c);

/* The shape that the inputs broadcast to; false when they do not. */
bool ur__broadcast_shape(int inputs, const ur_shape *in, ur_shape *out);
/* Steps through `shape` for an operand of shape `from`: element strides, 0 where it is broadcast. */
void ur__strides(ur_shape from, ur_shape shape, size_t stride[UR_RANK]);
/* All UR_RANK sizes: those that are left out are 1. */
static inline void ur__sizes(ur_shape shape, size_t size[UR_RANK])
{
    for (int i = 0; i < UR_RANK; i++)
        size[i] = i < shape.rank ? (size_t)shape.size[i] : 1;
}

#endif
