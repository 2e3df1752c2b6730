/* ops.c - the operations by number. The table is made from the names of the files. */
#include "ops.h"

extern const ur_op *const ur__ops[];

const ur_op *ur_op_at(size_t index)
{
    size_t i = 0;
    while (i < index && ur__ops[i])
        i++;
    return ur__ops[i];
}
