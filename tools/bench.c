/* bench.c - `unroll bench`: which workloads, how they are timed, and the lines that tell. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

/* ---- timing */

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

bool bench_time(bool (*step)(void *), void *context, double units, bench_result *result)
{
    enum { LEAST = 3, MOST = 10000 };
    const double budget_seconds = 1;
    static double seconds[MOST];
    size_t n = 0;
    double begin = bench_now();
    while (n < LEAST || (n < MOST && bench_now() - begin < budget_seconds)) {
        double start = bench_now();
        if (!step(context))
            return false;
        seconds[n++] = bench_now() - start;
    }
    qsort(seconds, n, sizeof seconds[0], compare);
    result->median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2 / units;
    result->min = seconds[0] / units;
    return true;
}

/* ---- which workloads */

static bool is_named(const bench_workload *w, const char *word)
{
    return strcmp(w->name, word) == 0 || strcmp(w->group, word) == 0;
}

static bool is_wanted(const options *o, const bench_workload *w)
{
    bool wanted = o->arguments == 0 && !(w->flags & BENCH_ONLY_NAMED);
    for (int i = 0; i < o->arguments; i++)
        wanted |= is_named(w, o->argument[i]);
    return wanted;
}

static bool unknown_workload(const char *word)
{
    char names[256] = "";
    size_t length = 0;
    const bench_workload *w;
    for (size_t k = 0; (w = bench_workload_at(k)) && length < sizeof names; k++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", k ? ", " : "", w->name);
    return refuse("there is no workload '%s', expected some of %s", word, names);
}

static bool are_known(const options *o)
{
    for (int i = 0; i < o->arguments; i++) {
        const bench_workload *w;
        size_t k = 0;
        while ((w = bench_workload_at(k)) && !is_named(w, o->argument[i]))
            k++;
        if (!w)
            return unknown_workload(o->argument[i]);
    }
    return true;
}

static bench_task task_of(const options *o, const bench_workload *w)
{
    bench_task task = {.workload = w, .sizes = w->sizes, .threads = o->threads};
    if (o->hidden)
        task.sizes.hidden = o->hidden;
    if (o->batch > 0)
        task.sizes.batch = o->batch;
    if (o->steps)
        task.sizes.steps = o->steps;
    return task;
}

/* ---- lines */

static void print_member(const char *name, double value)
{
    if (isfinite(value))
        printf(", \"%s\": %.9g", name, value);
    else
        printf(", \"%s\": null", name);
}

static void print_json(const bench_task *task, const bench_result *r, const bench_limit *peak)
{
    const bench_workload *w = task->workload;
    const bench_sizes *s = &task->sizes;
    double gflops = r->flops / r->median * 1e-9;
    const struct {
        const char *name;
        double value;
    } members[] = {{"median_seconds", r->median},
                   {"min_seconds", r->min},
                   {"flops", r->flops},
                   {"gflops", gflops},
                   {"fraction_of_peak", peak ? gflops / peak->value : NAN},
                   {"loss_first", r->loss_first},
                   {"loss_third", r->loss_third},
                   {"plan_bytes", r->plan_bytes},
                   {"tape_bytes", r->tape_bytes},
                   {"tape_nodes", r->tape_nodes},
                   {"bytes_per_time_step", r->bytes_per_time_step},
                   {"peak_bytes", r->peak_bytes},
                   {"inputs", (double)s->inputs},
                   {"hidden", (double)s->hidden},
                   {"outputs", (double)s->outputs},
                   {"batch", (double)s->batch},
                   {"steps", (double)s->steps}};
    printf("{\"workload\": \"%s\", \"threads\": %lld, \"per\": \"%s\", \"instruction_set\": \"%s\"", w->name,
           (long long)task->threads, w->unit, ur_instruction_set());
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        print_member(members[i].name, members[i].value);
    printf("}\n");
}

static void print_limit(const bench_limit *l, bool json)
{
    printf(json ? "{\"limit\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n" : "limit %s %.6g %s\n", l->name, l->value,
           l->unit);
}

/* ---- the command */

static bool run_one(const bench_task *task, const bench_limit *peak, bool json)
{
    bench_result r = {.flops = NAN,
                      .loss_first = NAN,
                      .loss_third = NAN,
                      .plan_bytes = NAN,
                      .tape_bytes = NAN,
                      .tape_nodes = NAN,
                      .bytes_per_time_step = NAN,
                      .peak_bytes = NAN};
    if (!task->workload->measure(task, &r))
        return false;
    if (json)
        print_json(task, &r, peak);
    else
        printf("unroll %s %lld %.12f %.12f\n", task->workload->name, (long long)task->threads, r.median, r.min);
    fflush(stdout);
    return true;
}

static int bench(const options *o)
{
    bench_limit limit[BENCH_LIMITS];
    const bench_workload *w;
    if (!are_known(o) || (o->limits && !bench_limits(limit)))
        return BAD_INPUT;
    for (size_t i = 0; o->limits && i < BENCH_LIMITS; i++)
        print_limit(&limit[i], o->json);
    fflush(stdout);
    for (size_t k = 0; (w = bench_workload_at(k)); k++) {
        const bench_task task = task_of(o, w);
        if (is_wanted(o, w) && !run_one(&task, o->limits ? &limit[0] : NULL, o->json))
            return BAD_INPUT;
    }
    return DONE;
}

const command command_bench = {
    .name = "bench",
    .bit = BENCH,
    .arguments = "[W1 ... W12]",
    .least = 0,
    .most = MOST_ARGUMENTS,
    .summary = "times the named workloads, or all of them",
    .text =
        "Prints a line each: `unroll WORKLOAD THREADS MEDIAN_SECONDS MIN_SECONDS`, in f32. A step is forward, "
        "backward\n"
        "through time and a plain update over all B x T positions.\n"
        "\n"
        "  W1   tanh RNN d=7 m=4 p=7, Reber, B=400 T=52        W7   gated cell as a user's composition,\n"
        "  W2   LSTM m=20, embedded Reber, B=400 T=64               d=32 m=64 B=32 T=200\n"
        "  W3   tanh RNN m=60 on the data of W2                W8   sLSTM, W8m: mLSTM, d=32 m=64 B=32 T=200\n"
        "  W4   LSTM d=m=128 B=32 T=100                        W9   W7's cell, B=8 T=100, 1000, 10000 *\n"
        "  W5   LSTM d=m=512 B=64 T=50                         W10  100,000 scalar operations recorded,\n"
        "  W6   streaming LSTM d=64 m=128, batch 1 *                differentiated, planned and run; replayed **\n"
        "  W11  from process start to the end of W1's first epoch\n"
        "  W12  batch 1, LSTM d=m=8, 32, 128, T=100 *          * for a time step, ** for an operation\n"
        "\n"
        "W1-lengths and W2-lengths have the sequences' true lengths. W7-shipped, which runs only where it is named,\n"
        "is W7 with the library's own cell. --json tells more, a JSON object a line: operations of matrix products,\n"
        "losses before the first and the third update, bytes, sizes and, with --limits, the fraction of the peak.",
    .example = "unroll bench W4 W7 --limits --json",
    .run = bench,
};
