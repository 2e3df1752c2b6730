/* init.c - initial values of parameters. */
#include <math.h>

#include "layers.h"

/* Box and Muller (1958). */
static double normal(uint64_t seed, const char *stream, uint64_t i)
{
    static const double two_pi = 6.283185307179586;
    double radius = sqrt(-2 * log(ur_random(seed, stream, 2 * i)));
    return radius * cos(two_pi * ur_random(seed, stream, 2 * i + 1));
}

static double glorot(ur_init rule, uint64_t seed, const char *stream, uint64_t i, ur_shape shape)
{
    double average = 0.5 * (double)(shape.size[0] + shape.size[1]);
    if (rule == UR_GLOROT_NORMAL)
        return normal(seed, stream, i) / sqrt(average);
    return sqrt(3 / average) * (2 * ur_random(seed, stream, i) - 1);
}

enum { STREAM = 256 };

bool ur_params_init(ur_tape *tape, ur_init rule, uint64_t seed)
{
    ur_var param;
    const char *name;
    for (size_t k = 0; ur_param_at(tape, k, &param, &name, NULL); k++) {
        ur_node node;
        void *data = ur_leaf(param);
        if (!data || !ur_look(param, &node))
            return false;
        char stream[STREAM];
        snprintf(stream, sizeof stream, "initial %s", name);
        size_t count = ur_shape_count(node.shape);
        for (size_t i = 0; i < count; i++) {
            double value = node.shape.rank == 2 ? glorot(rule, seed, stream, i, node.shape) : 0;
            if (ur_tape_dtype(tape) == UR_F32)
                ((float *)data)[i] = (float)value;
            else
                ((double *)data)[i] = value;
        }
    }
    return true;
}
