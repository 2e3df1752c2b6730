/* describe.c - launches in words, under the names of the tape: products, elementwise programs as formulas, single
 * operations, sums over time and batch. */
#include <string.h>

#include "explain.h"

enum { WIDTH = 118, TEXT = 1000, MOST_STATEMENTS = 120, MOST_LAUNCHES = 60, MOST_OUTLINED = 8 };

/* ---- text */

void ur__begin_line(ur__page *p, size_t indent)
{
    p->indent = p->column = indent;
    p->gap = 0;
    fprintf(p->out, "%*s", (int)indent, "");
}

void ur__say(ur__page *p, const char *format, ...)
{
    char text[TEXT + 100];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (const char *word = text; *word;) {
        size_t gap = strspn(word, " "), length = strcspn(word + gap, " ");
        p->gap += gap;
        if (length && p->column + p->gap + length > WIDTH && p->gap) {
            p->column = p->indent + 4;
            fprintf(p->out, "\n%*s", (int)p->column, "");
        } else if (length) {
            fprintf(p->out, "%*s", (int)p->gap, "");
            p->column += p->gap;
        }
        fwrite(word + gap, 1, length, p->out);
        p->gap = length ? 0 : p->gap;
        p->column += length;
        word += gap + length;
    }
}

void ur__end_line(ur__page *p)
{
    fputc('\n', p->out);
}

void ur__say_label(ur__page *p, uint32_t line)
{
    char text[TEXT];
    ur__text out = {.text = text, .bytes = sizeof text};
    ur__label(&p->labels, line, &out);
    ur__say(p, "%s", text);
}

static void say_ref(ur__page *p, ur__ref ref)
{
    char text[TEXT];
    ur__text out = {.text = text, .bytes = sizeof text};
    ur__label_ref(&p->labels, ref, p->at, &out);
    ur__say(p, "%s", text);
}

/* The value of a line in the iteration at hand. */
static ur__ref this_of(const ur__page *p, uint32_t line)
{
    return (ur__ref){
        .line = line, .first = (int32_t)(p->at.begin - p->form->program.line[line].begin), .stride = 1, .count = 1};
}

static const ur__ref *operand_of(const ur__page *p, const ur__launch *l, uint32_t k)
{
    return &p->form->argument[l->operand + k].ref;
}

/* ---- products */

/* The launch that packs the matrices of l. */
static const ur__launch *packer_of(const ur__form *form, const ur__launch *l)
{
    for (size_t i = 0; i < form->launches; i++) {
        const ur__launch *k = &form->launch[i];
        if (k->kind == UR__PRODUCT && k->packed && k->count &&
            form->term[k->first].packed == form->term[l->first].packed)
            return k;
    }
    return l;
}

static void say_term(ur__page *p, ur__ref a, bool transposed, const ur__ref *x, bool first)
{
    ur__say(p, first ? " " : " + ");
    say_ref(p, a);
    ur__say(p, transposed ? "' " : " ");
    say_ref(p, *x);
}

/* Rows first.. of a product: what is packed there, in the order of the terms, and the bias. */
static void say_packed(ur__page *p, const ur__launch *l, size_t first)
{
    const ur__form *form = p->form;
    const ur__launch *packer = packer_of(form, l);
    bool none = true;
    for (int bias = 0; bias < 2; bias++)
        for (uint32_t k = 0; k < packer->packings; k++) {
            const ur__packing *q = &form->packing[packer->packing + k];
            if (q->first != first || (q->k == 0) != bias)
                continue;
            if (bias) {
                ur__say(p, " + ");
                say_ref(p, q->a);
            } else {
                say_term(p, q->a, q->transposed, operand_of(p, l, form->term[l->first + q->term].x), none);
            }
            none = false;
        }
}

/* Matrices and a bias that are read where they lie. */
static void say_in_place(ur__page *p, const ur__launch *l)
{
    const ur__form *form = p->form;
    for (uint32_t k = 0; k < l->count; k++) {
        const ur__product_term *t = &form->term[l->first + k];
        say_term(p, t->a, t->transposed, operand_of(p, l, t->x), k == 0);
    }
    if (l->bias != UR_NONE) {
        ur__say(p, " + ");
        say_ref(p, *operand_of(p, l, l->bias));
    }
}

