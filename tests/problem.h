/* problem.h - one operation on given inputs, looked at from all sides: its value and both derivatives, as a tape has
 * them.
 *
 *     values       against the closed forms, in f64 and f32, by the plan and by the reference
 *     derivatives  against central differences made here (not by ur_check)
 *
 * Includes Check. */
#ifndef UR_TESTS_PROBLEM_H
#define UR_TESTS_PROBLEM_H

#include <float.h>
#include <stdlib.h>

#include "../graph/internal.h"
#include "closed_forms.h"
#include "support.h"

enum { STRUCTURAL = 5, RESULTS = 1 + 2 * INPUTS };

/* ---- the operations and their samples */

extern const ur_op ur_op_reshape;

/* `state` is on no path to a result, leaves compute nothing. */
static const ur_op *const structural[STRUCTURAL] = {&ur_op_sum_of, &ur_op_reduce_to, &ur_op_broadcast, &ur_op_select,
                                                    &ur_op_detach};

static inline const ur_op *op_at(int i)
{
    return i < STRUCTURAL ? structural[i] : ur_op_at((size_t)i - STRUCTURAL);
}

static inline int op_count(void)
{
    int n = 0;
    while (op_at(n))
        n++;
    return n;
}

/* What is recorded: an operation on inputs of these shapes, all of them one value when `same`. */
typedef struct problem {
    const ur_op *op;
    int inputs;
    bool same;
    ur_shape shape[INPUTS];
    double attr[UR_ATTRS], low, high;
} problem;

/* An entry with nothing in it is not used: the sample of scalars states its interval. */
static inline bool is_used(const ur_sample *s)
{
    bool used = s->low != 0 || s->high != 0;
    for (int k = 0; k < INPUTS; k++)
        used = used || s->in[k].rank > 0;
    for (size_t i = 0; i < sizeof s->attr / sizeof *s->attr; i++)
        used = used || s->attr[i] != 0;
    return used;
}

/* Sample i; false when it is not used. */
static inline bool problem_of(const ur_op *op, int i, problem *p)
{
    const ur_sample *s = &op->samples[i];
    *p = (problem){.op = op, .inputs = op->inputs, .low = s->low, .high = s->high};
    if (p->low == 0 && p->high == 0) {
        p->low = -2;
        p->high = 2;
    }
    if (op->inputs == UR_ANY_INPUTS)
        for (p->inputs = 0; p->inputs < INPUTS && s->in[p->inputs].rank > 0; p->inputs++)
            ;
    ck_assert_msg(p->inputs <= INPUTS, "%s has more inputs than a sample holds", op->name);
    memcpy(p->shape, s->in, sizeof p->shape);
    memcpy(p->attr, s->attr, sizeof s->attr);
    return is_used(s);
}

static inline int leaves_of(const problem *p)
{
    return p->same ? 1 : p->inputs;
}

/* "mul [3,4] [1,4], gradient 1": for messages */
enum { LABEL = 512 };
static inline const char *label(const problem *p, const char *what, int k, char text[LABEL])
{
    char shape[UR_SHAPE_TEXT];
    int at = snprintf(text, LABEL, "%s", p->op->name);
    for (int i = 0; i < p->inputs; i++)
        at += snprintf(text + at, LABEL - (size_t)at, " %s", ur_shape_text(p->shape[i], shape));
    snprintf(text + at, LABEL - (size_t)at, "%s, %s %d", p->same ? " of one value" : "", what, k);
    return text;
}

/* Element q of input k: the value drawn, unless the input is a switch or holds indices. */
static inline double as_input(const problem *p, int k, size_t q, double value)
{
    const struct form *form = form_of(p->op);
    if (form->indices >> k & 1u)
        return (double)((3 * q + 1) % 4);
    return (form->switches >> k & 1u) && q % 2 ? 0 : value;
}

/* The values of all leaves: a lattice over the interval without its points near 0, jittered and shuffled, so that any
 * two are 1e-2 apart and each from 0. All are numbers of f32. */
