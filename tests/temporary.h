/* temporary.h - a file for a test to write. Includes Check. */
#ifndef UR_TESTS_TEMPORARY_H
#define UR_TESTS_TEMPORARY_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The path of a new empty file, valid until the next call. */
static inline const char *temporary_path(void)
{
    static char path[512];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/unroll-test-XXXXXX", folder && *folder ? folder : P_tmpdir);
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(close(file), 0);
    return path;
}

#endif
