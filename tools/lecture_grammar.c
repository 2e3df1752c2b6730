/* lecture_grammar.c - the lecture's strings, state paths, targets and codes of Reber's grammars, and what a predictor
 * without memory can reach at best. */
#include <math.h>
#include <string.h>

#include "lecture.h"

enum { SYMBOLS = 7, LONGEST = 16 };

static const char *const path_place = "automaton of the Reber grammar", *const code_place = "binary coding of symbols";

/* ---- paths */

static lecture_row *add_path(lecture_report *r, const char *string, const char *printed, const int *states)
{
    const ur_task *reber = ur_task_find("reber");
    int path[LONGEST];
    double found[LONGEST], expected[LONGEST];
    size_t length = strlen(string);
    lecture_row *row = lecture_add(r, RIGHT, string, path_place, printed, "the same");
    bool accepted = ur_task_path(reber, string, path, NULL, NULL);
    for (size_t t = 0; accepted && t <= length; t++) {
        found[t] = path[t];
        expected[t] = states[t];
    }
    row->printed_apart = accepted ? lecture_apart(length + 1, expected, found) : INFINITY;
    return row;
}

static void add_paths(lecture_report *r)
{
    static const int first[] = {0, 1, 2, 2, 2, 4, 3, 3, 5, 6, 7}, second[] = {0, 1, 3, 3, 5, 6, 7};
    ur_error error = {{0}};
    add_path(r, "BTSSXXTVVE", "⟨0, 1, 2, 2, 2, 4, 3, 3, 5, 6, 7⟩", first);
    add_path(r, "BPTVVE", "π = ⟨0, 1, 3, 3, 5, 6, 7⟩", second);
    bool refused = !ur_task_path(ur_task_find("reber"), "BPTXSE", NULL, NULL, &error);
    lecture_add(r, RIGHT, "BPTXSE", path_place, "not in the grammar: no edge with X leaves state 3", "%s", error.text)
        ->printed_apart = refused && strstr(error.text, "found X at position 4 in state 3") ? 0 : INFINITY;
    bool taken = ur_task_path(ur_task_find("ereber"), "BTBTSSXXTVVETE", NULL, NULL, &error);
    lecture_add(r, RIGHT, "BTBTSSXXTVVETE", "strings of the embedded grammar", "a string of the embedded grammar",
                "the same")
        ->printed_apart = taken ? 0 : INFINITY;
    lecture_row *row = lecture_add(r, MISPRINT, "S_X = ⟨s_1, ..., s_7⟩", "response to a Reber string",
                                   "a Reber string is ⟨s_1, ..., s_7⟩",
                                   "⟨s_1, ..., s_τ⟩: the length is any from 5; the slide's own "
                                   "example BPTVVE has 6 symbols");
    row->printed_apart = 1.0 / 6;
    row->derived_apart = 0;
}

/* ---- codes */

static const char printed_order[] = "BEPSTVX";

static void add_tables(lecture_report *r)
{
    static const double X[SYMBOLS][6] = {
        {1, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 1}, {0, 1, 0, 0, 0, 0}, {0}, {0, 0, 1, 0, 0, 0}, {0, 0, 0, 1, 1, 0}, {0}};
    static const double Y[SYMBOLS][6] = {
        {0}, {0, 0, 0, 0, 1, 0}, {1, 0, 0, 1, 0, 0}, {0}, {1, 1, 1, 0, 0, 0}, {0, 1, 1, 1, 0, 0}, {0}};
    const char *string = "BPTVVE";
    double targets[6 * SYMBOLS] = {0}, x[SYMBOLS][6] = {{0}}, y[SYMBOLS][6] = {{0}};
    bool good = ur_task_path(ur_task_find("reber"), string, NULL, targets, NULL);
    for (int t = 0; t < 6; t++) {
        x[strchr(ur_task_find("reber")->alphabet, string[t]) - ur_task_find("reber")->alphabet][t] = 1;
        for (int i = 0; i < SYMBOLS; i++)
            y[i][t] = targets[t * SYMBOLS + i];
    }
    lecture_add(r, RIGHT, "table of X for BPTVVE", code_place, "the table of x_1 ... x_6", "the same")->printed_apart =
        lecture_apart(sizeof X / sizeof(double), &X[0][0], &x[0][0]);
    lecture_add(r, RIGHT, "table of Y for BPTVVE", code_place, "P|T, T|V, T|V, P|V, E, $ and the table of y_1 ... y_6",
                "the same; $ is no symbol and coded by zeros")
        ->printed_apart = good ? lecture_apart(sizeof Y / sizeof(double), &Y[0][0], &y[0][0]) : INFINITY;
}

/* What the drawn strings show: the code of each symbol, the longest string, the embedded strings' two ends. */
typedef struct drawn {
    bool coded;
    int64_t longest;
    bool ends;
} drawn;

static bool look_at(const char *task, drawn *seen)
{
    char text[512];
    ur_error error = {{0}};
    ur_data *data = ur_task_data(task, &(ur_task_options){.seed = 1}, NULL, &error);
    if (!data)
        return refuse("%s", error.text);
    *seen = (drawn){.coded = true, .longest = data->steps, .ends = true};
    for (int64_t k = 0; k < data->n; k++) {
        size_t length = ur_task_symbols(ur_task_find(task), data, k, text, sizeof text);
        seen->ends = seen->ends && text[0] == 'B' && text[length - 1] == 'E' && text[1] == text[length - 2];
        for (size_t t = 0; t < length; t++)
            for (int i = 0; i < SYMBOLS; i++)
                seen->coded = seen->coded &&
                              data->x[(k * data->steps + (int64_t)t) * SYMBOLS + i] == (printed_order[i] == text[t]);
    }
    ur_data_free(data);
    return true;
}

