/* plan.h - a plan: what its makers hand to its runner.
 *
 *     roll.c      the tape as loops, with join.c, chain.c, period.c and order.c; program.c
 *     hoist.c     loop-invariant code motion: what is the same in every step is computed once
 *     fuse.c      loop fusion: loops over the same steps become one
 *     early.c     what a later loop makes of an earlier one's values is made there
 *     remake.c    rematerialisation: values that are computed again in place of being saved
 *     form.c      makes the plan's forms, with masks and without, each by the passes below
 *     columns.c   which lines have the batch, and what is done before, within and after its blocks
 *     fold.c      lines that need no computation of their own: other names of values, products inside sums
 *     twin.c      common subexpressions: values that are computed twice, or that the caller reads
 *     group.c     statements -> launches, with terms.c, product.c, pointwise.c and contraction.c
 *     lengths.c   what is left of a step where sequences have ended
 *     share.c     storage reuse: which values may lie where others lay
 *     segment.c   whether the steps may run in segments, so that less is saved at once
 *
 *     layout.c    where the values of a line lie, by either form
 *     budget.c    how the work is cut for that, within so much memory
 *     memory.c    the areas of a plan's memory
 *     work.c      what a run costs, as an estimate
 *     address.c   where the arguments of launches lie, from that
 *     line.c      what several of these ask of a statement, an operand or a launch
 *     run.c       walks the launches, with tiles.c, launch.c and dense.c; worker.h
 *
 * The batch is cut into blocks of columns. A block runs all loops, forward and backward, before the next one begins, so
 * that what it saves stays in the cache; sums over the batch are kept for each block and added in the blocks' order.
 * Threads share out the blocks. These follow from shapes alone, so that results do not depend on the threads. */
#ifndef UR_PLAN_H
#define UR_PLAN_H

#include "kernels.h"
#include "pool.h"
#include "program.h"

enum { UR__CACHE_LINE = 64 }; /* bytes of a cache line: values begin on one */
#define UR__NOWHERE SIZE_MAX

/* ---- lines */

typedef enum ur__class {
    UR__ONCE,   /* without the batch */
    UR__BATCH,  /* its last dimension is the batch, and its columns do not know of each other */
    UR__REDUCED /* a sum over the batch: known when all blocks are through */
} ur__class;

typedef enum ur__time {
    UR__BEFORE, /* once, before the blocks */
    UR__WITHIN, /* in every block */
    UR__AFTER,  /* once, from the blocks' sums */
    UR__TIMES
} ur__time;

enum {               /* where the values of a line lie */
       UR__HOMELESS, /* never in memory */
       UR__IN_LEAF,
       UR__IN_CONST,
       UR__IN_BLOCK, /* memory that one block after another uses */
       UR__IN_PLAN,  /* memory of the plan: the whole batch */
       UR__IN_SUMS,  /* the block's parts of sums over the batch */
       UR__HOMES
};

