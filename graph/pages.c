/* pages.c - large blocks of memory in large pages, where the system has them: the first run of a plan would otherwise
 * wait for thousands of small ones, and every run for their addresses. */
/* madvise is no part of POSIX; the name that asks glibc for it is reserved to be defined so. */
#define _DEFAULT_SOURCE /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#include "support.h"

#include <stdint.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

void ur__large_pages(void *block, size_t bytes)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = UINT32_C(1) << 21;
    uintptr_t begin = (uintptr_t)block, past = begin % page ? page - begin % page : 0;
    if (bytes < past + page)
        return;
    size_t whole = (bytes - past) / page * page;
    (void)madvise((char *)block + past, whole, MADV_HUGEPAGE); /* a wish: nothing hangs on it */
#else
    (void)block, (void)bytes;
#endif
}
