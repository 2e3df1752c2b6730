/* graph.h - the tape: record tensor operations, differentiate them, run them.
 *
 *     record         plain calls append nodes, shapes are checked at once
 *     differentiate  ur_grad appends the derivative to the same tape
 *     plan           ur_plan_new decides what is computed, where and how
 *     run            ur_plan_run replays the plan on new data without allocating
 *     look           ur_formula, ur_dot and ur_check read the same tape
 *
 * Values are dense arrays of up to four dimensions in row-major order. A step of a recurrent network is
 * [features, batch]: a vector is a column, the batch is the last dimension. A shape is completed by ones on the right,
 * so b[m] is the column [m,1], and a size of 1 is broadcast against any size.
 *
 * Errors: the first one stays in the tape as one line (ur_tape_error). Every call after it does nothing and returns a
 * poisoned handle, so a model is written as one expression and tested once at its end. Nothing here prints or exits.
 * A tape and its plans belong to one thread at a time; different tapes may be used in different threads. */
#ifndef UR_GRAPH_H
#define UR_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define UR_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define UR_PRINTF(text, first)
#endif

/* ---- errors and memory ------------------------------------------------------------------------------------------ */

/* One line that says where, what was found and what was expected; empty while all is well. The first error stays. */
enum { UR_ERROR_BYTES = 512 };
typedef struct ur_error {
    char text[UR_ERROR_BYTES];
} ur_error;

/* Where all memory comes from. `resize` grows or shrinks a block of `old_bytes` (NULL, 0: a new one) and may move it;
 * `new_bytes` 0 frees it. It returns NULL when there is no memory, and the old block stays as it was. */
typedef struct ur_allocator {
    void *(*resize)(void *user, void *block, size_t old_bytes, size_t new_bytes);
    void *user;
} ur_allocator;

/* ---- types and shapes ------------------------------------------------------------------------------------------- */

typedef enum ur_dtype { UR_F32, UR_F64 } ur_dtype;

/* 4 or 8. */
size_t ur_dtype_bytes(ur_dtype dtype);

enum { UR_RANK = 4 };

/* Sizes past the rank are 1. Rank 0 is a scalar. */
typedef struct ur_shape {
    int rank;
    int64_t size[UR_RANK];
} ur_shape;

/* UR_SHAPE(m, B) is the shape [m,B]; UR_SIZES(m, B) initialises one in a constant. */
#define UR_SIZES(...)                                                                                                  \
    {                                                                                                                  \
        .rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), .size = { __VA_ARGS__ }                     \
    }
#define UR_SHAPE(...) ((ur_shape)UR_SIZES(__VA_ARGS__))
#define UR_SCALAR ((ur_shape){.rank = 0})

/* Number of elements; 0 for a shape that no tape accepts (a size below 1, or too many elements). */
size_t ur_shape_count(ur_shape shape);
/* Equal sizes; [m] equals [m,1]. */
bool ur_shape_equal(ur_shape a, ur_shape b);
/* Writes "[3,4]" ("[]" for a scalar) and returns `text`. */
enum { UR_SHAPE_TEXT = 96 };
const char *ur_shape_text(ur_shape shape, char text[UR_SHAPE_TEXT]);

/* ---- the tape --------------------------------------------------------------------------------------------------- */

typedef struct ur_tape ur_tape;

/* A value on a tape: passed by value, composes like mathematics, knows when it is stale. */
typedef struct ur_var {
    ur_tape *tape;
    uint32_t index;
    uint32_t generation;
} ur_var;

typedef struct ur_tape_options {
    ur_dtype dtype;         /* of every value on the tape */
    ur_allocator allocator; /* zero: malloc */
} ur_tape_options;

/* NULL options: f32 and malloc. NULL when there is no memory or no such type; every call accepts a NULL tape and does
 * nothing. */
