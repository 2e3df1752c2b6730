/* elu.c - the exponential linear unit (Clevert et al. 2016): y = a where a > 0, else c (e^a - 1).
 *
 *     da = g where a > 0, else g c e^a = g (y + c). */
#include "op.h"

static double map(const double *in, const double *attr)
{
    return in[0] > 0 ? in[0] : attr[0] * expm1(in[0]);
}

static ur_var derive(const ur_adjoint *a, int k)
{
    (void)k;
    ur_var c = ur_const(a->y.tape, UR_SCALAR, a->attr[0]);
    return ur_select(ur_step_function(a->in[0]), a->g, ur_mul(a->g, ur_add(a->y, c)));
}

const ur_op ur_op_elu = {
    .name = "elu",
    .formula = "a where a > 0, else c (e^a - 1)",
    .derivative = "g where a > 0, else g (y + c)",
    .inputs = 1,
    .attrs = 1,
    .kind = UR_MAP,
    .kernel = UR__ELU,
    .map = map,
    .derive = derive,
    .onnx = "Elu",
    .samples = {{{UR_SIZES(3, 4)}, {1.5}, 0, 0}},
};

ur_var ur_elu(ur_var a, double alpha)
{
    return ur__unary(&ur_op_elu, a, &alpha);
}
