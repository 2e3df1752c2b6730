/* segment.c - which forms may run their steps in segments, so that less is saved at once.
 *
 * One whose loops are a sweep over time and a sweep back can save the values of one segment of steps only. The sweep
 * forward keeps what goes from one segment into the next, a checkpoint; on the way back a segment is swept forward once
 * more from its checkpoint and then back (Griewank 1992). So it may be where no loop of the way forward reads what a
 * later step makes, and none of the loops reads straight code that comes of them. A line that is read in any other way,
 * by the caller or at steps far away, keeps a slot for each of its values.
 *
 * Steps are counted from the first one in the order of the sweep forward, tau = 0, 1, ... */
#include "plan.h"

/* A value may be read so many steps away from its own; further away, its line is saved whole. */
enum { FARTHEST = 8 };

int64_t ur__tau(const ur__form *form, uint32_t loop, int64_t iteration)
{
    const ur__loop *l = &form->program.loop[loop];
    return (ur__step_in(l, iteration) - form->first_step) * form->direction;
}

/* ---- what is read */

typedef struct reading {
    uint32_t loop;
    const ur__phase *phase; /* or the iterations of a contraction's part */
    const ur__ref *ref;
    bool written, at_end; /* by the loop; when the loops of a segment are through */
} reading;

typedef bool visitor(ur__form *form, const reading *r);

/* Those of a launch within a phase. */
static bool each_operand(ur__form *form, const ur__phase *phase, const ur__launch *l, visitor *visit)
{
    for (uint32_t k = 0; k < l->operands; k++) {
        reading r = {.loop = phase->loop,
                     .phase = phase,
                     .ref = &form->argument[l->operand + k].ref,
                     .written = ur__writes(form, l, k)};
        if (!visit(form, &r))
            return false;
    }
    return true;
}

/* Those of a contraction, stretch by stretch. */
static bool each_factor(ur__form *form, const ur__launch *l, visitor *visit)
{
    for (uint32_t q = l->first; q < l->first + l->count; q++) {
        const ur__contraction_stretch *s = &form->stretch[q];
        const ur__phase phase = {.loop = s->loop, .begin = s->begin, .end = s->begin + s->n};
        for (uint32_t k = 0; k < l->matrices + (l->rows > 0); k++) {
            reading r = {.loop = s->loop, .phase = &phase, .ref = &form->argument[s->operand + k].ref, .at_end = true};
            if (!visit(form, &r))
                return false;
        }
    }
    return true;
}

/* Those of a phase's remainders: what a step past the end copies. */
static bool each_copied(ur__form *form, const ur__phase *phase, const ur__span *rest, visitor *visit)
{
    for (uint32_t k = rest->first; k < rest->first + rest->count; k++) {
        reading r = {.loop = phase->loop, .phase = phase, .ref = &form->remainder[k].from};
        if (r.ref->line != UR_NONE && !visit(form, &r))
            return false;
    }
    return true;
}

/* Calls for each operand of every launch within the blocks; false as soon as a call is. */
static bool each_reading(ur__form *form, visitor *visit)
{
    const ur__program *p = &form->program;
    for (size_t f = 0; f < p->phases; f++) {
        const ur__span *span = &form->span[UR__WITHIN * p->phases + f];
        for (uint32_t i = span->first; i < span->first + span->count; i++)
            if (!each_operand(form, &p->phase[f], &form->launch[i], visit))
                return false;
        if (form->ends && !each_copied(form, &p->phase[f], &form->rest[f], visit))
            return false;
    }
    for (uint32_t i = form->finish.first; i < form->finish.first + form->finish.count; i++)
        if (!each_factor(form, &form->launch[i], visit))
            return false;
    return true;
}

/* ---- the stages of loops */

