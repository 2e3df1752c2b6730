/* program.c - programs of loops: written statement by statement, taken over, printed. */
#include "program.h"

/* ---- writing */

bool ur__begin_loop(ur_tape *tape, ur__program *p, ur__loop loop)
{
    if (!ur__room(tape, &p->loop, &p->loop_room, p->loops, sizeof loop))
        return false;
    loop.phase = (uint32_t)p->phases;
    loop.phases = 0;
    p->loop[p->loops++] = loop;
    return true;
}

bool ur__begin_phase(ur_tape *tape, ur__program *p, uint32_t begin, uint32_t end)
{
    if (!ur__room(tape, &p->phase, &p->phase_room, p->phases, sizeof *p->phase))
        return false;
    p->phase[p->phases++] = (ur__phase){.begin = begin, .end = end, .statement = (uint32_t)p->statements};
    p->loop[p->loops - 1].phases++;
    return true;
}

bool ur__add_statement(ur_tape *tape, ur__program *p, uint32_t line)
{
    if (!ur__room(tape, &p->statement, &p->statement_room, p->statements, sizeof *p->statement))
        return false;
    p->statement[p->statements++] = (ur__statement){.line = line, .ref = (uint32_t)p->refs};
    p->phase[p->phases - 1].statements++;
    return true;
}

bool ur__add_ref(ur_tape *tape, ur__program *p, ur__ref ref)
{
    if (!ur__room(tape, &p->ref, &p->ref_room, p->refs, sizeof ref))
        return false;
    p->ref[p->refs++] = ref;
    p->statement[p->statements - 1].refs++;
    return true;
}

/* ---- taking over */

void ur__program_replace(ur_tape *tape, ur__program *p, const ur__program *made)
{
    ur__program old = *p;
    old.line = NULL, old.leaf = NULL, old.place = NULL; /* these stay */
    p->loop = made->loop, p->loops = made->loops, p->loop_room = made->loop_room;
    p->phase = made->phase, p->phases = made->phases, p->phase_room = made->phase_room;
    p->statement = made->statement, p->statements = made->statements, p->statement_room = made->statement_room;
    p->ref = made->ref, p->refs = made->refs, p->ref_room = made->ref_room;
    ur__program_free(tape, &old);
}

void ur__program_free(ur_tape *tape, ur__program *program)
{
    ur__give(tape, program->line, program->line_room * sizeof *program->line);
    ur__give(tape, program->loop, program->loop_room * sizeof *program->loop);
    ur__give(tape, program->phase, program->phase_room * sizeof *program->phase);
    ur__give(tape, program->statement, program->statement_room * sizeof *program->statement);
    ur__give(tape, program->ref, program->ref_room * sizeof *program->ref);
    ur__give(tape, program->leaf, program->leaf_room * sizeof *program->leaf);
    ur__give(tape, program->place, program->nodes * sizeof *program->place);
    *program = (ur__program){.lines = 0};
}

/* ---- in words */

static void print_ref(const ur__ref *ref, FILE *out)
{
    fprintf(out, "%u@%d", ref->line, ref->first);
    if (ref->stride)
        fprintf(out, "%+d", ref->stride);
    if (ref->count > 1)
        fprintf(out, "*%u", ref->count);
}

void ur__program_print(const ur_tape *tape, const ur__program *program, FILE *out)
{
    for (size_t l = 0; l < program->loops; l++) {
        const ur__loop *loop = &program->loop[l];
        fprintf(out, "loop %zu: %u iterations, step %d%+d\n", l, loop->iterations, loop->step, loop->direction);
        for (size_t i = loop->phase; i < loop->phase + loop->phases; i++) {
            const ur__phase *phase = &program->phase[i];
            fprintf(out, "  iterations %u to %u\n", phase->begin, phase->end - 1);
            for (size_t k = phase->statement; k < phase->statement + phase->statements; k++) {
                const ur__statement *s = &program->statement[k];
                const ur__line *line = &program->line[s->line];
                fprintf(out, "    %u@%d = %s(", s->line, (int)(phase->begin - line->begin),
                        ur__op(tape, line->node)->name);
                for (uint32_t j = 0; j < s->refs; j++) {
                    fputs(j ? ", " : "", out);
                    print_ref(&program->ref[s->ref + j], out);
                }
                fputs(")\n", out);
            }
        }
    }
}
