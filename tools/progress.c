/* progress.c - what a training run shows while it runs, and its log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"

bool history_add(history *h, int64_t epoch, const ur_score *score)
{
    if (h->count == h->room) {
        size_t room = h->room ? 2 * h->room : 256;
        point *grown = (point *)realloc(h->point, room * sizeof *grown);
        if (!grown)
            return false;
        h->point = grown;
        h->room = room;
    }
    h->point[h->count++] = (point){.epoch = epoch, .score = *score};
    return true;
}

void history_free(history *h)
{
    free(h->point);
    *h = (history){0};
}

void score_print(const char *prefix, const ur_score *s)
{
    printf("%sloss %.9g\n%swrong positions %lld of %lld\n%swrong sequences %lld of %lld\n", prefix, printed(s->loss),
           prefix, (long long)s->wrong_positions, (long long)s->positions, prefix, (long long)s->wrong_sequences,
           (long long)s->sequences);
}

/* ---- stderr */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void show_bar(const point *p, int64_t epochs)
{
    enum { WIDTH = 24 };
    static double shown;
    if (seconds() - shown < 0.1 && p->epoch < epochs)
        return;
    shown = seconds();
    int filled = epochs > 0 ? (int)((double)WIDTH * (double)p->epoch / (double)epochs) : WIDTH;
    fprintf(stderr, "\r[%.*s%*s] epoch %lld of %lld  loss %.6g  wrong %lld of %lld\033[K", filled,
            "########################", WIDTH - filled, "", (long long)p->epoch, (long long)epochs,
            printed(p->score.loss), (long long)p->score.wrong_positions, (long long)p->score.positions);
}

/* Epochs 1, 2, 5, 10, 20, 50, ... and the last. */
static bool is_round(int64_t n)
{
    while (n >= 10 && n % 10 == 0)
        n /= 10;
    return n == 1 || n == 2 || n == 5;
}

void progress_show(const history *h, int64_t epochs)
{
    const point *p = &h->point[h->count - 1];
    if (isatty(STDERR_FILENO))
        show_bar(p, epochs);
    else if (is_round(p->epoch) || p->epoch == epochs)
        fprintf(stderr, "epoch %lld loss %.6g wrong positions %lld of %lld\n", (long long)p->epoch,
                printed(p->score.loss), (long long)p->score.wrong_positions, (long long)p->score.positions);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- the log */

static const char log_columns[] = "epoch,loss,wrong_positions,positions,wrong_sequences,sequences\n";

static bool read_epoch(const char *line, int64_t *epoch, ur_score *score)
{
    enum { COLUMNS = 6 };
    double number[COLUMNS];
    for (int k = 0; k < COLUMNS; k++) {
        char *end, after = k + 1 < COLUMNS ? ',' : '\n';
        number[k] = strtod(line, &end);
        if (end == line || *end != after)
            return false;
        line = end + 1;
    }
    *epoch = (int64_t)number[0];
    score->loss = number[1];
    score->wrong_positions = (int64_t)number[2];
    score->positions = (int64_t)number[3];
    score->wrong_sequences = (int64_t)number[4];
    score->sequences = (int64_t)number[5];
    return true;
}

static bool read_lines(history *h, FILE *file, const char *path, int64_t last)
{
    char line[256];
    if (!fgets(line, sizeof line, file) || strcmp(line, log_columns) != 0)
        return refuse("%s:1: is no log that could go on, expected the line %.*s", path, (int)sizeof log_columns - 2,
                      log_columns);
    for (int number = 2; fgets(line, sizeof line, file); number++) {
        int64_t epoch;
        ur_score score = {0};
        if (!read_epoch(line, &epoch, &score))
            return refuse("%s:%d: an epoch of a log was expected, six numbers", path, number);
        if (epoch <= last && !history_add(h, epoch, &score))
            return refuse("%s: no memory for a log of %d epochs", path, number - 1);
    }
    return true;
}

bool history_read(history *h, const char *path, int64_t last)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0)
        return true;
    FILE *file = fopen(path, "r");
    if (!file)
        return refuse("%s: cannot be read: %s", path, strerror(errno));
    bool good = read_lines(h, file, path, last);
    fclose(file);
    return good;
}

bool history_log(const history *h, const char *path, ur_error *error)
{
    ur_file *file = ur_file_create(path, NULL, error);
    if (!file)
        return false;
    FILE *out = ur_file_stream(file);
    fputs(log_columns, out);
    for (size_t i = 0; i < h->count; i++) {
        const point *p = &h->point[i];
        fprintf(out, "%lld,%.9g,%lld,%lld,%lld,%lld\n", (long long)p->epoch, printed(p->score.loss),
                (long long)p->score.wrong_positions, (long long)p->score.positions, (long long)p->score.wrong_sequences,
                (long long)p->score.sequences);
    }
    return ur_file_commit(file, error);
}
