/* address.c - where the arguments of launches lie, worked out once: a launch then adds and does not look up. */
#include "plan.h"

/* Inputs stay where they are; parameters may move until the last of them is declared. */
static void address_leaf(const ur__form *form, ur__argument *a, uint32_t n)
{
    const ur__line *line = &form->program.line[a->ref.line];
    if (ur__line_kind(form, a->ref.line)->op != &ur_op_input || a->ref.count > 1)
        return;
    uint32_t first = form->program.leaf[line->first + (uint32_t)a->ref.first];
    a->known = ur__evenly_spaced(form, a->ref, n, &a->step) == n;
    a->leaf = (char *)ur__leaf_data(form->tape, first);
}

/* What a block adds to. */
static void address_part(const ur__form *form, ur__argument *a)
{
    const ptrdiff_t bytes = (ptrdiff_t)ur__part_bytes(form, a->ref.line);
    a->home = UR__IN_SUMS;
    a->known = true;
    a->offset = (ptrdiff_t)form->line[a->ref.line].part + a->ref.first * bytes;
    a->step = a->ref.stride * bytes;
}

/* The argument in n iterations. */
static void address(const ur__form *form, ur__argument *a, uint32_t n)
{
    const ur__line_plan *line = &form->line[a->ref.line];
    if (a->spread == UR__PART) {
        address_part(form, a);
        return;
    }
    a->home = line->home;
    a->row = line->row;
    a->higher = line->higher;
    a->own_rows = line->class == UR__BATCH && line->home == UR__IN_BLOCK;
    a->cut = line->wide && line->home != UR__IN_BLOCK;
    a->known = line->home == UR__IN_BLOCK || line->home == UR__IN_PLAN;
    a->offset = (ptrdiff_t)line->offset + (line->slots > 1 ? a->ref.first * line->slot_bytes : 0);
    if (a->own_rows)
        a->higher += a->skip;
    else
        a->offset += (ptrdiff_t)(a->skip * line->row * ur__element_bytes(form));
    a->step = line->slots > 1 ? a->ref.stride * line->slot_bytes : 0;
    if (line->home == UR__IN_LEAF)
        address_leaf(form, a, n);
}

void ur__address(ur__form *form)
{
    const ur__program *p = &form->program;
    for (size_t f = 0; f < UR__TIMES * p->phases; f++) {
        const ur__phase *phase = &p->phase[f % p->phases];
        for (uint32_t k = 0; k < form->span[f].count; k++) {
            const ur__launch *l = &form->launch[form->span[f].first + k];
            for (uint32_t i = 0; i < l->operands; i++)
                address(form, &form->argument[l->operand + i], phase->end - phase->begin);
        }
    }
    if (form->ends) {
        form->mask_values =
            (ur__argument){.ref = {.line = form->mask, .first = (int32_t)form->mask_first, .stride = 1, .count = 1}};
        address(form, &form->mask_values, (uint32_t)(form->mask_end - form->mask_first));
    }
}
