/* label.c - names for the lines of a plan, from the names and scopes of the tape. */
#include <string.h>

#include "explain.h"

/* ---- what is the adjoint of what */

static bool is_better(const ur__form *form, uint32_t node, uint32_t known)
{
    return known == UR_NONE || ur__name_of(form->tape, ur__unmasked(form->tape, node)) ||
           !ur__name_of(form->tape, ur__unmasked(form->tape, known));
}

/* The line that computes a node; UR_NONE: none does. */
static uint32_t line_of(const ur__form *form, uint32_t node)
{
    if (node >= form->program.nodes || form->program.place[node].line == UR_NONE)
        return UR_NONE;
    ur__position place = form->program.place[node];
    ur__ref ref = ur__resolve(form, (ur__ref){.line = place.line, .first = (int32_t)place.value, .count = 1});
    return form->program.line[ref.line].loop == UR_NONE ? UR_NONE : ref.line;
}

/* The last node of those that have a name, or else of all. */
static void find_origins(const ur__labels *labels)
{
    const ur__form *form = labels->form;
    const ur_tape *tape = form->tape;
    for (size_t i = 0; i < tape->sweeps; i++)
        for (uint32_t v = 0; v <= tape->sweep[i].y; v++) {
            uint32_t line = line_of(form, tape->sweep[i].adjoint[v]);
            if (line != UR_NONE && is_better(form, v, labels->origin[line]))
                labels->origin[line] = v;
        }
}

bool ur__labels_new(const ur__form *form, ur__labels *labels)
{
    size_t lines = form->program.lines;
    *labels = (ur__labels){.form = form, .bytes = 3 * lines * sizeof(uint32_t)};
    labels->origin = (uint32_t *)ur__take(form->tape, labels->bytes);
    if (!labels->origin)
        return false;
    labels->number = labels->origin + lines;
    labels->known = labels->number + lines;
    memset(labels->origin, 0xff, lines * sizeof(uint32_t)); /* UR_NONE */
    memset(labels->number, 0, lines * sizeof(uint32_t));
    find_origins(labels);
    return true;
}

void ur__labels_free(ur__labels *labels)
{
    ur__give(labels->form->tape, labels->origin, labels->bytes);
}

/* ---- the text of a node */

/* What a function is applied to: a sum or a product. */
static bool is_net(const ur_tape *tape, uint32_t node)
{
    const ur_op *op = ur__op(tape, node);
    return ur__site_of(tape, node)->scope && (op->kernel == UR__MATMUL || op->kernel == UR__ADD || op == &ur_op_sum_of);
}

/* The modules around a scope and its own name: `layer0.phi`. */
static void print_scope(const ur_tape *tape, uint32_t scope, bool own, ur__text *out)
{
    if (!scope)
        return;
    const ur__scope *s = &tape->scope[scope - 1];
    print_scope(tape, s->parent, false, out);
    if (own || s->module)
        ur__print(out, "%s%s", s->name, own ? "" : ".");
}

static uint32_t origin_of(const ur__labels *labels, uint32_t node)
{
    uint32_t line = line_of(labels->form, node);
    return line == UR_NONE ? UR_NONE : labels->origin[line];
}

/* tanh(c): a function of a named value. */
static bool print_function(const ur_tape *tape, uint32_t node, ur__text *out)
{
    const ur__kind *kind = ur__kind_of(tape, node);
    if (kind->inputs != 1 || kind->op->print || kind->op->kind != UR_MAP)
        return false;
    const char *name = ur__name_of(tape, ur__unmasked(tape, ur__in(tape, node, 0)));
    if (name)
        ur__print(out, "%s(%s)", kind->op->name, name);
    return name != NULL;
}

