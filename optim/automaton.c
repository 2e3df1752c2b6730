/* automaton.c - strings that a finite automaton draws or accepts.
 *
 * The input at each position is the symbol as a one-hot vector, the target the set of the symbols that may come next:
 * 1 for each edge that leaves the state reached, all 0 after the last symbol. */
#include <string.h>

#include "../graph/support.h"
#include "task.h"

/* A string of 1 in MOST_ATTEMPTS, whole rows of random numbers, would take about 0.1 seconds to find. */
enum { MOST_ATTEMPTS = 10000000, CHOICES = 32, LEAP = 8, LEAPS = 1 << LEAP };

/* Where LEAP choices lead from a state, or fewer to the end: one look-up in place of LEAP steps or more. */
typedef struct leap {
    uint16_t symbols;
    uint8_t state;
    bool end;
} leap;

typedef struct drawing {
    const ur_task *task;
    const ur_task_options *options;
    ur_error *error;
    leap (*leap)[LEAPS]; /* [states], by the bits of the choices */
    uint32_t *attempt;   /* of each sequence, the one that counts */
    int64_t *length;
} drawing;

/* ---- drawing: a choice is one bit of a random number, a function of seed, task, sequence, attempt and place */

static uint64_t stream_of(const drawing *d, int64_t sequence)
{
    char stream[96];
    snprintf(stream, sizeof stream, "%s/%lld", d->task->name, (long long)sequence);
    return ur__hash(stream, UR__HASH_START);
}

/* The random number that decides CHOICES choices of an attempt, from `choices` on. */
static uint64_t counter_of(uint32_t attempt, uint32_t choices)
{
    return (uint64_t)attempt << 32 | choices / CHOICES;
}

typedef struct walk {
    const drawing *drawing;
    uint64_t stream;
    uint32_t attempt, choices, bits;
    int state;
} walk;

static int choose(walk *w)
{
    if (w->choices % CHOICES == 0)
        w->bits = ur__random_bits(w->drawing->options->seed, w->stream, counter_of(w->attempt, w->choices));
    return (int)(w->bits >> w->choices++ % CHOICES & 1);
}

/* Takes one edge and returns its symbol. */
static char advance(walk *w)
{
    const ur_automaton_state *s = &w->drawing->task->automaton->state[w->state];
    int k = s->edge[1].symbol ? choose(w) : 0;
    w->state = s->edge[k].next;
    return s->edge[k].symbol;
}

/* ---- one sequence: drawn again until its length is allowed */

/* A state with one edge takes no choice: it is left also after the last one. */
static leap find_leap(const ur_automaton *a, int state, uint32_t bits)
{
    leap l = {.state = (uint8_t)state};
    for (int choices = 0;; l.symbols++) {
        const ur_automaton_state *s = &a->state[l.state];
        bool choice = s->edge[1].symbol;
        l.end = !s->edge[0].symbol;
        if (l.end || (choice && choices == LEAP))
            return l;
        l.state = (uint8_t)s->edge[choice ? bits >> choices++ & 1 : 0].next;
    }
}

static void find_leaps(const ur_automaton *a, leap (*leaps)[LEAPS])
{
    for (int s = 0; s < a->states; s++)
        for (uint32_t bits = 0; bits < LEAPS; bits++)
            leaps[s][bits] = find_leap(a, s, bits);
}

/* The length of an attempt whose first random number is `bits`; 0 when it is too short or too long. Two leaps at once,
 * for a string that has ended stays: one leap leaves a sixth of Reber's unended, and the processor to guess which. */
static int64_t try_length(const drawing *d, uint64_t stream, uint32_t attempt, uint32_t bits)
{
    int64_t most = d->options->max_length ? d->options->max_length : INT64_MAX, length = 0;
    leap l = {0};
    for (uint32_t choices = 0; !l.end && length <= most; choices += 2 * LEAP) {
        if (choices && choices % CHOICES == 0)
            bits = ur__random_bits(d->options->seed, stream, counter_of(attempt, choices));
        for (int k = 0; k < 2; k++, bits /= LEAPS) {
            l = d->leap[l.state][bits % LEAPS];
            length += l.symbols;
        }
    }
    return length >= d->options->min_length && length <= most ? length : 0;
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
    uint64_t stream = stream_of(d, k);
    uint32_t bits[UR__RANDOM_ROW];
    for (uint32_t attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
        if (attempt % UR__RANDOM_ROW == 0)
            ur__random_row(d->options->seed, stream, counter_of(attempt, 0), bits);
        d->length[k] = try_length(d, stream, attempt, bits[attempt % UR__RANDOM_ROW]);
        d->attempt[k] = attempt;
        if (d->length[k])
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
    walk w = {.drawing = d, .stream = stream_of(d, k), .attempt = d->attempt[k]};
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
    find_leaps(d->task->automaton, d->leap);
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
    drawing d = {.task = task, .options = options, .error = error};
    size_t leap_bytes = (size_t)task->automaton->states * sizeof *d.leap;
    size_t attempt_bytes = ur__times((size_t)options->count, sizeof *d.attempt);
    size_t length_bytes = ur__times((size_t)options->count, sizeof *d.length);
    d.leap = (leap(*)[LEAPS])ur__new(&a, leap_bytes);
    d.attempt = (uint32_t *)ur__new(&a, attempt_bytes);
    d.length = (int64_t *)ur__new(&a, length_bytes);
    ur_data *data = NULL;
    if (d.leap && d.attempt && d.length)
        data = draw_all(&d, allocator);
    else
        ur__fail(error, "no memory for %lld sequences", (long long)options->count);
    ur__free(&a, d.leap, leap_bytes);
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
    if (!task || !task->automaton || !symbols)
        return ur__fail(error, "a string and a task with an automaton were expected");
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
