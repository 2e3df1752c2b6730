/* support.h - what the tests share: tapes, errors of arrays against others, the run of a suite. Includes Check. */
#ifndef UR_TESTS_SUPPORT_H
#define UR_TESTS_SUPPORT_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/graph.h"

static inline ur_tape *new_tape(ur_dtype dtype)
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = dtype});
    ck_assert_ptr_nonnull(tape);
    return tape;
}

static inline void assert_good(const ur_tape *tape, const char *what)
{
    const char *error = ur_tape_error(tape);
    ck_assert_msg(!error, "%s: %s", what, error ? error : "");
}

/* The tape's error has this text somewhere in it. */
static inline void assert_refused(const ur_tape *tape, const char *words)
{
    const char *error = ur_tape_error(tape);
    ck_assert_msg(error != NULL, "'%s' was expected, there is no error", words);
    ck_assert_msg(strstr(error, words) != NULL, "'%s' was expected in '%s'", words, error);
}

/* max |x_i|; infinite where there is a NaN. */
static inline double largest(size_t n, const double *x)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs(x[i]) <= most ? most : fabs(x[i]);
    return isnan(most) ? INFINITY : most;
}

/* max |a_i - b_i|; infinite where there is a NaN. */
static inline double distance(size_t n, const double *a, const double *b)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(a[i] - b[i]);
        most = d <= most ? most : isnan(d) ? INFINITY : d;
    }
    return most;
}

/* The exit status of a program whose tests these are. */
static inline int run_cases(Suite *suite, TCase *cases)
{
    tcase_set_timeout(cases, 300);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