/* The rows of all X of a product. */
static size_t inner_size(const ur__page *p, const ur__launch *l)
{
    size_t k = 0;
    for (uint32_t t = 0; t < l->count; t++)
        k += p->form->term[l->first + t].k;
    return k;
}

static void describe_product(ur__page *p, const ur__launch *l)
{
    const ur__form *form = p->form;
    size_t first = 0;
    uint32_t line = operand_of(p, l, 0)->line;
    ur__begin_line(p, 4);
    ur__say(p, "product [%u,%zu]", (unsigned)l->rows, inner_size(p, l));
    ur__end_line(p);
    for (; first < l->rows && line != UR_NONE; line = form->line[line].below) {
        ur__begin_line(p, 6);
        say_ref(p, this_of(p, line));
        ur__say(p, " =");
        if (l->in_place)
            say_in_place(p, l);
        else
            say_packed(p, l, first);
        ur__end_line(p);
        first += form->line[line].rows;
    }
}

/* ---- elementwise programs as formulas */

/* The kernels that are put together from several operations. */
typedef struct fused {
    uint32_t kernel, count;
    int binds;
    const char *pattern;
} fused;

static const fused FUSED[] = {
    {UR__ADD, 2, UR_BINDS_SUM, "{0+} + {1+}"},
    {UR__MUL, 2, UR_BINDS_PRODUCT, "{0*} .* {1*}"},
    {UR__COPY, 1, UR_BINDS_CALL, "{0^}"},
    {UR__MUL_ADD, 3, UR_BINDS_SUM, "{2+} + {0*} .* {1*}"},
    {UR__ADD_ADD, 3, UR_BINDS_SUM, "{0+} + {1+} + {2+}"},
    {UR__MUL_MUL, 3, UR_BINDS_PRODUCT, "{0*} .* {1*} .* {2*}"},
    {UR__MUL_SUB, 3, UR_BINDS_PRODUCT, "{0*} .* ({1+} - {2*})"},
    {UR__MUL_ONE_MINUS, 2, UR_BINDS_PRODUCT, "{0*} .* (1 - {1*})"},
    {UR__DERIVE_TANH, 2, UR_BINDS_PRODUCT, "{0*} .* (1 - {1^}^2)"},
    {UR__DERIVE_SIGMOID, 2, UR_BINDS_PRODUCT, "{0*} .* {1*} .* (1 - {1*})"},
    {UR__ADD_BCE_NET, 2, UR_BINDS_CALL, "sum(bce_net({0^}, {1^}))"},
    {UR__BLEND, 3, UR_BINDS_SUM, "{0*} .* {1*} + (1 - {0*}) .* {2*}"},
};

static const fused *fused_of(uint32_t kernel)
{
    for (size_t i = 0; i < sizeof FUSED / sizeof *FUSED; i++)
        if (FUSED[i].kernel == kernel)
            return &FUSED[i];
    return NULL;
}

/* What an operand or a tile buffer holds, as a formula. */
typedef struct formula {
    char text[TEXT];
    int binds;
} formula;

enum { MOST_INPUTS = 3 };

static uint32_t inputs_of(const ur__page *p, const ur__instruction *in)
{
    const fused *f = fused_of(in->kernel);
    uint32_t inputs = f ? f->count : (uint32_t)ur__line_kind(p->form, in->line)->op->inputs;
    return inputs < MOST_INPUTS ? inputs : MOST_INPUTS;
}

static void print_input(void *user, uint32_t k, int binds, bool first, ur__text *out)
{
    const formula *input = ((const formula *const *)user)[k];
    bool open = input->binds < binds || (!first && input->text[0] == '-');
    ur__print(out, "%s%s%s", open ? "(" : "", input->text, open ? ")" : "");
}

