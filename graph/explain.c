/* explain.c - a plan in words: blocks, bytes, and loop by loop the launches, under the names of the tape.
 *
 * Where columns may end before the others, the launches shown are those without masks; a block whose columns end in no
 * order runs the same with select(alive, ...) in it. */
#include "explain.h"

enum { MOST_LOOPS = 12 };

/* ---- loops */

static ur__span span_of(const ur__page *p, ur__time time, uint32_t phase)
{
    return p->form->span[time * p->form->program.phases + phase];
}

static bool has_launches(const ur__page *p, ur__time time, const ur__loop *loop)
{
    for (uint32_t f = loop->phase; f < loop->phase + loop->phases; f++)
        if (span_of(p, time, f).count)
            return true;
    return false;
}

static void say_phase(ur__page *p, const ur__phase *phase)
{
    long long first = ur__step_at(p->at.loop, phase->begin), last = ur__step_at(p->at.loop, phase->end - 1);
    const char *what = p->at.loop->direction ? "t" : "iteration";
    ur__begin_line(p, 2);
    if (first == last)
        ur__say(p, "%s = %lld", what, first);
    else
        ur__say(p, "%s = %lld to %lld", what, first, last);
}

/* The longest phase of a loop, of those that have launches. */
static uint32_t main_phase(const ur__page *p, ur__time time, const ur__loop *loop)
{
    const ur__phase *phase = p->form->program.phase;
    uint32_t best = UR_NONE;
    for (uint32_t f = loop->phase; f < loop->phase + loop->phases; f++)
        if (span_of(p, time, f).count &&
            (best == UR_NONE || phase[f].end - phase[f].begin > phase[best].end - phase[best].begin))
            best = f;
    return best;
}

static bool explain_loop(ur__page *p, ur__time time, const ur__loop *loop)
{
    const ur__program *program = &p->form->program;
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
                ur__outline_span(p, span);
            ur__end_line(p);
        }
        if (f == full)
            good = ur__describe_span(p, span);
    }
    p->at = (ur__moment){.length = 1};
    return good;
}