/* What is decided for a line, and by whom. */
typedef struct ur__line_plan {
    /* columns.c */
    uint8_t class, time;
    size_t rows; /* elements of a value for one column; without the batch: all elements */
    /* fold.c */
    bool root;       /* the caller may read a value of it */
    bool alias;      /* value k is value source.first + source.stride * k of source.line: nothing is computed */
    bool inlined;    /* computed by its one reader, as a term of a sum of products */
    bool carried;    /* read in another iteration or loop than its own; group.c: by the caller, at a block's end */
    bool deferred;   /* a sum over the batch that only the sum `reader` adds up, over all its iterations */
    bool contracted; /* a sum over the batch that waits for the end of the block */
    bool turned;     /* contraction.c: its factors are exchanged */
    ur__ref source;
    uint32_t reader; /* the one line that reads it, UR_NONE: none, UR__MANY: several */
    /* group.c, product.c, pointwise.c */
    bool stored; /* lies in memory, at least for the rest of its iteration; form.c: roots, what the other form reads */
    uint32_t above, below; /* the lines that it is stacked with in memory, UR_NONE: none */
    /* lengths.c */
    bool zero;       /* a value is 0 in columns that have ended by its step */
    uint32_t needed; /* d: the value of step t must be right in every column that lasted at step t - d; 0: in none that
                      * has ended, UR_NONE: in all */
    uint32_t shows;  /* without masks: the line whose value it has in columns that have ended, mostly its own */
    /* share.c; segment.c takes back what segments do not allow */
    bool overwritten; /* each value lies where the one before it lay */
    bool covered;     /* another line lies over it */
    ur__ref over;     /* value k lies where value first + stride k of this line lay; UR_NONE's line: it has slots */
    /* segment.c */
    bool windowed; /* where steps run in segments, only those of one are saved ... */
    bool restored; /* ... and this much is kept for running a segment again: what its first steps read */
    /* layout.c */
    uint8_t home;
    bool wide;      /* its rows are as long as the batch: a block reads its own columns */
    size_t row;     /* elements between two rows in memory; with the batch in a block: as many as it has columns */
    size_t higher;  /* of a line that is stacked with others: their rows above it */
    uint32_t slots; /* values that lie apart: all or one */
    size_t offset;  /* of value 0; of a windowed line, if its segment were the first */
    ptrdiff_t slot_bytes;
    size_t window, window_bytes; /* of a windowed line: where its slots begin, and the bytes of one */
    uint8_t sum;                 /* over the batch: how the blocks make their parts, ur__summing */
    size_t part;                 /* where a block's is, from the first of its sort on */
    size_t tile;                 /* where its elements lie spread over a tile or all columns, UR__NOWHERE: nowhere */
} ur__line_plan;

/* ---- launches */

/* How blocks make their parts of a sum over the batch. What one contraction makes at the end of a block it writes, the
 * first block's where the sum itself lies. Everything else is added to parts that are zero when a block begins. */
typedef enum ur__summing { UR__UNSUMMED, UR__WRITTEN, UR__ADDED } ur__summing;

/* How an operand fills [rows, columns]. */
typedef enum ur__spread {
    UR__FULL,
    UR__ROW,     /* [1, columns]: every row is the same */
    UR__COLUMN,  /* [rows, 1] */
    UR__ELEMENT, /* one element */
    UR__PART     /* two vectors of the block's sums, whose lanes are added to */
} ur__spread;

typedef struct ur__argument {
    ur__ref ref;
    uint8_t spread;
    bool written;  /* by an instruction */
    bool tiled;    /* elements that are the same in all of the run: spread once, they lie in their line's tile */
    uint32_t as;   /* the line whose shape it has: another name of the value */
    uint32_t skip; /* rows of the value above the first one that is read */
    /* Once its line has a place: the value of iteration i lies at home + offset + i * step, or at leaf + i * step. */
    uint8_t home;
    bool known;    /* home, offset or leaf, and step are right: otherwise ur__view_of looks up where the value is */
    bool cut;      /* as wide as the batch: a block reads its own columns */
    bool own_rows; /* in the block's memory: rows are as long as the block is wide */
    union {
        ptrdiff_t offset;
        char *leaf;
    };
    ptrdiff_t step;
    size_t row, higher;
} ur__argument;

/* y = kernel(a, b, c), on a tile; with the kernels UR__REDUCE and UR__MEAN y = attr[0] times the sum of the rows of a, with
 * UR__ADD_LANES y += attr[0] times the elements of a, with UR__ADD_BCE_NET y += the cross-entropies of a and b: numbers of
 * operands of the launch, and from `operands` on of tile buffers. */
typedef struct ur__instruction {
    uint32_t kernel;
    uint32_t y, a, b, c;
    uint32_t attr; /* first constant */
    uint32_t line; /* what is computed, for explanations */
} ur__instruction;

/* A X, or A^T X: X is operand number x of the launch. */
typedef struct ur__product_term {
    ur__ref a;
    uint32_t x;
    bool transposed;
    size_t k, packed; /* where A's part lies among the packed elements */
} ur__product_term;

