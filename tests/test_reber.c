/* test_reber.c - the tasks drawn by an automaton, against the lecture's sequences and against exact distributions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../optim/optim.h"
#include "heap.h"
#include "support.h"

enum { SYMBOLS = 7 };

static const ur_task *task(const char *name)
{
    const ur_task *found = ur_task_find(name);
    ck_assert_ptr_nonnull(found);
    return found;
}

static ur_data *draw(const char *name, ur_task_options options)
{
    ur_error error = {{0}};
    ur_data *data = ur_task_data(name, &options, NULL, &error);
    ck_assert_msg(data != NULL, "%s", error.text);
    return data;
}

/* ---- the lecture's sequences */

static void check_path(const char *name, const char *symbols, const int *expected, const char *const *next)
{
    int states[32];
    double targets[32 * SYMBOLS];
    ur_error error = {{0}};
    size_t length = strlen(symbols);
    ck_assert_msg(ur_task_path(task(name), symbols, states, targets, &error), "%s", error.text);
    for (size_t t = 0; t <= length; t++)
        ck_assert_int_eq(states[t], expected[t]);
    for (size_t t = 0; next && t < length; t++)
        for (int i = 0; i < SYMBOLS; i++)
            ck_assert_double_eq(targets[t * SYMBOLS + (size_t)i], strchr(next[t], "BEPSTVX"[i]) ? 1 : 0);
}

START_TEST(lecture_paths)
{
    check_path("reber", "BTSSXXTVVE", (const int[]){0, 1, 2, 2, 2, 4, 3, 3, 5, 6, 7}, NULL);
    check_path("reber", "BPTVVE", (const int[]){0, 1, 3, 3, 5, 6, 7},
               (const char *const[]){"PT", "TV", "TV", "PV", "E", ""});
}
END_TEST

/* The columns of the lecture's table, read downwards in the order B E P S T V X. */
START_TEST(lecture_table)
{
    static const double y[6][SYMBOLS] = {
        {0, 0, 1, 0, 1, 0, 0}, {0, 0, 0, 0, 1, 1, 0}, {0, 0, 0, 0, 1, 1, 0},
        {0, 0, 1, 0, 0, 1, 0}, {0, 1, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0},
    };
    double targets[6][SYMBOLS];
    ck_assert(ur_task_path(task("reber"), "BPTVVE", NULL, &targets[0][0], NULL));
    for (int t = 0; t < 6; t++)
        for (int i = 0; i < SYMBOLS; i++)
            ck_assert_double_eq(targets[t][i], y[t][i]);
}
END_TEST

/* s0 s1 are 0 1, t0..t7 2..9, p0..p7 10..17, e0 e1 18 19. */
START_TEST(embedded_path)
{
    check_path("ereber", "BTBTSSXXTVVETE", (const int[]){0, 1, 2, 3, 4, 4, 4, 6, 5, 5, 7, 8, 9, 18, 19},
               (const char *const[]){"PT", "B", "PT", "SX", "SX", "SX", "SX", "TV", "TV", "PV", "E", "T", "E", ""});
    check_path("ereber", "BPBPVVEPE", (const int[]){0, 1, 10, 11, 13, 15, 16, 17, 18, 19},
               (const char *const[]){"PT", "B", "PT", "TV", "PV", "E", "P", "E", ""});
}
END_TEST

static void check_refused(const char *name, const char *symbols, const char *reason)
{
    ur_error error = {{0}};
    ck_assert(!ur_task_path(task(name), symbols, NULL, NULL, &error));
    ck_assert_str_eq(error.text, reason);
}

START_TEST(invalid_strings)
{
    check_refused("reber", "BPTXSE", "BPTXSE: found X at position 4 in state 3, expected T or V");
    check_refused("reber", "BPTVV", "BPTVV: ends at position 5 in state 6, expected E");
    check_refused("reber", "BPVVEB", "BPVVEB: found B at position 6 in state 7, expected the end");
    check_refused("reber", "", ": ends at position 0 in state 0, expected B");
    check_refused("reber", "bPVVE", "bPVVE: found b at position 1 in state 0, expected B");
    check_refused("ereber", "BTBPVVEPE", "BTBPVVEPE: found P at position 8 in state t7, expected T");
}
END_TEST

