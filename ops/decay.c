/* decay.c - a matrix [L,L,...] of the influence of step j on step t, which fades by e^(b_t - b_{t-1}) with every step and
 * begins with e^(c_j); b and c are [L,...]:
 *
 *     y_tj = a_tj e^(b_t - b_j + c_j) for j <= t, else 0.
 *
 * With G = g y:  da is the same decay of g,   db_t = sum_j G_tj - sum_j G_jt,   dc_j = sum_t G_tj. */
#include "op.h"

static bool shape(ur_shaping *s)
{
    ur_shape a = s->in[0], b = s->in[1];
    ur_shape row = {.rank = a.rank - 1, .size = {ur__size(a, 0), ur__size(a, 2), ur__size(a, 3)}};
    s->out = a;
    if (a.rank < 3 || a.size[0] != a.size[1])
        return ur_refuse(s, "a square matrix with a batch behind it was expected, of rank 3 or 4");
    if (!ur_shape_equal(b, row) || !ur_shape_equal(s->in[2], row))
        return ur_refuse(s, "exponents for each row of the matrix were expected, with the same batch");
    return true;
}

static void run(const ur_call *c)
{
    size_t steps = (size_t)c->out_shape.size[0], batch = ur_shape_count(c->out_shape) / (steps * steps);
    for (size_t t = 0; t < steps; t++)
        for (size_t j = 0; j < steps; j++)
            for (size_t l = 0; l < batch; l++) {
                size_t at = (t * steps + j) * batch + l;
                double exponent = c->in[1][t * batch + l] - c->in[1][j * batch + l] + c->in[2][j * batch + l];
                c->out[at] = j <= t ? c->in[0][at] * exp(exponent) : 0;
            }
}

/* The sum along an axis of the matrix, as a row of exponents. */
static ur_var along(const ur_adjoint *a, ur_var G, int axis)
{
    return ur_reshape(ur_sum_over(G, axis), ur__shape_of(a->in[1]));
}

static ur_var derive(const ur_adjoint *a, int k)
{
    if (k == 0)
        return ur_decay(a->g, a->in[1], a->in[2]);
    ur_var G = ur_mul(a->g, a->y);
    return k == 1 ? ur_sub(along(a, G, 1), along(a, G, 0)) : along(a, G, 0);
}

const ur_op ur_op_decay = {
    .name = "decay",
    .formula = "a_tj e^(b_t - b_j + c_j) where j <= t, else 0",
    .derivative = "da = decay(g, b, c), db_t = sum_j (g_tj y_tj - g_jt y_jt), dc_j = sum_t g_tj y_tj",
    .inputs = 3,
    .kind = UR_COLUMNS,
    .kernel = UR__DECAY,
    .shape = shape,
    .run = run,
    .derive = derive,
    .samples = {{{UR_SIZES(3, 3, 4), UR_SIZES(3, 4), UR_SIZES(3, 4)}, {0}, 0, 0},
                {{UR_SIZES(2, 2, 3, 2), UR_SIZES(2, 3, 2), UR_SIZES(2, 3, 2)}, {0}, 0, 0},
                {{UR_SIZES(1, 1, 2), UR_SIZES(1, 2), UR_SIZES(1, 2)}, {0}, 0, 0}},
};

ur_var ur_decay(ur_var a, ur_var b, ur_var c)
{
    return ur_record(&ur_op_decay, 3, (ur_var[]){a, b, c}, NULL);
}
