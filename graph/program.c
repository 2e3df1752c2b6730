/* program.c - programs of loops: written statement by statement, taken over, read. */
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
    p->phase[p->phases++] =
        (ur__phase){.loop = (uint32_t)p->loops - 1, .begin = begin, .end = end, .statement = (uint32_t)p->statements};
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

bool ur__copy_statement(ur_tape *tape, ur__program *p, const ur__program *from, const ur__statement *s)
{
    bool good = ur__add_statement(tape, p, s->line);
    for (uint32_t k = 0; k < s->refs && good; k++)
        good = ur__add_ref(tape, p, from->ref[s->ref + k]);
    return good;
}

/* ---- taking over */

void ur__index_statements(ur__program *p)
{
    for (size_t i = p->statements; i-- > 0;)
        p->line[p->statement[i].line].statement = (uint32_t)i;
}

void ur__program_replace(ur_tape *tape, ur__program *p, const ur__program *made)
{
    ur__program old = *p;
    old.line = NULL, old.leaf = NULL, old.place = NULL; /* these stay */
    p->loop = made->loop, p->loops = made->loops, p->loop_room = made->loop_room;
    p->phase = made->phase, p->phases = made->phases, p->phase_room = made->phase_room;
    p->statement = made->statement, p->statements = made->statements, p->statement_room = made->statement_room;
    p->ref = made->ref, p->refs = made->refs, p->ref_room = made->ref_room;
    ur__index_statements(p);
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

/* ---- reading */

const ur__statement *ur__statement_of(const ur__program *p, const ur__phase *phase, uint32_t line)
{
    const ur__statement *s = &p->statement[phase->statement], *end = s + phase->statements;
    const ur__statement *first = ur__first_statement(p, line);
    if (first >= s && first < end)
        return first;
    while (s < end && s->line != line)
        s++;
    return s < end ? s : NULL;
}

static const ur__phase *phase_at(const ur__program *p, uint32_t loop, uint32_t iteration)
{
    const ur__phase *phase = &p->phase[p->loop[loop].phase];
    while (phase->end <= iteration)
        phase++;
    return phase;
}

/* Of n values with this stride the first of which is an iteration's: how many are in the iteration's phase? */
static uint32_t count_in_phase(const ur__phase *phase, uint32_t iteration, int32_t stride, uint32_t n)
{
    uint32_t left = stride > 0   ? (phase->end - 1 - iteration) / (uint32_t)stride
                    : stride < 0 ? (iteration - phase->begin) / (uint32_t)-stride
                                 : n - 1;
    return left < n ? left + 1 : n;
}

bool ur__follow(const ur__program *p, ur__ref r, uint32_t n, uint32_t k, ur__ref *out)
{
    const ur__line *line = &p->line[r.line];
    const uint32_t refs = p->statement[line->statement].refs;
    bool paced = n < 2;
    for (uint32_t i = 0, some; i < n; i += some) { /* phase by phase */
        const uint32_t iteration = line->begin + (uint32_t)(r.first + r.stride * (int32_t)i);
        const ur__phase *phase = phase_at(p, line->loop, iteration);
        const ur__statement *s = ur__statement_of(p, phase, r.line);
        if (!s || s->refs != refs || k >= refs || p->ref[s->ref + k].count > 1)
            return false;
        const ur__ref *operand = &p->ref[s->ref + k];
        const int32_t value = operand->first + operand->stride * (int32_t)(iteration - phase->begin);
        const int32_t step = operand->stride * r.stride;
        some = count_in_phase(phase, iteration, r.stride, n - i);
        if (i == 0)
            *out = (ur__ref){.line = operand->line, .first = value, .count = 1};
        if (!paced && i + some > 1) {
            out->stride = i > 0 ? (value - out->first) / (int32_t)i : step;
            paced = true;
        }
        if (operand->line != out->line || value != out->first + out->stride * (int32_t)i ||
            (some > 1 && step != out->stride))
            return false;
    }
    return n > 0;
}
