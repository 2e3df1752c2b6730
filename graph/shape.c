/* shape.c - shapes: counting, comparing, broadcasting, printing. */
#include "internal.h"

static const int64_t most_elements = (int64_t)1 << 40;

size_t ur_dtype_bytes(ur_dtype dtype)
{
    return dtype == UR_F32 ? sizeof(float) : sizeof(double);
}

size_t ur_shape_count(ur_shape shape)
{
    if (shape.rank < 0 || shape.rank > UR_RANK)
        return 0;
    const uint64_t half = UINT64_C(1) << 20; /* two such numbers need no division */
    int64_t count = 1;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.size[i] < 1 || ((uint64_t)(shape.size[i] | count) >= half && shape.size[i] > most_elements / count))
            return 0;
        count *= shape.size[i];
    }
    return (size_t)count;
}

static int64_t size_at(ur_shape shape, int i)
{
    return i < shape.rank ? shape.size[i] : 1;
}

bool ur_shape_equal(ur_shape a, ur_shape b)
{
    const int both = a.rank < b.rank ? a.rank : b.rank, last = a.rank + b.rank - both;
    for (int i = 0; i < UR_RANK && i < both; i++)
        if (a.size[i] != b.size[i])
            return false;
    for (int i = both; i < UR_RANK && i < last; i++)
        if (size_at(a, i) != size_at(b, i))
            return false;
    return true;
}

const char *ur_shape_text(ur_shape shape, char text[UR_SHAPE_TEXT])
{
    ur__text out = {.text = text, .bytes = UR_SHAPE_TEXT};
    ur__print(&out, "[");
    for (int i = 0; i < shape.rank && i < UR_RANK; i++)
        ur__print(&out, "%s%lld", i ? "," : "", (long long)shape.size[i]);
    ur__print(&out, "]");
    return text;
}

bool ur__broadcast_shape(int inputs, const ur_shape *in, ur_shape *out)
{
    *out = in[0];
    for (int k = 1; k < inputs; k++) {
        if (in[k].rank > out->rank)
            out->rank = in[k].rank;
        for (int i = 0; i < UR_RANK; i++) {
            int64_t a = i < out->rank && out->size[i] > 0 ? out->size[i] : 1, b = size_at(in[k], i);
            if (a != b && a != 1 && b != 1)
                return false;
            out->size[i] = a == 1 ? b : a;
        }
    }
    for (int i = out->rank; i < UR_RANK; i++)
        out->size[i] = 1;
    return true;
}

void ur__strides(ur_shape from, ur_shape shape, size_t stride[UR_RANK])
{
    size_t step = 1;
    for (int i = UR_RANK - 1; i >= 0; i--) {
        stride[i] = size_at(from, i) == 1 && size_at(shape, i) != 1 ? 0 : step;
        step *= (size_t)size_at(from, i);
    }
}