static void print_node(const ur__labels *labels, uint32_t node, int depth, ur__text *out)
{
    enum { DEEPEST = 3 };
    const ur_tape *tape = labels->form->tape;
    node = ur__unmasked(tape, node);
    const char *name = ur__name_of(tape, node);
    uint32_t origin = depth < DEEPEST ? origin_of(labels, node) : UR_NONE;
    if (name) {
        ur__print(out, "%s", name);
    } else if (ur__op(tape, node) == &ur_op_const) {
        ur__print(out, "%g", ur__attr(tape, ur__kind_of(tape, node))[0]);
    } else if (origin != UR_NONE && origin != node) {
        uint32_t of = ur__unmasked(tape, origin);
        bool net = !ur__name_of(tape, of) && is_net(tape, of) && origin_of(labels, of) == UR_NONE;
        ur__print(out, net ? "delta." : "d");
        if (net)
            print_scope(tape, ur__site_of(tape, of)->scope, true, out);
        else
            print_node(labels, of, depth + 1, out);
    } else if (!print_function(tape, node, out)) {
        uint32_t scope = ur__site_of(tape, node)->scope;
        print_scope(tape, scope, true, out);
        ur__print(out, "%s%s", scope ? "." : "", is_net(tape, node) ? "net" : ur__op(tape, node)->name);
    }
}

/* ---- the name of a line */

enum { LABEL = 160 };

static void base_of(const ur__labels *labels, uint32_t line, char text[LABEL])
{
    ur__text out = {.text = text, .bytes = LABEL};
    text[0] = 0;
    print_node(labels, labels->form->program.line[line].node, 0, &out);
}

/* How many lines of this text were asked for before? */
static uint32_t count_equal(const ur__labels *labels, const char *text)
{
    uint32_t equal = 0;
    for (size_t i = 0; i < labels->count; i++) {
        char other[LABEL];
        base_of(labels, labels->known[i], other);
        equal += strcmp(text, other) == 0;
    }
    return equal;
}

void ur__label(ur__labels *labels, uint32_t line, ur__text *out)
{
    char text[LABEL];
    base_of(labels, line, text);
    if (ur__line_kind(labels->form, line)->op == &ur_op_const) {
        ur__print(out, "%s", text);
        return;
    }
    if (!labels->number[line]) {
        labels->number[line] = 1 + count_equal(labels, text);
        labels->known[labels->count++] = line;
    }
    ur__print(out, "%s", text);
    if (labels->number[line] > 1)
        ur__print(out, "#%u", (unsigned)labels->number[line]);
}

/* ---- time */

static bool is_straight(const ur__loop *loop)
{
    return !loop || ur__is_straight(loop);
}

int64_t ur__step_at(const ur__loop *loop, uint32_t iteration)
{
    if (is_straight(loop))
        return 0;
    return loop->direction ? ur__step_in(loop, iteration) : (int64_t)iteration + 1;
}

static int64_t step_of(const ur__form *form, uint32_t line, int64_t value)
{
    const ur__program *p = &form->program;
    const ur__line *l = &p->line[line];
    const ur_op *op = ur__line_kind(form, line)->op;
    if (op == &ur_op_param || op == &ur_op_const)
        return 0;
    if (l->loop == UR_NONE)
        return ur__step(form->tape, p->leaf[l->first + (size_t)value]);
    const ur__loop *loop = &p->loop[l->loop];
    return is_straight(loop) ? ur__step(form->tape, l->node) : ur__step_at(loop, l->begin + (uint32_t)value);
}

void ur__label_ref(ur__labels *labels, ur__ref ref, ur__moment at, ur__text *out)
{
    const ur__form *form = labels->form;
    int64_t first = step_of(form, ref.line, ref.first);
    if (ur__line_kind(form, ref.line)->op == &ur_op_input) /* inputs of several names may be one line */
        print_node(labels, form->program.leaf[form->program.line[ref.line].first + (uint32_t)ref.first], 0, out);
    else
        ur__label(labels, ref.line, out);
    if (first == 0)
        return;
    if (ref.count > 1)
        ur__print(out, "[%lld..%lld]", (long long)first,
                  (long long)step_of(form, ref.line, ref.first + (int64_t)ref.stride * (ref.count - 1)));
    else if (is_straight(at.loop) || (ref.stride == 0 && at.length > 1))
        ur__print(out, "[%lld]", (long long)first);
    else if (first != ur__step_at(at.loop, at.begin))
        ur__print(out, "[t%+lld]", (long long)(first - ur__step_at(at.loop, at.begin)));
}
