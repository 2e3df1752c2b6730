/* dot.c - the diagram of a tape in Graphviz' language.
 *
 * Unrolled: every step is a cluster, scopes are clusters within. Folded: one step stands for all; an edge from the step
 * before starts at the like node of this step and is dashed, as the lecture draws the feedback. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What nodes of different steps are matched by. */
typedef struct look {
    uint64_t hash;
    uint32_t node;
} look;

typedef struct drawing {
    ur_tape *tape;
    const ur_dot_options *options;
    FILE *out;
    uint8_t *wanted;
    uint32_t folded; /* the number of the step that is drawn, 0: all */
    /* The steps that have wanted nodes, numbered in their order, after number 0, outside of them; those of a node. */
    uint32_t *step, *number, steps;
    /* The wanted nodes: those of step number s are node[begin[s]] ... node[begin[s+1] - 1], in the tape's order. */
    uint32_t *begin, *node;
    look *look; /* of those of a step by their hashes, where one step stands for all */
    /* Of the step that is being drawn: the first of the nodes in a scope and the one after each, UR_NONE: none; whether
     * a scope shows a node, its own or one below it. */
    uint32_t *first, *next, *shows;
    uint32_t *child, *sibling; /* of a scope: the first below it, the next one below the same; 0: none */
    uint32_t *memory;
    size_t bytes;
} drawing;

enum { WANTED = 1, FEEDS = 2 }; /* leads to a root; is a root or has a consumer that is drawn */

