/* automaton.c - strings that a finite automaton draws or accepts.
 *
 * The input at each position is the symbol as a one-hot vector, the target the set of the symbols that may come next:
 * 1 for each edge that leaves the state reached, all 0 after the last symbol. */
#include <string.h>

#include "../graph/support.h"
#include "task.h"

/* A string of 1 in MOST_ATTEMPTS would take about a second to find. */
enum { MOST_ATTEMPTS = 10000000, CHOICES = 32, STREAM_BYTES = 96 };

/* ---- drawing: a choice is one bit of a random number, a function of seed, task, sequence, attempt and place */

typedef struct walk {
    const ur_automaton *automaton;
    uint64_t seed;
    const char *stream; /* names task and sequence */
    uint32_t attempt, choices;
    uint64_t bits;
    int state;
} walk;

static int choose(walk *w)
{
    if (w->choices % CHOICES == 0) {
        uint64_t counter = (uint64_t)w->attempt << 32 | w->choices / CHOICES;
        w->bits = (uint64_t)(ur_random(w->seed, w->stream, counter) * 0x1p32);
    }
    return (int)(w->bits >> w->choices++ % CHOICES & 1);
}

/* Takes one edge and returns its symbol, 0 at the end. */
static char advance(walk *w)
{
    const ur_automaton_state *s = &w->automaton->state[w->state];
    if (!s->edge[0].symbol)
        return 0;
    int k = s->edge[1].symbol ? choose(w) : 0;
    w->state = s->edge[k].next;
    return s->edge[k].symbol;
}

/* ---- one sequence: drawn again until its length is allowed */

typedef struct drawing {
    const ur_task *task;
    const ur_task_options *options;
    ur_error *error;
    uint32_t *attempt; /* of each sequence, the one that counts */
    int64_t *length;
} drawing;

static walk begin(const drawing *d, int64_t sequence, uint32_t attempt, char stream[STREAM_BYTES])
{
    snprintf(stream, STREAM_BYTES, "%s/%lld", d->task->name, (long long)sequence);
    return (walk){.automaton = d->task->automaton, .seed = d->options->seed, .stream = stream, .attempt = attempt};
}

/* False for a string that is too short or too long. */
static bool try_length(const ur_task_options *o, walk w, int64_t *length)
{
    *length = 0;
    while (advance(&w))
        if (++*length > o->max_length && o->max_length)
            return false;
    return *length >= o->min_length;
}

static bool refuse_lengths(const drawing *d)
{
    char most[32] = "or more";
    if (d->options->max_length)
        snprintf(most, sizeof most, "to %lld", (long long)d->options->max_length);
    return ur__fail(d->error,
                    "task %s: no string of %lld %s symbols in %d draws, a smaller minimum length was expected",
                    d->task->name, (long long)d->options->min_length, most, MOST_ATTEMPTS);
}

static bool draw(const drawing *d, int64_t k)
{
    char stream[STREAM_BYTES];
    walk w = begin(d, k, 0, stream);
    for (; w.attempt < MOST_ATTEMPTS; w.attempt++)
        if (try_length(d->options, w, &d->length[k])) {
            d->attempt[k] = w.attempt;
            return true;
        }
    return refuse_lengths(d);
}

/* ---- the data */

static void set_targets(const ur_task *task, int state, double *target)
{
    const ur_automaton_state *s = &task->automaton->state[state];
    for (int k = 0; k < 2; k++)
        if (s->edge[k].symbol)
            target[strchr(task->alphabet, s->edge[k].symbol) - task->alphabet] = 1;
}

static void write_sequence(const drawing *d, ur_data *data, int64_t k)
{
    char stream[STREAM_BYTES];
    walk w = begin(d, k, d->attempt[k], stream);
    data->lengths[k] = d->length[k];
    for (int64_t t = 0; t < d->length[k]; t++) {
        int64_t position = k * data->steps + t;
        char symbol = advance(&w);
        data->x[position * data->inputs + (strchr(d->task->alphabet, symbol) - d->task->alphabet)] = 1;
        set_targets(d->task, w.state, data->y + position * data->outputs);
    }
}