/* Elements to be packed before the blocks: rows first.. of a packed matrix, or of a bias (k = 0). */
typedef struct ur__packing {
    ur__ref a;
    bool transposed, narrow, fixed; /* fixed: what was packed in the first run stays */
    uint32_t panel, term;
    size_t first, m, k, packed;
} ur__packing;

/* A stretch of a contraction: n iterations of one phase, from `begin` on. The operands are A, then each matrix B. */
typedef struct ur__contraction_stretch {
    uint32_t operand, n, loop, begin;
} ur__contraction_stretch;

typedef enum ur__launch_kind {
    UR__POINTWISE, /* instructions, tile by tile; some may add to the block's parts */
    UR__PRODUCT,   /* rows of operand 0 = bias + sum of the terms; several lines, one below the other */
    UR__STATEMENT, /* operand 0 = op(the other operands), as the tape has it */
    UR__ADD_UP,    /* operand 0, the block's part, += op(the other operands) */
    UR__CONTRACT, /* operands 0 .. outputs-1, the block's parts, = or += contractions over time and batch, then row sums */
    UR__COLLECT /* operand 0 = the sum of the blocks' parts, and of the other operands */
} ur__launch_kind;

typedef struct ur__launch {
    uint8_t kind;
    bool batch;        /* on the columns of the block */
    bool sums;         /* of a contraction: sums of the rows of B as well */
    bool turned;       /* of a contraction: its results are transposes */
    uint32_t line;     /* what is computed */
    uint32_t rows, m;  /* of the result; contractions: of A, 0 if there is none, and of each B ... */
    uint32_t matrices; /* ... of which there are so many */
    uint32_t operand, operands, outputs;
    uint32_t first, count; /* instructions, terms or stretches */
    uint32_t piece; /* contractions: so many iterations at a time while the loop runs, 0: all at the end of the block */
    size_t room; /* of those: where in the worker's rooms its sums lie in between, those of blocks side by side apart */
    uint32_t totals;            /* the last instructions, which only add to sums over the batch */
    uint32_t packing, packings; /* of a product */
    bool packed;                /* it has them itself, no launch before it */
    bool narrow;                /* its lanes go along the features ... */
    bool in_place;              /* ... and it reads matrices and bias where they lie */
    bool biased;                /* otherwise: there is a packed bias */
    uint32_t buffers, panel;
    uint32_t bias;      /* of a product in place: the number of an operand, UR_NONE: none */
    size_t packed_bias; /* of another one: its first packed element */
} ur__launch;

/* What is left of a step past the end of a block's sequences: the value of a line is 0 or a copy. */
typedef struct ur__remainder {
    uint32_t line;
    ur__ref from;    /* UR_NONE's line: 0 */
    bool own;        /* the line's own value of the step before */
    uint32_t needed; /* as of the line */
} ur__remainder;

/* The launches of one time in one phase. */
typedef struct ur__span {
    uint32_t first, count;
} ur__span;

/* A state: after the run, value -> the plan's memory -> leaf, so that states may be exchanged. */
typedef struct ur__carry {
    uint32_t leaf, value;
    size_t offset;
} ur__carry;

/* The order of a block's loops where its steps run in segments: straight code before, the sweeps forward and back, which
 * take turns, straight code that is done when the sweep forward is through, and when all is. */
typedef enum ur__stage { UR__FIRST, UR__FORWARD, UR__BETWEEN, UR__BACK, UR__LAST } ur__stage;

/* Where the caller finds a node. */
typedef struct ur__export {
    uint32_t node, line, value;
    size_t offset; /* in the plan's memory, the whole batch */
    bool direct;   /* the line lies there; otherwise its value is copied */
} ur__export;

