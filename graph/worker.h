/* worker.h - what the files that run a plan share: a worker at one block, and where its operands lie.
 *
 *     run.c      blocks, loops, steps; exports
 *     tiles.c    elementwise programs
 *     launch.c   products, contractions, single operations, sums over the batch
 *
 * Before a phase runs, the operands of its launches are bound: a cursor says where the value of the phase's first
 * iteration lies and how far away the next one's is. A launch then adds and does not look up. Where a phase has several
 * iterations, the instructions of programs are kept as calls whose addresses go on by themselves. */
#ifndef UR_GRAPH_WORKER_H
#define UR_GRAPH_WORKER_H

#include <string.h>

#include "plan.h"

/* How a tile of an elementwise program finds its elements of an operand. */
typedef enum ur__move {
    UR__STAYS,   /* where it is, the same for every tile */
    UR__FOLLOWS, /* as many elements further as the tile is */
    UR__IN_ROW,  /* as far into the operand's one row as the tile is into its row */
    UR__FILLS,   /* a tile of its own, written at the beginning of a launch: one element many times */
    UR__SPREADS, /* the same: one row several times */
    UR__REPEATS, /* a tile of its own: an element for each row, as often as the row is long */
    UR__GATHERS  /* a tile of its own: rows that do not follow each other in memory */
} ur__move;

/* Where an operand lies in iteration i of the phase: at + i * step, its rows `row` elements apart. */
typedef struct ur__cursor {
    char *at;            /* NULL: where it is must be looked up in each iteration */
    ptrdiff_t step, hop; /* hop: bytes from one tile to the next, of a program whose tiles are steady */
    size_t row;
    uint8_t move;
} ur__cursor;

/* An instruction with the addresses of y, a, b and c, and how far away the next ones are. */
typedef struct ur__call {
    ur__map_kernel *map; /* NULL: it sums up, as `kernel` says */
    uint32_t kernel;
    const double *attr;
    char *at[4];
    ptrdiff_t hop[2][4]; /* to the next tile; from the last one to the next iteration */
} ur__call;

/* What is known of a launch for the phase at hand. A program walks over [rows, columns] in tiles of `group` whole rows, or
 * of part of a row where group is 1. */
typedef struct ur__walk {
    size_t bound; /* to so many columns; 0: not yet */
    size_t rows, columns, group;
    bool steady;              /* no operand has a tile of its own: tiles and iterations differ by addresses only */
    size_t tiles, tile, last; /* how many, and elements of each but the last one */
    uint32_t next;            /* its calls are those of this iteration; UR_NONE: there are none */
    uint32_t first; /* of its calls, or of a product's terms, among the worker's; UR_NONE: calls are not kept */
} ur__walk;

typedef struct ur__worker {
    const ur__form *form;
    size_t block, blocks;  /* the number of the first block at hand and how many there are */
    size_t first, columns; /* their first column and how many they have */
    size_t all;            /* columns, also behind the end of their sequences */
    size_t skip;           /* columns of other blocks that lie before those in each row */
    uint32_t i;            /* the iteration of the phase */
    size_t passed;         /* steps of the segments before the one at hand */
    uint32_t from, to;     /* the iterations of a loop that its contractions are to go over */
    size_t filled;         /* the tiles are for so many columns; 0: not yet written */
    bool ends;             /* columns may end before the last step */
    bool advancing;        /* over a segment that runs again later: sums over the batch wait for that */
    uint32_t *active;      /* by value of the mask: how many columns of the block last */
    char *rooms, *scratch, *tiles;
    char **at;             /* addresses of a launch's operands and buffers */
    char *home[UR__HOMES]; /* what the arguments' offsets count from */
    ur__cursor *cursor;    /* of the arguments from number `bound` on ... */
    ur__walk *walk;        /* ... and of the launches from number `launch` on */
    ur__call *call;
    ur__term *term;
    uint32_t bound, launch;
} ur__worker;