static void print_instruction(const ur__page *p, const ur__instruction *in, const formula *value, formula *result)
{
    const fused *f = fused_of(in->kernel);
    const ur_op *op = ur__line_kind(p->form, in->line)->op;
    const formula *inputs[] = {&value[in->a], &value[in->b], &value[in->c]};
    formula made = {.text = "", .binds = UR_BINDS_CALL}; /* the result may be in the place of an input */
    ur__text out = {.text = made.text, .bytes = sizeof made.text};
    if (f || op->print) {
        made.binds = f ? f->binds : op->binds;
        if (in->kernel == UR__COPY)
            made.binds = inputs[0]->binds;
        ur__print_pattern(&(ur__pattern){.text = f ? f->pattern : op->print,
                                         .binds = made.binds,
                                         .attr = &p->form->attr[in->attr],
                                         .operand = print_input,
                                         .user = inputs},
                          &out);
    } else {
        ur__print(&out, "%s(", op->name);
        for (uint32_t k = 0; k < MOST_INPUTS && k < inputs_of(p, in); k++)
            ur__print(&out, "%s%s", k ? ", " : "", inputs[k]->text);
        ur__print(&out, ")");
    }
    *result = made;
}

/* How often the value that instruction i makes is read, and is it the last one of its place? */
static uint32_t count_reads(const ur__page *p, const ur__launch *l, uint32_t i, bool *last)
{
    const ur__instruction *in = &p->form->instruction[l->first];
    uint32_t reads = 0;
    *last = true;
    for (uint32_t k = i + 1; k < l->count && *last; k++) {
        const uint32_t of[] = {in[k].a, in[k].b, in[k].c};
        for (uint32_t q = 0; q < MOST_INPUTS && q < inputs_of(p, &in[k]); q++)
            reads += of[q] == in[i].y;
        *last = in[k].y != in[i].y;
    }
    return reads;
}

static void print_operands(ur__page *p, const ur__launch *l, formula *value)
{
    for (uint32_t k = 0; k < l->operands; k++) {
        ur__text out = {.text = value[k].text, .bytes = TEXT};
        value[k].text[0] = 0;
        value[k].binds = UR_BINDS_CALL;
        const ur__argument *a = &p->form->argument[l->operand + k];
        ur__label_ref(&p->labels, *operand_of(p, l, k), p->at, &out);
        if (a->spread != UR__FULL || p->form->line[a->ref.line].rows == l->rows)
            continue;
        ur__print(&out, " from row %u on", (unsigned)a->skip);
        value[k].binds = UR_BINDS_SUM;
    }
}

/* What an instruction makes: a value that lies in memory, or that of its own statement. */
static ur__ref result_of(const ur__page *p, const ur__launch *l, const ur__instruction *in)
{
    return in->y < l->operands ? *operand_of(p, l, in->y) : this_of(p, in->line);
}

/* A sum over the batch that grows. */
static void say_total(ur__page *p, const ur__ref *part, const char *sum)
{
    ur__begin_line(p, 6);
    say_ref(p, *part);
    ur__say(p, " += %s", sum);
    ur__end_line(p);
}

/* A formula for each value that is stored or read several times. */
static void describe_formulas(ur__page *p, const ur__launch *l, formula *value)
{
    enum { LONG = 160 };
    print_operands(p, l, value);
    for (uint32_t i = 0; i < l->count; i++) {
        const ur__instruction *in = &p->form->instruction[l->first + i];
        if (in->kernel == UR__EXP_OF_SIZE) /* a part of those that come after it */
            continue;
        bool last;
        uint32_t reads = count_reads(p, l, i, &last);
        formula *result = &value[in->y];
        print_instruction(p, in, value, result);
        if (in->kernel == UR__ADD_LANES || in->kernel == UR__ADD_BCE_NET) {
            say_total(p, operand_of(p, l, in->y), result->text);
            continue;
        }
        if (!(last && in->y < l->operands) && reads < 2 && strlen(result->text) < LONG)
            continue;
        ur__text out = {.text = result->text, .bytes = TEXT};
        ur__begin_line(p, 6);
        say_ref(p, result_of(p, l, in));
        ur__say(p, " = %s", result->text);
        ur__end_line(p);
        result->text[0] = 0;
        ur__label_ref(&p->labels, result_of(p, l, in), p->at, &out);
        result->binds = UR_BINDS_CALL;
    }
}

