/* optim.h - what feeds and surrounds the networks: arrays in files, data sets, tasks, training.
 *
 *     arrays    named dense arrays with their metadata; safetensors and .npy files
 *     data      sequences to learn from, checked and batch first
 *     tasks     data drawn at random: Reber's grammar and others
 *     models    parameters in files, with what it takes to record the network again and to train on
 *     training  optimisers, schedules, epochs
 *
 * A function that can fail takes a ur_error, which may be NULL, and leaves one line there: `FILE: what was found and
 * what was expected`. A NULL allocator is malloc's. Files are written whole or not at all. NULL in place of an
 * object, as a call that failed returns it, makes a call fail, or give 0 or NULL; so calls may follow one another and the
 * last one be looked at. */
#ifndef UR_OPTIM_H
#define UR_OPTIM_H

#include "../layers/layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- files that are written whole or not at all ------------------------------------------------------------------ */

typedef struct ur_file ur_file;

/* Begins a file beside the one that stands at `path`, which stays as it is until ur_file_commit takes its place with
 * the new one. A symbolic link stays a link, and the file that it leads to is written. What is no regular file,
 * /dev/stdout or a pipe, is written to directly. */
ur_file *ur_file_create(const char *path, const ur_allocator *allocator, ur_error *error);
/* Where to write. Write errors need no attention: they stay in the stream, and ur_file_commit reports them. */
FILE *ur_file_stream(ur_file *file);
/* Ends the file and frees `file`. False when anything could not be written: the old file is as it was. NULL: false,
 * for ur_file_create has told why. */
bool ur_file_commit(ur_file *file, ur_error *error);
/* Gives the file up: nothing has changed. */
void ur_file_abandon(ur_file *file);

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* The dtypes of the safetensors format. Numbers can be read from the first four; the others are carried as bytes. */
typedef enum ur_array_type {
    UR_ARRAY_F32,
    UR_ARRAY_F64,
    UR_ARRAY_I32,
    UR_ARRAY_I64,
    UR_ARRAY_BOOL,
    UR_ARRAY_F4,
    UR_ARRAY_F6_E2M3,
    UR_ARRAY_F6_E3M2,
    UR_ARRAY_U8,
    UR_ARRAY_I8,
    UR_ARRAY_F8_E5M2,
    UR_ARRAY_F8_E4M3,
    UR_ARRAY_F8_E8M0,
    UR_ARRAY_F8_E4M3FNUZ,
    UR_ARRAY_F8_E5M2FNUZ,
    UR_ARRAY_I16,
    UR_ARRAY_U16,
    UR_ARRAY_F16,
    UR_ARRAY_BF16,
    UR_ARRAY_U32,
    UR_ARRAY_U64,
    UR_ARRAY_C64,
    UR_ARRAY_TYPES
} ur_array_type;

/* "F32"; "?" for what is no such type. */
const char *ur_array_type_name(ur_array_type type);

enum { UR_ARRAY_RANK = 8 };

/* A dense array in row-major order; a size may be 0. */
typedef struct ur_array {
    const char *name;
    const char *file; /* that it was read from, or NULL */
    ur_array_type type;
    int rank;
    int64_t size[UR_ARRAY_RANK];
    size_t count, bytes; /* elements, and the bytes of all of them */
    void *data;          /* 64-byte aligned */
} ur_array;

/* Writes "[3,4]" and returns `text`. */
enum { UR_ARRAY_TEXT = 192 };
const char *ur_array_shape(const ur_array *array, char text[UR_ARRAY_TEXT]);

/* All elements as doubles, `count` of them: integers beyond 2^53 are rounded. Fails for a type without numbers. */
bool ur_array_get(const ur_array *array, double *out, ur_error *error);
/* Sets all elements, rounded to the type. Fails for what is no integer of an integer type. */
bool ur_array_set(ur_array *array, const double *values, ur_error *error);

/* An ordered set of arrays, each with a name of its own, and an ordered list of metadata: keys with text values. Names
 * and values are UTF-8. The set owns everything in it. */
typedef struct ur_arrays ur_arrays;

/* NULL when there is no memory. */
ur_arrays *ur_arrays_new(const ur_allocator *allocator);
void ur_arrays_free(ur_arrays *set);