ur_tape *ur_tape_new(const ur_tape_options *options);
/* Frees the tape with all that it owns. Its plans must be freed before. */
void ur_tape_free(ur_tape *tape);
/* Forgets all nodes, leaves and the error, and keeps the memory. Older handles are stale from then on. */
void ur_tape_clear(ur_tape *tape);
/* NULL while all is well. The text lives as long as the tape. */
const char *ur_tape_error(const ur_tape *tape);
/* Puts an error of the caller's own into the tape, unless there is one already; printf's format. */
void ur_tape_fail(ur_tape *tape, const char *format, ...) UR_PRINTF(2, 3);
ur_dtype ur_tape_dtype(const ur_tape *tape);
/* Number of nodes, and the bytes that nodes, leaves and names take now. */
size_t ur_tape_nodes(const ur_tape *tape);
size_t ur_tape_bytes(const ur_tape *tape);
/* Zeroed memory for the caller's own tables, freed with the tape's nodes. NULL, with the error set, if there is none. */
void *ur_tape_memory(ur_tape *tape, size_t bytes);

/* ---- leaves ----------------------------------------------------------------------------------------------------- */

/* A value that the caller writes before a run; starts as 0. One name is one input of the step, a second one is an error;
 * modules do not come before it. */
ur_var ur_input(ur_tape *tape, const char *name, ur_shape shape);
/* One input for each of the steps 1..steps, in `out[0..steps-1]`; their memory is one block [steps][shape]. */
bool ur_inputs(ur_tape *tape, const char *name, ur_shape shape, int64_t steps, ur_var *out);
/* A value that training changes; starts as 0. A second call with this name returns the first one's handle, so that a
 * cell may ask for its weights at every step; a second shape is an error. The open modules' names come before it, with
 * dots: `layer0.Wh`. */
ur_var ur_param(ur_tape *tape, const char *name, ur_shape shape);
/* Every element is `value`. Equal constants are one value, with one name and one gradient for all its uses: what is to have
 * its own is an input. */
ur_var ur_const(ur_tape *tape, ur_shape shape, double value);

/* Writes a leaf from `count` doubles, in row-major order; `count` is the leaf's number of elements. */
bool ur_write(ur_var leaf, size_t count, const double *values);
/* The memory of an input or parameter, in the tape's type. An input's lives as long as the tape, a parameter's until
 * the next ur_param. NULL for what is no such leaf. An earlier error of the tape does not hinder it. */
void *ur_leaf(ur_var leaf);

/* All parameters lie in one vector, in order of their first ur_param: an optimiser is one loop. The pointer is valid
 * until the next ur_param. */
void *ur_params(ur_tape *tape, size_t *count);
/* The parameters one by one: `k` counts from 0, false past the last. Any result pointer may be NULL; `offset` counts
 * elements in the vector. */
bool ur_param_at(ur_tape *tape, size_t k, ur_var *param, const char **name, size_t *offset);
/* Copies the values of all parameters of `from` to those of `to`, by name, whatever the types. Every parameter of `to`
 * must be in `from` with the same shape. */
bool ur_params_copy(ur_tape *to, ur_tape *from);

/* ---- where we are: time, scopes, names -------------------------------------------------------------------------- */

/* Nodes recorded from now on belong to time step t = 1, 2, ...; 0 ends this. The lecture's t. */
void ur_step(ur_tape *tape, int64_t t);
/* Nodes recorded until ur_scope_close belong to this scope, for error texts and diagrams: `lstm/phi`. */
void ur_scope_open(ur_tape *tape, const char *name);
/* A scope that also comes before the names of the parameters declared within it. */
void ur_module_open(ur_tape *tape, const char *name);
void ur_scope_close(ur_tape *tape);
/* Gives a value its name in formulas, diagrams and error texts, and for ur_find at the value's step, with the open modules
 * before it: `layer0.h`. Another value of this name at the same step is an error. Returns the value. */
ur_var ur_name(ur_var value, const char *name);
/* The value of this name at step t (0: outside any step), or the parameter of this name. Its index is UR_NONE when
 * there is none, without error. */
ur_var ur_find(ur_tape *tape, const char *name, int64_t t);
#define UR_NONE UINT32_MAX

/* ---- structural nodes ------------------------------------------------------------------------------------------- */

/* condition != 0 ? a : b, elementwise and broadcast; what is not selected is not read, so a NaN there does not matter.
 * The condition has no gradient. */
