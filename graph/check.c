/* check.c - the gradient check: the tape's derivative against differences of the function, element by element.
 *
 * For one element x and a step h the central difference and its extrapolation (Richardson 1911) are
 *
 *     D(h) = (y(x+h) - y(x-h)) / 2h = y' + O(h^2),     n = (4 D(h/2) - D(h)) / 3 = y' + O(h^4).
 *
 * The error of n is estimated from the element itself: rounding, some eps |y| / h or what the smallest steps show of it,
 * plus the change when h is halved. h is halved a dozen times, and the n with the least error is taken. Nothing constant is
 * added, so a small wrong gradient is found as surely as a large one; where differences cannot tell, the verdict is
 * UR_UNSTABLE. A derivative that is as small as the rounding of the largest one is 0, a sum that cancels. */
#include <float.h>
#include <math.h>

#include "internal.h"

enum { HALVINGS = 12 };

static const double first_step = 0.0625, small_enough = 1e-3;

typedef struct probe {
    ur_plan *plan;
    ur_var y;
    double *x;      /* the leaf's memory */
    double largest; /* of all finite derivatives from the tape */
} probe;

typedef struct difference {
    double value, error;
    double bend; /* by how much the differences to the two sides differ; of the result: where that does not vanish */
} difference;

static bool evaluate(const probe *p, size_t i, double x, double *y)
{
    double kept = p->x[i];
    p->x[i] = x;
    bool good = ur_plan_run(p->plan) && ur_read(p->plan, p->y, 1, y);
    p->x[i] = kept;
    return good;
}

/* Either value of y is rounded where its last terms are added up as well as at the end, and n takes 3/2 of D's error. */
enum { ROUNDINGS = 4 };

/* D(h), and the rounding error that it can have. `here` is y(x). */
static bool central(const probe *p, size_t i, double h, double here, difference *d)
{
    double x = p->x[i], up = x + h, down = x - h, above, below;
    if (!evaluate(p, i, up, &above) || !evaluate(p, i, down, &below))
        return false;
    d->value = (above - below) / (up - down);
    d->error = ROUNDINGS * DBL_EPSILON * fmax(fabs(above), fabs(below)) / h;
    d->bend = fabs((above - here) / (up - x) - (here - below) / (x - down));
    return true;
}

static double step_of(const probe *p, size_t i, int k)
{
    return ldexp(first_step * fmax(1, fabs(p->x[i])), -k);
}

/* The rounding error of y as it shows: at the smallest steps n changes by nothing else. It can be much more than
 * eps |y|, where large terms of y cancel. Of five such changes the last but one: chance made the least, and the curve
 * of y or a kink may have made others. By chance that one is small too: hence the safety. */
static double noise_of(const probe *p, size_t i, const double n[HALVINGS])
{
    enum { CHANGES = 5, SAFETY = 16 };
    double least = INFINITY, second = INFINITY;
    for (int k = HALVINGS - CHANGES; k < HALVINGS; k++) {
        double change = step_of(p, i, k) * fabs(n[k] - n[k - 1]);
        second = change < least ? least : fmin(second, change);
        least = fmin(least, change);
    }
    return SAFETY * second;
}

/* The extrapolated difference with the least error over the halvings of h. */
static bool differentiate(const probe *p, size_t i, difference *best)
{
    difference d[HALVINGS];
    double here, n[HALVINGS];
    *best = (difference){.error = INFINITY};
    if (!evaluate(p, i, p->x[i], &here))
        return false;
    for (int k = 0; k < HALVINGS; k++) {
        if (!central(p, i, step_of(p, i, k), here, &d[k]))
            return false;
        n[k] = k ? (4 * d[k].value - d[k - 1].value) / 3 : d[k].value;
    }
    double noise = noise_of(p, i, n), bend = 0;
    for (int k = 1; k < HALVINGS; k++) {
        double rounding = fmax(d[k].error, noise / step_of(p, i, k));
        bool bent = d[k].bend > 0.75 * d[k - 1].bend && d[k].bend > 8 * rounding; /* it should have halved */
        bend = bent ? d[k].bend : 0;
        double error = rounding + fabs(n[k] - n[k - 1]) + bend;
        if (isfinite(n[k]) && error < best->error)
            *best = (difference){.value = n[k], .error = error, .bend = bend};
    }
    if (bend > best->bend) { /* a kink within the smallest step, whatever the larger ones looked like */
        best->bend = bend;
        best->error += bend;
    }
    return true;
}

static ur_verdict judge(const probe *p, double analytic, difference n, double tolerance)
{
    enum { ROUNDED = 8 };
    double size = fmax(fabs(analytic), fabs(n.value)), deviation = fabs(analytic - n.value);
    const bool cancels = analytic != 0 && fabs(analytic) <= ROUNDED * DBL_EPSILON * p->largest;
    if (!isfinite(analytic))
        return UR_WRONG;
    if (!(deviation <= tolerance * size + n.error))
        return UR_WRONG;
    if (cancels && n.bend == 0 && n.error <= small_enough * p->largest)
        return UR_HOLDS;
    if (n.error > small_enough * size && (deviation > 0 || n.bend > 0 || !isfinite(n.error)))
        return UR_UNSTABLE;
    return UR_HOLDS;
}