static inline void draw(const problem *p, array *x)
{
    enum { POINTS = INPUTS * MOST + 4 };
    static const double apart = 1.01e-2;
    double point[POINTS], low = p->low, high = p->high;
    size_t wanted = 0, points = 0, used = 0;
    for (int k = 0; k < leaves_of(p); k++) {
        set_size(&x[k], p->shape[k]);
        wanted += count(x[k].size);
    }
    size_t slots = wanted + (low < 0 && high > 0 ? 4 : 0);
    double gap = (high - low) / (double)slots;
    double jitter = fmin(gap / 4, (gap - apart) / 2);
    ck_assert_msg(jitter >= 0, "%s: too many values for the sample's interval", p->op->name);
    for (size_t i = 0; i < slots && points < POINTS; i++) {
        double v = low + gap * ((double)i + 0.5) + jitter * (2 * ur_random(1, "jitter", i) - 1);
        if (fabs(v) >= apart)
            point[points++] = (double)(float)v;
    }
    ck_assert_uint_ge(points, wanted);
    for (size_t i = points; i-- > 1;) {
        size_t j = (size_t)(ur_random(1, p->op->name, i) * (double)(i + 1));
        double kept = point[i];
        point[i] = point[j];
        point[j] = kept;
    }
    for (int k = 0; k < leaves_of(p); k++)
        for (size_t q = 0; q < count(x[k].size); q++)
            x[k].at[q] = as_input(p, k, q, point[used++]);
}

/* Factors r and s of the functionals: between 1/2 and 3/2 in size, of both signs. */
static inline double factor(const char *stream, size_t i)
{
    double u = ur_random(2, stream, i);
    return (double)(float)(u < 0.5 ? u - 1.5 : u + 0.5);
}

static inline void draw_factors(array *a, const char *stream)
{
    for (size_t q = 0; q < count(a->size); q++)
        a->at[q] = factor(stream, q);
}

/* ---- the tape of a problem: y, dw/dx_k for w = sum(r y), and d/dx_k sum(s dw/dx) */

typedef struct recorded {
    ur_tape *tape;
    int leaves;
    ur_var x[INPUTS], r, s[INPUTS], y, g[INPUTS], phi, h[INPUTS];
} recorded;

static inline const char *leaf_name(int k)
{
    return k == 0 ? "alpha" : k == 1 ? "beta" : "gamma";
}

static inline const char *factor_name(int k)
{
    return k == 0 ? "s0" : k == 1 ? "s1" : "s2";
}

static inline recorded record(const problem *p, ur_dtype dtype)
{
    char text[LABEL];
    recorded t = {.tape = new_tape(dtype), .leaves = leaves_of(p)};
    ur_var in[INPUTS] = {{0}}, slope[INPUTS];
    for (int k = 0; k < t.leaves; k++) {
        t.x[k] = ur_input(t.tape, leaf_name(k), p->shape[k]);
        t.s[k] = ur_input(t.tape, factor_name(k), p->shape[k]);
    }
    for (int k = 0; k < p->inputs; k++)
        in[k] = t.x[p->same ? 0 : k];
    t.y = ur_record(p->op, (size_t)p->inputs, in, p->op->attrs ? p->attr : NULL);
    ur_node node;
    ur_look(t.y, &node);
    assert_good(t.tape, label(p, "recorded", 0, text));
    t.r = ur_input(t.tape, "r", node.shape);
    ur_grad(ur_mul(t.r, t.y), (size_t)t.leaves, t.x, t.g);
    for (int k = 0; k < t.leaves; k++)
        slope[k] = ur_sum(ur_mul(t.s[k], t.g[k]));
    t.phi = ur_total((size_t)t.leaves, slope);
    ur_grad(t.phi, (size_t)t.leaves, t.x, t.h);
    assert_good(t.tape, label(p, "differentiated", 2, text));
    return t;
}

static inline ur_plan *plan_all(const recorded *t, bool reference)
{
    ur_var root[RESULTS] = {t->y};
    for (int k = 0; k < t->leaves; k++) {
        root[1 + k] = t->g[k];
        root[1 + t->leaves + k] = t->h[k];
    }
    ur_plan_options options = {.reference = reference, .roots = 1 + 2 * (size_t)t->leaves, .root = root};
    ur_plan *plan = ur_plan_new(t->tape, &options);
    assert_good(t->tape, "the plan");
    return plan;
}

static inline void write_leaf(ur_var leaf, const array *a)
{
    ck_assert(ur_write(leaf, count(a->size), a->at));
}

typedef struct result {
    array y, g[INPUTS], h[INPUTS];
} result;

