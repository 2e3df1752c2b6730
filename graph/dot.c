/* dot.c - the diagram of a tape in Graphviz' language.
 *
 * Unrolled: every step is a cluster, scopes are clusters within. Folded: one step stands for all; an edge from the step
 * before starts at the same place of this step and is dashed, as the lecture draws the feedback. */
#include <string.h>

#include "internal.h"

typedef struct drawing {
    const ur_tape *tape;
    const ur_dot_options *options;
    FILE *out;
    uint8_t *wanted;
    int32_t folded; /* the step that is drawn, 0: all */
} drawing;

enum { WANTED = 1, FEEDS = 2 }; /* leads to a root; is a root or has a consumer that is drawn */

static bool drawn(const drawing *d, uint32_t v)
{
    int32_t step = ur__step(d->tape, v);
    if (d->wanted[v] != (WANTED | FEEDS) || (d->options->hide_const && ur__op(d->tape, v) == &ur_op_const))
        return false;
    return !d->folded || step == 0 || step == d->folded;
}

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_node(const drawing *d, uint32_t v, int indent)
{
    const ur_tape *tape = d->tape;
    const ur__kind *kind = ur__kind_of(tape, v);
    const char *name = ur__name_of(tape, v);
    const char *style = kind->op == &ur_op_param   ? "shape=box, style=\"rounded,filled\", fillcolor=\"#d9e8f6\""
                        : kind->op == &ur_op_input ? "shape=box, style=filled, fillcolor=\"#e4f1dc\""
                        : kind->op == &ur_op_const ? "shape=plaintext"
                                                   : "shape=ellipse";
    char shape[UR_SHAPE_TEXT];
    fprintf(d->out, "%*sn%u [%s, label=\"", indent, "", (unsigned)v, style);
    if (kind->op == &ur_op_const) {
        fprintf(d->out, "%g", ur__attr(tape, kind)[0]);
    } else {
        if (name)
            put_text(d->out, name);
        if (name && !ur__is_leaf(kind))
            fputs(" = ", d->out);
        if (!ur__is_leaf(kind))
            put_text(d->out, kind->op->name);
    }
    fprintf(d->out, "\\n%s\"];\n", ur_shape_text(ur__shape(tape, v), shape));
}

/* Is `scope` `within` or below it? */
static bool is_within(const ur_tape *tape, uint32_t scope, uint32_t within)
{
    while (scope && scope != within)
        scope = tape->scope[scope - 1].parent;
    return scope == within;
}

/* The nodes of one step in one scope, then the scopes below it as clusters. */
static void put_scope(const drawing *d, int32_t step, uint32_t scope, int indent)
{
    const ur_tape *tape = d->tape;
    for (uint32_t v = 0; v < tape->nodes; v++)
        if (ur__step(tape, v) == step && ur__site_of(tape, v)->scope == scope && drawn(d, v))
            put_node(d, v, indent);
    for (uint32_t s = 1; s <= tape->scopes; s++) {
        bool any = false;
        for (uint32_t v = 0; v < tape->nodes && !any; v++)
            any = ur__step(tape, v) == step && drawn(d, v) && is_within(tape, ur__site_of(tape, v)->scope, s);
        if (!any || tape->scope[s - 1].parent != scope)
            continue;
        fprintf(d->out, "%*ssubgraph cluster_%d_%u {\n%*slabel=\"", indent, "", (int)step, (unsigned)s, indent + 2, "");
        put_text(d->out, tape->scope[s - 1].name);
        fputs("\"; style=rounded; color=\"#999999\";\n", d->out);
        put_scope(d, step, s, indent + 2);
        fprintf(d->out, "%*s}\n", indent, "");
    }
}

/* The node of step `to` that stands where v stands in its own step: the same number in the step. v when there is none. */
static uint32_t counterpart(const drawing *d, uint32_t v, int32_t to)
{
    const ur_tape *tape = d->tape;
    int32_t from = ur__step(tape, v);
    size_t place = 0;
    for (uint32_t u = 0; u < v; u++)
        place += d->wanted[u] && ur__step(tape, u) == from;
    for (uint32_t u = 0; u < tape->nodes; u++)
        if (d->wanted[u] && ur__step(tape, u) == to && place-- == 0)
            return ur__op(tape, u) == ur__op(tape, v) ? u : v;
    return v;
}