static void record(const probe *p, ur_check_result *r, size_t i, double analytic, difference n, double tolerance,
                   double *worst)
{
    ur_verdict verdict = judge(p, analytic, n, tolerance);
    double deviation = fabs(analytic - n.value);
    double allowed = tolerance * fmax(fabs(analytic), fabs(n.value)) + n.error;
    double rank = deviation == 0 ? 0 : isfinite(deviation) ? deviation / allowed : INFINITY;
    r->unstable += verdict == UR_UNSTABLE;
    r->wrong += verdict == UR_WRONG;
    if (verdict > r->verdict)
        r->verdict = verdict;
    if (!(deviation <= r->deviation))
        r->deviation = deviation;
    if (i == 0 || rank > *worst) {
        *worst = rank;
        r->worst = i;
        r->analytic = analytic;
        r->numeric = n.value;
        r->estimate = n.error;
    }
}

static bool check_leaf(probe *p, ur_var leaf, const double *gradient, double tolerance, ur_check_result *r)
{
    ur_tape *tape = leaf.tape;
    double worst = 0, largest = 0;
    *r = (ur_check_result){.elements = ur_shape_count(ur__shape(tape, leaf.index))};
    p->x = (double *)ur__leaf_for(leaf, "ur_check");
    if (!p->x)
        return false;
    for (size_t i = 0; i < r->elements; i++) {
        difference n;
        if (!differentiate(p, i, &n))
            return false;
        record(p, r, i, gradient[i], n, tolerance, &worst);
        largest = fmax(largest, fabs(gradient[i]));
    }
    r->deviation = largest > 0 ? r->deviation / largest : r->deviation;
    return true;
}

/* The gradients at the point itself, one after another. */
static double *gradients(ur_tape *tape, size_t n, const ur_var *gradient, size_t *count)
{
    ur_plan *plan = ur_plan_new(tape, &(ur_plan_options){.roots = n, .root = gradient});
    double *copy = NULL;
    if (plan && ur_plan_run(plan)) {
        const double *values = (const double *)ur_plan_roots(plan, count);
        copy = (double *)ur__take(tape, *count * sizeof *copy);
        for (size_t i = 0; copy && i < *count; i++)
            copy[i] = values[i];
    }
    ur_plan_free(plan);
    return copy;
}

static bool usable(ur_var y, size_t n, const ur_var *wrt, const ur_var *gradient, double tolerance,
                   const ur_check_result *results)
{
    ur_tape *tape = y.tape;
    char text[UR__OPERAND], other[UR__OPERAND];
    if (!ur__valid(tape, y, "ur_check"))
        return false;
    if (!(tolerance >= 0))
        return ur__fail(&tape->error, "ur_check: a tolerance from 0 was expected, not %g", tolerance);
    if (tape->dtype != UR_F64)
        return ur__fail(&tape->error, "ur_check: a tape of f64 was expected, this one is f32");
    if (ur_shape_count(ur__shape(tape, y.index)) != 1)
        return ur__fail(&tape->error, "ur_check: a scalar was expected, not %s", ur__operand(tape, y.index, text));
    if (tape->states)
        return ur__fail(&tape->error, "ur_check: a tape with ur_state changes with every run");
    if (n && (!wrt || !gradient || !results))
        return ur__fail(&tape->error, "ur_check: leaves, their gradients and room for results were expected");
    for (size_t i = 0; i < n; i++) {
        if (!ur__valid(tape, wrt[i], "ur_check") || !ur__valid(tape, gradient[i], "ur_check"))
            return false;
        if (!ur_shape_equal(ur__shape(tape, wrt[i].index), ur__shape(tape, gradient[i].index)))
            return ur__fail(&tape->error, "ur_check: %s cannot be the gradient of %s",
                            ur__operand(tape, gradient[i].index, text), ur__operand(tape, wrt[i].index, other));
    }
    return true;
}

bool ur_check(ur_var y, size_t n, const ur_var *wrt, const ur_var *gradient, double tolerance, ur_check_result *results)
{
    ur_tape *tape = y.tape;
    if (!usable(y, n, wrt, gradient, tolerance, results))
        return false;
    size_t count = 0, first = 0;
    double *analytic = n ? gradients(tape, n, gradient, &count) : NULL;
    probe p = {.y = y, .plan = ur_plan_new(tape, &(ur_plan_options){.roots = 1, .root = &y})};
    bool good = p.plan && (analytic || !n);
    for (size_t i = 0; i < count && analytic; i++)
        p.largest = isfinite(analytic[i]) ? fmax(p.largest, fabs(analytic[i])) : p.largest;
    for (size_t i = 0; i < n && good; i++) {
        good = check_leaf(&p, wrt[i], analytic + first, tolerance, &results[i]);
        first += results[i].elements;
    }
    ur_plan_free(p.plan);
    ur__give(tape, analytic, count * sizeof *analytic);
    return good;
}
