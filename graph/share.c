/* share.c - storage reuse: which values may lie where others lay.
 *
 * A line whose values are read until the next one is written, by its own loop alone, needs one slot: dh goes from step
 * t + 1 to t. And a line that is saved for a later loop may be overwritten there, step by step, by one that this loop
 * makes: the net's derivative at t lies where the activation at t lay, which nothing reads afterwards. The two loops go
 * opposite ways: where steps run in segments, loops that go the same way take turns, and the first one needs what it left.
 *
 * A value may be overwritten by the launch that reads it last if that is an elementwise program and no instruction reads
 * the value after the one that writes. A sum of rows is written by every tile, and the next tile reads again. */
#include "plan.h"

/* Where a phase writes a line: its first launch, or none. */
typedef struct writing {
    const ur__launch *launch;
    uint32_t operand;
} writing;

static const ur__span *span_of(const ur__form *form, uint32_t phase)
{
    return &form->span[UR__WITHIN * form->program.phases + phase];
}

static writing find_writing(const ur__form *form, uint32_t phase, uint32_t line)
{
    const ur__span *span = span_of(form, phase);
    for (const ur__launch *l = form->launch + span->first; l < form->launch + span->first + span->count; l++)
        for (uint32_t k = 0; k < l->operands; k++)
            if (form->argument[l->operand + k].ref.line == line && ur__writes(form, l, k))
                return (writing){l, k};
    return (writing){NULL, 0};
}

/* Does a program read an operand after an instruction that writes another one? */
static bool reads_behind(const ur__form *form, const ur__launch *l, uint32_t read, uint32_t written)
{
    bool done = false;
    for (const ur__instruction *i = form->instruction + l->first, *end = i + l->count; i < end; i++) {
        if (done && (i->a == read || i->b == read || i->c == read))
            return true;
        done |= i->y == written;
    }
    return false;
}

/* Is operand `read` of launch l not read any more when a phase writes as it does? */
static bool is_through(const ur__form *form, const ur__launch *l, uint32_t read, writing w)
{
    if (!w.launch || l != w.launch)
        return !w.launch || l < w.launch;
    return l->kind == UR__POINTWISE && form->argument[l->operand + w.operand].spread != UR__ROW &&
           !reads_behind(form, l, read, w.operand);
}

/* ---- the last loop that reads a line */

#define NEVER 0
#define ALWAYS UR_NONE /* read when the loops are through, or by the caller */

static void read_in(uint32_t *last, uint32_t line, uint32_t loop)
{
    last[line] = last[line] < loop + 1 ? loop + 1 : last[line];
}

/* What the launches of a span read is read in a loop, or later. */
static void find_last_in(const ur__form *form, const ur__span *span, uint32_t loop, uint32_t *last)
{
    for (uint32_t k = span->first; k < span->first + span->count; k++)
        for (uint32_t i = 0; i < form->launch[k].operands; i++)
            read_in(last, form->argument[form->launch[k].operand + i].ref.line, loop);
}

/* By line: the number of the last loop that reads it, plus 1. */
static void find_last(const ur__form *form, uint32_t *last)
{
    const ur__program *p = &form->program;
    for (uint32_t l = 0; l < p->lines; l++)
        last[l] = form->line[l].root ? ALWAYS : NEVER;
    for (uint32_t f = 0; f < p->phases; f++) {
        find_last_in(form, span_of(form, f), p->phase[f].loop, last);
        find_last_in(form, &form->span[UR__AFTER * p->phases + f], ALWAYS - 1, last);
    }
    find_last_in(form, &form->finish, ALWAYS - 1, last);
    for (size_t k = 0; form->ends && k < form->remainders; k++)
        if (form->remainder[k].from.line != UR_NONE && !form->remainder[k].own)
            read_in(last, form->remainder[k].from.line, ALWAYS - 1);
}

/* What a loop reads of a line. */
typedef struct reading {
    const ur__form *form;
    uint32_t line, loop, phase;
    const ur__launch *launch;
    uint32_t operand;
    const ur__ref *ref;
} reading;

/* Calls for each; false as soon as a call is. */
static bool each_reading(reading r, bool (*visit)(const reading *r, void *user), void *user)
{
    const ur__program *p = &r.form->program;
    for (r.phase = p->loop[r.loop].phase; r.phase < p->loop[r.loop].phase + p->loop[r.loop].phases; r.phase++) {
        const ur__span *span = span_of(r.form, r.phase);
        for (uint32_t k = span->first; k < span->first + span->count; k++) {
            r.launch = &r.form->launch[k];
            for (r.operand = 0; r.operand < r.launch->operands; r.operand++) {
                r.ref = &r.form->argument[r.launch->operand + r.operand].ref;
                if (r.ref->line == r.line && !ur__writes(r.form, r.launch, r.operand) && !visit(&r, user))
                    return false;
            }
        }
    }
    return true;
}

