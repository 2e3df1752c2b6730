/* layers.h - cells, networks and their losses on the tape. */
#ifndef UR_LAYERS_H
#define UR_LAYERS_H

#include "../ops/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- sequences -------------------------------------------------------------------------------------------------- */

/* A set of N sequences as it stands in files: batch first. Positions past a sequence's length count for nothing,
 * whatever they hold. */
typedef struct ur_data {
    int64_t n, steps, inputs, outputs; /* N, T, d, p */
    double *x;                         /* [N,T,d] */
    double *y;                         /* [N,T,p]; or [N,p] with `y_last`; NULL without targets */
    bool y_last;                       /* one target for each sequence, at its own last step */
    bool y_classes;                    /* y holds the number of the class, 0..p-1, in place of p values */
    int64_t *lengths;                  /* [N], 0..T; NULL: all T */
    double *weight;                    /* [N,T], how much each position counts, 0: for nothing; NULL: 1 */
    /* [n], the rows in the order in which networks take them, NULL: as they stand. An order of some of the rows, n of
     * them, makes a part of the data; `rows` says how many there are in all, 0: n. */
    const int64_t *order;
    int64_t rows;
} ur_data;

/* The number of rows in the arrays: n, or where an order takes some of them `rows`. */
int64_t ur_data_rows(const ur_data *data);
/* The row of the k-th sequence, and the length of the sequence in row n. */
int64_t ur_data_row(const ur_data *data, int64_t k);
int64_t ur_data_length(const ur_data *data, int64_t n);

/* ---- building blocks ----------------------------------------------------------------------------------------- */

/* W^T x with the parameter W [rows of x, units]. */
ur_var ur_linear(ur_tape *tape, const char *W, int64_t units, ur_var x);
/* a + b with the parameter b [rows of a]. */
ur_var ur_bias(ur_tape *tape, const char *b, ur_var a);
/* A gate's net value W^T x + Wh^T h + b: for the name "phi" the parameters are Wphi, Whphi and bphi, with as many units
 * as h has rows. Recorded in a scope of that name. */
ur_var ur_affine(ur_tape *tape, const char *name, ur_var x, ur_var h);

/* The embedding of classes: rows of the parameter W [classes, units] as columns [units,B], by their numbers [1,B]. */
ur_var ur_embedding(ur_tape *tape, const char *W, int64_t classes, int64_t units, ur_var numbers);

typedef enum ur_activation { UR_NO_ACTIVATION, UR_IDENTITY, UR_SIGMOID, UR_TANH, UR_RELU, UR_SOFTMAX } ur_activation;
extern const char *const ur_activation_names[]; /* "none", "identity", ..., NULL */
ur_var ur_activate(ur_activation f, ur_var net);

/* Largest |a| for which a product of three powers e^a stays within the tape's type, with room for sums. */
double ur_exponent_room(const ur_tape *tape);

/* ---- cells ------------------------------------------------------------------------------------------------------ */

typedef struct ur_net_options ur_net_options;

/* A state h as a step's recurrent weights read it: times the mask of recurrent dropout, where there is one. */
ur_var ur_recurrent(const ur_net_options *options, ur_var h);

enum { UR_STATES = 4 };

/* A state of a cell: what one step leaves for the next. */
typedef struct ur_cell_state {
    const char *name;
    /* Its shape, the batch last; NULL: [hidden, batch]. */
    ur_shape (*shape)(const ur_net_options *options, int64_t batch);
    double start; /* every element before the first step, unless it is given or learned */
    bool scale;   /* tells how other states are scaled: no start of it is learned, no gradient flows through it */
} ur_cell_state;

/* The steps of one layer in one direction: what belongs to step t is element t - 1. */
typedef struct ur_steps {
    int64_t count;
    bool backward;           /* from step T to step 1 */
    const ur_var *x, *alive; /* [d,B], [1,B] */
    ur_var *h;               /* receives [hidden,B] */
} ur_steps;

/* A cell: one step of a recurrent network. Its file holds this descriptor, and nothing else names it. */
typedef struct ur_cell {
    const char *name;
    const char *equations; /* as the user reads them, a line each */
    int states;            /* at most UR_STATES */
    ur_cell_state state[UR_STATES];
    /* Records one step; the batch is the last size of x. `state` holds the states of the step before and receives those of
     * this one. Returns the cell's output [hidden, batch]; units are named (ur_name). */
    ur_var (*step)(ur_tape *tape, const ur_net_options *options, ur_var x, ur_var *state);
    /* Records all steps, ur_net_options.chunk of them at once, where that is not 0. A position with alive 0 leaves the
     * states as they are. NULL: the cell has no such form. */
    void (*chunks)(ur_tape *tape, const ur_net_options *options, const ur_steps *steps, ur_var *state);
    bool recurrent; /* the step reads h by ur_recurrent */
    bool heads;     /* its units are divided into ur_net_options.heads, which is 1 for other cells */
    /* A cell that runs in both directions itself: the step from t+1 to t is that of another descriptor, and the output
     * layer's weights have these names. */
    const struct ur_cell *back;
    const char *output_weights[2];
} ur_cell;

