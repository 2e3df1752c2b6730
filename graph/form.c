/* form.c - the forms of a plan, two versions of one program: with masks, and for blocks where none is needed. Each goes from
 * lines to launches and to what may lie where. */
#include <string.h>

#include "plan.h"

static bool take_lines(ur__form *form)
{
    const ur__program *p = &form->program;
    form->line = (ur__line_plan *)ur__take(form->tape, p->lines * sizeof *form->line);
    form->span = (ur__span *)ur__take(form->tape, UR__TIMES * p->phases * sizeof *form->span);
    if (!form->line || !form->span)
        return false;
    for (size_t l = 0; l < p->lines; l++)
        form->line[l] = (ur__line_plan){
            .reader = UR_NONE, .above = UR_NONE, .below = UR_NONE, .over = {.line = UR_NONE}, .tile = UR__NOWHERE};
    for (size_t i = 0; i < form->exports; i++) {
        form->line[form->export[i].line].root = true;
        form->line[form->export[i].line].stored = true;
    }
    return true;
}

static bool compile(ur__form *form, const ur__form *masked)
{
    return ur__fold(form) && ur__group(form) && ur__lengths(form, masked) && ur__share(form) && ur__segments(form);
}

/* ---- the form without masks */

/* Lists the masks by which a statement selects in a phase. seen[leaf]: it is listed. */
static bool list_masks_of(ur__form *form, const ur__phase *phase, const ur__statement *s, uint8_t *seen)
{
    const ur__program *p = &form->program;
    const ur__ref r = ur__resolve(form, p->ref[s->ref]);
    for (uint32_t i = 0; i < phase->end - phase->begin; i++) {
        const uint32_t value = (uint32_t)(r.first + r.stride * (int32_t)i);
        const uint32_t leaf = form->tape->node[p->leaf[p->line[r.line].first + value]].in;
        if (seen[leaf])
            continue;
        if (!ur__room(form->tape, &form->masks, &form->mask_room, form->mask_count, sizeof *form->masks))
            return false;
        form->masks[form->mask_count++] = (ur__position){r.line, value};
        seen[leaf] = 1;
    }
    return true;
}

/* Where the masks are not those of sequences that end, all of them are looked at before the form without runs. */
static bool list_masks(ur__form *form)
{
    const ur__program *p = &form->program;
    const size_t bytes = form->tape->leaves;
    uint8_t *seen = (uint8_t *)ur__take(form->tape, bytes);
    bool good = seen != NULL;
    if (good)
        memset(seen, 0, bytes);
    for (size_t f = 0; f < p->phases; f++)
        for (uint32_t i = 0; i < p->phase[f].statements && good; i++) {
            const ur__statement *s = &p->statement[p->phase[f].statement + i];
            good = !s->masked || list_masks_of(form, &p->phase[f], s, seen);
        }
    ur__give(form->tape, seen, bytes);
    return good;
}

/* Of the same program, with refs of its own, for twin.c changes them. */
static bool begin_alive(ur__form *alive, const ur__form *masked)
{
    const ur__program *p = &masked->program;
    *alive = (ur__form){.tape = masked->tape,
                        .kernels = masked->kernels,
                        .assumes_alive = true,
                        .fixed = masked->fixed,
                        .program = *p,
                        .export = masked->export,
                        .exports = masked->exports,
                        .roots = masked->roots,
                        .batch = masked->batch,
                        .one_block = masked->one_block,
                        .odd_phases = masked->odd_phases};
    alive->program.ref = (ur__ref *)ur__take(alive->tape, p->refs * sizeof *p->ref);
    if (!alive->program.ref || !take_lines(alive))
        return false;
    memcpy(alive->program.ref, p->ref, p->refs * sizeof *p->ref);
    for (size_t l = 0; l < p->lines; l++) {
        alive->line[l].class = masked->line[l].class;
        alive->line[l].time = masked->line[l].time;
        alive->line[l].rows = masked->line[l].rows;
    }
    return true;
}

/* What it reads of what is computed outside of the blocks, the form with masks stores. */
static void store_for_alive(ur__form *masked, const ur__form *alive)
{
    for (uint32_t l = 0; l < masked->program.lines; l++) {
        ur__line_plan *line = &masked->line[l];
        if (line->time == UR__WITHIN && line->class != UR__REDUCED && masked->program.line[l].loop != UR_NONE)
            continue;
        line->stored |= alive->line[l].stored;
        line->carried |= alive->line[l].carried;
    }
}

/* ---- both */

bool ur__make_forms(ur_plan *plan)
{
    ur__form *form = &plan->form;
    if (!take_lines(form) || !ur__columns(form) || !compile(form, form))
        return false;
    if (!form->ends && !list_masks(form))
        return false;
    if (!form->ends && !form->mask_count)
        return true;
    plan->alive = (ur__form *)ur__take(form->tape, sizeof *plan->alive);
    if (!plan->alive)
        return false;
    if (!begin_alive(plan->alive, form) || !compile(plan->alive, form))
        return false;
    store_for_alive(form, plan->alive);
    return true;
}

static void free_form(ur__form *form)
{
    ur_tape *tape = form->tape;
    const ur__program *p = &form->program;
    ur__give(tape, form->line, p->lines * sizeof *form->line);
    ur__give(tape, form->span, UR__TIMES * p->phases * sizeof *form->span);
    ur__give(tape, form->launch, form->launch_room * sizeof *form->launch);
    ur__give(tape, form->argument, form->argument_room * sizeof *form->argument);
    ur__give(tape, form->instruction, form->instruction_room * sizeof *form->instruction);
    ur__give(tape, form->term, form->term_room * sizeof *form->term);
    ur__give(tape, form->packing, form->packing_room * sizeof *form->packing);
    ur__give(tape, form->stretch, form->stretch_room * sizeof *form->stretch);
    ur__give(tape, form->attr, form->attr_room * sizeof *form->attr);
    ur__give(tape, form->stage, form->stage ? p->loops : 0);
    ur__give(tape, form->remainder, form->remainder_room * sizeof *form->remainder);
    ur__give(tape, form->rest, p->phases * sizeof *form->rest);
    ur__give(tape, form->masks, form->mask_room * sizeof *form->masks);
}

void ur__free_forms(ur_plan *plan)
{
    ur__form *alive = plan->alive;
    if (alive) {
        free_form(alive);
        ur__give(alive->tape, alive->program.ref, alive->program.refs * sizeof *alive->program.ref);
        ur__give(alive->tape, alive, sizeof *alive);
    }
    free_form(&plan->form);
    ur__program_free(plan->form.tape, &plan->form.program);
}