static bool describe_pointwise(ur__page *p, const ur__launch *l)
{
    size_t values = l->operands + l->buffers, bytes = values * sizeof(formula);
    ur__begin_line(p, 4);
    ur__say(p, "elementwise [%u]", (unsigned)l->rows);
    if (l->count > MOST_STATEMENTS || values > MOST_STATEMENTS) {
        ur__say(p, ": %u instructions on %u values", (unsigned)l->count, (unsigned)l->operands);
        ur__end_line(p);
        return true;
    }
    ur__end_line(p);
    formula *value = (formula *)ur__take(p->form->tape, bytes);
    if (!value)
        return false;
    describe_formulas(p, l, value);
    ur__give(p->form->tape, value, bytes);
    return true;
}

/* ---- single operations and sums */

/* Why an operation is a launch of its own. */
static const char *reason_of(const ur__page *p, const ur__launch *l)
{
    const ur_op *op = ur__line_kind(p->form, l->line)->op;
    for (uint32_t k = 1; k < l->operands; k++)
        if (operand_of(p, l, k)->count > 1)
            return "it reads several steps";
    bool map = op->kind == UR_MAP || op == &ur_op_sum_of;
    if (op->kernel == UR__MATMUL)
        return "its matrices are no weights";
    if (map && op->kernel == UR__SPECIFICATION)
        return "it has no fast kernel";
    if (map)
        return "its operands are broadcast in a way of their own";
    return op->kind == UR_COLUMNS ? "its rows depend on each other" : "it is not elementwise";
}

static void say_call(ur__page *p, const ur__launch *l)
{
    ur__say(p, "%s(", ur__line_kind(p->form, l->line)->op->name);
    for (uint32_t k = 1; k < l->operands; k++) {
        ur__say(p, k > 1 ? ", " : "");
        say_ref(p, *operand_of(p, l, k));
    }
    ur__say(p, ")");
}

static void describe_single(ur__page *p, const ur__launch *l)
{
    bool adds = l->kind == UR__ADD_UP;
    ur__begin_line(p, 4);
    ur__say(p, adds ? "sum over the columns: " : "operation: ");
    say_ref(p, *operand_of(p, l, 0));
    ur__say(p, adds ? " += " : " = ");
    say_call(p, l);
    if (!adds)
        ur__say(p, "; alone: %s", reason_of(p, l));
    ur__end_line(p);
}

/* n operands of a launch, or of a part of it, from number `first` on. */
static void say_operands(ur__page *p, const ur__argument *first, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        ur__say(p, k ? ", " : "");
        say_ref(p, first[k].ref);
    }
}

/* h[t-1] (delta, delta)', or where that is turned (delta, delta) h[t-1]'. */
static void say_factors(ur__page *p, const ur__launch *l, const ur__argument *a, const ur__argument *b)
{
    if (!l->turned) {
        say_ref(p, a->ref);
        ur__say(p, " ");
    }
    ur__say(p, "(");
    say_operands(p, b, l->matrices);
    ur__say(p, l->turned ? ") " : ")'");
    if (l->turned) {
        say_ref(p, a->ref);
        ur__say(p, "'");
    }
}