/* Appends an array of zeros. The pointer is valid as long as the set. */
ur_array *ur_arrays_add(ur_arrays *set, const char *name, ur_array_type type, int rank, const int64_t *size,
                        ur_error *error);
/* By place, from 0, or by name; NULL when there is none. */
ur_array *ur_arrays_at(const ur_arrays *set, size_t k);
ur_array *ur_arrays_find(const ur_arrays *set, const char *name);

/* Sets or replaces the value of a key. */
bool ur_arrays_set_text(ur_arrays *set, const char *key, const char *value, ur_error *error);
/* The value of a key, or NULL. */
const char *ur_arrays_text(const ur_arrays *set, const char *key);
/* The key at a place, from 0, or NULL past the last. */
const char *ur_arrays_key(const ur_arrays *set, size_t k);

/* Reads a safetensors file. The arrays keep the order of its header. */
ur_arrays *ur_arrays_load(const char *path, const ur_allocator *allocator, ur_error *error);
/* Writes a safetensors file; its bytes depend on the set alone. */
bool ur_arrays_save(const ur_arrays *set, const char *path, ur_error *error);

/* Reads a NumPy file (C order; f4, f8, i4, i8, little-endian) into a new array of the set. */
ur_array *ur_npy_load(ur_arrays *set, const char *name, const char *path, ur_error *error);
/* Writes a NumPy file of version 1.0 with the bytes that NumPy writes. */
bool ur_npy_save(const ur_array *array, const char *path, ur_error *error);

/* ---- data sets --------------------------------------------------------------------------------------------------- */

/* What a data set has besides x, and y where `outputs` is not 0. */
enum { UR_DATA_Y_LAST = 1, UR_DATA_Y_CLASSES = 2, UR_DATA_LENGTHS = 4, UR_DATA_WEIGHT = 8 };

/* A data set of zeros, its lengths all `steps`, that owns its memory. `parts` is a sum of UR_DATA_... */
ur_data *ur_data_new(int64_t n, int64_t steps, int64_t inputs, int64_t outputs, unsigned parts,
                     const ur_allocator *allocator, ur_error *error);
/* Frees what ur_data_new and the functions below made. */
void ur_data_free(ur_data *data);

/* The data set in the arrays
 *
 *     x        [N,T,d]
 *     y        [N,T,p], or [N,p] for the last step only; or integers, classes, [N,T] or [N]; may be missing
 *     lengths  [N], integers 0..T; may be missing
 *     weight   [N,T]; may be missing
 *
 * which are copied. An array of another name is an error: it is likely a misspelt one. For classes, p is `classes`, or
 * with 0 one more than the largest class, which is at most 2^31 - 1. Positions past a sequence's length are not checked
 * and kept as they are. */
ur_data *ur_data_from_arrays(const ur_arrays *set, int64_t classes, const ur_allocator *allocator, ur_error *error);
/* The arrays of a data set: numbers in the dtype, classes and lengths as I64. The rows stand in the data's order, those
 * that it does not take are left out. */
ur_arrays *ur_data_to_arrays(const ur_data *data, ur_dtype dtype, const ur_allocator *allocator, ur_error *error);

/* The same from and to a safetensors file. */
ur_data *ur_data_load(const char *path, int64_t classes, const ur_allocator *allocator, ur_error *error);
bool ur_data_save(const ur_data *data, ur_dtype dtype, const char *path, ur_error *error);

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

typedef struct ur_task_options {
    int64_t count;      /* sequences; 0: 400 */
    int64_t min_length; /* shorter sequences are drawn again; 0: the task's own, 1: none is too short */
    int64_t max_length; /* longer sequences are drawn again; 0: none is too long */
    uint64_t seed;
} ur_task_options;

/* A finite automaton: it starts in the first state, takes either edge with probability 1/2, and ends where none leaves.
 * A missing edge has the symbol 0. */
typedef struct ur_automaton_state {
    const char *name;
    struct {
        char symbol;
        int next;
    } edge[2];
} ur_automaton_state;

enum { UR_AUTOMATON_STATES = 64 };
typedef struct ur_automaton {
    int states; /* at most UR_AUTOMATON_STATES */
    const ur_automaton_state *state;
} ur_automaton;

