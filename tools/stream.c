/* stream.c - `unroll run --input -`: one step a line, the state carried by the tape (ur_state). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "setup.h"
#include "states.h"
#include "stream.h"

/* A network of one step and one sequence that feeds its states back. */
typedef struct streamer {
    ur_tape *tape;
    ur_net *net;
    ur_plan *plan;
    double *x, *o; /* x: the numbers of a line, as many as there is room for */
    size_t numbers, room;
    int64_t inputs, outputs;
    ur_dtype dtype;
} streamer;

/* Reads the numbers of a line. */
static bool read_line(streamer *s, const char *line, long number)
{
    static const char gap[] = " \t,\r\n";
    s->numbers = 0;
    for (const char *p = line + strspn(line, gap); *p; p += strspn(p, gap)) {
        char *end;
        double x = strtod(p, &end);
        if (end == p || (*end && !strchr(gap, *end)))
            return refuse("stdin:%ld:%ld: a number was expected, not '%.*s'", number, (long)(p - line) + 1,
                          (int)strcspn(p, gap), p);
        if (s->numbers == s->room) {
            double *more = (double *)realloc(s->x, (2 * s->room + 16) * sizeof *more);
            if (!more)
                return refuse("stdin:%ld: no memory for its numbers", number);
            s->x = more;
            s->room = 2 * s->room + 16;
        }
        s->x[s->numbers++] = x;
        p = end;
    }
    if (!s->numbers && !s->inputs)
        return refuse("stdin:%ld: numbers were expected, there are none", number);
    return !s->inputs || s->numbers == (size_t)s->inputs ||
           refuse("stdin:%ld: %lld numbers were expected, %zu were found", number, (long long)s->inputs, s->numbers);
}

/* The learned start of a state, h0 of h, which is a parameter of the model and none of the stream's network. */
static ur_var learned_start(const streamer *s, const ur_net_state *state)
{
    char name[80];
    snprintf(name, sizeof name, "%s0", state->name);
    return ur_param(s->tape, name, UR_SHAPE((int64_t)ur_shape_count(state->shape)));
}

/* Reads the parameters; learned starts become the starts that are given. */
static bool read_params(const streamer *s, const options *o, const ur_arrays *weights, bool learned)
{
    const ur_net *net = s->net;
    for (size_t i = 0; learned && i < net->states; i++)
        if (!net->state[i].scale)
            learned_start(s, &net->state[i]);
    if (!setup_params(o, s->net, weights))
        return false;
    for (size_t i = 0; learned && i < net->states; i++)
        if (!net->state[i].scale)
            memcpy(ur_leaf(net->state[i].start), ur_leaf(learned_start(s, &net->state[i])),
                   ur_shape_count(net->state[i].shape) * ur_dtype_bytes(s->dtype));
    return true;
}

/* The number of features is the model's, or that of the first line, which has been read. */
static bool open_streamer(streamer *s, const options *o, const ur_arrays *weights, ur_net_options shape)
{
    shape.inputs = s->inputs = shape.inputs ? shape.inputs : (int64_t)s->numbers;
    if (!setup_size_is(o, "stdin", "d", s->inputs))
        return false;
    bool learned = shape.start == UR_START_LEARNED;
    shape.loss = UR_NO_LOSS;
    shape.start = UR_START_GIVEN;
    s->dtype = o->dtype == UR_F32 ? UR_F32 : UR_F64;
    s->outputs = ur_net_outputs(&shape);
    s->tape = ur_tape_new(&(ur_tape_options){.dtype = s->dtype});
    s->net = ur_net_new(s->tape, &shape, 1, 1);
    if (s->net && !read_params(s, o, weights, learned))
        return false;
    for (size_t i = 0; s->net && i < s->net->states; i++)
        ur_state(s->net->state[i].start, s->net->state[i].final);
    if (s->net && o->state && !states_read(o->state, s->net))
        return false;
    s->o = (double *)calloc((size_t)s->outputs, sizeof *s->o);
    double one = 1;
    bool good = s->net && s->o && ur_write(s->net->alive[0], 1, &one);
    if (good) {
        ur_keep(s->net->o[0]);
        s->plan = ur_plan_new(s->tape, &(ur_plan_options){.fixed = true});
    }
    if (!s->plan)
        complain("%s", ur_tape_error(s->tape) ? ur_tape_error(s->tape) : "no memory for the stream");
    return s->plan != NULL;
}

static void close_streamer(streamer *s)
{
    ur_plan_free(s->plan);
    ur_tape_free(s->tape);
    free(s->x);
    free(s->o);
}

static bool answer(streamer *s)
{
    if (!ur_write(s->net->x[0], (size_t)s->inputs, s->x) || !ur_plan_run(s->plan) ||
        !ur_read(s->plan, s->net->o[0], (size_t)s->outputs, s->o))
        return refuse("%s", ur_tape_error(s->tape));
    for (int64_t i = 0; i < s->outputs; i++)
        printf("%s%.*g", i ? " " : "", s->dtype == UR_F32 ? 9 : 17, printed(s->o[i]));
    printf("\n");
    return fflush(stdout) == 0 || refuse("stdout: %s", strerror(errno));
}

int stream(const options *o, const ur_arrays *weights, const ur_net_options *shape)
{
    if (shape->bidirectional || shape->cell->back)
        return complain("--input: %s reads sequences from their end too, which a stream has not; expected a .npy file",
                        shape->cell->name);
    streamer s = {.inputs = shape->inputs};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool good = true;
    for (long number = 1; good && (length = getline(&line, &room, stdin)) >= 0; number++) {
        if (strlen(line) < (size_t)length)
            good = refuse("stdin:%ld: a line of numbers was expected, it holds a zero byte", number);
        else
            good = read_line(&s, line, number) && (s.net || open_streamer(&s, o, weights, *shape)) && answer(&s);
    }
    if (ferror(stdin))
        good = refuse("stdin: cannot be read: %s", strerror(errno));
    if (good && o->state_out)
        good = s.net ? states_write(o->state_out, s.net, s.plan, true)
                     : refuse("--state-out: the stream has no line, there are no states");
    free(line);
    close_streamer(&s);
    return good ? DONE : BAD_INPUT;
}