/* Loops of many iterations go forward, then back. */
static bool find_sweeps(ur__form *form)
{
    const ur__program *p = &form->program;
    int64_t last = INT64_MIN;
    bool back = false;
    form->direction = 0;
    for (uint32_t l = 0; l < p->loops; l++) {
        const ur__loop *loop = &p->loop[l];
        if (!ur__is_rolled(&form->program, l))
            continue;
        int64_t begin = loop->step, end = ur__step_in(loop, loop->iterations - (int64_t)1);
        if (!form->direction) {
            form->direction = loop->direction;
            form->first_step = begin;
        }
        if (loop->direction == 0 || (back && loop->direction == form->direction))
            return false;
        back = loop->direction != form->direction;
        form->stage[l] = back ? UR__BACK : UR__FORWARD;
        int64_t low = back ? end : begin, high = back ? begin : end; /* in the order of the sweep forward */
        form->first_step = (low - form->first_step) * form->direction < 0 ? low : form->first_step;
        last = last == INT64_MIN || (high - last) * form->direction > 0 ? high : last;
    }
    form->sweep = back ? (size_t)((last - form->first_step) * form->direction + 1) : 0;
    return back;
}

/* Straight code is done first if it reads nothing of loops, else when the sweep is through that is before it. */
static bool place_straight(ur__form *form, const reading *r)
{
    uint32_t from = form->program.line[r->ref->line].loop;
    if (from == UR_NONE || from == r->loop || ur__is_rolled(&form->program, r->loop) || r->at_end)
        return true;
    uint8_t earliest = form->stage[from] == UR__FORWARD ? UR__BETWEEN
                       : form->stage[from] == UR__BACK  ? UR__LAST
                                                        : form->stage[from];
    form->stage[r->loop] = form->stage[r->loop] < earliest ? earliest : form->stage[r->loop];
    return true;
}

/* Does the loop find what it reads, when the stages run in their order? What waits for the end of each segment comes before
 * the straight code that is done when all is through. */
static bool is_in_order(ur__form *form, const reading *r)
{
    const ur__line *line = &form->program.line[r->ref->line];
    if (line->loop == UR_NONE || line->loop == r->loop)
        return true;
    if (r->at_end)
        return form->stage[line->loop] != UR__LAST || !ur__is_rolled(&form->program, r->loop);
    return form->stage[line->loop] <= form->stage[r->loop];
}

/* ---- the lines */

/* How many steps later than its reader a value is, in a phase's first or last iteration. */
static int64_t later_by(const ur__form *form, const reading *r, int64_t iteration)
{
    const ur__line *line = &form->program.line[r->ref->line];
    int64_t value = r->ref->first + r->ref->stride * iteration;
    return ur__tau(form, line->loop, line->begin + value) - ur__tau(form, r->loop, r->phase->begin + iteration);
}

/* Straight code finds the last values between the sweeps, and the first ones when all is through. A last segment may be
 * shorter than what is read: the rest goes into it from the one before. */
static bool is_near_end(ur__form *form, const reading *r)
{
    const ur__line *line = &form->program.line[r->ref->line];
    int64_t tau = ur__tau(form, line->loop, line->begin + (int64_t)r->ref->first);
    int64_t far = form->stage[r->loop] == UR__BETWEEN ? (int64_t)form->sweep - 1 - tau : tau;
    if (r->ref->count > 1 || r->at_end || far > FARTHEST || form->stage[r->loop] < UR__BETWEEN)
        return false;
    form->halo = form->halo < (size_t)far ? (size_t)far : form->halo;
    form->line[r->ref->line].restored |= far > 0 && form->stage[line->loop] == UR__FORWARD;
    return true;
}

/* How much later than its reader a value is, in the phase's first and last iteration. */
static void span_of(const ur__form *form, const reading *r, int64_t *low, int64_t *high)
{
    int64_t a = later_by(form, r, 0), b = later_by(form, r, r->phase->end - r->phase->begin - (int64_t)1);
    *low = a < b ? a : b;
    *high = a < b ? b : a;
}

/* Does a rolled loop read one value of another one, or of its own, in each iteration? */
static bool is_between_loops(const ur__form *form, const reading *r)
{
    return !r->written && r->ref->count <= 1 && ur__is_rolled(&form->program, r->loop) &&
           ur__is_rolled(&form->program, form->program.line[r->ref->line].loop);
}

/* A loop forward may read nothing of later steps, and what loops back make is not there for earlier ones. Lines that are
 * read far away are saved whole; what is read of the step before goes from one segment into the next. */
