/* curves.c - curves as SVG: panels one below another, a legend on the right where curves have names. */
#include <math.h>

#include "curves.h"

/* Pixels; a panel is higher when it is alone. */
enum {
    WIDTH = 720,
    LEFT = 78,
    RIGHT = 20,
    TOP = 44,
    PANEL = 180,
    ALONE = 300,
    GAP = 40,
    BOTTOM = 56,
    LEGEND = 210,
    POINTS = 600
};

static const char *const colours[] = {"#1f5fa8", "#b03a2e", "#2e8b57", "#c77f0a", "#6a4ca3",
                                      "#00808c", "#a8447f", "#6b6b2f", "#444444", "#d0563b"};
enum { COLOURS = sizeof colours / sizeof *colours };

/* A panel's place: values from `low` to `high` on `top` + `height` pixels ... `top`. */
typedef struct frame {
    const curves_panel *panel;
    size_t first_colour;
    double top, height, low, high, x_low, x_high;
} frame;

static double scaled(const frame *f, double value)
{
    return f->panel->logarithmic ? log10(value) : value;
}

static double y_of(const frame *f, double value)
{
    return f->top + f->height * (1 - (value - f->low) / (f->high - f->low));
}

static double x_of(const frame *f, double x)
{
    double share = f->x_high > f->x_low ? (x - f->x_low) / (f->x_high - f->x_low) : 0.5;
    return LEFT + (WIDTH - LEFT - RIGHT) * share;
}

/* A step of 1, 2 or 5 times a power of ten that divides the range in at most five. */
static double tick_step(double range)
{
    double step = pow(10, floor(log10(range)));
    while (range / step > 5)
        step *= 2;
    while (range / step < 2)
        step /= 2;
    double power = pow(10, floor(log10(step))), digit = step / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

/* Number of multiples of the step from `low` to `high`. */
static int ticks(double low, double high, double step)
{
    return (int)floor(high / step + 1e-9 - ceil(low / step)) + 1;
}

static void fit_range(frame *f)
{
    f->low = f->x_low = INFINITY;
    f->high = f->x_high = -INFINITY;
    for (const curve *c = f->panel->curve; c < f->panel->curve + f->panel->count; c++)
        for (size_t i = 0; i < c->count; i++) {
            double v = scaled(f, c->y[i]);
            f->x_low = fmin(f->x_low, c->x[i]);
            f->x_high = fmax(f->x_high, c->x[i]);
            if (isfinite(v)) {
                f->low = fmin(f->low, v);
                f->high = fmax(f->high, v);
            }
        }
    if (!(f->low <= f->high))
        f->low = f->high = 0;
    if (f->panel->from_zero)
        f->low = 0;
    if (f->high - f->low < 1e-12)
        f->high = f->low + 1;
}

static void escape(FILE *out, const char *text)
{
    for (; *text; text++)
        if (*text == '<' || *text == '&')
            fputs(*text == '<' ? "&lt;" : "&amp;", out);
        else
            fputc(*text, out);
}

static void draw_axes(FILE *out, const frame *f)
{
    double step = tick_step(f->high - f->low), middle = f->top + f->height / 2;
    fprintf(out, "<text x=\"16\" y=\"%.1f\" transform=\"rotate(-90 16 %.1f)\" text-anchor=\"middle\">", middle, middle);
    escape(out, f->panel->label);
    fputs("</text>\n", out);
    double first = ceil(f->low / step);
    for (int i = 0; i < ticks(f->low, f->high, step); i++) {
        double v = (first + i) * step, y = y_of(f, v), shown = f->panel->logarithmic ? pow(10, v) : v;
        fprintf(out, "<path d=\"M%d %.1fH%d\" stroke=\"#e5e5e5\"/>", LEFT, y, WIDTH - RIGHT);
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", LEFT - 6, y + 4, shown);
    }
    fprintf(out, "<path d=\"M%d %.1fV%.1fH%d\" fill=\"none\" stroke=\"#333\"/>\n", LEFT, f->top, f->top + f->height,
            WIDTH - RIGHT);
}

static void draw_curve(FILE *out, const frame *f, const curve *c, const char *colour)
{
    size_t every = c->count / POINTS + 1;
    bool pen = false;
    fprintf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"%s d=\"", colour,
            c->dashed ? " stroke-dasharray=\"5 4\"" : "");
    for (size_t i = 0; i < c->count; i++) {
        double v = scaled(f, c->y[i]);
        if (i % every && i + 1 < c->count)
            continue;
        if (isfinite(v))
            fprintf(out, "%c%.1f %.1f", pen ? 'L' : 'M', x_of(f, c->x[i]), y_of(f, v));
        pen = isfinite(v);
    }
    fputs("\"/>\n", out);
}

