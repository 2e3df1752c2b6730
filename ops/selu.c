/* selu.c - the scaled exponential linear unit (Klambauer et al. 2017): y = l a where a > 0, else l c (e^a - 1), with
 * l = 1.0507..., c = 1.6732..., for which mean 0 and variance 1 are a fixed point.
 *
 *     da = l g where a > 0, else g l c e^a = g (y + l c). */
#include "op.h"

static const double lambda = 1.0507009873554805, alpha = 1.6732632423543772;

static double map(const double *in, const double *attr)
{
    (void)attr;
    return in[0] > 0 ? lambda * in[0] : lambda * alpha * expm1(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    ur_var shift = ur_const(a->y.tape, UR_SCALAR, lambda * alpha);
    return ur_select(ur_step_function(a->in[0]), ur_scale(a->g, lambda), ur_mul(a->g, ur_add(a->y, shift)));
}

const ur_op ur_op_selu = {
    .name = "selu",
    .formula = "l a where a > 0, else l c (e^a - 1)",
    .derivative = "l g where a > 0, else g (y + l c)",
    .inputs = 1,
    .kind = UR_MAP,
    .kernel = UR__SELU,
    .map = map,
    .derive = derive,
    .onnx = "Selu",
    .samples = {{{UR_SIZES(3, 4)}, {0}, 0, 0}},
};

ur_var ur_selu(ur_var a)
{
    return ur__unary(&ur_op_selu, a, NULL);
}
