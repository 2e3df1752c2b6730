/* progress.h - what a training run shows while it runs, and what it leaves: the log and the plot. */
#ifndef UNROLL_PROGRESS_H
#define UNROLL_PROGRESS_H

#include "options.h"

typedef struct point {
    int64_t epoch;
    ur_score score;
} point;

/* The scores of all epochs so far. */
typedef struct history {
    point *point;
    size_t count, room;
} history;

/* False when there is no memory. */
bool history_add(history *h, int64_t epoch, const ur_score *score);
void history_free(history *h);

/* Prints loss and errors on stdout, a line each that begins with the prefix. */
void score_print(const char *prefix, const ur_score *s);

/* Shows the newest epoch on stderr: a bar on a terminal, now and then a line elsewhere. */
void progress_show(const history *h, int64_t epochs);
/* Clears the bar. */
void progress_end(void);

/* Reads the epochs up to `last` of a log that history_log wrote, if there is one, so that it goes on. False after an
 * error. */
bool history_read(history *h, const char *path, int64_t last);
/* Write the history; false, with the error filled, when the file could not be written. */
bool history_log(const history *h, const char *path, ur_error *error);
bool history_plot(const history *h, const char *path, const char *title, ur_error *error);

#endif
