/* pages.c - the default allocator: malloc's blocks, the large ones in large pages where the system has them. Else the
 * first use of a plan's memory or of a long tape's tables would wait for a small page every 4 KiB, for longer than it
 * takes to fill it, and every later use for their addresses. */
/* madvise is no part of POSIX; the name that asks glibc for it is reserved to be defined so. */
#define _DEFAULT_SOURCE /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Bytes of a large page; a block that would fill less than a third of one is not worth it. */
enum { LARGE_PAGE = 1 << 21, LARGE = LARGE_PAGE / 3 };

static size_t whole_pages(size_t bytes)
{
    return (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
}

static void *new_block(size_t bytes)
{
    if (bytes < LARGE)
        return malloc(bytes);
    void *block = aligned_alloc(LARGE_PAGE, whole_pages(bytes));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (block)
        (void)madvise(block, whole_pages(bytes), MADV_HUGEPAGE); /* a wish: nothing hangs on it */
#endif
    return block;
}

void *ur__resize_by_malloc(void *user, void *block, size_t old_bytes, size_t new_bytes)
{
    (void)user;
    if (new_bytes == 0) {
        free(block);
        return NULL;
    }
    if (!block)
        return new_block(new_bytes);
    if (old_bytes < LARGE && new_bytes < LARGE)
        return realloc(block, new_bytes);
    if (old_bytes >= LARGE && new_bytes >= LARGE && whole_pages(old_bytes) == whole_pages(new_bytes))
        return block;
    void *moved = new_block(new_bytes);
    if (moved) {
        memcpy(moved, block, old_bytes < new_bytes ? old_bytes : new_bytes);
        free(block);
    }
    return moved;
}
