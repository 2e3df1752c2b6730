/* program.h - a tape as loops over time: what roll.c finds and what a plan is made from.
 *
 * The nodes of a tape are the values of lines. A line is one statement of a loop's body, `h = tanh(net)`, and has one
 * value for each iteration from `begin` on; a straight node is a line of one value in a loop of one iteration. A leaf or
 * a constant is a line without a loop. What a loop's iterations read is described phase by phase: within a phase every
 * operand is value first, first + stride, first + 2 stride, ... of a line. Where an iteration differs, the first one
 * that starts from h_0 or the last one that nothing comes after, another phase begins: so a phase is exact, and whatever
 * was recorded has a program. A tape that does not roll is a program of many short loops. */
#ifndef UR_PROGRAM_H
#define UR_PROGRAM_H

#include "internal.h"

/* In place of the number of a line: several. */
#define UR__MANY (UR_NONE - 1)

/* An operand: in iteration i of a phase that begins with iteration b it is value first + stride (i - b) of the line.
 * With count > 1, in straight code only, it stands for that many operands, first, first + stride, ... */
typedef struct ur__ref {
    uint32_t line;
    int32_t first, stride;
    uint32_t count;
} ur__ref;

/* line = op(refs): op, constants and shape are those of the line's node. */
typedef struct ur__statement {
    uint32_t line;
    uint32_t ref, refs;
    bool masked; /* fold.c: select(alive, a, b), where alive is an input of one row */
} ur__statement;

/* Iterations begin..end-1 of a loop run these statements one after another. */
typedef struct ur__phase {
    uint32_t loop;
    uint32_t begin, end;
    uint32_t statement, statements;
} ur__phase;

typedef struct ur__line {
    uint32_t node;   /* one of its values on the tape: it has the line's op, shape, constants and scope */
    uint32_t loop;   /* UR_NONE for leaves and constants */
    uint32_t begin;  /* the iteration that value 0 belongs to */
    uint32_t values; /* number of values */
    union {
        uint32_t first;     /* of leaves: value k is leaf number leaf[first + k] */
        uint32_t statement; /* of others: the first statement that computes it */
    };
} ur__line;

typedef struct ur__loop {
    uint32_t iterations;
    int32_t step, direction; /* iteration i is step t = step + direction i; 0, 0 in straight code */
    uint32_t phase, phases;
} ur__loop;

/* Is it straight code, no loop? */
static inline bool ur__is_straight(const ur__loop *loop)
{
    return loop->direction == 0 && loop->iterations == 1;
}

/* The step t that iteration i of a loop is. */
static inline int64_t ur__step_in(const ur__loop *loop, int64_t i)
{
    return loop->step + (int64_t)loop->direction * i;
}

/* Where a node is. The line is UR_NONE for what no root needs. */
typedef struct ur__position {
    uint32_t line, value;
} ur__position;

/* The phases of a loop, the statements of a phase and the operands of a statement follow each other, in the order of
 * those that they belong to. */
typedef struct ur__program {
    ur__line *line;
    ur__loop *loop; /* in an order in which they can run */
    ur__phase *phase;
    ur__statement *statement;
    ur__ref *ref;
    uint32_t *leaf; /* nodes: the inputs of one shape are one line, in the order of the tape; parameters one each */
    ur__position *place; /* of every node */
    size_t lines, loops, phases, statements, refs, leaves, nodes;
    size_t line_room, loop_room, phase_room, statement_room, ref_room, leaf_room;
    ur_error why; /* the first reason why steps were not rolled; empty when all were */
} ur__program;

/* Append a loop without phases, a phase of the last loop, a statement of the last phase, an operand of the last statement.
 * False, with the tape's error set, when there is no memory. */
bool ur__begin_loop(ur_tape *tape, ur__program *p, ur__loop loop);
bool ur__begin_phase(ur_tape *tape, ur__program *p, uint32_t begin, uint32_t end);
bool ur__add_statement(ur_tape *tape, ur__program *p, uint32_t line);
bool ur__add_ref(ur_tape *tape, ur__program *p, ur__ref ref);
/* Appends statement s of program `from`. The same. */
bool ur__copy_statement(ur_tape *tape, ur__program *p, const ur__program *from, const ur__statement *s);
/* Tells the lines which statement computes them first. */
void ur__index_statements(ur__program *p);
/* Gives p the loops, phases, statements and operands of `made`, in place of its own; its lines know their statements. */
void ur__program_replace(ur_tape *tape, ur__program *p, const ur__program *made);

/* Is it the number of a loop with several iterations? */
static inline bool ur__is_rolled(const ur__program *p, uint32_t loop)
{
    return loop != UR_NONE && p->loop[loop].iterations > 1;
}
/* What a phase's iterations compute of a line. */
static inline ur__ref ur__value_in(const ur__program *p, const ur__phase *phase, uint32_t line)
{
    return (ur__ref){.line = line,
                     .first = (int32_t)(phase->begin - p->line[line].begin),
                     .stride = phase->end - phase->begin > 1,
                     .count = 1};
}
/* Is it that, of whichever line? */
static inline bool ur__is_value_in(const ur__program *p, const ur__phase *phase, const ur__ref *r)
{
    const ur__line *line = &p->line[r->line];
    return line->loop == phase->loop && r->count <= 1 && r->first + (int32_t)line->begin == (int32_t)phase->begin &&
           (r->stride == 1 || phase->end - phase->begin == 1);
}
/* The first statement that computes a line, which is no leaf. */
static inline const ur__statement *ur__first_statement(const ur__program *p, uint32_t line)
{
    return &p->statement[p->line[line].statement];
}
/* The statement that computes a line in a phase of its loop; NULL: it has no value there. */
const ur__statement *ur__statement_of(const ur__program *p, const ur__phase *phase, uint32_t line);
/* Operand k of the statements that compute the n values of r, as one reference; false where they are no single values of
 * one line at a constant distance. */
bool ur__follow(const ur__program *p, ur__ref r, uint32_t n, uint32_t k, ur__ref *out);

/* Finds the program that computes the roots. False, with the tape's error set, when there is no memory. */
bool ur__roll(ur_tape *tape, size_t roots, const uint32_t *root, ur__program *program);
/* Moves what is the same in every iteration before its loop. False, with the tape's error set, when there is no memory. */
bool ur__hoist(ur_tape *tape, ur__program *program);
/* Makes one loop of loops over the same steps where that saves memory and changes no result. The same. */
bool ur__fuse(ur_tape *tape, ur__program *program);
/* Lets loops make cheap values of other loops again, so that they need not be saved; never the roots. The same. */
bool ur__remake(ur_tape *tape, ur__program *program, size_t roots, const uint32_t *root);
/* Lets loops make values for later loops where these would be made from what is saved for nothing else. The same. */
bool ur__early(ur_tape *tape, ur__program *program, size_t roots, const uint32_t *root);
/* Is it an elementwise operation, or a sum of such values? */
static inline bool ur__is_elementwise(const ur_op *op)
{
    return op->kind == UR_MAP || op == &ur_op_sum_of;
}
/* Is an elementwise operation as good as reading its result from memory? */
bool ur__is_cheap(const ur_op *op);
void ur__program_free(ur_tape *tape, ur__program *program);

#endif
