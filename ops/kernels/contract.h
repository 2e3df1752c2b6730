/* contract.h - gradients of weights: sums of A B^T over steps and columns. */

static size_t contraction_room(const ur__contraction *c)
{
    (void)c;
    return 0;
}

static void contract(const ur__contraction *c, void *room)
{
    (void)room;
    for (size_t g = 0; g < c->matrices; g++)
        for (size_t i = 0; i < (c->stretch[0].a ? c->rows : 1); i++)
            for (size_t j = 0; j < c->m; j++) {
                real sum = 0;
                for (size_t t = 0; t < c->stretches; t++)
                    for (size_t s = 0; s < c->stretch[t].steps; s++) {
                        const ur__stretch *at = &c->stretch[t];
                        const real *b = (const real *)at->b[g] + (ptrdiff_t)s * at->b_step[g] + j * c->b_stride;
                        const real *a =
                            at->a ? (const real *)at->a + (ptrdiff_t)s * at->a_step + i * c->a_stride : NULL;
                        for (size_t q = 0; q < (at->columns ? at->columns[s] : c->n); q++)
                            sum += a ? a[q] * b[q] : b[q];
                    }
                ((real *)c->out[g])[i * c->m + j] = sum;
            }
}
