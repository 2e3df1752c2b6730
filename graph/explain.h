/* explain.h - a plan in words: label.c names its lines, describe.c tells what its launches do, explain.c tells the whole. */
#ifndef UR_EXPLAIN_H
#define UR_EXPLAIN_H

#include "plan.h"

/* Names, found as they are asked for. */
typedef struct ur__labels {
    const ur__form *form; /* whose aliases count */
    uint32_t *origin;     /* by line: a node that a value of it is the adjoint of, UR_NONE: none */
    uint32_t *number;     /* by line: lines of one text are told apart by numbers, 0: not asked for yet */
    uint32_t *known;      /* the lines that were asked for */
    size_t count, bytes;
} ur__labels;

/* Where the reader is: iteration begin, of `length` equal ones, of a loop; NULL: outside of all. */
typedef struct ur__moment {
    const ur__loop *loop;
    uint32_t begin, length;
} ur__moment;

bool ur__labels_new(const ur__form *form, ur__labels *labels);
void ur__labels_free(ur__labels *labels);
/* A line's name: that on the tape, `dWh` for the adjoint of Wh, `phi.net` and `delta.phi` for what stands under a
 * function in the scope phi, and for its adjoint, `tanh(c)`; or else its scope and operation. */
void ur__label(ur__labels *labels, uint32_t line, ur__text *out);
/* An operand with its time: `h[t-1]` in a loop, `h[7]` elsewhere. */
void ur__label_ref(ur__labels *labels, ur__ref ref, ur__moment at, ur__text *out);
/* The step of an iteration; without steps its number, from 1. 0: outside of loops. */
int64_t ur__step_at(const ur__loop *loop, uint32_t iteration);

/* A text whose lines are broken at spaces. */
typedef struct ur__page {
    const ur_plan *plan;
    const ur__form *form; /* whose launches are read */
    ur__labels labels;
    ur__moment at;
    FILE *out;
    size_t column, indent, gap; /* gap: spaces that the next word is to have before it */
} ur__page;

void ur__begin_line(ur__page *p, size_t indent);
void ur__say(ur__page *p, const char *format, ...) UR_PRINTF(2, 3);
/* The name of a line. */
void ur__say_label(ur__page *p, uint32_t line);
void ur__end_line(ur__page *p);

/* The launches of a span; false, with the tape's error set, when there is no memory. */
bool ur__describe_span(ur__page *p, ur__span span);
/* The same in a line: kinds and sizes. */
void ur__outline_span(ur__page *p, ur__span span);

#endif