ur_var ur_select(ur_var condition, ur_var a, ur_var b);
/* The sum of n > 0 values of one shape, in this order. */
ur_var ur_total(size_t n, const ur_var *values);
/* Sums over the dimensions where `shape` has 1 and the value has not: undoes a broadcast. */
ur_var ur_reduce_to(ur_var value, ur_shape shape);
/* Repeats along the dimensions of size 1. */
ur_var ur_broadcast(ur_var value, ur_shape shape);
/* The same value; no gradient flows through it. */
ur_var ur_detach(ur_var value);
/* After every run `value` is copied to the input `leaf` of the same shape: the state of the next run. */
bool ur_state(ur_var leaf, ur_var value);

/* ---- gradients -------------------------------------------------------------------------------------------------- */

/* out[i] = d sum(y) / d wrt[i], the total derivative, for any n nodes: parameters, inputs, a gate's net value at one
 * step. The derivative is recorded on the same tape from the operations' own rules, so it can be differentiated again.
 * A node that y does not depend on gets zeros. The tape keeps what it found for y: a later call for the same y goes on
 * from there. `out` may be `wrt`. */
bool ur_grad(ur_var y, size_t n, const ur_var *wrt, ur_var *out);

/* ---- plan and run ----------------------------------------------------------------------------------------------- */

/* Marks a value to be read after a run. Returns it. */
ur_var ur_keep(ur_var value);

/* Threads that plans share: the calling thread and `threads - 1` that wait for work. NULL when there is no memory; where
 * the system gives fewer threads, or fewer than 1 are asked for, ur_pool_threads tells. A pool may be used by plans of
 * different threads; while it is at work for one, another one's thread works alone. A forked process has no part in it.
 * NULL allocator: malloc. */
typedef struct ur_pool ur_pool;
ur_pool *ur_pool_new(int threads, const ur_allocator *allocator);
/* Its plans must be freed before. */
void ur_pool_free(ur_pool *pool);
/* At least 1; a NULL pool is the calling thread alone. */
int ur_pool_threads(const ur_pool *pool);

typedef struct ur_plan ur_plan;

typedef struct ur_plan_options {
    bool reference;     /* node by node with the operations' specifications in f64: slow, the oracle of the tests */
    bool finite;        /* ur_plan_run fails at the first NaN or infinity and names its node, step and column: a search
                           by the reference, as slow */
    bool subnormals;    /* numbers below the smallest normal one are kept; otherwise a run takes them for 0 where the
                           processor can, for they are slow. The reference keeps them */
    bool fixed;         /* the parameters have at every run the values of the first one: their matrices are made ready
                           once, which a network that runs step by step gains by. Other values need a new plan */
    size_t roots;       /* what to compute: these ... (0: every kept value) and the declared states */
    const ur_var *root; /* ... laid one after another in this order (ur_plan_roots): gradients make one flat vector,
                           the values of a unit at t = 1..T one array [T, units, B] */
    ur_pool *pool;      /* NULL: the calling thread alone. Columns of a large batch are shared out; the values are equal
                           to the bit for any number of threads */
    size_t memory;      /* ur_plan_bytes may be no more than this; 0: any number. The batch is cut into narrower blocks
                           then, and if that is not enough steps are run in segments, forward once more before they run
                           back, so that sums may be rounded in another way */
} ur_plan_options;

/* Plans the computation of the roots. What is recorded later is not in it. NULL with the tape's error set when there
 * is nothing to compute, no memory, or not enough in options->memory. */
ur_plan *ur_plan_new(ur_tape *tape, const ur_plan_options *options);
void ur_plan_free(ur_plan *plan);
/* Computes on what the leaves hold now. Allocates nothing. */
bool ur_plan_run(ur_plan *plan);
/* The value in the tape's type, valid until the next run. NULL, with the tape's error set, for what is neither a leaf
 * nor one of the plan's roots or kept values. */
const void *ur_value(ur_plan *plan, ur_var value);
/* The same as doubles; `count` is the value's number of elements. */
bool ur_read(ur_plan *plan, ur_var value, size_t count, double *out);
/* The roots' values, one after another in their order: of ur_plan_options.root, or of ur_keep. */
const void *ur_plan_roots(const ur_plan *plan, size_t *count);
/* Bytes of all values that the plan holds, and of its scratch: one block of memory, known before the first run. */
size_t ur_plan_bytes(const ur_plan *plan);
/* Writes what a run does, a screen for a cell: the blocks of the batch, the bytes and what they are for, then loop by loop
 * the products, elementwise programs, sums over time and batch and single operations, by the names on the tape, and why
 * steps did not become a loop. Equal recordings have equal texts. False when it cannot be written. */
