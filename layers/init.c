/* init.c - initial values of parameters. */
#include <math.h>
#include <string.h>

#include "../graph/support.h"
#include "layers.h"

const char *const ur_init_names[] = {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform",
                                     "lecun_normal",   "orthogonal",    "zeros",      "glorot",    NULL};

/* Box and Muller (1958). */
static double normal(uint64_t seed, const char *stream, uint64_t i)
{
    static const double two_pi = 6.283185307179586;
    double radius = sqrt(-2 * log(ur_random(seed, stream, 2 * i)));
    return radius * cos(two_pi * ur_random(seed, stream, 2 * i + 1));
}

/* Where numbers go: `count` of them in the tape's type, a row of matrices [rows, columns]; vectors have no rows. */
typedef struct target {
    ur_dtype dtype;
    void *data;
    uint64_t seed;
    const char *stream;
    size_t count, rows, columns;
} target;

static void put(const target *t, size_t i, double value)
{
    ur__put(t->dtype, t->data, i, value);
}

/* ---- independent elements of variance 1/fan */

static void draw_uniform(const target *t, double fan)
{
    for (size_t i = 0; i < t->count; i++)
        put(t, i, sqrt(3 / fan) * (2 * ur_random(t->seed, t->stream, i) - 1));
}

static void draw_normal(const target *t, double fan)
{
    for (size_t i = 0; i < t->count; i++)
        put(t, i, normal(t->seed, t->stream, i) / sqrt(fan));
}

static void fill(const target *t, double value)
{
    for (size_t i = 0; i < t->count; i++)
        put(t, i, value);
}

/* ---- orthogonal: Q of the decomposition Q R of a normal matrix, with a positive diagonal of R, so that every Q is
 * equally likely (Mezzadri 2007) */

/* n vectors of `length` elements: columns or rows of a matrix. */
typedef struct vectors {
    double *a;
    size_t n, length, next_vector, next_element;
} vectors;

static double *at(const vectors *v, size_t k, size_t i)
{
    return &v->a[k * v->next_vector + i * v->next_element];
}

static double dot(const vectors *v, size_t j, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < v->length; i++)
        sum += *at(v, j, i) * *at(v, k, i);
    return sum;
}

/* Takes the directions of the vectors before it out of vector k. */
static void project(const vectors *v, size_t k)
{
    for (size_t j = 0; j < k; j++) {
        double along = dot(v, j, k);
        for (size_t i = 0; i < v->length; i++)
            *at(v, k, i) -= along * *at(v, j, i);
    }
}

/* Gram and Schmidt, modified; twice is enough for orthogonality to rounding (Giraud et al. 2005). */
static void orthonormalise(const vectors *v)
{
    for (size_t k = 0; k < v->n; k++) {
        project(v, k);
        project(v, k);
        double length = sqrt(dot(v, k, k));
        for (size_t i = 0; i < v->length; i++)
            *at(v, k, i) /= length;
    }
}

static bool draw_orthogonal(ur_tape *tape, const target *t)
{
    size_t size = t->rows * t->columns;
    double *a = (double *)ur__take(tape, size * sizeof *a);
    vectors tall = {a, t->columns, t->rows, 1, t->columns}, wide = {a, t->rows, t->columns, t->columns, 1};
    for (size_t first = 0; a && first < t->count; first += size) {
        for (size_t i = 0; i < size; i++)
            a[i] = normal(t->seed, t->stream, first + i);
        orthonormalise(t->rows >= t->columns ? &tall : &wide);
        for (size_t i = 0; i < size; i++)
            put(t, first + i, a[i]);
    }
    ur__give(tape, a, size * sizeof *a);
    return a != NULL;
}

/* ---- parameters */

static bool draw(ur_tape *tape, const target *t, ur_init rule)
{
    double in = (double)t->rows, average = 0.5 * (double)(t->rows + t->columns);
    switch (rule) {
    case UR_GLOROT_UNIFORM:
    case UR_GLOROT:
        draw_uniform(t, average);
        break;
    case UR_GLOROT_NORMAL:
        draw_normal(t, average);
        break;
    case UR_HE_UNIFORM:
        draw_uniform(t, in / 2);
        break;
    case UR_HE_NORMAL:
        draw_normal(t, in / 2);
        break;
    case UR_LECUN_UNIFORM:
        draw_uniform(t, in);
        break;
    case UR_LECUN_NORMAL:
        draw_normal(t, in);
        break;
    case UR_ORTHOGONAL:
        return draw_orthogonal(tape, t);
    case UR_ZEROS:
        fill(t, 0);
        break;
    }
    return true;
}

/* The name without its modules: `bphi` of `layer1.back.bphi`. */
static const char *last_part(const char *name)
{
    const char *point = strrchr(name, '.');
    return point ? point + 1 : name;
}

/* The memory and sizes of a parameter. */
static bool find_target(ur_var param, target *t)
{
    ur_node node;
    void *data = ur_leaf(param);
    if (!data || !ur_look(param, &node))
        return false;
    int rank = node.shape.rank;
    *t = (target){.dtype = ur_tape_dtype(param.tape), .data = data, .count = ur_shape_count(node.shape)};
    if (rank >= 2) {
        t->rows = (size_t)node.shape.size[rank - 2];
        t->columns = (size_t)node.shape.size[rank - 1];
    }
    return true;
}

enum { STREAM = 256 };

bool ur_param_init(ur_tape *tape, size_t k, ur_init rule, uint64_t seed)
{
    ur_var param;
    const char *name;
    target t;
    if (!ur_param_at(tape, k, &param, &name, NULL) || !find_target(param, &t))
        return false;
    char stream[STREAM];
    snprintf(stream, sizeof stream, "initial %s", name);
    t.seed = seed;
    t.stream = stream;
    if ((unsigned)rule > UR_GLOROT) {
        ur_tape_fail(tape, "ur_param_init: the rule is %u, one of the choices 0 to %u was expected", (unsigned)rule,
                     (unsigned)UR_GLOROT);
        return false;
    }
    if (t.rows)
        return draw(tape, &t, rule);
    fill(&t, strcmp(last_part(name), "gamma") == 0);
    return true;
}

bool ur_params_init(ur_tape *tape, ur_init rule, uint64_t seed)
{
    for (size_t k = 0; ur_param_at(tape, k, NULL, NULL, NULL); k++)
        if (!ur_param_init(tape, k, rule, seed))
            return false;
    return true;
}

bool ur_params_fill(ur_tape *tape, const char *name, double value)
{
    ur_var param;
    const char *found;
    size_t filled = 0;
    if (!name)
        ur_tape_fail(tape, "ur_params_fill: the name of a parameter was expected, there is none");
    for (size_t k = 0; name && ur_param_at(tape, k, &param, &found, NULL); k++) {
        target t;
        if (strcmp(found, name) != 0 && strcmp(last_part(found), name) != 0)
            continue;
        if (!find_target(param, &t))
            return false;
        fill(&t, value);
        filled++;
    }
    if (!filled && name)
        ur_tape_fail(tape, "%s: no parameter has this name", name);
    return filled > 0;
}