/* ---- the data */

START_TEST(data_is_one_hot_and_zero_past_the_end)
{
    static const char *const names[] = {"reber", "ereber"};
    for (int i = 0; i < 2; i++) {
        ur_data *data = draw(names[i], (ur_task_options){.count = 50, .seed = 3});
        int64_t longest = 0;
        for (int64_t k = 0; k < data->n; k++) {
            char symbols[512];
            double targets[512 * SYMBOLS];
            size_t length = ur_task_symbols(task(names[i]), data, k, symbols, sizeof symbols);
            ck_assert_uint_eq(length, strlen(symbols));
            ck_assert_int_eq((int64_t)length, data->lengths[k]);
            ck_assert_int_ge(data->lengths[k], task(names[i])->min_length);
            ck_assert(ur_task_path(task(names[i]), symbols, NULL, targets, NULL));
            for (int64_t j = 0; j < data->steps * SYMBOLS; j++) {
                int64_t at = k * data->steps * SYMBOLS + j, t = j / SYMBOLS;
                bool alive = t < data->lengths[k];
                ck_assert_double_eq(data->x[at], alive && symbols[t] == "BEPSTVX"[j % SYMBOLS] ? 1 : 0);
                ck_assert_double_eq(data->y[at], alive ? targets[j] : 0);
            }
            if (data->lengths[k] > longest)
                longest = data->lengths[k];
        }
        ck_assert_int_eq(data->steps, longest);
        ck_assert(data->inputs == 7 && data->outputs == 7 && !data->y_last && !data->y_classes && !data->weight);
        ur_data_free(data);
    }
}
END_TEST

/* Sequences count in the data's order; data of other inputs have no symbols, not even those past the alphabet. */
START_TEST(symbols_of_a_view)
{
    char first[512], last[512], text[512] = "?";
    ur_data *data = draw("reber", (ur_task_options){.count = 3, .seed = 4}), view = *data;
    ur_task_symbols(task("reber"), data, 0, first, sizeof first);
    ur_task_symbols(task("reber"), data, 2, last, sizeof last);
    ck_assert_str_ne(first, last);
    view.order = (const int64_t[]){2, 0};
    view.n = 2;
    view.rows = 3;
    ck_assert_uint_eq(ur_task_symbols(task("reber"), &view, 0, text, sizeof text), strlen(last));
    ck_assert_str_eq(text, last);
    ck_assert_uint_eq(ur_task_symbols(task("reber"), &view, 1, text, sizeof text), strlen(first));
    ck_assert_str_eq(text, first);
    ur_data_free(data);
    data = ur_data_new(1, 3, 20, 1, 0, NULL, NULL);
    ck_assert_ptr_nonnull(data);
    data->x[19] = 1;
    ck_assert_uint_eq(ur_task_symbols(task("reber"), data, 0, text, sizeof text), 0);
    ck_assert_str_eq(text, "");
    ur_data_free(data);
}
END_TEST

START_TEST(second_symbol_comes_back)
{
    ur_data *data = draw("ereber", (ur_task_options){.count = 300, .min_length = 1, .seed = 2});
    int copies = 0;
    for (int64_t k = 0; k < data->n; k++) {
        char symbols[512];
        size_t length = ur_task_symbols(task("ereber"), data, k, symbols, sizeof symbols);
        ck_assert_int_eq(symbols[1], symbols[length - 2]);
        copies += symbols[1] == 'T';
    }
    ck_assert_double_le(fabs(copies - 150.0), 4 * sqrt(300 * 0.25));
    ur_data_free(data);
}
END_TEST

/* Compares sequence k of both as text: their T may differ. */
static bool same_sequence(const char *name, const ur_data *a, const ur_data *b, int64_t k)
{
    char left[512], right[512];
    ur_task_symbols(task(name), a, k, left, sizeof left);
    ur_task_symbols(task(name), b, k, right, sizeof right);
    return strcmp(left, right) == 0;
}

