/* masked_tapes.h - small tapes of STEPS steps whose sequences end, and their plans against the reference execution. */
#ifndef UR_TESTS_MASKED_TAPES_H
#define UR_TESTS_MASKED_TAPES_H

#include "planned.h"

enum { STEPS = 8, BATCH = 33, ROOM = 16 };

typedef struct recording {
    ur_tape *tape;
    ur_var alive[ROOM], zero;
} recording;

static inline recording begin(int64_t batch)
{
    recording t = {.tape = new_tape(UR_F64)};
    t.zero = ur_const(t.tape, UR_SCALAR, 0);
    ur_inputs(t.tape, "alive", UR_SHAPE(1, batch), STEPS, t.alive);
    return t;
}

/* The sum over the steps of what is left of the values' squares, and its gradients by n nodes. */
static inline ur_tape *end(const recording *t, const ur_var *value, size_t n, const ur_var *wrt, roots *all)
{
    ur_var loss[STEPS], gradient[ROOM];
    for (int k = 0; k < STEPS; k++) {
        ur_step(t->tape, k + 1);
        loss[k] = ur_sum(ur_select(t->alive[k], ur_square(value[k]), t->zero));
    }
    ur_step(t->tape, 0);
    ck_assert(ur_grad(ur_total(STEPS, loss), n, wrt, gradient));
    add_roots(all, n, gradient);
    return t->tape;
}

/* All variants of a tape: with sequences of every length, with little memory, by several threads. */
static inline void assert_tapes(const char *name, recorder *record, int variants)
{
    for (int which = 0; which < variants; which++) {
        char what[64];
        roots all = {0};
        snprintf(what, sizeof what, "%s %d", name, which);
        ur_tape *tape = record(which, &all);
        assert_planned(what, tape, &all, (1 << MASKS) - 1, 1e-12);
        ur_tape_free(tape);
        assert_budgets(what, record, which, 1e-12);
    }
}

#endif
