/* progress.c - what a training run shows while it runs, and its log. */
#include "progress.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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
            "########################", WIDTH - filled, "", (long long)p->epoch, (long long)epochs, p->score.loss,
            (long long)p->score.wrong_positions, (long long)p->score.positions);
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
        fprintf(stderr, "epoch %lld loss %.6g wrong positions %lld of %lld\n", (long long)p->epoch, p->score.loss,
                (long long)p->score.wrong_positions, (long long)p->score.positions);
}

void progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* ---- the log */

bool history_log(const history *h, const char *path, ur_error *error)
{
    ur_file *file = ur_file_create(path, NULL, error);
    if (!file)
        return false;
    FILE *out = ur_file_stream(file);
    fputs("epoch,loss,wrong_positions,positions,wrong_sequences,sequences\n", out);
    for (size_t i = 0; i < h->count; i++) {
        const point *p = &h->point[i];
        fprintf(out, "%lld,%.9g,%lld,%lld,%lld,%lld\n", (long long)p->epoch, p->score.loss,
                (long long)p->score.wrong_positions, (long long)p->score.positions, (long long)p->score.wrong_sequences,
                (long long)p->score.sequences);
    }
    return ur_file_commit(file, error);
}