static bool look_at(ur__form *form, const reading *r)
{
    const ur__line *from = &form->program.line[r->ref->line];
    ur__line_plan *line = &form->line[r->ref->line];
    if (!ur__is_rolled(&form->program, from->loop) || r->written)
        return true;
    if (!is_between_loops(form, r)) {
        line->windowed = line->windowed && is_near_end(form, r);
        return true;
    }
    bool back = form->stage[from->loop] == UR__BACK, reader_back = form->stage[r->loop] == UR__BACK || r->at_end;
    int64_t low, high;
    span_of(form, r, &low, &high);
    if (back ? low < 0 : !reader_back && high > 0)
        return false;
    if (back ? high > FARTHEST : high > 0 || low < -FARTHEST) {
        line->windowed = false;
        return true;
    }
    int64_t far = back ? high : -low;
    form->halo = form->halo < (size_t)far ? (size_t)far : form->halo;
    line->restored |= !back && far > 0;
    return true;
}

/* Is a value that lies under another one read when a loop back may already have written that? By another loop back, of a
 * later step, for they take turns segment by segment; or by straight code that waits for all of them. */
static bool is_late(const ur__form *form, const reading *r)
{
    int64_t low, high;
    if (is_between_loops(form, r)) {
        span_of(form, r, &low, &high);
        return high > 0;
    }
    return !ur__is_rolled(&form->program, r->loop) && form->stage[r->loop] == UR__LAST;
}

/* Nothing lies over what is read so late. */
static bool uncover(ur__form *form, const reading *r)
{
    const ur__program *p = &form->program;
    const uint32_t line = r->ref->line, loop = p->line[line].loop;
    if (!ur__is_rolled(p, loop) || form->stage[loop] != UR__FORWARD || !is_late(form, r))
        return true;
    for (uint32_t l = 0; l < p->lines; l++)
        if (form->line[l].over.line == line && p->line[l].loop != r->loop) {
            form->line[l].over.line = UR_NONE;
            form->line[line].covered = false;
        }
    return true;
}

/* What is read after the blocks, when the batch is one block, is saved whole. */
static void find_windows(ur__form *form)
{
    const ur__program *p = &form->program;
    for (uint32_t l = 0; l < p->lines; l++) {
        ur__line_plan *line = &form->line[l];
        line->windowed = ur__is_saved(form, l) && !line->overwritten && ur__is_rolled(&form->program, p->line[l].loop);
        line->restored = line->overwritten && form->stage[p->line[l].loop] == UR__FORWARD;
    }
    for (uint32_t f = 0; f < p->phases; f++) {
        const ur__span *after = &form->span[UR__AFTER * p->phases + f];
        for (uint32_t i = after->first; i < after->first + after->count; i++)
            for (uint32_t k = 0; k < form->launch[i].operands; k++)
                form->line[form->argument[form->launch[i].operand + k].ref.line].windowed = false;
    }
}

/* Lines that lie over each other are windows together. */
static void match_windows(ur__form *form)
{
    const ur__program *p = &form->program;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t l = 0; l < p->lines; l++) {
            ur__line_plan *line = &form->line[l];
            ur__line_plan *under = line->over.line != UR_NONE ? &form->line[line->over.line] : line;
            changed |= line->windowed != under->windowed;
            line->windowed = under->windowed = line->windowed && under->windowed;
        }
    }
    for (uint32_t l = 0; l < p->lines; l++)
        form->line[l].restored = form->line[l].restored && (form->line[l].windowed || form->line[l].overwritten);
}

bool ur__segments(ur__form *form)
{
    const ur__program *p = &form->program;
    form->stage = (uint8_t *)ur__take(form->tape, p->loops);
    if (!form->stage)
        return false;
    for (size_t l = 0; l < p->loops; l++)
        form->stage[l] = UR__FIRST;
    form->segments = 1;
    form->halo = 0;
    if (!find_sweeps(form)) {
        form->sweep = 0;
        return true;
    }
    each_reading(form, place_straight);
    find_windows(form);
    if (each_reading(form, is_in_order) && each_reading(form, look_at))
        each_reading(form, uncover);
    else
        form->sweep = 0;
    match_windows(form);
    return true;
}