static inline void read_value(ur_plan *plan, ur_var v, array *out)
{
    ur_node node;
    ur_look(v, &node);
    set_size(out, node.shape);
    ck_assert(ur_read(plan, v, count(out->size), out->at));
}

static inline result run(const recorded *t, ur_plan *plan)
{
    result r = {.y = {{0}, {0}}};
    ck_assert(ur_plan_run(plan));
    read_value(plan, t->y, &r.y);
    for (int k = 0; k < t->leaves; k++) {
        read_value(plan, t->g[k], &r.g[k]);
        read_value(plan, t->h[k], &r.h[k]);
    }
    return r;
}

/* What is given: the leaves' values and the factors of both functionals. */
typedef struct given {
    array x[INPUTS], r, s[INPUTS];
} given;

static inline void write_given(const recorded *t, const given *v)
{
    write_leaf(t->r, &v->r);
    for (int k = 0; k < t->leaves; k++) {
        write_leaf(t->x[k], &v->x[k]);
        write_leaf(t->s[k], &v->s[k]);
    }
}

/* ---- differences */

typedef struct functional {
    const problem *p;
    const given *v;
    const recorded *t; /* NULL: w, by the closed form; otherwise phi, by the plan */
    ur_plan *plan;
} functional;

static inline void closed_form(const problem *p, const array *x, array *y)
{
    const struct form *form = form_of(p->op);
    const array *in[INPUTS] = {NULL};
    for (int k = 0; k < p->inputs; k++)
        in[k] = &x[p->same ? 0 : k];
    if (form->whole) {
        form->whole(p->inputs, in, p->attr, y);
        return;
    }
    for (int i = 0; i < UR_RANK; i++) {
        y->size[i] = 1;
        for (int k = 0; k < p->inputs; k++)
            y->size[i] = in[k]->size[i] > 1 ? in[k]->size[i] : y->size[i];
    }
    ck_assert_uint_le(count(y->size), MOST);
    for (size_t q = 0; q < count(y->size); q++) {
        double element[INPUTS] = {0};
        for (int k = 0; k < p->inputs; k++)
            element[k] = in[k]->at[under(q, y->size, in[k]->size)];
        y->at[q] = form->element(element, p->attr);
    }
}

static inline double value_at(const functional *f, const array *x)
{
    double sum = 0;
    array y;
    if (f->t) {
        for (int k = 0; k < f->t->leaves; k++)
            write_leaf(f->t->x[k], &x[k]);
        ck_assert(ur_plan_run(f->plan) && ur_read(f->plan, f->t->phi, 1, &sum));
        return sum;
    }
    closed_form(f->p, x, &y);
    for (size_t q = 0; q < count(y.size); q++)
        sum += f->v->r.at[q] * y.at[q];
    return sum;
}

/* Values are 1e-2 from 0, so no step crosses a kink there. */
static const double first_step = 0x1p-8;

/* By element q of leaf k: central differences with three steps, extrapolated to an error of h^6. */
static inline double slope_at(const functional *f, array *x, int k, size_t q)
{
    double kept = x[k].at[q], d[3], h = first_step;
    for (int i = 0; i < 3; i++) {
        double up = kept + h, down = kept - h;
        x[k].at[q] = up;
        double above = value_at(f, x);
        x[k].at[q] = down;
        d[i] = (above - value_at(f, x)) / (up - down);
        h /= 2;
    }
    x[k].at[q] = kept;
    double once = (4 * d[1] - d[0]) / 3, twice = (4 * d[2] - d[1]) / 3;
    return (16 * twice - once) / 15;
}

/* The gradient by leaf k against differences: within the tolerance of its own largest element, and the rounding that
 * the differences of a sum of terms of size `terms` have. */
static inline void check_gradient(const functional *f, array *x, int k, const array *gradient, double tolerance,
                                  double terms, const char *what)
{
    char text[LABEL];
    array numeric = *gradient;
    bool blind = form_of(f->p->op)->blind >> k & 1u;
    for (int i = 0; i < UR_RANK; i++)
        ck_assert_msg(gradient->size[i] == x[k].size[i], "%s: not the shape of its input", label(f->p, what, k, text));
    for (size_t q = 0; q < count(x[k].size); q++)
        numeric.at[q] = blind ? 0 : slope_at(f, x, k, q);
    size_t n = count(x[k].size);
    double error = distance(n, gradient->at, numeric.at), size = largest(n, gradient->at);
    double rounding = blind ? 0 : 64 * DBL_EPSILON * terms / first_step;
    ck_assert_msg(error <= tolerance * size + rounding, "%s: error %g of %g", label(f->p, what, k, text), error, size);
}

