/* look.c - nodes as the caller may see them, and their formulas. */
#include <string.h>

#include "internal.h"
#include "kernels.h"

ur_var ur_node_at(ur_tape *tape, size_t index)
{
    if (!tape || index >= tape->nodes)
        return ur__poison(tape, "ur_node_at: the tape has %zu nodes, there is no node %zu", ur_tape_nodes(tape), index);
    return ur__var(tape, (uint32_t)index);
}

bool ur_look(ur_var value, ur_node *node)
{
    const ur_tape *tape = value.tape;
    if (node)
        *node = (ur_node){0};
    if (!ur__known(value.tape, value, "ur_look"))
        return false;
    if (!node)
        return ur__fail(&value.tape->error, "ur_look: room for a ur_node was expected, there is none");
    const ur__kind *kind = ur__kind_of(tape, value.index);
    *node = (ur_node){.op = kind->op,
                      .shape = ur__shape(tape, value.index),
                      .inputs = kind->inputs,
                      .attr = ur__attr(tape, kind),
                      .step = ur__step(tape, value.index),
                      .name = ur__name_of(tape, value.index)};
    return true;
}

ur_var ur_node_input(ur_var value, uint32_t k)
{
    ur_tape *tape = value.tape;
    if (!ur__valid(tape, value, "ur_node_input"))
        return ur__poison(tape, NULL);
    const ur__kind *kind = ur__kind_of(tape, value.index);
    if (k >= kind->inputs)
        return ur__poison(tape, "ur_node_input: %s has %u inputs, there is no input %u", kind->op->name,
                          (unsigned)kind->inputs, (unsigned)k);
    return ur__var(tape, ur__in(tape, value.index, k));
}

bool ur_node_scope(ur_var value, char *text, size_t bytes)
{
    if (!ur__valid(value.tape, value, "ur_node_scope"))
        return false;
    ur__path(value.tape, ur__site_of(value.tape, value.index)->scope, text, bytes);
    return true;
}

uint32_t ur__unmasked(const ur_tape *tape, uint32_t node)
{
    while (ur__op(tape, node) == &ur_op_select) {
        uint32_t mask = ur__in(tape, node, 0);
        while (ur__op(tape, mask)->kernel == UR__ALIAS) /* reshaped for a state of more dimensions */
            mask = ur__in(tape, mask, 0);
        const char *condition = ur__name_of(tape, mask);
        if (!condition || strcmp(condition, "alive") != 0 || ur__name_of(tape, node))
            break;
        node = ur__in(tape, node, 1);
    }
    return node;
}

/* ---- formulas */

/* What lies deeper, or after so many characters, is "...": a value that is read again and again is written again and
 * again, and the text might be longer than any memory. */
enum { DEEPEST = 200, LONGEST = 1 << 16 };

/* Formulas are written as they stand at the step `from`. */
static void print_value(const ur_tape *tape, uint32_t v, int32_t from, int binds, int depth, ur__text *out);

/* A name, with the time index where it is another step's than that of the formula: h[t-1]. */
static void print_name(const char *name, int32_t step, int32_t from, ur__text *out)
{
    ur__print(out, "%s", name);
    if (step && from && step != from)
        ur__print(out, "[t%+d]", (int)(step - from));
}

/* op->print with {0} for an input, {0^} for one that attr[0] may transpose, {c} for the constant attr[0]. */
static void print_pattern(const ur_tape *tape, uint32_t v, int32_t from, int depth, ur__text *out)
{
    const ur_op *op = ur__op(tape, v);
    const double *attr = ur__attr(tape, ur__kind_of(tape, v));
    for (const char *p = op->print; *p; p++) {
        if (*p != '{') {
            ur__print(out, "%c", *p);
            continue;
        }
        if (*++p == 'c') {
            ur__print(out, "%g", attr ? attr[0] : 0);
            p++;
            continue;
        }
        uint32_t k = (uint32_t)(*p++ - '0');
        bool transposed = *p == '^' && attr && attr[k] != 0;
        /* a right operand binds tighter: a - (b - c) */
        int binds = transposed ? UR_BINDS_CALL : op->binds + (k > 0 ? 1 : 0);
        print_value(tape, ur__in(tape, v, k), from, binds, depth, out);
        if (transposed)
            ur__print(out, "'");
        p += *p == '^';
    }
}

static void print_call(const ur_tape *tape, uint32_t v, int32_t from, int depth, ur__text *out)
{
    ur__print(out, "%s(", ur__op(tape, v)->name);
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
        ur__print(out, "%s", k ? ", " : "");
        print_value(tape, ur__in(tape, v, k), from, UR_BINDS_SUM, depth, out);
    }
    ur__print(out, ")");
}

static void print_sum(const ur_tape *tape, uint32_t v, int32_t from, int depth, ur__text *out)
{
    for (uint32_t k = 0; k < ur__kind_of(tape, v)->inputs; k++) {
        ur__print(out, "%s", k ? " + " : "");
        print_value(tape, ur__in(tape, v, k), from, UR_BINDS_SUM + (k > 0), depth, out);
    }
}

static void print_node(const ur_tape *tape, uint32_t v, int32_t from, int binds, int depth, ur__text *out)
{
    const ur__kind *kind = ur__kind_of(tape, v);
    if (depth > DEEPEST || out->length > LONGEST) {
        ur__print(out, "...");
    } else if (kind->op == &ur_op_const) {
        ur__print(out, "%g", ur__attr(tape, kind)[0]);
    } else if (kind->op == &ur_op_sum_of && kind->inputs == 1) {
        print_value(tape, ur__in(tape, v, 0), from, binds, depth + 1, out);
    } else if (kind->op == &ur_op_sum_of || kind->op->print) {
        int own = kind->op == &ur_op_sum_of ? UR_BINDS_SUM : kind->op->binds;
        ur__print(out, "%s", own < binds ? "(" : "");
        if (kind->op == &ur_op_sum_of)
            print_sum(tape, v, from, depth + 1, out);
        else
            print_pattern(tape, v, from, depth + 1, out);
        ur__print(out, "%s", own < binds ? ")" : "");
    } else {
        print_call(tape, v, from, depth + 1, out);
    }
}

static void print_value(const ur_tape *tape, uint32_t v, int32_t from, int binds, int depth, ur__text *out)
{
    v = ur__unmasked(tape, v);
    const char *name = ur__name_of(tape, v);
    if (name)
        print_name(name, ur__step(tape, v), from, out);
    else
        print_node(tape, v, from, binds, depth, out);
}

size_t ur_formula(ur_var value, char *text, size_t bytes)
{
    ur__text out = {.text = text, .bytes = bytes};
    if (text && bytes)
        text[0] = 0;
    if (!ur__valid(value.tape, value, "ur_formula"))
        return 0;
    const ur_tape *tape = value.tape;
    uint32_t v = ur__unmasked(tape, value.index);
    int32_t step = ur__step(tape, v);
    if (ur__is_leaf(ur__kind_of(tape, v)))
        print_name(ur__name_of(tape, v), step, step, &out);
    else
        print_node(tape, v, step, 0, 0, &out);
    return out.length;
}
