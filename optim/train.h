/* train.h - the trainer's parts. Not installed. */
#ifndef UR_TRAIN_H
#define UR_TRAIN_H

#include "files.h"

/* Sequences with the weight that their loss has: their number, or the sum of their lengths. */
typedef struct ur__part {
    ur_data data;    /* a view: its order chooses the rows */
    ur_data *window; /* stateful: the same view of each window, else NULL */
    double weight;
} ur__part;

/* What stateful training has beside the network. */
typedef struct ur__windows {
    ur_net whole;  /* the network as it is over all steps: its outputs are leaves, which the windows fill */
    int64_t count; /* of the longest sequence */
    ur_data *data; /* of each window, copied: all rows */
    void **start;  /* of each state, while a batch is run: what it is before the first window */
} ur__windows;

/* Elements begin ... end - 1 of the parameters' vector, which are trained. */
typedef struct ur__range {
    size_t begin, end;
} ur__range;

/* Memory of the trainer: a list. */
typedef struct ur__table {
    struct ur__table *next;
    size_t bytes; /* of all of it */
    _Alignas(max_align_t) char memory[];
} ur__table;

struct ur_trainer {
    ur_net *net;
    ur__table *table;         /* all that it has beside its plans */
    ur_train_options options; /* complete: without defaults */
    ur_plan *plan;            /* gradients of the trained parameters, loss, outputs */
    ur_plan *forward;         /* loss and outputs */
    bool looks_first;         /* until_zero_errors cannot be seen in the training passes themselves */
    ur__windows *windows;     /* stateful, else NULL */
    ur__part train, valid;
    int64_t *rows, *order; /* of all sequences as the data has them; of those trained on, in this epoch */
    ur_score score;        /* on the validation part */
    /* What the inputs hold: sequences from `first` of these, as long as nothing else was bound. */
    const ur_data *bound;
    int64_t first;
    uint64_t binds;
    /* update.c: the gradient, and beside the parameters the optimiser's states, all of the same layout and type */
    ur__range *range;
    size_t ranges;
    ur_var *root; /* the gradients that are computed */
    size_t roots;
    void *gradient, *state[UR_OPTIM_STATES];
    int64_t epoch, updates; /* both complete */
    /* the best loss so far, the epochs since; where early stopping wants them back, what gave it: the parameters and,
     * one after another, the running averages of batch normalisation */
    double best_loss;
    int64_t waited, halvings;
    void *best, *best_average;
};

/* ---- options that are numbers */

typedef struct ur__train_real {
    const char *name, *key; /* in ur_train_options and in model files */
    size_t offset;          /* of the double in ur_train_options */
    ur__limits limits;
} ur__train_real;

extern const ur__train_real ur__train_reals[]; /* the last one has no name */
double ur__train_number(const ur_train_options *options, const ur__train_real *real);

/* ---- freeze.c */

/* Is a parameter of this name frozen? */
bool ur__frozen(const char *freeze, const char *name);
/* Does every name in `freeze` mean a parameter? The tape's error says which does not. */
bool ur__freeze_check(ur_tape *tape, const char *freeze);

/* ---- train.c */

/* Zeros that live as long as the trainer, from the tape's allocator; NULL, with the tape's error set, when there is no
 * memory. */
void *ur__trainer_memory(ur_trainer *t, size_t bytes);
/* Room for n gradients and what a plan computes besides. */
ur_var *ur__new_roots(ur_trainer *t, size_t n);

/* ---- windows.c */

/* Can this network be trained on windows of this data? The tape's error says why not. */
bool ur__windows_fit(const ur_net *net, const ur_data *data);
/* Cuts the data; NULL, with the tape's error set, when there is no memory. */
ur__windows *ur__windows_new(ur_trainer *t, const ur_data *data);
/* The windows' data with the rows and order of `part`. */
ur_data *ur__windows_view(ur_trainer *t, const ur_data *part);
/* The number of windows, at least 1, until the last of these sequences has ended. */
int64_t ur__windows_lasting(const ur__windows *windows, const ur_data *view, int64_t first, int64_t count);
/* Before the first window of a batch and after its last one, which puts the states' starts back. */
void ur__windows_begin(const ur__windows *windows);
void ur__windows_end(const ur__windows *windows);
/* After the run of window w: the outputs to their places, the final states to the starts. */
bool ur__windows_hand_on(const ur__windows *windows, const ur_net *net, ur_plan *plan, int64_t w);

/* ---- update.c */

/* Finds what is trained and makes the optimiser's memory. */
bool ur__update_prepare(ur_trainer *t);
/* One update by the gradient that the plan holds. False, with nothing changed, when it is not finite. */
bool ur__update(ur_trainer *t);

#endif