static ur_data *draw_all(const drawing *d, const ur_allocator *allocator)
{
    int64_t longest = 0;
    for (int64_t k = 0; k < d->options->count; k++) {
        if (!draw(d, k))
            return NULL;
        if (d->length[k] > longest)
            longest = d->length[k];
    }
    ur_data *data = ur_data_new(d->options->count, longest, d->task->inputs, d->task->outputs, UR_DATA_LENGTHS,
                                allocator, d->error);
    for (int64_t k = 0; data && k < data->n; k++)
        write_sequence(d, data, k);
    return data;
}

/* Of all strings: the distance to the end, from the ends backwards. */
static int64_t shortest(const ur_automaton *a)
{
    int distance[UR_AUTOMATON_STATES] = {0};
    for (int s = 0; s < a->states; s++)
        distance[s] = a->state[s].edge[0].symbol ? a->states : 0;
    for (int round = 0; round < a->states; round++)
        for (int s = 0; s < a->states; s++)
            for (int k = 0; k < 2; k++)
                if (a->state[s].edge[k].symbol && distance[a->state[s].edge[k].next] + 1 < distance[s])
                    distance[s] = distance[a->state[s].edge[k].next] + 1;
    return distance[0];
}

ur_data *ur__automaton_data(const ur_task *task, const ur_task_options *options, const ur_allocator *allocator,
                            ur_error *error)
{
    int64_t least = shortest(task->automaton);
    if (options->max_length && options->max_length < least) {
        ur__fail(error, "task %s: max_length is %lld, expected at least %lld, the length of the shortest string",
                 task->name, (long long)options->max_length, (long long)least);
        return NULL;
    }
    ur_allocator a = ur__allocator(allocator);
    size_t attempt_bytes = ur__times((size_t)options->count, sizeof(uint32_t));
    size_t length_bytes = ur__times((size_t)options->count, sizeof(int64_t));
    drawing d = {.task = task, .options = options, .error = error};
    d.attempt = (uint32_t *)ur__new(&a, attempt_bytes);
    d.length = (int64_t *)ur__new(&a, length_bytes);
    ur_data *data = NULL;
    if (d.attempt && d.length)
        data = draw_all(&d, allocator);
    else
        ur__fail(error, "no memory for %lld sequences", (long long)options->count);
    ur__free(&a, d.attempt, attempt_bytes);
    ur__free(&a, d.length, length_bytes);
    return data;
}

/* ---- accepting */

/* "T or V", or "the end". */
static const char *expected(const ur_automaton_state *s, char text[8])
{
    if (!s->edge[0].symbol)
        return "the end";
    snprintf(text, 8, s->edge[1].symbol ? "%c or %c" : "%c", s->edge[0].symbol, s->edge[1].symbol);
    return text;
}

bool ur_task_path(const ur_task *task, const char *symbols, int *states, double *targets, ur_error *error)
{
    const ur_automaton_state *all = task->automaton->state, *s = all;
    char text[8];
    size_t length = strlen(symbols), p = (size_t)task->outputs;
    if (states)
        states[0] = 0;
    for (size_t t = 0; t < length; t++) {
        int k = symbols[t] == s->edge[0].symbol ? 0 : symbols[t] == s->edge[1].symbol ? 1 : -1;
        if (k < 0)
            return ur__fail(error, "%.80s: found %c at position %zu in state %s, expected %s", symbols, symbols[t],
                            t + 1, s->name, expected(s, text));
        s = &all[s->edge[k].next];
        if (states)
            states[t + 1] = (int)(s - all);
        if (!targets)
            continue;
        memset(targets + t * p, 0, p * sizeof *targets);
        set_targets(task, (int)(s - all), targets + t * p);
    }
    return !s->edge[0].symbol || ur__fail(error, "%.80s: ends at position %zu in state %s, expected %s", symbols,
                                          length, s->name, expected(s, text));
}
