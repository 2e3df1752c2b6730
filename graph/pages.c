/* pages.c - large blocks of memory in large pages, where the system has them: the first run of a plan, and the recording
 * of its inputs, would otherwise wait for a small page every 4 KiB, and every run for their addresses. */
/* madvise is no part of POSIX; the name that asks glibc for it is reserved to be defined so. */
#define _DEFAULT_SOURCE /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#include <stdlib.h>

#include "support.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Bytes of a large page; a block that would fill less than a third of one is not worth it. */
enum { LARGE_PAGE = 1 << 21, LARGE = LARGE_PAGE / 3 };

void *ur__new_pages(const ur_allocator *a, size_t bytes)
{
    if (a->resize != ur__resize_by_malloc || bytes < LARGE || bytes > SIZE_MAX / 2)
        return ur__new(a, bytes);
    size_t whole = ur__round_up(bytes, LARGE_PAGE);
    void *block = aligned_alloc(LARGE_PAGE, whole);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (block)
        (void)madvise(block, whole, MADV_HUGEPAGE); /* a wish: nothing hangs on it */
#endif
    return block;
}
