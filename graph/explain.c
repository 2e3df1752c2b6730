/* explain.c - a plan in words: blocks, bytes, and loop by loop the launches, under the names of the tape.
 *
 * Where columns may have ended before the others, the launches shown are those for blocks of living columns; a block in
 * which some have ended runs the same with select(alive, ...) in it. */
#include <string.h>

#include "explain.h"

/* A text whose lines are broken at spaces. */
typedef struct page {
    const ur_plan *plan, *shown; /* shown: whose launches are read */
    ur__labels labels;
    ur__moment at;
    FILE *out;
    size_t column, indent, gap; /* gap: spaces that the next word is to have before it */
} page;

enum { WIDTH = 118, TEXT = 1000, MOST_LOOPS = 12, MOST_STATEMENTS = 120, MOST_LAUNCHES = 60, MOST_OUTLINED = 8 };

static void begin(page *p, size_t indent)
{
    p->indent = p->column = indent;
    p->gap = 0;
    fprintf(p->out, "%*s", (int)indent, "");
}

static void say(page *p, const char *format, ...) UR_PRINTF(2, 3);
static void say(page *p, const char *format, ...)
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

static void end_line(page *p)
{
    fputc('\n', p->out);
}

static void say_ref(page *p, ur__ref ref)
{
    char text[TEXT];
    ur__text out = {.text = text, .bytes = sizeof text};
    ur__label_ref(&p->labels, ref, p->at, &out);
    say(p, "%s", text);
}

/* The value of a line in the iteration at hand. */
static ur__ref this_of(const page *p, uint32_t line)
{
    return (ur__ref){
        .line = line, .first = (int32_t)(p->at.begin - p->plan->program.line[line].begin), .stride = 1, .count = 1};
}

static const ur__ref *operand_of(const page *p, const ur__launch *l, uint32_t k)
{
    return &p->shown->argument[l->operand + k].ref;
}

/* ---- products */

/* The launch that packs the matrices of l. */
static const ur__launch *packer_of(const ur_plan *plan, const ur__launch *l)
{
    for (size_t i = 0; i < plan->launches; i++) {
        const ur__launch *k = &plan->launch[i];
        if (k->kind == UR__PRODUCT && k->packed && k->count &&
            plan->term[k->first].packed == plan->term[l->first].packed)
            return k;
    }
    return l;
}

static void say_term(page *p, ur__ref a, bool transposed, const ur__ref *x, bool first)
{
    say(p, first ? " " : " + ");
    say_ref(p, a);
    say(p, transposed ? "' " : " ");
    say_ref(p, *x);
}

/* Rows first.. of a product: what is packed there, in the order of the terms, and the bias. */
static void say_packed(page *p, const ur__launch *l, size_t first)
{
    const ur_plan *plan = p->shown;
    const ur__launch *packer = packer_of(plan, l);
    bool none = true;
    for (int bias = 0; bias < 2; bias++)
        for (uint32_t k = 0; k < packer->packings; k++) {
            const ur__packing *q = &plan->packing[packer->packing + k];
            if (q->first != first || (q->k == 0) != bias)
                continue;
            if (bias) {
                say(p, " + ");
                say_ref(p, q->a);
            } else {
                say_term(p, q->a, q->transposed, operand_of(p, l, plan->term[l->first + q->term].x), none);
            }
            none = false;
        }
}

/* With few columns matrices are read where they lie. */
static void say_narrow(page *p, const ur__launch *l)
{
    const ur_plan *plan = p->shown;
    for (uint32_t k = 0; k < l->count; k++) {
        const ur__product_term *t = &plan->term[l->first + k];
        say_term(p, t->a, t->transposed, operand_of(p, l, t->x), k == 0);
    }
    if (l->bias != UR__NOWHERE) {
        say(p, " + ");
        say_ref(p, *operand_of(p, l, (uint32_t)l->bias));
    }
}

/* The rows of all X of a product. */
static size_t inner_size(const page *p, const ur__launch *l)
{
    size_t k = 0;
    for (uint32_t t = 0; t < l->count; t++)
        k += p->shown->term[l->first + t].k;
    return k;
}