/* The areas of a plan's memory; each begins on a cache line. */
typedef enum ur__area {
    UR__AREA_MEMORY, /* the plan's: what the caller reads, values of the whole batch */
    UR__AREA_SUMS,   /* over the columns of each block */
    UR__AREA_PACKED, /* matrices and biases */
    /* each worker's own */
    UR__AREA_BLOCK,   /* values of the blocks at hand */
    UR__AREA_ACTIVE,  /* how many columns last in each step */
    UR__AREA_TILES,   /* elements that are the same in all of a run, spread over a tile */
    UR__AREA_CURSORS, /* and walks, calls, terms: worker.h */
    UR__AREA_ROOMS,   /* of contractions that go on piece by piece */
    UR__AREA_SCRATCH, /* of one launch after another */
    UR__AREAS,
    UR__FIRST_OWN_AREA = UR__AREA_BLOCK
} ur__area;

/* One way to compute what is asked, complete with where everything lies. A plan has two where there are masks: one that
 * selects by them, and one that assumes that all columns of a step are alive. Both have the same lines; the refs of a
 * second form are its own. */
typedef struct ur__form {
    /* plan.c: what it is made from */
    ur_tape *tape;
    const ur__kernels *kernels;
    bool assumes_alive; /* it reads no masks */
    bool fixed;
    ur__program program;
    ur__line_plan *line;
    ur__export *export; /* the roots in their order, the states' next values, other values that the caller may read */
    size_t roots, exports, root_bytes;

    /* columns.c, layout.c: the batch */
    int64_t batch;              /* 0: none */
    bool one_block, odd_phases; /* odd_phases: some line has the batch, but what a phase makes it from has not */
    size_t blocks, width;       /* width: the columns of the widest one */
    size_t abreast;             /* so many blocks are computed side by side */

    /* group.c and its writers: the launches */
    ur__launch *launch;
    ur__argument *argument;
    ur__instruction *instruction;
    ur__product_term *term;
    ur__packing *packing;
    ur__contraction_stretch *stretch;
    double *attr;
    size_t launches, arguments, instructions, terms, packings, stretches, attrs;
    size_t launch_room, argument_room, instruction_room, term_room, packing_room, stretch_room, attr_room;
    ur__span *span;         /* [UR__TIMES][phases] */
    ur__span finish;        /* contractions, at a block's end or while a loop runs */
    size_t packed_elements; /* of this form and of the one that was placed before it */

    /* form.c: where there are no such masks as lengths.c finds, every mask */
    ur__position *masks;
    size_t mask_count, mask_room;

    /* lengths.c: what is left to do past the ends */
    bool ends;     /* steps past the end of a block's sequences are known to be copies: rest[phase] of them */
    uint32_t mask; /* the line of masks; that of step t is value t + mask_origin, from mask_first to mask_end - 1 */
    int64_t mask_origin, mask_first, mask_end;
    ur__argument mask_values; /* those */
    ur__remainder *remainder;
    ur__span *rest;
    size_t remainders, remainder_room;

    /* segment.c, budget.c: steps in segments */
    uint8_t *stage; /* of each loop */
    int64_t first_step, direction;
    size_t sweep;                                     /* steps; 0: they cannot run in segments */
    size_t segments;                                  /* 1: all steps at once */
    size_t length;                                    /* steps of a segment; the last may have fewer */
    size_t halo;                                      /* steps of the neighbouring segments that a segment reads */
    size_t checkpoints, checkpoint, checkpoint_bytes; /* how many there is room for; where in a block; of one */

    /* layout.c, budget.c, memory.c: the areas of the plan's allocation. Of a worker's own these are those of worker 0; the
     * next one's lie worker_bytes further. */
    size_t bytes[UR__AREAS];
    char *at[UR__AREAS];
    size_t parts_bytes;   /* of what a block adds to: those of one block follow those of the one before it ... */
    size_t written_bytes; /* ... then what each block but the first writes */
    size_t worker_bytes;
    size_t most_operands;   /* of a launch */
    size_t addresses_bytes; /* of their addresses and shapes, at the beginning of scratch */
    size_t most_cursors, most_walks, most_calls, most_terms; /* arguments, launches, instructions, terms of a phase */
} ur__form;