static bool explain_time(ur__page *p, ur__time time, const char *title)
{
    const ur__program *program = &p->form->program;
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

static bool explain_finish(ur__page *p)
{
    if (!p->form->finish.count)
        return true;
    fprintf(p->out, "at the end of a block\n");
    return ur__describe_span(p, p->form->finish);
}

/* ---- blocks and bytes */

static void explain_blocks(const ur__page *p)
{
    const ur_plan *plan = p->plan;
    const ur__form *form = &plan->form;
    if (!form->batch)
        fprintf(p->out, "no batch\n");
    else if (form->blocks == 1)
        fprintf(p->out, "batch %lld in one block%s\n", (long long)form->batch,
                form->one_block ? ", its columns depend on each other" : "");
    else
        fprintf(p->out, "batch %lld in %zu blocks of %zu columns, %zu at a time\n", (long long)form->batch,
                form->blocks, form->width,
                plan->workers * form->abreast < form->blocks ? plan->workers * form->abreast : form->blocks);
    if (plan->alive)
        fprintf(p->out, "where %s, its values are selected: that form is not shown\n",
                plan->alive->ends ? "a column of a block ends before one behind it" : "a column of a block has ended");
    if (form->segments > 1)
        fprintf(p->out,
                "%zu steps in %zu segments of %zu, each forward once more before it goes back; %zu checkpoints\n",
                form->sweep, form->segments, form->length, form->checkpoints);
    if (form->program.why.text[0])
        fprintf(p->out, "not rolled: %s\n", form->program.why.text);
}

static bool is_saved(const ur__line_plan *line)
{
    return line->home == UR__IN_BLOCK && line->slots > 1 && line->over.line == UR_NONE;
}

/* How many values of a line are saved, and the bytes of one. */
static size_t slots_of(const ur__form *form, const ur__line_plan *line)
{
    return line->window_bytes ? form->length + 2 * form->halo : line->slots;
}

static size_t slot_bytes_of(const ur__line_plan *line)
{
    return line->window_bytes ? line->window_bytes : (size_t)line->slot_bytes;
}

/* Bytes of block memory that hold a value for each of several steps. */
static size_t saved_bytes(const ur__form *form)
{
    size_t bytes = 0;
    for (size_t l = 0; l < form->program.lines; l++)
        if (is_saved(&form->line[l]))
            bytes += slots_of(form, &form->line[l]) * slot_bytes_of(&form->line[l]);
    return bytes;
}

static bool same_slots(const ur__line_plan *a, const ur__line_plan *b)
{
    return a->slots == b->slots && a->window_bytes == b->window_bytes && slot_bytes_of(a) == slot_bytes_of(b) &&
           a->rows == b->rows;
}

/* What a block keeps of each step: `62 x 9024 bytes [20]: kappa, phi, ...`, those of one size together. */
static void explain_saved(ur__page *p)
{
    const ur__line_plan *line = p->form->line;
    for (uint32_t l = 0; l < p->form->program.lines; l++) {
        uint32_t first = 0;
        while (first < l && !(is_saved(&line[first]) && same_slots(&line[first], &line[l])))
            first++;
        if (first < l || !is_saved(&line[l]))
            continue;
        ur__begin_line(p, 4);
        ur__say(p, "%zu x %zu bytes [%zu]:", slots_of(p->form, &line[l]), slot_bytes_of(&line[l]), line[l].rows);
        for (uint32_t k = l; k < p->form->program.lines; k++) {
            if (!is_saved(&line[k]) || !same_slots(&line[k], &line[l]))
                continue;
            ur__say(p, k > l ? ", " : " ");
            ur__say_label(p, k);
        }
        ur__end_line(p);
    }
}

static void explain_bytes(ur__page *p)
{
    const ur_plan *plan = p->plan;
    const ur__form *form = &plan->form;
    size_t saved = plan->workers * saved_bytes(p->form), block = plan->workers * form->bytes[UR__AREA_BLOCK];
    size_t sums = form->bytes[UR__AREA_SUMS];
    size_t rest = plan->allocation_bytes - form->bytes[UR__AREA_MEMORY] - sums - form->bytes[UR__AREA_PACKED] - block;
    const struct {
        const char *what;
        size_t bytes;
        bool saved;
    } parts[] = {{"roots", form->root_bytes, false},
                 {"other values of the whole batch", form->bytes[UR__AREA_MEMORY] - form->root_bytes, false},
                 {"sums over the columns of each block", sums, false},
                 {"packed weights", form->bytes[UR__AREA_PACKED], false},
                 {"saved values of a block", saved, true},
                 {"other values of a block", block - saved, false},
                 {"scratch", rest, false}};
    fprintf(p->out, "%zu bytes; the tape has %zu\n", ur_plan_bytes(plan), ur_tape_bytes(form->tape));
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
            ur_plan_bytes(plan), ur_tape_bytes(plan->form.tape));
    return !ferror(out);
}

bool ur_plan_explain(const ur_plan *plan, FILE *out)
{
    if (!out || !ur__plan_usable(plan, "ur_plan_explain"))
        return false;
    if (plan->reference)
        return explain_reference(plan, out);
    ur__page p = {.plan = plan, .form = plan->alive ? plan->alive : &plan->form, .out = out, .at = {.length = 1}};
    if (!ur__labels_new(p.form, &p.labels))
        return false;
    explain_blocks(&p);
    explain_bytes(&p);
    bool good = explain_time(&p, UR__BEFORE, "before the blocks") && explain_time(&p, UR__WITHIN, "in every block") &&
                explain_finish(&p) && explain_time(&p, UR__AFTER, "after the blocks");
    ur__labels_free(&p.labels);
    return good && !ferror(out);
}