START_TEST(drawing_repeats)
{
    static const char *const names[] = {"reber", "ereber"};
    for (int i = 0; i < 2; i++) {
        ur_data *all = draw(names[i], (ur_task_options){.seed = 1, .min_length = 20});
        ur_data *few = draw(names[i], (ur_task_options){.seed = 1, .min_length = 20, .count = 10});
        ur_data *other = draw(names[i], (ur_task_options){.seed = 2, .min_length = 20, .count = 10});
        int same = 0;
        ck_assert_int_eq(all->n, 400);
        for (int64_t k = 0; k < 10; k++) {
            ck_assert(same_sequence(names[i], all, few, k));
            same += same_sequence(names[i], all, other, k);
        }
        ck_assert_int_le(same, 1);
        ur_data_free(all);
        ur_data_free(few);
        ur_data_free(other);
    }
}
END_TEST

/* The drawing edge by edge: choice c of an attempt is bit c % 32 of the random number attempt * 2^32 + c / 32. */
static size_t attempt_of(const ur_task *t, uint64_t seed, int64_t k, uint64_t attempt, char *symbols)
{
    char stream[64];
    snprintf(stream, sizeof stream, "%s/%lld", t->name, (long long)k);
    uint64_t bits = 0, choices = 0;
    size_t length = 0;
    for (const ur_automaton_state *s = t->automaton->state; s->edge[0].symbol;) {
        int edge = 0;
        if (s->edge[1].symbol) {
            if (choices % 32 == 0)
                bits = (uint64_t)(ur_random(seed, stream, attempt << 32 | choices / 32) * 0x1p32);
            edge = (int)(bits >> choices++ % 32 & 1);
        }
        symbols[length++] = s->edge[edge].symbol;
        s = &t->automaton->state[s->edge[edge].next];
    }
    symbols[length] = 0;
    return length;
}

START_TEST(strings_are_the_first_attempts_of_their_length)
{
    static const ur_task_options options[] = {
        {.count = 9, .seed = 1},
        {.count = 500, .min_length = 1, .seed = 12345678901},
        {.count = 60, .min_length = 20, .max_length = 22, .seed = 2},
        {.count = 60, .min_length = 9, .max_length = 9},
        {.count = 2, .min_length = 44, .seed = 3},
    };
    for (size_t i = 0; i < 2 * sizeof options / sizeof *options; i++) {
        const ur_task *t = task(i % 2 ? "ereber" : "reber");
        ur_task_options o = options[i / 2];
        ur_data *data = draw(t->name, o);
        size_t least = (size_t)(o.min_length ? o.min_length : t->min_length), most = (size_t)o.max_length;
        for (int64_t k = 0; k < data->n; k++) {
            char expected[512], symbols[512];
            uint64_t attempt = 0;
            size_t length = attempt_of(t, o.seed, k, 0, expected);
            while (length < least || (most && length > most))
                length = attempt_of(t, o.seed, k, ++attempt, expected);
            ur_task_symbols(t, data, k, symbols, sizeof symbols);
            ck_assert_str_eq(symbols, expected);
        }
        ur_data_free(data);
    }
}
END_TEST

START_TEST(defaults)
{
    ur_error error = {{0}};
    ur_data *plain = ur_task_data("reber", NULL, NULL, &error);
    ur_data *said = draw("reber", (ur_task_options){.count = 400, .min_length = 30});
    ck_assert(plain && plain->n == 400 && plain->steps == said->steps);
    ck_assert_mem_eq(plain->x, said->x, (size_t)(said->n * said->steps * said->inputs) * sizeof(double));
    ck_assert_int_eq(task("ereber")->min_length, 40);
    ck_assert_str_eq(task("ereber")->out, "sigmoid");
    ck_assert_str_eq(task("ereber")->loss, "bce");
    for (size_t k = 0; ur_task_at(k); k++)
        ck_assert_ptr_eq(ur_task_find(ur_task_at(k)->name), ur_task_at(k));
    ur_data_free(plain);
    ur_data_free(said);
}
END_TEST

