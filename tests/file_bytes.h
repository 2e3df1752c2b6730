/* file_bytes.h - files for the tests, byte by byte: a folder for each test, which is left empty, and safetensors and
 * .npy files from their parts. Includes Check. */
#ifndef UR_TESTS_FILE_BYTES_H
#define UR_TESTS_FILE_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../optim/optim.h"
#include "support.h"

/* ---- a folder for the files of one test, which is left empty: no temporary file stays */

static char folder[64], path[128];

static inline void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/unroll-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static inline void remove_folder(void)
{
    unlink(path);
    ck_assert_msg(rmdir(folder) == 0, "%s is not empty", folder);
}

static inline TCase *cases_in_folder(const char *name)
{
    TCase *cases = tcase_create(name);
    tcase_add_checked_fixture(cases, make_folder, remove_folder);
    return cases;
}

static inline void put_bytes(const void *bytes, size_t count)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, count, f), count);
    fclose(f);
}

static inline size_t get_bytes(unsigned char *bytes, size_t most)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    size_t count = fread(bytes, 1, most, f);
    fclose(f);
    return count;
}

static inline void check_bytes(const void *expected, size_t count)
{
    unsigned char found[4096];
    ck_assert_uint_eq(get_bytes(found, sizeof found), count);
    ck_assert_mem_eq(found, expected, count);
}

/* The error is "PATH: ..." and contains what is expected. */
static inline void check_error(const ur_error *error, const char *expected)
{
    ck_assert_msg(strncmp(error->text, path, strlen(path)) == 0, "no path: %s", error->text);
    ck_assert_msg(strstr(error->text, expected) != NULL, "found:    %s\nexpected: %s", error->text, expected);
}

/* Puts bytes at the end of a file in memory. */
static inline size_t append(unsigned char *file, size_t at, const void *bytes, size_t count)
{
    if (count)
        memcpy(file + at, bytes, count);
    return at + count;
}

/* ---- safetensors */

/* 8 bytes of length, the header, the data. */
static inline size_t safetensors(unsigned char *file, const char *header, const void *data, size_t data_bytes)
{
    size_t length = strlen(header);
    const unsigned char prefix[8] = {(unsigned char)(length & 255), (unsigned char)(length >> 8)};
    return append(file, append(file, append(file, 0, prefix, 8), header, length), data, data_bytes);
}

static inline void put_safetensors(const char *header, const void *data, size_t data_bytes)
{
    unsigned char file[4096] = {0};
    put_bytes(file, safetensors(file, header, data, data_bytes));
}

/* ---- .npy */

/* Version, a header without padding, data. */
static inline void put_npy(int version, const char *header, const void *data, size_t data_bytes)
{
    unsigned char file[512] = {0};
    size_t length = strlen(header);
    const unsigned char prefix[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)length};
    size_t at = append(file, 0, prefix, version == 1 ? 10 : 12);
    put_bytes(file, append(file, append(file, at, header, length), data, data_bytes));
}

#define NPY(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape "}"

/* ---- arrays */

static inline ur_array *add(ur_arrays *set, const char *name, ur_array_type type, int rank, const int64_t *size,
                            const double *values)
{
    ur_error error = {{0}};
    ur_array *array = ur_arrays_add(set, name, type, rank, size, &error);
    ck_assert_msg(array && ur_array_set(array, values, &error), "%s", error.text);
    return array;
}

/* The arrays of test_safetensors.c's golden file. */
static inline ur_arrays *golden_set(void)
{
    ur_arrays *set = ur_arrays_new(NULL);
    ck_assert(ur_arrays_set_text(set, "cell", "a", NULL));
    ck_assert(ur_arrays_set_text(set, "cell", "an \"b\"\n\\", NULL));
    add(set, "Wh", UR_ARRAY_F32, 2, (const int64_t[]){2, 1}, (const double[]){1, -0.5});
    add(set, "n", UR_ARRAY_I64, 0, NULL, (const double[]){258});
    add(set, "e", UR_ARRAY_F64, 2, (const int64_t[]){0, 3}, NULL);
    add(set, "\xCF\x86", UR_ARRAY_F64, 1, (const int64_t[]){1}, (const double[]){-2});
    add(set, "i", UR_ARRAY_I32, 2, (const int64_t[]){1, 1}, (const double[]){-2});
    return set;
}

static inline void check_values(const ur_arrays *set, const char *name, ur_array_type type, size_t count,
                                const double *values)
{
    double found[64] = {0};
    const ur_array *array = ur_arrays_find(set, name);
    ck_assert_ptr_nonnull(array);
    ck_assert(array->type == type && array->count == count && (uintptr_t)array->data % 64 == 0);
    ck_assert_str_eq(array->file, path);
    ck_assert(ur_array_get(array, found, NULL));
    for (size_t i = 0; i < count; i++)
        ck_assert_double_eq(found[i], values[i]);
}

#endif
