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

void ur__print_pattern(const ur__pattern *p, ur__text *out)
{
    for (const char *c = p->text; *c; c++) {
        if (*c != '{') {
            ur__print(out, "%c", *c);
            continue;
        }
        const bool first = c == p->text; /* a right operand binds tighter: a - (b - c) */
        if (*++c == 'c') {
            ur__print(out, "%g", p->attr ? p->attr[0] : 0);
            c++;
            continue;
        }
        const uint32_t k = (uint32_t)(*c++ - '0');
        const bool transposed = *c == '\'' && p->attr && p->attr[k] != 0;
        p->operand(p->user, k,
                   *c == '+'                 ? UR_BINDS_SUM
                   : *c == '*'               ? UR_BINDS_PRODUCT
                   : *c == '^' || transposed ? UR_BINDS_CALL
                                             : p->binds + !first,
                   first, out);
        if (transposed)
            ur__print(out, "'");
        c += *c != '}';
    }
}

/* A formula as it stands at the step `from`. */
typedef struct printer {
    const ur_tape *tape;
    int32_t from;
    int depth;
    uint32_t node; /* whose pattern is printed */
} printer;

/* Prints v where an operand must bind so tightly; a minus needs parentheses unless it comes first. */
static void print_value(const printer *p, uint32_t v, int binds, bool first, ur__text *out);

/* A name, with the time index where it is another step's than that of the formula: h[t-1]. */
static void print_name(const char *name, int32_t step, int32_t from, ur__text *out)
{
    ur__print(out, "%s", name);
    if (step && from && step != from)
        ur__print(out, "[t%+d]", (int)(step - from));
}

static int binding_of(const ur_tape *tape, uint32_t v)
{
    const ur__kind *kind = ur__kind_of(tape, v);
    if (kind->op == &ur_op_const)
        return ur__attr(tape, kind)[0] < 0 ? UR_BINDS_SIGN : UR_BINDS_CALL;
    return kind->op == &ur_op_sum_of ? UR_BINDS_SUM : kind->op->print ? kind->op->binds : UR_BINDS_CALL;
}

/* Does the formula of v begin with a minus: its own, or that of a first operand without parentheses? */
static bool is_signed(const ur_tape *tape, uint32_t v)
{
    for (int depth = 0; depth < DEEPEST && !ur__name_of(tape, v); depth++) {
        const ur__kind *kind = ur__kind_of(tape, v);
        const char *print = kind->op->print ? kind->op->print : "";
        const bool number = kind->op == &ur_op_const || strncmp(print, "{c}", 3) == 0;
        if (print[0] == '-' || (number && ur__attr(tape, kind)[0] < 0))
            return true;
        if (number || (kind->op != &ur_op_sum_of && strncmp(print, "{0", 2) != 0))
            return false;
        const int binds = binding_of(tape, v);
        v = ur__unmasked(tape, ur__in(tape, v, 0));
        if (binding_of(tape, v) < binds)
            return false;
    }
    return false;
}

static void print_operand(void *user, uint32_t k, int binds, bool first, ur__text *out)
{
    const printer *p = (const printer *)user;
    print_value(p, ur__in(p->tape, p->node, k), binds, first, out);
}

static void print_call(const printer *p, uint32_t v, ur__text *out)
{
    ur__print(out, "%s(", ur__op(p->tape, v)->name);
    for (uint32_t k = 0; k < ur__kind_of(p->tape, v)->inputs; k++) {
        ur__print(out, "%s", k ? ", " : "");
        print_value(p, ur__in(p->tape, v, k), UR_BINDS_SUM, true, out);
    }
    ur__print(out, ")");
}

static void print_sum(const printer *p, uint32_t v, ur__text *out)
{
    for (uint32_t k = 0; k < ur__kind_of(p->tape, v)->inputs; k++) {
        ur__print(out, "%s", k ? " + " : "");
        print_value(p, ur__in(p->tape, v, k), UR_BINDS_SUM + (k > 0), k == 0, out);
    }
}

static void print_node(const printer *p, uint32_t v, int binds, bool first, ur__text *out)
{
    const ur__kind *kind = ur__kind_of(p->tape, v);
    printer inner = {.tape = p->tape, .from = p->from, .depth = p->depth + 1, .node = v};
    if (p->depth > DEEPEST || out->length > LONGEST) {
        ur__print(out, "...");
        return;
    }
    if (kind->op == &ur_op_sum_of && kind->inputs == 1) {
        print_value(&inner, ur__in(p->tape, v, 0), binds, first, out);
        return;
    }
    const bool open = binding_of(p->tape, v) < binds || (!first && is_signed(p->tape, v));
    ur__print(out, "%s", open ? "(" : "");
    if (kind->op == &ur_op_const)
        ur__print(out, "%g", ur__attr(p->tape, kind)[0]);
    else if (kind->op == &ur_op_sum_of)
        print_sum(&inner, v, out);
    else if (kind->op->print)
        ur__print_pattern(&(ur__pattern){.text = kind->op->print,
                                         .binds = kind->op->binds,
                                         .attr = ur__attr(p->tape, kind),
                                         .operand = print_operand,
                                         .user = &inner},
                          out);
    else
        print_call(&inner, v, out);
    ur__print(out, "%s", open ? ")" : "");
}

static void print_value(const printer *p, uint32_t v, int binds, bool first, ur__text *out)
{
    v = ur__unmasked(p->tape, v);
    const char *name = ur__name_of(p->tape, v);
    if (name)
        print_name(name, ur__step(p->tape, v), p->from, out);
    else
        print_node(p, v, binds, first, out);
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
        print_node(&(printer){.tape = tape, .from = step}, v, 0, true, &out);
    return out.length;
}