static void explain_product(page *p, const ur__launch *l)
{
    const ur_plan *plan = p->shown;
    size_t first = 0;
    uint32_t line = operand_of(p, l, 0)->line;
    begin(p, 4);
    say(p, "product [%u,%zu]", (unsigned)l->rows, inner_size(p, l));
    end_line(p);
    for (; first < l->rows && line != UR_NONE; line = plan->line[line].below) {
        begin(p, 6);
        say_ref(p, this_of(p, line));
        say(p, " =");
        if (l->in_place)
            say_narrow(p, l);
        else
            say_packed(p, l, first);
        end_line(p);
        first += plan->line[line].rows;
    }
}

/* ---- elementwise programs as formulas */

/* The kernels that are put together from several operations; {k+} stands in a sum, {k*} in a product, {k^} under a
 * power. */
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
    {UR__MUL_ONE_MINUS, 2, UR_BINDS_PRODUCT, "{0*} .* (1 - {1*})"},
    {UR__DERIVE_TANH, 2, UR_BINDS_PRODUCT, "{0*} .* (1 - {1^}^2)"},
    {UR__DERIVE_SIGMOID, 2, UR_BINDS_PRODUCT, "{0*} .* {1*} .* (1 - {1*})"},
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

static uint32_t inputs_of(const page *p, const ur__instruction *in)
{
    enum { MOST = 3 };
    const fused *f = fused_of(in->kernel);
    uint32_t inputs = f ? f->count : (uint32_t)ur__line_kind(p->plan, in->line)->op->inputs;
    return inputs < MOST ? inputs : MOST;
}

static void print_input(const formula *input, int binds, ur__text *out)
{
    bool open = input->binds < binds;
    ur__print(out, "%s%s%s", open ? "(" : "", input->text, open ? ")" : "");
}

/* A pattern of an operation or of a fused kernel. */
static void print_pattern(const char *pattern, int binds, double constant, const formula *const in[3], ur__text *out)
{
    for (const char *c = pattern; *c; c++) {
        if (*c != '{') {
            ur__print(out, "%c", *c);
        } else if (*++c == 'c') {
            ur__print(out, "%g", constant);
            c++;
        } else {
            int k = *c++ - '0', own = binds + (k > 0);
            own = *c == '+' ? UR_BINDS_SUM : *c == '*' ? UR_BINDS_PRODUCT : *c == '^' ? UR_BINDS_CALL : own;
            print_input(in[k], own, out);
            c += *c != '}';
        }
    }
}

static void print_instruction(const page *p, const ur__instruction *in, const formula *value, formula *result)
{
    const fused *f = fused_of(in->kernel);
    const ur_op *op = ur__line_kind(p->plan, in->line)->op;
    const formula *const inputs[] = {&value[in->a], &value[in->b], &value[in->c]};
    char text[TEXT] = "";
    ur__text out = {.text = text, .bytes = sizeof text};
    if (f || op->print) {
        result->binds = f ? f->binds : op->binds;
        if (in->kernel == UR__COPY)
            result->binds = inputs[0]->binds;
        print_pattern(f ? f->pattern : op->print, result->binds, p->shown->attr[in->attr], inputs, &out);
    } else {
        result->binds = UR_BINDS_CALL;
        ur__print(&out, "%s(", op->name);
        for (uint32_t k = 0; k < inputs_of(p, in); k++)
            ur__print(&out, "%s%s", k ? ", " : "", inputs[k]->text);
        ur__print(&out, ")");
    }
    memcpy(result->text, text, sizeof text);
}

/* How often the value that instruction i makes is read, and is it the last one of its place? */
static uint32_t count_reads(const page *p, const ur__launch *l, uint32_t i, bool *last)
{
    const ur__instruction *in = &p->shown->instruction[l->first];
    uint32_t reads = 0;
    *last = true;
    for (uint32_t k = i + 1; k < l->count && *last; k++) {
        const uint32_t of[] = {in[k].a, in[k].b, in[k].c};
        for (uint32_t q = 0; q < inputs_of(p, &in[k]); q++)
            reads += of[q] == in[i].y;
        *last = in[k].y != in[i].y;
    }
    return reads;
}