/* Where a value lies: rows are `row` elements apart. */
typedef struct ur__view {
    char *at;
    size_t row;
} ur__view;

/* The value of r in the iteration at hand; `own`: the columns of the block only. */
ur__view ur__view_of(const ur__worker *w, const ur__ref *r, bool own);
/* Binds the operands of a launch for the phase at hand. */
void ur__bind(const ur__worker *w, const ur__launch *l);

static inline ur__walk *ur__walk_of(const ur__worker *w, const ur__launch *l)
{
    return &w->walk[l - w->form->launch - w->launch];
}

/* Argument number k of a bound launch. */
static inline ur__view ur__argument_view(const ur__worker *w, const ur__launch *l, uint32_t k)
{
    const ur__cursor *c = &w->cursor[l->operand + k - w->bound];
    if (!c->at)
        return ur__view_of(w, &w->form->argument[l->operand + k].ref, l->batch);
    return (ur__view){c->at + (ptrdiff_t)w->i * c->step, c->row};
}

/* The number of columns whose sequences may last in an iteration; the others lie behind them. */
static inline size_t ur__active_columns(const ur__worker *w, const ur__loop *loop, uint32_t iteration)
{
    const ur__form *form = w->form;
    if (!w->ends || loop->direction == 0)
        return w->all;
    return w->active[ur__step_in(loop, iteration) + form->mask_origin];
}

static inline void ur__copy_rows(size_t rows, size_t bytes, char *to, size_t to_row, const char *from, size_t from_row)
{
    if (to_row == bytes && from_row == bytes) { /* rows of one column, say */
        bytes *= rows;
        rows = 1;
    }
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r * to_row, from + r * from_row, bytes);
}

/* The iterations of a loop that belong to the steps of the segment at hand: all where there are no segments. */
void ur__iterations_of(const ur__worker *w, uint32_t loop, uint32_t *begin, uint32_t *end);

/* The number of rows of a value in memory; `columns`: of them, those of the block, `own` of them, or all if that is 0. */
static inline size_t ur__rows_in(const ur__form *form, uint32_t line, size_t own, size_t *columns)
{
    ur_shape shape = ur__line_shape(form, line);
    size_t last = shape.rank > 1 ? (size_t)shape.size[shape.rank - 1] : 1, rows = ur_shape_count(shape) / last;
    *columns = own ? own : last;
    return rows;
}

/* How an elementwise program walks, and how its tiles find the operands, on as many columns as there are now. */
void ur__bind_tiles(const ur__worker *w, const ur__launch *l);
/* Runs it in `iterations` of the phase from the one at hand on: in several at once only where run.c bound it for that. */
void ur__run_tiles(const ur__worker *w, const ur__launch *l, uint32_t iterations);
/* Writes the tiles of what is the same in the whole run, for as many columns as there are now. */
void ur__fill_tiles(ur__worker *w);
/* The terms of a product whose operands are bound. */
void ur__bind_product(const ur__worker *w, const ur__launch *l);
/* Is it a sum of dense values of its own shape? They are added where they lie. For so many columns of a block of `all`. */
bool ur__adds_in_place(const ur__form *form, const ur__launch *l, size_t columns, size_t all);
/* A launch of any kind. */
void ur__run_launch(const ur__worker *w, const ur__launch *l);
void ur__run_packing(const ur__worker *w, const ur__packing *p);

/* Where the parts of a contraction's scratch begin, in bytes: first results that are not written where they belong; the
 * addresses of all; for each stretch and matrix B, its step and its stride; the stretches; the columns of each step, if
 * sequences may end; the kernel's own. */
typedef struct ur__contraction_room {
    size_t out, b, b_step, b_stride, stretch, columns, own;
} ur__contraction_room;

ur__contraction_room ur__room_for_contraction(const ur__form *form, const ur__launch *l);
/* The bytes of the kernel's own. */
size_t ur__contraction_bytes(const ur__form *form, const ur__launch *l);

#endif