static bool add_drawn(lecture_report *r)
{
    drawn plain = {0}, embedded = {0};
    if (!look_at("reber", &plain) || !look_at("ereber", &embedded))
        return false;
    lecture_add(r, RIGHT, "codes of the symbols", code_place, "B (1,0,0,0,0,0,0), E (0,1,0,0,0,0,0), P, S, T, V, X",
                "the same, in 400 strings of each grammar")
        ->printed_apart = plain.coded && embedded.coded ? 0 : INFINITY;
    lecture_claim(r, embedded.ends, "embedded grammar: the ends", "strings of the embedded grammar",
                  "the first symbol is B, the last one E, the second and the second to last are the same",
                  "it is so in 400 strings");
    lecture_claim(r, plain.longest >= 40 && embedded.longest >= 50, "longest of 400 strings",
                  "training on the grammars", "τ = 52 from length 30 on, τ = 64 embedded, from length 40 on",
                  "the longest is the draw's own: here (seed 1) %lld and %lld", (long long)plain.longest,
                  (long long)embedded.longest);
    return true;
}

/* ---- the best predictor without memory
 *
 * Such a predictor sees the symbol s_t alone and names one set of next symbols for it. With
 *     f_t(q) = P(state q after t symbols),   g_t(q) = P(at least `least` symbols in all | state q after t symbols)
 * the expected number of times that symbol a leads to state q, counted in strings that are long enough, is
 *     n(a,q) = sum_t sum_{edges p -a-> q} f_{t-1}(p) g_t(q) / 2 / g_0(0)      (without the half for a single edge).
 * Each state has a target set of its own, up to states with equal edges; for each symbol the set that occurs most is
 * right, all others are errors. Thresholds at 1/2 of the best probabilities give this set, as the sets of one symbol
 * are disjoint. */

enum { HORIZON = 2000, MOST_LEAST = 64 };

static int edges(const ur_automaton *a, int q)
{
    return (a->state[q].edge[0].symbol != 0) + (a->state[q].edge[1].symbol != 0);
}

static bool same_targets(const ur_automaton *a, int p, int q)
{
    char x = a->state[p].edge[0].symbol, y = a->state[p].edge[1].symbol;
    char u = a->state[q].edge[0].symbol, v = a->state[q].edge[1].symbol;
    return (x == u && y == v) || (x == v && y == u);
}

/* count[a][q]: how often symbol number a leads to state q in strings of at least `least` symbols. */
static void count_visits(const ur_automaton *a, int least, double count[SYMBOLS][UR_AUTOMATON_STATES])
{
    double f[UR_AUTOMATON_STATES] = {1}, g[MOST_LEAST + 1][UR_AUTOMATON_STATES];
    for (int t = least; t >= 0; t--)
        for (int q = 0; q < a->states; q++) {
            g[t][q] = t == least;
            for (int k = 0; t < least && k < edges(a, q); k++)
                g[t][q] += g[t + 1][a->state[q].edge[k].next] / edges(a, q);
        }
    for (int t = 1; t <= HORIZON; t++) {
        double next[UR_AUTOMATON_STATES] = {0};
        for (int p = 0; p < a->states; p++)
            for (int k = 0; k < edges(a, p); k++) {
                int q = a->state[p].edge[k].next;
                double share = f[p] / edges(a, p);
                next[q] += share;
                count[strchr(printed_order, a->state[p].edge[k].symbol) - printed_order][q] +=
                    share * g[t < least ? t : least][q] / g[0][0];
            }
        memcpy(f, next, sizeof f);
    }
}

double lecture_memoryless(const ur_automaton *a, int least, double *before_last)
{
    double count[SYMBOLS][UR_AUTOMATON_STATES] = {{0}}, wrong = 0;
    count_visits(a, least, count);
    *before_last = 0;
    for (int s = 0; s < SYMBOLS; s++) {
        double all = 0, most = 0;
        for (int q = 0; q < a->states; q++) {
            double same = 0;
            for (int p = 0; p < a->states; p++)
                same += same_targets(a, p, q) ? count[s][p] : 0;
            all += count[s][q];
            most = fmax(most, same);
            if (edges(a, q) == 1 && a->state[q].edge[0].symbol == 'E' && same < all)
                *before_last += count[s][q];
        }
        wrong += all - most;
    }
    return wrong;
}

static void add_memoryless(lecture_report *r)
{
    double last, wrong = lecture_memoryless(ur_task_find("reber")->automaton, 30, &last), printed = 2.62;
    const char *place = "training on the Reber grammar";
    lecture_row *row =
        lecture_add(r, CLAIM, "MLP: errors per string", place, "2.62 errors per string on training and test data",
                    "%.3f is the exact expectation of the best predictor without memory for strings of 30 symbols or "
                    "more; means of 400 strings scatter around it",
                    wrong);
    row->printed_apart = lecture_apart(1, &printed, &wrong);
    row->refuted = row->printed_apart > 0.02;
    lecture_claim(
        r, fabs(last - 1) < 1e-12, "MLP: no string without an error", place,
        "after any number of epochs the MLP predicts no string right",
        "it cannot: S and V lead to state 6 less often than elsewhere, so the set {E} behind the last but one "
        "symbol is always missed; errors there per string: %.12g",
        last);
}

bool lecture_grammar(lecture_report *r)
{
    add_paths(r);
    add_tables(r);
    if (!add_drawn(r))
        return false;
    add_memoryless(r);
    return true;
}