static void print_operands(page *p, const ur__launch *l, formula *value)
{
    for (uint32_t k = 0; k < l->operands; k++) {
        ur__text out = {.text = value[k].text, .bytes = TEXT};
        value[k].text[0] = 0;
        value[k].binds = UR_BINDS_CALL;
        const ur__argument *a = &p->shown->argument[l->operand + k];
        if (!a->mask)
            ur__label_ref(&p->labels, *operand_of(p, l, k), p->at, &out);
        if (a->spread != UR__FULL || p->plan->line[a->ref.line].rows == l->rows)
            continue;
        ur__print(&out, " from row %u on", (unsigned)a->skip);
        value[k].binds = UR_BINDS_SUM;
    }
}

/* A formula for each value that is stored or read several times. */
static void explain_formulas(page *p, const ur__launch *l, formula *value)
{
    enum { LONG = 160 };
    print_operands(p, l, value);
    for (uint32_t i = 0; i < l->count; i++) {
        const ur__instruction *in = &p->shown->instruction[l->first + i];
        bool last;
        uint32_t reads = count_reads(p, l, i, &last);
        formula *result = &value[in->y];
        print_instruction(p, in, value, result);
        if (!(last && in->y < l->operands) && reads < 2 && strlen(result->text) < LONG)
            continue;
        ur__text out = {.text = result->text, .bytes = TEXT};
        begin(p, 6);
        say_ref(p, this_of(p, in->line));
        say(p, " = %s", result->text);
        end_line(p);
        result->text[0] = 0;
        ur__label_ref(&p->labels, this_of(p, in->line), p->at, &out);
        result->binds = UR_BINDS_CALL;
    }
}

static bool explain_pointwise(page *p, const ur__launch *l)
{
    size_t values = l->operands + l->buffers, bytes = values * sizeof(formula);
    begin(p, 4);
    say(p, "elementwise [%u]", (unsigned)l->rows);
    if (l->count > MOST_STATEMENTS || values > MOST_STATEMENTS) {
        say(p, ": %u instructions on %u values", (unsigned)l->count, (unsigned)l->operands);
        end_line(p);
        return true;
    }
    end_line(p);
    formula *value = (formula *)ur__take(p->plan->tape, bytes);
    if (!value)
        return false;
    explain_formulas(p, l, value);
    ur__give(p->plan->tape, value, bytes);
    return true;
}

/* ---- single operations and sums */

