/* lecture.h - the report of the lecture: its rows, and a small network whose every value and delta can be read. */
#ifndef UNROLL_LECTURE_H
#define UNROLL_LECTURE_H

#include "curves.h"
#include "options.h"

/* ---- rows */

typedef enum lecture_verdict { RIGHT, MISPRINT, MISSING, CLAIM } lecture_verdict;

/* A formula or a sentence of the lecture. The differences are the largest of all steps, elements and sequences, relative
 * to the largest element of the step; NAN where there is nothing to compute. */
typedef struct lecture_row {
    lecture_verdict verdict;
    const char *name, *place; /* place: the slide's title in few words */
    const char *printed;
    char derived[400];
    double printed_apart, derived_apart; /* of the print, and of what is derived in its place */
    bool refuted;                        /* CLAIM: what stands in `derived` was computed and does not hold */
} lecture_row;

enum { LECTURE_ROWS = 160 };

typedef struct lecture_report {
    size_t count;
    lecture_row row[LECTURE_ROWS];
} lecture_report;

/* Appends a row; a result's numbers are printed into `derived`. The report has room for all. */
lecture_row *lecture_add(lecture_report *r, lecture_verdict verdict, const char *name, const char *place,
                         const char *printed, const char *derived, ...) UR_PRINTF(6, 7);
/* A claim whose `derived` holds when `confirmed`. */
#define lecture_claim(r, confirmed, ...) (lecture_add(r, CLAIM, __VA_ARGS__)->refuted = !(confirmed))

/* |a - b| / max |b| over n numbers; 0 when both are all 0. */
double lecture_apart(size_t n, const double *a, const double *b);

/* The exact number of wrong positions in a string of Reber's grammar from `least` symbols on that the best predictor
 * without memory makes, and of those at the last symbol before E. `least` is at most 64. */
double lecture_memoryless(const ur_automaton *a, int least, double *before_last);

/* The sections. False after an error, which is printed. */
bool lecture_deltas(lecture_report *r);
bool lecture_forward(lecture_report *r);
bool lecture_grammar(lecture_report *r);
void lecture_numbers(lecture_report *r);
bool lecture_remedies(lecture_report *r);
bool lecture_zeros(lecture_report *r);
bool lecture_radius(lecture_report *r);

/* The experiments; `folder` receives their diagrams, NULL: none. */
bool lecture_reber(lecture_report *r);
bool lecture_sine(lecture_report *r, const char *folder);
bool lecture_long_range(lecture_report *r, const char *folder);
bool lecture_depth(lecture_report *r, const char *folder);

/* Writes a diagram of one panel to the folder, which is made when there is none. False after an error, printed. */
bool lecture_draw(const char *folder, const char *file, const char *title, const char *x_label,
                  const curves_panel *panel);

/* Prints a tape's error, if there is one. Returns true when there is none. */
bool lecture_good(ur_tape *tape);

/* ---- a network of a few units, its values, and its deltas by autodiff */

enum { TAU = 6, INPUTS = 3, UNITS = 4, COLUMNS = 2, MOST_UNITS = 8 };

/* [t][unit][column]; t = 0 is the start, past TAU all is 0. */
typedef double lecture_series[TAU + 2][UNITS][COLUMNS];

typedef struct lecture_net {
    ur_tape *tape;
    ur_net *net;
    ur_data *data;
    ur_plan *plan;
    const char *const *names; /* of the units, NULL past the last */
    int outputs;              /* p */
    double loss;
    lecture_series value[MOST_UNITS], delta[MOST_UNITS];
} lecture_net;

/* Records a cell with an output layer, random weights, biases and data, and runs it; the sizes, the reduction and the
 * weights of positions are not the options' matter. `names` are its units, the last one of them "o". A delta is the
 * total derivative of E_X by the net value of a unit, or by the unit itself where its name is in `plain`, words. With
 * UR_START_GIVEN the starting states are random. */
bool lecture_net_open(lecture_net *n, ur_net_options net, const char *const *names, const char *plain);
/* Runs again with the loss of step t alone, or of all steps with t = 0. */
bool lecture_net_run(lecture_net *n, int t);
void lecture_net_close(lecture_net *n);

/* One unit's place: unit i of column k at step t. */
typedef struct lecture_place {
    const lecture_net *n;
    int t, i, k;
} lecture_place;

/* The value or the delta of unit number `unit` at step t + later, row i or j. */
double lecture_value(const lecture_place *at, int unit, int later);
double lecture_delta(const lecture_place *at, int unit, int later);
/* Row i of W delta_{t+later}, of W^T v_{t+later}, of W^T x_t, of b. */
double lecture_through(const lecture_place *at, const char *W, int unit, int later);
double lecture_linear(const lecture_place *at, const char *W, int unit, int later);
double lecture_input(const lecture_place *at, const char *W);
double lecture_bias(const lecture_place *at, const char *b);

#endif