bool ur_plan_explain(const ur_plan *plan, FILE *out);

/* The instruction set of the kernels that new plans use: "portable", "avx2" or "avx512", the best that the processor has
 * or the one that the environment variable UNROLL_ISA names. Results are equal to the bit on one instruction set. */
const char *ur_instruction_set(void);

/* ---- looking at a tape ------------------------------------------------------------------------------------------ */

typedef struct ur_op ur_op;

typedef struct ur_node {
    const ur_op *op;
    ur_shape shape;
    uint32_t inputs;
    const double *attr; /* the operation's constants, until the next node is recorded or a plan is made; or NULL */
    int64_t step;       /* 0 outside any step */
    const char *name;   /* NULL when it has none */
} ur_node;

/* Nodes are counted from 0 in the order of their recording, the inputs of one likewise; what is not there is a poisoned
 * handle, with the tape's error set. */
ur_var ur_node_at(ur_tape *tape, size_t index);
/* False for a stale or poisoned handle, with the tape's error set; an earlier error does not hinder it. */
bool ur_look(ur_var value, ur_node *node);
ur_var ur_node_input(ur_var value, uint32_t k);
/* Writes the scope path, `lstm/phi`; empty at the top. */
bool ur_node_scope(ur_var value, char *text, size_t bytes);

/* In formulas and diagrams select(alive, a, b) on an input named `alive`, the mask of sequences' lengths, is shown as a.
 *
 * The formula of a value in terms of leaves and named values, `tanh(Wi' x + Wh' h[t-1] + bh)`. Returns the length that
 * the whole text has; what does not fit is cut off. Where it would be nested more than 200 deep or longer than some 2^16
 * characters, "..." stands for what is left. */
size_t ur_formula(ur_var value, char *text, size_t bytes);

typedef enum ur_dot_view {
    UR_DOT_FOLDED,  /* one step of the loop; what comes from the step before is a dashed edge */
    UR_DOT_UNROLLED /* every step, a cluster each */
} ur_dot_view;

typedef struct ur_dot_options {
    ur_dot_view view;
    const char *title; /* or NULL */
    bool hide_const;
} ur_dot_options;

/* Writes what the roots depend on in Graphviz' language; NULL options: folded, without a title. False, with the tape's
 * error set, without memory or a root, or when it cannot be written. */
bool ur_dot(ur_tape *tape, size_t roots, const ur_var *root, const ur_dot_options *options, FILE *out);

/* ---- the gradient check ----------------------------------------------------------------------------------------- */

typedef enum ur_verdict { UR_HOLDS, UR_UNSTABLE, UR_WRONG } ur_verdict;

/* What the check found for one leaf. */
typedef struct ur_check_result {
    ur_verdict verdict;
    size_t elements, unstable, wrong;
    size_t worst;     /* the element with the largest error against what is allowed ... */
    double analytic;  /* ... its derivative from the tape ... */
    double numeric;   /* ... from differences ... */
    double estimate;  /* ... and the error of the latter */
    double deviation; /* largest |analytic - numeric| of all elements, against the largest |analytic| of the leaf */
} ur_check_result;

/* Compares `gradient[i]`, nodes of this f64 tape, with central differences of the scalar y by every element of the leaf
 * `wrt[i]`. An element holds when |a-n| <= tolerance max(|a|,|n|) + e, where e is the error of n: rounding, eps |y|/h,
 * and the change of n when h is halved. h is refined until e is small against max(|a|,|n|); where that cannot be had,
 * the verdict is UR_UNSTABLE, never a pass. Only where |a| is the rounding of the largest derivative, 8 eps, does e have to be
 * small against that one: the element is 0, a sum that cancels. The second order is checked with y = sum(r * gradient) for fixed r. False, with
 * the tape's error set, for what is none of this, for a tape with ur_state, whose runs differ, and without memory. */
bool ur_check(ur_var y, size_t n, const ur_var *wrt, const ur_var *gradient, double tolerance,
              ur_check_result *results);

/* ---- random numbers --------------------------------------------------------------------------------------------- */

/* Uniform in (0,1), a pure function of its arguments: Philox4x32-10 (Salmon et al. 2011). A NULL stream is "". */
double ur_random(uint64_t seed, const char *stream, uint64_t counter);

