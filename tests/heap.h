/* heap.h - an allocator for the tests: it counts, checks the sizes that it is told, and fails on purpose. */
#ifndef UR_TESTS_HEAP_H
#define UR_TESTS_HEAP_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../graph/graph.h"

/* A heap that counts, checks the sizes it is told, and fails on purpose: at the call `fails`, or from it on. */
typedef struct heap {
    long long bytes, calls, fails;
    bool for_good, lied;
} heap;

typedef struct header {
    _Alignas(max_align_t) size_t bytes;
} header;

static inline void *heap_resize(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    heap *h = (heap *)user;
    header *old = block ? (header *)block - 1 : NULL;
    h->lied = h->lied || (old ? old->bytes : 0) != old_bytes;
    if (!new_bytes) {
        h->bytes -= (long long)old_bytes;
        free(old);
        return NULL;
    }
    h->calls++;
    if (h->fails && (h->calls == h->fails || (h->for_good && h->calls > h->fails)))
        return NULL;
    header *moved = (header *)malloc(sizeof *moved + new_bytes); /* moves always */
    if (!moved)
        return NULL;
    moved->bytes = new_bytes;
    if (old) {
        memcpy(moved + 1, old + 1, old_bytes < new_bytes ? old_bytes : new_bytes);
        memset(old + 1, 0xee, old_bytes); /* what still looks there sees it */
    }
    free(old);
    h->bytes += (long long)new_bytes - (long long)old_bytes;
    return moved + 1;
}

/* So many allocations succeed, no more. */
typedef struct budget {
    int left;
    long long bytes;
} budget;

static inline void *limited(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    budget *b = (budget *)user;
    if (new_bytes && b->left-- <= 0)
        return NULL;
    b->bytes += (long long)new_bytes - (long long)old_bytes;
    if (new_bytes)
        return realloc(block, new_bytes);
    free(block);
    return NULL;
}

#endif
