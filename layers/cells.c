/* cells.c - the cells by number and by name. The table is made from the names of the files cell_*.c. */
#include <string.h>

#include "layers.h"

extern const ur_cell *const ur__cells[];

const ur_cell *ur_cell_at(size_t index)
{
    size_t i = 0;
    while (i < index && ur__cells[i])
        i++;
    return ur__cells[i];
}

const ur_cell *ur_cell_find(const char *name)
{
    for (size_t i = 0; name && ur__cells[i]; i++)
        if (strcmp(ur__cells[i]->name, name) == 0)
            return ur__cells[i];
    return NULL;
}
