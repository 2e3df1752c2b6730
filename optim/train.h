/* train.h - the trainer's parts. Not installed. */
#ifndef UR_TRAIN_H
#define UR_TRAIN_H

#include "../graph/support.h"
#include "optim.h"

/* Sequences with the weight that their loss has: their number, or the sum of their lengths. */
typedef struct ur__part {
    ur_data data; /* a view: its order chooses the rows */
    double weight;
} ur__part;

/* Elements begin ... end - 1 of the parameters' vector, which are trained. */
typedef struct ur__range {
    size_t begin, end;
} ur__range;

struct ur_trainer {
    ur_net *net;
    ur_train_options options; /* complete: without defaults */
    ur_plan *plan;            /* gradients of the trained parameters, loss, outputs */
    ur_plan *forward;         /* loss and outputs */
    bool looks_first;         /* until_zero_errors cannot be seen in the training passes themselves */
    ur__part train, valid;
    int64_t *rows, *order; /* of all sequences as the data has them; of those trained on, in this epoch */
    ur_score score;        /* on the validation part */
    /* What the inputs hold: sequences from `first` of a part, as long as nothing else was bound. */
    const ur__part *bound;
    int64_t first;
    uint64_t binds;
    /* update.c: the gradient, and beside the parameters the optimiser's states, all of the same layout and type */
    ur__range *range;
    size_t ranges;
    ur_var *root; /* the gradients that are computed */
    size_t roots;
    void *gradient, *state[UR_OPTIM_STATES];
    int64_t epoch, updates; /* both complete */
    /* the best loss so far, the epochs since, the parameters that gave it where early stopping wants them back */
    double best_loss;
    int64_t waited, halvings;
    void *best;
};

/* ---- freeze.c */

/* Is a parameter of this name frozen? */
bool ur__frozen(const char *freeze, const char *name);
/* Does every name in `freeze` mean a parameter? The tape's error says which does not. */
bool ur__freeze_check(ur_tape *tape, const char *freeze);

/* ---- update.c */

/* Finds what is trained and makes the optimiser's memory. */
bool ur__update_prepare(ur_trainer *t);
/* One update by the gradient that the plan holds. False, with nothing changed, when it is not finite. */
bool ur__update(ur_trainer *t);

#endif