/* [rows,m] of the longest stretch: dW, dU += h[t-1] (delta, delta)'; db, dc += sums of the rows of delta, delta. */
static void describe_contraction(ur__page *p, const ur__launch *l)
{
    const ur__form *form = p->form;
    const ur__argument *out = &form->argument[l->operand];
    uint32_t longest = l->first, steps = 0;
    for (uint32_t k = l->first; k < l->first + l->count; k++) {
        steps += form->stretch[k].n;
        longest = form->stretch[k].n > form->stretch[longest].n ? k : longest;
    }
    ur__begin_line(p, 4);
    if (!l->count) {
        say_operands(p, out, l->outputs);
        ur__say(p, " = 0");
        ur__end_line(p);
        return;
    }
    const unsigned rows = l->rows ? l->rows : 1, columns = l->m * l->matrices;
    ur__say(p, "contraction [%u,%u], %u steps", l->turned ? columns : rows, l->turned ? rows : columns,
            (unsigned)steps);
    if (l->piece)
        ur__say(p, ", after every %u", (unsigned)l->piece);
    ur__say(p, ": ");
    const ur__argument *x = &form->argument[form->stretch[longest].operand], *b = x + (l->rows > 0);
    const ur__line *line = &form->program.line[b->ref.line];
    p->at = (ur__moment){.length = form->stretch[longest].n};
    if (line->loop != UR_NONE) {
        p->at.loop = &form->program.loop[line->loop];
        p->at.begin = line->begin + (uint32_t)b->ref.first;
    }
    if (l->rows) {
        say_operands(p, out, l->matrices);
        ur__say(p, " += ");
        say_factors(p, l, x, b);
        ur__say(p, l->sums ? "; " : "");
        out += l->matrices;
    }
    if (l->sums) {
        say_operands(p, out, l->matrices);
        ur__say(p, " += sums of the rows of ");
        say_operands(p, b, l->matrices);
    }
    ur__end_line(p);
    p->at = (ur__moment){.length = 1};
}

/* This and those that follow it, if they are nothing else than the blocks' sums; returns how many there were. */
static uint32_t describe_collections(ur__page *p, const ur__launch *l, uint32_t left)
{
    uint32_t n = 1;
    ur__begin_line(p, 4);
    say_ref(p, *operand_of(p, l, 0));
    for (; l->operands == 1 && n < left && l[n].kind == UR__COLLECT && l[n].operands == 1; n++) {
        ur__say(p, ", ");
        say_ref(p, *operand_of(p, &l[n], 0));
    }
    ur__say(p, p->form->blocks > 1 ? " = the blocks' sums" : " = the block's sum");
    for (uint32_t k = 1; k < l->operands; k++) {
        ur__say(p, " + ");
        say_ref(p, *operand_of(p, l, k));
    }
    ur__end_line(p);
    return n;
}

static bool describe_launch(ur__page *p, const ur__launch *l)
{
    switch ((ur__launch_kind)l->kind) {
    case UR__POINTWISE:
        return describe_pointwise(p, l);
    case UR__PRODUCT:
        describe_product(p, l);
        break;
    case UR__STATEMENT:
    case UR__ADD_UP:
        describe_single(p, l);
        break;
    case UR__CONTRACT:
        describe_contraction(p, l);
        break;
    case UR__COLLECT:
        break;
    }
    return true;
}

bool ur__describe_span(ur__page *p, ur__span span)
{
    bool good = true;
    for (uint32_t k = 0; k < span.count && k < MOST_LAUNCHES && good; k++) {
        const ur__launch *l = &p->form->launch[span.first + k];
        if (l->kind == UR__COLLECT)
            k += describe_collections(p, l, span.count - k) - 1;
        else
            good = describe_launch(p, l);
    }
    if (span.count > MOST_LAUNCHES) {
        ur__begin_line(p, 4);
        ur__say(p, "and %u more launches", (unsigned)(span.count - MOST_LAUNCHES));
        ur__end_line(p);
    }
    return good;
}

/* A phase that differs from the loop's main one, in a line. */
void ur__outline_span(ur__page *p, ur__span span)
{
    ur__say(p, ":");
    for (uint32_t k = 0; k < span.count; k++) {
        const ur__launch *l = &p->form->launch[span.first + k];
        if (k >= MOST_OUTLINED) {
            ur__say(p, ", and %u more", (unsigned)(span.count - k));
            break;
        }
        ur__say(p, "%s%s ", k ? ", " : " ",
                l->kind == UR__PRODUCT     ? "product"
                : l->kind == UR__POINTWISE ? "elementwise"
                                           : ur__line_kind(p->form, l->line)->op->name);
        if (l->kind == UR__PRODUCT)
            ur__say(p, "[%u,%zu]", (unsigned)l->rows, inner_size(p, l));
        else
            ur__say(p, "[%u]", (unsigned)l->rows);
    }
}