/* ---- defining an operation -------------------------------------------------------------------------------------- */

/* A shape rule's question and answer. */
typedef struct ur_shaping {
    int inputs;
    const ur_shape *in;
    const double *attr;
    ur_shape out;
    ur_error why;
} ur_shaping;

/* Refuses the shapes with a reason, `inner sizes differ, 3 and 5`; printf's format. Returns false. */
bool ur_refuse(ur_shaping *s, const char *format, ...) UR_PRINTF(2, 3);

/* A kernel's arguments: dense row-major arrays of doubles. */
typedef struct ur_call {
    int inputs;
    const ur_shape *shape; /* of each input */
    const double *const *in;
    ur_shape out_shape;
    double *out;
    const double *attr;
} ur_call;

/* A derivative rule's arguments: y = op(in...), and the adjoint of y. */
typedef struct ur_adjoint {
    ur_var y, g;
    const ur_var *in;
    int inputs;
    const double *attr;
} ur_adjoint;

/* Inputs for the tests: shapes, constants, and the interval that the values are drawn from, at least 1e-2 apart from
 * each other and from 0. */
typedef struct ur_sample {
    ur_shape in[3];
    double attr[6];
    double low, high; /* both 0: -2 and 2 */
} ur_sample;

enum { UR_SAMPLES = 4, UR_ANY_INPUTS = -1, UR_ATTRS = 16 };

/* How a plan may run an operation. */
typedef enum ur_kind {
    UR_LEAF,    /* no computation */
    UR_MAP,     /* elementwise, at most 8 inputs, which are broadcast */
    UR_COLUMNS, /* each column of the batch, the last dimension, by itself, if the shape rule keeps that dimension */
    UR_WHOLE    /* anything else */
} ur_kind;

/* An operation. Its file holds this descriptor and the function that records it, and nothing else names it. Its value
 * depends on its inputs and constants alone, and what it contributes to an adjoint is linear in g: nodes that are equal in
 * every step may be computed, and differentiated, as one. */
struct ur_op {
    const char *name;
    const char *formula;    /* with a, b, c for the inputs: "1/(1 + exp(-a))" */
    const char *derivative; /* with y and its adjoint g: "g y (1 - y)" */
    const char *print;      /* for ur_formula: "{0} + {1}", with {c} for attr[0], {0^} under a power, {k'} transposed
                               where attr[k] is not 0; NULL: name(a, b) */
    int binds;              /* how tightly `print` binds: UR_BINDS_... */
    int inputs;             /* or UR_ANY_INPUTS */
    int attrs;              /* number of constants, at most UR_ATTRS */
    ur_kind kind;
    int kernel; /* a fast kernel of the library; 0: the specification below serves, as it does for operations
                               from outside */
    /* The specification: UR_MAP operations give `map` for one element, others `shape` and `run`. A scalar sum may be
     * rounded as the kernel likes. */
    double (*map)(const double *in, const double *attr);
    bool (*shape)(ur_shaping *s);
    void (*run)(const ur_call *c);
    /* The contribution of y to the adjoint of input k, in operations of the tape, in the shape of y or of the input
     * (a broadcast is undone by the caller). UR_ZERO: none. NULL: the operation has no derivative, ur_grad says so. */
    ur_var (*derive)(const ur_adjoint *a, int k);
    /* The sum of n > 1 values of this operation, recorded in a cheaper way than as a sum; UR_ZERO: there is none. ur_grad
     * asks for it where all that a value's consumers contribute is of this operation. NULL: it is always a sum. */
    ur_var (*join)(size_t n, const ur_var *terms);
    const char *onnx; /* operator of the ONNX standard, or NULL */
    ur_sample samples[UR_SAMPLES];
};

#define UR_ZERO ((ur_var){.index = UR_NONE})

enum { UR_BINDS_SUM = 1, UR_BINDS_PRODUCT, UR_BINDS_SIGN, UR_BINDS_POWER, UR_BINDS_CALL };

/* Appends a node: checks handles and shapes and returns the value. `attr` holds op->attrs numbers. */
ur_var ur_record(const ur_op *op, size_t inputs, const ur_var *in, const double *attr);

#ifdef __cplusplus
}
#endif

#endif
