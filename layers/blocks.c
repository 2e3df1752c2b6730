/* blocks.c - what cells are built from: W^T x, a bias, a gate's net value, activations. */
#include "../graph/support.h"
#include "layers.h"

static int64_t rows(ur_var v)
{
    ur_node node;
    return ur_look(v, &node) && node.shape.rank > 0 ? node.shape.size[0] : 1;
}

ur_var ur_linear(ur_tape *tape, const char *W, int64_t units, ur_var x)
{
    return ur_gemm(ur_param(tape, W, UR_SHAPE(rows(x), units)), true, x, false);
}

ur_var ur_bias(ur_tape *tape, const char *b, ur_var a)
{
    return ur_add(a, ur_param(tape, b, UR_SHAPE(rows(a))));
}

ur_var ur_affine(ur_tape *tape, const char *name, ur_var x, ur_var h)
{
    enum { LONGEST = 64 };
    char W[LONGEST] = "", Wh[LONGEST] = "", b[LONGEST] = "";
    if (name && !(ur__concatenate(W, LONGEST, "W", name) && ur__concatenate(Wh, LONGEST, "Wh", name) &&
                  ur__concatenate(b, LONGEST, "b", name)))
        ur_tape_fail(tape, "ur_affine: the name %s is longer than %d characters", name, LONGEST - 3);
    ur_scope_open(tape, name);
    ur_var input = ur_linear(tape, W, rows(h), x), recurrent = ur_linear(tape, Wh, rows(h), h);
    ur_var net = ur_bias(tape, b, ur_add(input, recurrent));
    ur_scope_close(tape);
    return net;
}

ur_var ur_recurrent(const ur_net_options *options, ur_var h)
{
    return options && options->keep.tape ? ur_mul(h, options->keep) : h;
}

double ur_exponent_room(const ur_tape *tape)
{
    return ur_tape_dtype(tape) == UR_F32 ? 25 : 200; /* of 88 and 709 */
}

ur_var ur_embedding(ur_tape *tape, const char *W, int64_t classes, int64_t units, ur_var numbers)
{
    return ur_gather(ur_param(tape, W, UR_SHAPE(classes, units)), numbers);
}

const char *const ur_activation_names[] = {"none", "identity", "sigmoid", "tanh", "relu", "softmax", NULL};

ur_var ur_activate(ur_activation f, ur_var net)
{
    switch (f) {
    case UR_SIGMOID:
        return ur_sigmoid(net);
    case UR_TANH:
        return ur_tanh(net);
    case UR_RELU:
        return ur_relu(net);
    case UR_SOFTMAX:
        return ur_softmax(net);
    case UR_NO_ACTIVATION:
    case UR_IDENTITY:
        break;
    }
    return net;
}
