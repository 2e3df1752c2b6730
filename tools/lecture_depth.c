/* lecture_depth.c - saturation: how much of the gradient arrives at the first of many layers,
 *
 *     net_l = W_l h_{l-1},   h_l = f(net_l)   or, with batch normalisation, f((net_l - mean)/deviation),
 *
 * for the activations of the lecture and the initial variances of W. A random direction at the last layer stands for the
 * loss. */
#include <math.h>
#include <string.h>

#include "lecture.h"

enum { LAYERS = 20, WIDTH = 64, BATCH = 64 };

static ur_var lrelu(ur_var a)
{
    return ur_lrelu(a, 0.01);
}

static ur_var elu(ur_var a)
{
    return ur_elu(a, 1);
}

typedef struct stack {
    const char *name;
    ur_var (*f)(ur_var a);
    const char *found;
    double from, to; /* |delta_1| / |delta_L| is expected there */
    double scale;    /* of the initial weights */
    ur_init init;
    bool normalised;
} stack;

static const stack stacks[] = {
    {"sigmoid, Glorot", ur_sigmoid, "slopes of 1/4 at most: the gradient is lost", 0, 1e-9, 1, UR_GLOROT_NORMAL, false},
    {"sigmoid, Glorot, batch norm", ur_sigmoid, "normalised: it arrives", 1e-3, 1e3, 1, UR_GLOROT_NORMAL, true},
    {"tanh, Glorot", ur_tanh, "it arrives", 1e-2, 10, 1, UR_GLOROT_NORMAL, false},
    {"tanh, Glorot x 8", ur_tanh, "weights too large: it explodes", 10, 1e9, 8, UR_GLOROT_NORMAL, false},
    {"tanh, Glorot x 1/2", ur_tanh, "weights too small: it is lost", 0, 1e-4, 0.5, UR_GLOROT_NORMAL, false},
    {"ReLU, 1/fan_in", ur_relu, "the lecture's variance for ReLU: it is lost", 0, 1e-2, 1, UR_LECUN_NORMAL, false},
    {"ReLU, 2/fan_in", ur_relu, "He's variance: it arrives", 0.05, 20, 1, UR_HE_NORMAL, false},
    {"LReLU, 2/fan_in", lrelu, "it arrives", 0.05, 20, 1, UR_HE_NORMAL, false},
    {"ELU, 2/fan_in", elu, "it arrives", 0.05, 100, 1, UR_HE_NORMAL, false},
    {"SELU, 1/fan_in", ur_selu, "it arrives", 0.05, 20, 1, UR_LECUN_NORMAL, false},
};

enum { STACKS = sizeof stacks / sizeof *stacks };

static ur_var batch_normalised(ur_tape *tape, ur_var net)
{
    ur_var centred = ur_sub(net, ur_mean_over(net, 1));
    ur_var variance = ur_mean_over(ur_square(centred), 1);
    return ur_div(centred, ur_sqrt(ur_add(variance, ur_const(tape, UR_SCALAR, 1e-5))));
}

static void fill(ur_var input, const char *name)
{
    double *v = (double *)ur_leaf(input);
    for (uint64_t i = 0; v && i < (uint64_t)WIDTH * BATCH; i++)
        v[i] = sqrt(-2 * log(ur_random(2, name, 2 * i))) * cos(6.283185307179586 * ur_random(2, name, 2 * i + 1));
}

/* The deltas of all layers are the plan's roots. */
static ur_plan *record(ur_tape *tape, const stack *s)
{
    ur_var net[LAYERS], x = ur_input(tape, "x", UR_SHAPE(WIDTH, BATCH)), h = x;
    ur_var direction = ur_input(tape, "direction", UR_SHAPE(WIDTH, BATCH));
    size_t count;
    for (int l = 0; l < LAYERS; l++) {
        char name[16];
        snprintf(name, sizeof name, "W%d", l + 1);
        net[l] = ur_matmul(ur_param(tape, name, UR_SHAPE(WIDTH, WIDTH)), h);
        h = s->f(s->normalised ? batch_normalised(tape, net[l]) : net[l]);
    }
    if (!ur_grad(ur_sum(ur_mul(direction, h)), LAYERS, net, net) || !ur_params_init(tape, s->init, 2))
        return NULL;
    double *theta = (double *)ur_params(tape, &count);
    for (size_t i = 0; theta && i < count; i++)
        theta[i] *= s->scale;
    fill(x, "x");
    fill(direction, "direction");
    return ur_plan_new(tape, &(ur_plan_options){.roots = LAYERS, .root = net});
}

static bool measure(const stack *s, double norm[LAYERS])
{
    size_t count;
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_plan *plan = record(tape, s);
    bool good = plan && ur_plan_run(plan);
    const double *delta = good ? (const double *)ur_plan_roots(plan, &count) : NULL;
    for (int l = 0; good && l < LAYERS; l++) {
        double sum = 0;
        for (int i = 0; i < WIDTH * BATCH; i++)
            sum += delta[l * WIDTH * BATCH + i] * delta[l * WIDTH * BATCH + i];
        norm[l] = sqrt(sum);
    }
    for (int l = 0; good && l < LAYERS; l++)
        norm[l] /= l + 1 < LAYERS ? norm[LAYERS - 1] : 1;
    if (good)
        norm[LAYERS - 1] = 1;
    else
        lecture_good(tape);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return good;
}

bool lecture_depth(lecture_report *r, const char *folder)
{
    double norm[STACKS][LAYERS], layer[LAYERS];
    curve lines[STACKS];
    for (int k = 0; k < STACKS; k++) {
        const stack *s = &stacks[k];
        if (!measure(s, norm[k]))
            return false;
        lecture_claim(r, norm[k][0] >= s->from && norm[k][0] <= s->to, s->name, "remedies 1 to 3",
                      "saturation makes gradients vanish; initialisation, ReLU's family and batch normalisation help",
                      "%s: |δ_1|/|δ_%d| is %.2g", s->found, LAYERS, norm[k][0]);
        lines[k] = (curve){.label = s->name, .count = LAYERS, .x = layer, .y = norm[k], .dashed = k < 2};
    }
    for (int l = 0; l < LAYERS; l++)
        layer[l] = l + 1;
    curves_panel panel = {.label = "|delta_l| / |delta_L|", .logarithmic = true, .count = STACKS, .curve = lines};
    return !folder || lecture_draw(folder, "gradients-over-depth.svg", "how much of the gradient arrives at each layer",
                                   "layer l", &panel);
}