static void draw_legend(FILE *out, const frame *f, size_t k, const char *colour)
{
    const curve *c = &f->panel->curve[k];
    double y = f->top + 10 + 17 * (double)k;
    fprintf(out, "<path d=\"M%d %.1fh22\" stroke=\"%s\" stroke-width=\"2\"%s/><text x=\"%d\" y=\"%.1f\">", WIDTH, y,
            colour, c->dashed ? " stroke-dasharray=\"5 4\"" : "", WIDTH + 28, y + 4);
    escape(out, c->label);
    fputs("</text>\n", out);
}

static void draw_panel(FILE *out, const frame *f)
{
    draw_axes(out, f);
    for (size_t k = 0; k < f->panel->count; k++) {
        const char *colour = colours[(f->first_colour + k) % COLOURS];
        draw_curve(out, f, &f->panel->curve[k], colour);
        if (f->panel->curve[k].label)
            draw_legend(out, f, k, colour);
    }
}

static bool whole_numbers(const curves_panel *panel)
{
    for (size_t k = 0; k < panel->count; k++)
        for (size_t i = 0; i < panel->curve[k].count; i++)
            if (panel->curve[k].x[i] != floor(panel->curve[k].x[i]))
                return false;
    return true;
}

static void draw_x_axis(FILE *out, const frame *f, const char *label)
{
    double step = f->x_high > f->x_low ? tick_step(f->x_high - f->x_low) : 1, y = f->top + f->height;
    if (whole_numbers(f->panel))
        step = fmax(step, 1);
    double first = ceil(f->x_low / step);
    for (int i = 0; i < ticks(f->x_low, f->x_high, step); i++) {
        double x = (first + i) * step;
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.6g</text>\n", x_of(f, x), y + 16, x);
    }
    fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2, y + 34);
    escape(out, label);
    fputs("</text>\n", out);
}

static bool has_legend(size_t panels, const curves_panel *panel)
{
    for (size_t i = 0; i < panels; i++)
        for (size_t k = 0; k < panel[i].count; k++)
            if (panel[i].curve[k].label)
                return true;
    return false;
}

bool curves_draw(const char *path, const char *title, const char *x_label, size_t panels, const curves_panel *panel,
                 ur_error *error)
{
    ur_file *file = ur_file_create(path, NULL, error);
    if (!file)
        return false;
    FILE *out = ur_file_stream(file);
    int width = WIDTH + (has_legend(panels, panel) ? LEGEND : 0);
    int tall = panels > 1 ? PANEL : ALONE, height = TOP + (int)panels * (tall + GAP) - GAP + BOTTOM;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            width, height, width, height);
    fprintf(out, "<text x=\"%d\" y=\"26\" text-anchor=\"middle\" font-size=\"15\">", (LEFT + WIDTH - RIGHT) / 2);
    escape(out, title);
    fputs("</text>\n", out);
    size_t colour = 0;
    for (size_t i = 0; i < panels; i++) {
        frame f = {.panel = &panel[i], .top = TOP + (double)i * (tall + GAP), .height = tall, .first_colour = colour};
        bool empty = true;
        for (size_t k = 0; k < panel[i].count; k++)
            empty = empty && panel[i].curve[k].count == 0;
        if (empty)
            continue;
        fit_range(&f);
        draw_panel(out, &f);
        colour += panel[i].count;
        if (i + 1 == panels)
            draw_x_axis(out, &f, x_label);
    }
    fputs("</svg>\n", out);
    return ur_file_commit(file, error);
}