/* A kind of data to learn from, drawn at random. Its file holds this descriptor, and nothing else names it. */
typedef struct ur_task {
    const char *name;
    int64_t inputs, outputs;       /* d, p */
    int64_t min_length;            /* unless the options say another one */
    const char *out, *loss;        /* of a network for this task: "sigmoid", "bce" */
    const char *alphabet;          /* the symbol of each input where x is one-hot, or NULL */
    const ur_automaton *automaton; /* of its strings, or NULL */
    /* Draws the data; the options are checked and complete. */
    ur_data *(*data)(const struct ur_task *task, const ur_task_options *options, const ur_allocator *allocator,
                     ur_error *error);
} ur_task;

/* By name, or by place from 0; NULL when there is none. */
const ur_task *ur_task_find(const char *name);
const ur_task *ur_task_at(size_t k);

/* Draws a task's data; T is the longest length drawn. Sequence k is a function of the seed and of the lengths that
 * the options allow, however many are drawn. NULL options: zeros. */
ur_data *ur_task_data(const char *name, const ur_task_options *options, const ur_allocator *allocator, ur_error *error);
/* Writes sequence k of a task with an alphabet as its symbols, `BTSXSE`. Returns the sequence's length; what does not
 * fit is cut off. 0 and no symbols where the data have not the task's inputs. */
size_t ur_task_symbols(const ur_task *task, const ur_data *data, int64_t k, char *text, size_t bytes);

/* Follows a string through a task's automaton. `states`, [length + 1], gets the states from the start on, and
 * `targets`, [length,p], 1 for every symbol that may come next; either may be NULL. False, with an error that names the
 * position, where no edge carries the symbol or the string ends too early. */
bool ur_task_path(const ur_task *task, const char *symbols, int *states, double *targets, ur_error *error);

/* ---- parameters and models in files ------------------------------------------------------------------------------ */

/* Appends every parameter of the tape, by its name, in its shape and in the tape's type. */
bool ur_params_to_arrays(ur_tape *tape, ur_arrays *set, ur_error *error);
/* Writes every parameter from the array of its name. A missing, left-over or misshapen array is an error that names it;
 * `path` is the file that stands in the error, and nothing is written. Arrays under `optim.` belong to the training and
 * are passed over. */
bool ur_params_from_arrays(ur_tape *tape, const ur_arrays *set, const char *path, ur_error *error);

/* The same for a network: its parameters and, with batch normalisation, its running averages, `average.mean`. */
bool ur_net_from_arrays(ur_net *net, const ur_arrays *set, const char *path, ur_error *error);
/* Sets the number of hidden units, and with an output layer that of its outputs, to what the arrays say. */
bool ur_sizes_from_arrays(const ur_arrays *set, const char *path, ur_net_options *options, ur_error *error);

/* What a model file says besides the network's options and parameters. */
typedef struct ur_model {
    const char *task; /* that it was trained on, or NULL */
    int64_t epoch;
    int64_t batch; /* sequences an update, 0: not told */
    uint64_t seed;
    ur_task_options drawn; /* how the task's data were drawn, but for their seed, which is `seed`; zeros: not told */
} ur_model;

/* Writes a model: a safetensors file with the parameters and, in the metadata, the options. */
bool ur_model_save(const ur_net *net, const ur_model *model, const char *path, ur_error *error);
/* Reads the metadata of a model; `model->task` lives in the set. Sizes that are not those of the arrays are an error. The
 * parameters follow, once the network is recorded, by ur_net_from_arrays. */
bool ur_model_read(const ur_arrays *set, const char *path, ur_net_options *options, ur_model *model, ur_error *error);

/* ---- optimisers -------------------------------------------------------------------------------------------------- */

/* The constants of one update. */
typedef struct ur_update {
    double rate;              /* the step size that the schedule gives */
    double decay;             /* weight decay of an optimiser that decouples it, else 0: it is in g then */
    double momentum;          /* mu */
    double beta1, beta2, rho; /* how much of the averages stays */
    double epsilon;           /* against division by 0 */
    int64_t count;            /* t: updates up to and with this one */
} ur_update;

/* An optimiser: how parameters theta follow from a gradient g. Its file holds this descriptor, and nothing else names
 * it. Parameters and states are kept in the tape's type; an update is computed in f64 and rounded once. */