/* ---- one problem, looked at from all sides */

static inline void check_close(const problem *p, const array *got, const array *want, double tolerance,
                               const char *what, int k)
{
    char text[LABEL];
    size_t n = count(want->size);
    for (int i = 0; i < UR_RANK; i++)
        ck_assert_msg(got->size[i] == want->size[i], "%s: wrong size", label(p, what, k, text));
    double error = distance(n, got->at, want->at), size = largest(n, want->at);
    /* what is 0 in exact numbers is left over from terms of size 1 */
    ck_assert_msg(error <= tolerance * fmax(size, 0.1), "%s: error %g of %g", label(p, what, k, text), error, size);
}

static inline void check_results(const problem *p, const result *got, const result *want, double tolerance,
                                 const char *what)
{
    check_close(p, &got->y, &want->y, tolerance, what, 0);
    for (int k = 0; k < leaves_of(p); k++) {
        check_close(p, &got->g[k], &want->g[k], 4 * tolerance, what, 1);
        check_close(p, &got->h[k], &want->h[k], 16 * tolerance, what, 2);
    }
}

static inline given draw_given(const problem *p)
{
    given v;
    array y;
    draw(p, v.x);
    closed_form(p, v.x, &y);
    v.r = y;
    draw_factors(&v.r, "r");
    for (int k = 0; k < leaves_of(p); k++) {
        v.s[k] = v.x[k];
        draw_factors(&v.s[k], factor_name(k));
    }
    return v;
}

static const double f64_close = 1e-13, f32_close = 1e-6;

/* The plan and the reference, in both types. Returns what the f64 plan found. */
static inline result check_executions(const problem *p, const given *v)
{
    result first = {.y = {{0}, {0}}};
    array y;
    closed_form(p, v->x, &y);
    for (int variant = 0; variant < 4; variant++) {
        bool f32 = variant & 2, reference = variant & 1;
        double close = f32 ? f32_close : f64_close;
        const char *what = f32         ? reference ? "reference f32, order" : "plan f32, order"
                           : reference ? "reference f64, order"
                                       : "plan f64, order";
        recorded t = record(p, f32 ? UR_F32 : UR_F64);
        ur_plan *plan = plan_all(&t, reference);
        write_given(&t, v);
        result r = run(&t, plan);
        check_close(p, &r.y, &y, close, what, 0);
        if (variant == 0)
            first = r;
        check_results(p, &r, &first, close, what);
        for (int k = 0; k < t.leaves; k++) {
            array x;
            read_value(plan, t.x[k], &x);
            ck_assert_mem_eq(x.at, v->x[k].at, count(x.size) * sizeof *x.at);
        }
        ur_plan_free(plan);
        ur_tape_free(t.tape);
    }
    return first;
}

static inline void check_differences(const problem *p, given *v, const result *found, bool second)
{
    functional w = {.p = p, .v = v};
    int leaves = leaves_of(p);
    double terms = 0;
    for (size_t q = 0; q < count(found->y.size); q++)
        terms += fabs(v->r.at[q] * found->y.at[q]);
    for (int k = 0; k < leaves; k++)
        check_gradient(&w, v->x, k, &found->g[k], 1e-7, terms, "gradient");
    if (!second)
        return;
    recorded t = record(p, UR_F64);
    ur_plan *plan = ur_plan_new(t.tape, &(ur_plan_options){.roots = 1, .root = &t.phi});
    functional phi = {.p = p, .v = v, .t = &t, .plan = plan};
    write_given(&t, v);
    terms = 0;
    for (int k = 0; k < leaves; k++)
        terms += (double)count(v->s[k].size) * (1 + largest(count(found->g[k].size), found->g[k].at));
    for (int k = 0; k < leaves; k++)
        check_gradient(&phi, v->x, k, &found->h[k], 1e-5, terms, "second derivative");
    ur_plan_free(plan);
    ur_tape_free(t.tape);
}

static inline void check_problem(const problem *p, bool second)
{
    given v = draw_given(p);
    result found = check_executions(p, &v);
    check_differences(p, &v, &found, second);
}

#endif