struct ur_plan {
    ur__form form;                   /* with masks, if there are any; what comes before and after the blocks is its */
    ur__form *alive;                 /* without, for blocks whose columns end in order; NULL: there are no masks */
    struct ur__reference *reference; /* instead of both, NULL: it is not asked for */
    uint32_t generation;
    size_t nodes; /* of the tape when it was planned */
    bool finite, subnormals, given_roots, has_run;
    bool ran_alive; /* of one block, it was the other form that ran */
    size_t export_room, read_last;
    ur__carry *state;
    size_t states;
    ur_pool *pool;
    size_t workers; /* that a run wakes, the caller among them */
    char *allocation;
    size_t shared_bytes, allocation_bytes;
};

/* ---- making one: each returns false with the tape's error set */

/* As ur_plan_new, for the kernels of any instruction set that the processor has. */
ur_plan *ur__plan_with(ur_tape *tape, const ur_plan_options *options, const ur__kernels *kernels);

/* Both forms of the plan, when it is known which lines the caller reads. */
bool ur__make_forms(ur_plan *plan);
void ur__free_forms(ur_plan *plan);
bool ur__columns(ur__form *form);
bool ur__fold(ur__form *form);
/* Lines that are computed twice become aliases. */
bool ur__twins(ur__form *form);
bool ur__group(ur__form *form);
/* `masked`: the form with masks, `form` itself or the other one. */
bool ur__lengths(ur__form *form, const ur__form *masked);
bool ur__share(ur__form *form);
/* Finds out whether the steps may run in segments: form->sweep is their number then, else 0. */
bool ur__segments(ur__form *form);
/* Is there a plan of the tape as it is? False, with the tape's error set in the name of the call `what`, if it is stale. */
bool ur__plan_usable(const ur_plan *plan, const char *what);
/* The bytes that a checkpoint keeps of a line. */
static inline size_t ur__restored_bytes(const ur__form *form, const ur__line_plan *line)
{
    return line->windowed ? form->halo * line->window_bytes : (size_t)line->slot_bytes;
}
/* The step of an iteration, counted from 0 in the order of the sweep forward. */
int64_t ur__tau(const ur__form *form, uint32_t loop, int64_t iteration);
/* Gives the packed matrices their places: those that form `other` packs, if there is one, have them already. */
void ur__place_packed(ur__form *form, const ur__form *other);
/* Forgets what is packed twice, when the layout is final. */
void ur__drop_packings(ur__form *form);
/* Lays everything out for so many blocks, 0: as many as suit the cache. May be called again. */
bool ur__layout(ur_plan *plan, size_t blocks);
/* The number of blocks to try after this one, each about an eighth narrower; 0: they have one cache line of columns. */
size_t ur__more_blocks(const ur_plan *plan);
/* The layout that costs the least time in so many bytes, 0: any number; then as many workers as there is memory for. */
bool ur__lay_out_within(ur_plan *plan, size_t memory);
/* Where the states' next values lie, behind what is in the plan's memory. */
void ur__place_states(ur_plan *plan);
/* Adds up the bytes of everything, when all its areas are known. */
void ur__add_bytes(ur_plan *plan);
/* The allocation. What is written in a run before it is read there, sums and what a worker has, lies nearest to the thread
 * that writes it first: it is not cleared. */
bool ur__take_memory(ur_plan *plan);
/* May the plan take so many bytes? */
bool ur__fits(const ur_plan *plan, size_t bytes, size_t memory);
void ur__address(ur__form *form);
void ur__run(ur_plan *plan);
/* The first of the units of columns that belong to a block; block `blocks` begins after the last one. */
size_t ur__block_begin(const ur__form *form, size_t block);
/* Nanoseconds that the blocks of a run take one thread, roughly, from shapes. */
double ur__work(const ur__form *form);
/* Less than so many nanoseconds are not worth a thread. */
#define UR__WORTH_A_THREAD 20e3