enum { UR_OPTIM_STATES = 2 };
typedef struct ur_optim {
    const char *name;
    const char *formula;                /* as the user reads it, a line each */
    int states;                         /* vectors beside the parameters, 0 before the first update ... */
    const char *state[UR_OPTIM_STATES]; /* ... and their names in model files */
    bool momentum;                      /* `step` reads ur_update.momentum */
    bool decoupled; /* `step` takes care of weight decay; otherwise decay * theta is added to g: L2 regularisation */
    void (*step)(const ur_update *u, size_t n, double *theta, const double *g, double *const *state);
} ur_optim;

/* All optimisers, in alphabetical order of their files; NULL past the last. */
const ur_optim *ur_optim_at(size_t k);
/* By name, NULL when there is none. */
const ur_optim *ur_optim_find(const char *name);

/* How the rate changes over the epochs; see ur_schedule_factor. */
typedef enum ur_schedule { UR_CONSTANT, UR_STEPS, UR_COSINE, UR_WARMUP, UR_PLATEAU } ur_schedule;
extern const char *const ur_schedule_names[]; /* "constant", "step", "cosine", "warmup", "plateau", NULL */

/* What the rate is multiplied by in epoch e = 1... of E:
 *
 *     constant  1
 *     step      0.1^k in the third of the epochs with the number k = 0, 1, 2
 *     cosine    (1 + cos(pi (e-1)/E))/2: from 1 to 0, which it would reach in epoch E+1
 *     warmup    e/w in the first tenth of the epochs, w = ceil(E/10), then 1
 *     plateau   0.5^halvings
 *
 * Epochs past E have the factor of epoch E, with cosine 0. Numbers of epochs below 1 count as 1. */
double ur_schedule_factor(ur_schedule schedule, int64_t epoch, int64_t epochs, int64_t halvings);

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* Zeros are plain gradient descent but for `rate`, which has no default. */
typedef struct ur_train_options {
    const ur_optim *optim; /* NULL: gd */
    double rate;           /* step size */
    double momentum;       /* of momentum and nesterov; 0: 0.9 */
    double beta1, beta2;   /* of adam and adamw; 0: 0.9 and 0.999 */
    double rho;            /* of rmsprop; 0: 0.9 */
    double epsilon;        /* of rmsprop, adagrad, adam and adamw; 0: 1e-8 */
    ur_schedule schedule;
    int64_t epochs; /* that the schedules step, cosine and warmup spread over */
    double valid;   /* fraction of the sequences, 0 to below 1, that is for validation: the last floor(valid N) */
    /* After so many epochs without a better loss than ever the plateau schedule halves the rate, and counts anew. Under
     * every other schedule training stops and takes back the parameters with the best loss, and the running averages of
     * batch normalisation that went with them: early stopping. The loss is that of the validation part. Plateau needs it
     * from 1, and without a validation part looks at the training loss.
     * 0: no early stopping. */
    int64_t patience;
    bool shuffle;        /* the sequences of each epoch come in the order ur_shuffle(.., seed, epoch) */
    uint64_t seed;       /* of the order */
    double clip_value;   /* elements of the gradient are cut to -v..v; 0: off */
    double clip_norm;    /* then a longer gradient, as one vector of all parameters, is scaled to this length; 0: off */
    double weight_decay; /* then added: lambda theta, the gradient of lambda/2 |theta|^2; adamw decouples it; 0: off */
    /* Parameters that stay as they are: names, or beginnings that end in a dot for all parameters of a module, with
     * commas between them; NULL: none. Their gradients are not computed and count for no norm. */
    const char *freeze;
    bool until_zero_errors; /* ends before the update of the first epoch without a wrong position; see ur_score */
    /* Stateful training, truncated back-propagation after Williams and Peng (1990) over windows that do not overlap: the
     * sequences are cut into windows of net->steps steps, the last one may be shorter. Each batch takes its windows in
     * their order until its last sequence has ended, with an update after each; the states after a window are those
     * before the next, and no gradient flows between them. Before the first window of every batch they are what the
     * leaves net->state[..].start hold. The network's options have start = UR_START_GIVEN, and it runs in one direction.
     *
     * An update's loss is that of its own window: with UR_PER_SEQUENCE divided by all of the batch's sequences, so that
     * the windows' losses add up to that of the whole, with UR_MEAN_ALL the mean over the window's own positions. The
     * loss of an epoch is that of the whole sequences, with UR_MEAN_ALL the mean over all positions. A sequence is wrong
     * when any of its windows has an error. A mask of dropout is for one window. */
    bool stateful;
    /* Bytes that the plans may take, ur_plan_options.memory; where there is one for evaluation too, it gets a third at
     * most. 0: any number. No model file keeps it. */
    size_t memory;
} ur_train_options;

