/* every_cell.h - the cells that there are, for tests that a new one is to pass as well. */
#ifndef UR_TESTS_EVERY_CELL_H
#define UR_TESTS_EVERY_CELL_H

#include "../layers/layers.h"

static inline int count_cells(void)
{
    int n = 0;
    while (ur_cell_at((size_t)n))
        n++;
    return n;
}

/* Number i, from the first on again past the last. */
static inline const ur_cell *cell_number(int i)
{
    return ur_cell_at((size_t)(i % count_cells()));
}

#endif
