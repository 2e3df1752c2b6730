/* table.c - chooses the kernels. */
#include "../../graph/kernels.h"

extern const ur__kernels ur__kernels_f32, ur__kernels_f64;

const ur__kernels *ur__kernels_of(ur_dtype dtype)
{
    return dtype == UR_F32 ? &ur__kernels_f32 : &ur__kernels_f64;
}