/* The reference execution: node by node, with the operations' specifications in f64. */
bool ur__reference_new(ur_plan *plan);
void ur__reference_free(ur_plan *plan);
bool ur__reference_run(ur_plan *plan);
size_t ur__reference_bytes(const ur_plan *plan);
/* Where a node's value is, NULL if the plan does not compute it. */
void *ur__reference_value(const ur_plan *plan, uint32_t node);

/* The value itself where it has another name. Once the aliases are known, each stands for a value that is computed: the
 * way is one step long. */
static inline ur__ref ur__resolve(const ur__form *form, ur__ref r)
{
    while (form->line[r.line].alias) {
        const ur__ref *source = &form->line[r.line].source;
        r.first = source->first + source->stride * r.first;
        r.stride *= source->stride;
        r.line = source->line;
    }
    return r;
}

/* ---- what several makers ask (line.c) */

/* Does the line add values of one shape, with the batch? */
bool ur__adds(const ur__form *form, uint32_t line);
/* W X with a W that is there before the blocks, the same in all n values of r. */
bool ur__product_of(const ur__form *form, ur__ref r, uint32_t n, ur__ref *a, ur__ref *x);
/* How an operand fills the result; false if it does so in no simple way. */
bool ur__spread_of(const ur__form *form, ur__ref r, uint32_t line, uint8_t *spread);
/* How many of the n values of r, which are leaves, lie at one distance from each other, and the bytes of it. */
uint32_t ur__evenly_spaced(const ur__form *form, ur__ref r, uint32_t n, ptrdiff_t *bytes);
/* Does launch l write its operand number k? */
bool ur__writes(const ur__form *form, const ur__launch *l, uint32_t k);
/* Is the line saved in the block for other iterations or loops, and only for them: has each value a slot of its own? */
bool ur__is_saved(const ur__form *form, uint32_t line);
/* The bytes of a block's part of a sum over the batch: of one number two vectors, the sum of whose lanes it is. */
size_t ur__part_bytes(const ur__form *form, uint32_t line);

/* One operation on dense arrays. */
typedef struct ur__dense {
    const ur__kernels *kernels;
    ur_dtype dtype;
    const ur_op *op;
    const double *attr;
    uint32_t inputs;
    ur_shape *shape; /* of each input, then of the result */
    const void **in;
    void *out;
    double *scratch; /* for specifications in f32: room for all elements */
} ur__dense;

/* out = op(in...), on dense arrays. */
void ur__run_dense(const ur__dense *d);

static inline size_t ur__element_bytes(const ur__form *form)
{
    return form->tape->dtype == UR_F32 ? sizeof(float) : sizeof(double);
}
/* Elements of a tile of programs: enough vectors that a call is more than its beginning and its end. */
static inline size_t ur__tile(const ur__form *form)
{
    return form->kernels->lanes > 8 ? UR__TILE : UR__TILE / 2;
}
/* What the values of a line are. */
static inline const ur__kind *ur__line_kind(const ur__form *form, uint32_t line)
{
    return ur__kind_of(form->tape, form->program.line[line].node);
}
/* Is the line a constant of zeros? */
static inline bool ur__is_zero(const ur__form *form, uint32_t line)
{
    const ur__kind *kind = ur__line_kind(form, line);
    return kind->op == &ur_op_const && ur__attr(form->tape, kind)[0] == 0;
}
static inline ur_shape ur__line_shape(const ur__form *form, uint32_t line)
{
    return form->tape->shape[ur__line_kind(form, line)->shape];
}
/* The loop whose values a contraction goes over, UR_NONE: there is nothing. */
static inline uint32_t ur__contracted_loop(const ur__form *form, const ur__launch *l)
{
    return l->count ? form->stretch[l->first].loop : UR_NONE;
}
/* Have the values of two lines equal sizes? Mostly they are one shape of the tape's. */
static inline bool ur__same_shape(const ur__form *form, uint32_t a, uint32_t b)
{
    return ur__line_kind(form, a)->shape == ur__line_kind(form, b)->shape ||
           ur_shape_equal(ur__line_shape(form, a), ur__line_shape(form, b));
}

#endif
