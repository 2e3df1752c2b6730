/* group.h - what the makers of launches share: group.c orders them, terms.c tells what statements read, product.c,
 * pointwise.c and contraction.c write launches of their kinds. */
#ifndef UR_GROUP_H
#define UR_GROUP_H

#include "plan.h"

/* A statement as the groups see it. */
typedef enum ur__sort {
    UR__SORT_NOTHING,     /* an alias, or inlined */
    UR__SORT_MAP,         /* an instruction of an elementwise program */
    UR__SORT_ROW_SUM,     /* the sum or mean of all rows of a value, an instruction too */
    UR__SORT_TOTAL,       /* that of all elements of a value with the batch, the same */
    UR__SORT_SUM_PRODUCT, /* a sum of products, a bias among them */
    UR__SORT_MIXED,       /* a sum of products, to which a program adds other values */
    UR__SORT_ALONE,       /* a launch of its own */
    UR__SORT_REDUCTION    /* a sum over the batch */
} ur__sort;

/* W X, or W^T X. */
typedef struct ur__product {
    ur__ref a, x;
    bool transposed;
} ur__product;

/* Marks and tables of the grouping: by statement for the whole program, by line for what is at hand. */
typedef struct ur__maker {
    ur__form *form;
    const ur__phase *phase;
    uint8_t time;
    uint8_t *sort, *absorbed;       /* by statement */
    uint8_t *when;                  /* by statement: the time of its launch, UR__TIMES: it has none */
    uint8_t *times;                 /* by phase: bits of the times of its launches */
    uint32_t *level, *heavy;        /* by statement: when its elementwise part and its product run */
    uint32_t *latest;               /* by statement: the level at which it must have run, UR_NONE: any */
    uint32_t *statement;            /* by line: the statement that computes it in the phase at hand */
    uint32_t *stamp;                /* by line: the launch that last had it as operand */
    uint32_t *member, *reads;       /* by line: the program that computes it, and how often that one still reads it */
    uint32_t *place;                /* by line: the tile buffer or operand that the program has it in, if not stored */
    uint32_t *copied;               /* by line: the line that the program hands it on to, or itself */
    uint32_t *begun;                /* by line: the last form of the program that begins with e^-|value| */
    uint32_t *list, *same;          /* statements of one level, and of one program */
    uint32_t *sorted[2], *begin[2]; /* the phase's statements by level: with launches of their own, elementwise */
    void *tables;
    size_t tables_bytes;
    uint32_t launch;      /* number of the launch at hand, from 1 */
    ur__ref *term;        /* terms of the sum at hand: what is not a product of its own ... */
    ur__product *product; /* ... and its products */
    size_t terms, products, term_room, product_room;
} ur__maker;

/* Operand k of a statement, its aliases resolved. */
static inline ur__ref ur__input_of(const ur__maker *m, const ur__statement *s, uint32_t k)
{
    return ur__resolve(m->form, m->form->program.ref[s->ref + k]);
}

/* The value of a line that this iteration computes. */
static inline ur__ref ur__this(const ur__maker *m, uint32_t line)
{
    return ur__value_in(&m->form->program, m->phase, line);
}

/* Is it computed in the same iteration, at the same time? */
static inline bool ur__is_here(const ur__maker *m, ur__ref r)
{
    const ur__program *p = &m->form->program;
    uint32_t at = m->statement[r.line] - m->phase->statement;
    return at < m->phase->statements && p->statement[m->phase->statement + at].line == r.line &&
           ur__is_value_in(p, m->phase, &r) && m->form->line[r.line].time == m->time;
}

/* Does it sum up rows, in an elementwise program? */
static inline bool ur__sums_up(const ur__maker *m, const ur__statement *s)
{
    uint8_t sort = m->sort[s - m->form->program.statement];
    return sort == UR__SORT_ROW_SUM || sort == UR__SORT_TOTAL;
}

/* Where a block adds up what a sum over the batch is made from: with that of the one sum that reads it, if it is so. */
static inline ur__ref ur__part_of(const ur__maker *m, uint32_t line)
{
    const ur__line_plan *l = &m->form->line[line];
    return l->deferred ? (ur__ref){.line = l->reader, .count = 1} : ur__this(m, line);
}

/* Lists in m->term what the elementwise part of a statement reads; a sum that has products reads their sum too. */
size_t ur__terms_of(ur__maker *m, const ur__statement *s);
/* The number of an operand of the launch at hand, added to it if it is new: a value with a spread has one number, also
 * where several forms of a program read or write it (share.c asks by numbers which of them comes first). */
uint32_t ur__operand_for(ur__maker *m, ur__launch *l, ur__ref r, uint8_t spread);
/* The same of the value's rows from number `skip` on. 0, with the tape's error set, when there is no memory. */
uint32_t ur__rows_for(ur__maker *m, ur__launch *l, ur__ref r, uint8_t spread, uint32_t skip);
/* Is it some rows of a computed value with the batch, those from number `skip` on? */
bool ur__takes_rows(const ur__maker *m, const ur__statement *s, uint32_t *skip);
/* Writes the instructions of n statements, all of one level and with as many rows, to the launch. */
bool ur__pointwise(ur__maker *m, ur__launch *l, size_t n, const uint32_t *statements);

/* Lists terms and products of a statement with the batch in m->term and m->product; true if it has a bias too. */
bool ur__list_terms(ur__maker *m, const ur__statement *s, ur__ref *bias);
/* A new launch without operands; NULL without memory. The next one may move it. */
ur__launch *ur__begin_launch(ur__maker *m, ur__launch l);
/* One more operand, even if the launch has an equal one. */
bool ur__add_operand(ur__form *form, ur__launch *l, ur__ref r);
/* Stacks the products among the n statements of the list over one set of X, beginning with number i. */
bool ur__launch_product(ur__maker *m, size_t i, size_t n, uint8_t *taken);
/* All that waits for the end of a block. */
bool ur__launch_contractions(ur__maker *m);

#endif