START_TEST(length_limits)
{
    ur_data *data = draw("reber", (ur_task_options){.count = 200, .min_length = 6, .max_length = 7});
    bool six = false, seven = false;
    for (int64_t k = 0; k < data->n; k++) {
        ck_assert(data->lengths[k] == 6 || data->lengths[k] == 7);
        six |= data->lengths[k] == 6;
        seven |= data->lengths[k] == 7;
    }
    ck_assert(six && seven);
    ur_data_free(data);
    data = draw("ereber", (ur_task_options){.count = 5, .min_length = 1, .max_length = 9});
    ck_assert_int_eq(data->steps, 9);
    ur_data_free(data);
}
END_TEST

static void check_impossible(const char *name, ur_task_options options, const char *reason)
{
    ur_error error = {{0}};
    ck_assert_ptr_null(ur_task_data(name, &options, NULL, &error));
    ck_assert_str_eq(error.text, reason);
}

START_TEST(impossible_requests)
{
    check_impossible("reber", (ur_task_options){.min_length = 9, .max_length = 8},
                     "task reber: min_length is 9, expected at most max_length, 8");
    check_impossible("reber", (ur_task_options){.min_length = 1, .max_length = 4},
                     "task reber: max_length is 4, expected at least 5, the length of the shortest string");
    check_impossible("ereber", (ur_task_options){.min_length = 1, .max_length = 8},
                     "task ereber: max_length is 8, expected at least 9, the length of the shortest string");
    check_impossible("reber", (ur_task_options){.min_length = 100000},
                     "task reber: no string of 100000 or more symbols in 10000000 draws, a smaller minimum length was "
                     "expected");
    check_impossible("reber", (ur_task_options){.min_length = 100000, .max_length = 100001},
                     "task reber: no string of 100000 to 100001 symbols in 10000000 draws, a smaller minimum length "
                     "was expected");
    check_impossible("reber", (ur_task_options){.count = -1},
                     "task reber: count -1, min_length 30, max_length 0, expected no negative number");
    check_impossible("rebber", (ur_task_options){.count = 1},
                     "there is no task \"rebber\", expected one of ereber, reber");
}
END_TEST

/* ---- statistics against exact values */

/* The automaton once more, as the probability of each state after each length: an edge is taken with 1/2, or 1 where it
 * is alone. */
static void length_distribution(double *p, int most)
{
    static const int next[8][2] = {{1, -1}, {2, 3}, {2, 4}, {3, 5}, {3, 6}, {4, 6}, {7, -1}, {-1, -1}};
    double now[8] = {1};
    for (int length = 1; length <= most; length++) {
        double after[8] = {0};
        for (int s = 0; s < 7; s++)
            for (int k = 0; k < 2; k++)
                if (next[s][k] >= 0)
                    after[next[s][k]] += now[s] * (next[s][1] >= 0 ? 0.5 : 1);
        p[length] = after[7];
        memcpy(now, after, sizeof now);
    }
}

typedef struct moments {
    double mass, mean, variance; /* of the lengths from `least` on */
} moments;

enum { MOST = 400 };

static moments exact_moments(int least)
{
    double p[MOST + 1] = {0};
    moments m = {0, 0, 0};
    length_distribution(p, MOST);
    for (int n = least; n <= MOST; n++) {
        m.mass += p[n];
        m.mean += n * p[n];
        m.variance += n * n * p[n];
    }
    m.mean /= m.mass;
    m.variance = m.variance / m.mass - m.mean * m.mean;
    return m;
}

START_TEST(exact_values_are_the_published_ones)
{
    ck_assert_double_eq_tol(exact_moments(1).mass, 1, 1e-12);
    ck_assert_double_eq_tol(exact_moments(30).mass, 5.0e-4, 0.05e-4);
    ck_assert_double_eq_tol(exact_moments(30).mean, 32.74, 0.005);
}
END_TEST

/* The mean of count lengths lies within four standard errors of the exact one: a chance of 6e-5 to fail, for one seed
 * once and for all. */