/* All cells of the library, in alphabetical order of their files; NULL past the last. */
const ur_cell *ur_cell_at(size_t index);
/* By name, NULL when there is none. */
const ur_cell *ur_cell_find(const char *name);

/* ---- networks --------------------------------------------------------------------------------------------------- */

typedef enum ur_loss { UR_NO_LOSS, UR_BCE, UR_CE, UR_MSE } ur_loss;
/* The loss of all positions is divided by 1, the number of sequences, or (sum of lengths) x outputs. */
typedef enum ur_reduction { UR_SUM_ALL, UR_PER_SEQUENCE, UR_MEAN_ALL } ur_reduction;
extern const char *const ur_loss_names[], *const ur_reduction_names[]; /* "none", "bce", ...; "sum", ... */
/* The states before the first step: the cell's own, inputs, or parameters h0, c0, ... alike for all sequences. */
typedef enum ur_start { UR_START_FIXED, UR_START_GIVEN, UR_START_LEARNED } ur_start;

struct ur_net_options {
    const ur_cell *cell;
    int64_t inputs, hidden, outputs; /* d, m, p; outputs count only with an output layer */
    int64_t layers;                  /* stacked; 0: 1 */
    int64_t heads;                   /* of cells that have them, slstm and mlstm; 0: 1 */
    int64_t bptt;                    /* gradients flow through at most so many steps: states are cut before steps K+1,
                                        2K+1, ... (after steps in the other direction); 0: through all */
    int64_t chunk;                   /* steps recorded at once by a cell that can; as many as there are steps: the
                                        parallel form; 0: step by step */
    double dropout;                  /* probability that an output of a layer below another one is 0 in training; the
                                        others are scaled by 1/(1 - dropout) */
    double recurrent_dropout;        /* the same for the state h that a step's recurrent weights read, one mask for the
                                        whole sequence */
    ur_activation hidden_activation; /* of rnn, brnn and mlp; UR_TANH unless set */
    ur_activation out;               /* the output layer's; UR_NO_ACTIVATION: no output layer */
    ur_loss loss;
    ur_reduction reduction;
    ur_start start;
    uint32_t seed;      /* of the dropout masks */
    bool bidirectional; /* every layer runs in both directions; the forward outputs stand first */
    bool layer_norm;    /* normalises each layer's output over its units, then gamma, beta [m] */
    bool batch_norm;    /* normalises each unit of a layer's output over the batch: see ur_net_average */
    bool weighted;      /* positions have weights, or targets stand at each sequence's last step only */
    ur_var keep;        /* the network's own: the mask that ur_recurrent applies */
};

/* A state of the whole network, with its name: `h`, `layer1.back.c`. */
typedef struct ur_net_state {
    const char *name;
    ur_shape shape;
    ur_var start, final; /* before the first step, a constant if all start as 0; after each sequence's last (for `back`:
                            before its first) */
    bool scale;          /* see ur_cell_state; where other states are given without it, 0 is right */
} ur_net_state;

/* Batch normalisation (Ioffe and Szegedy 2015) of a layer's output h_t, each direction by itself: in training
 *
 *     gamma * (h_t - mean_t)/sqrt(variance_t + 1e-5) + beta,
 *
 * mean and variance (divided by the count) over the columns that are alive at step t, each step by itself. In evaluation
 * they are the running averages: after a run in training old + 0.1 (new - old), new being the mean over the alive
 * positions of all steps, where a step's variance counts for each of them. They start as 0 and 1. */
typedef struct ur_net_average {
    const char *name;  /* `mean`, `layer1.back.variance` */
    ur_var leaf, next; /* [hidden], an input; what it becomes after a run */
} ur_net_average;

/* A network recorded for `steps` time steps and `batch` columns. The arrays have `steps` elements, for t = 1...; all
 * live in the tape. */
