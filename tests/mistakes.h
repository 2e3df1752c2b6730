/* mistakes.h - wrong programs: each ends in one line that names the thing, what was found and what was expected.
 *
 * The lines stand in a golden file of each test, `name: line`, and were reviewed. UPDATE_GOLDEN=1 writes the file
 * anew, after which it wants another review. Includes Check. */
#ifndef UR_TESTS_MISTAKES_H
#define UR_TESTS_MISTAKES_H

#include <stdlib.h>
#include <string.h>

#include "../optim/optim.h"
#include "support.h"

enum { LINE = 700, INPUTS = 3 };

/* ---- what the programs share */

/* Memory in which 1 GiB is too much, on any machine. */
static inline void *resize(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    (void)user, (void)old_bytes;
    if (new_bytes > (size_t)1 << 30)
        return NULL;
    if (new_bytes > 0)
        return realloc(block, new_bytes);
    free(block);
    return NULL;
}

static inline ur_tape *new_small_tape(void)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64, .allocator = {.resize = resize}});
    ck_assert_ptr_nonnull(tape);
    return tape;
}

static inline ur_var matrix(ur_tape *tape, const char *name)
{
    return ur_input(tape, name, UR_SHAPE(3, 4));
}

static inline ur_var number(ur_tape *tape, const char *name)
{
    return ur_input(tape, name, UR_SCALAR);
}

static inline ur_plan *plan_of(ur_var root)
{
    return ur_plan_new(root.tape, &(ur_plan_options){.roots = 1, .root = &root});
}

static inline ur_net_options small(void)
{
    return (ur_net_options){
        .cell = ur_cell_find("rnn"), .inputs = 2, .hidden = 3, .outputs = 1, .out = UR_SIGMOID, .loss = UR_BCE};
}

/* ---- their lines */

/* Runs wrong program i on the tape and returns its name. */
typedef const char *wrong_program(int i, ur_tape *tape);

typedef struct program {
    const char *name;
    void (*run)(ur_tape *tape);
} program;

#define PROGRAM(f) #f, f

/* Writes program i's line, `name: what the tape says`. */
static inline void line_of(wrong_program *run, int i, char line[LINE])
{
    ur_tape *tape = new_small_tape();
    const char *name = run(i, tape), *error = ur_tape_error(tape);
    ck_assert_msg(error != NULL, "%s: there is no error", name);
    snprintf(line, LINE, "%s: %s", name, error);
    ck_assert_msg(!strchr(error, '\n') && strlen(error) < UR_ERROR_BYTES - 1, "%s: more than a line", name);
    ck_assert_uint_eq(ur_tanh(number(tape, "late")).index, UR_NONE); /* and so is everything after it */
    ck_assert_ptr_null(ur_plan_new(tape, NULL));

    ur_tape_clear(tape); /* a new beginning */
    double value = 0.5;
    ur_var x = number(tape, "x"), y = ur_square(x);
    ur_plan *plan = plan_of(y);
    ck_assert(ur_write(x, 1, &value) && ur_plan_run(plan) && ur_read(plan, y, 1, &value));
    ck_assert_double_eq(value, 0.25);
    ur_plan_free(plan);
    ur_tape_free(tape);
}

/* Line i of a golden file of so many. */
static inline void golden_line(const char *golden, int i, int lines, char line[LINE])
{
    FILE *file = fopen(golden, "r");
    ck_assert_msg(file != NULL, "%s cannot be read", golden);
    for (int k = 0; k <= i; k++)
        ck_assert_msg(fgets(line, LINE, file) != NULL, "%s has %d lines, more were expected", golden, k);
    char more[LINE];
    ck_assert_msg(i + 1 < lines || !fgets(more, LINE, file), "%s has more than %d lines", golden, lines);
    fclose(file);
    line[strcspn(line, "\n")] = 0;
}

static inline void assert_golden(const char *golden, wrong_program *run, int i, int programs)
{
    char found[LINE], expected[LINE];
    line_of(run, i, found);
    golden_line(golden, i, programs, expected);
    ck_assert_str_eq(found, expected);
}

static inline void update_golden(const char *golden, wrong_program *run, int programs)
{
    char line[LINE];
    FILE *file = fopen(golden, "w");
    ck_assert_msg(file != NULL, "%s cannot be written", golden);
    for (int i = 0; i < programs; i++) {
        line_of(run, i, line);
        fprintf(file, "%s\n", line);
        fflush(file);
    }
    ck_assert_int_eq(fclose(file), 0);
}

#endif