static void check_mean_length(const char *name, int64_t count, int least, int around)
{
    moments exact = exact_moments(least - around);
    ur_data *data = draw(name, (ur_task_options){.count = count, .min_length = least, .seed = 11});
    double sum = 0;
    for (int64_t k = 0; k < count; k++)
        sum += (double)data->lengths[k];
    double error = sqrt(exact.variance / (double)count);
    ck_assert_double_eq_tol(sum / (double)count, exact.mean + around, 4 * error);
    ur_data_free(data);
}

START_TEST(mean_lengths)
{
    check_mean_length("reber", 2000, 5, 0);
    check_mean_length("reber", 1000, 30, 0);
    check_mean_length("ereber", 2000, 9, 4);
    check_mean_length("ereber", 400, 34, 4);
}
END_TEST

/* How often a string is drawn at all: the share of lengths from 10 on. */
START_TEST(tail_of_the_lengths)
{
    enum { COUNT = 2000 };
    double p = exact_moments(10).mass;
    ur_data *data = draw("reber", (ur_task_options){.count = COUNT, .min_length = 1, .seed = 12});
    int longer = 0;
    for (int64_t k = 0; k < COUNT; k++)
        longer += data->lengths[k] >= 10;
    ck_assert_double_eq_tol(longer, COUNT * p, 4 * sqrt(COUNT * p * (1 - p)));
    ur_data_free(data);
}
END_TEST

/* Where two edges leave, each is taken half of the time, and independently of the choice before. */
START_TEST(choices_are_fair)
{
    ur_data *data = draw("reber", (ur_task_options){.count = 2000, .min_length = 1, .seed = 13});
    double first[8] = {0}, both[8] = {0}, repeats = 0, pairs = 0;
    for (int64_t k = 0; k < data->n; k++) {
        char symbols[512];
        int states[512], before = -1;
        ur_task_symbols(task("reber"), data, k, symbols, sizeof symbols);
        ck_assert(ur_task_path(task("reber"), symbols, states, NULL, NULL));
        for (int64_t t = 1; t < data->lengths[k] - 1; t++) {
            int choice = symbols[t] == task("reber")->automaton->state[states[t]].edge[0].symbol;
            first[states[t]] += choice;
            both[states[t]] += 1;
            repeats += before == choice;
            pairs += before >= 0;
            before = choice;
        }
    }
    for (int s = 1; s <= 5; s++)
        ck_assert_double_eq_tol(first[s], both[s] / 2, 4 * sqrt(both[s] / 4));
    ck_assert_double_eq_tol(repeats, pairs / 2, 4 * sqrt(pairs / 4));
    ur_data_free(data);
}
END_TEST

/* ---- memory */

START_TEST(no_memory)
{
    ur_data *data = NULL;
    int allowed = 0;
    for (; !data; allowed++) {
        budget b = {.left = allowed};
        ur_allocator allocator = {.resize = limited, .user = &b};
        ur_task_options options = {.count = 20, .min_length = 10};
        ur_error error = {{0}};
        data = ur_task_data("reber", &options, &allocator, &error);
        ck_assert(data || strstr(error.text, "no memory"));
        if (data)
            ur_data_free(data);
        ck_assert_int_eq(b.bytes, 0);
    }
    ck_assert_int_gt(allowed, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reber");
    TCase *cases = tcase_create("reber");
    tcase_add_test(cases, lecture_paths);
    tcase_add_test(cases, lecture_table);
    tcase_add_test(cases, embedded_path);
    tcase_add_test(cases, invalid_strings);
    tcase_add_test(cases, data_is_one_hot_and_zero_past_the_end);
    tcase_add_test(cases, symbols_of_a_view);
    tcase_add_test(cases, second_symbol_comes_back);
    tcase_add_test(cases, drawing_repeats);
    tcase_add_test(cases, strings_are_the_first_attempts_of_their_length);
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, length_limits);
    tcase_add_test(cases, impossible_requests);
    tcase_add_test(cases, exact_values_are_the_published_ones);
    tcase_add_test(cases, mean_lengths);
    tcase_add_test(cases, tail_of_the_lengths);
    tcase_add_test(cases, choices_are_fair);
    tcase_add_test(cases, no_memory);
    return run_cases(suite, cases);
}