static void put_edges(const drawing *d, uint32_t v)
{
    const ur_tape *tape = d->tape;
    const int32_t step = ur__step(tape, v);
    const uint32_t inputs = ur__kind_of(tape, v)->inputs;
    for (uint32_t k = 0; k < inputs; k++) {
        uint32_t u = ur__unmasked(tape, ur__in(tape, v, k));
        int32_t from = ur__step(tape, u), delay = step - from;
        bool other = d->folded && from && from != d->folded;
        bool carried = other && step;
        if (other && !step && inputs > 2)
            continue; /* a sum over t: the step that is drawn stands for all */
        if (other)
            u = ur__unmasked(tape, counterpart(d, u, d->folded));
        if (!drawn(d, u))
            continue;
        fprintf(d->out, "  n%u -> n%u", (unsigned)u, (unsigned)v);
        if (carried)
            fprintf(d->out, " [style=dashed, constraint=false, label=\"t%+d\"]", (int)-delay);
        fputs(";\n", d->out);
    }
}

/* The step that stands for all: the second, since the first one starts from outside. */
static int32_t representative(const drawing *d)
{
    int32_t last = 0;
    for (uint32_t v = 0; v < d->tape->nodes; v++)
        if (d->wanted[v] && ur__step(d->tape, v) > last)
            last = ur__step(d->tape, v);
    return last > 1 ? 2 : last;
}

/* What feeds a node that is drawn; what feeds only other steps, as the states before the first, is left out. */
static void mark_feeding(const drawing *d)
{
    const ur_tape *tape = d->tape;
    for (uint32_t v = (uint32_t)tape->nodes; v-- > 0;) {
        const int32_t step = ur__step(tape, v);
        bool other_step = d->folded && step && step != d->folded;
        for (uint32_t k = 0; d->wanted[v] == (WANTED | FEEDS) && k < ur__kind_of(tape, v)->inputs; k++) {
            uint32_t u = ur__unmasked(tape, ur__in(tape, v, k));
            if (!other_step || ur__step(tape, u))
                d->wanted[u] |= FEEDS;
        }
    }
}

static void draw(drawing *d)
{
    const ur_tape *tape = d->tape;
    d->folded = d->options->view == UR_DOT_FOLDED ? representative(d) : 0;
    mark_feeding(d);
    fputs("digraph unroll {\n  rankdir=BT;\n  node [fontname=\"Helvetica\", fontsize=11];\n"
          "  edge [fontname=\"Helvetica\", fontsize=9];\n",
          d->out);
    if (d->options->title) {
        fputs("  labelloc=t;\n  label=\"", d->out);
        put_text(d->out, d->options->title);
        fputs("\";\n", d->out);
    }
    put_scope(d, 0, 0, 2);
    int32_t last = 0;
    for (uint32_t v = 0; v < tape->nodes; v++)
        last = ur__step(tape, v) > last ? ur__step(tape, v) : last;
    for (int32_t t = 1; t <= last; t++) {
        if (d->folded && t != d->folded)
            continue;
        fprintf(d->out, "  subgraph cluster_%d {\n    label=\"", (int)t);
        fprintf(d->out, d->folded ? "step t" : "step %d", (int)t);
        fputs("\"; style=\"rounded,filled\"; fillcolor=\"#fafafa\"; color=\"#bbbbbb\";\n", d->out);
        put_scope(d, t, 0, 4);
        fputs("  }\n", d->out);
    }
    for (uint32_t v = 0; v < tape->nodes; v++)
        if (drawn(d, v))
            put_edges(d, v);
    fputs("}\n", d->out);
}

bool ur_dot(ur_tape *tape, size_t roots, const ur_var *root, const ur_dot_options *options, FILE *out)
{
    static const ur_dot_options usual = {.view = UR_DOT_FOLDED};
    if (!root)
        roots = 0;
    for (size_t i = 0; i < roots; i++)
        if (!ur__valid(tape, root[i], "ur_dot"))
            return false;
    if (tape && !out)
        return ur__fail(&tape->error, "ur_dot: a file to write to was expected, there is none");
    if (!tape || !roots)
        return tape && ur__fail(&tape->error, "ur_dot: a root was expected, there is none");
    drawing d = {.tape = tape, .options = options ? options : &usual, .out = out};
    d.wanted = (uint8_t *)ur__take(tape, tape->nodes);
    if (!d.wanted)
        return false;
    memset(d.wanted, 0, tape->nodes);
    for (size_t i = 0; i < roots; i++)
        d.wanted[ur__unmasked(tape, root[i].index)] = WANTED | FEEDS;
    for (uint32_t v = (uint32_t)tape->nodes; v-- > 0;)
        for (uint32_t k = 0; d.wanted[v] && k < ur__kind_of(tape, v)->inputs; k++)
            d.wanted[ur__unmasked(tape, ur__in(tape, v, k))] |= WANTED;
    draw(&d);
    ur__give(tape, d.wanted, tape->nodes);
    return !ferror(out) || ur__fail(&tape->error, "ur_dot: the diagram could not be written");
}