static bool drawn(const drawing *d, uint32_t v)
{
    if (d->wanted[v] != (WANTED | FEEDS) || (d->options->hide_const && ur__op(d->tape, v) == &ur_op_const))
        return false;
    return !d->folded || d->number[v] == 0 || d->number[v] == d->folded;
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

/* ---- the nodes of each step and scope */

static bool new_lists(drawing *d)
{
    ur_tape *tape = d->tape;
    size_t nodes = tape->nodes, scopes = tape->scopes + 1;
    d->bytes = (5 * nodes + 4 + 4 * scopes) * sizeof(uint32_t);
    d->memory = (uint32_t *)ur__take(tape, d->bytes);
    d->look = (look *)ur__take(tape, nodes * sizeof *d->look);
    if (!d->memory || !d->look)
        return false;
    memset(d->memory, 0, d->bytes);
    d->step = d->memory;
    d->begin = d->step + nodes + 1;
    d->number = d->begin + nodes + 3;
    d->node = d->number + nodes;
    d->next = d->node + nodes;
    d->first = d->next + nodes;
    d->shows = d->first + scopes;
    d->child = d->shows + scopes;
    d->sibling = d->child + scopes;
    return true;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Numbers the steps: step[0] = 0 is outside of them. */
static void list_steps(drawing *d)
{
    const ur_tape *tape = d->tape;
    uint32_t all = 1, last = 0;
    for (uint32_t v = 0; v < tape->nodes; v++)
        if (d->wanted[v])
            d->step[all++] = (uint32_t)ur__step(tape, v);
    qsort(d->step, all, sizeof *d->step, by_number);
    for (uint32_t i = 1; i < all; i++)
        if (d->step[i] != d->step[last])
            d->step[++last] = d->step[i];
    d->steps = last + 1;
    for (uint32_t v = 0; v < tape->nodes; v++) {
        const uint32_t step = (uint32_t)ur__step(tape, v);
        const uint32_t *found = (const uint32_t *)bsearch(&step, d->step, d->steps, sizeof *d->step, by_number);
        d->number[v] = found ? (uint32_t)(found - d->step) : 0;
    }
}

/* An operation on a shape, in a scope, under a name or none: nodes of different steps that have the same are like each
 * other. */
static look look_of(const ur_tape *tape, uint32_t v)
{
    const ur__kind *kind = ur__kind_of(tape, v);
    const char *name = ur__name_of(tape, v);
    const uint64_t op = ur__hash(kind->op->name, UR__HASH_START),
                   place = ur__mix(kind->shape, ur__site_of(tape, v)->scope);
    return (look){ur__hash(name ? name : "", ur__mix(op, place)), v};
}

static int by_look(const void *a, const void *b)
{
    const look *x = (const look *)a, *y = (const look *)b;
    return x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) : (x->node > y->node) - (x->node < y->node);
}

/* Where the look is, or would be, among those of a step. */
static size_t find_look(const drawing *d, uint32_t step, look wanted)
{
    size_t low = d->begin[step], high = d->begin[step + 1];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_look(&d->look[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Sorts the nodes by their steps. */
static void list_nodes(const drawing *d)
{
    const ur_tape *tape = d->tape;
    for (uint32_t v = 0; v < tape->nodes; v++)
        if (d->wanted[v])
            d->begin[d->number[v] + 2]++;
    for (uint32_t s = 0; s < d->steps; s++)
        d->begin[s + 2] += d->begin[s + 1];
    for (uint32_t v = 0; v < tape->nodes; v++)
        if (d->wanted[v])
            d->node[d->begin[d->number[v] + 1]++] = v;
    for (uint32_t s = 1; s < d->steps && d->folded; s++) {
        for (uint32_t i = d->begin[s]; i < d->begin[s + 1]; i++)
            d->look[i] = look_of(tape, d->node[i]);
        qsort(d->look + d->begin[s], d->begin[s + 1] - d->begin[s], sizeof *d->look, by_look);
    }
}

static void list_scopes(const drawing *d)
{
    for (uint32_t s = (uint32_t)d->tape->scopes; s > 0; s--) {
        uint32_t parent = d->tape->scope[s - 1].parent;
        d->sibling[s] = d->child[parent];
        d->child[parent] = s;
    }
}

static void show_scope(const drawing *d, uint32_t scope)
{
    for (; !d->shows[scope]; scope = d->tape->scope[scope - 1].parent) {
        d->shows[scope] = true;
        if (scope == 0)
            return;
    }
}

/* Lists the drawn nodes of step number `step` by their scopes; from the last one on, since each goes before those after
 * it. */
static void list_step(const drawing *d, uint32_t step)
{
    size_t scopes = d->tape->scopes + 1;
    memset(d->first, 0xff, scopes * sizeof *d->first); /* UR_NONE */
    memset(d->shows, 0, scopes * sizeof *d->shows);
    for (uint32_t i = d->begin[step + 1]; i-- > d->begin[step];) {
        uint32_t v = d->node[i], scope = ur__site_of(d->tape, v)->scope;
        if (!drawn(d, v))
            continue;
        d->next[v] = d->first[scope];
        d->first[scope] = v;
        show_scope(d, scope);
    }
}

/* The nodes of a step in one scope, then the scopes below it as clusters. */
static void put_scope(const drawing *d, uint32_t step, uint32_t scope, int indent)
{
    for (uint32_t v = d->first[scope]; v != UR_NONE; v = d->next[v])
        put_node(d, v, indent);
    for (uint32_t s = d->child[scope]; s; s = d->sibling[s]) {
        if (!d->shows[s])
            continue;
        fprintf(d->out, "%*ssubgraph cluster_%u_%u {\n%*slabel=\"", indent, "", (unsigned)d->step[step], (unsigned)s,
                indent + 2, "");
        put_text(d->out, d->tape->scope[s - 1].name);
        fputs("\"; style=rounded; color=\"#999999\";\n", d->out);
        put_scope(d, step, s, indent + 2);
        fprintf(d->out, "%*s}\n", indent, "");
    }
}

static void put_step(const drawing *d, uint32_t step, int indent)
{
    list_step(d, step);
    put_scope(d, step, 0, indent);
}

/* ---- edges */

/* The node of step number `to` that is to it what v is to its own: the first one like it, the second, and so on; v when
 * there is none. */
static uint32_t counterpart(const drawing *d, uint32_t v, uint32_t to)
{
    const look own = look_of(d->tape, v);
    const size_t first = find_look(d, d->number[v], (look){own.hash, 0}), nth = find_look(d, d->number[v], own) - first;
    const size_t at = find_look(d, to, (look){own.hash, 0}) + nth;
    return at < d->begin[to + 1] && d->look[at].hash == own.hash ? d->look[at].node : v;
}

static void put_edges(const drawing *d, uint32_t v)
{
    const ur_tape *tape = d->tape;
    const int32_t step = ur__step(tape, v);
    const uint32_t inputs = ur__kind_of(tape, v)->inputs;
    for (uint32_t k = 0; k < inputs; k++) {
        uint32_t u = ur__unmasked(tape, ur__in(tape, v, k));
        int32_t from = ur__step(tape, u), delay = step - from;
        bool other = d->folded && from && d->number[u] != d->folded;
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

/* ---- the diagram */

/* What feeds a node that is drawn; what feeds only other steps, as the states before the first, is left out. */
static void mark_feeding(const drawing *d)
{
    const ur_tape *tape = d->tape;
    for (uint32_t v = (uint32_t)tape->nodes; v-- > 0;) {
        bool other_step = d->folded && d->number[v] && d->number[v] != d->folded;
        for (uint32_t k = 0; d->wanted[v] == (WANTED | FEEDS) && k < ur__kind_of(tape, v)->inputs; k++) {
            uint32_t u = ur__unmasked(tape, ur__in(tape, v, k));
            if (!other_step || ur__step(tape, u))
                d->wanted[u] |= FEEDS;
        }
    }
}

static void put_head(const drawing *d)
{
    fputs("digraph unroll {\n  rankdir=BT;\n  node [fontname=\"Helvetica\", fontsize=11];\n"
          "  edge [fontname=\"Helvetica\", fontsize=9];\n",
          d->out);
    if (d->options->title) {
        fputs("  labelloc=t;\n  label=\"", d->out);
        put_text(d->out, d->options->title);
        fputs("\";\n", d->out);
    }
}

static void draw(const drawing *d)
{
    put_head(d);
    put_step(d, 0, 2);
    for (uint32_t s = 1; s < d->steps; s++) {
        if (d->folded && s != d->folded)
            continue;
        fprintf(d->out, "  subgraph cluster_%u {\n    label=\"", (unsigned)d->step[s]);
        fprintf(d->out, d->folded ? "step t" : "step %u", (unsigned)d->step[s]);
        fputs("\"; style=\"rounded,filled\"; fillcolor=\"#fafafa\"; color=\"#bbbbbb\";\n", d->out);
        put_step(d, s, 4);
        fputs("  }\n", d->out);
    }
    for (uint32_t v = 0; v < d->tape->nodes; v++)
        if (drawn(d, v))
            put_edges(d, v);
    fputs("}\n", d->out);
}

/* Marks what the roots depend on. */
static bool find_wanted(drawing *d, size_t roots, const ur_var *root)
{
    ur_tape *tape = d->tape;
    d->wanted = (uint8_t *)ur__take(tape, tape->nodes);
    if (!d->wanted)
        return false;
    memset(d->wanted, 0, tape->nodes);
    for (size_t i = 0; i < roots; i++)
        d->wanted[ur__unmasked(tape, root[i].index)] = WANTED | FEEDS;
    for (uint32_t v = (uint32_t)tape->nodes; v-- > 0;)
        for (uint32_t k = 0; d->wanted[v] && k < ur__kind_of(tape, v)->inputs; k++)
            d->wanted[ur__unmasked(tape, ur__in(tape, v, k))] |= WANTED;
    return true;
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
    if (find_wanted(&d, roots, root) && new_lists(&d)) {
        list_steps(&d);
        if (d.options->view == UR_DOT_FOLDED) /* the second step stands for all, since the first starts from outside */
            d.folded = d.steps > 2 ? 2 : d.steps - 1;
        mark_feeding(&d);
        list_nodes(&d);
        list_scopes(&d);
        draw(&d);
        if (ferror(out))
            ur__fail(&tape->error, "ur_dot: the diagram could not be written");
    }
    ur__give(tape, d.wanted, tape->nodes);
    ur__give(tape, d.memory, d.bytes);
    ur__give(tape, d.look, tape->nodes * sizeof *d.look);
    return !tape->error.text[0];
}
