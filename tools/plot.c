/* plot.c - a training run as SVG: the loss above, on a logarithmic axis, the wrong positions below. */
#include <math.h>

#include "progress.h"

enum { WIDTH = 720, HEIGHT = 480, LEFT = 78, RIGHT = 20, TOP = 44, PANEL = 180, GAP = 40, POINTS = 600 };

/* A panel: values from `low` to `high` on `top` + PANEL pixels ... `top`. */
typedef struct panel {
    const char *label, *colour;
    double top, low, high;
    bool logarithmic;
    double (*value)(const ur_score *score);
} panel;

static double loss(const ur_score *score)
{
    return score->loss;
}

static double wrong(const ur_score *score)
{
    return (double)score->wrong_positions;
}

static double scaled(const panel *p, double value)
{
    return p->logarithmic ? log10(value) : value;
}

static double y_of(const panel *p, double value)
{
    return p->top + PANEL * (1 - (value - p->low) / (p->high - p->low));
}

static double x_of(const history *h, int64_t epoch)
{
    int64_t first = h->point[0].epoch, last = h->point[h->count - 1].epoch;
    double share = last > first ? (double)(epoch - first) / (double)(last - first) : 0.5;
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

static void fit_range(const history *h, panel *p)
{
    p->low = INFINITY;
    p->high = -INFINITY;
    for (size_t i = 0; i < h->count; i++) {
        double v = scaled(p, p->value(&h->point[i].score));
        if (isfinite(v)) {
            p->low = fmin(p->low, v);
            p->high = fmax(p->high, v);
        }
    }
    if (!(p->low <= p->high))
        p->low = p->high = 0;
    if (!p->logarithmic)
        p->low = 0;
    if (p->high - p->low < 1e-12)
        p->high = p->low + 1;
}

static void draw_axes(FILE *out, const panel *p)
{
    double step = tick_step(p->high - p->low);
    fprintf(out, "<text x=\"16\" y=\"%.1f\" transform=\"rotate(-90 16 %.1f)\" text-anchor=\"middle\">%s</text>\n",
            p->top + PANEL / 2.0, p->top + PANEL / 2.0, p->label);
    double first = ceil(p->low / step);
    int ticks = (int)floor(p->high / step + 1e-9 - first) + 1;
    for (int i = 0; i < ticks; i++) {
        double v = (first + i) * step, y = y_of(p, v), shown = p->logarithmic ? pow(10, v) : v;
        fprintf(out, "<path d=\"M%d %.1fH%d\" stroke=\"#e5e5e5\"/>", LEFT, y, WIDTH - RIGHT);
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", LEFT - 6, y + 4,
                fabs(shown) < 1e-12 && !p->logarithmic ? 0.0 : shown);
    }
    fprintf(out, "<path d=\"M%d %.1fV%.1fH%d\" fill=\"none\" stroke=\"#333\"/>\n", LEFT, p->top, p->top + PANEL,
            WIDTH - RIGHT);
}

static void draw_curve(FILE *out, const history *h, const panel *p)
{
    size_t every = h->count / POINTS + 1;
    bool pen = false;
    fprintf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" d=\"", p->colour);
    for (size_t i = 0; i < h->count; i++) {
        double v = scaled(p, p->value(&h->point[i].score));
        if ((i % every && i + 1 < h->count))
            continue;
        if (isfinite(v))
            fprintf(out, "%c%.1f %.1f", pen ? 'L' : 'M', x_of(h, h->point[i].epoch), y_of(p, v));
        pen = isfinite(v);
    }
    fputs("\"/>\n", out);
}

static void draw_epochs(FILE *out, const history *h, double y)
{
    int64_t first = h->point[0].epoch, last = h->point[h->count - 1].epoch;
    double step = last > first ? fmax(1, tick_step((double)(last - first))) : 1;
    int64_t every = (int64_t)step;
    for (int64_t e = (first + every - 1) / every * every; e <= last; e += every)
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%lld</text>\n", x_of(h, e), y + 16,
                (long long)e);
    fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"middle\">epoch</text>\n", (LEFT + WIDTH - RIGHT) / 2, y + 34);
}

static void escape(FILE *out, const char *text)
{
    for (; *text; text++)
        if (*text == '<' || *text == '&')
            fputs(*text == '<' ? "&lt;" : "&amp;", out);
        else
            fputc(*text, out);
}

bool history_plot(const history *h, const char *path, const char *title, ur_error *error)
{
    ur_file *file = ur_file_create(path, NULL, error);
    if (!file)
        return false;
    FILE *out = ur_file_stream(file);
    panel panels[] = {
        {.label = "loss", .colour = "#1f5fa8", .top = TOP, .logarithmic = true, .value = loss},
        {.label = "wrong positions", .colour = "#b03a2e", .top = TOP + PANEL + GAP, .value = wrong},
    };
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, HEIGHT + 20, WIDTH, HEIGHT + 20);
    fprintf(out, "<text x=\"%d\" y=\"26\" text-anchor=\"middle\" font-size=\"15\">", (LEFT + WIDTH - RIGHT) / 2);
    escape(out, title);
    fputs("</text>\n", out);
    for (size_t i = 0; i < 2 && h->count; i++) {
        fit_range(h, &panels[i]);
        draw_axes(out, &panels[i]);
        draw_curve(out, h, &panels[i]);
    }
    if (h->count)
        draw_epochs(out, h, panels[1].top + PANEL);
    fputs("</svg>\n", out);
    return ur_file_commit(file, error);
}