/* What is left of a step past the ends is written before its launches: does one read what was there in all columns? */
static bool reads_ended(const reading *r)
{
    return r->form->ends && r->form->line[r->launch->line].class == UR__ONCE &&
           r->form->line[r->line].class == UR__BATCH;
}

/* ---- one slot */

/* Is it the value of the iteration, or of the one before, which is not overwritten yet? */
static bool is_recent(const reading *r, void *user)
{
    const ur__phase *phase = &r->form->program.phase[r->phase];
    int64_t own = (int64_t)phase->begin - r->form->program.line[r->line].begin, behind = own - r->ref->first;
    (void)user;
    if (r->ref->count > 1 || (r->ref->stride != 1 && phase->end - phase->begin > 1) || behind < 0 || behind > 1)
        return false;
    return behind == 0 ||
           (!reads_ended(r) && is_through(r->form, r->launch, r->operand, find_writing(r->form, r->phase, r->line)));
}

static void find_overwritten(ur__form *form, const uint32_t *last)
{
    const ur__program *p = &form->program;
    for (uint32_t l = 0; l < p->lines; l++)
        form->line[l].overwritten =
            ur__is_saved(form, l) && last[l] == p->line[l].loop + 1 &&
            each_reading((reading){.form = form, .line = l, .loop = p->line[l].loop}, is_recent, NULL);
}

/* ---- the slots of another line */

/* Value k of line `over` lies at the step of value first + stride k of the other one. */
typedef struct pair {
    uint32_t line;
    int64_t first, stride;
} pair;

static bool is_past(const reading *r, void *user)
{
    const pair *own = (const pair *)user;
    const ur__phase *phase = &r->form->program.phase[r->phase];
    /* the iteration that overwrites what is read in the phase's first iteration, and in its last one */
    int64_t n = phase->end - phase->begin, begin = r->form->program.line[own->line].begin;
    int64_t first = begin + (r->ref->first - own->first) * own->stride - phase->begin;
    int64_t last = first + (int64_t)r->ref->stride * own->stride * (n - 1) - (n - 1);
    if (r->ref->count > 1 || first < 0 || last < 0)
        return false;
    return (first > 0 && last > 0) ||
           (!reads_ended(r) && is_through(r->form, r->launch, r->operand, find_writing(r->form, r->phase, own->line)));
}

/* May line l lie where line `under` lay? Then `own` says where. */
static bool may_lie_over(const ur__form *form, uint32_t l, uint32_t under, pair *own)
{
    const ur__program *p = &form->program;
    const ur__line *line = &p->line[l], *other = &p->line[under];
    const ur__loop *loop = &p->loop[line->loop], *from = &p->loop[other->loop];
    if (form->line[l].rows != form->line[under].rows || !loop->direction || loop->direction != -from->direction)
        return false;
    int64_t t = ur__step_in(loop, line->begin);
    own->line = l;
    own->stride = (int64_t)loop->direction * from->direction;
    own->first = (t - from->step) * from->direction - other->begin;
    int64_t end = own->first + own->stride * ((int64_t)line->values - 1);
    if (own->first < 0 || end < 0 || own->first >= other->values || end >= other->values)
        return false;
    return each_reading((reading){.form = form, .line = under, .loop = line->loop}, is_past, own);
}

/* Is it saved, and so far nothing lies over it? */
static bool is_free(const ur__form *form, uint32_t l)
{
    return ur__is_saved(form, l) && !form->line[l].overwritten && !form->line[l].covered;
}

/* Lays line l over the first one that it may lie over. */
static void lay_over(ur__form *form, uint32_t l, const uint32_t *last)
{
    const uint32_t loop = form->program.line[l].loop;
    pair own;
    for (uint32_t under = 0; under < form->program.lines; under++)
        if (last[under] == loop + 1 && form->program.line[under].loop < loop && is_free(form, under) &&
            may_lie_over(form, l, under, &own)) {
            form->line[under].covered = true;
            form->line[l].over =
                (ur__ref){.line = under, .first = (int32_t)own.first, .stride = (int32_t)own.stride, .count = 1};
            return;
        }
}

static void find_over(ur__form *form, const uint32_t *last)
{
    for (uint32_t l = 0; l < form->program.lines; l++)
        form->line[l].over.line = UR_NONE;
    for (uint32_t l = 0; l < form->program.lines; l++)
        if (ur__is_saved(form, l) && !form->line[l].overwritten)
            lay_over(form, l, last);
}

bool ur__share(ur__form *form)
{
    size_t bytes = form->program.lines * sizeof(uint32_t);
    uint32_t *last = (uint32_t *)ur__take(form->tape, bytes);
    if (!last)
        return false;
    find_last(form, last);
    find_overwritten(form, last);
    find_over(form, last);
    ur__give(form->tape, last, bytes);
    return true;
}