typedef struct ur_net {
    ur_tape *tape;
    ur_net_options options;
    int64_t steps, batch;
    ur_var *x, *y, *alive, *weight; /* inputs: [d,B], [p,B], [1,B], [1,B]; y and weight may be NULL */
    ur_var *o;                      /* outputs [p,B], 0 at dead positions */
    size_t states;
    ur_net_state *state;
    size_t averages;
    ur_net_average *average;
    ur_var factor;    /* input []: what the summed loss is multiplied by */
    ur_var training;  /* input []: number of the training step, with dropout or batch normalisation; below 0, and at
                         first: evaluation */
    ur_var sequences; /* input [1,B]: the columns' numbers in the data, for dropout */
    ur_var loss;      /* [] */
    size_t params;
    ur_var *gradient; /* of each parameter in its order, after ur_net_differentiate */
    bool tracked;     /* ur_net_track was called */
    uint64_t binds;   /* how often ur_net_bind has written the inputs */
    ur_pool *pool;    /* the caller's, for training and evaluation; NULL, as it is at first: the calling thread alone */
} ur_net;

/* Records the network; it lives as long as the tape's nodes. NULL, with the tape's error set, when that fails. */
ur_net *ur_net_new(ur_tape *tape, const ur_net_options *options, int64_t steps, int64_t batch);
/* Records the gradient of the loss by every parameter, once: a second call does nothing. */
bool ur_net_differentiate(ur_net *net);
/* Declares the averages' next values as states: from now on every run in training moves them. A second call
 * does nothing. */
bool ur_net_track(ur_net *net);
/* Number of values that leave the network: rows of o. */
int64_t ur_net_outputs(const ur_net_options *options);

/* Writes sequences `first` ... `first + count - 1` of the data to the inputs, one a column; the other columns are dead.
 * The data must fit: see ur_net_fits. */
bool ur_net_bind(ur_net *net, const ur_data *data, int64_t first, int64_t count);
/* Do sizes, steps and targets of the data fit the network? The tape's error says what does not. */
bool ur_net_fits(const ur_net *net, const ur_data *data);

/* How the outputs compare with the targets. A position is wrong when the predicted set, o >= 0.5 or with softmax the
 * largest, is not the target's. Positions of weight 0 are not counted, right or wrong. */
typedef struct ur_score {
    double loss;
    int64_t positions, wrong_positions, sequences, wrong_sequences;
    /* wrong positions by place, data->steps numbers each, or NULL: counted from the first step and from the last */
    int64_t *from_start, *from_end;
} ur_score;

/* Adds what the columns that were bound last show after a run. The loss is not touched. */
bool ur_net_score(const ur_net *net, ur_plan *plan, const ur_data *data, int64_t first, int64_t count, ur_score *score);

/* ---- initial values --------------------------------------------------------------------------------------------- */

/* Rules for matrices [fan_in, fan_out]. A uniform one draws from -r..r with r = sqrt(3 variance).
 *
 *     glorot      variance 1/fan_avg, fan_avg = (fan_in + fan_out)/2: Glorot and Bengio (2010), equation 16
 *     he          variance 2/fan_in: He, Zhang, Ren and Sun (2015), equation 10
 *     lecun       variance 1/fan_in: LeCun et al. (1998), equation 16. The lecture prints this variance as He's
 *     orthogonal  orthonormal columns, or rows where there are fewer of them: Saxe, McClelland and Ganguli (2014)
 *     zeros       0
 *
 * An array of more than two dimensions is a row of matrices. */
typedef enum ur_init {
    UR_GLOROT_UNIFORM,
    UR_GLOROT_NORMAL,
    UR_HE_UNIFORM,
    UR_HE_NORMAL,
    UR_LECUN_UNIFORM,
    UR_LECUN_NORMAL,
    UR_ORTHOGONAL,
    UR_ZEROS,
    UR_GLOROT /* the uniform one */
} ur_init;
extern const char *const ur_init_names[]; /* "glorot_uniform", "glorot_normal", ..., "zeros", "glorot", NULL */

/* Sets the matrices by the rule; vectors are 0, but a gain, `gamma`, is 1. A number depends on the seed, the parameter's
 * name and its place alone. */
bool ur_params_init(ur_tape *tape, ur_init rule, uint64_t seed);
/* The same for one parameter. */
bool ur_param_init(ur_tape *tape, size_t k, ur_init rule, uint64_t seed);
/* Sets all elements of the parameters whose name, or its part past the last dot, is this one: `bphi` is every forget
 * gate's bias. The tape's error says so when there is none. */
bool ur_params_fill(ur_tape *tape, const char *name, double value);

#ifdef __cplusplus
}
#endif

#endif
