/* optims.c - the optimisers by number and by name. The table is made from the names of the files optim_*.c. */
#include <string.h>

#include "optim.h"

extern const ur_optim *const ur__optims[];

const ur_optim *ur_optim_at(size_t k)
{
    size_t i = 0;
    while (i < k && ur__optims[i])
        i++;
    return ur__optims[i];
}

const ur_optim *ur_optim_find(const char *name)
{
    for (size_t i = 0; name && ur__optims[i]; i++)
        if (strcmp(ur__optims[i]->name, name) == 0)
            return ur__optims[i];
    return NULL;
}
