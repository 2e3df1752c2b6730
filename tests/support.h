/* support.h - what the tests share: tapes, and the error of an array against another. Includes Check. */
#ifndef UR_TESTS_SUPPORT_H
#define UR_TESTS_SUPPORT_H

#include <check.h>
#include <math.h>

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

#endif
