/* mask.c - a dropout mask (Srivastava et al. 2014): 1 with probability p, else 0; in evaluation p everywhere.
 *
 * Inputs are the training step [] (below 0: evaluation) and the sequences' global numbers [1,B]; the result is [rows,B].
 * An element is a pure function of (seed, training step, stream, sequence, row), so replays, blocks of the batch and
 * checks see the same mask. It has no derivative. */
#include "op.h"

enum { P, ROWS, SEED, STREAM, ATTRS };

static bool shape(ur_shaping *s)
{
    if (ur_shape_count(s->in[0]) != 1 || s->in[1].rank != 2 || s->in[1].size[0] != 1)
        return ur_refuse(s, "a training step [] and the sequences' numbers [1,B] were expected");
    if (!(s->attr[P] >= 0 && s->attr[P] <= 1))
        return ur_refuse(s, "a probability from 0 to 1 was expected, not %g", s->attr[P]);
    s->out = UR_SHAPE(ur__whole(s->attr[ROWS]), s->in[1].size[1]);
    return true;
}

static void run(const ur_call *c)
{
    char stream[80];
    size_t rows = (size_t)c->out_shape.size[0], batch = (size_t)c->out_shape.size[1];
    double p = c->attr[P], step = c->in[0][0];
    snprintf(stream, sizeof stream, "mask %.0f %.0f", c->attr[STREAM], step);
    for (size_t n = 0; n < batch; n++) {
        uint64_t first = (uint64_t)ur__whole(c->in[1][n]) * rows;
        for (size_t i = 0; i < rows; i++)
            c->out[i * batch + n] = step < 0 ? p : (double)(ur_random((uint64_t)c->attr[SEED], stream, first + i) < p);
    }
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)a;
    (void)k;
    return UR_ZERO;
}

const ur_op ur_op_mask = {
    .name = "mask",
    .formula = "1 with probability p, else 0",
    .derivative = "0",
    .inputs = 2,
    .attrs = ATTRS,
    .kind = UR_COLUMNS,
    .shape = shape,
    .run = run,
    .derive = derive,
    .samples = {{{UR_SIZES(1), UR_SIZES(1, 3)}, {0.5, 4, 1, 2}, 0, 0}},
};

ur_var ur_mask(ur_var step, ur_var sequences, double p, int64_t rows, uint32_t seed, uint32_t stream)
{
    return ur__binary(&ur_op_mask, step, sequences, (double[]){p, (double)rows, seed, stream});
}