/* The number of sequences that are left to train on, of n. */
int64_t ur_train_count(const ur_train_options *options, int64_t n);

/* Writes a permutation of 0..n-1: a function of seed and epoch alone. Fisher and Yates, Durstenfeld (1964). */
void ur_shuffle(int64_t n, int64_t *order, uint64_t seed, int64_t epoch);
/* Sorts the rows of data that each batch of an order has, the longest sequences first: a plan spares the steps in which
 * all columns of a block have ended. */
void ur_longest_first(const ur_data *data, int64_t batch, int64_t n, int64_t *order);

/* Trains a network on a data set; these and the options' texts must outlive it. Batches are as large as the network's;
 * the last one of an epoch may be smaller. */
typedef struct ur_trainer ur_trainer;

/* Records the gradients and plans them, for the threads of net->pool. NULL, with the tape's error set, when something does
 * not fit. */
ur_trainer *ur_trainer_new(ur_net *net, const ur_data *data, const ur_train_options *options);
/* Frees its plans and tables; the network and what was recorded stay. Before ur_tape_free. */
void ur_trainer_free(ur_trainer *trainer);

typedef enum ur_progress {
    UR_TRAINED,  /* every parameter was updated */
    UR_FLAWLESS, /* until_zero_errors: no position of the training data is wrong under the present parameters */
    UR_STOPPED,  /* patience has run out: parameters and running averages are those with the best validation loss */
    UR_FAILED    /* see the tape's error; a gradient that is not finite changes no parameter */
} ur_progress;

/* One pass over the data: for each batch the loss, its gradient and an update. The score is that of the forward passes,
 * before the updates. Allocates nothing after the first. */
ur_progress ur_trainer_epoch(ur_trainer *trainer, ur_score *score);
/* Loss and errors on the validation part after the last epoch, of the parameters that the network has then: after
 * UR_STOPPED the best. NULL before an epoch, or without such a part. */
const ur_score *ur_trainer_valid(const ur_trainer *trainer);
/* Number of epochs with updates, those before a resume included. */
int64_t ur_trainer_epochs(const ur_trainer *trainer);
/* Step size of the epoch to come. */
double ur_trainer_rate(const ur_trainer *trainer);
/* Bytes that the trainer holds beside the tape's, known before the first epoch: its plans', and what the optimiser and
 * the parts of the data take; and the plans' part of them. */
size_t ur_trainer_bytes(const ur_trainer *trainer);
size_t ur_trainer_plan_bytes(const ur_trainer *trainer);
/* Writes the explanations of the plans: of training and, where there is one, of evaluation. */
bool ur_trainer_explain(const ur_trainer *trainer, FILE *out);

/* Writes a model, as ur_model_save does, with what it takes to train on: the optimiser's states, the best parameters and
 * their running averages under `optim.`; in the metadata options and counters, and the true epoch and batch in place of
 * the model's. */
bool ur_trainer_save(const ur_trainer *trainer, const ur_model *model, const char *path, ur_error *error);
/* Goes on from such a file: parameters, states and epoch are taken from it, and training with the same data, options,
 * batch and type gives the same bits as training without the break. Options are the trainer's own, they may differ; but
 * the optimiser's states must be there. False: nothing has changed. */
bool ur_trainer_resume(ur_trainer *trainer, const ur_arrays *set, const char *path, ur_error *error);
/* The options that such a file was trained with; `freeze` lives in the set. Starting from them, a caller changes what
 * its user wants otherwise. */
bool ur_train_options_read(const ur_arrays *set, const char *path, ur_train_options *options, ur_error *error);

/* Loss and errors of a network on a data set, on the threads of net->pool; adds to the score. */
bool ur_net_evaluate(ur_net *net, const ur_data *data, ur_score *score);

#ifdef __cplusplus
}
#endif

#endif
