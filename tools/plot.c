/* plot.c - a training run as SVG: the loss above, on a logarithmic axis, the wrong positions below. */
#include <stdlib.h>

#include "curves.h"
#include "progress.h"

bool history_plot(const history *h, const char *path, const char *title, ur_error *error)
{
    double *epoch = (double *)calloc(3 * h->count + 1, sizeof *epoch);
    if (!epoch) {
        snprintf(error->text, sizeof error->text, "%s: no memory for a plot of %zu epochs", path, h->count);
        return false;
    }
    double *loss = epoch + h->count, *wrong = loss + h->count;
    for (size_t i = 0; i < h->count; i++) {
        epoch[i] = (double)h->point[i].epoch;
        loss[i] = h->point[i].score.loss;
        wrong[i] = (double)h->point[i].score.wrong_positions;
    }
    curve losses = {.count = h->count, .x = epoch, .y = loss}, errors = {.count = h->count, .x = epoch, .y = wrong};
    curves_panel panels[] = {{.label = "loss", .logarithmic = true, .count = 1, .curve = &losses},
                             {.label = "wrong positions", .from_zero = true, .count = 1, .curve = &errors}};
    bool good = curves_draw(path, title, "epoch", 2, panels, error);
    free(epoch);
    return good;
}
