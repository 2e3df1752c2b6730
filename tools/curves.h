/* curves.h - curves as SVG. */
#ifndef UNROLL_CURVES_H
#define UNROLL_CURVES_H

#include "../optim/optim.h"

typedef struct curve {
    const char *label; /* in the legend; NULL: none */
    size_t count;
    const double *x, *y; /* what is not finite leaves a gap */
    bool dashed;
} curve;

/* Axes with some curves. */
typedef struct curves_panel {
    const char *label; /* of the y axis */
    bool logarithmic;
    bool from_zero; /* the y axis starts at 0 */
    size_t count;
    const curve *curve;
} curves_panel;

/* Draws panels, one below another over a common x axis. False, with the error filled, when the file could not be
 * written. */
bool curves_draw(const char *path, const char *title, const char *x_label, size_t panels, const curves_panel *panel,
                 ur_error *error);

#endif
