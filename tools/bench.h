/* bench.h - what the files of `unroll bench` share: workloads, how they are timed, and the machine's limits. */
#ifndef UNROLL_BENCH_H
#define UNROLL_BENCH_H

#include "options.h"

/* Sizes of a workload; a tape of scalars has steps alone. */
typedef struct bench_sizes {
    int64_t inputs, hidden, outputs, batch, steps; /* d, m, p, B, T */
} bench_sizes;

/* What a workload took. A number that a workload does not have is NAN. */
typedef struct bench_result {
    double median, min;            /* seconds per unit */
    double flops;                  /* of the matrix products per unit */
    double loss_first, loss_third; /* before the first update and before the third */
    double plan_bytes, tape_bytes, tape_nodes, bytes_per_time_step;
    double peak_bytes; /* of a process */
} bench_result;

typedef struct bench_workload bench_workload;

/* A workload as it is asked for. */
typedef struct bench_task {
    const bench_workload *workload;
    bench_sizes sizes; /* the workload's own, or the command line's */
    int64_t threads;   /* of the plan */
} bench_task;

enum { BENCH_CHUNK = 20 };

enum {
    BENCH_LENGTHS = 1,    /* the sequences have their true lengths, not all T */
    BENCH_ONLY_NAMED = 2, /* is not among those that are meant when none is named */
    BENCH_CHUNKS = 4      /* BENCH_CHUNK steps of the cell are recorded at once */
};

struct bench_workload {
    const char *group, *name; /* either asks for it; the name stands in the line */
    const char *unit;         /* what the seconds are for */
    const char *cell;
    const char *task; /* whose x and y are learned under a sigmoid; NULL: random numbers, without output layer */
    int gates;        /* of its units that have the net value W^T x + Wh^T h + b; 0: the mLSTM's, which read x alone */
    unsigned flags;
    bench_sizes sizes;
    double rate; /* of gradient descent on the summed loss */
    bool (*measure)(const bench_task *task, bench_result *result);
};

/* NULL past the last. */
const bench_workload *bench_workload_at(size_t k);

/* ---- timing */

/* Calls `step` for about a second, at least three times, and divides the times by `units`. False as soon as a step is. */
bool bench_time(bool (*step)(void *), void *context, double units, bench_result *result);
/* Seconds of a clock that only goes forward. */
double bench_now(void);

/* ---- the machine's limits */

typedef struct bench_limit {
    char name[32];
    double value;
    const char *unit;
} bench_limit;

enum { BENCH_LIMITS = 5 };

/* Measures on one core: first the f32 peak of the instruction set in use, then reading from L1, L2, L3 and memory. False
 * after an error. */
bool bench_limits(bench_limit limit[BENCH_LIMITS]);

#endif