/* Why an operation is a launch of its own. */
static const char *reason_of(const page *p, const ur__launch *l)
{
    const ur_op *op = ur__line_kind(p->plan, l->line)->op;
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

static void say_call(page *p, const ur__launch *l)
{
    say(p, "%s(", ur__line_kind(p->plan, l->line)->op->name);
    for (uint32_t k = 1; k < l->operands; k++) {
        say(p, k > 1 ? ", " : "");
        say_ref(p, *operand_of(p, l, k));
    }
    say(p, ")");
}

static void explain_single(page *p, const ur__launch *l)
{
    bool adds = l->kind == UR__ADD_UP;
    begin(p, 4);
    say(p, adds ? "sum over the columns: " : "operation: ");
    say_ref(p, *operand_of(p, l, 0));
    say(p, adds ? " += " : " = ");
    say_call(p, l);
    if (!adds)
        say(p, "; alone: %s", reason_of(p, l));
    end_line(p);
}

/* [rows,m] of the longest stretch: dW, dU = h[t-1] (delta, delta)'. */
static void explain_contraction(page *p, const ur__launch *l)
{
    const ur_plan *plan = p->shown;
    uint32_t longest = l->first, steps = 0;
    for (uint32_t k = l->first; k < l->first + l->count; k++) {
        steps += plan->part[k].n;
        longest = plan->part[k].n > plan->part[longest].n ? k : longest;
    }
    begin(p, 4);
    if (l->count)
        say(p, "contraction [%u,%u], %u steps: ", (unsigned)l->rows, (unsigned)(l->m * l->outputs), (unsigned)steps);
    for (uint32_t k = 0; k < l->outputs; k++) {
        say(p, k ? ", " : "");
        say_ref(p, *operand_of(p, l, k));
    }
    if (!l->count) {
        say(p, " = 0");
        end_line(p);
        return;
    }
    const ur__argument *x = &plan->argument[plan->part[longest].operand];
    const ur__line *line = &plan->program.line[x[!l->ones].ref.line];
    p->at = (ur__moment){.length = plan->part[longest].n};
    if (line->loop != UR_NONE) {
        p->at.loop = &plan->program.loop[line->loop];
        p->at.begin = line->begin + (uint32_t)x[!l->ones].ref.first;
    }
    say(p, l->ones ? " += sums of the rows of" : " += ");
    if (!l->ones)
        say_ref(p, (x++)->ref);
    for (uint32_t k = 0; k < l->outputs; k++) {
        say(p, k ? ", " : l->ones ? " " : " (");
        say_ref(p, x[k].ref);
    }
    say(p, l->ones ? "" : ")'");
    end_line(p);
    p->at = (ur__moment){.length = 1};
}

/* This and those that follow it, if they are nothing else than the blocks' sums; returns how many there were. */
static uint32_t explain_collections(page *p, const ur__launch *l, uint32_t left)
{
    uint32_t n = 1;
    begin(p, 4);
    say_ref(p, *operand_of(p, l, 0));
    for (; l->operands == 1 && n < left && l[n].kind == UR__COLLECT && l[n].operands == 1; n++) {
        say(p, ", ");
        say_ref(p, *operand_of(p, &l[n], 0));
    }
    say(p, p->plan->blocks > 1 ? " = the blocks' sums" : " = the block's sum");
    for (uint32_t k = 1; k < l->operands; k++) {
        say(p, " + ");
        say_ref(p, *operand_of(p, l, k));
    }
    end_line(p);
    return n;
}

static bool explain_launch(page *p, const ur__launch *l)
{
    switch ((ur__launch_kind)l->kind) {
    case UR__POINTWISE:
        return explain_pointwise(p, l);
    case UR__PRODUCT:
        explain_product(p, l);
        break;
    case UR__STATEMENT:
    case UR__ADD_UP:
        explain_single(p, l);
        break;
    case UR__CONTRACT:
        explain_contraction(p, l);
        break;
    case UR__COLLECT:
        break;
    }
    return true;
}

static bool explain_span(page *p, ur__span span)
{
    bool good = true;
    for (uint32_t k = 0; k < span.count && k < MOST_LAUNCHES && good; k++) {
        const ur__launch *l = &p->shown->launch[span.first + k];
        if (l->kind == UR__COLLECT)
            k += explain_collections(p, l, span.count - k) - 1;
        else
            good = explain_launch(p, l);
    }
    if (span.count > MOST_LAUNCHES) {
        begin(p, 4);
        say(p, "and %u more launches", (unsigned)(span.count - MOST_LAUNCHES));
        end_line(p);
    }
    return good;
}

/* ---- loops */

static ur__span span_of(const page *p, ur__time time, uint32_t phase)
{
    return p->shown->span[time * p->plan->program.phases + phase];
}

static bool has_launches(const page *p, ur__time time, const ur__loop *loop)
{
    for (uint32_t f = loop->phase; f < loop->phase + loop->phases; f++)
        if (span_of(p, time, f).count)
            return true;
    return false;
}

/* A phase that differs from the loop's main one, in a line. */
static void outline_span(page *p, ur__span span)
{
    say(p, ":");
    for (uint32_t k = 0; k < span.count; k++) {
        const ur__launch *l = &p->shown->launch[span.first + k];
        if (k >= MOST_OUTLINED) {
            say(p, ", and %u more", (unsigned)(span.count - k));
            break;
        }
        say(p, "%s%s ", k ? ", " : " ",
            l->kind == UR__PRODUCT     ? "product"
            : l->kind == UR__POINTWISE ? "elementwise"
                                       : ur__line_kind(p->plan, l->line)->op->name);
        if (l->kind == UR__PRODUCT)
            say(p, "[%u,%zu]", (unsigned)l->rows, inner_size(p, l));
        else
            say(p, "[%u]", (unsigned)l->rows);
    }
}

static void say_phase(page *p, const ur__phase *phase)
{
    long long first = ur__step_at(p->at.loop, phase->begin), last = ur__step_at(p->at.loop, phase->end - 1);
    const char *what = p->at.loop->direction ? "t" : "iteration";
    begin(p, 2);
    if (first == last)
        say(p, "%s = %lld", what, first);
    else
        say(p, "%s = %lld to %lld", what, first, last);
}

/* The longest phase of a loop, of those that have launches. */
static uint32_t main_phase(const page *p, ur__time time, const ur__loop *loop)
{
    const ur__phase *phase = p->plan->program.phase;
    uint32_t best = UR_NONE;
    for (uint32_t f = loop->phase; f < loop->phase + loop->phases; f++)
        if (span_of(p, time, f).count &&
            (best == UR_NONE || phase[f].end - phase[f].begin > phase[best].end - phase[best].begin))
            best = f;
    return best;
}

static bool explain_loop(page *p, ur__time time, const ur__loop *loop)
{
    const ur__program *program = &p->plan->program;
    bool good = true, straight = ur__step_at(loop, 0) == 0;
    uint32_t full = main_phase(p, time, loop);
    if (!straight)
        fprintf(p->out, "loop of %u steps\n", (unsigned)loop->iterations);
    else if (time == UR__WITHIN)
        fprintf(p->out, "straight code\n");
    for (uint32_t f = loop->phase; f < loop->phase + loop->phases && good; f++) {
        const ur__phase *phase = &program->phase[f];
        ur__span span = span_of(p, time, f);
        if (!span.count)
            continue;
        p->at = (ur__moment){.loop = loop, .begin = phase->begin, .length = phase->end - phase->begin};
        if (!straight) {
            say_phase(p, phase);
            if (f != full)
                outline_span(p, span);
            end_line(p);
        }
        if (f == full)
            good = explain_span(p, span);
    }
    p->at = (ur__moment){.length = 1};
    return good;
}

static bool explain_time(page *p, ur__time time, const char *title)
{
    const ur__program *program = &p->plan->program;
    size_t shown = 0, left = 0;
    bool good = true;
    for (size_t l = 0; l < program->loops && good; l++) {
        if (!has_launches(p, time, &program->loop[l]))
            continue;
        if (!shown)
            fprintf(p->out, "\n%s\n", title);
        if (shown < MOST_LOOPS)
            good = explain_loop(p, time, &program->loop[l]);
        else
            left++;
        shown++;
    }
    if (left)
        fprintf(p->out, "and %zu more loops\n", left);
    return good;
}

static bool explain_finish(page *p)
{
    if (!p->shown->finish.count)
        return true;
    fprintf(p->out, "at the end of a block\n");
    return explain_span(p, p->shown->finish);
}

/* ---- blocks and bytes */

static void explain_blocks(const page *p)
{
    const ur_plan *plan = p->plan;
    if (!plan->batch)
        fprintf(p->out, "no batch\n");
    else if (plan->blocks == 1)
        fprintf(p->out, "batch %lld in one block%s\n", (long long)plan->batch,
                plan->one_block ? ", its columns depend on each other" : "");
    else
        fprintf(p->out, "batch %lld in %zu blocks of %zu columns, %zu at a time\n", (long long)plan->batch,
                plan->blocks, plan->width, plan->workers);
    if (plan->alive)
        fprintf(p->out, "where a column of a block has ended, its values are selected: that form is not shown\n");
    if (plan->segments > 1)
        fprintf(p->out,
                "%zu steps in %zu segments of %zu, each forward once more before it goes back; %zu checkpoints\n",
                plan->sweep, plan->segments, plan->length, plan->checkpoints);
    if (plan->program.why.text[0])
        fprintf(p->out, "not rolled: %s\n", plan->program.why.text);
}

static bool is_saved(const ur__line_plan *line)
{
    return line->home == UR__IN_BLOCK && line->slots > 1 && line->over.line == UR_NONE;
}

/* How many values of a line are saved, and the bytes of one. */
static size_t slots_of(const ur_plan *plan, const ur__line_plan *line)
{
    return line->window_bytes ? plan->length + 2 * plan->halo : line->slots;
}

static size_t slot_bytes_of(const ur__line_plan *line)
{
    return line->window_bytes ? line->window_bytes : (size_t)line->slot_bytes;
}

/* Bytes of block memory that hold a value for each of several steps. */
static size_t saved_bytes(const ur_plan *plan)
{
    size_t bytes = 0;
    for (size_t l = 0; l < plan->program.lines; l++)
        if (is_saved(&plan->line[l]))
            bytes += slots_of(plan, &plan->line[l]) * slot_bytes_of(&plan->line[l]);
    return bytes;
}

static bool same_slots(const ur__line_plan *a, const ur__line_plan *b)
{
    return a->slots == b->slots && a->window_bytes == b->window_bytes && slot_bytes_of(a) == slot_bytes_of(b) &&
           a->rows == b->rows;
}

/* What a block keeps of each step: `62 x 9024 bytes [20]: kappa, phi, ...`, those of one size together. */
static void explain_saved(page *p)
{
    const ur__line_plan *line = p->shown->line;
    for (uint32_t l = 0; l < p->shown->program.lines; l++) {
        uint32_t first = 0;
        while (first < l && !(is_saved(&line[first]) && same_slots(&line[first], &line[l])))
            first++;
        if (first < l || !is_saved(&line[l]))
            continue;
        begin(p, 4);
        say(p, "%zu x %zu bytes [%zu]:", slots_of(p->shown, &line[l]), slot_bytes_of(&line[l]), line[l].rows);
        for (uint32_t k = l; k < p->shown->program.lines; k++) {
            char text[TEXT];
            ur__text out = {.text = text, .bytes = sizeof text};
            if (!is_saved(&line[k]) || !same_slots(&line[k], &line[l]))
                continue;
            ur__label(&p->labels, k, &out);
            say(p, "%s%s", k > l ? ", " : " ", text);
        }
        end_line(p);
    }
}

static void explain_bytes(page *p)
{
    const ur_plan *plan = p->plan;
    size_t saved = plan->workers * saved_bytes(p->shown), block = plan->workers * plan->block_bytes;
    size_t sums = plan->blocks * plan->parts_bytes;
    size_t rest = plan->allocation_bytes - plan->memory_bytes - sums - plan->packed_bytes - block;
    const struct {
        const char *what;
        size_t bytes;
        bool saved;
    } parts[] = {{"roots", plan->root_bytes, false},
                 {"other values of the whole batch", plan->memory_bytes - plan->root_bytes, false},
                 {"sums over the columns of each block", sums, false},
                 {"packed weights", plan->packed_bytes, false},
                 {"saved values of a block", saved, true},
                 {"other values of a block", block - saved, false},
                 {"scratch", rest, false}};
    fprintf(p->out, "%zu bytes; the tape has %zu\n", ur_plan_bytes(plan), ur_tape_bytes(plan->tape));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].bytes) {
            fprintf(p->out, "  %-38s %10zu\n", parts[i].what, parts[i].bytes);
            if (parts[i].saved)
                explain_saved(p);
        }
}

static bool explain_reference(const ur_plan *plan, FILE *out)
{
    fprintf(out, "reference execution: %zu nodes one by one in f64\n%zu bytes; the tape has %zu\n", plan->nodes,
            ur_plan_bytes(plan), ur_tape_bytes(plan->tape));
    return !ferror(out);
}

bool ur_plan_explain(const ur_plan *plan, FILE *out)
{
    if (!plan || !out || plan->tape->error.text[0] || plan->generation != plan->tape->generation)
        return false;
    if (plan->reference)
        return explain_reference(plan, out);
    page p = {.plan = plan, .shown = plan->alive ? plan->alive : plan, .out = out, .at = {.length = 1}};
    if (!ur__labels_new(p.shown, &p.labels))
        return false;
    explain_blocks(&p);
    explain_bytes(&p);
    bool good = explain_time(&p, UR__BEFORE, "before the blocks") && explain_time(&p, UR__WITHIN, "in every block") &&
                explain_finish(&p) && explain_time(&p, UR__AFTER, "after the blocks");
    ur__labels_free(&p.labels);
    return good && !ferror(out);
}
